"""The report of one run, as a record with a version; `docs/report.md` explains every key.

Nothing in it depends on the time, the folder or whether a cache was warm: the same command gives the same bytes.
Ratios are fractions of 1, `speedup` is always a ratio against the same design without early exits.
"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.area.buffers import on_chip_buffers
from hexit.hw_model.area.resources import KINDS, available
from hexit.hw_model.device import Device
from hexit.hw_model.energy import EnergyBreakdown
from hexit.hw_model.exit_unit.build import BuiltPart
from hexit.hw_model.gemm import roofline_cycles
from hexit.quant.config import EncoderShape, QuantConfig
from hexit.quant.data.scores import exit_scores
from hexit.quant.exits.rules import format_rule
from hexit.quant.records import to_json
from hexit.quant.shapes import parameter_counts
from hexit.quant.traces.reference import Reference
from hexit.quant.traces.trace import ExitTrace
from hexit.sim.core.program import NONE, UNIT_NAMES, Unit
from hexit.sim.core.queueing import AdmissionPolicy
from hexit.sim.core.stream import StreamResult
from hexit.sim.core.stream_levels import largest_queue, stream_levels
from hexit.sim.job.experiment import (
    Outcome,
    ProfileSource,
    TextSource,
    is_bound,
    last_layer_cycles,
    layer_breakdown,
    score,
)
from hexit.sim.report.waiting import (
    EnginesReport,
    MemoryReport,
    StallReport,
    engines_report,
    memory_report,
    stall_report,
)
from hexit.sim.traffic.arrivals import ClosedLoop, RecordedArrivals, format_arrivals
from hexit.sim.traffic.lengths import format_lengths

SCHEMA = "hexit.report"
SCHEMA_VERSION = 2
SUFFICIENT = 0.01  # score; one point of accuracy
Score = float | None
Scores = tuple[float, ...] | None
PERCENTILES = {"p50": 50, "p95": 95, "p99": 99, "p99_9": 99.9}
N_BINS = 50  # of what is told over time


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfiguration:
    """How sentences came; patterns as the command line reads them, of a file the name alone."""

    arrivals: str
    lengths: str
    admission: AdmissionPolicy
    n_sentences: int
    saturates: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Everything that decided the result; running it again gives this report again."""

    rule: str
    bits: QuantConfig
    shape: EncoderShape
    design: Accelerator
    device: Device
    sequence_length: int
    seed: int
    stream: StreamConfiguration


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """The sentences: how many, how many were cut to the sequence length, how long they are in tokens."""

    name: str
    n_samples: int
    n_truncated: int
    mean_tokens: float
    max_tokens: int
    calibration: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyReport:
    """Scores; None where there are no labels. `float` and `quantised` are at the last layer."""

    metric: str
    float: Score
    quantised: Score
    with_exits: Score
    float_with_exits: Score
    float_by_exit: Scores
    quantised_by_exit: Scores
    reference: Reference | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitReport:
    """Where sentences left; `histogram[k - 1]` sentences left after layer k.

    `sufficient_layer` is the first layer whose exit alone, for all sentences, scores within SUFFICIENT of the last
    exit: a network cut there would do, and no exit rule is worth more than that. None where there are no labels.
    """

    mean_layer: float
    histogram: tuple[int, ...]
    sufficient_layer: int | None
    agree_with_float_fraction: float | None
    is_bound: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedupReport:
    """Ratios to full depth: in layers, in multiply-accumulates (heads and squashed work included), in mean latency."""

    layer: float
    mac: float
    latency: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyReport:
    """Latency of a sentence in microseconds; `full_depth` without early exits, `by_exit` alone on the design."""

    mean: float
    p50: float
    p95: float
    p99: float
    p99_9: float
    max: float
    full_depth: float
    by_exit: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverTime:
    """The stream in bins of equal length: `edge_us` [n_bins + 1], means within each bin.

    `waiting` and `in_service` are sentences, `array_fraction` the useful work of the array.
    """

    edge_us: tuple[float, ...]
    waiting: tuple[float, ...]
    in_service: tuple[float, ...]
    array_fraction: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SaturationReport:
    """The highest rate of `arrivals` that the design sustains (sim.traffic.saturation), and its 99th percentile
    there."""

    arrivals: str
    n_sentences: int
    capacity_per_s: float
    sustained_per_s: float
    p99_latency_us: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamReport:
    """Who came, who was served, who waited; the rest of the report is about the served ones.

    `offered_per_s` is None in a closed loop, `n_missed` (served, but too late) without a deadline.
    """

    n_sentences: int
    n_served: int
    n_dropped_full: int
    n_dropped_late: int
    n_missed: int | None
    offered_per_s: float | None
    mean_wait_us: float
    mean_waiting: float
    max_waiting: int
    mean_hardware_tokens: float
    n_lengths: int
    over_time: OverTime
    saturation: SaturationReport | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How much of one kind of resource the design takes."""

    used: int
    available: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferReport:
    """An on-chip buffer of one engine: capacity, banks that deliver a word each per cycle, blocks and their waste."""

    capacity_kib: int
    bank_words: tuple[int, ...]
    bank_bits: tuple[int, ...]
    bram18: int
    uram: int
    wasted_fraction: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaShare:
    """How much of one kind of resource a part of the design takes; None where there is nothing to take a share of."""

    used: int
    design_fraction: float | None
    device_fraction: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitPartReport:
    """One part of the exit path: its cycles with their shares of a layer and of a sentence, and its area.

    `layer_fraction` is of `Report.layer_cycles`, `sentence_fraction` all its exits of the mean latency; a head that
    works while the layer's last rows are still computed has a larger share than it adds. `evidence` and `tool` as
    hw_model.exit_unit.build has them.
    """

    latency_cycles: int
    initiation_interval_cycles: int
    layer_fraction: float
    sentence_fraction: float
    area: dict[str, AreaShare]
    evidence: str
    tool: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitUnitReport:
    """The unit that decided, and the head in front of it; `part` and `clock_period_ns` only of a unit that was built.

    `evaluated_layers` are the layers whose exits are computed.
    """

    built: bool
    part: str | None
    clock_period_ns: float | None
    evaluated_layers: tuple[int, ...]
    logit_bits: int
    n_slots: int
    state_bits: int
    head: ExitPartReport
    decision: ExitPartReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """How far one group of figures has been checked."""

    figures: str
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run, complete; the JSON keys are the field names."""

    schema: str
    schema_version: int
    configuration: Configuration
    versions: dict[str, str]
    hashes: dict[str, str]
    data: DataReport
    accuracy: AccuracyReport
    exits: ExitReport
    speedup: SpeedupReport
    latency_us: LatencyReport
    stream: StreamReport
    throughput_per_s: float
    energy_uj: float
    energy_full_depth_uj: float
    energy_parts_uj: EnergyBreakdown
    average_power_mw: float
    sentences_per_joule: float
    utilisation: dict[str, float]
    wasted_fraction: float
    layer_cycles: int
    layer_roofline_cycles: int
    layer_busy_cycles: dict[str, int]
    layer_macs: int
    n_parameters: int
    weights_on_chip: bool
    off_chip_bytes_per_sentence: float
    resources: dict[str, Usage]
    resource_parts: dict[str, dict[str, int]]
    buffers: dict[str, BufferReport]
    exit_unit: ExitUnitReport
    memory: MemoryReport
    stall_cycles: StallReport
    engines: EnginesReport | None
    checks: tuple[Check, ...]


