"""The same logits, bit for bit, in less time: a quantised encoder with everything computed once that does not change.

Brevitas rounds weights and biases at every call, and every reader rounds its input although most inputs lie on its grid
already, which changes nothing. Here weights and biases are rounded once, tensors where they are made, or at their one
reader where nothing rounds them before.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hexit.quant.quantisation.layers import QuantisedLinear, QuantisedTensor, is_quantised_embedding
from hexit.quant.quantisation.network import QuantisedEncoder


class FixedTensor(nn.Module):
    """Rounds to scale (n - zero point), lowest <= n <= highest, with the operations of Brevitas in their order."""

    scale: Tensor

    def __init__(self, quantiser: Any, factors: Tensor | None) -> None:
        """Read scale, zero point and range off a Brevitas activation quantiser."""
        super().__init__()
        scale, bits = quantiser.scale().detach(), int(quantiser.bit_width())
        self.register_buffer("scale", scale if factors is None else scale / factors)
        self.zero_point = int(quantiser.zero_point())
        self.lowest = -(1 << (bits - 1)) if quantiser.is_signed else 0
        self.highest = self.lowest + (1 << bits) - 1

    def integers(self, x: Tensor) -> Tensor:
        """Return n, as floating point."""
        n = x / self.scale
        return (n.add_(self.zero_point) if self.zero_point else n).round_().clamp_(self.lowest, self.highest)

    def forward(self, x: Tensor) -> Tensor:
        """Return the nearest values of the grid."""
        n = self.integers(x)
        return (n.sub_(self.zero_point) if self.zero_point else n).mul_(self.scale)


class FixedLinear(nn.Module):
    """A linear of rounded weights and bias; `rounds` its input where nothing has before."""

    weights: Tensor
    bias: Tensor | None

    def __init__(self, weights: Tensor, bias: Tensor | None, input_grid: FixedTensor, *, rounds: bool) -> None:
        """Keep what does not change."""
        super().__init__()
        self.register_buffer("weights", weights)
        self.register_buffer("bias", bias)
        self.input_grid, self.rounds = input_grid, rounds

    def forward(self, x: Tensor) -> Tensor:
        """Return W x + b."""
        return functional.linear(self.input_grid(x) if self.rounds else x, self.weights, self.bias)


@torch.inference_mode()
def fixed(model: QuantisedEncoder) -> QuantisedEncoder:
    """Return the same network for inference alone: equal logits, weights and biases rounded once and for all."""
    kinds = (QuantisedTensor, QuantisedLinear)
    kept = [one for one in model.encoder.modules() if isinstance(one, kinds) or is_quantised_embedding(one)]
    memo: dict[int, Any] = {id(one): one for one in (*kept, *model.parameters())}  # replaced below, or never changed
    network = copy.deepcopy(model, memo)
    _fix(network.encoder, {})
    return network


def _fix(module: nn.Module, rounded: dict[int, Any]) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, QuantisedTensor):
            setattr(module, name, FixedTensor(child.quantiser.act_quant, child.factors))
        elif isinstance(child, QuantisedLinear):
            setattr(module, name, _linear(child, rounded))
        elif is_quantised_embedding(child):
            setattr(module, name, _embedding(child))
        else:
            _fix(child, rounded)


def _linear(module: QuantisedLinear, rounded: dict[int, Any]) -> FixedLinear:
    linear = module.linear
    key = id(linear.weight)
    if key not in rounded:
        tensor = linear.quant_weight()
        rounded[key] = tensor, tensor.value if module.factors is None else tensor.value * module.factors
    tensor, weights = rounded[key]
    bias = None
    if linear.bias is not None:
        bias = linear.bias_quant(linear.bias, linear.input_quant(torch.zeros(1, linear.in_features)), tensor).value
    return FixedLinear(weights, bias, FixedTensor(linear.input_quant, module.factors), rounds=not module.reads_grid)


def _embedding(module: Any) -> nn.Embedding:
    table = module.quant_weight().value
    n_rows, n_columns = table.shape
    return nn.Embedding(n_rows, n_columns, padding_idx=module.padding_idx, _weight=table)
