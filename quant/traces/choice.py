"""Settings of an exit rule, chosen on the recorded logits of labelled text.

    max drop    the fewest layers among the settings with  drop + one standard error of the drop <= max_drop
    speed-up    the highest score among the settings with  mean layer <= n_layers / speedup

The drop is the score at full depth less the score with exits, on the same sentences. Without the standard error the
fastest of hundreds of settings is the luckiest one: its drop on fresh text then exceeds the allowed one two to three
times out of four, with it once (docs/choice.md has the simulation). Settings that never leave early need no proof.
Ties go to the higher score, then to the fewer layers.

Each setting is decided by the integers of its exit unit. A rule exits at the earlier one of its test and its trend, so
m tests and k trends are computed m + k times and give m k settings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hexit.quant.arrays import Flags, Floats, Integers
from hexit.quant.data.intervals import mcnemar_p
from hexit.quant.errors import ConfigError
from hexit.quant.exits.constants import integer_form
from hexit.quant.exits.goal import Goal
from hexit.quant.exits.integer_rule import fires
from hexit.quant.exits.published import entropy, first_exit, normalized_entropy, softmax
from hexit.quant.exits.rules import (
    RULES,
    ExitRule,
    FixedDepthExit,
    Observed,
    OracleExit,
    Settings,
    check_serves,
    format_rule,
)
from hexit.quant.traces.replay import logit_bits
from hexit.quant.traces.trace import ExitTrace

N_QUANTILES = 48  # thresholds tried: neighbours differ in 2 % of all exits, far less than the text can tell apart
DIGITS = 4  # of a threshold, so that it can be read; a hundredth of the distance between two quantiles
MARGIN = 1.0  # standard errors that a drop keeps from the allowed one
NOISE = 0.05  # p-value below which a rival is called better, shared among the rivals (Bonferroni)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The chosen settings, and what they do on the text that they were chosen on.

    `drop_error` is one standard error of `drop`; `n_settings` were compared.
    """

    rule: str
    n_settings: int
    mean_layer: float
    score: float
    score_full_depth: float
    drop: float
    drop_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RivalRule:
    """The best settings of another rule with at most as many layers, on the same text.

    `difference` is its score less that of the chosen rule where the settings of both come from one half of the text and
    are compared on the other, both ways; `p_value` is McNemar's of the same sentences.
    """

    rule: str
    mean_layer: float
    score: float
    difference: float
    p_value: float
    better: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Searched:
    """Every setting of a rule on a trace: a row of exit layers and of what each sentence is worth there.

    `value` [n_settings, n_samples] is whether the answer is right, or the output itself of a regression, for which
    `labels` are kept; `full_depth` [n_samples] is the same at the last layer. `mean_layer` and `score` are those of
    each setting.
    """

    rule: ExitRule
    tests: Settings
    trends: Settings
    exit_layer: Integers
    value: Floats
    full_depth: Floats
    labels: Floats | None
    n_layers: int
    mean_layer: Floats
    score: Floats

    def setting(self, index: int) -> ExitRule:
        """Return the rule with the settings of one row."""
        test, trend = divmod(index, len(self.trends))
        return dataclasses.replace(self.rule, **self.tests[test], **self.trends[trend])


def observe(trace: ExitTrace, layers: tuple[int, ...]) -> Observed:
    """Return the quantiles of what rules compare at the exits of `layers`."""
    real = trace.real_logits[np.array(layers) - 1]
    classes, pair = trace.n_classes > 1, trace.n_classes == 2
    return Observed(
        layers=layers,
        n_classes=trace.n_classes,
        difference=_quantiles(np.abs(real[..., 0] - real[..., 1])) if pair else (),
        entropy=_quantiles(entropy(real)) if classes else (),
        normalized_entropy=_quantiles(normalized_entropy(real)) if classes else (),
        probability=_quantiles(softmax(real).max(axis=-1)) if classes else (),
        step=() if classes else _quantiles(np.abs(real[1:, :, 0] - real[:-1, :, 0])),
    )


