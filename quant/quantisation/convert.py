"""A calibrated encoder to its quantised form at any bit widths.

1. every tensor gets its grid, the one of least squared error; a tensor that a layer norm makes also a shift per channel;
2. linears, embeddings and tensors become Brevitas' (weights: one scale per output channel);
3. every bias is shifted by the mean error that its rounded weights make, b += (W - W_q) E[x] with E[x] the mean
   input on the calibration text (Nagel et al., ICCV 2019, arXiv 1906.04721, equation 10).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hexit.quant.config import QuantConfig
from hexit.quant.network.model import EarlyExitEncoder
from hexit.quant.quantisation.grid import IntegerGrid
from hexit.quant.quantisation.histogram import Histogram
from hexit.quant.quantisation.layers import (
    QuantisedLinear,
    QuantisedTensor,
    quantised_embedding,
    quantised_linear,
)
from hexit.quant.quantisation.ranges import best_grid
from hexit.quant.quantisation.shifts import Reader, channel_shifts
from hexit.quant.quantisation.weights import rounded, weight_scales
from hexit.quant.quantisation.wiring import Tap, TappedLinear

PER_PASS = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPlan:
    """What is decided of a named tensor: its grid, and per channel a shift or none at all."""

    grid: IntegerGrid
    shifts: Tensor | None


def converted(observed: EarlyExitEncoder, config: QuantConfig) -> EarlyExitEncoder:
    """Return the quantised form of a wired encoder that has seen its calibration text; it stays as it is."""
    plans = _plans(observed, config)
    linears = _Linears(observed, plans, config)
    kept = [module for module in observed.modules() if isinstance(module, Tap | TappedLinear | nn.Embedding)]
    memo: dict[int, Any] = {id(one): one for one in (*kept, *observed.parameters())}  # replaced below, or never changed
    encoder: EarlyExitEncoder = copy.deepcopy(observed, memo)
    _convert(encoder, plans, linears, config)
    return encoder


def _convert(module: nn.Module, plans: dict[str, TensorPlan], linears: _Linears, config: QuantConfig) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, Tap):
            plan = plans[child.name]
            setattr(module, name, QuantisedTensor(plan.grid, plan.shifts, power_of_two=config.power_of_two))
        elif isinstance(child, TappedLinear):
            setattr(module, name, linears.converted(child))
        elif isinstance(child, nn.Embedding):
            setattr(module, name, quantised_embedding(child, config))
        else:
            _convert(child, plans, linears, config)


def _plans(encoder: EarlyExitEncoder, config: QuantConfig) -> dict[str, TensorPlan]:
    taps = {module.name: module for module in encoder.modules() if isinstance(module, Tap)}
    readers = _readers(encoder)
    families: dict[str, list[Tap]] = {}
    for tap in taps.values():
        families.setdefault(tap.tensor, []).append(tap)
    plans: dict[str, TensorPlan] = {}
    for family, members in families.items():
        histogram = sum((tap.histogram for tap in members[1:]), start=members[0].histogram)
        kind = members[0].kind
        shifts = None
        if histogram.n_channels > 1:
            shifts = channel_shifts(histogram, readers.get(family, []), config)
            histogram = histogram.shifted(shifts)
        grid = best_grid(histogram, config.activation_bits, kind, power_of_two=config.power_of_two)
        for tap in members:
            if PER_PASS:
                own = tap.histogram if shifts is None else tap.histogram.shifted(shifts)
                grid = best_grid(own, config.activation_bits, kind, power_of_two=config.power_of_two)
            plans[tap.name] = TensorPlan(grid=grid, shifts=shifts)
    return plans


def _tapped_linears(encoder: nn.Module) -> list[TappedLinear]:
    return [module for module in encoder.modules() if isinstance(module, TappedLinear)]


def _readers(encoder: EarlyExitEncoder) -> dict[str, list[Reader]]:
    readers: dict[str, dict[int, Reader]] = {}
    for tapped in _tapped_linears(encoder):
        weights = tapped.linear.weight
        squares = sum_over_passes(encoder, weights)[1]
        readers.setdefault(tapped.tap.tensor, {})[id(weights)] = Reader(weights=weights.detach(), squares=squares)
    return {family: list(found.values()) for family, found in readers.items()}


def sum_over_passes(encoder: nn.Module, weights: nn.Parameter) -> tuple[Tensor, Tensor]:
    """Return the mean input, and the mean of its square, over all that read through `weights`, float64 [n_in] each."""
    users = [tapped for tapped in _tapped_linears(encoder) if tapped.linear.weight is weights]
    n_inputs = max(1, sum(tapped.n_inputs for tapped in users))
    sums = torch.stack([tapped.input_sum for tapped in users]).sum(0)
    squares = torch.stack([tapped.input_squares for tapped in users]).sum(0)
    return sums / n_inputs, squares / n_inputs


class _Linears:
    """Linears already converted, by their weights: those of shared layers share rounded weights and bias."""

    def __init__(self, encoder: EarlyExitEncoder, plans: dict[str, TensorPlan], config: QuantConfig) -> None:
        self.encoder, self.plans, self.config = encoder, plans, config
        self.parameters: dict[int, tuple[nn.Parameter, nn.Parameter | None, Tensor]] = {}
        self.made: dict[tuple[int, IntegerGrid], Any] = {}

    def converted(self, tapped: TappedLinear) -> QuantisedLinear:
        """Return the quantised form of a tapped linear."""
        plan = self.plans[tapped.tap.name]
        key = id(tapped.linear.weight)
        if key not in self.parameters:
            self.parameters[key] = self._parameters(tapped, plan.shifts)
        weights, bias, scales = self.parameters[key]
        if (key, plan.grid) not in self.made:
            self.made[key, plan.grid] = quantised_linear(weights, bias, scales, plan.grid, self.config)
        return QuantisedLinear(self.made[key, plan.grid], plan.shifts, reads_grid=not tapped.counts)

    @torch.no_grad()
    def _parameters(self, tapped: TappedLinear, shifts: Tensor | None) -> Any:
        source, bits = tapped.linear, self.config.weight_bits
        mean, squares = sum_over_passes(self.encoder, source.weight)
        factors = torch.ones(source.in_features) if shifts is None else torch.exp2(shifts.float())
        weights = source.weight * factors
        scales = weight_scales(weights, squares / factors.square(), bits, power_of_two=self.config.power_of_two)
        bias = source.bias
        if bias is not None:
            error = (weights - rounded(weights, scales, bits)).double() @ (mean / factors)
            bias = nn.Parameter(bias + error.to(bias.dtype))
        return nn.Parameter(weights), bias, scales
