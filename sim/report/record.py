"""The report of one run, as a record with a version; `docs/report.md` explains every key.

Nothing in it depends on the time, the folder or whether a cache was warm: the same command gives the same bytes.
Ratios are fractions of 1, `speedup` is always a ratio against the same design without early exits.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.area.clock import ClockLimit
from hexit.hw_model.device import Device
from hexit.hw_model.energy import EnergyBreakdown
from hexit.quant.config import EncoderShape, QuantConfig
from hexit.quant.records import to_json
from hexit.quant.traces.reference import Reference
from hexit.sim.analysis.array_use import ArrayUse
from hexit.sim.analysis.bank_use import BankUse
from hexit.sim.analysis.comparison import Comparison
from hexit.sim.core.queueing import AdmissionPolicy
from hexit.sim.job.selection import Choice
from hexit.sim.published.trust import Trust
from hexit.sim.traffic.buffer_sizes import BufferSizes

SCHEMA = "hexit.report"
SCHEMA_VERSION = 2
PERCENTILES = {"p50": 50, "p95": 95, "p99": 99, "p99_9": 99.9}
Score = float | None
Scores = tuple[float, ...] | None


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

    `sufficient_layer` is the first layer whose exit alone, for all sentences, scores within a point of the last
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
class MemoryReport:
    """Off-chip memory as the design sees it, and one sentence with and without it, in microseconds.

    `limited_by`: memory, port or outstanding requests. `kernel` is the sentence if transfers took no time, `transfers`
    all of its transfers one after the other, `exposed` what the memory adds: kernel <= with_transfers <= kernel +
    transfers. `preload_us`: the resident weights, loaded once before the first sentence; no latency has it.
    """

    bytes_per_cycle: float
    latency_cycles: int
    limited_by: str
    exit_layer: int
    kernel_us: float
    with_transfers_us: float
    exposed_us: float
    transfers_us: float
    preload_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """Shares of the whole time of one engine: at work, blocked because the next FIFO is full, at work that was
    squashed, without a sentence."""

    first_layer: int
    last_layer: int
    busy_fraction: float
    blocked_fraction: float
    squashed_fraction: float
    starved_fraction: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpatialPipelineReport:
    """The engines of a spatial pipeline, and the buffers that this stream needs (None where it drops sentences)."""

    engines: tuple[EngineReport, ...]
    buffers: BufferSizes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StallReport:
    """Cycles of one sentence: by unit, busy, squashed or waiting for each cause; by op, the waits in front of it."""

    units: dict[str, dict[str, int]]
    ops: dict[str, dict[str, int]]


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
    choice: Choice | None
    comparison: Comparison | None
    speedup: SpeedupReport
    latency_us: LatencyReport
    stream: StreamReport
    throughput_per_s: float
    energy_uj: float
    energy_full_depth_uj: float
    energy_parts_uj: EnergyBreakdown
    energy_full_depth_parts_uj: EnergyBreakdown
    energy_saved_static_fraction: float | None
    average_power_mw: float
    sentences_per_joule: float
    utilisation: dict[str, float]
    array_use: ArrayUse | None
    bank_use: BankUse | None
    busiest_unit: str
    wasted_fraction: float
    layer_cycles: int
    layer_roofline_cycles: int | None
    layer_busy_cycles: dict[str, int]
    layer_macs: int
    n_parameters: int
    weights_on_chip: bool
    off_chip_bytes_per_sentence: float
    resources: dict[str, Usage]
    clock: ClockLimit
    resource_parts: dict[str, dict[str, int]]
    buffers: dict[str, BufferReport]
    exit_unit: ExitUnitReport
    memory: MemoryReport
    stall_cycles: StallReport
    engines: SpatialPipelineReport | None
    checks: tuple[Check, ...]
    published_figures: Trust


def report_json(report: Report) -> str:
    """Return the report as JSON text, keys in the order of the record, byte-identical for equal runs."""
    return json.dumps(to_json(report), indent=2, allow_nan=False) + "\n"
