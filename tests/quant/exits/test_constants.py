"""Rules in integers: equal to the published ones with two classes, within a proven margin with more."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.quant.arrays import Integers
from hexit.quant.errors import ConfigError
from hexit.quant.exits.constants import integer_form
from hexit.quant.exits.integer_rule import DifferenceTest, SideRun
from hexit.quant.exits.published import decide, log_odds, normalized_entropy, softmax
from hexit.quant.exits.rules import (
    RULES,
    ElbertExit,
    EntropyExit,
    ExitRule,
    HardwareOrientedExit,
    MaximumProbabilityExit,
    NormalizedEntropyExit,
    OracleExit,
    parse_rule,
)
from hexit.quant.exits.table_format import TableFormat
from hexit.quant.exits.unit import exit_unit_spec, unit_decision
from support.exit_rules import classes_of, decision_of_unit, integer_logits, rules
from support.paths import ROOT

scales = st.one_of(st.integers(-14, 0).map(lambda k: 2.0**k), st.floats(2.0**-14, 1.0, width=32, allow_subnormal=False))


@pytest.mark.parametrize("name", [name for name in RULES if name != "oracle"])
@given(data=st.data(), scale=scales)
def test_integer_form_equals_float_form_with_two_classes(name: str, scale: float, data: st.DataObject) -> None:
    rule = data.draw(rules(name))
    if isinstance(rule, ElbertExit) and rule.bias == "bias_3":
        rule = dataclasses.replace(rule, range_limit=max(rule.range_limit, 0.02))
        scale = max(scale, 2.0**-10)  # so that the limits fit their table
    q = data.draw(integer_logits(classes_of(name)))

    real, integer = decide(rule, q * scale), decision_of_unit(rule, q, scale)

    assert integer.exit_layer.tolist() == real.exit_layer.tolist()
    assert integer.prediction.tolist() == real.prediction.tolist()


def least_difference(rule: ExitRule, scale: float) -> int:
    """The smallest difference of integer logits that exits, where it alone decides."""
    test = integer_form(rule, n_classes=2, scale=scale).confidence
    assert isinstance(test, DifferenceTest)
    return test.minimum


@pytest.mark.parametrize(
    "rule",
    [
        HardwareOrientedExit(threshold=2.0, run_length=99),
        ElbertExit(threshold=0.3, window=99),
        NormalizedEntropyExit(threshold=0.5),
        EntropyExit(threshold=0.1),
        MaximumProbabilityExit(threshold=0.9),
    ],
)
@pytest.mark.parametrize("scale", [2.0**-9, 0.1, 2.0**-4])
def test_every_pair_of_integers_near_the_threshold_agrees(rule: ExitRule, scale: float) -> None:
    scale = float(np.float32(scale))
    base, off = np.meshgrid(np.arange(-50, 50) * 977, np.arange(-3, 4) + least_difference(rule, scale))
    pairs = np.stack([base.ravel(), (base + off).ravel()], axis=-1)
    q = np.zeros((2, 2 * len(pairs), 2), dtype=np.int64)
    q[0] = np.concatenate([pairs, pairs[:, ::-1]])
    layers = decision_of_unit(rule, q, scale).exit_layer
    assert layers.tolist() == decide(rule, q * scale).exit_layer.tolist()
    assert set(layers.tolist()) == {1, 2}


@pytest.mark.parametrize("name", ["entropy", "normalized-entropy", "max-probability"])
@pytest.mark.parametrize("n_classes", [3, 6])
@pytest.mark.parametrize("scale", [0.1, 2.0**-10])
@pytest.mark.parametrize("tables", [(12, 16), (7, 20), (12, 6)])
def test_tables_disagree_within_their_margin_and_nowhere_else(
    name: str, n_classes: int, scale: float, tables: tuple[int, int]
) -> None:
    threshold = 0.7
    rule = parse_rule(name, threshold)
    spread = np.random.default_rng(n_classes).normal(0, 2, (1, 20000, n_classes))
    q = np.concatenate([np.rint(spread / scale).astype(int)] * 2)
    table_format = TableFormat(address_bits=tables[0], fraction_bits=tables[1])
    spec = exit_unit_spec(rule, n_layers=2, n_classes=n_classes, scale=scale, tables=table_format)
    p = softmax(q[0] * scale)
    measure = p.max(axis=1) if name == "max-probability" else -(p * np.log(p)).sum(axis=1)
    nats = threshold * math.log(n_classes) if name == "normalized-entropy" else threshold

    differ = unit_decision(spec, q).exit_layer != decide(rule, q * scale).exit_layer

    farthest = np.abs(measure - nats)[differ].max(initial=0.0)
    assert farthest <= spec.form.confidence_margin
    if tables == (7, 20):
        assert farthest > spec.form.confidence_margin / 20  # the bound is not idle
        if name == "max-probability" and scale < 0.1:
            assert farthest < spec.form.confidence_margin / 5  # the nearest entry is read


def test_margins_of_the_default_tables_are_small() -> None:
    fine = integer_form(EntropyExit(), n_classes=3, scale=2.0**-8)
    assert fine.confidence_margin < 6e-4
    assert integer_form(MaximumProbabilityExit(), n_classes=3, scale=2.0**-8).confidence_margin < 5e-5
    assert integer_form(ElbertExit(), n_classes=3, scale=2.0**-8).log_odds_margin < 3e-4
    assert integer_form(EntropyExit(), n_classes=2, scale=2.0**-8).confidence_margin == 0.0


@given(data=st.data(), scale=scales, bias=st.sampled_from(["bias_1", "bias_2", "bias_3"]), margin=st.floats(0, 0.3))
def test_elbert_tables_agree_away_from_every_threshold(
    data: st.DataObject, scale: float, bias: Any, margin: float
) -> None:
    rule = ElbertExit(threshold=0.2, window=3, bias=bias, margin=margin, range_limit=0.2)
    q = data.draw(integer_logits(3, largest=1 << 12))
    spec = exit_unit_spec(rule, n_layers=len(q), n_classes=3, scale=scale)
    form, real = spec.form, np.asarray(q * scale, dtype=np.float64)
    hn, u = normalized_entropy(real), log_odds(real)
    near = np.abs(hn * math.log(3) - 0.2 * math.log(3)) <= form.confidence_margin
    near |= np.abs(np.abs(u) - math.log((0.5 + margin) / (0.5 - margin))) <= 2 * form.log_odds_margin
    clear = ~near.any(axis=0)
    if bias == "bias_2":
        clear &= (np.abs(np.diff(u, axis=0)) > 2 * form.log_odds_margin).all(axis=0)

    integer, published = unit_decision(spec, q).exit_layer, decide(rule, real).exit_layer

    if bias == "bias_3":  # its limits are sampled: later than published, or equal, never earlier beyond the margin
        tighter = decide(dataclasses.replace(rule, range_limit=0.2 + form.log_odds_margin), real).exit_layer
        assert (integer >= tighter)[clear].all()
    else:
        assert (integer == published)[clear].all()


@given(q=integer_logits(2), scale=st.floats(2.0**-14, 2.0**-11, width=32))
def test_sampled_limits_of_bias_3_never_exit_early(q: Integers, scale: float) -> None:
    rule = ElbertExit(threshold=0.05, window=3, bias="bias_3", range_limit=0.05)
    small = TableFormat(address_bits=6)
    assert (decision_of_unit(rule, q, scale, tables=small).exit_layer >= decide(rule, q * scale).exit_layer).all()


def counted_walks() -> list[tuple[int, int, int, int, int]]:
    """Logit bits, shift, sentences, later and earlier of each row of docs/exit_unit.md on the sampled limits."""
    page = (ROOT / "docs" / "exit_unit.md").read_text("utf-8").replace(",", "")
    _, table = page.split("| logit bits | `SHIFT` | sentences | later than published | earlier |")
    rows = re.findall(r"^" + r"\| (\d+) " * 5 + r"\|$", table, re.MULTILINE)
    return [(int(a), int(b), int(c), int(d), int(e)) for a, b, c, d, e in rows]


@pytest.mark.slow
def test_bias_3_equals_the_published_rule_up_to_14_bits_and_is_seldom_late_above() -> None:
    rule = parse_rule("elbert:threshold=0.1,window=4,bias=bias_3")
    table, largest = counted_walks(), 1 << 23
    n_samples = table[0][2]
    steps = np.random.default_rng(1).integers(-(1 << 20), (1 << 20) + 1, (12, n_samples, 2))
    walk = np.clip(steps.cumsum(axis=0), -largest, largest - 1)
    counted = []
    for bits, *_ in table:
        q, scale = walk >> (24 - bits), 2.0 ** (4 - bits)
        spec = exit_unit_spec(rule, n_layers=12, n_classes=2, scale=scale, logit_bits=bits)
        trend = spec.form.trend
        assert isinstance(trend, SideRun)
        assert trend.limits is not None
        integer, real = unit_decision(spec, q).exit_layer, decide(rule, q * scale).exit_layer
        counted.append((bits, trend.limits.shift, n_samples, int((integer > real).sum()), int((integer < real).sum())))
    assert counted == table
    assert {bits: late > 0 for bits, _, _, late, _ in counted} == {bits: bits > 14 for bits, *_ in counted}


@pytest.mark.parametrize(
    ("d", "difference"),
    [
        (0.05, 5.1781),
        (0.1, 4.3307),
        (0.15, 3.8161),
        (0.2, 3.4381),
        (0.3, 2.8783),
        (0.4, 2.4508),
        (0.5, 2.0905),
        (0.6, 1.7655),
        (0.7, 1.4546),
        (0.8, 1.1363),
        (0.9, 0.7721),
    ],
)
def test_entropy_threshold_is_this_logit_difference(d: float, difference: float) -> None:
    scale = 2.0**-18
    assert f"{least_difference(NormalizedEntropyExit(threshold=d), scale) * scale:.4f}" == f"{difference:.4f}"


@given(q=integer_logits(2), d=st.floats(0.01, 0.95), window=st.integers(1, 9))
def test_elbert_bias_1_is_a_difference_or_a_run_of_signs(q: Integers, d: float, window: int) -> None:
    scale = 2.0**-11
    between = (least_difference(NormalizedEntropyExit(threshold=d), scale) - 0.5) * scale
    same = HardwareOrientedExit(threshold=between, run_length=window)
    elbert = decide(ElbertExit(threshold=d, window=window), q * scale)
    assert elbert.exit_layer.tolist() == decide(same, q * scale).exit_layer.tolist()


def test_numbers_that_no_unit_has_are_refused() -> None:
    for scale in (0.0, np.nextafter(2.0**-20, 0.0), np.nextafter(2.0**8, 512.0)):
        with pytest.raises(ConfigError, match=r"logit scale = .*: must be within 2\^-20 \.\. 2\^8"):
            integer_form(EntropyExit(), n_classes=2, scale=float(scale))
    ends = [2.0**-20, 2.0**8]
    assert [integer_form(EntropyExit(), n_classes=2, scale=scale).scale for scale in ends] == ends
    with pytest.raises(ConfigError, match=r"--rule = oracle: reads labels, so no exit unit"):
        integer_form(OracleExit(), n_classes=2, scale=1.0)
    with pytest.raises(ConfigError, match=r"table address_bits = 40: must be 4\.\.16"):
        TableFormat(address_bits=40)
