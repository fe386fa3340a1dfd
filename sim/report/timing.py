"""What the report says of time: latencies, queue and drops of the stream, waiting for memory and between units.

Waiting is that of one sentence, the one that pictures show (the median exit, alone on the design, at the longest
length); the shares of the engines of a spatial pipeline are those of the whole stream.
"""

from __future__ import annotations

import numpy as np

from hexit.sim.analysis.stalls import StallBreakdown, op_stall_rows, stall_rows
from hexit.sim.core.program import NONE
from hexit.sim.core.stream_levels import StreamLevels, largest_queue, stream_levels
from hexit.sim.job.outcome import Outcome
from hexit.sim.report.record import (
    PERCENTILES,
    EngineReport,
    LatencyReport,
    MemoryReport,
    OverTime,
    SaturationReport,
    SpatialPipelineReport,
    StallReport,
    StreamReport,
)
from hexit.sim.traffic.arrivals import ClosedLoop
from hexit.sim.traffic.saturation import Saturation

N_BINS = 50  # of the figures over time


def latency_report(outcome: Outcome) -> LatencyReport:
    """Return the latencies of the served sentences, and those of each exit alone on the design."""
    clock_mhz = outcome.setup.design.clock_mhz
    latencies_us = outcome.with_exits.result.served_latency_cycles / clock_mhz
    by_exit = outcome.sentence.table.latency_cycles.tolist()
    return LatencyReport(
        mean=float(latencies_us.mean()),
        **{name: float(np.percentile(latencies_us, q, method="higher")) for name, q in PERCENTILES.items()},
        max=float(latencies_us.max()),
        full_depth=float(outcome.full_depth.result.served_latency_cycles.mean() / clock_mhz),
        by_exit=tuple(None if cycles == NONE else cycles / clock_mhz for cycles in by_exit),
    )


def stream_report(outcome: Outcome) -> StreamReport:
    """Return how many sentences came, waited, were served and were dropped."""
    setup, stream, programs = outcome.setup, outcome.with_exits.result, outcome.design.programs
    clock_mhz, served, levels = setup.design.clock_mhz, stream.served, stream_levels(stream, N_BINS)
    seconds = int(stream.arrival_cycle[-1]) / (clock_mhz * 1e6)
    closed = isinstance(setup.stream.arrivals, ClosedLoop)
    tokens = np.array([program.workload.sequence_length for program in programs])[stream.program_index]
    return StreamReport(
        n_sentences=stream.n_sentences,
        n_served=stream.n_served,
        n_dropped_full=stream.n_dropped_full,
        n_dropped_late=stream.n_dropped_late,
        n_missed=None if setup.stream.admission.deadline_us is None else stream.n_missed,
        offered_per_s=None if closed or not seconds else stream.n_sentences / seconds,
        mean_wait_us=float((stream.start_cycle - stream.arrival_cycle)[served].mean()) / clock_mhz,
        mean_waiting=float(levels.waiting @ np.diff(levels.edge_cycle) / levels.edge_cycle[-1]),
        max_waiting=largest_queue(stream),
        mean_hardware_tokens=float(tokens.mean()),
        n_lengths=len(programs),
        over_time=_over_time(levels, outcome.design.program.busiest_unit, clock_mhz),
        saturation=None if outcome.saturation is None else _saturation_report(outcome.saturation),
    )


def _over_time(levels: StreamLevels, unit: int, clock_mhz: float) -> OverTime:
    return OverTime(
        edge_us=tuple((levels.edge_cycle / clock_mhz).tolist()),
        waiting=tuple(levels.waiting.tolist()),
        in_service=tuple(levels.in_service.tolist()),
        array_fraction=tuple(levels.utilisation_fraction[:, unit].tolist()),
    )


def _saturation_report(saturation: Saturation) -> SaturationReport:
    return SaturationReport(
        arrivals=saturation.arrivals,
        n_sentences=saturation.n_sentences,
        capacity_per_s=saturation.capacity_per_s,
        sustained_per_s=saturation.sustained_per_s,
        p99_latency_us=saturation.p99_latency_us,
    )


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
        preload_us=outcome.design.program.preload_cycles / clock_mhz,
    )


def stall_report(stalls: StallBreakdown) -> StallReport:
    """Return what units do in each cycle of one sentence, and in front of which ops they wait."""
    units: dict[str, dict[str, int]] = {stalls.unit_names[unit]: {} for unit in stalls.units}
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
