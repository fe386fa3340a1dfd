from __future__ import annotations

import dataclasses
import math
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from hexit.quant.errors import ConfigError
from hexit.quant.exits import published as exit_float
from hexit.quant.exits.facade import (
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
    TableFormat,
    decide,
    decide_integer,
    evaluate,
    format_rule,
    integer_form,
    parameters,
    parse_rule,
)
from hexit.quant.exits.integer import DifferenceTest
from hexit.quant.records import from_json, to_json
from support import oracles_exits as oracle

TIE = 1e-9  # nearer to a threshold than this, the last bit of exp decides, and exp differs between libraries
NAMES = list(RULES)


@st.composite
def rules(draw: st.DrawFn, name: str) -> ExitRule:
    """Any rule of a name: the ranges of the fields are the rule's own, cut to where decisions vary."""
    values: dict[str, Any] = {}
    for p in parameters(RULES[name]):
        if p.kind == "choice":
            values[p.name] = draw(st.sampled_from(p.choices))
        elif p.kind == "int":
            values[p.name] = draw(st.integers(int(p.low), 8))
        else:
            below = p.high_open and p.high <= 6.0
            real = st.floats(p.low, min(p.high, 6.0), exclude_min=p.low_open, exclude_max=below, allow_subnormal=False)
            values[p.name] = draw(real)
    return RULES[name](**values)


