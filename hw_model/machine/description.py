"""A published accelerator, or one of yours, as data: arrays, loops, stages, packs of tokens, memory.

    machine = regions one after the other;   region = stages;   stage = ops of the network on arrays and loops

The network's ops are those of `quant.workload` for the machine's shape and sequence length, so that a file never
repeats a size: a stage names ops (``query``, ``scores``, ``ffn_in`` ...) and the array and loops that execute them. The
tokens pass in packs of `pack_rows`; a stage handles one pack at a time (`Region.overlap`, sim.published.machine).

docs/design_file.md explains every key. Not modelled: area, exits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from hexit.hw_model.array import ArrayPreset, SystolicArray, fold_preset
from hexit.hw_model.machine.loops import MAX_SIZE, Loop, check_nest
from hexit.quant.config import EncoderShape, QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.shapes import SHAPES
from hexit.quant.workload import Op, encoder_workload

Overlap = Literal["sequential", "packs", "streaming"]
MAX_LENGTH = 1_000_000  # tokens; beyond any encoder, and packs of one token still take seconds


EvidenceKind = Literal["rtl", "hls_report", "board", "simulator", "reported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The network that a machine runs: a published shape, with what is different about it."""

    shape: str = "bert-base"
    n_layers: int | None = None
    hidden_size: int | None = None
    n_heads: int | None = None
    ffn_size: int | None = None
    sequence_length: int = 128

    def encoder(self) -> EncoderShape:
        """Return the shape with what is different about it."""
        if not 1 <= self.sequence_length <= MAX_LENGTH:
            requirement = f"must be 1..{MAX_LENGTH}"
            raise ConfigError("network.sequence_length", self.sequence_length, requirement, "Try sequence_length = 128")
        if self.shape not in SHAPES:
            raise ConfigError("network.shape", self.shape, f"must be one of {', '.join(SHAPES)}", "Pick one of these")
        changes = {
            key: value
            for key in ("n_layers", "hidden_size", "n_heads", "ffn_size")
            if (value := getattr(self, key)) is not None
        }
        return SHAPES[self.shape].resized(n_positions=max(512, self.sequence_length), **changes)

    def ops(self) -> tuple[Op, ...]:
        """Return the ops of one layer."""
        return encoder_workload(self.encoder(), QuantConfig.uniform(8), self.sequence_length).layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A matrix product that is no part of an encoder layer: m x k times k x n, `count` times."""

    name: str
    m: int
    k: int
    n: int
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Hardware that executes some ops of the network, one after the other, on one pack of rows at a time.

    `array` and `loops` are names of `Machine.arrays` and `Machine.loops`; the array executes the products, the
    loops run before or behind it in sequence, for every call. A stage without ops runs its loops once per pack.
    `first_result_cycles`: cycles after which the next stage may begin, in regions that stream; `after`: stages
    whose results it takes, the one before where absent. `n_parallel_heads`: heads that are worked on side by side,
    each on hardware of its own. `heads`: stages of its own inside, through which the heads of a pack pass one after
    the other; then the stage has no ops beside those.
    """

    name: str
    ops: tuple[str, ...] = ()
    array: str | None = None
    loops: tuple[str, ...] = ()
    call_cycles: int = 0
    n_parallel_heads: int = 1
    first_result_cycles: int = 0
    after: tuple[str, ...] | None = None
    heads: Region | None = None

    def __post_init__(self) -> None:
        """Reject negative times, and heads in a stage with ops of its own or in stages without."""
        for key in ("call_cycles", "first_result_cycles"):
            if not 0 <= getattr(self, key) <= MAX_SIZE:
                raise ConfigError(f"{self.name}.{key}", getattr(self, key), f"must be 0..{MAX_SIZE}", f"Try {key} = 0")
        if self.n_parallel_heads < 1:
            raise ConfigError(f"{self.name}.n_parallel_heads", self.n_parallel_heads, "must be at least 1", "Try 1")
        if self.heads is not None and (self.ops or self.array or self.loops):
            requirement = "must be empty in a stage with heads of its own"
            raise ConfigError(
                f"{self.name}.ops", self.ops, requirement, "Name ops, array and loops in the stages inside"
            )
        if self.heads is not None and not all(stage.ops and stage.heads is None for stage in self.heads.stages):
            raise ConfigError(f"{self.name}.heads", self.heads.name, "needs stages with ops", "Name the ops of each")


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Stages between two barriers.

    `overlap`: ``sequential`` stages take turns on all rows; ``packs`` pass from stage to stage, each stage on another
    pack; ``streaming`` also within a pack: a stage begins `first_result_cycles` after the one before and ends no
    sooner than it. `handshake_cycles`: between two packs of a stage. `fifo_packs`: packs that fit between two
    stages. `start_cycles`, once. `parallel_with_next`: the next region runs beside this one.
    """

    name: str
    stages: tuple[Stage, ...]
    overlap: Overlap = "sequential"
    pack_rows: int | None = None
    handshake_cycles: int = 0
    fifo_packs: int = 2
    start_cycles: int = 0
    parallel_with_next: bool = False

    def __post_init__(self) -> None:
        """Reject regions without stages and stages without names of their own."""
        names = [stage.name for stage in self.stages]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"{self.name}.stages", names, "must be stages with names of their own", "Name them")
        for key, least in (("pack_rows", 1), ("handshake_cycles", 0), ("fifo_packs", 1), ("start_cycles", 0)):
            value = getattr(self, key)
            if value is not None and not least <= value <= MAX_SIZE:
                requirement = f"must be {least}..{MAX_SIZE}"
                raise ConfigError(f"{self.name}.{key}", value, requirement, f"Try {key} = {least}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineMemory:
    """Off-chip memory: peak and first-word latency of the memory, and the port that requests bursts of it.

    Keys as those of a design (hw_model.accelerator), `bandwidth_gb_s` the peak of all `memory_channels` together;
    `memory_outstanding` are requests that are really under way at each port.
    """

    bandwidth_gb_s: float
    memory_latency_ns: float
    memory_efficiency_fraction: float = 1.0
    memory_channels: int | None = None
    memory_port_bits: int | None = None
    memory_burst_beats: int | None = None
    memory_outstanding: int | None = None
    clock_mhz: float = 0.0  # the machine's own, not a key of its own

    def __post_init__(self) -> None:
        """Reject memory that never delivers."""
        for key, least, most in (
            ("bandwidth_gb_s", 1e-6, 1e6),
            ("memory_efficiency_fraction", 1e-6, 1.0),
            ("memory_latency_ns", 0.0, 1e9),
        ):
            if not least <= getattr(self, key) <= most:
                requirement = f"must be {least:g}..{most:g}"
                raise ConfigError(f"memory.{key}", getattr(self, key), requirement, "Correct the memory")
        for key in ("memory_channels", "memory_port_bits", "memory_burst_beats", "memory_outstanding"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ConfigError(f"memory.{key}", value, "must be at least 1", "Leave it out if it does not limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A published figure: of a stage, an op on a stage, a region, the layer, the network or a lone product.

    `of`: ``stage NAME``, ``op NAME``, ``region NAME``, ``layer``, ``network`` or ``product NAME``; `memory`: with
    off-chip memory as described, else as if it never made anything wait. `role`: ``fit`` where a constant of the file
    was chosen by this figure, ``check`` where not. `kind`: what the figure comes from, the machine's where None.
    """

    of: str
    cycles: int | None = None
    time_ms: float | None = None
    memory: bool = False
    tolerance_fraction: float = 0.0
    role: Literal["check", "fit"] = "check"
    kind: EvidenceKind | None = None
    note: str = ""

    def __post_init__(self) -> None:
        """Reject figures without a value."""
        if (self.cycles is None) == (self.time_ms is None):
            raise ConfigError(
                f"expected.{self.of}", (self.cycles, self.time_ms), "needs cycles or time_ms", "Give one of them"
            )
        for key in ("cycles", "time_ms"):
            value = getattr(self, key)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"expected.{key}", value, "must be above 0", "Give the published figure")
        if not 0 <= self.tolerance_fraction < 1:
            requirement = "must be 0 or more and below 1"
            raise ConfigError("expected.tolerance_fraction", self.tolerance_fraction, requirement, "Try 0.05")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One accelerator with its source, and the published figures to compare it with.

    `array_presets` names the preset of an array's folds (hw_model.array), `configured` how the file was written. `kind`
    says what its published figures come from, `paper` which machines a fit to one of them speaks for, itself alone
    where empty.
    """

    name: str
    title: str
    source: str
    evidence: str
    configured: str
    clock_mhz: float
    kind: EvidenceKind = "reported"
    paper: str = ""
    network: Network = Network()
    products: tuple[Product, ...] = ()
    arrays: dict[str, SystolicArray] = field(default_factory=dict)
    array_presets: dict[str, ArrayPreset] = field(default_factory=dict)
    constants: dict[str, int] = field(default_factory=dict)
    loops: dict[str, Loop] = field(default_factory=dict)
    regions: tuple[Region, ...] = ()
    layer_extra_cycles: int = 0
    memory: MachineMemory | None = None
    expected: tuple[Expected, ...] = ()

    def __post_init__(self) -> None:
        """Reject clocks out of range, regions without names of their own, and names that are not described."""
        if not 1 <= self.clock_mhz <= 2000:
            raise ConfigError("machine.clock_mhz", self.clock_mhz, "must be 1..2000", "Try clock_mhz = 200")
        names = [region.name for region in self.regions]
        if not names or len(set(names)) < len(names):
            raise ConfigError("machine.regions", names, "must be regions with names of their own", "Name them")
        check_nest(self.loops)
        for stage in self.stages:
            _known(f"{stage.name}.array", stage.array, self.arrays)
            for name in stage.loops:
                _known(f"{stage.name}.loops", name, self.loops)
        for name in self.array_presets:
            _known("machine.array_presets", name, self.arrays)
            self.timed_array(name)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of all regions, those inside others included."""
        outer = [stage for region in self.regions for stage in region.stages]
        inner = [stage for one in outer if one.heads is not None for stage in one.heads.stages]
        return (*outer, *inner)

    def timed_array(self, name: str) -> SystolicArray:
        """Return an array with the folds of its preset, or its own."""
        array, preset = self.arrays[name], self.array_presets.get(name)
        return (
            array
            if preset is None
            else replace(array, fold=fold_preset(preset, array.dataflow, f"array_presets.{name}"))
        )


def _known(where: str, name: str | None, known: dict[str, Any]) -> None:
    if name is not None and name not in known:
        raise ConfigError(where, name, f"must be one of {', '.join(known) or '(none described)'}", "Describe it")