def build_report(outcome: Outcome, reference: Reference | None = None) -> Report:
    """Derive every figure of the report from the outcome of a run."""
    setup, stream, full = outcome.setup, outcome.stream, outcome.full
    n = stream.n_served
    seconds = stream.total_cycles / (setup.design.clock_mhz * 1e6)
    per_sentence_uj = outcome.energy.total_uj / n
    layers = outcome.table.latency_cycles
    placement = outcome.program.placement
    parts: dict[str, dict[str, int]] = {
        name: {str(kind): getattr(used, kind) for kind in KINDS} for name, used in outcome.resources.parts.items()
    }
    busy, wasted = int(stream.busy_cycles.sum()), int(stream.wasted_cycles.sum())
    return Report(
        schema=SCHEMA,
        schema_version=SCHEMA_VERSION,
        configuration=Configuration(
            rule=format_rule(setup.rule),
            bits=setup.quant,
            shape=setup.shape,
            design=setup.design,
            device=setup.device,
            sequence_length=setup.sequence_length,
            seed=setup.seed,
            stream=StreamConfiguration(
                arrivals=format_arrivals(setup.stream.arrivals),
                lengths=format_lengths(setup.stream.lengths),
                admission=setup.stream.admission,
                n_sentences=setup.stream.n_sentences,
                saturates=setup.stream.saturates,
            ),
        ),
        versions=versions(),
        hashes=_hashes(outcome),
        data=_data_report(outcome),
        accuracy=_accuracy_report(outcome, reference),
        exits=_exit_report(outcome),
        speedup=SpeedupReport(
            layer=setup.shape.n_layers / outcome.decision.mean_layer,
            mac=(full.macs + full.wasted_macs) * n / ((stream.macs + stream.wasted_macs) * full.n_served),
            latency=float(full.served_latency_cycles.mean() / stream.served_latency_cycles.mean()),
        ),
        latency_us=_latency_report(stream, full, layers, setup.design.clock_mhz),
        stream=_stream_report(outcome),
        throughput_per_s=n / seconds,
        energy_uj=per_sentence_uj,
        energy_full_depth_uj=outcome.full_energy.total_uj / full.n_served,
        energy_parts_uj=EnergyBreakdown(**{name: value / n for name, value in to_json(outcome.energy).items()}),
        average_power_mw=outcome.energy.average_power_mw(seconds * 1e6),
        sentences_per_joule=1e6 / per_sentence_uj,
        utilisation=dict(zip(UNIT_NAMES, stream.utilisation_fraction.tolist(), strict=True)),
        wasted_fraction=wasted / (busy + wasted),
        layer_cycles=last_layer_cycles(outcome.program),
        layer_roofline_cycles=roofline_cycles(outcome.workload.layer_macs, setup.design),
        layer_busy_cycles=layer_breakdown(outcome),
        layer_macs=outcome.workload.layer_macs,
        n_parameters=parameter_counts(setup.shape).n_total,
        weights_on_chip=not (placement.layer_streamed or placement.exit_streamed or placement.prologue_streamed),
        off_chip_bytes_per_sentence=(stream.off_chip_bytes + stream.wasted_bytes) / n,
        resources={
            kind: Usage(used=getattr(outcome.resources.total, kind), available=getattr(available(setup.device), kind))
            for kind in KINDS
        },
        resource_parts=parts,
        buffers={
            buffer.name.replace(" ", "_"): BufferReport(
                capacity_kib=buffer.capacity_bits // 8192,
                bank_words=tuple(bank.words for bank in buffer.banks),
                bank_bits=tuple(bank.width_bits for bank in buffer.banks),
                bram18=buffer.blocks.bram18,
                uram=buffer.blocks.uram,
                wasted_fraction=buffer.wasted_fraction,
            )
            for buffer in on_chip_buffers(outcome.resources)
        },
        exit_unit=_exit_unit_report(outcome),
        memory=memory_report(outcome),
        stall_cycles=stall_report(outcome),
        engines=engines_report(outcome),
        checks=CHECKS,
    )


