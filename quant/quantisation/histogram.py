"""How often a tensor has which value, counted so that squared errors of quantisation follow from the counts alone.

A bin holds the float32 numbers that share sign, exponent and the first MANTISSA_BITS of their mantissa. So outliers,
which decide a range, are all counted, a factor of two moves every count by 2^MANTISSA_BITS bins exactly, and counts of
batches add up to the same sum in any order.
"""

from __future__ import annotations

import torch
from torch import Tensor

MANTISSA_BITS = 4
BINS_PER_OCTAVE = 1 << MANTISSA_BITS
SMALLEST_EXPONENT, OCTAVES = -24, 40  # magnitudes below 2^-24 count as bin 0, above 2^16 as the last one
SMALLEST = 2.0**SMALLEST_EXPONENT
LEAST_WAITING = 1 << 16  # values that are kept to be counted together, or twice as many as there are counters
N_BINS = BINS_PER_OCTAVE * OCTAVES  # of one sign
_FIRST_BIN = (127 + SMALLEST_EXPONENT) << MANTISSA_BITS
_WITHOUT_SIGN = 0x7FFFFFFF


class Histogram:
    """Counts [n_channels, 2, N_BINS] (positive, negative values), and the largest value of each sign [n_channels, 2].

    With one channel all values of a tensor are counted together; else its last dimension has `n_channels`.
    """

    def __init__(self, n_channels: int = 1) -> None:
        """Start with no values."""
        self._counts = torch.zeros(n_channels, 2, N_BINS, dtype=torch.int32)
        self._largest = torch.zeros(n_channels, 2, dtype=torch.float64)
        self._waiting: list[Tensor] = []
        self._n_waiting = 0

    @property
    def n_channels(self) -> int:
        """Channels that are counted apart."""
        return len(self._counts)

    @property
    def counts(self) -> Tensor:
        """How many values each bin holds, int32 [n_channels, 2, N_BINS]."""
        self._count_waiting()
        return self._counts

    @property
    def largest(self) -> Tensor:
        """Largest positive value and largest magnitude of a negative one, 0 where there is none, [n_channels, 2]."""
        self._count_waiting()
        return self._largest

    def count(self, x: Tensor) -> None:
        """Count the values of `x`, float32 [..., n_channels] (of any shape with one channel)."""
        self._waiting.append(x.detach().reshape(-1, self.n_channels))
        self._n_waiting += x.numel()
        if self._n_waiting >= max(LEAST_WAITING, 2 * self._counts.numel()):
            self._count_waiting()

    def _count_waiting(self) -> None:
        if not self._waiting:
            return
        x = torch.cat(self._waiting)
        self._waiting, self._n_waiting = [], 0
        if not x.numel():
            return
        low, high = (x.min(), x.max()) if self.n_channels == 1 else (x.amin(0), x.amax(0))
        ends = torch.stack([high, -low], -1).double().view(self.n_channels, 2)
        self._largest = torch.maximum(self._largest, ends)
        bits = x.view(torch.int32)
        bins = ((bits & _WITHOUT_SIGN) >> (23 - MANTISSA_BITS)).sub_(_FIRST_BIN).clamp_(0, N_BINS - 1)
        bins += (bits < 0).to(torch.int32).mul_(N_BINS)
        if self.n_channels > 1:
            bins += torch.arange(self.n_channels, dtype=torch.int32) * (2 * N_BINS)
        counted = torch.bincount(bins.flatten(), minlength=self._counts.numel()).to(torch.int32)
        self._counts = self._counts + counted.view_as(self._counts)

    def shifted(self, shifts: Tensor) -> Histogram:
        """Return the histogram of the values times 2^-shifts, integers >= 0 [n_channels]; exact but for bin 0."""
        moved = Histogram(self.n_channels)
        for shift in set(shifts.tolist()):
            rows, places = shifts == shift, min(shift * BINS_PER_OCTAVE, N_BINS - 1)
            moved._counts[rows, :, : N_BINS - places] = self.counts[rows, :, places:]
            moved._counts[rows, :, 0] += self.counts[rows, :, :places].sum(-1, dtype=torch.int32)
        moved._largest = torch.ldexp(self.largest, -shifts.unsqueeze(1))
        return moved

    def together(self) -> Histogram:
        """Return the histogram of all channels as one."""
        one = Histogram()
        one._counts, one._largest = (
            self.counts.sum(0, keepdim=True, dtype=torch.int32),
            self.largest.amax(0, keepdim=True),
        )
        return one

    def squared_error(self, scales: Tensor, zero_points: Tensor, lowest: int, highest: int) -> Tensor:
        """Return the sum of (x - Q(x))^2 per channel, float64 [n_grids, n_channels]; `scales`, `zero_points` [n_grids].

        Values count as spread evenly over their bin, cut at the largest value of the channel. In steps, u = x / scale,
        the integral of (u - n(u))^2 from 0 to u is n/12 + (u - n)^3/3 with n the integer that u is rounded and clamped
        to, whether rounding or clamping decides; so no noise model is needed.
        """
        steps = scales.double().reshape(-1, 1, 1)
        limits = [(limit - zero_points.double()).reshape(-1, 1, 1) for limit in (lowest, highest)]
        total = torch.zeros(len(scales), self.n_channels, dtype=torch.float64)
        edges = bin_edges()
        for side, sign in enumerate((1, -1)):
            bins = self.counts[:, side].any(0).nonzero().flatten()
            largest = self.largest[:, side, None]
            u0, u1 = (sign * torch.minimum(edges[bins + end], largest) / steps for end in (0, 1))
            total += (_mean_squared_error(u0, u1, *limits) * self.counts[:, side, bins]).sum(-1)
        return total * steps.squeeze(-1) ** 2


def bin_edges() -> Tensor:
    """Return the lower edges of all bins and the upper edge of the last one, float64 [N_BINS + 1], from 0."""
    number = torch.arange(N_BINS + 1, dtype=torch.float64)
    octave = torch.div(number, BINS_PER_OCTAVE, rounding_mode="floor")
    edges = torch.ldexp(1 + (number - octave * BINS_PER_OCTAVE) / BINS_PER_OCTAVE, octave + SMALLEST_EXPONENT)
    edges[0] = 0
    return edges


def _mean_squared_error(u0: Tensor, u1: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
    n0, n1 = (u.round().clamp(lowest, highest) for u in (u0, u1))
    integral = (n1 - n0) / 12 + ((u1 - n1) ** 3 - (u0 - n0) ** 3) / 3
    width = u1 - u0
    return torch.where(width == 0, (u1 - n1) ** 2, integral / torch.where(width == 0, 1, width))
