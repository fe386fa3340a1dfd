"""`hexit gemm`: the options, and the cycles of one product, part by part, with what they have been checked against.

Options become a design of one array and one product, whose program is run as `hexit run` runs one; the parts and the
formulas are the closed forms of hw_model.array, which must add up to it. Not answered: memory, requantisation and other
work beside the array, which `hexit run` adds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import (
    PRESETS,
    RTL_FOLDS,
    SHORT_DATAFLOWS,
    CycleForm,
    Dataflow,
    FoldTiming,
    ProductCycles,
    SystolicArray,
    fold_preset,
    product_cycles,
)
from hexit.hw_model.evidence import Product
from hexit.hw_model.rounding import ceil_div
from hexit.hw_model.stages import Region, Stage
from hexit.quant.errors import ConfigError
from hexit.quant.options import Checked, option
from hexit.sim.core.stage_cycles import design_cycles

SCHEMA = "hexit.gemm"
SCHEMA_VERSION = 1

_SCALE_SIM = "SCALE-Sim 3.0.0 itself, on ALBERT-base and random products: all exact (benchmarks/scale_sim.py)"
_ISPASS = "formula of Samajdar et al., ISPASS 2020"
_SOURCES: dict[tuple[str, Dataflow], str] = {
    ("scalesim_os", "output_stationary"): _SCALE_SIM,
    ("scalesim_ws", "weight_stationary"): _SCALE_SIM,
    ("scalesim_is", "input_stationary"): _SCALE_SIM,
    ("ispass", "output_stationary"): _ISPASS,
    ("ispass", "weight_stationary"): _ISPASS,
    ("ispass", "input_stationary"): _ISPASS,
    ("hls_dataflow", "output_stationary"): "seven loops of HeteroCL_Transformer in Vitis HLS reports: exact, QK^T with "
    "--control 0,0,7",
    ("rtl_simple", "output_stationary"): "SCALE-Sim's own array in RTL, simulated: two products exact",
    ("rtl_simple", "weight_stationary"): "open RTL with buffers (Buck008), simulated: seven products exact",
}
_OURS = "SystemVerilog of ours in Verilator: more than a thousand random products, exact (benchmarks/array_rtl.py)"
_STEPPER = "a naive stepper of every fold, exact on random products; no tool or machine"


_PRODUCT = "product"
ARRAY = "Array"
FOLDS = "What a fold costs"


@dataclass(frozen=True, slots=True, kw_only=True)
class GemmOptions(Checked):
    """The options of `hexit gemm`; empty texts and None leave it to the preset, or to the default fold."""

    m: int = option(example="128", help="Rows of the left operand and of the result.")
    k: int = option(example="768", help="Columns of the left, rows of the right operand.")
    n: int = option(example="768", help="Columns of the right operand and of the result.")
    count: int = option(1, help="Equal products, one after the other, say heads.")
    array: str = option("32x32", panel=ARRAY, help="ROWSxCOLUMNS of one array.")
    dataflow: str = option(
        "",
        panel=ARRAY,
        help="What stands still: os (results), ws (weights) or is (inputs). Default: the preset's, else os.",
    )
    arrays: int = option(1, panel=ARRAY, help="Equal arrays that share the folds.")
    products_per_position: int = option(1, panel=ARRAY, help="Multipliers of a dot-product position; os only.")
    columns_per_dsp: int = option(
        1, panel=ARRAY, help="Columns of results or weights that share a column of packed DSPs."
    )
    clock_mhz: float = option(200.0, panel=ARRAY, help="Clock, for the time.")
    preset: str = option(
        "",
        panel=FOLDS,
        help="Counts of a known tool or machine; see --list presets. Default: our own RTL, folds overlapped.",
    )
    load: str = option(
        "",
        panel=FOLDS,
        metavar="A,B,C",
        help="Cycles that bring the stationary operand in: A rows + B columns + C, of the array.",
    )
    fill: str = option("", panel=FOLDS, metavar="A,B,C", help="Cycles of the wavefront, e.g. 1,1,-2.")
    drain: str = option("", panel=FOLDS, metavar="A,B,C", help="Cycles in which the last results leave.")
    control: str = option("", panel=FOLDS, metavar="A,B,C", help="Idle cycles between two folds.")
    overlap_folds: bool | None = option(
        None,
        panel=FOLDS,
        off_flag="--separate-folds",
        help="Whether a fold hides the last one's fill and drain.",
    )
    weight_load_overlap: bool | None = option(
        None,
        panel=FOLDS,
        off_flag="--separate-loads",
        help="Whether the next operand comes while one streams.",
    )
    depth: int | None = option(None, panel=FOLDS, help="Cycles once per product: registers, start.")

    def __post_init__(self) -> None:
        """Check each option, and what no record of the model checks."""
        Checked.__post_init__(self)
        if not (math.isfinite(self.clock_mhz) and 1 <= self.clock_mhz <= 2000):
            raise ConfigError("--clock-mhz", self.clock_mhz, "must be 1..2000", "Try --clock-mhz 200")
        if self.dataflow and self.dataflow not in (*SHORT_DATAFLOWS, *SHORT_DATAFLOWS.values()):
            raise ConfigError("--dataflow", self.dataflow, "must be os, ws or is", "Try --dataflow os")


@dataclass(frozen=True, slots=True, kw_only=True)
class CyclesByPart:
    """The cycles of a product by what they are spent on; hidden ones are not counted. They add up to the total."""

    streaming_cycles: int
    load_cycles: int
    fill_cycles: int
    drain_cycles: int
    control_cycles: int
    waiting_cycles: int
    depth_cycles: int
    staging_cycles: int
    index_offset_cycles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GemmAnswer:
    """Cycles, time and utilisation of a product; the JSON keys are the field names.

    `total_cycles` are those that the preset's source counts, `elapsed_cycles` those that pass: one more where it counts
    from 0. `ideal_cycles` is the roofline: every multiplier busy in every cycle. Time and utilisation are of
    `elapsed_cycles`.
    """

    schema: str
    schema_version: int
    m: int
    k: int
    n: int
    count: int
    array: SystolicArray
    preset: str | None
    timing: str
    n_folds: int
    n_serial_folds: int
    streamed_cycles_per_fold: int
    parts: CyclesByPart
    total_cycles: int
    elapsed_cycles: int
    ideal_cycles: int
    utilisation_fraction: float
    clock_mhz: float
    time_us: float
    folds_formula: str
    cycles_formula: str
    checked_against: str


def answer(options: GemmOptions) -> GemmAnswer:
    """Return the cycles of the product; ConfigError for an array, a preset or a size that does not exist."""
    array = _array(options)
    cycles = design_cycles(gemm_design(options, array))
    product = product_cycles(options.m, options.k, options.n, array, options.count)
    macs = options.count * options.m * options.k * options.n
    elapsed = cycles.network_cycles - product.index_offset
    return GemmAnswer(
        schema=SCHEMA,
        schema_version=SCHEMA_VERSION,
        m=options.m,
        k=options.k,
        n=options.n,
        count=options.count,
        array=array,
        preset=options.preset or None,
        timing=_timing(options, array),
        n_folds=product.folds.n_folds,
        n_serial_folds=product.folds.n_serial_folds,
        streamed_cycles_per_fold=product.folds.streamed,
        parts=CyclesByPart(**{f.name: getattr(product, f.name.removesuffix("_cycles")) for f in fields(CyclesByPart)}),
        total_cycles=cycles.network_cycles,
        elapsed_cycles=elapsed,
        ideal_cycles=ceil_div(macs, array.n_macs),
        utilisation_fraction=macs / (array.n_macs * elapsed),
        clock_mhz=options.clock_mhz,
        time_us=elapsed / options.clock_mhz,
        folds_formula=_folds_formula(options, array, product),
        cycles_formula=_cycles_formula(array.fold, product),
        checked_against=_checked(options, array),
    )


def gemm_design(options: GemmOptions, array: SystolicArray) -> Accelerator:
    """Return a design of one array and one stage that makes the product."""
    stage = Stage(name=_PRODUCT, ops=(_PRODUCT,), array=_PRODUCT)
    return Accelerator(
        name="gemm",
        clock_mhz=options.clock_mhz,
        arrays={_PRODUCT: array},
        products=(Product(name=_PRODUCT, m=options.m, k=options.k, n=options.n, count=options.count),),
        regions=(Region(name=_PRODUCT, stages=(stage,)),),
    )


def source(preset: str, dataflow: Dataflow) -> str:
    """Return what a preset has been checked against for a data flow."""
    return _SOURCES[preset, dataflow]


def form_text(form: CycleForm) -> str:
    """Return a form for people, say ``R + C - 2`` for an array of R rows and C columns."""
    terms = [(form.rows, "R"), (form.columns, "C"), (form.constant, "")]
    texts = [
        f"{abs(factor)} {name}".removeprefix("1 ") if name else str(abs(factor)) for factor, name in terms if factor
    ]
    signs = ["-" if factor < 0 else "+" for factor, _ in terms if factor]
    joined = " ".join(word for pair in zip(signs, texts, strict=True) for word in pair)
    return joined.removeprefix("+ ") or "0"


def _array(options: GemmOptions) -> SystolicArray:
    rows, columns = _size(options.array)
    dataflow = _dataflow(options)
    fold = fold_preset(options.preset, dataflow) if options.preset else RTL_FOLDS[dataflow]
    fold = replace(
        fold,
        load=_form("load", options.load, fold.load),
        fill=_form("fill", options.fill, fold.fill),
        drain=_form("drain", options.drain, fold.drain),
        control=_form("control", options.control, fold.control),
        overlap_folds=_chosen(options.overlap_folds, fold.overlap_folds),
        weight_load_overlap=_chosen(options.weight_load_overlap, fold.weight_load_overlap),
        depth_cycles=fold.depth_cycles if options.depth is None else options.depth,
    )
    if fold.weight_load_overlap and not fold.load.cycles(rows, columns):
        requirement = f"has nothing to hide: {dataflow} loads nothing"
        raise ConfigError("--weight-load-overlap", "on", requirement, "Try --dataflow ws, or --load 1,0,0")
    return SystolicArray(
        rows=rows,
        columns=columns,
        n_arrays=options.arrays,
        dataflow=dataflow,
        products_per_position=options.products_per_position,
        columns_per_dsp=options.columns_per_dsp,
        fold=fold,
    )


def _size(text: str) -> tuple[int, int]:
    rows, cross, columns = text.lower().partition("x")
    if not (cross and rows.isascii() and rows.isdigit() and columns.isascii() and columns.isdigit()):
        raise ConfigError("--array", text, "must be ROWSxCOLUMNS", "Try --array 32x16")
    return int(rows), int(columns)


def _dataflow(options: GemmOptions) -> Dataflow:
    """The data flow of the options, else the preset's first one."""
    for short, name in SHORT_DATAFLOWS.items():
        if options.dataflow in (short, name):
            return name
    for preset, timings in PRESETS.items():
        if options.preset == preset:
            return next(iter(timings))
    return "output_stationary"


