"""Systolic arrays of any shape and data flow, and the closed forms of their cycles, operands already on chip.

A product m x k x n is cut into folds that fill the array once; T values stream through each:

    data flow            one fold holds             streams T    n_folds
    output stationary    rows x columns results     ceil(k / products_per_position)
                                                                 ceil(m / rows) ceil(n / columns)
    weight stationary    rows x columns weights     m            ceil(k / rows) ceil(n / columns)
    input stationary     rows x columns inputs      n            ceil(k / rows) ceil(m / columns)

The cycles of a fold beyond T are data (`FoldTiming`), every count as a form  a rows + b columns + c  of the array:

    one fold alone       load + fill + T + control + drain
    overlap_folds        a fold follows T + control cycles after the one before, whose fill and drain it hides, but not
                         before the drain of that one is over; the last fold's fill and drain are paid
    weight_load_overlap  the stationary operand of the next fold is loaded while this one streams, and the next waits
                         for it; the first fold's load is paid
    once per product     depth, and with `stages_operands` the words in before and out after it

Equal in every cycle to RTL of ours, output and weight stationary, with each overlap and without (tests/support/rtl).

`PRESETS` are the counts of known tools and machines. Not modelled: bank conflicts, operands that come too late (the
schedule's business).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from hexit.hw_model.rounding import ceil_div
from hexit.quant.errors import ConfigError

Dataflow = Literal["output_stationary", "weight_stationary", "input_stationary"]
DATAFLOWS: tuple[Dataflow, ...] = get_args(Dataflow)
SHORT_DATAFLOWS: dict[str, Dataflow] = {"os": "output_stationary", "ws": "weight_stationary", "is": "input_stationary"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleForm:
    """Cycles that grow with the array: rows x array rows + columns x array columns + constant, not below 0."""

    rows: int = 0
    columns: int = 0
    constant: int = 0

    def cycles(self, rows: int, columns: int) -> int:
        """Return the cycles for an array of this size."""
        return max(0, self.rows * rows + self.columns * columns + self.constant)


SKEW = CycleForm(rows=1, columns=1, constant=-2)  # the wavefront's way from the first to the last corner
NONE = CycleForm()


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldTiming:
    """The cycles of a fold beyond the values that stream through it; the module's text says how they add up.

    `load`: stationary operand into the array. `fill`: wavefront in. `drain`: results out behind the last one, through a
    port that serves one fold at a time. `control`: cycles between two folds. `depth_cycles`: once per product,
    registers and start of the control.
    `stages_operands`: operands are written into the array's buffers before they are used and results read out
    afterwards, nothing overlapped (`staging_cycles`). `counts_from_zero`: the count is the index of the
    last cycle, hence one less than the cycles that pass.
    """

    load: CycleForm = NONE
    fill: CycleForm = SKEW
    drain: CycleForm = NONE
    control: CycleForm = NONE
    overlap_folds: bool = True
    weight_load_overlap: bool = False
    depth_cycles: int = 0
    stages_operands: bool = False
    counts_from_zero: bool = False

    def __post_init__(self) -> None:
        """Reject negative depths."""
        if self.depth_cycles < 0:
            raise ConfigError("fold.depth_cycles", self.depth_cycles, "must not be negative", "Try depth_cycles = 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class SystolicArray:
    """`n_arrays` equal arrays that share the folds of a product; each position makes `products_per_position` a cycle.

    `products_per_position` > 1 are dot-product positions: an adder tree behind that many multipliers.
    `columns_per_dsp` > 1: packed products widen a fold to columns x columns_per_dsp results or weights, while fill
    and drain follow the `columns` of DSPs.
    """

    rows: int
    columns: int
    n_arrays: int = 1
    dataflow: Dataflow = "output_stationary"
    products_per_position: int = 1
    columns_per_dsp: int = 1
    fold: FoldTiming = FoldTiming()

    def __post_init__(self) -> None:
        """Reject arrays without positions, and dot products where an operand stands still."""
        for key in ("rows", "columns", "n_arrays", "products_per_position", "columns_per_dsp"):
            if getattr(self, key) < 1:
                raise ConfigError(f"array.{key}", getattr(self, key), "must be at least 1", f"Try {key} = 1")
        if self.products_per_position > 1 and self.dataflow != "output_stationary":
            raise ConfigError(
                "array.products_per_position",
                self.products_per_position,
                f"must be 1 with {self.dataflow}",
                "Use output_stationary, or more rows",
            )

    @property
    def n_macs(self) -> int:
        """Products that all arrays start per cycle."""
        return self.rows * self.columns * self.columns_per_dsp * self.products_per_position * self.n_arrays

    @property
    def fold_columns(self) -> int:
        """Results, weights or inputs that lie side by side in one fold."""
        return self.columns * self.columns_per_dsp


@dataclass(frozen=True, slots=True, kw_only=True)
class Folds:
    """How a product is cut: folds in all, folds of the busiest array, values that stream through each."""

    n_folds: int
    n_serial_folds: int
    streamed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductCycles:
    """Cycles of one product, split so that the parts add up to `total`.

    `streaming` is T of all serial folds; `load`, `fill` and `drain` that part which is not hidden; `waiting` what folds
    wait for the port of the next load or of the last drain; `staging` the words in and out; `index_offset` is -1 where
    cycles are counted from zero.
    """

    folds: Folds
    streaming: int
    load: int
    fill: int
    drain: int
    control: int
    waiting: int
    depth: int
    staging: int
    index_offset: int

    @property
    def total(self) -> int:
        """All parts together."""
        array = self.streaming + self.load + self.fill + self.drain + self.control + self.waiting
        return array + self.depth + self.staging + self.index_offset


def product_folds(m: int, k: int, n: int, array: SystolicArray, count: int = 1) -> Folds:
    """Return the folds of `count` products m x k x n, dealt evenly to the arrays."""
    for key, size in (("m", m), ("k", k), ("n", n), ("count", count)):
        if size < 1:
            raise ConfigError(f"product.{key}", size, "must be at least 1", "Correct the size")
    rows, columns = array.rows, array.fold_columns
    match array.dataflow:
        case "output_stationary":
            first, second, streamed = ceil_div(m, rows), ceil_div(n, columns), ceil_div(k, array.products_per_position)
        case "weight_stationary":
            first, second, streamed = ceil_div(k, rows), ceil_div(n, columns), m
        case "input_stationary":
            first, second, streamed = ceil_div(k, rows), ceil_div(m, columns), n
    n_folds = count * first * second
    return Folds(n_folds=n_folds, n_serial_folds=ceil_div(n_folds, array.n_arrays), streamed=streamed)


def staging_cycles(m: int, k: int, n: int, array: SystolicArray) -> int:
    """Return the cycles that bring both operands into a weight-stationary array's buffers and the results out.

        ceil(max(m k, k n) / columns) + ceil(k / rows) (max(m, n) + 1) + ceil(m n / columns)

    Two streams of `columns` values a cycle fill the input buffers side by side; before each slice of `rows` values of
    k both operands' slices go into the array's own buffers, a row a cycle; results leave as one stream. State machines
    of Buck008/Transformer-Accelerator-Based-on-FPGA (MM_in_buffer.v, MM_buffer.v, MM_out_buffer.v).
    """
    words_in = ceil_div(max(m * k, k * n), array.columns)
    return words_in + ceil_div(k, array.rows) * (max(m, n) + 1) + ceil_div(m * n, array.columns)


def _fold_parts(array: SystolicArray) -> tuple[int, int, int, int]:
    """Load, fill, drain and control of one fold alone."""
    fold, rows, columns = array.fold, array.rows, array.columns
    return (
        fold.load.cycles(rows, columns),
        fold.fill.cycles(rows, columns),
        fold.drain.cycles(rows, columns),
        fold.control.cycles(rows, columns),
    )


def fold_interval(streamed: int, array: SystolicArray) -> tuple[int, int]:
    """Return the cycles between the starts of two folds, and what n folds take beyond n times that.

        interval = max(own cycles of a fold that are not hidden, drain if overlap_folds, load if weight_load_overlap)

    n_folds x interval + the rest is the total of `product_cycles` without staging and index offset.
    """
    return _interval(streamed, array.fold, _fold_parts(array))


def _interval(streamed: int, fold: FoldTiming, parts: tuple[int, int, int, int]) -> tuple[int, int]:
    """`fold_interval` with the parts of a fold alone at hand."""
    load, fill, drain, control = parts
    own, once, interval = streamed + control, fold.depth_cycles, 0
    if fold.overlap_folds:
        once, interval = once + fill + drain, drain
    else:
        own += fill + drain
    if fold.weight_load_overlap:
        once, interval = once + load, max(interval, load)
    else:
        own += load
    interval = max(interval, own)
    return interval, once - (interval - own)  # nothing comes behind the last fold that would make it wait


def product_cycles(m: int, k: int, n: int, array: SystolicArray, count: int = 1) -> ProductCycles:
    """Return the cycles of `count` products m x k x n, one after the other through the same pipeline of folds.

    >>> square = SystolicArray(rows=4, columns=4, fold=fold_preset("scalesim_os", "output_stationary"))
    >>> product_cycles(4, 8, 4, square).total
    13
    """
    folds, fold = product_folds(m, k, n, array, count), array.fold
    load, fill, drain, control = parts = _fold_parts(array)
    interval, once = _interval(folds.streamed, fold, parts)
    n_folds = folds.n_serial_folds
    n_waves = 1 if fold.overlap_folds else n_folds
    n_loads = 1 if fold.weight_load_overlap else n_folds
    own = n_folds * (folds.streamed + control) + n_loads * load + n_waves * (fill + drain) + fold.depth_cycles
    return ProductCycles(
        folds=folds,
        streaming=n_folds * folds.streamed,
        load=n_loads * load,
        fill=n_waves * fill,
        drain=n_waves * drain,
        control=n_folds * control,
        waiting=n_folds * interval + once - own,
        depth=fold.depth_cycles,
        staging=count * staging_cycles(m, k, n, array) if fold.stages_operands else 0,
        index_offset=-1 if fold.counts_from_zero else 0,
    )


ArrayPreset = Literal["scalesim_os", "scalesim_ws", "scalesim_is", "ispass", "hls_dataflow", "rtl_simple"]
ONE_ROW = CycleForm(rows=1)
SCALE_SIM = FoldTiming(overlap_folds=False, counts_from_zero=True)
SCALE_SIM_LOADED = FoldTiming(load=ONE_ROW, overlap_folds=False, counts_from_zero=True)
ISPASS_LOADED = FoldTiming(load=ONE_ROW, overlap_folds=False)
PRESETS: dict[ArrayPreset, dict[Dataflow, FoldTiming]] = {
    # SCALE-Sim 3.0.0, scalesim/compute/systolic_compute_{os,ws,is}.py: the last cycle's index, no drain in OS
    "scalesim_os": {"output_stationary": SCALE_SIM},
    "scalesim_ws": {"weight_stationary": SCALE_SIM_LOADED},
    "scalesim_is": {"input_stationary": SCALE_SIM_LOADED},
    # Samajdar et al., ISPASS 2020: 2 rows + columns + T - 2 per fold in every data flow
    "ispass": {
        "output_stationary": FoldTiming(drain=ONE_ROW, overlap_folds=False),
        "weight_stationary": ISPASS_LOADED,
        "input_stationary": ISPASS_LOADED,
    },
    # Vitis HLS 2022.1 dataflow array, Crazy-James26/HeteroCL_Transformer: folds (k + 6) + rows + columns + 4, 7 reports
    "hls_dataflow": {"output_stationary": FoldTiming(control=CycleForm(constant=6), depth_cycles=6)},
    # Plain RTL without overlap. OS: SCALE-Sim's own systolic_array_8bit_MAC_PE, simulated: 2 rows + columns + k - 2 per
    # fold and one input register. WS: Buck008/Transformer-Accelerator-Based-on-FPGA, simulated and read from its state
    # machines: staging + folds (m + 3 rows + 4) + 6
    "rtl_simple": {
        "output_stationary": FoldTiming(drain=ONE_ROW, overlap_folds=False, depth_cycles=1),
        "weight_stationary": FoldTiming(
            load=ONE_ROW,
            control=CycleForm(constant=6),
            overlap_folds=False,
            depth_cycles=6,
            stages_operands=True,
        ),
    },
}


_WEIGHTS_FIRST = FoldTiming(load=ONE_ROW, drain=CycleForm(constant=1))
RTL_FOLDS: dict[Dataflow, FoldTiming] = {  # our own SystemVerilog arrays (tests/support/rtl) with overlapped folds
    "output_stationary": FoldTiming(drain=ONE_ROW),
    "weight_stationary": _WEIGHTS_FIRST,
    "input_stationary": _WEIGHTS_FIRST,
}


def fold_preset(name: str, dataflow: Dataflow, where: str = "--preset") -> FoldTiming:
    """Return the timing of a preset for a data flow; ConfigError, which names `where`, if there is none."""
    if name not in PRESETS:
        raise ConfigError(where, name, f"must be one of {', '.join(PRESETS)}", "Try hls_dataflow")
    timings = PRESETS[name]
    if dataflow not in timings:
        legal = " or ".join(timings)
        raise ConfigError(where, name, f"is a count for {legal}, not {dataflow}", f"Try dataflow {legal}")
    return timings[dataflow]
