"""The pictures of a run, ready to print: PNG at 200 dpi and SVG, byte-identical for equal runs.

    exits              where sentences left, and the share that has left by each layer
    accuracy_speed     score against layer speed-up of every rule on the recorded logits; without labels the mean
                       layer, and who has left by when, against the chosen rule's setting
    latency_by_layer   busy cycles of each unit in one layer and its exit, op by op; latency of each exit
    roofline           GMAC/s against MAC per off-chip byte: ceilings of the design, products, layers, sentences
    stalls             what every unit does in each cycle of one sentence, and which op makes units wait
    gantt              one sentence up to its exit, a track per unit, with its last layer and its last exit enlarged
    queue, latency     where sentences wait for each other: queue and utilisation over time, latencies

Every number comes from the outcome or the report; a picture only divides and sums.
Not drawn: several sentences in one Gantt chart, confidence intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, assert_never

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hexit.quant.exits.rules import RULES, FixedDepthExit, OracleExit
from hexit.quant.files import write_whole
from hexit.quant.traces.store import Progress
from hexit.quant.workload import Add, Embed, ExitDecision, ExitHead, Gelu, LayerNorm, MatMul, Op, Softmax
from hexit.sim.analysis.timeline import Interval, Timeline, sentence_timeline
from hexit.sim.core.program import NONE, UNIT_NAMES, Unit
from hexit.sim.job.experiment import Outcome, RulePoint, decide_source, is_bound, shown_exit, sweep_rules
from hexit.sim.plots.roofline import draw_roofline
from hexit.sim.plots.stalls import draw_stalls
from hexit.sim.plots.stream import anyone_waits, draw_latency, draw_queue
from hexit.sim.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ONE_COLUMN,
    ORANGE,
    PURPLE,
    SKY,
    TWO_COLUMNS,
    VERMILION,
    YELLOW,
    log_axis,
    plain_ticks,
    plot_style,
    render,
    three_figures,
    titled_figure,
)
from hexit.sim.report.record import Report

CLOSE_FRACTION = 1 / 150  # of an axis: tasks of one op that are closer are one bar, as high as their share of its time
HAIR_FRACTION = 1 / 600  # of an axis: the thinnest bar that still prints

Picture = Callable[[Outcome, Report], Figure]

KIND_COLOURS = {
    "product with weights": BLUE,
    "attention product": SKY,
    "softmax": VERMILION,
    "layer norm": PURPLE,
    "GELU": ORANGE,
    "residual add": YELLOW,
    "embedding": "#999999",
    "exit head": GREEN,
    "exit decision": BLACK,
}
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


def draw_all(outcome: Outcome, report: Report, folder: Path, progress: Progress) -> None:
    """Write every picture that says something of this run to `folder` as NAME.png and NAME.svg."""
    pictures = pictures_of(outcome)
    advance = progress("pictures", len(pictures))
    for name, draw in pictures.items():
        with plot_style():
            for kind, raw in render(draw(outcome, report)).items():
                write_whole(folder / f"{name}.{kind}", raw)
        advance(1)


def pictures_of(outcome: Outcome) -> dict[str, Picture]:
    """Return the pictures of a run by name: those of the stream only where sentences wait."""
    return PICTURES | (STREAM_PICTURES if anyone_waits(outcome.stream) else {})


def draw_exits(outcome: Outcome, report: Report) -> Figure:
    """Draw how many sentences left after each layer, the cumulative share, and the mean layer."""
    figure = titled_figure(ONE_COLUMN, 2.7, "Where sentences leave the encoder", report)
    axes = figure.add_subplot()
    counts = np.array(report.exits.histogram)
    layers = np.arange(1, counts.size + 1)
    axes.bar(layers, counts, width=0.8, color=SKY)
    axes.set(xlabel="exit layer", ylabel="sentences", xlim=(0.4, counts.size + 0.6))
    axes.set_ylim(0, 1.1 * counts.max())
    _layer_ticks(axes, counts.size)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    axes.grid(visible=False, axis="x")
    mean = axes.axvline(report.exits.mean_layer, color=VERMILION, linestyle="--")
    share = axes.twinx()
    share.grid(visible=False)
    share.spines["right"].set_visible(True)
    (line,) = share.plot(layers, 100 * np.cumsum(counts) / counts.sum(), color=BLUE, marker="o", markersize=3)
    share.set_ylim(0, 110)
    share.set_yticks(range(0, 101, 20))
    share.set_ylabel("left by this layer (%)", color=BLUE)
    figure.legend(
        [Patch(color=SKY), line, mean],
        ["sentences", "cumulative", f"mean layer {report.exits.mean_layer:.2f}"],
        loc="outside lower center",
        ncols=3,
        columnspacing=1.0,
        handletextpad=0.5,
    )
    return figure


def draw_accuracy_speed(outcome: Outcome, report: Report) -> Figure:
    """Draw the score against the layer speed-up of every rule, or what can be said without labels."""
    curves = sweep_rules(outcome.source, outcome.setup.rule)
    if outcome.source.trace.labelled:
        return _scores(report, curves)
    return _settings(outcome, report, curves[outcome.setup.rule.name])


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
        label = f"{rule} (bound)" if is_bound(points[0].rule) or isinstance(points[0].rule, FixedDepthExit) else rule
        axes.plot(x, y, label=label, **look | RULE_LOOKS.get(rule, UNKNOWN_RULE_LOOK))
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


def _settings(outcome: Outcome, report: Report, points: Sequence[RulePoint]) -> Figure:
    """Draw what a rule's setting does to the exit layers, for sentences without labels."""
    chosen = outcome.setup.rule
    principal = chosen.principal or "setting"
    n_layers = outcome.setup.shape.n_layers
    title = f"Exits against the {principal} of the rule {chosen.name} (no labels, so no accuracy)"
    figure = titled_figure(TWO_COLUMNS, 3.2, title, report)
    left, right = figure.subplots(1, 2)
    swept = [point for point in points if point.rule == replace(chosen, **{principal: getattr(point.rule, principal)})]
    values = np.array([getattr(point.rule, principal) for point in swept], dtype=np.float64)
    shown = values <= 8 * np.median(values)  # a setting that stands for "never" would leave the others no room
    layers = np.array([point.mean_layer for point in swept])
    order = np.flatnonzero(shown)[np.argsort(values[shown], kind="stable")]
    left.plot(values[order], layers[order], color=BLUE, marker="o", label="sweep")
    here = float(getattr(chosen, principal))
    left.plot(
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
    left.set(xlabel=f"{principal} ({chosen.name})", ylabel="mean exit layer", ylim=(0, n_layers + 0.5))
    left.yaxis.set_major_locator(MaxNLocator(7, integer=True))
    left.legend(loc="best")
    steps = np.arange(1, n_layers + 1)
    picks = order[np.unique(np.linspace(0, order.size - 1, 7).round().astype(int))]
    picks = picks[1:-1] if picks.size > 2 else picks  # the ends are "at once" and "never"
    for pick, colour in zip(picks, matplotlib.colormaps["cividis"](np.linspace(0, 0.9, picks.size)), strict=True):
        decision = decide_source(swept[pick].rule, outcome.source)
        right.plot(
            steps,
            _left_by(decision.exit_layer, n_layers),
            color=colour,
            marker="o",
            markersize=3,
            label=f"{principal} {values[pick]:.3g}",
        )
    right.plot(
        steps,
        _left_by(outcome.decision.exit_layer, n_layers),
        color=VERMILION,
        linestyle="--",
        linewidth=1.8,
        label=f"this run: {here:.3g}",
    )
    right.set(xlabel="layer", ylabel="left by this layer (%)", xlim=(0.6, n_layers + 0.4), ylim=(0, 103))
    _layer_ticks(right, n_layers)
    figure.legend(*right.get_legend_handles_labels(), loc="outside right center")
    return figure


def _left_by(exit_layer: NDArray[np.integer[Any]], n_layers: int) -> NDArray[np.float64]:
    """Percentage of sentences that have left after each of the layers 1..n_layers."""
    counts = np.bincount(exit_layer, minlength=n_layers + 1)[1:]
    return np.asarray(100 * np.cumsum(counts) / exit_layer.size, dtype=np.float64)


def draw_latency_by_layer(outcome: Outcome, report: Report) -> Figure:
    """Draw the busy cycles of each unit in one layer and its exit, and the latency of each exit."""
    figure = titled_figure(TWO_COLUMNS, 3.4, "What one layer costs, and a sentence by its exit layer", report)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    kinds = _op_kinds(outcome)
    names = [name.upper() for name in report.layer_busy_cycles]
    longest = max(report.layer_cycles, *report.layer_busy_cycles.values())
    used: set[str] = set()
    for place, name in enumerate(names):
        end = 0
        for op, cycles in unit_op_cycles(outcome, Unit[name]).items():
            kind = kinds[op]
            used.add(kind)
            left.barh(place, cycles, 0.7, left=end, color=KIND_COLOURS[kind], edgecolor="white", linewidth=0.4)
            if cycles > 0.03 * len(op) * longest:
                left.text(end + cycles / 2, place, op, ha="center", va="center", fontsize=6, color=_ink(kind))
            end += cycles
        busy = report.layer_busy_cycles[name.lower()]
        percent = 100 * busy / report.layer_cycles
        text = f"{busy:,} ({percent:.1f} %)" if percent >= 0.1 else f"{busy:,} (<0.1 %)"
        beyond = max(end, report.layer_cycles) if end > 0.55 * longest else end  # not across the dashed line
        left.annotate(text, (beyond, place), (3, 0), fontsize=7, textcoords="offset points", va="center")
    left.axvline(report.layer_cycles, color=BLACK, linestyle="--", linewidth=0.9)
    left.set_title(f"One layer and its exit: {report.layer_cycles:,} cycles (dashed)")
    left.set(xlabel="busy cycles (units overlap)", xlim=(0, 1.4 * longest), ylim=(len(names) - 0.4, -0.6))
    left.set_yticks(range(len(names)), [name.lower().replace("_", " ") for name in names])
    left.grid(visible=False, axis="y")
    left.xaxis.set_major_formatter(plain_ticks())
    left.xaxis.set_major_locator(MaxNLocator(4))
    _kind_legend(figure, used)
    _exit_latencies(right, report)
    return figure


def unit_op_cycles(outcome: Outcome, unit: Unit) -> dict[str, int]:
    """Return the cycles in which a unit works on each op of one layer and its exit, in program order."""
    cycles: dict[str, int] = {}
    for group in (outcome.program.layer, outcome.program.exit):
        mine = group.unit == unit
        by_op = np.bincount(group.op[mine], weights=group.occupancy_cycles[mine], minlength=len(group.op_names))
        cycles |= {name: int(n) for name, n in zip(group.op_names, by_op, strict=True) if n}
    return cycles


def _exit_latencies(axes: Axes, report: Report) -> None:
    by_exit = report.latency_us.by_exit
    layers = [k for k, value in enumerate(by_exit, start=1) if value is not None]
    latencies = [value for value in by_exit if value is not None]
    axes.bar(layers, latencies, width=0.8, color=SKY)
    marks = {"p50": report.latency_us.p50, "p95": report.latency_us.p95, "p99": report.latency_us.p99}
    top = 1.08 * max(*latencies, *marks.values())
    groups: list[tuple[float, str]] = []  # percentiles that are the same number are one line
    for name, value in marks.items():
        if groups and groups[-1][0] == value:
            groups[-1] = (value, f"{groups[-1][1]}, {name}")
        else:
            groups.append((value, name))
    heights = _spread([value for value, _ in groups], gap=0.13 * top, highest=0.96 * top)
    for (value, name), height, colour in zip(groups, heights, (VERMILION, ORANGE, BLACK), strict=False):
        axes.axhline(value, color=colour, linestyle="--", linewidth=1)
        axes.annotate(
            f"{name}\n{three_figures(value)}",
            (1.01, height),
            xycoords=axes.get_yaxis_transform(),
            color=colour,
            fontsize=7,
            va="center",
            annotation_clip=False,
        )
    axes.set_title("Alone on the design; dashed: the stream")
    axes.set(xlabel="exit layer", ylabel="latency (µs)", ylim=(0, top), xlim=(0.4, len(by_exit) + 0.6))
    axes.yaxis.set_major_formatter(plain_ticks())
    _layer_ticks(axes, len(by_exit))
    axes.grid(visible=False, axis="x")


def _spread(places: Sequence[float], *, gap: float, highest: float) -> list[float]:
    """Return rising places, at least `gap` apart and none above `highest`: those too close move down."""
    moved: list[float] = []
    for place in reversed(places):
        highest = min(place, highest)
        moved.append(highest)
        highest -= gap
    return moved[::-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Neighbouring tasks of one op (all attention products count as one) in one layer on one unit: a bar."""

    unit: str
    op: str
    kind: str
    layer: int
    start_cycle: int
    end_cycle: int
    busy_cycles: int
    squashed: bool


def merged_slices(
    intervals: Iterable[Interval], kinds: dict[str, str], first_cycle: int, last_cycle: int, gap_cycles: float
) -> list[Slice]:
    """Return the slices of a time window; tasks that belong together join over gaps of at most `gap_cycles`."""
    slices: list[Slice] = []
    newest: dict[str, int] = {}
    for interval in sorted(intervals, key=lambda i: i.start_cycle):
        start, end = max(interval.start_cycle, first_cycle), min(interval.end_cycle, last_cycle)
        if start >= end:
            continue
        kind = kinds[interval.op]
        new = Slice(
            unit=interval.unit,
            op="attention" if kind == "attention product" else interval.op,
            kind=kind,
            layer=interval.layer,
            start_cycle=start,
            end_cycle=end,
            busy_cycles=end - start,
            squashed=interval.squashed,
        )
        at = newest.get(interval.unit)
        if at is not None and _joins(slices[at], new, gap_cycles):
            slices[at] = replace(slices[at], end_cycle=end, busy_cycles=slices[at].busy_cycles + new.busy_cycles)
        else:
            newest[interval.unit] = len(slices)
            slices.append(new)
    return slices


def _joins(before: Slice, after: Slice, gap_cycles: float) -> bool:
    alike = (before.op, before.layer, before.squashed) == (after.op, after.layer, after.squashed)
    return alike and after.start_cycle - before.end_cycle <= gap_cycles


def draw_gantt(outcome: Outcome, report: Report) -> Figure:
    """Draw the median sentence on the design: all of it, its last layer, and its last exit."""
    timeline = sentence_timeline(outcome.sentence, shown_exit(outcome))
    layer, total = timeline.exit_layer, timeline.total_cycles
    title = f"One sentence, alone on the design, that leaves after layer {layer}"
    figure = titled_figure(TWO_COLUMNS, 5.2, title, report)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.7, 1))
    whole, last, leaving = (figure.add_subplot(cell) for cell in (grid[0, :], grid[1, 0], grid[1, 1]))
    kinds = _op_kinds(outcome)
    starts = _layer_starts(timeline)
    heads = [
        i.start_cycle
        for i in timeline.intervals
        if i.layer == layer and not i.squashed and i.unit == UNIT_NAMES[Unit.HEAD]
    ]
    head = min(heads)
    used: set[str] = set()
    for axes, first, width, title in (
        (whole, 0, 0.0, "From the start (height of a bar: share of its time in which the unit works)"),
        (last, starts[layer], 0.5, f"Layer {layer} and its exit"),
        (leaving, head - (total - head) // 20, 0.3, "The exit alone"),
    ):
        used |= _tracks(axes, timeline, kinds, first, 72 * TWO_COLUMNS * width)
        axes.set_title(title, pad=13 if axes is whole else None)
        for start in list(starts.values())[1:]:
            axes.axvline(start / timeline.clock_mhz, color=GREY, linewidth=0.6, zorder=1.5)
        decided = outcome.sentence.decision_cycle[:layer]
        decided = decided[(decided != NONE) & (decided >= first)] / timeline.clock_mhz
        axes.plot(
            decided,
            np.full(decided.size, int(Unit.DECISION)),
            linestyle="none",
            marker="v",
            markersize=4.5,
            color=BLACK,
            clip_on=False,
            zorder=5,
        )
        axes.axvline(total / timeline.clock_mhz, color=VERMILION, linewidth=1.2)
    _number_layers(whole, starts, timeline)
    leaving.set_yticklabels([])
    extra: list[Any] = [
        Line2D([], [], linestyle="none", marker="v", markersize=4.5, color=BLACK, label="decision"),
        Line2D([], [], color=VERMILION, label="exit"),
    ]
    if any(interval.squashed for interval in timeline.intervals):
        extra.append(Patch(facecolor="white", edgecolor=GREY, hatch="//////", label="squashed"))
    _kind_legend(figure, used - {"exit decision"}, extra)
    return figure


def _layer_starts(timeline: Timeline) -> dict[int, int]:
    """First cycle of the prologue (0) and of every layer that counted."""
    starts: dict[int, int] = {}
    for interval in timeline.intervals:
        if not interval.squashed and UNIT_NAMES.index(interval.unit) != Unit.DMA:
            starts[interval.layer] = min(starts.get(interval.layer, interval.start_cycle), interval.start_cycle)
    return dict(sorted(starts.items()))


def _tracks(axes: Axes, timeline: Timeline, kinds: dict[str, str], first: int, named_pt: float) -> set[str]:
    """Draw all tracks from cycle `first` to the end; return the kinds in sight. `named_pt`: width for names, or 0."""
    span = max(1, timeline.total_cycles - first)
    slices = merged_slices(timeline.intervals, kinds, first, timeline.total_cycles, span * CLOSE_FRACTION)
    for s in slices:
        duration, bottom = s.end_cycle - s.start_cycle, UNIT_NAMES.index(s.unit) + 0.38
        if s.kind == "exit decision" and duration < span * HAIR_FRACTION:
            continue  # its mark is enough
        height = 0.76 * max(0.1, s.busy_cycles / duration)
        look: dict[str, Any] = {"hatch": "//////", "alpha": 0.45} if s.squashed else {}
        corner = (s.start_cycle / timeline.clock_mhz, bottom - height)
        width = max(duration, span * HAIR_FRACTION) / timeline.clock_mhz
        axes.add_patch(Rectangle(corner, width, height, color=KIND_COLOURS[s.kind], linewidth=0, **look))
        if height > 0.6 and duration / span * named_pt > 3.7 * len(s.op):
            axes.text(
                (s.start_cycle + s.end_cycle) / 2 / timeline.clock_mhz,
                bottom - 0.38,
                s.op,
                fontsize=5.5,
                ha="center",
                va="center",
                color=BLACK if s.squashed else _ink(s.kind),
            )
    axes.set(xlabel="time (µs)", ylim=(len(UNIT_NAMES) - 0.4, -0.6))
    axes.set_xlim(first / timeline.clock_mhz, (timeline.total_cycles + 0.01 * span) / timeline.clock_mhz)
    axes.set_yticks(range(len(UNIT_NAMES)), [name.replace("_", " ") for name in UNIT_NAMES])
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(4 if named_pt else 8))
    axes.xaxis.set_major_formatter(plain_ticks())
    axes.grid(visible=False, axis="x")
    return {s.kind for s in slices}


def _number_layers(axes: Axes, starts: dict[int, int], timeline: Timeline) -> None:
    """Write each layer's number over its part of the time axis."""
    numbers = list(starts)
    ends = [*list(starts.values())[1:], timeline.total_cycles]
    every = math.ceil(len(numbers) / 16)
    for number, start, end in zip(numbers, starts.values(), ends, strict=True):
        if number and (number - 1) % every == 0:
            text = f"layer {number}" if number == 1 else str(number)
            axes.annotate(
                text,
                ((start + end) / 2 / timeline.clock_mhz, 1),
                (0, 2),
                fontsize=7,
                color=GREY,
                ha="center",
                xycoords=axes.get_xaxis_transform(),
                textcoords="offset points",
            )


def _op_kinds(outcome: Outcome) -> dict[str, str]:
    ops = (*outcome.workload.prologue, *outcome.workload.layer, *outcome.workload.exit)
    return {op.name: _kind(op) for op in ops}


def _kind(op: Op) -> str:
    match op:
        case MatMul(weights=weights):
            return "product with weights" if weights else "attention product"
        case Softmax():
            return "softmax"
        case LayerNorm():
            return "layer norm"
        case Gelu():
            return "GELU"
        case Add():
            return "residual add"
        case Embed():
            return "embedding"
        case ExitHead():
            return "exit head"
        case ExitDecision():
            return "exit decision"
        case _:
            assert_never(op)


def _kind_legend(figure: Figure, used: set[str], extra: Sequence[Any] = ()) -> None:
    handles = [Patch(facecolor=colour, label=kind) for kind, colour in KIND_COLOURS.items() if kind in used]
    figure.legend(
        handles=[*handles, *extra],
        loc="outside lower center",
        ncols=6,
        columnspacing=1.2,
        handlelength=1.0,
        handletextpad=0.5,
        fontsize=7.5,
    )


def _layer_ticks(axes: Axes, n_layers: int) -> None:
    """Number every layer, or as many as there is room for."""
    axes.xaxis.set_major_locator(MaxNLocator(n_layers + 1 if n_layers <= 12 else 12, integer=True, min_n_ticks=1))


def _ink(kind: str) -> str:
    return "white" if KIND_COLOURS[kind] in (BLUE, BLACK, GREEN, VERMILION) else BLACK


PICTURES: dict[str, Picture] = {
    "exits": draw_exits,
    "accuracy_speed": draw_accuracy_speed,
    "latency_by_layer": draw_latency_by_layer,
    "roofline": draw_roofline,
    "stalls": draw_stalls,
    "gantt": draw_gantt,
}
STREAM_PICTURES: dict[str, Picture] = {"queue": draw_queue, "latency": draw_latency}
