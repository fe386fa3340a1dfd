"""A calibrated encoder to its quantised form at any bit widths.

1. every tensor gets its grid, the one of least squared error, and its shifts;
2. weights of up to 8 bits are rounded input by input, later ones making up for earlier ones (`weights`);
3. linears, embeddings and tensors become Brevitas' (weights: one scale per output channel);
4. every bias takes in the mean error that rounding makes in its product, b += (W - W_q) E[x] + W_q E[x - Q(x)], the
   means taken on the calibration text. The first term is equation 10 of Nagel et al. (ICCV 2019, arXiv 1906.04721), the
   second what the input's rounding adds, much at 4 bits, where most of GELU's small negative values become one. Clipped
   values are left out of it: they are few, and far off, and would move the product of every other token. Hardware has a
   bias anyway, so this costs nothing.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hexit.quant.config import QuantConfig
from hexit.quant.network.model import EarlyExitEncoder
from hexit.quant.quantisation.layers import QuantisedLinear, QuantisedTensor, quantised_embedding, quantised_linear
from hexit.quant.quantisation.plans import TensorPlan, Users, tensor_plans
from hexit.quant.quantisation.weights import EXACT_BITS, compensated, rounded, weight_scales
from hexit.quant.quantisation.wiring import Tap, TappedLinear


@torch.no_grad()
def converted(observed: EarlyExitEncoder, users: dict[int, Users], config: QuantConfig) -> EarlyExitEncoder:
    """Return the quantised form of a wired encoder and the linears of its weights; both stay as they are."""
    plans = tensor_plans(observed, users, config)
    kept = [module for module in observed.modules() if isinstance(module, Tap | TappedLinear | nn.Embedding)]
    memo: dict[int, Any] = {id(one): one for one in (*kept, *observed.parameters())}  # replaced below, or never changed
    encoder: EarlyExitEncoder = copy.deepcopy(observed, memo)
    _replace(encoder, _Replacements(users, plans, config))
    return encoder


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _FoldedLinear:
    """Weights with the shifts of their input in their columns, corrected bias, and a scale per output channel."""

    weights: nn.Parameter
    bias: nn.Parameter | None
    scales: Tensor


class _Replacements:
    """The quantised form of each module; linears of shared weights share it."""

    def __init__(self, users: dict[int, Users], plans: dict[str, TensorPlan], config: QuantConfig) -> None:
        self.users, self.plans, self.config = users, plans, config
        self.mean_errors: dict[object, Tensor] = {}
        self.folded: dict[int, _FoldedLinear] = {}
        self.linears: dict[tuple[int, object], Any] = {}

    def of(self, module: nn.Module) -> nn.Module | None:
        if isinstance(module, Tap):
            plan = self.plans[module.name]
            return QuantisedTensor(plan.grid, plan.shifts, power_of_two=self.config.power_of_two)
        if isinstance(module, TappedLinear):
            return self._linear(module)
        if isinstance(module, nn.Embedding):
            embedding: nn.Module = quantised_embedding(module, self.config)
            return embedding
        return None

    def _linear(self, tapped: TappedLinear) -> QuantisedLinear:
        plan, key = self.plans[tapped.tap.name], id(tapped.linear.weight)
        if key not in self.folded:
            self.folded[key] = self._fold(tapped.linear, plan)
        if (key, plan.grid) not in self.linears:
            folded = self.folded[key]
            self.linears[key, plan.grid] = quantised_linear(
                folded.weights, folded.bias, folded.scales, plan.grid, self.config
            )
        return QuantisedLinear(self.linears[key, plan.grid], plan.shifts, reads_grid=not tapped.counts)

    def _fold(self, linear: nn.Linear, plan: TensorPlan) -> _FoldedLinear:
        users, bits = self.users[id(linear.weight)], self.config.weight_bits
        factors, inputs = plan.factors, users.inputs.scaled(plan.shifts)
        weights = linear.weight * factors
        scales = weight_scales(weights, inputs.left, bits, power_of_two=self.config.power_of_two)
        kept = compensated(weights, scales, bits, inputs) if bits <= EXACT_BITS else rounded(weights, scales, bits)
        bias = linear.bias
        if bias is not None:
            error = (weights - kept).double() @ (users.mean / factors)
            error += kept.double() @ (self._mean_error(users) / factors)
            bias = nn.Parameter(bias + error.to(bias.dtype))
        return _FoldedLinear(weights=nn.Parameter(kept), bias=bias, scales=scales)

    def _mean_error(self, users: Users) -> Tensor:
        """Return the mean rounding error of what `users` read; query, key and value read the same."""
        key = tuple((linear.tap.name, linear.n_inputs) for linear in users.linears)
        if key not in self.mean_errors:
            self.mean_errors[key] = users.mean_error(self.plans)
        return self.mean_errors[key]


def _replace(module: nn.Module, replacements: _Replacements) -> None:
    for name, child in list(module.named_children()):
        replacement = replacements.of(child)
        if replacement is None:
            _replace(child, replacements)
        else:
            setattr(module, name, replacement)
