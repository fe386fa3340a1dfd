"""A design: an accelerator on a part, as sizes, widths, stages and policies.

Either one engine that takes the ops of a layer tile by tile,

    off-chip memory -> DMA -> weight buffer -> array (rows x columns MACs, output stationary)
    array <-> activation buffer <-> softmax, layer norm, GELU and add lanes
    activation buffer -> exit head -> exit decision

or `regions` of stages with arrays and loop nests of their own, through which packs of tokens pass; the exit head and
the decision stand behind the last one.

`Accelerator` is data: designs lie in ``hw_model/designs/*.toml``, published accelerators in ``designs/published``, a
user's file has the same keys and may be `based_on` any of them. Figures in `expected` make a validation of it.
Not modelled here: cycles of an op (array, gemm, vector, memory, machine), area (area), when things happen (sim).
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from hexit.hw_model.array import (
    RTL_FOLDS,
    ArrayPreset,
    CycleForm,
    Dataflow,
    FoldTiming,
    SystolicArray,
    fold_preset,
)
from hexit.hw_model.evidence import EvidenceKind, Expected, Network, Product
from hexit.hw_model.loops import SIZES, Loop, check_nest
from hexit.hw_model.stages import Region, Stage, all_stages
from hexit.quant.errors import ConfigError

PlacementPolicy = Literal["auto", "on_chip", "streamed"]
Mapping = Literal["temporal", "spatial"]
ExitOverlap = Literal["stall", "speculate", "interleave"]
ResultOrder = Literal["as_finished", "in_order"]
VectorPreset = Literal["fixed_point", "float_hls"]

COUNTS = (  # keys of a design that are at least 1
    *("array_rows", "array_columns", "softmax_lanes", "layer_norm_lanes", "gelu_lanes", "add_lanes"),
    *("weight_buffer_kib", "activation_buffer_kib", "head_lanes", "n_weight_buffers", "n_interleaved", "n_arrays"),
    *("products_per_position", "n_engines", "fifo_sentences", "requantisation_lanes"),
    *("memory_channels", "memory_port_bits", "memory_burst_beats", "memory_outstanding"),
)
ENGINE_SIZES = COUNTS[:8]  # what stages may do without: sizes of the engine, its lanes and its buffers
ENGINE_ALONE: dict[str, Any] = {  # keys of an engine's array with what they are where stages have arrays of their own
    **{"array_rows": 0, "array_columns": 0, "n_arrays": 1, "products_per_position": 1, "dataflow": "output_stationary"},
    **{"overlap_folds": True, "fold_overhead_cycles": 0, "array_preset": None, "fold": None},
}
UNIT_NAMES = ("dma", "head", "decision", "call", "input")  # that stages share a program with (sim.core.stage_program)
AT_LEAST_0 = (
    *("fold_overhead_cycles", "softmax_depth_cycles", "layer_norm_depth_cycles", "gelu_depth_cycles"),
    *("add_depth_cycles", "head_depth_cycles", "requantisation_depth_cycles", "layer_extra_cycles"),
    *("control_lut", "control_ff"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One design: systolic arrays, vector lanes, exit head, buffers, memory port and policies.

    Arrays (hw_model.array): `n_arrays` of `array_rows` x `array_columns` positions with `products_per_position`
    MACs each; `macs_per_dsp` says how many MACs share one DSP where the widths allow it (hw_model.packing). The cycles
    of a fold are those of our own RTL (RTL_FOLDS), with `overlap_folds` or one by one, `fold_overhead_cycles` between
    them, or a named `array_preset`, or a table `fold` of its own.

    Vector units (hw_model.vector): `*_lanes` elements per cycle, `head_lanes` MACs per cycle of the exit head's own
    engine; `vector_preset`: initiation intervals of fixed-point units, or of floating-point accumulations in HLS.
    `*_depth_cycles`: pipeline stages from the last element in to the last element out. `requantisation_lanes`:
    results that leave the array per cycle, all that it makes where absent. `control_lut`, `control_ff`: logic of an
    engine that belongs to none of its units.

    Memory (hw_model.memory): `weight_placement` ``auto`` keeps weights on chip if they fit `weight_buffer_kib`, else
    streams them through `n_weight_buffers` panel buffers. `memory_efficiency_fraction`: share of the part's peak
    bandwidth that is reached; `memory_latency_ns`: first-word latency, the part's own where absent. `memory_channels`
    of the part's, all where absent, each behind a port of `memory_port_bits` that requests bursts of
    `memory_burst_beats` with `memory_outstanding` requests under way; what is absent does not limit,
    but for the ports that the part has.

    Pipeline (sim): ``temporal`` iterates one engine over all layers; ``spatial`` is a pipeline of `n_engines` of them,
    each for its share of the layers (`engine_layers`, equal where absent), with a FIFO of `fifo_sentences` between
    two; results leave ``as_finished`` or ``in_order``. `exit_overlap`: the next layer waits for the exit
    decision (``stall``), starts and is squashed on an exit (``speculate``), or gives way to `n_interleaved` - 1
    other resident sentences (``interleave``). With `share_weights` all of them pass through each streamed weight panel
    behind each other, whatever layers they are at.

    Stages (hw_model.stages): `regions` take the engine's place, with `arrays`, whose folds `array_presets` may name,
    and `loops` of sizes and `constants`; `same_hardware` says which array is another one's multipliers, `array_bits`
    the widest left and right operand that an array's positions multiply in the cycles told. A layer is a call of all
    regions, with `layer_extra_cycles` around them.

    Evidence (hw_model.evidence): what it was published with (`network` or `products`, `title`, `source`, `evidence`,
    `configured`), the figures that are `expected` of it and of which `kind` they are; `paper`: which designs a fit to
    one of them speaks for, itself alone where empty.
    """

    name: str
    device: str = ""
    clock_mhz: float
    array_rows: int = 0
    array_columns: int = 0
    n_arrays: int = 1
    products_per_position: int = 1
    dataflow: Dataflow = "output_stationary"
    overlap_folds: bool = True
    fold_overhead_cycles: int = 0
    array_preset: ArrayPreset | None = None
    fold: FoldTiming | None = None
    macs_per_dsp: int = 1
    softmax_lanes: int = 0
    layer_norm_lanes: int = 0
    gelu_lanes: int = 0
    add_lanes: int = 0
    head_lanes: int = 16
    softmax_depth_cycles: int = 24  # cycles; table, adder tree, reciprocal, multiply; our estimate
    layer_norm_depth_cycles: int = 32  # cycles; adder tree, square, inverse root, multiply, add; our estimate
    gelu_depth_cycles: int = 6  # cycles; table look-up and interpolation; our estimate
    add_depth_cycles: int = 3  # cycles; two rescales and one sum; our estimate
    head_depth_cycles: int = 12  # cycles; multiply, adder tree, rescale, tanh table; our estimate
    vector_preset: VectorPreset = "fixed_point"
    requantisation_lanes: int | None = None
    requantisation_depth_cycles: int = 0
    control_lut: int = 2000  # LUT; state machines and address counters of all units of an engine; assumed
    control_ff: int = 2000  # FF; likewise
    weight_buffer_kib: int = 0
    activation_buffer_kib: int = 0
    weight_placement: PlacementPolicy = "auto"
    n_weight_buffers: int = 2
    memory_efficiency_fraction: float = 0.8
    memory_latency_ns: float | None = None
    memory_channels: int | None = None
    memory_port_bits: int | None = None
    memory_burst_beats: int | None = None
    memory_outstanding: int | None = None
    mapping: Mapping = "temporal"
    n_engines: int = 1
    engine_layers: tuple[int, ...] | None = None
    fifo_sentences: int = 1
    result_order: ResultOrder = "as_finished"
    exit_overlap: ExitOverlap = "stall"
    n_interleaved: int = 1
    share_weights: bool = False
    regions: tuple[Region, ...] = ()
    layer_extra_cycles: int = 0
    arrays: dict[str, SystolicArray] = field(default_factory=dict, hash=False)
    array_presets: dict[str, ArrayPreset] = field(default_factory=dict, hash=False)
    same_hardware: dict[str, str] = field(default_factory=dict, hash=False)
    array_bits: dict[str, tuple[int, int]] = field(default_factory=dict, hash=False)
    loops: dict[str, Loop] = field(default_factory=dict, hash=False)
    constants: dict[str, int] = field(default_factory=dict, hash=False)
    network: Network | None = None
    products: tuple[Product, ...] = ()
    title: str = ""
    source: str = ""
    evidence: str = ""
    configured: str = ""
    kind: EvidenceKind = "reported"
    paper: str = ""
    expected: tuple[Expected, ...] = ()

    def __post_init__(self) -> None:
        """Reject sizes that cannot be built and policies that contradict each other."""
        if not self.regions:
            self._check_engine()
        self._check_sizes()
        self._check_rates()
        self._check_residents()
        if self.regions:
            self._check_stages()
        else:
            self._check_fold()
        self._check_mapping()

    def _check_sizes(self) -> None:
        for key in COUNTS:
            value = getattr(self, key)
            least = 0 if self.regions and key in ENGINE_SIZES else 1
            _require(key, value, value is None or value >= least, f"must be at least {least}", f"Try {key} = {least}")
        for key in AT_LEAST_0:
            _require(key, getattr(self, key), getattr(self, key) >= 0, "must not be negative", f"Try {key} = 0")

    def _check_rates(self) -> None:
        _require("clock_mhz", self.clock_mhz, 1 <= self.clock_mhz <= 2000, "must be 1..2000", "Try clock_mhz = 200")
        shared = self.macs_per_dsp
        _require("macs_per_dsp", shared, shared in (1, 2, 4), "must be 1, 2 or 4", "Try macs_per_dsp = 1")
        reached = self.memory_efficiency_fraction
        requirement = "must be above 0 and at most 1"
        _require("memory_efficiency_fraction", reached, 0 < reached <= 1, requirement, "Try 0.8")
        latency_ns = self.memory_latency_ns
        finite = latency_ns is None or 0 <= latency_ns < float("inf")
        _require(
            "memory_latency_ns", latency_ns, finite, "must be finite and not negative", "Leave it out to use the part's"
        )

    def _check_residents(self) -> None:
        interleaved = self.exit_overlap == "interleave"
        _require(
            "n_interleaved",
            self.n_interleaved,
            interleaved == (self.n_interleaved > 1),
            f"must be {'at least 2' if interleaved else '1'} with exit_overlap {self.exit_overlap}",
            'Set exit_overlap = "interleave" with n_interleaved >= 2, or n_interleaved = 1',
        )
        _require(
            "share_weights",
            self.share_weights,
            interleaved or not self.share_weights,
            f"needs several resident sentences, exit_overlap {self.exit_overlap} has one",
            'Set exit_overlap = "interleave" with n_interleaved >= 2, or share_weights = false',
        )
        _require(
            "share_weights",
            self.share_weights,
            bool(self.regions) or not (self.share_weights and self.array.fold.stages_operands),
            "lets sentences change within a product, but the arrays hold the operands of a whole one",
            "Use another array_preset or fold, or share_weights = false",
        )

    def _check_fold(self) -> None:
        """Reject two descriptions of a fold, and presets of another data flow."""
        descriptions = [key for key in ("array_preset", "fold") if getattr(self, key) is not None]
        if self.fold_overhead_cycles != 0 or not self.overlap_folds:
            descriptions.append("fold_overhead_cycles")
        if len(descriptions) > 1:
            requirement, remedy = "tell what a fold costs more than once", f"Keep {descriptions[0]} alone"
            raise ConfigError(f"design.{descriptions[-1]}", ", ".join(descriptions), requirement, remedy)
        _ = self.array  # checks the preset and the array

    def _check_engine(self) -> None:
        """Reject engines on no part, and descriptions of stages without stages."""
        _require("device", self.device or "(none)", self.device != "", "must be a part", "See hexit run --list devices")
        keys = ("arrays", "array_presets", "same_hardware", "array_bits", "loops", "constants", "products")
        for key in (*keys, "layer_extra_cycles"):
            value = getattr(self, key)
            _require(key, value, not value, "is of a design with regions of stages", "Add [[regions]], or leave it out")

    def _check_stages(self) -> None:
        """Reject regions without names of their own, and arrays and loops that are not described."""
        names = [region.name for region in self.regions]
        _require("regions", names, len(set(names)) == len(names), "must have names of their own", "Name them")
        stages = [stage.name for stage in self.stages]
        twice = next((name for name in stages if stages.count(name) > 1), None)
        _require("regions.stages", twice, twice is None, "must have names of their own", "Name each stage differently")
        check_nest(self.loops)
        for name in self.constants:
            _require("constants", name, name not in SIZES, "is the name of a size", f"Call it my_{name}")
        for stage in self.stages:
            _known(f"{stage.name}.array", stage.array, self.arrays)
            for name in stage.loops:
                _known(f"{stage.name}.loops", name, self.loops)
        for name in self.array_presets:
            _known("design.array_presets", name, self.arrays)
            self.stage_array(name)
        for name in self.array_bits:
            _known("design.array_bits", name, self.arrays)
        for name, other in self.same_hardware.items():
            _known("design.same_hardware", name, self.arrays)
            _known(f"design.same_hardware.{name}", other, self.arrays)
        taken = next((name for name in stages if name in UNIT_NAMES or name.startswith("engine_")), None)
        requirement = f"is a name that units of the program have ({', '.join(UNIT_NAMES)}, engine_...)"
        _require("regions.stages", taken, taken is None, requirement, f"Call it my_{taken}")
        for key, value in ENGINE_ALONE.items():
            _require(key, getattr(self, key), getattr(self, key) == value, "is of an engine", "Describe it in [arrays]")
        _require("mapping", self.mapping, self.mapping == "temporal", "is for engines without regions", "Leave it out")
        shares = self.share_weights
        _require("share_weights", shares, not shares, "is for engines without regions", "Leave it out")

    def _check_mapping(self) -> None:
        spatial = self.mapping == "spatial"
        _require(
            "n_engines",
            self.n_engines,
            spatial or self.n_engines == 1,
            "must be 1 with mapping temporal",
            'Set mapping = "spatial"',
        )
        shares = self.engine_layers
        _require(
            "engine_layers",
            shares,
            shares is None or (len(shares) == self.n_engines and min(shares) >= 1),
            f"must be {self.n_engines} numbers of at least 1, one for each of n_engines",
            "Correct them, or leave them out for equal shares",
        )
        _require(
            "exit_overlap",
            self.exit_overlap,
            not spatial or self.exit_overlap != "interleave",
            "keeps sentences in one engine, mapping spatial in several",
            'Set exit_overlap = "stall" or "speculate"',
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of all regions, those inside others included."""
        return all_stages(self.regions)

    def stage_array(self, name: str) -> SystolicArray:
        """Return an array of the stages with the folds of its preset, or its own."""
        array, preset = self.arrays[name], self.array_presets.get(name)
        if preset is None:
            return array
        return replace(array, fold=fold_preset(preset, array.dataflow, f"array_presets.{name}"))

    @property
    def built_arrays(self) -> tuple[SystolicArray, ...]:
        """The arrays that take area: the engine's, or one for each stage; stages that take turns share theirs."""
        if not self.regions:
            return (self.array,)
        shared: Counter[str] = Counter()
        own: list[str] = []
        for region in self.regions:
            for stage in region.stages:
                names = [self.same_hardware.get(name, name) for name in _arrays_side_by_side(stage)]
                if region.overlap == "sequential":
                    shared |= Counter(names)
                else:
                    own += names
        return tuple(self.stage_array(name) for name in (*shared.elements(), *own))

    def arrays_of_stage(self, stage: Stage) -> tuple[SystolicArray, ...]:
        """Return the arrays that a stage works with, those of heads side by side one by one."""
        return tuple(self.stage_array(name) for name in _arrays_side_by_side(stage))

    def array_of(self, op: str) -> SystolicArray | None:
        """Return the array that executes an op, None where a loop nest does."""
        if not self.regions:
            return self.array
        names = [stage.array for stage in self.stages if op in stage.ops]
        return self.stage_array(names[0]) if names and names[0] is not None else None

    @property
    @functools.lru_cache(maxsize=256)  # noqa: B019 - frozen, and every op asks for it
    def array(self) -> SystolicArray:
        """The engine's arrays with the timing of their folds."""
        if self.array_preset is not None:
            fold = fold_preset(self.array_preset, self.dataflow, "design.array_preset")
        else:
            fold = self.fold or replace(
                RTL_FOLDS[self.dataflow],
                control=CycleForm(constant=self.fold_overhead_cycles),
                overlap_folds=self.overlap_folds,
            )
        return SystolicArray(
            rows=self.array_rows,
            columns=self.array_columns,
            n_arrays=self.n_arrays,
            dataflow=self.dataflow,
            products_per_position=self.products_per_position,
            fold=fold,
        )

    @property
    def n_macs(self) -> int:
        """MACs that all arrays together start per cycle, 0 where loop nests make all products."""
        return sum(array.n_macs for array in self.built_arrays)


def _arrays_side_by_side(stage: Stage) -> list[str]:
    """Names of a stage's arrays, as often as its heads have one each at the same time."""
    inner = (stage,) if stage.heads is None else stage.heads.stages
    return [
        one.array
        for one in inner
        if one.array is not None
        for _ in range(one.n_parallel_heads * (1 if one is stage else stage.n_parallel_heads))
    ]


def _require(key: str, value: object, holds: bool, requirement: str, remedy: str) -> None:
    if not holds:
        raise ConfigError(f"design.{key}", value, requirement, remedy)


def _known(where: str, name: str | None, known: dict[str, Any]) -> None:
    if name is not None and name not in known:
        raise ConfigError(where, name, f"must be one of {', '.join(known) or '(none described)'}", "Describe it")


def layers_per_engine(n_layers: int, n_engines: int, shares: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """Return how many layers each engine serves: `shares`, or as equal as possible with what is left over at the back.

    Raises ConfigError where an engine would have none, and for shares that are not all layers.

    >>> layers_per_engine(12, 5)
    (2, 2, 2, 3, 3)
    """
    if n_engines > n_layers:
        raise ConfigError(
            "design.n_engines",
            n_engines,
            f"must be at most {n_layers}, the layers of the network",
            f"Try n_engines = {n_layers}",
        )
    if shares is not None and sum(shares) != n_layers:
        requirement = f"must be {n_layers} layers together, not {sum(shares)}"
        raise ConfigError("design.engine_layers", list(shares), requirement, "Correct the shares, or leave them out")
    return shares or tuple((n_layers + engine) // n_engines for engine in range(n_engines))
