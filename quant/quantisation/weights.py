"""Weights to integers: a scale for every output channel, and the integers whose product errs least."""

from __future__ import annotations

import torch
from torch import Tensor

from hexit.quant.quantisation.correlation import InputCorrelation
from hexit.quant.quantisation.histogram import SMALLEST

FRACTIONS = tuple(
    1 - 0.025 * step for step in range(29)
)  # of the scale that clips nothing; at 2 bits the best is near 0.4
PO2_CANDIDATES = 3  # powers of two tried, down from the one that clips nothing
BLOCK = 64  # inputs whose errors are passed on to all later ones together
EXACT_BITS = 8  # from here on nothing is clipped: rounding is below 1 % of a weight's spread


def weight_scales(weights: Tensor, importance: Tensor, bits: int, *, power_of_two: bool) -> Tensor:
    """Return a scale per output channel, float32 [n_out, 1], for integers of +-(2^(bits - 1) - 1).

    The scale minimises sum_i importance_i (w_i - scale n_i)^2, `importance` [n_in] being what an error of weight i
    costs (`InputCorrelation.left`). With `power_of_two` only such are tried.
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


def compensated(weights: Tensor, scales: Tensor, bits: int, inputs: InputCorrelation) -> Tensor:
    """Return weights rounded input by input, float32 integers times scales, those not yet rounded making up for it.

    Rounding weight j with error e_j moves weight k > j by -e_j U_jk / U_jj: the least squares solution for those that
    are left, so that the mean square error of the product is sum_j left_j e_j^2 (GPTQ, arXiv 2210.17323).
    """
    top, factor = 2 ** (bits - 1) - 1, inputs.factor
    columns = weights.double()[:, inputs.order].T.contiguous()  # [n_in, n_out]: an input's weights lie side by side
    steps = scales.double().flatten()
    for start in range(0, len(columns), BLOCK):
        block, own = columns[start : start + BLOCK], factor[start : start + BLOCK, start : start + BLOCK]
        errors = torch.empty_like(block)
        for j in range(len(block)):
            kept = (block[j] / steps).round_().clamp_(-top, top).mul_(steps)
            errors[j] = (block[j] - kept) / own[j, j]
            block[j:].addr_(own[j, j:], errors[j], alpha=-1)
            block[j] = kept
        after = start + len(block)
        columns[after:] -= factor[start:after, after:].T @ errors
    kept = torch.empty_like(weights)
    kept[:, inputs.order] = columns.T.to(weights.dtype)
    return kept
