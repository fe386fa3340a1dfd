"""The grid that is chosen for a tensor, held against Brevitas' own quantiser run on the tensor's values."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from hexit.quant.config import LEGAL_BITS
from hexit.quant.quantisation.grid import GridKind, IntegerGrid
from hexit.quant.quantisation.histogram import Histogram, bin_edges
from hexit.quant.quantisation.layers import QuantisedTensor
from hexit.quant.quantisation.ranges import best_grid

pytestmark = pytest.mark.slow
NAMES = ("normal", "uniform", "heavy_tails", "two_outliers", "tiny", "gelu", "probabilities")
KIND: dict[str, GridKind] = {"gelu": "offset", "probabilities": "unsigned"}


def samples(name: str) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(20_000, generator=generator)
    uniform = torch.rand(20_000, generator=generator)
    return {
        "normal": normal,
        "uniform": 2 * uniform - 1,
        "heavy_tails": normal / uniform.sqrt(),
        "two_outliers": torch.cat([normal, torch.tensor([30.0, -40.0])]),
        "tiny": normal * 1e-4,
        "gelu": torch.nn.functional.gelu(1.5 * normal),
        "probabilities": torch.softmax(3 * normal.view(-1, 20), -1).flatten(),
    }[name]


def histogram_of(x: Tensor) -> Histogram:
    histogram = Histogram()
    histogram.count(x)
    return histogram


def error_of_brevitas(x: Tensor, grid: IntegerGrid, *, power_of_two: bool) -> float:
    with torch.inference_mode():
        return float((QuantisedTensor(grid, None, power_of_two=power_of_two)(x) - x).double().square().sum())


@pytest.mark.parametrize("bits", LEGAL_BITS)
@pytest.mark.parametrize("name", NAMES)
def test_no_other_grid_of_brevitas_errs_less(name: str, bits: int) -> None:
    """Brevitas itself runs at 60 scales around and below the covering one, and at other zero points."""
    x = samples(name)
    kind = KIND.get(name, "signed")
    grid = best_grid(histogram_of(x), bits, kind, power_of_two=False)
    cover = float(x.abs().max()) / grid.highest
    zero_points = {0, 1, grid.zero_point, round(grid.zero_point / 2), 2 * grid.zero_point} if kind == "offset" else {0}
    others = [
        IntegerGrid(scale=cover * 1.05 * 2.0 ** (-step / 8), bits=bits, signed=kind == "signed", zero_point=zero_point)
        for step in range(60)
        for zero_point in zero_points
    ]
    best = min(error_of_brevitas(x, other, power_of_two=False) for other in others)
    # values count as spread over bins of 6 % at most, scales are 2 % apart at the end: together below 3 % of the
    # error's root wherever rounding errors are many; at 16 bits two outliers alone decide, and they are exact
    assert math.sqrt(error_of_brevitas(x, grid, power_of_two=False) / best) < 1.03


@pytest.mark.parametrize("bits", LEGAL_BITS)
@pytest.mark.parametrize("name", NAMES)
def test_no_other_power_of_two_errs_less(name: str, bits: int) -> None:
    x = samples(name)
    grid = best_grid(histogram_of(x), bits, KIND.get(name, "signed"), power_of_two=True)
    assert math.frexp(grid.scale)[0] == 0.5
    others = [dataclasses.replace(grid, scale=math.ldexp(grid.scale, step)) for step in (-2, -1, 1, 2)]
    found = error_of_brevitas(x, grid, power_of_two=True)
    best = min(error_of_brevitas(x, other, power_of_two=True) for other in others)
    assert math.sqrt(found / best) < 1.03  # candidates are factors of two apart, but neighbours can be equally good


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("name", NAMES)
def test_the_expected_error_is_the_one_that_brevitas_makes(name: str, bits: int) -> None:
    x = samples(name)
    histogram, kind = histogram_of(x), KIND.get(name, "signed")
    grid = best_grid(histogram, bits, kind, power_of_two=False)
    for factor in (0.5, 1.0, 2.0):
        other = dataclasses.replace(grid, scale=grid.scale * factor)
        limits = torch.tensor([other.scale]), torch.tensor([other.zero_point]), other.lowest, other.highest
        expected = float(histogram.squared_error(*limits))
        assert expected == pytest.approx(error_of_brevitas(x, other, power_of_two=False), rel=0.05)  # bins of 3 to 6 %


@pytest.mark.parametrize("power_of_two", [False, True])
@pytest.mark.parametrize("kind", ["signed", "unsigned", "offset"])
@pytest.mark.parametrize("bits", LEGAL_BITS)
def test_brevitas_runs_the_grid_that_was_chosen(bits: int, kind: GridKind, power_of_two: bool) -> None:
    x = torch.linspace(-1, 3, 4001) if kind != "unsigned" else torch.linspace(0, 3, 4001)
    grid = best_grid(histogram_of(x), bits, kind, power_of_two=power_of_two)
    with torch.inference_mode():
        theirs = QuantisedTensor(grid, None, power_of_two=power_of_two, tensor=True)(x)
    assert float(theirs.scale) == pytest.approx(grid.scale, rel=2.0**-23)  # unsigned: their limit is rounded twice
    n = (x.double() / theirs.scale.double() + grid.zero_point).round().clamp(grid.lowest, grid.highest)
    given = theirs.value.double() / theirs.scale.double() + grid.zero_point
    assert float((n - given.round()).abs().max()) <= 1  # a value at the middle of two goes either way in float32
    assert int((n != given.round()).sum()) <= len(x) // 100
    assert grid.zero_point == 0 or kind == "offset"
    assert grid.zero_point > 0 or kind != "offset" or bits == 2  # a quarter of the values lies below zero


def test_a_histogram_counts_over_all_its_calls() -> None:
    x = samples("normal")
    whole, parts = histogram_of(x), Histogram()
    for part in torch.tensor_split(x, 7):
        parts.count(part)
    assert torch.equal(parts.counts, whole.counts)
    assert torch.equal(parts.largest, whole.largest)
    assert whole.counts.sum() == len(x)
    assert whole.largest.tolist() == [[float(x.max()), -float(x.min())]]


def test_bins_hold_the_values_between_their_edges() -> None:
    edges = bin_edges()
    inside = edges[1:-1].float()
    below, above = torch.nextafter(inside, torch.tensor(0.0)), torch.nextafter(inside, torch.tensor(1e9))
    for values, offset in ((below, 0), (inside, 1), (above, 1)):
        for side, sign in enumerate((1, -1)):
            counts = histogram_of(sign * values).counts[0, side]
            assert counts[offset : offset + len(inside)].tolist() == [1] * len(inside)


def test_shifts_move_counts_as_they_move_values() -> None:
    x = torch.randn(500, 6, generator=torch.Generator().manual_seed(0))
    shifts = torch.tensor([0, 1, 4, 0, 2, 3])
    plain, moved = Histogram(6), Histogram(6)
    plain.count(x)
    moved.count(x * torch.exp2(-shifts.float()))
    assert torch.equal(plain.shifted(shifts).counts, moved.counts)
    assert torch.equal(plain.shifted(shifts).largest, moved.largest)
    assert torch.equal(plain.shifted(shifts).together().counts, histogram_of(x * torch.exp2(-shifts.float())).counts)


@pytest.mark.parametrize("power_of_two", [False, True])
def test_a_tensor_that_is_always_zero_still_has_a_scale(power_of_two: bool) -> None:
    grid = best_grid(histogram_of(torch.zeros(4)), 8, "signed", power_of_two=power_of_two)
    assert 0 < grid.scale < 1e-6
    assert math.frexp(grid.scale)[0] == 0.5
