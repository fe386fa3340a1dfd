"""The comparison with fixed depths, against counts made sentence by sentence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hexit.quant.data.intervals import difference_interval, mcnemar_p, wilson_interval
from hexit.quant.data.scores import pearson
from hexit.quant.exits.published import Decision
from hexit.quant.exits.rules import parse_rule
from hexit.quant.exits.unit import unit_decision
from hexit.quant.traces.replay import trace_unit
from hexit.quant.traces.trace import ExitTrace
from hexit.sim.analysis.comparison import Comparison, Rival, compare
from support.deep_logits import deep_trace
from support.outcomes import trace


def decision(recorded: ExitTrace, rule: str) -> Decision:
    return unit_decision(trace_unit(parse_rule(rule), recorded), recorded.logits)


def compared(recorded: ExitTrace, rule: str) -> Comparison:
    found = compare(decision(recorded, rule), recorded)
    assert found is not None
    return found


def test_rivals_are_the_best_depth_of_the_cost_and_the_last_one() -> None:
    recorded = deep_trace(300, 1)
    made = decision(recorded, "entropy:threshold=0.3")
    found = compared(recorded, "entropy:threshold=0.3")
    scores = [
        sum(np.argmax(s) == y for s, y in zip(layer, recorded.labels, strict=True)) / 300 for layer in recorded.logits
    ]
    affordable = scores[: math.ceil(made.mean_layer)]
    assert 1 < len(affordable) < 12
    assert (found.fixed_depth.layer, found.fixed_depth.score) == (
        affordable.index(max(affordable)) + 1,
        max(affordable),
    )
    assert (found.full_depth.layer, found.full_depth.score) == (12, scores[-1])
    assert [one.low < score < one.high for one, score in zip(found.interval_by_exit, scores, strict=True)] == [
        True
    ] * 12
    for rival in (found.fixed_depth, found.full_depth):
        pairs = [
            (bool(mine == y), bool(np.argmax(theirs) == y))
            for mine, theirs, y in zip(made.prediction, recorded.logits[rival.layer - 1], recorded.labels, strict=True)
        ]
        gained, lost = pairs.count((True, False)), pairs.count((False, True))
        assert gained > 0
        assert rival == Rival(
            layer=rival.layer,
            score=scores[rival.layer - 1],
            interval=wilson_interval(round(300 * scores[rival.layer - 1]), 300),
            difference=(gained - lost) / 300,
            difference_interval=difference_interval(gained, lost, 300),
            n_gained=gained,
            n_lost=lost,
            p_value=mcnemar_p(gained, lost),
        )
    assert found.interval == wilson_interval(int((made.prediction == recorded.labels).sum()), 300)


def test_a_whole_mean_layer_affords_that_layer_and_no_more() -> None:
    recorded = deep_trace(300, 1)
    found = compared(recorded, "fixed-depth:layer=4")
    assert found.fixed_depth.layer <= 4
    assert compared(recorded, "fixed-depth:layer=12").full_depth.difference == 0


def test_on_a_network_with_depth_certainty_beats_the_fixed_depth_of_its_cost_beyond_noise() -> None:
    found = compared(deep_trace(5000, 2), "entropy:threshold=0.3")
    assert found.fixed_depth.difference_interval.low > 0
    assert found.fixed_depth.p_value is not None
    assert found.fixed_depth.p_value < 1e-3


def test_without_labels_there_is_nothing_to_compare() -> None:
    recorded = trace(labelled=False)
    assert compare(decision(recorded, "entropy"), recorded) is None


def test_correlations_have_resampled_intervals_and_no_p_value() -> None:
    recorded = trace(6, 1, n_samples=200)
    made = decision(recorded, "pabee-regression:patience=2,tolerance=1.0")
    found = compared(recorded, "pabee-regression:patience=2,tolerance=1.0")
    last = pearson(recorded.real_logits[-1, :, 0], recorded.labels)
    score = pearson(made.prediction, recorded.labels)
    assert found.full_depth.score == pytest.approx(last)
    assert found.full_depth.difference == pytest.approx(score - last)
    assert found.interval.low < score < found.interval.high
    ends = found.full_depth.difference_interval
    assert ends.low < score - last < ends.high
    alone = [one.high - one.low for one in (found.interval, found.full_depth.interval)]
    assert ends.high - ends.low < math.hypot(*alone)  # the same sentences in both: narrower than of independent ones
    assert (found.full_depth.p_value, found.full_depth.n_gained, found.full_depth.n_lost) == (None, None, None)
    assert found == compared(recorded, "pabee-regression:patience=2,tolerance=1.0")
