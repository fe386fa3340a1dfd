"""Chosen settings: decided as their exit units decide, the ones that the goal asks for, and as good as they promise."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from hexit.quant.data.scores import pearson
from hexit.quant.errors import ConfigError
from hexit.quant.exits.goal import Goal
from hexit.quant.exits.rules import RULES, check_serves, parse_rule
from hexit.quant.exits.unit import exit_unit_spec, unit_decision
from hexit.quant.traces.choice import (
    MARGIN,
    N_QUANTILES,
    Searched,
    choose,
    describe,
    drops,
    observe,
    rival_rules,
    search,
)
from hexit.quant.traces.trace import ExitTrace
from support.deep_logits import deep_trace
from support.outcomes import trace

SERVED = [
    (name, n_classes)
    for name in RULES
    for n_classes in (1, 2, 3)
    if name != "oracle" and (n_classes == 1) <= (name in ("pabee-regression", "fixed-depth"))
    if (name == "hardware") <= (n_classes == 2) and (name == "pabee-regression") <= (n_classes == 1)
]
ONE_POINT = Goal(max_drop=0.01, speedup=None)


def decided(searched: Searched, row: int, recorded: ExitTrace, layers: tuple[int, ...] | None) -> list[int]:
    """The exit layers of one row by the rule's own exit unit."""
    rule = searched.setting(row)
    unit = exit_unit_spec(
        rule,
        n_layers=recorded.n_layers,
        n_classes=recorded.n_classes,
        scale=recorded.scale,
        evaluated_layers=layers,
    )
    found: list[int] = unit_decision(unit, recorded.logits).exit_layer.tolist()
    return found


@pytest.mark.parametrize(("name", "n_classes"), SERVED)
@pytest.mark.parametrize("layers", [None, (2, 3, 6)])
def test_every_setting_leaves_where_its_exit_unit_leaves(
    name: str, n_classes: int, layers: tuple[int, ...] | None
) -> None:
    recorded = trace(6, n_classes, n_samples=40)
    searched = search(parse_rule(name, 6 if name == "fixed-depth" else None), recorded, layers)
    rows = np.random.default_rng(1).permutation(len(searched.score))[:25].tolist()
    for row in rows:
        assert searched.exit_layer[row].tolist() == decided(searched, row, recorded, layers), searched.setting(row)


@pytest.mark.parametrize(("name", "n_classes"), SERVED)
def test_the_slowest_setting_of_every_rule_leaves_nobody_early_and_the_fastest_is_fast(
    name: str, n_classes: int
) -> None:
    recorded = trace(6, n_classes, n_samples=40)
    check_serves(parse_rule(name), recorded.n_layers, n_classes)
    searched = search(parse_rule(name), recorded)
    assert searched.mean_layer.max() == 6
    assert (
        searched.mean_layer.min() <= 4 if "pabee" in name else searched.mean_layer.min() == 1
    )  # patience takes layers


def test_thresholds_are_quantiles_of_what_was_seen_and_readable() -> None:
    recorded = deep_trace(500, 1)
    (tests, trends) = RULES["hardware"]().choices(observe(recorded, tuple(range(1, 13))))
    thresholds = [one["threshold"] for one in tests[1:-1]]
    seen = np.abs(recorded.real_logits[..., 0] - recorded.real_logits[..., 1])
    shares = [float((seen <= threshold).mean()) for threshold in thresholds]
    assert np.diff(shares) == pytest.approx(np.full(N_QUANTILES - 1, 1 / N_QUANTILES), abs=2e-3)  # rounding to 4 digits
    assert all(len(f"{threshold:.10g}".replace(".", "").lstrip("0")) <= 4 for threshold in thresholds)
    assert [one["run_length"] for one in trends] == list(range(2, 14))


def naive_drop(searched: Searched, row: int) -> tuple[float, float]:
    lost = sum(full > here for full, here in zip(searched.full_depth, searched.value[row], strict=True))
    gained = sum(full < here for full, here in zip(searched.full_depth, searched.value[row], strict=True))
    n = len(searched.full_depth)
    return (lost - gained) / n, math.sqrt(lost + gained + 1 - (lost - gained) ** 2 / (n + 2)) / (n + 2)


@pytest.mark.parametrize("name", ["hardware", "elbert", "pabee", "entropy", "fixed-depth"])
@pytest.mark.parametrize("max_drop", [0.0, 0.01, 0.05])
def test_the_fewest_layers_within_the_allowed_drop_are_chosen(name: str, max_drop: float) -> None:
    searched = search(parse_rule(name), deep_trace(400, 2))
    row = choose(searched, Goal(max_drop=max_drop, speedup=None))
    found = []
    for index in range(len(searched.score)):
        drop, error = naive_drop(searched, index)
        if drop + MARGIN * error <= max_drop or set(searched.exit_layer[index].tolist()) == {12}:
            found.append((float(searched.exit_layer[index].mean()), drop, index))
    assert (searched.mean_layer[row], drops(searched)[0][row]) == pytest.approx(min(found)[:2])
    described = describe(searched, row)
    assert (described.drop, described.drop_error) == pytest.approx(naive_drop(searched, row))
    assert parse_rule(described.rule) == searched.setting(row)
    assert described.score_full_depth - described.score == pytest.approx(described.drop)


