"""Scales of weights, and rounding in which later weights make up for earlier ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hexit.quant.quantisation.correlation import DAMPING, InputCorrelation, input_correlation
from hexit.quant.quantisation.weights import BLOCK, compensated, rounded, weight_scales


def correlated_rows(n_in: int, n_rows: int = 500) -> Tensor:
    """Return float32 rows [n_rows, n_in] of a quarter as many causes, on a mean that no bias would leave there."""
    generator = torch.Generator().manual_seed(n_in)
    causes = torch.randn(n_rows, -(-n_in // 4), generator=generator)
    own = torch.randn(n_rows, n_in, generator=generator)
    return causes @ torch.randn(causes.shape[1], n_in, generator=generator) + 0.3 * own + 2


FLOAT32_SUMS = 2e-5  # of 500 products each, which the factorisation then amplifies a little


def damped_covariance(rows: Tensor) -> Tensor:
    covariance = torch.cov(rows.double().T, correction=0).reshape(rows.shape[1], -1)
    return covariance + DAMPING * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.float64)


def weights_and_scales(n_in: int, bits: int) -> tuple[Tensor, Tensor]:
    weights = torch.randn(6, n_in, generator=torch.Generator().manual_seed(1))
    return weights, weight_scales(weights, torch.ones(n_in), bits, power_of_two=False)


def least_squares(weights: Tensor, scales: Tensor, bits: int, covariance: Tensor, order: list[int]) -> Tensor:
    """Round input by input; after each, solve anew for all that are left: the slow way, from the definition."""
    top, wanted, found = 2 ** (bits - 1) - 1, weights.double(), weights.double().clone()
    for done, i in enumerate(order):
        steps = scales.double().flatten()
        found[:, i] = (found[:, i] / steps).round().clamp(-top, top) * steps
        kept, free = order[: done + 1], order[done + 1 :]
        error = (wanted - found)[:, kept] @ covariance[kept][:, free]
        found[:, free] = wanted[:, free] + torch.linalg.solve(covariance[free][:, free], error.T).T
    return found


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("n_in", [1, 7, BLOCK, BLOCK + 9])
def test_weights_left_make_up_for_those_rounded_as_least_squares_would(n_in: int, bits: int) -> None:
    rows = correlated_rows(n_in)
    inputs = input_correlation(rows)
    weights, scales = weights_and_scales(n_in, bits)
    found = compensated(weights, scales, bits, inputs)
    expected = least_squares(weights, scales, bits, damped_covariance(rows), inputs.order.tolist())
    assert torch.equal((found / scales).round(), (expected / scales).round())
    assert torch.allclose(found, expected.float(), rtol=2.0**-22)


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_correlated_inputs_err_less_than_rounding_each_weight(bits: int) -> None:
    rows = correlated_rows(100)
    weights, scales = weights_and_scales(100, bits)
    covariance = damped_covariance(rows)

    def error(kept: Tensor) -> float:
        off = (weights - kept).double()
        return float(((off @ covariance) * off).sum())

    least = 0.9 if bits == 2 else 0.6  # at 2 bits clipping leaves little to move
    assert error(compensated(weights, scales, bits, input_correlation(rows))) < least * error(
        rounded(weights, scales, bits)
    )


def test_inputs_that_know_nothing_of_each_other_are_rounded_each() -> None:
    apart = InputCorrelation(order=torch.arange(40), factor=torch.diag(torch.rand(40, dtype=torch.float64) + 1))
    weights, scales = weights_and_scales(40, 4)
    assert torch.equal(compensated(weights, scales, 4, apart), rounded(weights, scales, 4))


def test_what_is_left_of_an_input_is_its_variance_given_all_later_ones() -> None:
    rows = correlated_rows(12)
    inputs, covariance = input_correlation(rows), damped_covariance(rows)
    order = inputs.order.tolist()
    for place, i in enumerate(order):
        later = order[place + 1 :]
        explained = covariance[i, later] @ torch.linalg.solve(covariance[later][:, later], covariance[later, i])
        assert float(inputs.left[i]) == pytest.approx(float(covariance[i, i] - explained), rel=FLOAT32_SUMS)
    assert rows.var(0)[order].diff().le(0).all()  # loudest first


def test_shifts_scale_what_is_left() -> None:
    """One factorisation serves all shifts: it is that of the shifted inputs in the same order."""
    rows, shifts = correlated_rows(12), torch.arange(12) % 3
    inputs = input_correlation(rows)
    assert inputs.scaled(None) is inputs
    scaled = inputs.scaled(shifts)
    assert torch.equal(scaled.left, inputs.left / torch.exp2(2.0 * shifts.double()))
    precision = torch.linalg.inv(damped_covariance(rows) / torch.exp2((shifts[:, None] + shifts).double()))
    order = inputs.order
    assert torch.allclose(
        scaled.factor.T @ scaled.factor, precision[order][:, order], rtol=0, atol=FLOAT32_SUMS * float(precision.max())
    )


def test_silent_inputs_and_a_single_row_are_rounded_too() -> None:
    weights, scales = weights_and_scales(9, 4)
    for rows in (torch.zeros(5, 9), torch.ones(1, 9)):
        assert torch.equal(compensated(weights, scales, 4, input_correlation(rows)), rounded(weights, scales, 4))


@pytest.mark.parametrize("power_of_two", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 4, 6])
def test_scales_of_weights_err_no_more_than_those_that_clip_nothing(bits: int, power_of_two: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    weights, importance = torch.randn(32, 200, generator=generator), torch.rand(200, generator=generator)
    importance[:20] *= 50

    def error(scales: torch.Tensor) -> torch.Tensor:
        return (rounded(weights, scales, bits) - weights).square() @ importance

    scales = weight_scales(weights, importance, bits, power_of_two=power_of_two)
    cover = weights.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
    if power_of_two:
        cover = torch.exp2(cover.log2().ceil())
    plain = weight_scales(weights, torch.ones(200), bits, power_of_two=power_of_two)
    assert (error(scales) <= error(cover)).all()
    assert (error(scales) <= error(plain)).all()
    assert float(error(scales).sum()) < (0.9 if bits < 6 and not power_of_two else 1.01) * float(error(cover).sum())


def test_weights_of_8_bits_are_not_clipped() -> None:
    weights = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    scales = weight_scales(weights, torch.ones(50), 8, power_of_two=False)
    assert torch.allclose(scales.flatten() * 127, weights.abs().amax(1), rtol=2.0**-23)
