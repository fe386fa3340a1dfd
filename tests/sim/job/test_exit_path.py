"""The exit unit of a run: which one a rule gets, and that its integers decide."""

from __future__ import annotations

import pytest

from hexit.hw_model.exit_unit.timing import unit_timing
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.exits.published import decide
from hexit.quant.exits.rules import parse_rule
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.traces.replay import trace_unit
from hexit.sim.job.design import check_design, nominal_scale, unit_spec
from support.command_line import Simulate

RULES = ("hardware:threshold=0.5,run_length=2", "entropy:threshold=0.6", "pabee:patience=1", "fixed-depth:layer=2")


@pytest.mark.parametrize("rule", RULES)
def test_the_unit_decides_at_the_trace_s_scale(rule: str, simulated: Simulate) -> None:
    outcome = simulated(rule=rule)
    spec, trace = outcome.design.exit_path.spec, outcome.source.trace
    assert (spec.rule, spec.form.scale, spec.logit_bits) == (rule, trace.scale, 16)
    expected = decide(parse_rule(rule), trace.real_logits)  # two classes: integers decide as real numbers do
    assert outcome.decisions.integer.exit_layer.tolist() == expected.exit_layer.tolist()
    assert outcome.decisions.integer.prediction.tolist() == expected.prediction.tolist()


def test_the_sweep_s_unit_is_that_of_the_run(simulated: Simulate) -> None:
    outcome = simulated(rule=RULES[0])
    assert trace_unit(outcome.setup.rule, outcome.source.trace) == outcome.design.exit_path.spec


def test_the_oracle_is_charged_as_a_fixed_depth_that_computes_every_exit(simulated: Simulate) -> None:
    outcome = simulated(rule="oracle")
    spec = outcome.design.exit_path.spec
    assert spec.evaluated_layers == (1, 2, 3)
    assert outcome.design.exit_path.decision.latency_cycles == unit_timing(spec).latency_cycles == 1
    trace = outcome.source.trace
    expected = decide(outcome.setup.rule, trace.real_logits, trace.labels)
    assert outcome.decisions.integer.exit_layer.tolist() == expected.exit_layer.tolist()


def test_before_the_logits_are_known_a_nominal_scale_stands_for_theirs(simulated: Simulate) -> None:
    outcome = simulated()
    assert nominal_scale(16) * 2**15 == 16
    early, late = check_design(outcome.setup), check_design(outcome.setup, outcome.source.trace.scale)
    assert early.exit_path.spec.form.scale == nominal_scale(16)
    assert late.exit_path == outcome.design.exit_path
    assert early.exit_path.decision.latency_cycles == late.exit_path.decision.latency_cycles


def test_more_sentences_than_a_unit_keeps_are_refused() -> None:
    with pytest.raises(ConfigError, match="--batch = 65: must be at most 64, the states of an exit unit"):
        unit_spec(parse_rule("hardware"), ALBERT_BASE, QuantConfig.uniform(8), 1.0, 65)
