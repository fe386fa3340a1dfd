"""The grid of least squared error for the values of a histogram: the one search for every range of activations."""

from __future__ import annotations

import math

import torch

from hexit.quant.quantisation.grid import GridKind, IntegerGrid, lowest_integer
from hexit.quant.quantisation.histogram import SMALLEST, Histogram

COARSE, FINE = 4, 32  # scales tried per octave: first all of SEARCHED_OCTAVES, then those beside the best of them
SEARCHED_OCTAVES = 8  # below the scale that clips nothing; at 2 bits heavy tails are clipped to some 1/30
ZERO_POINTS = 5  # tried between 0 and the one that clips no negative value, both included


def best_grid(histogram: Histogram, bits: int, kind: GridKind, *, power_of_two: bool) -> IntegerGrid:
    """Return the grid whose quantiser errs least on the counted values, rounding and clipping both counted.

    The error is that of the integers -2^(bits - 1) .. 2^(bits - 1) - 1 (signed) or 0 .. 2^bits - 1 themselves. Scales
    are float32 numbers; with `power_of_two` only powers of two are tried.
    """
    values = histogram.together()
    high, low = values.largest.flatten().tolist()
    signed = kind == "signed"
    lowest = lowest_integer(bits, signed=signed)
    highest = lowest + 2**bits - 1
    reach = {"signed": max(high, low * highest / -lowest if signed else 0), "unsigned": high, "offset": high + low}
    cover = reach[kind] / highest
    if cover <= 2 * SMALLEST / highest:
        return IntegerGrid(scale=SMALLEST, bits=bits, signed=signed)  # always zero; still needs a scale
    if power_of_two:
        first = math.ceil(math.log2(cover))
        return _best(values, bits, kind, [2.0**exponent for exponent in range(first, first - SEARCHED_OCTAVES, -1)])
    coarse = [cover * 2.0 ** (-step / COARSE) for step in range(SEARCHED_OCTAVES * COARSE)]
    near = _best(values, bits, kind, coarse).scale
    around = range(-(FINE // COARSE), FINE // COARSE + 1)
    fine = [near * 2.0 ** (step / FINE) for step in around]
    return _best(values, bits, kind, [scale for scale in fine if scale < cover] + [cover])


def _best(values: Histogram, bits: int, kind: GridKind, candidates: list[float]) -> IntegerGrid:
    signed = kind == "signed"
    lowest = lowest_integer(bits, signed=signed)
    highest = lowest + 2**bits - 1
    scales = torch.tensor(candidates, dtype=torch.float32).double()  # the quantiser's scale is a float32 number
    zero_points = torch.zeros_like(scales)
    if kind == "offset":
        full = (values.largest[0, 1] / scales).clamp_max(highest)
        zero_points = (full * torch.linspace(0, 1, ZERO_POINTS, dtype=torch.float64).unsqueeze(1)).round().flatten()
        scales = scales.repeat(ZERO_POINTS)
    best = int(values.squared_error(scales, zero_points, lowest, highest).flatten().argmin())
    return IntegerGrid(scale=float(scales[best]), bits=bits, signed=signed, zero_point=int(zero_points[best]))
