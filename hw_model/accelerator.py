"""A design point: one encoder engine on one part, as sizes, widths and policies.

    off-chip memory -> DMA -> weight buffer -> array (rows x columns MACs, output stationary)
    array <-> activation buffer <-> softmax, layer norm, GELU and add lanes
    activation buffer -> exit head -> exit decision

`Accelerator` is data: presets lie in ``hw_model/designs/*.toml``, a user's file has the same keys.
Not modelled here: what the design costs (gemm, vector, memory, resources) and when things happen (sim).
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from hexit.hw_model.array import (
    ArrayPreset,
    CycleForm,
    Dataflow,
    FoldTiming,
    SystolicArray,
    fold_preset,
)
from hexit.quant.errors import ConfigError
from hexit.quant.records import from_json

WeightPlacement = Literal["auto", "on_chip", "streamed"]
Mapping = Literal["temporal", "spatial"]
ExitOverlap = Literal["stall", "speculate", "interleave"]
ResultOrder = Literal["as_finished", "in_order"]
VectorPreset = Literal["fixed_point", "float_hls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCost:
    """Cycles of one task on a pipelined unit: busy `occupancy_cycles`, result `latency_cycles` after the start."""

    occupancy_cycles: int
    latency_cycles: int

    def __post_init__(self) -> None:
        """Reject negative times and results that are ready before the unit is done."""
        if not 0 <= self.occupancy_cycles <= self.latency_cycles:
            raise ConfigError(
                "cost.latency_cycles",
                self.latency_cycles,
                f"must be at least occupancy_cycles {self.occupancy_cycles}, and both at least 0",
                "Correct the unit's cost",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One design: systolic arrays, vector lanes, exit head, buffers, memory port and policies.

    Arrays (hw_model.array): `n_arrays` of `array_rows` x `array_columns` positions with `products_per_position`
    MACs each; `macs_per_dsp` says how many MACs share one DSP where the widths allow it (hw_model.packing). A fold's
    cost is `overlap_folds` with `fold_overhead_cycles`, or a named `array_preset`, or a table `fold` of its own.

    Vector units (hw_model.vector): `*_lanes` elements per cycle, `head_lanes` MACs per cycle of the exit head's own
    engine; `vector_preset`: initiation intervals of fixed-point units, or of floating-point accumulations in HLS.
    `*_depth_cycles`: pipeline stages from the last element in to the last element out. `requantisation_lanes`:
    results that leave the array per cycle, all that it makes where absent.

    Memory (hw_model.memory): `weight_placement` ``auto`` keeps weights on chip if they fit `weight_buffer_kib`, else
    streams them through `n_weight_buffers` panel buffers. `memory_efficiency_fraction`: share of the part's peak
    bandwidth that is reached; `memory_latency_ns`: first-word latency, the part's own where absent. `memory_channels`
    of the part's, all where absent, each behind a port of `memory_port_bits` that asks for bursts of
    `memory_burst_beats` with `memory_outstanding` requests under way; what is absent does not limit.

    Pipeline (sim): ``temporal`` iterates one engine over all layers; ``spatial`` puts `n_engines` of them behind
    each other, each for its share of the layers (`engine_layers`, equal where absent), with `fifo_sentences` places
    between two; results leave ``as_finished`` or ``in_order``. `exit_overlap`: the next layer waits for the exit
    decision (``stall``), starts and is squashed on an exit (``speculate``), or gives way to `n_interleaved` - 1
    other resident sentences (``interleave``).
    """

    name: str
    device: str
    clock_mhz: float
    array_rows: int
    array_columns: int
    n_arrays: int = 1
    products_per_position: int = 1
    dataflow: Dataflow = "output_stationary"
    overlap_folds: bool = True
    fold_overhead_cycles: int = 0
    array_preset: ArrayPreset | None = None
    fold: FoldTiming | None = None
    macs_per_dsp: int = 1
    softmax_lanes: int
    layer_norm_lanes: int
    gelu_lanes: int
    add_lanes: int
    head_lanes: int
    softmax_depth_cycles: int = 24  # cycles; table, adder tree, reciprocal, multiply; our estimate
    layer_norm_depth_cycles: int = 32  # cycles; adder tree, square, inverse root, multiply, add; our estimate
    gelu_depth_cycles: int = 6  # cycles; table look-up and interpolation; our estimate
    add_depth_cycles: int = 3  # cycles; two rescales and one sum; our estimate
    head_depth_cycles: int = 12  # cycles; multiply, adder tree, rescale, tanh table; our estimate
    vector_preset: VectorPreset = "fixed_point"
    requantisation_lanes: int | None = None
    requantisation_depth_cycles: int = 0
    weight_buffer_kib: int
    activation_buffer_kib: int
    weight_placement: WeightPlacement = "auto"
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

    def __post_init__(self) -> None:
        """Reject sizes that cannot be built and policies that contradict each other."""
        for key in (
            "array_rows",
            "array_columns",
            "softmax_lanes",
            "layer_norm_lanes",
            "gelu_lanes",
            "add_lanes",
            "head_lanes",
            "weight_buffer_kib",
            "activation_buffer_kib",
            "n_weight_buffers",
            "n_interleaved",
            "n_arrays",
            "products_per_position",
            "n_engines",
            "fifo_sentences",
            "requantisation_lanes",
            "memory_channels",
            "memory_port_bits",
            "memory_burst_beats",
            "memory_outstanding",
        ):
            value = getattr(self, key)
            _require(
                key,
                value,
                value is None or value >= 1,
                "must be at least 1",
                f"Try {key} = 1 or more",
            )
        for key in (
            "fold_overhead_cycles",
            "softmax_depth_cycles",
            "layer_norm_depth_cycles",
            "gelu_depth_cycles",
            "add_depth_cycles",
            "head_depth_cycles",
            "requantisation_depth_cycles",
        ):
            _require(key, getattr(self, key), getattr(self, key) >= 0, "must not be negative", f"Try {key} = 0")
        _require("clock_mhz", self.clock_mhz, 1 <= self.clock_mhz <= 2000, "must be 1..2000", "Try clock_mhz = 200")
        _require(
            "macs_per_dsp",
            self.macs_per_dsp,
            self.macs_per_dsp in (1, 2, 4),
            "must be 1, 2 or 4",
            "Try macs_per_dsp = 1",
        )
        _require(
            "memory_efficiency_fraction",
            self.memory_efficiency_fraction,
            0 < self.memory_efficiency_fraction <= 1,
            "must be above 0 and at most 1",
            "Try 0.8",
        )
        latency_ns = self.memory_latency_ns
        _require(
            "memory_latency_ns",
            latency_ns,
            latency_ns is None or 0 <= latency_ns < float("inf"),
            "must be finite and not negative",
            "Leave it out to use the part's",
        )
        interleaved = self.exit_overlap == "interleave"
        _require(
            "n_interleaved",
            self.n_interleaved,
            interleaved == (self.n_interleaved > 1),
            f"must be {'at least 2' if interleaved else '1'} with exit_overlap {self.exit_overlap}",
            'Set exit_overlap = "interleave" with n_interleaved >= 2, or n_interleaved = 1',
        )
        self._check_fold()
        self._check_mapping()

    def _check_fold(self) -> None:
        """Reject two descriptions of a fold, and presets of another data flow."""
        told = [
            key for key, value in (("array_preset", self.array_preset), ("fold", self.fold)) if value is not None
        ] + ["fold_overhead_cycles"] * (self.fold_overhead_cycles != 0 or not self.overlap_folds)
        _require(
            told[-1] if told else "fold",
            ", ".join(told),
            len(told) <= 1,
            "tell what a fold costs more than once",
            f"Keep {told[0] if told else 'fold'} alone",
        )
        _ = self.array

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
    def array(self) -> SystolicArray:
        """The arrays with the timing of their folds."""
        if self.array_preset is not None:
            fold = fold_preset(self.array_preset, self.dataflow, "design.array_preset")
        else:
            fold = self.fold or FoldTiming(
                control=CycleForm(constant=self.fold_overhead_cycles), overlap_folds=self.overlap_folds
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
        """MACs that the arrays start per cycle."""
        return self.array.n_macs


def _require(key: str, value: object, holds: bool, rule: str, remedy: str) -> None:
    if not holds:
        raise ConfigError(f"design.{key}", value, rule, remedy)


def list_designs() -> tuple[str, ...]:
    """Return the names of the shipped designs, in alphabetical order."""
    folder = resources.files("hexit.hw_model") / "designs"
    return tuple(sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")))


def load_design(name_or_path: str) -> Accelerator:
    """Return a shipped design by name, or a design from a TOML file.

    A text that ends in ``.toml`` or contains a path separator is a file. Raises ConfigError that names the
    key.
    """
    is_path = name_or_path.endswith(".toml") or "/" in name_or_path or "\\" in name_or_path
    if is_path:
        source = Path(name_or_path)
    elif name_or_path in list_designs():
        source = Path(str(resources.files("hexit.hw_model") / "designs" / f"{name_or_path}.toml"))
    else:
        raise ConfigError(
            "--design",
            name_or_path,
            f"is not one of {', '.join(list_designs())}",
            "Pick one of these, or give the path of a .toml file",
        )
    try:
        table = tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("--design", name_or_path, f"cannot be read ({error.strerror})", "Check the path") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError("--design", name_or_path, f"is not TOML ({error})", "Correct the file") from error
    return from_json(Accelerator, table, "design")