@st.composite
def integer_logits(draw: st.DrawFn, n_classes: int, *, largest: int = 1 << 14) -> np.ndarray[Any, Any]:
    """Logits that wander from layer to layer, with plenty of ties and repeats."""
    depth, n, step = draw(st.integers(8, 13)), draw(st.integers(1, 12)), draw(st.integers(1, largest // 8))
    seed = draw(st.integers(0, 2**32 - 1))
    walk = np.random.default_rng(seed).integers(-step, step + 1, (depth, n, n_classes)).cumsum(axis=0)
    return np.asarray(np.clip(walk // draw(st.sampled_from([1, 1, max(1, step // 2)])), -largest, largest))


def classes_of(name: str) -> int:
    return 1 if name == "pabee-regression" else 2


scales = st.one_of(st.integers(-14, 0).map(lambda k: 2.0**k), st.floats(2.0**-14, 1.0, width=32, allow_subnormal=False))


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


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data(), scale=scales)
def test_integer_form_equals_float_form_with_two_classes(name: str, scale: float, data: st.DataObject) -> None:
    rule = data.draw(rules(name))
    if isinstance(rule, ElbertExit) and rule.bias == "bias_3":
        rule = dataclasses.replace(rule, range_limit=max(rule.range_limit, 0.02))
        scale = max(scale, 2.0**-10)  # so that the limits fit their table
    q = data.draw(integer_logits(classes_of(name)))
    labels = np.arange(q.shape[1]) % 2

    real, integer = decide(rule, q * scale, labels), decide_integer(rule, q, scale, labels)

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
    layers = decide_integer(rule, q, scale).exit_layer
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
    form = integer_form(
        rule, n_classes=n_classes, scale=scale, tables=TableFormat(address_bits=tables[0], fraction_bits=tables[1])
    )
    p = exit_float.softmax(q[0] * scale)
    measure = p.max(axis=1) if name == "max-probability" else -(p * np.log(p)).sum(axis=1)
    nats = threshold * math.log(n_classes) if name == "normalized-entropy" else threshold

    differ = evaluate(form, q).exit_layer != decide(rule, q * scale).exit_layer

    farthest = np.abs(measure - nats)[differ].max(initial=0.0)
    assert farthest <= form.confidence_margin
    if tables == (7, 20):
        assert farthest > form.confidence_margin / 20  # the bound is not idle
        if name == "max-probability" and scale < 0.1:
            assert farthest < form.confidence_margin / 5  # as reading the nearest entry gives; the lower one does not


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
    form = integer_form(rule, n_classes=3, scale=scale)
    real = q * scale
    hn, u = exit_float.normalized_entropy(real), exit_float.log_odds(real)
    near = np.abs(hn * math.log(3) - 0.2 * math.log(3)) <= form.confidence_margin
    near |= np.abs(np.abs(u) - math.log((0.5 + margin) / (0.5 - margin))) <= 2 * form.log_odds_margin
    clear = ~near.any(axis=0)
    if bias == "bias_2":
        clear &= (np.abs(np.diff(u, axis=0)) > 2 * form.log_odds_margin).all(axis=0)

    integer, published = evaluate(form, q).exit_layer, decide(rule, real).exit_layer

    if bias == "bias_3":  # its limits are sampled: later than published, or equal, never earlier beyond the margin
        tighter = decide(dataclasses.replace(rule, range_limit=0.2 + form.log_odds_margin), real).exit_layer
        assert (integer >= tighter)[clear].all()
    else:
        assert (integer == published)[clear].all()


@given(q=integer_logits(2), scale=st.floats(2.0**-14, 2.0**-11, width=32))
def test_sampled_limits_of_bias_3_never_exit_early(q: np.ndarray[Any, Any], scale: float) -> None:
    rule = ElbertExit(threshold=0.05, window=3, bias="bias_3", range_limit=0.05)
    small = TableFormat(address_bits=6)
    assert (decide_integer(rule, q, scale, tables=small).exit_layer >= decide(rule, q * scale).exit_layer).all()


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
def test_elbert_bias_1_is_a_difference_or_a_run_of_signs(q: np.ndarray[Any, Any], d: float, window: int) -> None:
    scale = 2.0**-11
    between = (least_difference(NormalizedEntropyExit(threshold=d), scale) - 0.5) * scale
    same = HardwareOrientedExit(threshold=between, run_length=window)
    elbert = decide(ElbertExit(threshold=d, window=window), q * scale)
    assert elbert.exit_layer.tolist() == decide(same, q * scale).exit_layer.tolist()


@given(q=integer_logits(2), patience=st.integers(1, 8))
def test_elbert_window_alone_is_pabee(q: np.ndarray[Any, Any], patience: int) -> None:
    q = q + np.array([q[..., 0] == q[..., 1], np.zeros(q.shape[:2])]).transpose(1, 2, 0).astype(int)  # no ties
    window = ElbertExit(threshold=1e-9, window=patience + 1)
    real = q * 2.0**-11
    assert decide(window, real).exit_layer.tolist() == decide(PabeeExit(patience=patience), real).exit_layer.tolist()


def test_a_tie_restarts_a_run_of_signs_but_counts_as_the_first_class_for_patience() -> None:
    real = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])[:, None]
    assert decide(HardwareOrientedExit(threshold=9.0, run_length=3), real).exit_layer.tolist() == [5]
    assert decide(ElbertExit(threshold=1e-9, window=3), real).exit_layer.tolist() == [5]
    assert decide(PabeeExit(patience=2), real).exit_layer.tolist() == [3]


def test_equality_counts_where_the_paper_counts_it() -> None:
    even = np.zeros((3, 1, 2))
    below: list[ExitRule] = [EntropyExit(threshold=float(exit_float.entropy(even)[0, 0])), ElbertExit(threshold=1.0)]
    reached: list[ExitRule] = [NormalizedEntropyExit(threshold=1.0), MaximumProbabilityExit(threshold=0.5)]
    for rule in below:
        assert (
            decide(rule, even).exit_layer.tolist()
            == decide_integer(rule, even.astype(int), 1.0).exit_layer.tolist()
            == [3]
        )
    for rule in reached:
        assert (
            decide(rule, even).exit_layer.tolist()
            == decide_integer(rule, even.astype(int), 1.0).exit_layer.tolist()
            == [1]
        )


def test_a_certain_exit_is_no_nan() -> None:
    certain = np.array([[[0.0, 0.0]], [[900.0, -900.0]], [[0.0, 0.0]]])
    for rule in (EntropyExit(), ElbertExit(), NormalizedEntropyExit(threshold=0.0)):
        assert decide(rule, certain).exit_layer.tolist() == [2]


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
    layers = decide_integer(never, q, 2.0**-11, np.zeros(q.shape[1], dtype=int)).exit_layer
    assert ((layers >= 1) & (layers <= len(q))).all()
    if name != "oracle":
        assert (layers == len(q)).all()


@pytest.mark.parametrize("name", [n for n in NAMES if n != "oracle"])
@pytest.mark.parametrize("n_classes", [2, 3])
@given(data=st.data())
def test_a_sweep_goes_from_eager_to_never(name: str, n_classes: int, data: st.DataObject) -> None:
    if name == "hardware":
        n_classes = 2
    q = data.draw(integer_logits(1 if name == "pabee-regression" else n_classes))
    sweep = RULES[name]().sweep(len(q), n_classes)
    layers = np.array([decide(rule, q * 2.0**-9).exit_layer for rule in sweep])
    assert (np.diff(layers, axis=0) >= 0).all()
    assert 8 <= len(sweep) + (12 - len(q)) <= 24


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("oracle", "pabee-regression")])
@given(data=st.data())
def test_no_rule_is_more_accurate_than_the_oracle(name: str, data: st.DataObject) -> None:
    q = data.draw(integer_logits(2))
    labels = np.random.default_rng(len(q)).integers(0, 2, q.shape[1])
    bound = decide_integer(OracleExit(), q, 2.0**-11, labels)
    other = decide_integer(data.draw(rules(name)), q, 2.0**-11)
    right = other.prediction == labels
    assert (bound.prediction == labels)[right].all()
    assert (bound.exit_layer <= other.exit_layer)[right].all()


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_a_rule_survives_text_and_json(name: str, data: st.DataObject) -> None:
    rule = data.draw(rules(name))
    assert parse_rule(format_rule(rule)) == rule
    assert from_json(type(rule), to_json(rule)) == rule


