"""A stream over time: how many sentences wait and are in service, how busy the units are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hexit.quant.arrays import Floats, Integers
from hexit.sim.core.levels import count_open
from hexit.sim.core.queueing import FULL, LATE, UNLIMITED
from hexit.sim.core.stream import StreamResult


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamLevels:
    """A stream over time, as means over bins: `edge_cycle` [n_bins + 1], sentences that wait and that are in service.

    `utilisation_fraction` [n_bins, n_units]: useful work, each sentence's spread evenly over its time in service;
    transfers that sentences share are dealt to all in proportion.
    """

    edge_cycle: Integers
    waiting: Floats
    in_service: Floats
    utilisation_fraction: Floats


def stream_levels(result: StreamResult, n_bins: int = 100) -> StreamLevels:
    """Return what a stream looked like over time, in at most `n_bins` bins of equal length."""
    last = max(result.total_cycles, int(queue_spans(result)[1].max()))
    edges = np.unique(np.linspace(0, last, n_bins + 1).astype(np.int64))
    served = result.served
    start, finish = result.start_cycle[served], result.finish_cycle[served]
    alone = np.tensordot(result.served_by_exit, result.busy_by_exit, 2)
    shares = result.busy_cycles / np.maximum(1, alone)
    busy = shares * result.busy_by_exit[result.program_index[served], result.exit_layer[served] - 1]
    length = result.n_engines * np.maximum(1, finish - start)
    return StreamLevels(
        edge_cycle=edges,
        waiting=np.diff(count_open(*queue_spans(result)).integral(edges)) / np.diff(edges),
        in_service=np.diff(count_open(start, finish).integral(edges)) / np.diff(edges),
        utilisation_fraction=np.stack(
            [_mean_rate(start, finish, busy[:, unit] / length, edges) for unit in range(busy.shape[1])], axis=1
        ),
    )


def _mean_rate(begin: Integers, end: Integers, rate: Floats, edges: Integers) -> Floats:
    """Mean over each bin [n_bins] of the summed `rate` [n] of all that are between their `begin` and `end` [n]."""
    widths = np.diff(edges)

    def passed(cycle: Integers) -> Floats:
        """Rate x time since `cycle`, in each bin."""
        bins = np.minimum(np.searchsorted(edges, cycle, side="right") - 1, widths.size - 1)
        within = np.bincount(bins, rate * (edges[bins + 1] - cycle), widths.size)
        before = np.cumsum(np.bincount(bins, rate, widths.size))
        return np.asarray(within + np.concatenate([[0.0], before[:-1]]) * widths)

    return np.asarray(np.maximum(0.0, passed(begin) - passed(end)) / widths)


def largest_queue(result: StreamResult) -> int:
    """Return the largest number of sentences that waited at a time."""
    return int(count_open(*queue_spans(result)).level.max(initial=0))


def queue_spans(result: StreamResult) -> tuple[Integers, Integers]:
    """Return the cycles in which sentences entered and left the queue, of those that did not find it full."""
    entered = result.verdict != FULL
    arrival, start = result.arrival_cycle[entered], result.start_cycle[entered]
    late = result.verdict[entered] == LATE
    deadline = 0 if result.deadline_cycles == UNLIMITED else result.deadline_cycles
    return arrival, np.maximum.accumulate(np.where(late, arrival + deadline, start))
