"""The shape of an early-exit encoder and the bit widths of its integers.

`EncoderShape` is everything that the hardware needs to know of a network; `QuantConfig.uniform(bits)` is the
one dial behind ``--bits``. Not modelled: mixed precision between layers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from hexit.quant.errors import ConfigError

LEGAL_BITS = (2, 3, 4, 5, 6, 7, 8, 16)
DEFAULT_LOGIT_BITS = 16  # bits; width of the bus into the exit unit, wide enough that rounding never decides an exit

Pooling = Literal["first", "mean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderShape:
    """Sizes of a BERT or ALBERT encoder with an exit after every layer.

    `n_layer_groups` sets of layer weights are stored, each used by consecutive layers: 1 in a plain ALBERT, `n_layers`
    in BERT. With a `factorised_embedding` a linear map lifts `embedding_size` to `hidden_size` (always in ALBERT).
    `pooling` is what an exit head reads: the first token or the mean of all tokens; `pooler` is its linear + tanh
    before the classifier.
    """

    n_layers: int
    hidden_size: int
    n_heads: int
    ffn_size: int
    embedding_size: int
    vocabulary_size: int
    n_positions: int
    n_token_types: int
    n_layer_groups: int
    factorised_embedding: bool
    n_classes: int
    pooler: bool
    pooling: Pooling
    shared_head: bool

    def __post_init__(self) -> None:
        """Reject sizes that no encoder can have."""
        for name in (
            "n_layers",
            "hidden_size",
            "n_heads",
            "ffn_size",
            "embedding_size",
            "vocabulary_size",
            "n_positions",
            "n_token_types",
            "n_layer_groups",
            "n_classes",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"shape.{name}", getattr(self, name), "must be at least 1", "Correct the size")
        if self.hidden_size % self.n_heads:
            raise ConfigError(
                "shape.n_heads", self.n_heads, f"must divide hidden_size {self.hidden_size}", "Pick a divisor"
            )
        if self.n_layers % self.n_layer_groups:
            requirement = f"must divide n_layers {self.n_layers}"
            raise ConfigError("shape.n_layer_groups", self.n_layer_groups, requirement, "Pick a divisor")
        if self.embedding_size != self.hidden_size and not self.factorised_embedding:
            requirement = f"must equal hidden_size {self.hidden_size} without a factorised embedding"
            raise ConfigError("shape.embedding_size", self.embedding_size, requirement, "Correct the size")

    @property
    def head_size(self) -> int:
        """Columns of one attention head: hidden_size / n_heads."""
        return self.hidden_size // self.n_heads

    @property
    def layer_weights(self) -> str:
        """Which layers have weights of their own, in words."""
        if self.n_layer_groups == self.n_layers:
            return "own weights per layer"
        return "shared layers" if self.n_layer_groups == 1 else f"{self.n_layer_groups} groups of shared layers"

    def resized(self, **sizes: Any) -> EncoderShape:
        """Return the shape with other sizes; layers with own weights keep them, a plain embedding stays as wide."""
        if self.n_layer_groups == self.n_layers:
            sizes = {"n_layer_groups": sizes.get("n_layers", self.n_layers)} | sizes
        if not self.factorised_embedding:
            sizes = {"embedding_size": sizes.get("hidden_size", self.hidden_size)} | sizes
        return replace(self, **sizes)

    def layer_group(self, layer: int) -> int:
        """Return the set of weights, from 0, of layer 1..n_layers: floor((layer - 1) n_layer_groups / n_layers)."""
        return (layer - 1) * self.n_layer_groups // self.n_layers


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantConfig:
    """Bit widths of every class of integer in the network.

    `weight_bits`: all linear weights. `activation_bits`: every tensor between linears, softmax output included.
    `logit_bits`: the exit heads' outputs, which the exit unit reads. Biases are 32 bits at the accumulator's
    scale. `power_of_two`: scales are powers of two, so that rescaling is a shift.
    """

    weight_bits: int
    activation_bits: int
    logit_bits: int = DEFAULT_LOGIT_BITS
    bias_bits: int = 32
    power_of_two: bool = False

    def __post_init__(self) -> None:
        """Reject widths that the quantiser or the hardware cannot do."""
        for name, flag in (("weight_bits", "--weight-bits"), ("activation_bits", "--activation-bits")):
            check_bits(flag, getattr(self, name))
        if not 4 <= self.logit_bits <= 24:
            raise ConfigError("--logit-bits", self.logit_bits, "must be 4..24", "Try --logit-bits 16")

    @staticmethod
    def uniform(bits: int, *, power_of_two: bool = False) -> QuantConfig:
        """Return the configuration behind ``--bits N``: weights and activations alike."""
        check_bits("--bits", bits)
        return QuantConfig(weight_bits=bits, activation_bits=bits, power_of_two=power_of_two)


def check_bits(flag: str, bits: int) -> None:
    """Raise ConfigError unless `bits` is a width that Brevitas and the arrays support."""
    if bits not in LEGAL_BITS:
        raise ConfigError(flag, bits, "must be 2..8 or 16", f"Try {flag} 8")
