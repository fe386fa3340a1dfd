"""A shift for every channel of a tensor, so that a few loud channels do not coarsen all others.

    x[c] = scale 2^shift[c] n[c]        (W x)[o] = scale sum_c (W[o, c] 2^shift[c]) n[c]

What a layer norm makes has channels that are tens of times louder than the rest; so has GELU's output. Hardware has
the shifts for nothing or nearly: 2^-shift goes into gain and shift of the norm, or is a shift of up to MOST_SHIFT
places behind GELU; 2^shift goes into the columns of the weights that read the tensor, before these are rounded; the
adder of a residual shifts its operand by a constant per channel, read beside the gain. The residual keeps the width of
the activations. Factors of two make all this exact: in floating point the network stays what it was, bit for bit. Loud
columns coarsen the weights instead (SmoothQuant, arXiv 2211.10438), so the shifts are those whose expected error is
least, of both together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hexit.quant.config import QuantConfig
from hexit.quant.quantisation.grid import GridKind
from hexit.quant.quantisation.histogram import SMALLEST

MOST_SHIFT = 4  # 16 times the scale: a shifter of 0 to 4 places; louder channels are rare
MOST_SHIFTED_BITS = 8  # wider ones have resolution to spare; room for louder text in quiet channels is worth more
LEVELS = 9  # magnitudes tried that every channel is brought below, from the loudest channel's down by 2^(1/2) each


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reader:
    """Weights [n_out, n_channels] that read a tensor, the mean squares of what they read, and what of it is `left`.

    Both [n_channels]; `left` is what an error of a weight costs, see `correlation`.
    """

    weights: Tensor
    squares: Tensor
    left: Tensor


def channel_shifts(largest: Tensor, kind: GridKind, readers: list[Reader], config: QuantConfig) -> Tensor:
    """Return shifts int64 [n_channels], 0 .. MOST_SHIFT; `largest` [n_channels, 2] magnitudes of both signs."""
    loudest = largest.amax(1).clamp_min(SMALLEST)
    if config.activation_bits > MOST_SHIFTED_BITS:
        return torch.zeros(len(loudest), dtype=torch.int64)
    found = []
    for level in range(LEVELS):
        shifts = torch.ceil(torch.log2(loudest / loudest.max()) + level / 2).clamp(0, MOST_SHIFT).long()
        reach = float(torch.ldexp(loudest, -shifts).max())
        step = reach / 2 ** (config.activation_bits - (kind == "signed"))
        found.append((_expected_error(step, shifts, kind, readers, config.weight_bits), level, shifts))
    return min(found, key=lambda one: one[:2])[2]


def _expected_error(step: float, shifts: Tensor, kind: GridKind, readers: list[Reader], weight_bits: int) -> float:
    """Return the sum of the relative squared errors of all products, and of the residual where there is one.

    An operand rounded in steps of d errs by d^2/12 on average, a value below d by no more than its own square. Scales
    cover everything here: clipping comes later and shrinks all candidates alike.
    """
    factors = torch.exp2(shifts.double())
    total = 0.0
    for reader in readers:
        errors = torch.minimum((step * factors).square() / 12, reader.squares)
        power = reader.weights.square().sum(0).double()
        steps = (reader.weights * factors.float()).abs().amax(1).double() / (2 ** (weight_bits - 1) - 1)
        of_weights = steps.square().sum() / 12 * (reader.left / factors.square()).sum()
        total += float((power @ errors + of_weights) / (power @ reader.squares).clamp_min(SMALLEST))
    if kind == "signed" and readers:  # what a norm makes is also added to what comes next
        errors = torch.minimum((step * factors).square() / 12, readers[0].squares)
        total += float(errors.sum() / readers[0].squares.sum().clamp_min(SMALLEST))
    return total