def _chosen(option: bool | None, usual: bool) -> bool:
    return usual if option is None else option


def _form(name: str, text: str, usual: CycleForm) -> CycleForm:
    if not text:
        return usual
    try:
        rows, columns, constant = (int(part) for part in text.split(","))
    except ValueError:
        requirement = "must be three whole numbers A,B,C: A rows + B columns + C cycles"
        raise ConfigError(f"--{name}", text, requirement, f"Try --{name} 1,1,-2") from None
    return CycleForm(rows=rows, columns=columns, constant=constant)


def _folds_formula(options: GemmOptions, array: SystolicArray, product: ProductCycles) -> str:
    down, across, streamed = {
        "output_stationary": ("m", "n", "k"),
        "weight_stationary": ("k", "n", "m"),
        "input_stationary": ("k", "m", "n"),
    }[array.dataflow]
    sizes = {"m": options.m, "k": options.k, "n": options.n}
    count = f"{options.count} x " if options.count > 1 else ""
    dealt = f", {product.folds.n_serial_folds:,} on the busiest of {array.n_arrays}" if array.n_arrays > 1 else ""
    dots = f" / {array.products_per_position}" if array.products_per_position > 1 else ""
    return (
        f"folds = {count}ceil({down} / rows) x ceil({across} / columns) = "
        f"{count}ceil({sizes[down]:,} / {array.rows}) x ceil({sizes[across]:,} / {array.fold_columns}) = "
        f"{product.folds.n_folds:,}{dealt}; T = {streamed}{dots} = {product.folds.streamed:,}"
    )


