"""The scale of every output channel's weights: the one whose rounding errs least in the product."""

from __future__ import annotations

import torch
from torch import Tensor

from hexit.quant.quantisation.histogram import SMALLEST

FRACTIONS = tuple(
    1 - 0.025 * step for step in range(29)
)  # of the scale that clips nothing; at 2 bits the best is near 0.4
PO2_CANDIDATES = 3  # powers of two tried, down from the one that clips nothing
EXACT_BITS = 8  # from here on nothing is clipped: rounding is below 1 % of a weight's spread


def weight_scales(weights: Tensor, importance: Tensor, bits: int, *, power_of_two: bool) -> Tensor:
    """Return a scale per output channel, float32 [n_out, 1], for integers of +-(2^(bits - 1) - 1).

    The scale minimises sum_i importance_i (w_i - scale n_i)^2, `importance` [n_in] being the mean square of input i:
    the mean square error of the output, as far as inputs are uncorrelated. With `power_of_two` only such are tried.
    """
    top = 2 ** (bits - 1) - 1
    cover: Tensor = (weights.abs().amax(1, keepdim=True) / top).clamp_min(SMALLEST)
    if power_of_two:
        first = torch.exp2(torch.ceil(torch.log2(cover)))
        candidates = [first * 2.0**-step for step in range(PO2_CANDIDATES)]
    elif bits >= EXACT_BITS:
        return cover
    else:
        candidates = [cover * fraction for fraction in FRACTIONS]
    share = (importance / importance.mean().clamp_min(SMALLEST)).float()
    errors = torch.stack([(rounded(weights, scale, bits) - weights).square() @ share for scale in candidates])
    best = errors.argmin(0)
    return torch.stack(candidates)[best, torch.arange(len(weights))]


def rounded(weights: Tensor, scales: Tensor, bits: int) -> Tensor:
    """Return the weights as their integers times the scales."""
    top = 2 ** (bits - 1) - 1
    integers = torch.round(weights / scales).clamp_(-top, top)
    return integers * scales