@pytest.mark.parametrize("speedup", [1.0, 2.0, 3.0])
def test_the_highest_score_at_a_speed_up_is_chosen(speedup: float) -> None:
    searched = search(parse_rule("hardware"), deep_trace(400, 2))
    row = choose(searched, Goal(max_drop=None, speedup=speedup))
    allowed = [
        (float(s), -float(m)) for s, m in zip(searched.score, searched.mean_layer, strict=True) if m * speedup <= 12
    ]
    assert (searched.score[row], -searched.mean_layer[row]) == max(allowed)


def test_a_speed_up_that_no_setting_reaches_names_the_most_there_is() -> None:
    searched = search(parse_rule("pabee"), deep_trace(50, 2))
    most = 12 / searched.mean_layer.min()
    with pytest.raises(ConfigError, match=rf"--speedup = 7: is more than the rule pabee reaches .*, {most:.3g}\."):
        choose(searched, Goal(max_drop=None, speedup=7))


def test_few_sentences_prove_nothing() -> None:
    """Ten sentences on which no exit is ever wrong: one in ten could still be, which is more than a point."""
    recorded = deep_trace(10, 3)
    agreed = dataclasses.replace(recorded, labels=recorded.logits[-1].argmax(axis=1))
    certain = dataclasses.replace(agreed, logits=np.repeat(agreed.logits[-1:], 12, axis=0))
    searched = search(parse_rule("hardware"), certain)
    assert searched.mean_layer[choose(searched, ONE_POINT)] == 12
    assert searched.mean_layer[choose(searched, Goal(max_drop=0.1, speedup=None))] == 1


def test_a_rule_without_settings_has_none_to_choose() -> None:
    with pytest.raises(ConfigError, match=r"--rule = oracle: has no settings to choose"):
        search(parse_rule("oracle"), deep_trace(10, 3))


def test_the_error_of_a_correlation_s_drop_is_that_of_resampled_sentences() -> None:
    recorded = trace(6, 1, n_samples=400)
    searched = search(parse_rule("pabee-regression"), recorded)
    assert searched.labels is not None
    row = int(np.argmin(np.abs(searched.mean_layer - 3)))
    random = np.random.default_rng(0)
    found = []
    for _ in range(1000):
        drawn = random.integers(0, 400, 400)
        labels = searched.labels[drawn]
        found.append(pearson(searched.full_depth[drawn], labels) - pearson(searched.value[row, drawn], labels))
    drop, error = drops(searched)
    assert drop[row] == pytest.approx(
        pearson(searched.full_depth, searched.labels) - pearson(searched.value[row], searched.labels)
    )
    assert error[row] == pytest.approx(np.std(found), rel=0.1)  # 1,000 resamples know their spread to 2 %


def test_rivals_have_their_best_settings_at_no_more_layers() -> None:
    recorded = deep_trace(600, 4)
    searched = search(parse_rule("hardware"), recorded)
    row = choose(searched, ONE_POINT)
    rivals = {rival.rule.partition(":")[0]: rival for rival in rival_rules(searched, row, recorded)}
    assert set(rivals) <= {"elbert", "pabee", "normalized-entropy", "entropy", "max-probability"}
    for name, rival in rivals.items():
        other = search(parse_rule(name), recorded)
        cheap = other.mean_layer <= searched.mean_layer[row]
        assert rival.score == other.score[cheap].max()
        assert rival.mean_layer <= searched.mean_layer[row]
        assert rival.better == (rival.difference > 0 and rival.p_value < 0.05 / len(rivals))


def test_a_rival_that_is_truly_better_is_called_so_and_an_equal_one_is_not() -> None:
    """Patience alone against certainty, where every layer's order is the same and only certainty tells right from
    wrong."""
    recorded = deep_trace(3000, 5)
    patience = search(parse_rule("pabee"), recorded)
    quick = choose(patience, Goal(max_drop=None, speedup=2.5))
    better = {rival.rule.partition(":")[0] for rival in rival_rules(patience, quick, recorded) if rival.better}
    assert "entropy" in better
    entropy = search(parse_rule("entropy"), recorded)
    row = choose(entropy, Goal(max_drop=None, speedup=2.5))
    same = {rival.rule.partition(":")[0]: rival for rival in rival_rules(entropy, row, recorded)}
    assert not same["max-probability"].better  # with two classes the same test
    assert abs(same["max-probability"].difference) < 0.01


@pytest.mark.slow
def test_the_promised_drop_holds_on_fresh_text_as_often_as_the_page_says() -> None:
    """768 sentences choose, 20,000 fresh ones judge, forty times: about three in four with the margin of a standard
    error, about one in three without. Forty trials know a share to 0.08, so the bounds lie 1.5 such errors away."""
    fresh = deep_trace(20_000, 0)
    full_depth = np.mean(fresh.logits[-1].argmax(axis=1) == fresh.labels)
    n_held = {1.0: 0, 0.0: 0}
    for seed in range(1, 41):
        searched = search(parse_rule("hardware"), deep_trace(768, seed))
        for margin in n_held:
            rule = searched.setting(choose(searched, ONE_POINT, margin))
            unit = exit_unit_spec(rule, n_layers=12, n_classes=2, scale=fresh.scale)
            right = unit_decision(unit, fresh.logits).prediction == fresh.labels
            n_held[margin] += bool(full_depth - np.mean(right) <= 0.01)
    assert 0.55 <= n_held[1.0] / 40 <= 0.9
    assert n_held[0.0] / 40 <= 0.4
