"""Cost of an exit head as its own engine: closed forms worked by hand, and how they move."""

from __future__ import annotations

import numpy as np
import pytest

from hexit.hw_model.exit_unit.head import modelled_head
from hexit.quant.integer.head import HeadScales, IntegerDense, IntegerHead, integer_head

HIDDEN = 64


def head(*, pooler: bool, n_classes: int = 2, weight_bits: int = 8) -> IntegerHead:
    random = np.random.default_rng(1)
    top = 2 ** (weight_bits - 1) - 1

    def dense(n_out: int) -> IntegerDense:
        weights = random.integers(-top, top + 1, (n_out, HIDDEN))
        return IntegerDense(weights=weights, bias=np.zeros(n_out, np.int64), weight_bits=weight_bits, input_bits=8)

    scales = HeadScales(
        inputs=0.01,
        pooler_weights=np.full(HIDDEN if pooler else 0, 0.01),
        features=0.01,
        classifier_weights=np.full(n_classes, 0.01),
        logits=0.001,
    )
    return integer_head(
        pooler=dense(HIDDEN) if pooler else None, classifier=dense(n_classes), scales=scales, logit_bits=16
    )


def test_a_classifier_with_a_multiplier_per_class() -> None:
    cost = modelled_head(head(pooler=False), reuse_factor=64)
    # 64 products of one multiplier each: 64 + 2; two channels one after the other: 2 + 4
    assert (cost.latency_cycles, cost.initiation_interval_cycles) == (64 + 2 + 2 + 4, 64)
    assert cost.resources.dsp == 2 + 1  # one multiplier per class, one for the requantisation
    assert cost.evidence == "modelled"


def test_a_pooler_comes_first_with_its_table() -> None:
    cost = modelled_head(head(pooler=True), reuse_factor=16)
    pooler = 16 + 2 + 2  # 4 products of an output at a time: two levels of adders
    activation = 16 + 4 + 2  # 64 channels on 4 lanes
    classifier = 16 + 2 + 2
    scores = 2 + 4
    assert cost.latency_cycles == pooler + activation + classifier + scores
    assert cost.initiation_interval_cycles == 16
    assert cost.resources.dsp == 64 * 4 + 4 + 2 * 4 + 1
    # words of 256 x 8 bits and of 8 x 8 bits at 36 a block; a table of 1024 x 18 bits for every two lanes
    assert cost.resources.bram18 == 57 + 2 + 2


@pytest.mark.parametrize("reuse_factor", [1, 4, 16, 64])
def test_more_reuse_is_slower_and_smaller(reuse_factor: int) -> None:
    built = head(pooler=True)
    few, many = modelled_head(built, reuse_factor), modelled_head(built, 2 * reuse_factor)
    assert many.resources.dsp <= few.resources.dsp
    assert many.initiation_interval_cycles >= few.initiation_interval_cycles


def test_narrow_weights_take_less_memory() -> None:
    wide, narrow = (modelled_head(head(pooler=True, weight_bits=bits), 16).resources for bits in (8, 2))
    assert narrow.bram18 < wide.bram18