def report_json(report: Report) -> str:
    """Return the report as JSON text, keys in the order of the record, byte-identical for equal runs."""
    return json.dumps(to_json(report), indent=2, allow_nan=False) + "\n"


def versions() -> dict[str, str]:
    """Return the versions of everything that computes."""
    names = ("hexit", "torch", "transformers", "brevitas", "numpy", "numba")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in names}


def _hashes(outcome: Outcome) -> dict[str, str]:
    trace = outcome.source.trace
    hashes = {"data": trace.origin.data_hash, "trace": trace.content_hash}
    if isinstance(outcome.source, TextSource):
        hashes |= {
            "checkpoint": outcome.source.card.content_hash,
            "calibration": outcome.source.calibration.content_hash,
        }
    if isinstance(outcome.setup.stream.arrivals, RecordedArrivals):
        hashes["arrivals"] = outcome.setup.stream.arrivals.content_hash
    if outcome.setup.exit_unit is not None:
        hashes["exit_unit"] = hashlib.sha256(json.dumps(to_json(outcome.setup.exit_unit)).encode()).hexdigest()
    return dict(sorted(hashes.items()))


def _data_report(outcome: Outcome) -> DataReport:
    source = outcome.source
    trace = source.trace
    return DataReport(
        name=source.texts.name if isinstance(source, TextSource) else trace.origin.data,  # a cached trace has its own
        n_samples=trace.n_samples,
        n_truncated=trace.origin.n_truncated,
        mean_tokens=float(trace.lengths.mean()),
        max_tokens=int(trace.lengths.max()),
        calibration=source.calibration.source if isinstance(source, TextSource) else None,
    )


