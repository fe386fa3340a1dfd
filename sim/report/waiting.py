"""What the report says of waiting: for memory, of units for each other, and in a spatial pipeline of engines.

The sentence is the one that pictures show (the median exit, alone on the design, at the longest length); the shares of
engines are those of the whole stream.
"""

from __future__ import annotations

from hexit.sim.analysis.stalls import StallBreakdown, op_stall_rows, stall_rows
from hexit.sim.core.program import Unit
from hexit.sim.job.outcome import Outcome
from hexit.sim.report.record import EngineReport, MemoryReport, SpatialPipelineReport, StallReport


def memory_report(outcome: Outcome) -> MemoryReport:
    """Return the memory's part in one sentence."""
    channel, kernel = outcome.design.program.channel, outcome.sentence.kernel
    clock_mhz = outcome.setup.design.clock_mhz
    return MemoryReport(
        bytes_per_cycle=channel.bytes_per_cycle,
        latency_cycles=channel.latency_cycles,
        limited_by=channel.limit,
        exit_layer=outcome.sentence.exit_layer,
        kernel_us=kernel.kernel_cycles / clock_mhz,
        with_transfers_us=kernel.latency_cycles / clock_mhz,
        exposed_us=kernel.exposed_cycles / clock_mhz,
        transfers_us=kernel.transfer_cycles / clock_mhz,
    )


def stall_report(stalls: StallBreakdown) -> StallReport:
    """Return what units do in each cycle of one sentence, and in front of which ops they wait."""
    units: dict[str, dict[str, int]] = {unit.name.lower(): {} for unit in Unit}
    ops: dict[str, dict[str, int]] = {}
    for row in stall_rows(stalls):
        units[row.name][row.cause.replace(" ", "_")] = row.cycles
    for row in op_stall_rows(stalls):
        ops.setdefault(row.name, {})[row.cause.replace(" ", "_")] = row.cycles
    return StallReport(units=units, ops=ops)


def pipeline_report(outcome: Outcome) -> SpatialPipelineReport | None:
    """Return what the engines of a spatial pipeline did with the stream, None for a design of one engine."""
    spatial = outcome.with_exits.result.spatial
    if spatial is None:
        return None
    ends = spatial.costs[0].end_layer.tolist()
    shares = [
        (cycles / spatial.total_cycles).tolist()
        for cycles in (spatial.busy_cycles, spatial.blocked_cycles, spatial.squashed_cycles, spatial.starved_cycles)
    ]
    return SpatialPipelineReport(
        engines=tuple(
            EngineReport(
                first_layer=first + 1,
                last_layer=last,
                busy_fraction=busy,
                blocked_fraction=blocked,
                squashed_fraction=squashed,
                starved_fraction=starved,
            )
            for first, last, busy, blocked, squashed, starved in zip([0, *ends[:-1]], ends, *shares, strict=True)
        ),
        buffers=outcome.buffers,
    )