def _cycles_formula(fold: FoldTiming, product: ProductCycles) -> str:
    n_folds = product.folds.n_serial_folds
    each, once = [f"{product.folds.streamed:,} T"], list[str]()
    for name, is_once in (
        ("load", fold.weight_load_overlap),
        ("fill", fold.overlap_folds),
        ("drain", fold.overlap_folds),
        ("control", False),
    ):
        cycles = getattr(product, name)
        if cycles:
            (once if is_once else each).append(f"{cycles if is_once else cycles // n_folds:,} {name}")
    once += [f"{getattr(product, name):,} {name}" for name in ("waiting", "depth", "staging") if getattr(product, name)]
    folds = f"{n_folds:,} {'fold' if n_folds == 1 else 'folds'} x ({' + '.join(each)})"
    counted = " - 1 counted from 0" if fold.counts_from_zero else ""
    return f"cycles = {' + '.join([folds, *once])}{counted} = {product.total:,}"


def _timing(options: GemmOptions, array: SystolicArray) -> str:
    """Name the timing of the folds."""
    if not options.preset:
        return "folds as in our own RTL" if _is_our_rtl(array) else "folds as told"
    unchanged = array.fold == fold_preset(options.preset, array.dataflow)
    return f"preset {options.preset}" + ("" if unchanged else ", changed")


def _checked(options: GemmOptions, array: SystolicArray) -> str:
    shares = array.n_arrays > 1 or options.count > 1
    if options.preset and array.fold == fold_preset(options.preset, array.dataflow):
        checked = source(options.preset, array.dataflow)
        return f"{checked}; several arrays or products: {_STEPPER}" if shares else checked
    packed = array.products_per_position > 1 or array.columns_per_dsp > 1
    return _OURS if _is_our_rtl(array) and not shares and not packed else _STEPPER


def _is_our_rtl(array: SystolicArray) -> bool:
    """Whether tests/rtl has arrays with this timing; sizes, overlaps and idle cycles are parameters there."""
    fold, usual = array.fold, RTL_FOLDS[array.dataflow]
    return fold == replace(
        usual,
        control=CycleForm(constant=max(0, fold.control.constant)),
        overlap_folds=fold.overlap_folds,
        weight_load_overlap=fold.weight_load_overlap,
    )
