"""The lines on screen that say how settings were chosen, and what exits beat."""

from __future__ import annotations

from rich.text import Text

from hexit.quant.data.intervals import Interval
from hexit.sim.analysis.comparison import Comparison, Rival
from hexit.sim.job.selection import Choice

PEARSON = "pearson"


def choice_lines(choice: Choice, metric: str) -> Text:
    """Say for what and on which text the settings were chosen, what they do there, and how other rules do."""
    found, goal, text = choice.chosen, choice.goal, choice.text
    drop = _points(found.drop, metric)
    asked = f"--speedup {goal.speedup:g}" if goal.speedup is not None else f"--max-drop {goal.max_drop:g}"
    whose = "" if text.labels == "given" else ", the network's own answers at full depth as labels"
    left_out = f", {text.n_left_out} more left out because they are evaluated here" if text.n_left_out else ""
    lines = Text(f"settings chosen ({asked}) on {text.name}: {text.n_sentences} sentences{left_out}{whose}; there ")
    lines.append(f"{found.mean_layer:.2f} layers, {_score(found.score, metric)} against ")
    lines.append(f"{_score(found.score_full_depth, metric)} at full depth: a drop of {drop}")
    lines.append(f" +- {_points(found.drop_error, metric)}")
    if not choice.rivals:
        return lines
    others = ", ".join(f"{rival.rule.partition(':')[0]} {_score(rival.score, metric)}" for rival in choice.rivals)
    lines.append(f"\nother rules at no more layers: {others}; ")
    better = [rival for rival in choice.rivals if rival.better]
    if not better:
        return lines.append("none is better beyond noise")
    best = max(better, key=lambda rival: rival.difference)
    gain = f"{best.rule} is better by {_points(best.difference, metric)} (p = {best.p_value:.2g})"
    return lines.append(gain, style="yellow")


def comparison_lines(comparison: Comparison, metric: str) -> Text:
    """Say in two lines what the run gains over the best fixed depth of its cost, and over full depth."""
    best, full = comparison.fixed_depth, comparison.full_depth
    lines = Text(f"best fixed depth of this cost, layer {best.layer}: ").append(_against(best, metric))
    lines.append("\nno exits: ").append(_against(full, metric))
    return lines


def _against(rival: Rival, metric: str) -> Text:
    found = rival.difference_interval
    text = Text(f"{_score(rival.score, metric)} {_interval(rival.interval, metric)}; exits ")
    clear = "green" if found.low > 0 else "yellow" if found.high < 0 else ""
    unit = "" if metric == PEARSON else " points"
    low, high = (_signed(end, metric) for end in (found.low, found.high))
    text.append(f"{_signed(rival.difference, metric)}{unit} [{low}, {high}]", style=clear)
    if rival.p_value is not None:
        text.append(f", p = {rival.p_value:.2g} ({rival.n_gained} won, {rival.n_lost} lost)")
    return text


def _score(value: float, metric: str) -> str:
    return f"{value:.3f}" if metric == PEARSON else f"{100 * value:.2f} %"


def _points(value: float, metric: str) -> str:
    return f"{value:.3f}" if metric == PEARSON else f"{100 * value:.2f} points"


def _signed(value: float, metric: str) -> str:
    return f"{value:+.3f}" if metric == PEARSON else f"{100 * value:+.2f}"


def _interval(found: Interval, metric: str) -> str:
    return f"[{_score(found.low, metric)}, {_score(found.high, metric)}]".replace(" %,", ",")
