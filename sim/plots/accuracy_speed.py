"""The picture of what every rule is worth: its score against its layer speed-up, over its settings.

The rival is the fixed depth, with a band of the interval of each exit's score; the run's own interval is a bar.

Without labels it shows the mean exit layer against the chosen rule's setting, and what has left by each layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from hexit.quant.arrays import Floats
from hexit.quant.exits.rules import RULES, ExitRule, FixedDepthExit, OracleExit
from hexit.sim.analysis.comparison import Comparison
from hexit.sim.job.experiment import PictureData, RulePoint, is_bound
from hexit.sim.job.outcome import Outcome
from hexit.sim.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    TWO_COLUMNS,
    VERMILION,
    YELLOW,
    layer_ticks,
    log_axis,
    titled_figure,
)
from hexit.sim.report.record import Report

RULE_LOOKS: dict[str, dict[str, Any]] = {
    "hardware": {"color": VERMILION, "marker": "o"},
    "elbert": {"color": BLUE, "marker": "s"},
    "pabee": {"color": GREEN, "marker": "^"},
    "pabee-regression": {"color": GREEN, "marker": "^"},
    "normalized-entropy": {"color": PURPLE, "marker": "D"},
    "entropy": {"color": ORANGE, "marker": "v"},
    "max-probability": {"color": SKY, "marker": "x"},
    "fixed-depth": {"color": BLACK, "marker": "+", "linestyle": ":"},
    "oracle": {"color": GREY, "marker": "P", "linestyle": "none", "markersize": 8},
}
UNKNOWN_RULE_LOOK: dict[str, Any] = {"color": GREY, "marker": "."}


def draw_accuracy_speed(outcome: Outcome, data: PictureData, report: Report) -> Figure:
    """Draw the score against the layer speed-up of every rule, or what can be said without labels."""
    rule = outcome.setup.rule
    if outcome.source.trace.labelled:
        return _scores(report, data.curves)
    return _settings(rule, report, data.curves[rule.name])


def _scores(report: Report, curves: dict[str, tuple[RulePoint, ...]]) -> Figure:
    regression = report.accuracy.metric == "pearson"
    unit, name = (1, "Pearson correlation") if regression else (100, "accuracy (%)")
    n_layers = report.configuration.shape.n_layers
    title = f"{'Correlation' if regression else 'Accuracy'} against speed, every rule over its settings"
    figure = titled_figure(TWO_COLUMNS, 3.5, title, report)
    axes = figure.add_subplot()
    bound: Line2D | None = None
    ordered = sorted(curves, key=lambda rule: list(RULES).index(rule))
    for place, rule in enumerate(ordered):
        points = curves[rule]
        x = [n_layers / point.mean_layer for point in points]
        y = [unit * (math.nan if point.score is None else point.score) for point in points]
        # Curves that coincide (two classes: all rules on the certainty alone) stay visible as thinner ones on wider.
        look: dict[str, Any] = {"linewidth": 2.6 - 1.8 * place / len(ordered), "markerfacecolor": "none"}
        role = " (bound)" if is_bound(points[0].rule) else " (to beat)" if rule == FixedDepthExit.name else ""
        axes.plot(x, y, label=f"{rule}{role}", **look | RULE_LOOKS.get(rule, UNKNOWN_RULE_LOOK))
        if isinstance(points[0].rule, OracleExit):
            bound = axes.lines[-1]
    if report.accuracy.float is not None:
        axes.axhline(unit * report.accuracy.float, color=GREY, linestyle="--", label="float, full depth", zorder=1)
    if report.accuracy.with_exits is not None:
        axes.plot(
            report.speedup.layer,
            unit * report.accuracy.with_exits,
            linestyle="none",
            marker="*",
            markersize=14,
            color=YELLOW,
            markeredgecolor=BLACK,
            markeredgewidth=0.8,
            zorder=5,
            label="this run",
        )
    if report.comparison is not None:
        _intervals(axes, report.comparison, report.speedup.layer, unit)
    if bound is not None:
        _bring_into_sight(axes, bound)
    if report.configuration.shape.n_classes == 2:
        note = "Two classes: rules on certainty alone almost coincide; thinner lines lie on wider ones"
        axes.set_title(note, fontsize=7)
    ticks = [tick for tick in (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 48) if tick <= n_layers]
    log_axis(axes, "x", (0.95, 1.05 * n_layers), ticks)
    axes.set(xlabel=f"layer speed-up ({n_layers} layers / mean exit layer)", ylabel=name)
    figure.legend(loc="outside right center", labelspacing=0.7)
    return figure


def _intervals(axes: Axes, comparison: Comparison, speedup: float, unit: float) -> None:
    """Draw the intervals of the fixed depths as a band, and that of this run as a bar."""
    n_layers = len(comparison.interval_by_exit)
    depths = [n_layers / layer for layer in range(1, n_layers + 1)]
    low, high = ([unit * getattr(one, end) for one in comparison.interval_by_exit] for end in ("low", "high"))
    axes.fill_between(depths, low, high, color=PALE, alpha=0.5, linewidth=0, zorder=0, label="95 % of fixed depth")
    axes.vlines(speedup, unit * comparison.interval.low, unit * comparison.interval.high, color=BLACK, zorder=4)


def _bring_into_sight(axes: Axes, bound: Line2D) -> None:
    """Put a bound that is far above all curves on the upper edge, with its value: the curves keep their room."""
    curves = np.concatenate([np.ravel(line.get_ydata()) for line in axes.lines if line is not bound])
    low, high = float(np.nanmin(curves)), float(np.nanmax(curves))
    x, y = (float(np.ravel(place)[0]) for place in bound.get_data())
    if not y > high + 0.5 * (high - low) > low:
        return
    edge = high + 0.15 * (high - low)
    bound.set_data([x], [edge])
    axes.annotate(
        f"oracle {y:.4g} ↑",
        (x, edge),
        (-8, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=7.5,
        color=GREY,
    )
    axes.set_ylim(low - 0.06 * (high - low), edge + 0.06 * (high - low))


def _settings(chosen: ExitRule, report: Report, points: Sequence[RulePoint]) -> Figure:
    """Draw what a rule's setting does to the exit layers, for sentences without labels."""
    principal = chosen.principal or "setting"
    title = f"Exits against the {principal} of the rule {chosen.name} (no labels, so no accuracy)"
    figure = titled_figure(TWO_COLUMNS, 3.2, title, report)
    left, right = figure.subplots(1, 2)
    swept = [point for point in points if point.rule == replace(chosen, **{principal: getattr(point.rule, principal)})]
    values = np.array([getattr(point.rule, principal) for point in swept], dtype=np.float64)
    shown = values <= 8 * np.median(values)  # a setting that stands for "never" would leave the others no room
    order = np.flatnonzero(shown)[np.argsort(values[shown], kind="stable")]
    swept, values = [swept[index] for index in order], values[order]
    _mean_layers(left, chosen, report, swept, values)
    _left_by_layer(right, chosen, report, swept, values)
    figure.legend(*right.get_legend_handles_labels(), loc="outside right center")
    return figure