def _accuracy_report(outcome: Outcome, reference: Reference | None) -> AccuracyReport:
    source = outcome.source
    metric = "pearson" if source.trace.n_classes == 1 else "accuracy_fraction"
    if isinstance(source, ProfileSource):
        nothing: dict[str, Any] = dict.fromkeys(
            ("float", "quantised", "with_exits", "float_with_exits", "float_by_exit", "quantised_by_exit")
        )
        return AccuracyReport(metric=metric, reference=reference, **nothing)
    by_float, by_integer = (
        exit_scores(trace.logits, trace.labels) if trace.labelled else None
        for trace in (source.float_trace, source.trace)
    )
    float_decision = outcome.float_decision
    return AccuracyReport(
        metric=metric,
        float=by_float[-1] if by_float else None,
        quantised=by_integer[-1] if by_integer else None,
        with_exits=score(outcome.decision, source.trace),
        float_with_exits=score(float_decision, source.trace) if float_decision else None,
        float_by_exit=by_float,
        quantised_by_exit=by_integer,
        reference=reference,
    )


def _exit_report(outcome: Outcome) -> ExitReport:
    leaves = outcome.decision.exit_layer
    same = outcome.float_decision.exit_layer == leaves if outcome.float_decision else None
    return ExitReport(
        mean_layer=outcome.decision.mean_layer,
        histogram=tuple(np.bincount(leaves, minlength=outcome.setup.shape.n_layers + 1)[1:].tolist()),
        sufficient_layer=_sufficient_layer(outcome.source.trace),
        agree_with_float_fraction=float(same.mean()) if same is not None else None,
        is_bound=is_bound(outcome.setup.rule),
    )


def _sufficient_layer(trace: ExitTrace) -> int | None:
    if not trace.labelled:
        return None
    alone = exit_scores(trace.logits, trace.labels)
    return next(layer for layer, found in enumerate(alone, 1) if found >= alone[-1] - SUFFICIENT)


def _exit_unit_report(outcome: Outcome) -> ExitUnitReport:
    build, path = outcome.setup.exit_unit, outcome.exit_path
    return ExitUnitReport(
        built=build is not None,
        part=build.part if build is not None else None,
        clock_period_ns=build.clock_period_ns if build is not None else None,
        evaluated_layers=path.spec.evaluated_layers,
        logit_bits=path.spec.logit_bits,
        n_slots=path.spec.n_slots,
        state_bits=path.spec.state_bits,
        head=_exit_part_report(outcome, path.head),
        decision=_exit_part_report(outcome, path.decision),
    )


def _exit_part_report(outcome: Outcome, part: BuiltPart) -> ExitPartReport:
    design, device, stream = outcome.resources.total, available(outcome.setup.device), outcome.stream
    area = {}
    for kind in KINDS:
        used, of_design, of_device = (getattr(whole, kind) for whole in (part.resources, design, device))
        area[str(kind)] = AreaShare(
            used=used,
            design_fraction=used / of_design if of_design else None,
            device_fraction=used / of_device if of_device else None,
        )
    return ExitPartReport(
        latency_cycles=part.latency_cycles,
        initiation_interval_cycles=part.initiation_interval_cycles,
        layer_fraction=part.latency_cycles / last_layer_cycles(outcome.program),
        sentence_fraction=part.latency_cycles * stream.n_exits / int((stream.finish_cycle - stream.start_cycle).sum()),
        area=area,
        evidence=part.evidence,
        tool=part.tool,
    )