def _quantiles(values: Floats) -> tuple[float, ...]:
    if not values.size:
        return ()
    found = np.quantile(values, (np.arange(N_QUANTILES) + 0.5) / N_QUANTILES)
    return tuple(sorted({float(f"{value:.{DIGITS}g}") for value in found.tolist()}))


def search(rule: ExitRule, trace: ExitTrace, layers: tuple[int, ...] | None = None) -> Searched:
    """Return every setting of `rule` that is worth a look on a labelled trace; other parameters keep their value.

    `layers` have an exit, all by default. Raises ConfigError for a rule that cannot serve the trace or has no settings.
    """
    layers = layers or tuple(range(1, trace.n_layers + 1))
    observed = observe(trace, layers)
    tests, trends = rule.choices(observed)
    if not any(tests) and not any(trends):
        raise ConfigError("--rule", rule.name, "has no settings to choose", "Leave --max-drop and --speedup out")
    first_tests = _first_exits(rule, tests, trace, layers, trend=False)
    first_trends = _first_exits(rule, trends, trace, layers, trend=True)
    exit_layer = np.minimum(first_tests[:, None], first_trends[None]).reshape(-1, trace.n_samples)
    values, labels = _values(trace)
    value = values[exit_layer - 1, np.arange(trace.n_samples)]
    return Searched(
        rule=rule,
        tests=tests,
        trends=trends,
        exit_layer=exit_layer,
        value=value,
        full_depth=values[-1],
        labels=labels,
        n_layers=trace.n_layers,
        mean_layer=np.asarray(exit_layer.mean(axis=1)),
        score=_scores(value, labels),
    )


def _first_exits(
    rule: ExitRule, settings: Settings, trace: ExitTrace, layers: tuple[int, ...], *, trend: bool
) -> Integers:
    """Return the exit layers of the rule's test alone, or its trend alone, [n_settings, n_samples]."""
    numbers = np.array(layers)
    logits = trace.logits[numbers - 1]
    found = np.empty((len(settings), trace.n_samples), dtype=np.int64)
    for index, setting in enumerate(settings):
        whole = integer_form(
            dataclasses.replace(rule, **setting),
            n_classes=trace.n_classes,
            scale=trace.scale,
            logit_bits=logit_bits(trace),
        )
        alone = dataclasses.replace(whole, confidence=None) if trend else dataclasses.replace(whole, trend=None)
        found[index] = numbers[first_exit(fires(alone, logits, layers)) - 1]
    return found


def _values(trace: ExitTrace) -> tuple[Floats, Floats | None]:
    """Return what each exit is worth for each sentence, [n_layers, n_samples], and the labels of a regression."""
    if trace.n_classes == 1:
        return trace.real_logits[..., 0], np.asarray(trace.labels, dtype=np.float64)
    return np.asarray(trace.logits.argmax(axis=2) == trace.labels, dtype=np.float64), None


def _scores(values: Floats, labels: Floats | None) -> Floats:
    if labels is None:
        return np.asarray(values.mean(axis=1))
    return np.asarray((_standard(values) * _standard(labels[None])).mean(axis=1))


def _standard(values: Floats) -> Floats:
    """Return rows with mean 0 and variance 1; rows of zeros where nothing varies."""
    away, spread = values - values.mean(axis=1, keepdims=True), values.std(axis=1, keepdims=True)
    return np.asarray(np.divide(away, spread, out=np.zeros_like(away), where=spread > 0))


def drops(searched: Searched) -> tuple[Floats, Floats]:
    """Return the drop of every setting against full depth, and its standard error.

    Accuracy: (lost - gained) / n of the sentences that only one of the two gets right; the error is that of Agresti and
    Min (2005), who count half a sentence more in each cell, so that no difference on few sentences is no proof.
    Correlation: the error of the difference of two dependent ones from its influence function,
    x y - r (x^2 + y^2) / 2 in standard units.
    """
    n, full = searched.value.shape[1], searched.full_depth[None]
    drop = _scores(full, searched.labels) - searched.score
    if searched.labels is None:
        lost, gained = ((full > searched.value).sum(axis=1), (full < searched.value).sum(axis=1))
        square = lost + gained + 1 - (lost - gained) ** 2 / (n + 2)
        return drop, np.sqrt(square) / (n + 2)
    influence = _influence(full, searched.labels) - _influence(searched.value, searched.labels)
    return drop, influence.std(axis=1) / np.sqrt(n)


