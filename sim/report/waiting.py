"""What the report says about waiting: for memory, for each other, and engines behind each other for their sentences.

The sentence is the one that pictures show (the median exit, alone on the design, at the longest length); engines are
those of the whole stream.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hexit.sim.analysis.stalls import kernel_and_transfers, op_stall_rows, stall_breakdown, stall_rows
from hexit.sim.core.program import NONE, Unit
from hexit.sim.core.spatial import simulate_spatial
from hexit.sim.core.spatial_costs import spatial_costs
from hexit.sim.job.experiment import Outcome, shown_exit
from hexit.sim.traffic.arrivals import ClosedLoop
from hexit.sim.traffic.buffer_sizes import BufferSizes, size_buffers


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryReport:
    """Off-chip memory as the design sees it, and one sentence with and without it, in microseconds.

    `limited_by`: memory, port or outstanding requests. `kernel` is the sentence if transfers took no time, `transfers`
    all of its transfers one after the other, `exposed` what the memory adds: kernel <= with_transfers <= kernel +
    transfers.
    """

    bytes_per_cycle: float
    latency_cycles: int
    limited_by: str
    exit_layer: int
    kernel_us: float
    with_transfers_us: float
    exposed_us: float
    transfers_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """Shares of the whole time of one engine of several: at work, done but without a place behind, without work."""

    first_layer: int
    last_layer: int
    busy_fraction: float
    blocked_fraction: float
    squashed_fraction: float
    starved_fraction: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginesReport:
    """Engines behind each other, and the buffers that this stream needs (None where it drops sentences)."""

    engines: tuple[EngineReport, ...]
    buffers: BufferSizes | None


def memory_report(outcome: Outcome) -> MemoryReport:
    """Return the memory's part in one sentence."""
    exit_layer, channel = shown_exit(outcome), outcome.program.channel
    found = kernel_and_transfers(outcome.sentence, exit_layer)
    clock_mhz = outcome.setup.design.clock_mhz
    return MemoryReport(
        bytes_per_cycle=channel.bytes_per_cycle,
        latency_cycles=channel.latency_cycles,
        limited_by=channel.limit,
        exit_layer=exit_layer,
        kernel_us=found.kernel_cycles / clock_mhz,
        with_transfers_us=found.latency_cycles / clock_mhz,
        exposed_us=found.exposed_cycles / clock_mhz,
        transfers_us=found.transfer_cycles / clock_mhz,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StallReport:
    """Cycles of one sentence: by unit, busy, squashed or waiting for each cause; by op, the waits in front of it."""

    units: dict[str, dict[str, int]]
    ops: dict[str, dict[str, int]]


def stall_report(outcome: Outcome) -> StallReport:
    """Return what units do in each cycle of one sentence, and in front of which ops they wait."""
    found = stall_breakdown(outcome.sentence, shown_exit(outcome))
    units: dict[str, dict[str, int]] = {unit.name.lower(): {} for unit in Unit}
    ops: dict[str, dict[str, int]] = {}
    for row in stall_rows(found):
        units[row.name][row.cause.replace(" ", "_")] = row.cycles
    for row in op_stall_rows(found):
        ops.setdefault(row.name, {})[row.cause.replace(" ", "_")] = row.cycles
    return StallReport(units=units, ops=ops)


def engines_report(outcome: Outcome) -> EnginesReport | None:
    """Return what several engines did with the stream, None for one engine."""
    if outcome.setup.design.mapping != "spatial":
        return None
    evaluated = np.isin(np.arange(1, outcome.program.n_layers + 1), outcome.evaluated_layers)
    tables = [spatial_costs(program, evaluated) for program in outcome.programs]
    stream = outcome.stream
    arrival = (
        stream.arrival_cycle
        if not isinstance(outcome.setup.stream.arrivals, ClosedLoop)
        else np.zeros_like(stream.arrival_cycle)
    )
    served = stream.start_cycle != NONE
    given = {"program_index": stream.program_index[served]}
    found = simulate_spatial(tables, stream.exit_layer[served], arrival[served], **given)
    ends = found.costs[0].end_layer.tolist()
    shares = [
        cycles / found.total_cycles
        for cycles in (found.busy_cycles, found.blocked_cycles, found.squashed_cycles, found.starved_cycles)
    ]
    buffers = size_buffers(found, arrival) if served.all() else None
    return EnginesReport(
        engines=tuple(
            EngineReport(
                first_layer=first + 1,
                last_layer=last,
                busy_fraction=float(busy),
                blocked_fraction=float(blocked),
                squashed_fraction=float(squashed),
                starved_fraction=float(starved),
            )
            for first, last, busy, blocked, squashed, starved in zip([0, *ends], ends, *shares, strict=False)
        ),
        buffers=buffers,
    )
