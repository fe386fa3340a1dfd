"""The exit unit of a run: which one a rule gets, and that its integers decide."""

from __future__ import annotations

import numpy as np
import pytest

from hexit.hw_model.exit_unit.timing import unit_timing
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.exits.facade import FixedDepthExit, decide, decide_integer, parse_rule
from hexit.quant.exits.unit import decide_events
from hexit.quant.workload import ALBERT_BASE
from hexit.sim.job.design import check_design
from hexit.sim.job.exit_path import decide_by_rule, decide_by_unit, nominal_scale, trace_unit, unit_spec
from hexit.sim.job.source import TextSource
from support.command_line import Simulate

RULES = ("hardware:threshold=0.5,run_length=2", "entropy:threshold=0.6", "pabee:patience=1", "fixed-depth:layer=2")


@pytest.mark.parametrize("rule", RULES)
def test_the_unit_decides_as_the_rule_and_has_the_trace_s_scale(rule: str, simulated: Simulate) -> None:
    outcome = simulated(rule=rule)
    spec, trace = outcome.design.exit_path.spec, outcome.source.trace
    assert (spec.rule, spec.form.scale, spec.logit_bits) == (rule, trace.scale, 16)
    expected = decide_integer(parse_rule(rule), trace.logits, trace.scale)
    assert outcome.decisions.integer.exit_layer.tolist() == expected.exit_layer.tolist()
    assert outcome.decisions.integer.prediction.tolist() == expected.prediction.tolist()
    said = decide_events(spec, trace.logits)
    assert (1 + said.exit.argmax(axis=0)).tolist() == expected.exit_layer.tolist()


def test_the_sweep_s_unit_is_that_of_the_run(simulated: Simulate) -> None:
    outcome = simulated(rule=RULES[0])
    assert trace_unit(outcome.setup.rule, outcome.source.trace) == outcome.design.exit_path.spec


def test_the_oracle_is_charged_as_a_fixed_depth_that_computes_every_exit(simulated: Simulate) -> None:
    outcome = simulated(rule="oracle")
    spec = outcome.design.exit_path.spec
    assert spec.evaluated_layers == (1, 2, 3)
    assert outcome.design.exit_path.decision.latency_cycles == unit_timing(spec).latency_cycles == 1
    trace = outcome.source.trace
    expected = decide_integer(outcome.setup.rule, trace.logits, trace.scale, trace.labels)
    assert outcome.decisions.integer.exit_layer.tolist() == expected.exit_layer.tolist()


def test_before_the_logits_are_known_a_nominal_scale_stands_for_theirs(simulated: Simulate) -> None:
    outcome = simulated()
    assert nominal_scale(16) * 2**15 == 16
    early, late = check_design(outcome.setup), check_design(outcome.setup, outcome.source.trace.scale)
    assert early.exit_path.spec.form.scale == nominal_scale(16)
    assert late.exit_path == outcome.design.exit_path
    assert early.exit_path.decision.latency_cycles == late.exit_path.decision.latency_cycles


def test_a_float_rule_sees_the_exits_that_the_unit_has(simulated: Simulate) -> None:
    source = simulated().source
    assert isinstance(source, TextSource)
    rule, real = parse_rule("pabee:patience=1"), source.float_trace.real_logits
    shorter = decide(rule, real[[0, 2]])
    decision = decide_by_rule(rule, source.float_trace, (1, 3))
    assert decision.exit_layer.tolist() == np.array([1, 3])[shorter.exit_layer - 1].tolist()
    assert decision.prediction.tolist() == shorter.prediction.tolist()
    fixed = decide_by_rule(FixedDepthExit(layer=2), source.float_trace, (2, 3))
    assert set(fixed.exit_layer.tolist()) == {2}
    assert decide_by_unit(trace_unit(rule, source.trace), source.trace).exit_layer.min() == 2


def test_more_sentences_than_a_unit_keeps_are_refused() -> None:
    with pytest.raises(ConfigError, match="--batch = 65: must be at most 64, the states of an exit unit"):
        unit_spec(parse_rule("hardware"), ALBERT_BASE, QuantConfig.uniform(8), 1.0, 65)
