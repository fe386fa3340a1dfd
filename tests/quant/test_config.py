from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hexit.quant.config import LEGAL_BITS, QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.shapes import ALBERT_BASE, BERT_BASE


@pytest.mark.parametrize("bits", LEGAL_BITS)
def test_the_one_dial_sets_weights_and_activations(bits: int) -> None:
    config = QuantConfig.uniform(bits, power_of_two=True)
    assert (config.weight_bits, config.activation_bits, config.power_of_two) == (bits, bits, True)
    assert (config.logit_bits, config.bias_bits) == (16, 32)


@pytest.mark.parametrize("bits", [-8, 0, 1, 9, 15, 17, 32])
def test_other_widths_are_refused(bits: int) -> None:
    with pytest.raises(ConfigError, match=rf"^--bits = {bits}: must be 2\.\.8 or 16\. Try --bits 8\.$"):
        QuantConfig.uniform(bits)
    with pytest.raises(ConfigError, match=rf"^--weight-bits = {bits}: "):
        QuantConfig(weight_bits=bits, activation_bits=8)
    with pytest.raises(ConfigError, match=rf"^--activation-bits = {bits}: "):
        QuantConfig(weight_bits=8, activation_bits=bits)


@pytest.mark.parametrize("logit_bits", [3, 25])
def test_logits_have_4_to_24_bits(logit_bits: int) -> None:
    with pytest.raises(ConfigError, match=rf"^--logit-bits = {logit_bits}: must be 4\.\.24"):
        QuantConfig(weight_bits=8, activation_bits=8, logit_bits=logit_bits)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({name: 0}, rf"^shape\.{name} = 0: must be at least 1")
        for name in [
            field.name for field in dataclasses.fields(ALBERT_BASE) if type(getattr(ALBERT_BASE, field.name)) is int
        ]
    ]
    + [
        ({"n_heads": 7}, r"^shape\.n_heads = 7: must divide hidden_size 768\. Pick a divisor"),
        ({"n_layer_groups": 5}, r"^shape\.n_layer_groups = 5: must divide n_layers 12\. Pick a divisor"),
        ({"factorised_embedding": False}, r"^shape\.embedding_size = 128: must equal hidden_size 768 without"),
    ],
)
def test_impossible_sizes_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(ALBERT_BASE, **changes)


def test_derived_sizes() -> None:
    assert ALBERT_BASE.head_size == 64
    assert [ALBERT_BASE.layer_group(layer) for layer in (1, 12)] == [0, 0]
    wider = BERT_BASE.resized(n_layers=3, hidden_size=24, n_heads=3)
    assert (wider.n_layer_groups, wider.embedding_size, ALBERT_BASE.resized(n_layers=3).n_layer_groups) == (3, 24, 1)
    thirds = dataclasses.replace(ALBERT_BASE, n_layer_groups=3)
    assert [thirds.layer_group(layer) for layer in (1, 4, 5, 8, 9, 12)] == [0, 0, 1, 1, 2, 2]
