"""DSP packing: the data sheets' rules, and the packed multiplication itself, every operand tried."""

from __future__ import annotations

import doctest

import numpy as np
import numpy.typing as npt
import pytest

import hexit.hw_model.packing
from hexit.hw_model.device import DspPrimitive
from hexit.hw_model.packing import DSP_PORTS_BITS, Packing, dsp_packing, most_products_per_dsp, products_per_dsp
from hexit.quant.config import LEGAL_BITS

Ints = npt.NDArray[np.int64]


@pytest.mark.parametrize(
    ("bits", "on_e1", "on_e2"),
    [
        ((8, 8), 1, 2),  # WP486: all 27 bits of the wide port
        ((8, 4), 2, 2),
        ((16, 4), 1, 2),
        ((16, 16), 1, 1),
        ((7, 8), 1, 2),  # 26 bits: -128 beside a negative value is less than 25 bits can say
        ((7, 7), 2, 2),
        ((9, 9), 1, 1),
        ((4, 4), 2, 4),  # WP521: 27 bits of the wide port, which a DSP48E1 does not have
        ((3, 3), 4, 4),
        ((5, 4), 2, 2),
    ],
)
def test_products_that_share_a_slice(bits: tuple[int, int], on_e1: int, on_e2: int) -> None:
    assert products_per_dsp(*bits, "DSP48E1", at_most=4) == on_e1
    assert products_per_dsp(*bits, "DSP48E2", at_most=4) == on_e2
    assert most_products_per_dsp(*bits, at_most=4) == max(on_e1, on_e2)


def test_a_design_may_ask_for_fewer() -> None:
    assert [products_per_dsp(4, 4, "DSP48E2", at_most=n) for n in (1, 2, 4)] == [1, 2, 4]


def test_products_lie_as_far_apart_as_the_white_papers_say() -> None:
    assert dsp_packing(8, 8, "DSP48E2", at_most=2).stride_bits == 18  # WP486
    assert dsp_packing(4, 4, "DSP48E2", at_most=4).stride_bits == 11  # WP521
    assert dsp_packing(8, 8, "DSP48E2", at_most=2).n_sums(8, 8) == 7  # WP486: seven products may be summed


@pytest.mark.parametrize("primitive", DSP_PORTS_BITS)
@pytest.mark.parametrize("activation_bits", LEGAL_BITS)
@pytest.mark.parametrize("weight_bits", LEGAL_BITS)
def test_packed_operands_fit_the_ports_and_narrower_ones_never_pack_worse(
    weight_bits: int, activation_bits: int, primitive: DspPrimitive
) -> None:
    packing = dsp_packing(activation_bits, weight_bits, primitive, at_most=4)
    wide, narrow = packing.port_bits(activation_bits, weight_bits)
    assert wide <= DSP_PORTS_BITS[primitive][0]
    assert narrow <= DSP_PORTS_BITS[primitive][1]
    assert packing.n_products >= products_per_dsp(activation_bits + 1, weight_bits, primitive, at_most=4)
    assert packing.n_products >= products_per_dsp(activation_bits, weight_bits + 1, primitive, at_most=4)


@pytest.mark.parametrize("bits", [(8, 8), (8, 4), (7, 8), (4, 4), (3, 3)])
@pytest.mark.parametrize("at_most", [2, 4])
def test_a_port_holds_the_least_and_the_largest_operands_together(bits: tuple[int, int], at_most: int) -> None:
    packing = dsp_packing(*bits, "DSP48E2", at_most=at_most)
    places = (
        (packing.n_weights, packing.n_activations * packing.stride_bits),
        (packing.n_activations, packing.stride_bits),
    )
    for port_bits, width, (n, stride) in zip(packing.port_bits(*bits), bits[::-1], places, strict=True):
        least = sum(-(1 << (width - 1)) << (i * stride) for i in range(n))
        assert -(1 << (port_bits - 1)) <= least
        assert n == 1 or least < -(1 << (port_bits - 2))  # and no bit fewer would do


def signed(bits: int) -> Ints:
    return np.arange(-(1 << (bits - 1)), 1 << (bits - 1))


def packed_sum(packing: Packing, activations: list[Ints], weights: list[Ints], n_sums: int) -> Ints:
    """The slice's result: n_sums times (sum of shifted weights) x (sum of shifted activations)."""
    wide = sum(w << (j * packing.n_activations * packing.stride_bits) for j, w in enumerate(weights))
    narrow = sum(a << (i * packing.stride_bits) for i, a in enumerate(activations))
    return n_sums * np.multiply(wide, narrow)


def field(packing: Packing, result: Ints, place: int) -> Ints:
    """Cut a sum out of the result: its own bits as a signed number, and the bit below them."""
    s = packing.stride_bits
    low = place * s
    bits = (result >> low) & ((1 << s) - 1)
    return np.where(bits >> (s - 1), bits - (1 << s), bits) + (((result >> (low - 1)) & 1) if place else 0)


@pytest.mark.parametrize(("activation_bits", "weight_bits", "n_products"), [(8, 8, 2), (8, 4, 2), (4, 4, 4)])
def test_the_packed_multiplication_yields_every_product(
    activation_bits: int, weight_bits: int, n_products: int
) -> None:
    """All operands of 8 x 8, 8 x 4 and 4 x 4 bits, single and summed as often as the guard bits allow."""
    packing = dsp_packing(activation_bits, weight_bits, "DSP48E2", at_most=4)
    assert packing.n_products == n_products
    weights = list(np.meshgrid(*[signed(weight_bits)] * packing.n_weights))
    others = signed(activation_bits) if packing.n_activations == 2 else [None]
    for n_sums in (1, packing.n_sums(activation_bits, weight_bits)):
        for first in signed(activation_bits):
            for second in others:
                activations = [first] if second is None else [first, second]
                result = packed_sum(packing, activations, weights, n_sums)
                assert np.abs(result).max() < 1 << 47  # the result register has 48 bits
                for i, activation in enumerate(activations):
                    for j, weight in enumerate(weights):
                        place = i + j * packing.n_activations
                        assert (field(packing, result, place) == n_sums * activation * weight).all()


@pytest.mark.parametrize("bits", [8, 4])
def test_one_sum_more_than_the_guard_bits_allow_is_lost(bits: int) -> None:
    packing = dsp_packing(bits, bits, "DSP48E2", at_most=4)
    lowest = np.array([-(1 << (bits - 1))])
    n_sums = packing.n_sums(bits, bits) + 1
    result = packed_sum(packing, [lowest] * packing.n_activations, [lowest] * packing.n_weights, n_sums)
    assert (field(packing, result, 0) != n_sums * lowest * lowest).all()


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(hexit.hw_model.packing) == (0, 2)
