"""The rules in floating point: equal to the papers' equations sample by sample, ties and ends included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hexit.quant.arrays import Floats, Integers
from hexit.quant.errors import ConfigError
from hexit.quant.exits.published import decide, entropy, softmax
from hexit.quant.exits.rules import (
    RULES,
    ElbertExit,
    EntropyExit,
    ExitRule,
    FixedDepthExit,
    HardwareOrientedExit,
    MaximumProbabilityExit,
    NormalizedEntropyExit,
    OracleExit,
    PabeeExit,
    PabeeRegressionExit,
)
from support import oracles_exits as oracle
from support.exit_rules import classes_of, decision_of_unit, integer_logits, rules

NAMES = list(RULES)
TIE = 1e-9  # nearer to a threshold than this, the last bit of exp decides, and exp differs between libraries
TWO, THREE, ONE = (np.zeros((4, 5, n)) for n in (2, 3, 1))


@pytest.mark.parametrize(("name", "n_classes"), [(n, classes_of(n)) for n in NAMES] + [(n, 4) for n in NAMES[1:3]])
@given(data=st.data())
def test_vectorised_rule_is_the_published_one_sample_by_sample(name: str, n_classes: int, data: st.DataObject) -> None:
    rule = data.draw(rules(name))
    real = data.draw(integer_logits(n_classes)) * 2.0**-11
    labels = np.arange(real.shape[1]) % n_classes
    samples = [real[:, i].tolist() for i in range(real.shape[1])]
    assume(all(min(oracle.distances(rule, sample), default=1.0) > TIE for sample in samples))

    decision = decide(rule, real, labels)

    expected = [oracle.exit_layer(rule, sample, int(label)) for sample, label in zip(samples, labels, strict=True)]
    assert decision.exit_layer.tolist() == expected
    if n_classes > 1:
        winners = [oracle.winner(s[layer - 1]) for s, layer in zip(samples, expected, strict=True)]
        assert decision.prediction.tolist() == winners


@given(q=integer_logits(2), patience=st.integers(1, 8))
def test_elbert_window_alone_is_pabee(q: Integers, patience: int) -> None:
    q = q + np.array([q[..., 0] == q[..., 1], np.zeros(q.shape[:2])]).transpose(1, 2, 0).astype(int)  # no ties
    window = ElbertExit(threshold=1e-9, window=patience + 1)
    real = q * 2.0**-11
    assert decide(window, real).exit_layer.tolist() == decide(PabeeExit(patience=patience), real).exit_layer.tolist()


def test_a_tie_restarts_a_run_of_signs_but_counts_as_the_first_class_for_patience() -> None:
    real = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])[:, None]
    assert decide(HardwareOrientedExit(threshold=9.0, run_length=3), real).exit_layer.tolist() == [5]
    assert decide(ElbertExit(threshold=1e-9, window=3), real).exit_layer.tolist() == [5]
    assert decide(PabeeExit(patience=2), real).exit_layer.tolist() == [3]


@pytest.mark.parametrize(
    ("rule", "layer"),
    [
        (EntropyExit(threshold=float(entropy(np.zeros(2)))), 3),
        (ElbertExit(threshold=1.0), 3),
        (NormalizedEntropyExit(threshold=1.0), 1),
        (MaximumProbabilityExit(threshold=0.5), 1),
    ],
)
def test_equality_counts_where_the_paper_counts_it(rule: ExitRule, layer: int) -> None:
    even = np.zeros((3, 1, 2), dtype=np.int64)
    assert decide(rule, even).exit_layer.tolist() == decision_of_unit(rule, even, 1.0).exit_layer.tolist() == [layer]


def test_a_certain_exit_is_no_nan() -> None:
    certain = np.array([[[0.0, 0.0]], [[900.0, -900.0]], [[0.0, 0.0]]])
    for rule in (EntropyExit(), ElbertExit(), NormalizedEntropyExit(threshold=0.0)):
        assert decide(rule, certain).exit_layer.tolist() == [2]


@pytest.mark.parametrize(("apart", "is_nan"), [(103.9, False), (104.0, True)])
def test_saturated_logits_exit_where_float32_probabilities_give_nan(apart: float, is_nan: bool) -> None:
    z = np.array([apart, 0.0])
    rounded = softmax(z).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        assert np.isnan(-(rounded * np.log(rounded)).sum()) == is_nan
    late = np.stack([np.zeros(2), z, np.zeros(2)])[:, None]
    assert decide(EntropyExit(), late).exit_layer.tolist() == [2]


def test_a_rising_class_is_still_rising_where_its_probability_has_saturated() -> None:
    rises = np.array([[40.0, 0.0], [41.0, 0.0], [42.0, 0.0], [43.0, 0.0]])[:, None]
    rule = ElbertExit(threshold=1e-30, window=3, bias="bias_2")
    assert decide(rule, rises).exit_layer.tolist() == [3]
    assert decide(rule, rises[::-1]).exit_layer.tolist() == [4]


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_the_last_layer_always_exits(name: str, data: st.DataObject) -> None:
    q = data.draw(integer_logits(classes_of(name)))
    never = RULES[name]().sweep(len(q), 2)[-1]
    if name == "oracle":
        layers = decide(never, q, np.zeros(q.shape[1], dtype=int)).exit_layer
        assert ((layers >= 1) & (layers <= len(q))).all()
    else:
        assert (decide(never, q * 2.0**-11).exit_layer == len(q)).all()
        assert (decision_of_unit(never, q, 2.0**-11).exit_layer == len(q)).all()


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("oracle", "pabee-regression")])
@given(data=st.data())
def test_no_rule_is_more_accurate_than_the_oracle(name: str, data: st.DataObject) -> None:
    q = data.draw(integer_logits(2))
    labels = np.random.default_rng(len(q)).integers(0, 2, q.shape[1])
    bound = decide(OracleExit(), q * 2.0**-11, labels)
    other = decision_of_unit(data.draw(rules(name)), q, 2.0**-11)
    right = other.prediction == labels
    assert (bound.prediction == labels)[right].all()
    assert (bound.exit_layer <= other.exit_layer)[right].all()


@pytest.mark.parametrize(
    ("rule", "logits", "message"),
    [
        (HardwareOrientedExit(), THREE, r"--rule = hardware: .* two logits, but there are 3 classes\. Use --rule el"),
        (EntropyExit(), ONE, r"--rule = entropy: needs classes, .*\(regression\)\. Use --rule pabee-regression"),
        (PabeeRegressionExit(), TWO, r"needs one real output, but the exits have 2 classes\. Use --rule pabee\."),
        (FixedDepthExit(layer=5), TWO, r"--rule fixed-depth layer = 5: the model has 4 layers\. Use .* 1 to 4"),
    ],
)
@pytest.mark.parametrize("form", ["real", "integer"])
def test_a_rule_that_cannot_serve_says_why(rule: ExitRule, logits: Floats, message: str, form: str) -> None:
    with pytest.raises(ConfigError, match=message):
        decide(rule, logits) if form == "real" else decision_of_unit(rule, logits.astype(int), 1.0)


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (TWO, None, r"--rule = oracle: needs labels, and this data has none"),
        (TWO, [0, 1, 0, -1, -1], r"needs labels, and 2 sentences have none"),
        (TWO, [0, 1], r"needs 5 labels, but got 2"),
        (ONE, [0] * 5, r"needs classes"),
    ],
)
def test_the_oracle_needs_a_label_for_every_sample(logits: Floats, labels: list[int] | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        decide(OracleExit(), logits, labels)


def test_numbers_that_are_no_logits_are_refused() -> None:
    bad = TWO.copy()
    bad[1, 1, 1], bad[2, 2, 0] = np.nan, np.inf
    for logits, message in (
        (bad, r"logits = 2 of 40: are not finite numbers"),
        (np.zeros((4, 0, 2)), r"logits = 4x0x2: must be n_layers x n_samples x n_classes"),
        (np.zeros((4, 2)), r"logits = 4x2: must be n_layers"),
    ):
        with pytest.raises(ConfigError, match=message):
            decide(EntropyExit(), logits)