def _mean_layers(axes: Axes, chosen: ExitRule, report: Report, points: Sequence[RulePoint], values: Floats) -> None:
    """Draw the mean exit layer against the setting, and this run as a star."""
    principal = chosen.principal or "setting"
    here = float(getattr(chosen, principal))
    axes.plot(values, [point.mean_layer for point in points], color=BLUE, marker="o", label="sweep")
    axes.plot(
        here,
        report.exits.mean_layer,
        linestyle="none",
        marker="*",
        markersize=13,
        color=YELLOW,
        markeredgecolor=BLACK,
        markeredgewidth=0.8,
        label=f"this run: {principal} {here:.3g}",
        zorder=5,
    )
    n_layers = report.configuration.shape.n_layers
    axes.set(xlabel=f"{principal} ({chosen.name})", ylabel="mean exit layer", ylim=(0, n_layers + 0.5))
    axes.yaxis.set_major_locator(MaxNLocator(7, integer=True))
    axes.legend(loc="best")


def _left_by_layer(axes: Axes, chosen: ExitRule, report: Report, points: Sequence[RulePoint], values: Floats) -> None:
    """Draw the share that has left by each layer, for settings spread over the sweep and for this run."""
    principal, n_layers = chosen.principal or "setting", report.configuration.shape.n_layers
    steps = np.arange(1, n_layers + 1)
    picks = np.unique(np.linspace(0, len(points) - 1, 7).round().astype(int))
    picks = picks[1:-1] if picks.size > 2 else picks  # the ends are "at once" and "never"
    for pick, colour in zip(picks, matplotlib.colormaps["cividis"](np.linspace(0, 0.9, picks.size)), strict=True):
        axes.plot(
            steps,
            _left_by(points[pick].histogram),
            color=colour,
            marker="o",
            markersize=3,
            label=f"{principal} {values[pick]:.3g}",
        )
    axes.plot(
        steps,
        _left_by(report.exits.histogram),
        color=VERMILION,
        linestyle="--",
        linewidth=1.8,
        label=f"this run: {float(getattr(chosen, principal)):.3g}",
    )
    axes.set(xlabel="layer", ylabel="left by this layer (%)", xlim=(0.6, n_layers + 0.4), ylim=(0, 103))
    layer_ticks(axes, n_layers)


def _left_by(histogram: Sequence[int]) -> Floats:
    """Percentage of sentences that have left after each of the layers."""
    return np.asarray(100 * np.cumsum(histogram) / sum(histogram), dtype=np.float64)
