"""What the report says of the stream: latencies, queue, drops, and the rate that the design sustains."""

from __future__ import annotations

import numpy as np

from hexit.sim.core.program import NONE, Unit
from hexit.sim.core.stream_levels import StreamLevels, largest_queue, stream_levels
from hexit.sim.job.outcome import Outcome
from hexit.sim.report.record import PERCENTILES, LatencyReport, OverTime, SaturationReport, StreamReport
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
        over_time=_over_time(levels, clock_mhz),
        saturation=None if outcome.saturation is None else _saturation_report(outcome.saturation),
    )


def _over_time(levels: StreamLevels, clock_mhz: float) -> OverTime:
    return OverTime(
        edge_us=tuple((levels.edge_cycle / clock_mhz).tolist()),
        waiting=tuple(levels.waiting.tolist()),
        in_service=tuple(levels.in_service.tolist()),
        array_fraction=tuple(levels.utilisation_fraction[:, Unit.ARRAY].tolist()),
    )


def _saturation_report(saturation: Saturation) -> SaturationReport:
    return SaturationReport(
        arrivals=saturation.arrivals,
        n_sentences=saturation.n_sentences,
        capacity_per_s=saturation.capacity_per_s,
        sustained_per_s=saturation.sustained_per_s,
        p99_latency_us=saturation.p99_latency_us,
    )
