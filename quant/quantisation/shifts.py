"""A shift for every channel of a tensor that a layer norm makes, so that few loud channels do not coarsen all others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hexit.quant.config import QuantConfig
from hexit.quant.quantisation.histogram import SMALLEST, Histogram
from hexit.quant.quantisation.ranges import best_grid
from hexit.quant.quantisation.weights import rounded, weight_scales

MOST_SHIFT = 4
LEVELS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Weights [n_out, n_channels] that read a tensor, and the mean squares of what they read [n_channels]."""

    weights: Tensor
    squares: Tensor


def channel_shifts(histogram: Histogram, readers: list[Reader], config: QuantConfig) -> Tensor:
    """Return shifts int64 [n_channels], 0 .. MOST_SHIFT."""
    largest = histogram.largest.amax(1).clamp_min(SMALLEST)
    found = []
    for level in range(LEVELS):
        threshold = largest.max() * 2.0 ** (-level / 2)
        shifts = torch.ceil(torch.log2(largest / threshold)).clamp(0, MOST_SHIFT).long()
        found.append((_relative_error(histogram, shifts, readers, config), level, shifts))
    return min(found, key=lambda item: item[:2])[2]


def _relative_error(histogram: Histogram, shifts: Tensor, readers: list[Reader], config: QuantConfig) -> float:
    grid = best_grid(histogram.shifted(shifts), config.activation_bits, "signed", power_of_two=config.power_of_two)
    scale = torch.tensor([grid.scale])
    moved = histogram.shifted(shifts)
    counts = histogram.counts.sum((1, 2)).clamp_min(1)
    errors = moved.squared_error(scale, torch.zeros(1), grid.lowest, grid.highest)[0] / counts
    factors = torch.exp2(shifts.double())
    errors = errors * factors.square()
    total = 0.0
    for reader in readers:
        weights = reader.weights * factors.float()
        scales = weight_scales(
            weights, reader.squares / factors.square(), config.weight_bits, power_of_two=config.power_of_two
        )
        slips = ((rounded(weights, scales, config.weight_bits) - weights) / factors.float()).double().square().sum(0)
        power = reader.weights.double().square().sum(0)
        total += float((power @ errors + slips @ reader.squares) / (power @ reader.squares).clamp_min(SMALLEST))
    if readers:
        total += float(errors.sum() / readers[0].squares.sum().clamp_min(SMALLEST))
    return total