@given(threshold=st.floats(0.001, 1.0))
@example(threshold=1.0)
def test_threshold_option_sets_the_principal_parameter(threshold: float) -> None:
    assert parse_rule("elbert:window=5", threshold) == ElbertExit(threshold=threshold, window=5)
    assert parse_rule("pabee", 3.0) == PabeeExit(patience=3)
    assert parse_rule("fixed-depth", 4) == FixedDepthExit(layer=4)
    assert parse_rule("hardware: run-length = 4 ,threshold=1") == HardwareOrientedExit(threshold=1.0, run_length=4)


@pytest.mark.parametrize(
    ("text", "threshold", "message"),
    [
        ("bert", None, r"--rule = bert: is not a known rule\. Known rules: hardware, elbert, pabee, "),
        ("", None, r"--rule = : is not a known rule"),
        ("elbert:d=0.3", None, r"--rule elbert d = 0\.3: is not a parameter.*takes threshold, window, bias"),
        ("oracle:layer=3", None, r"--rule oracle layer = 3: is not a parameter.*takes no parameters"),
        ("elbert:window", None, r"--rule elbert window = \(no value\): needs a value\. Write window=8"),
        ("elbert:window=3,window=4", None, r"--rule elbert window = 4: is given twice"),
        ("elbert:bias=bias_4", None, r"--rule elbert bias = bias_4: must be one of bias_1, bias_2, bias_3\."),
        ("elbert:threshold=0", None, r"--rule elbert threshold = 0\.0: must be a number above 0 and at most 1\."),
        ("elbert:margin=0.5", None, r"margin = 0\.5: must be a number at least 0 and below 0\.5"),
        ("elbert:window=2.5", None, r"--rule elbert window = 2\.5: must be a whole number at least 1"),
        ("entropy:threshold=soon", None, r"threshold = soon: must be a number at least 0"),
        ("entropy:threshold=nan", None, r"threshold = nan: must be a number at least 0"),
        ("hardware:threshold=inf", None, r"threshold = inf: must be a number .* at most 1000"),
        ("pabee:patience=0", None, r"--rule pabee patience = 0: must be a whole number at least 1"),
        ("max-probability", 1.5, r"--threshold = 1\.5: must be a number at least 0 and at most 1\."),
        ("hardware", math.nan, r"--threshold = nan: must be"),
        ("pabee", 2.5, r"--threshold \(patience of pabee\) = 2\.5: must be a whole number"),
        ("oracle", 0.5, r"--threshold = 0\.5: means nothing to the rule oracle"),
        ("elbert:threshold=0.1", 0.2, r"--threshold = 0\.2: sets threshold of elbert a second time"),
    ],
)
def test_bad_rule_text_gets_one_clear_line(text: str, threshold: float | None, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^.*{message}") as caught:
        parse_rule(text, threshold)
    assert "\n" not in str(caught.value)


@given(text=st.text(max_size=30) | st.from_regex(r"(elbert|pabee|hardware):[a-z_]{1,9}=[-0-9.e]{0,6}", fullmatch=True))
def test_any_text_is_a_rule_or_a_clear_error(text: str) -> None:
    try:
        message = f"--rule {parse_rule(text).name}"
    except ConfigError as error:
        message = str(error)
    assert re.match("--rule ", message)


TWO, THREE, ONE = (np.zeros((4, 5, n)) for n in (2, 3, 1))


@pytest.mark.parametrize(
    ("rule", "logits", "labels", "message"),
    [
        (
            HardwareOrientedExit(),
            THREE,
            None,
            r"--rule = hardware: .* two logits, but there are 3 classes\. Use --rule el",
        ),
        (EntropyExit(), ONE, None, r"--rule = entropy: needs classes, .*\(regression\)\. Use --rule pabee-regression"),
        (PabeeRegressionExit(), TWO, None, r"needs one real output, but the exits have 2 classes\. Use --rule pabee\."),
        (FixedDepthExit(layer=5), TWO, None, r"--rule fixed-depth layer = 5: the model has 4 layers\. Use .* 1 to 4"),
        (OracleExit(), TWO, None, r"--rule = oracle: needs labels, and this data has none"),
        (OracleExit(), TWO, [0, 1, 0, -1, -1], r"needs labels, and 2 sentences have none"),
        (OracleExit(), TWO, [0, 1], r"needs 5 labels, but got 2"),
        (OracleExit(), ONE, [0] * 5, r"needs classes"),
        (EntropyExit(), np.zeros((4, 0, 2)), None, r"logits = 4x0x2: must be n_layers x n_samples x n_classes"),
        (EntropyExit(), np.zeros((4, 2)), None, r"logits = 4x2: must be n_layers"),
    ],
)
@pytest.mark.parametrize("form", ["real", "integer"])
def test_a_rule_that_cannot_serve_says_why(rule: ExitRule, logits: Any, labels: Any, message: str, form: str) -> None:
    with pytest.raises(ConfigError, match=message):
        decide(rule, logits, labels) if form == "real" else decide_integer(rule, logits.astype(int), 1.0, labels)


def test_numbers_that_are_no_logits_are_refused() -> None:
    bad = TWO.copy()
    bad[1, 1, 1], bad[2, 2, 0] = np.nan, np.inf
    with pytest.raises(ConfigError, match=r"logits = 2 of 40: are not finite numbers"):
        decide(EntropyExit(), bad)
    with pytest.raises(ConfigError, match=r"logits = float64: must be integers"):
        decide_integer(EntropyExit(), TWO, 1.0)
    with pytest.raises(ConfigError, match=r"logits = 128: must fit 8 bits"):
        evaluate(integer_form(EntropyExit(), n_classes=2, scale=1.0, logit_bits=8), np.full((1, 1, 2), 128))
    with pytest.raises(ConfigError, match=r"logit scale = 0\.0: must be within"):
        decide_integer(EntropyExit(), TWO.astype(int), 0.0)
    with pytest.raises(ConfigError, match=r"--rule = oracle: reads labels, so no exit unit"):
        integer_form(OracleExit(), n_classes=2, scale=1.0)
    with pytest.raises(ConfigError, match=r"table address_bits = 40: must be 4\.\.16"):
        TableFormat(address_bits=40)


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_tells_what_it_is(name: str) -> None:
    kind = RULES[name]
    assert kind.name == name
    assert kind().name in re.findall(r"[a-z-]+", name)
    assert all((kind.title, kind.source, kind.equation, kind.__doc__))
    assert kind.principal in {None, *(p.name for p in parameters(kind))}
    for parameter in parameters(kind):
        assert parameter.help
        assert parameter.read("", str(parameter.default)) == parameter.default


def test_rules_and_traces_need_no_torch() -> None:
    modules = "hexit.quant.exits.facade, hexit.quant.traces.trace, hexit.quant.traces.profile"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
