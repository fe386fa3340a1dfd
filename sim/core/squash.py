"""Work that had begun when it was cut off: speculative layers of a sentence that has left.

    share of task t, cut off in cycle c:   min(occupancy[t], c - start[t]) / occupancy[t]     where start[t] < c

MACs and bytes of a task count in proportion to that share, rounded down for each task and each cut; a task of no
cycles is done as soon as it begins. Not modelled: what a transfer under way still delivers after the cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numba
import numpy as np

from hexit.quant.arrays import Integers
from hexit.sim.core.program import NONE, TaskProgram, Unit
from hexit.sim.core.sentence import SentenceRun

_DMA = int(Unit.DMA)  # an int: compiled functions take no enumerations from outside


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SquashedWork:
    """Wasted work: cycles by unit, cycles by op (transfers left out), MACs and bytes."""

    cycles: Integers
    op_cycles: Integers
    macs: int
    n_bytes: int

    def __add__(self, other: Self) -> SquashedWork:
        """Return both together; they must belong to the same ops."""
        return SquashedWork(
            cycles=self.cycles + other.cycles,
            op_cycles=self.op_cycles + other.op_cycles,
            macs=self.macs + other.macs,
            n_bytes=self.n_bytes + other.n_bytes,
        )


def squashed_work(program: TaskProgram, start: Integers, cut: Integers, times: Integers | None = None) -> SquashedWork:
    """Return the wasted work of runs with the starts [runs, tasks] (NONE: not begun), cut off in the cycles `cut`.

    Every cut is a case of its own that cuts off all runs; `times` says how often each of them happened, once
    without.
    """
    counts = np.ones_like(cut) if times is None else times
    order = np.argsort(-cut)
    cycles = np.zeros(program.n_units, np.int64)
    op_cycles = np.zeros(len(program.op_names), np.int64)
    work = np.zeros(2, np.int64)
    _add_squashed(
        program.unit,
        program.op,
        program.occupancy_cycles,
        program.macs,
        program.n_bytes,
        start,
        cut[order],
        counts[order],
        cycles,
        op_cycles,
        work,
    )
    return SquashedWork(cycles=cycles, op_cycles=op_cycles, macs=int(work[0]), n_bytes=int(work[1]))


def squashed_layers(run: SentenceRun, first_layer: int, cut: Integers, times: Integers | None = None) -> SquashedWork:
    """Return the squashed work of a run's layers from `first_layer` on (counted from 0), exits included.

    `cut` and `times` as `squashed_work` has them; cycles by op are those of the layer's and then of the exit's ops.
    """
    layer = squashed_work(run.program.layer, run.layer_start[first_layer:], cut, times)
    exit_ = squashed_work(run.program.exit, run.exit_start[first_layer:], cut, times)
    return SquashedWork(
        cycles=layer.cycles + exit_.cycles,
        op_cycles=np.concatenate([layer.op_cycles, exit_.op_cycles]),
        macs=layer.macs + exit_.macs,
        n_bytes=layer.n_bytes + exit_.n_bytes,
    )


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def _add_squashed(
    unit: Integers,
    op: Integers,
    occupancy: Integers,
    macs: Integers,
    n_bytes: Integers,
    start: Integers,
    cut: Integers,
    times: Integers,
    cycles: Integers,
    op_cycles: Integers,
    work: Integers,
) -> None:
    """Add up over runs, tasks and the falling cycles `cut`; `work` is MACs, bytes."""
    for run in range(start.shape[0]):
        for task in range(unit.size):
            begin = start[run, task]
            for index in range(cut.size):
                if begin == NONE or begin >= cut[index]:
                    break  # and not before any earlier cut
                whole = occupancy[task]
                done = min(whole, cut[index] - begin)
                cycles[unit[task]] += times[index] * done
                if unit[task] != _DMA:
                    op_cycles[op[task]] += times[index] * done
                if whole == 0:
                    whole, done = 1, 1
                work[0] += times[index] * (macs[task] * done // whole)
                work[1] += times[index] * (n_bytes[task] * done // whole)
