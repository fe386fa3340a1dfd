"""What a design was published with: the network or the products that it ran, and the figures that were measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from hexit.quant.config import EncoderShape, QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.shapes import SHAPES
from hexit.quant.workload import Workload, encoder_workload

MAX_LENGTH = 1_000_000  # tokens; beyond any encoder

EvidenceKind = Literal["rtl", "hls_report", "board", "simulator", "reported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The network that a design was published with: a shape, with what is different about it."""

    shape: str = "bert-base"
    n_layers: int | None = None
    hidden_size: int | None = None
    n_heads: int | None = None
    ffn_size: int | None = None
    sequence_length: int = 128
    weight_bits: int = 8
    activation_bits: int = 8

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

    def workload(self) -> Workload:
        """Return the ops of the network at its bit widths."""
        quant = QuantConfig(weight_bits=self.weight_bits, activation_bits=self.activation_bits)
        return encoder_workload(self.encoder(), quant, self.sequence_length)


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A matrix product that is no part of an encoder layer: m x k times k x n, `count` times through one pipeline."""

    name: str
    m: int
    k: int
    n: int
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A published figure: of a stage, an op on a stage, a region, the layer, the network or a lone product.

    `of`: ``stage NAME``, ``op NAME``, ``region NAME``, ``layer``, ``network`` or ``product NAME``; `memory`: with
    the part's off-chip memory, else as if it never made anything wait. `role`: ``fit`` where a constant of the file
    was chosen by this figure, ``check`` where not. `kind`: what the figure comes from, the design's where None.
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
