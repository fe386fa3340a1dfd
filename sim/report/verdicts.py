"""The lines on screen that say how settings were chosen, and what exits beat."""

from __future__ import annotations

from rich.text import Text

from hexit.quant.data.intervals import Interval
from hexit.sim.analysis.comparison import Comparison, Rival
from hexit.sim.job.selection import Choice

PEARSON = "pearson"


def choice_lines(choice: Choice) -> Text:
    """Say for what and on which text the settings were chosen, what they do there, and how other rules do."""
    found, goal, text, metric = choice.chosen, choice.goal, choice.text, choice.metric
    asked = f"--speedup {goal.speedup:g}" if goal.speedup is not None else f"--max-drop {goal.max_drop:g}"
    left_out = f" ({text.n_left_out} more are evaluated here)" if text.n_left_out else ""
    score, full = _score(found.score, metric), _score(found.score_full_depth, metric)
    if text.labels != "given":
        full += " (its own answers are the labels)"
    lines = Text(f"settings: {asked} on {text.name}, {text.n_sentences} sentences{left_out}: {found.mean_layer:.2f} ")
    lines.append(f"layers, {score}, full depth {full}; drop ")
    lines.append(f"{_bare(found.drop, metric)} +- {_bare(found.drop_error, metric)}")
    if not choice.rivals:
        return lines
    others = ", ".join(f"{rival.rule.partition(':')[0]} {_bare(rival.score, metric)}" for rival in choice.rivals)
    lines.append(f"\nother rules there, no more layers: {others}; ")
    better = [rival for rival in choice.rivals if rival.better]
    if not better:
        return lines.append("none better beyond noise")
    best = max(better, key=lambda rival: rival.difference)
    gain = f"{best.rule} is better by {_bare(best.difference, metric)} points, p = {best.p_value:.2g}"
    return lines.append(gain, style="yellow")


def comparison_lines(comparison: Comparison, metric: str) -> Text:
    """Say in two lines what the run gains over the best fixed depth of its cost, and over full depth."""
    best, full = comparison.fixed_depth, comparison.full_depth
    names = (f"best fixed depth ({best.layer}): ", "no exits: ")
    width = max(map(len, names))
    rows = zip(names, (best, full), strict=True)
    return Text("\n").join(Text(name.ljust(width)).append(_against(rival, metric)) for name, rival in rows)


def _against(rival: Rival, metric: str) -> Text:
    found = rival.difference_interval
    text = Text(f"{_score(rival.score, metric)} {_interval(rival.interval, metric)}; exits ")
    clear = "green" if found.low > 0 else "yellow" if found.high < 0 else ""
    text.append(f"{_bare(rival.difference, metric, '+')} {_interval(found, metric, '+')}", style=clear)
    return text if rival.p_value is None else text.append(f", p {rival.p_value:.2g}")


def _score(value: float, metric: str) -> str:
    return f"{value:.3f}" if metric == PEARSON else f"{100 * value:.2f} %"


def _bare(value: float, metric: str, sign: str = "") -> str:
    return f"{value:{sign}.3f}" if metric == PEARSON else f"{100 * value:{sign}.2f}"


def _interval(found: Interval, metric: str, sign: str = "") -> str:
    """The two ends, with a digit less than the value between them."""
    ends = (f"{end:{sign}.2f}" if metric == PEARSON else f"{100 * end:{sign}.1f}" for end in (found.low, found.high))
    return f"[{', '.join(ends)}]"