def _influence(values: Floats, labels: Floats) -> Floats:
    x, y = _standard(values), _standard(labels[None])
    return np.asarray(x * y - (x * y).mean(axis=1, keepdims=True) * (x**2 + y**2) / 2)


def choose(searched: Searched, goal: Goal, margin: float = MARGIN) -> int:
    """Return the row of the settings that the goal asks for, `margin` standard errors away from its drop.

    Raises ConfigError for a speed-up that no setting reaches.
    """
    mean, score = searched.mean_layer, searched.score
    if goal.speedup is not None:
        fast = mean <= searched.n_layers / goal.speedup
        if not fast.any():
            most = searched.n_layers / mean.min()
            requirement = f"is more than the rule {searched.rule.name} reaches on the selection text, {most:.3g}"
            raise ConfigError("--speedup", goal.speedup, requirement, "Ask for less, or for another --rule")
        return _first(fast, -score, mean)
    drop, error = drops(searched)
    kept = drop + margin * error <= (goal.max_drop or 0.0)
    kept |= (searched.exit_layer == searched.n_layers).all(axis=1)
    return _first(kept if kept.any() else mean == mean.max(), mean, -score)


def _first(allowed: Flags, key: Floats, then: Floats) -> int:
    rows = np.flatnonzero(allowed)
    return int(rows[np.lexsort((then[rows], key[rows]))[0]])


def describe(searched: Searched, row: int) -> Chosen:
    """Return one row's settings and figures."""
    drop, error = drops(searched)
    return Chosen(
        rule=format_rule(searched.setting(row)),
        n_settings=len(searched.score),
        mean_layer=float(searched.mean_layer[row]),
        score=float(searched.score[row]),
        score_full_depth=float(_scores(searched.full_depth[None], searched.labels)[0]),
        drop=float(drop[row]),
        drop_error=float(error[row]),
    )


def rival_rules(
    searched: Searched, row: int, trace: ExitTrace, layers: tuple[int, ...] | None = None
) -> tuple[RivalRule, ...]:
    """Compare the other published rules with the chosen settings, at no more layers; none for a regression."""
    if searched.labels is not None:
        return ()
    cost = float(searched.mean_layer[row])
    own = _other_half(searched, cost)
    found = [rival for rival in _others(searched.rule, trace, layers) if rival.mean_layer.min() <= cost]
    result = []
    for rival in found:
        best, theirs = _first(rival.mean_layer <= cost, -rival.score, rival.mean_layer), _other_half(rival, cost)
        p_value = mcnemar_p(int((theirs > own).sum()), int((theirs < own).sum()))
        difference = float(theirs.mean() - own.mean())
        result.append(
            RivalRule(
                rule=format_rule(rival.setting(best)),
                mean_layer=float(rival.mean_layer[best]),
                score=float(rival.score[best]),
                difference=difference,
                p_value=p_value,
                better=difference > 0 and p_value < NOISE / len(found),
            )
        )
    return tuple(result)


def _others(rule: ExitRule, trace: ExitTrace, layers: tuple[int, ...] | None) -> Iterator[Searched]:
    for name, kind in RULES.items():
        if name == rule.name or kind in (FixedDepthExit, OracleExit):
            continue
        try:
            check_serves(kind(), trace.n_layers, trace.n_classes)
        except ConfigError:
            continue
        yield search(kind(), trace, layers)


def _other_half(searched: Searched, cost: float) -> Floats:
    """Return which sentences are right with the best settings of this cost on the half that they are not in."""
    right = np.empty_like(searched.full_depth)
    for half in (0, 1):
        layers, values = searched.exit_layer[:, half::2], searched.value[:, half::2]
        mean = layers.mean(axis=1)
        row = _first(mean <= max(cost, float(mean.min())), -values.mean(axis=1), mean)
        right[1 - half :: 2] = searched.value[row, 1 - half :: 2]
    return right
