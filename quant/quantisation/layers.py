"""Everything that touches Brevitas: linears, embeddings and tensors with quantisers of given scales.

Integers: weights, embeddings, biases, linear inputs, query/key/value, softmax output, norm output, exit logits. All of
them are simulated in float32, as scale times integer: a product sums up such values, not integers, so a sum that rounds
another way, on another machine or in float64, may move an integer by one and all that follow (on the shipped network
nearly every logit moves, by some 15 of 65,536 steps in the middle). Not integers at all: the inside of softmax, GELU,
layer norm, tanh and the mean over tokens, computed in float on quantised inputs, their results quantised again.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from hexit.quant.config import QuantConfig
from hexit.quant.quantisation.grid import IntegerGrid

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # deprecations inside brevitas' own imports, which a user cannot act on
    import brevitas.nn as qnn
    from brevitas.core.restrict_val import RestrictValueType
    from brevitas.inject.enum import ScalingImplType
    from brevitas.quant.fixed_point import Int8WeightPerChannelFixedPoint, Int8WeightPerTensorFixedPoint
    from brevitas.quant.scaled_int import (
        Int8ActPerTensorFloatMinMaxInit,
        Int8WeightPerChannelFloat,
        Int8WeightPerTensorFloat,
        Int32Bias,
        Uint8ActPerTensorFloatMaxInit,
    )


# of a product with a zero point: brevitas says so at every call, and no one asks for the zero point of a sum
warnings.filterwarnings("ignore", message="Computing zero point of output accumulator not supported yet")


class IntegerZeroPoint(nn.Module):
    """A zero point that is given, as Brevitas asks for it."""

    def __init__(self, zero_point_init: int) -> None:
        """Keep the integer."""
        super().__init__()
        self.register_buffer("zero_point", torch.tensor(float(zero_point_init)))

    def forward(self, x: Tensor, scale: Tensor, bit_width: Tensor) -> Tensor:
        """Return it, whatever the tensor."""
        return self.get_buffer("zero_point")


class SignedPo2(Int8ActPerTensorFloatMinMaxInit):  # type: ignore[misc]
    """Signed activations with power-of-two scales."""

    restrict_scaling_type = RestrictValueType.POWER_OF_TWO


class UnsignedPo2(Uint8ActPerTensorFloatMaxInit):  # type: ignore[misc]
    """Unsigned activations with power-of-two scales."""

    restrict_scaling_type = RestrictValueType.POWER_OF_TWO


class Offset(Uint8ActPerTensorFloatMaxInit):  # type: ignore[misc]
    """Unsigned activations with a zero point."""

    zero_point_impl = IntegerZeroPoint


class OffsetPo2(UnsignedPo2):
    """Unsigned activations with a zero point and power-of-two scales."""

    zero_point_impl = IntegerZeroPoint


class QuantisedTensor(nn.Module):
    """Rounds a tensor to the integers of a grid; channel c to those of scale 2^shifts[c]."""

    factors: Tensor | None

    def __init__(self, grid: IntegerGrid, shifts: Tensor | None, *, power_of_two: bool, tensor: bool = False) -> None:
        """Build Brevitas' quantiser; with `tensor` it returns Brevitas' own kind of tensor."""
        super().__init__()
        self.register_buffer("factors", None if shifts is None else torch.exp2(-shifts.float()))
        self.quantiser = qnn.QuantIdentity(
            bit_width=grid.bits, return_quant_tensor=tensor, **activation_quantiser(grid, power_of_two=power_of_two)
        )

    def forward(self, x: Tensor) -> Any:
        """Return the nearest values of the grid."""
        if self.factors is None:
            return self.quantiser(x)
        return self.quantiser(x * self.factors) / self.factors


class QuantisedLinear(nn.Module):
    """Brevitas' linear; input channel c has scale 2^shifts[c], and its column of weights carries the same factor."""

    factors: Tensor | None

    def __init__(self, linear: Any, shifts: Tensor | None, *, reads_grid: bool) -> None:
        """Wrap a linear of folded weights; `reads_grid`: what it reads is rounded to its input's grid already."""
        super().__init__()
        self.linear, self.reads_grid = linear, reads_grid
        self.register_buffer("factors", None if shifts is None else torch.exp2(-shifts.float()))

    def forward(self, x: Tensor) -> Tensor:
        """Return the linear's output; its integers read x / 2^shifts."""
        y: Tensor = self.linear(x if self.factors is None else x * self.factors)
        return y


def activation_quantiser(grid: IntegerGrid, *, power_of_two: bool, prefix: str = "") -> dict[str, Any]:
    """Return the arguments that make a Brevitas layer quantise its activations (inputs: `prefix`) to `grid`.

    Brevitas divides a limit by 2^(bits - 1) where signed; where unsigned by 2^bits - 1, or 2^bits for powers of two.
    """
    quantiser = f"{prefix}quant" if prefix else "act_quant"
    if grid.signed:
        limit = grid.scale * 2 ** (grid.bits - 1)
        kind = SignedPo2 if power_of_two else Int8ActPerTensorFloatMinMaxInit
        return {quantiser: kind, f"{prefix}min_val": -limit, f"{prefix}max_val": limit}
    limit = grid.scale * (2**grid.bits - (0 if power_of_two else 1))
    kind = UnsignedPo2 if power_of_two else Uint8ActPerTensorFloatMaxInit
    if not grid.zero_point:
        return {quantiser: kind, f"{prefix}max_val": limit}
    offset = OffsetPo2 if power_of_two else Offset
    return {quantiser: offset, f"{prefix}max_val": limit, f"{prefix}zero_point_init": grid.zero_point}


def quantised_linear(
    weights: nn.Parameter, bias: nn.Parameter | None, scales: Tensor, grid: IntegerGrid, config: QuantConfig
) -> Any:
    """Return Brevitas' linear of these weights, scales [n_out, 1] and the grid of its input."""
    top = 2 ** (config.weight_bits - 1) - (0 if config.power_of_two else 1)  # what Brevitas divides the limit by
    linear = qnn.QuantLinear(
        weights.shape[1],
        weights.shape[0],
        bias=bias is not None,
        weight_quant=Int8WeightPerChannelFixedPoint if config.power_of_two else Int8WeightPerChannelFloat,
        weight_bit_width=config.weight_bits,
        weight_scaling_impl_type=ScalingImplType.CONST,
        weight_scaling_init=scales * top,
        bias_quant=Int32Bias if bias is not None else None,
        input_bit_width=grid.bits,
        return_quant_tensor=False,
        **activation_quantiser(grid, power_of_two=config.power_of_two, prefix="input_"),
    )
    linear.weight, linear.bias = weights, bias
    return linear.eval()


def quantised_embedding(source: nn.Embedding, config: QuantConfig) -> Any:
    """Return Brevitas' embedding of the same table, at least 8 bits wide."""
    quantised = qnn.QuantEmbedding(
        source.num_embeddings,
        source.embedding_dim,
        padding_idx=source.padding_idx,
        weight_quant=Int8WeightPerTensorFixedPoint if config.power_of_two else Int8WeightPerTensorFloat,
        weight_bit_width=max(8, config.weight_bits),
        return_quant_tensor=False,
    )
    quantised.weight = source.weight
    return quantised.eval()


def quantised_linears(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield every quantised linear with its name; those of shared weights once for each pass."""
    for name, module in model.named_modules():
        if isinstance(module, qnn.QuantLinear):
            yield name, module


def is_quantised_embedding(module: nn.Module) -> bool:
    """Say whether `module` is a table that Brevitas rounds at every look-up."""
    return isinstance(module, qnn.QuantEmbedding)
