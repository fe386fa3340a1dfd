"""Decisions on a trace: the published rule sees the exits that the unit has, and the oracle all of them."""

from __future__ import annotations

import numpy as np
import pytest

from hexit.quant.errors import ConfigError
from hexit.quant.exits.published import decide
from hexit.quant.exits.rules import FixedDepthExit, OracleExit, parse_rule
from hexit.quant.exits.unit import unit_decision
from hexit.quant.traces.replay import published_decision, trace_unit
from support.outcomes import trace

PATIENCE = parse_rule("pabee:patience=1")


def test_a_published_rule_sees_the_exits_that_the_unit_has() -> None:
    recorded = trace()
    shorter = decide(PATIENCE, recorded.real_logits[[0, 2]])
    decision = published_decision(PATIENCE, recorded, (1, 3))
    assert decision.exit_layer.tolist() == np.array([1, 3])[shorter.exit_layer - 1].tolist()
    assert decision.prediction.tolist() == shorter.prediction.tolist()
    fixed = published_decision(FixedDepthExit(layer=2), recorded, (2, 4))
    assert set(fixed.exit_layer.tolist()) == {2}


@pytest.mark.parametrize("rule", ["hardware", "elbert:window=2", "pabee:patience=2", "max-probability"])
def test_with_two_classes_the_unit_of_a_trace_decides_as_the_published_rule(rule: str) -> None:
    recorded, parsed = trace(), parse_rule(rule)
    unit, published = unit_decision(trace_unit(parsed, recorded), recorded.logits), published_decision(parsed, recorded)
    assert unit.exit_layer.tolist() == published.exit_layer.tolist()
    assert unit.prediction.tolist() == published.prediction.tolist()
    assert unit.exit_layer.min() < recorded.n_layers


def test_the_oracle_reads_the_labels_of_the_trace() -> None:
    recorded = trace()
    right = recorded.logits.argmax(axis=-1) == recorded.labels
    expected = np.where(right.any(axis=0), right.argmax(axis=0) + 1, 1)
    assert published_decision(OracleExit(), recorded).exit_layer.tolist() == expected.tolist()
    with pytest.raises(ConfigError, match="needs labels"):
        published_decision(OracleExit(), trace(labelled=False))