def _latency_report(stream: StreamResult, full: StreamResult, by_exit: Any, clock_mhz: float) -> LatencyReport:
    latencies_us = stream.served_latency_cycles / clock_mhz
    return LatencyReport(
        mean=float(latencies_us.mean()),
        **{name: float(np.percentile(latencies_us, q, method="higher")) for name, q in PERCENTILES.items()},
        max=float(latencies_us.max()),
        full_depth=float(full.served_latency_cycles.mean() / clock_mhz),
        by_exit=tuple(None if cycles == NONE else cycles / clock_mhz for cycles in by_exit.tolist()),
    )


def _stream_report(outcome: Outcome) -> StreamReport:
    setup, stream, saturation = outcome.setup, outcome.stream, outcome.saturation
    clock_mhz, served, levels = setup.design.clock_mhz, stream.served, stream_levels(outcome.stream, N_BINS)
    seconds = int(stream.arrival_cycle[-1]) / (clock_mhz * 1e6)
    closed = isinstance(setup.stream.arrivals, ClosedLoop)
    tokens = np.array([program.workload.sequence_length for program in outcome.programs])[stream.program_index]
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
        n_lengths=len(outcome.programs),
        over_time=OverTime(
            edge_us=tuple((levels.edge_cycle / clock_mhz).tolist()),
            waiting=tuple(levels.waiting.tolist()),
            in_service=tuple(levels.in_service.tolist()),
            array_fraction=tuple(levels.utilisation_fraction[:, Unit.ARRAY].tolist()),
        ),
        saturation=None
        if saturation is None
        else SaturationReport(
            arrivals=saturation.arrivals,
            n_sentences=saturation.n_sentences,
            capacity_per_s=saturation.capacity_per_s,
            sustained_per_s=saturation.sustained_per_s,
            p99_latency_us=saturation.p99_latency_us,
        ),
    )


CHECKS = (
    Check(
        figures="accuracy, exits, layer speed-up",
        how="counted on the recorded integer logits; integer rules equal the published float rules on every two-class "
        "input (property tests against naive implementations)",
    ),
    Check(
        figures="cycles of matrix products",
        how="closed form equals the schedule exactly, SystemVerilog arrays of ours in Verilator cycle by cycle "
        "(benchmarks/array_rtl.py), and SCALE-Sim 3.0.0 with its presets (benchmarks/scale_sim.py); published "
        "accelerators are within 3 % where nothing was fitted (hexit validate)",
    ),
    Check(
        figures="cycles of vector units and exit head",
        how="fixed_point: our own pipeline assumptions, exact against a naive cycle stepper of them, not against RTL; "
        "float_hls: initiation intervals of published HLS reports",
    ),
    Check(
        figures="cycles of the exit decision",
        how="equal to those of its RTL in Verilator, event by event under random back-pressure, for pipelines of 1 to "
        "20 stages (benchmarks/exit_unit_cycles.py); a clock that the part reaches is assumed",
    ),
    Check(
        figures="waiting, drops and deadlines",
        how="exact against a naive event loop; mean waiting of M/D/1 and of bursts within the error of the simulation",
    ),
    Check(
        figures="off-chip traffic",
        how="bytes counted exactly; bandwidth is the least of memory, ports and requests under way, no DRAM page or "
        "refresh effects; within 2 % of two measured copies over a narrow port (TMMA, one constant fitted)",
    ),
    Check(
        figures="resources",
        how="formulas from published designs, within 4 % LUT and 22 % DSP of FQ-BERT on ZCU102 (docs/model.md); not "
        "synthesised",
    ),
    Check(
        figures="energy and power",
        how="per-operation energies from the literature plus static board power, on the ZCU102 fitted to FQ-BERT's "
        "9.8 W; checked on one other board within 3 % (almost all of it static); dynamic energy alone is unchecked",
    ),
)
