"""Every number that a unit computes fits the width that its constants give it, at the far ends of all ranges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hls.exit_unit.constants import TABLE_NAMES, constants, tables
from hexit.quant.arrays import Integers
from hexit.quant.exits.integer_rule import EntropyTest, LogOdds, SideRun, Table, integer_log_odds
from hexit.quant.exits.published import decide
from hexit.quant.exits.rules import RULES, ElbertExit, parameters, parse_rule
from hexit.quant.exits.table_format import TableFormat
from hexit.quant.exits.unit import ExitUnitSpec, decide_events, exit_unit_spec
from support.examples import examples

N_LAYERS = 4


@st.composite
def specs(draw: st.DrawFn) -> ExitUnitSpec:
    """Any unit: every rule with any parameters, every width, scale and table that is accepted."""
    name = draw(st.sampled_from([name for name in RULES if name != "oracle"]))
    values: dict[str, Any] = {}
    for p in parameters(RULES[name]):
        if p.kind == "choice":
            values[p.name] = draw(st.sampled_from(p.choices))
        elif p.kind == "int":
            values[p.name] = draw(st.integers(1, N_LAYERS - 1))
        else:
            values[p.name] = draw(st.floats(p.low, p.high, exclude_min=p.low_open, exclude_max=p.high_open))
    classes = {"hardware": st.just(2), "pabee-regression": st.just(1)}.get(name, st.sampled_from([2, 3, 4, 10, 64]))
    return exit_unit_spec(
        RULES[name](**values),
        n_layers=N_LAYERS,
        n_classes=draw(classes),
        scale=draw(st.integers(-20, 8).map(lambda k: 2.0**k) | st.floats(2.0**-20, 2.0**8)),
        logit_bits=draw(st.integers(4, 24)),
        tables=TableFormat(address_bits=draw(st.integers(4, 9)), fraction_bits=draw(st.integers(4, 20))),
        n_slots=draw(st.sampled_from([1, 2, 3, 64])),
        confidence=name != "fixed-depth" and draw(st.booleans()),
    )


def corners(spec: ExitUnitSpec, seed: int) -> Integers:
    """Logits at the ends of their range, equal ones, and random ones of every size, [n_layers, n, n_classes]."""
    random = np.random.default_rng(seed)
    low, high = -(1 << (spec.logit_bits - 1)), (1 << (spec.logit_bits - 1)) - 1
    ends = random.choice([low, high, 0, -1, low + 1], (N_LAYERS, 24, spec.n_classes))
    ends[:, 0], ends[:, 1] = low, high
    ends[:, 2], ends[:, 2, 0] = high, low
    ends[:, 3], ends[:, 3, 0] = low, high
    small = random.integers(low, high + 1, ends.shape) >> random.integers(0, spec.logit_bits, ends.shape)
    return np.concatenate([ends, small], axis=1)


@examples(150)
@given(spec=specs(), seed=st.integers(0, 2**32 - 1))
def test_numbers_fit_the_widths_of_their_constants(spec: ExitUnitSpec, seed: int) -> None:
    values, q = constants(spec), corners(spec, seed)
    output = decide_events(spec, q)
    assert output.confidence.min() >= 0
    assert output.confidence.max() < 1 << values["CONFIDENCE_BITS"]
    assert output.winner.max() < 1 << values["CLASS_BITS"]
    assert max(spec.run_length, 1) < 1 << values["COUNT_BITS"]
    assert spec.state_bits <= values["STATE_BITS"]
    assert 0 <= values["SUM_LIMIT"] < 1 << values["SUM_BITS"]
    for name, table in tables(spec).items():
        assert min(table.entries) >= 0
        assert max(table.entries) < 1 << values[f"{name.upper()}_BITS"]
        assert len(table.entries) == values[f"{name.upper()}_ENTRIES"]
    trend = spec.form.trend
    if isinstance(trend, SideRun):
        odds = trend.log_odds
        v = q[..., 0] - q[..., 1] if odds is None else integer_log_odds(spec.form, odds, q)
        assert np.abs(v).max() < 1 << (values["VALUE_BITS"] - 1)
        assert 1 <= values["MIN_SIDE"] <= 1 << (values["VALUE_BITS"] - 1)


@examples(60)
@given(spec=specs())
def test_no_intermediate_value_of_the_golden_model_leaves_64_bits(spec: ExitUnitSpec) -> None:
    form = spec.form
    most = spec.n_classes << form.fraction_bits
    match form.confidence:
        case EntropyTest(threshold=threshold, weighted=weighted, logarithm=logarithm):
            factor = max(threshold, max(logarithm.entries))
            total = most * factor + (spec.n_classes * max(weighted.entries) << form.fraction_bits)
            assert total < 1 << 62
    assert (1 << spec.logit_bits) << form.guard_bits < 1 << 62
    assert set(tables(spec)) <= set(TABLE_NAMES)


@pytest.mark.parametrize(("logit_bits", "scale", "n_classes"), [(8, 2.0**-12, 3), (8, 2.0**-8, 64), (4, 2.0**-10, 10)])
@pytest.mark.parametrize("margin", [0.0, 0.2, 0.3, 0.45, 0.49])
def test_log_odds_of_logits_that_hardly_differ_are_those_of_many_classes(
    logit_bits: int, scale: float, n_classes: int, margin: float
) -> None:
    """The span of the logits is less than ln(n_classes - 1), which is then the larger part of v."""
    rule = ElbertExit(threshold=1e-9, window=1, margin=margin)
    spec = exit_unit_spec(rule, n_layers=2, n_classes=n_classes, scale=scale, logit_bits=logit_bits)
    q = np.random.default_rng(0).integers(-(1 << (logit_bits - 1)), 1 << (logit_bits - 1), (2, 200, n_classes))
    assert (decide_events(spec, q).exit.argmax(axis=0) + 1 == decide(rule, q * scale).exit_layer).all()


@pytest.mark.parametrize("range_limit", [0.5, 0.6, 1.0])
def test_limits_that_no_window_breaks_cost_nothing(range_limit: float) -> None:
    rule = parse_rule(f"elbert:bias=bias_3,window=3,range_limit={range_limit}")
    for n_classes in (2, 3):
        spec = exit_unit_spec(rule, n_layers=N_LAYERS, n_classes=n_classes, scale=2.0**-6, logit_bits=10)
        assert spec.form.trend == SideRun(minimum=1, run_length=3, trend="bias_1", limits=None, log_odds=odds_of(spec))
        assert constants(spec)["LIMITS_ENTRIES"] == 0
        q = corners(spec, 0)
        assert (decide_events(spec, q).exit.argmax(axis=0) + 1 >= decide(rule, q * 2.0**-6).exit_layer).all()


def odds_of(spec: ExitUnitSpec) -> LogOdds | None:
    assert isinstance(spec.form.trend, SideRun)
    log_odds = spec.form.trend.log_odds
    assert (log_odds is not None) == (spec.n_classes > 2)
    assert log_odds is None or isinstance(log_odds.logarithm, Table)
    return log_odds
