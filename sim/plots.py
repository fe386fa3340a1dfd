"""The pictures of a run, ready to print: PNG at 200 dpi and SVG, byte-identical for equal runs.

    exits              where sentences left, and the share that has left by each layer
    accuracy_speed     score against layer speed-up of every rule on the recorded logits; without labels the mean
                       layer, and who has left by when, against the chosen rule's setting
    latency_by_layer   busy cycles of each unit in one layer and its exit, op by op; latency of each exit
    roofline           GMAC/s against MAC per off-chip byte: ceilings of the design, ops of a layer, whole sentences
    gantt              one sentence up to its exit, a track per unit, with its last layer and its last exit enlarged

Every number comes from the outcome or the report; a picture only divides and sums. An op of the roofline takes the
busy cycles of its slower side, compute or weight transfer, as if the two overlapped perfectly and nothing else ran:
what ops wait for each other is in the point of the whole sentences only.
Not drawn: several sentences in one Gantt chart, confidence intervals.
"""

from __future__ import annotations

import math
import textwrap
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
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from quant.exits import RULES, FixedDepthExit, OracleExit
from quant.files import write_whole
from quant.store import Stage
from quant.workload import Add, Embed, ExitDecision, ExitHead, Gelu, LayerNorm, MatMul, Op, Softmax
from sim.experiment import Outcome, RulePoint, decide_source, is_bound, shown_exit, sweep_rules
from sim.plot_style import (
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
    plot_style,
    render,
)
from sim.report import Report
from sim.schedule import NONE, UNIT_NAMES, TaskProgram, Unit
from sim.timeline import Interval, Timeline, sentence_timeline

CLOSE_FRACTION = 1 / 150  # of an axis: tasks of one op that are closer are one bar, as high as their share of its time
HAIR_FRACTION = 1 / 600  # of an axis: the thinnest bar that still prints

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


def draw_all(outcome: Outcome, report: Report, folder: Path, stage: Stage) -> None:
    """Write every picture of PICTURES to `folder` as NAME.png and NAME.svg."""
    advance = stage("pictures", len(PICTURES))
    for name, draw in PICTURES.items():
        with plot_style():
            for kind, raw in render(draw(outcome, report)).items():
                write_whole(folder / f"{name}.{kind}", raw)
        advance(1)


def draw_exits(outcome: Outcome, report: Report) -> Figure:
    """Draw how many sentences left after each layer, the cumulative share, and the mean layer."""
    figure = _figure(ONE_COLUMN, 2.7, "Where sentences leave the encoder", report)
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
    figure = _figure(TWO_COLUMNS, 3.5, title, report)
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
    _log_axis(axes, "x", (0.95, 1.05 * n_layers), ticks)
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
    figure = _figure(TWO_COLUMNS, 3.2, title, report)
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
        decision, _ = decide_source(swept[pick].rule, outcome.source)
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
    figure = _figure(TWO_COLUMNS, 3.4, "What one layer costs, and a sentence by its exit layer", report)
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
    left.xaxis.set_major_formatter(PLAIN)
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
            f"{name}\n{_figures(value)}",
            (1.01, height),
            xycoords=axes.get_yaxis_transform(),
            color=colour,
            fontsize=7,
            va="center",
            annotation_clip=False,
        )
    axes.set_title("Alone on the design; dashed: the stream")
    axes.set(xlabel="exit layer", ylabel="latency (µs)", ylim=(0, top), xlim=(0.4, len(by_exit) + 0.6))
    axes.yaxis.set_major_formatter(PLAIN)
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
class RooflinePoint:
    """Work, time and off-chip traffic of some ops, or of the whole stream."""

    names: tuple[str, ...]
    macs: int
    cycles: int
    n_bytes: int

    @property
    def macs_per_byte(self) -> float:
        """MACs for each off-chip byte, infinite without traffic."""
        return self.macs / self.n_bytes if self.n_bytes else math.inf

    def gmac_s(self, clock_mhz: float) -> float:
        """Attained 10^9 MAC per second."""
        return self.macs / self.cycles * clock_mhz / 1000


def roofline_points(outcome: Outcome) -> tuple[RooflinePoint, ...]:
    """Return a point per op of a layer and its exit that multiplies, equal ones as one, and the stream's as the last.

    cycles of an op = max(busy cycles of compute, busy cycles of its weight transfers)
    """
    found: dict[tuple[int, int, int], list[str]] = {}
    for group in (outcome.program.layer, outcome.program.exit):
        for name, macs, cycles, n_bytes in _op_totals(group):
            if macs:
                found.setdefault((macs, cycles, n_bytes), []).append(name)
    stream = outcome.stream
    ops = [
        RooflinePoint(names=tuple(names), macs=macs, cycles=cycles, n_bytes=n_bytes)
        for (macs, cycles, n_bytes), names in found.items()
    ]
    whole = RooflinePoint(
        names=("whole sentences",),
        macs=stream.macs,
        cycles=stream.total_cycles,
        n_bytes=stream.off_chip_bytes + stream.wasted_bytes,
    )
    return (*ops, whole)


def _op_totals(group: TaskProgram) -> Iterable[tuple[str, int, int, int]]:
    """Name, MACs, cycles of the slower side and off-chip bytes of every op."""
    n_ops = len(group.op_names)
    loading = np.where(group.unit == Unit.DMA, group.occupancy_cycles, 0)
    macs, load_cycles, n_bytes = (
        np.bincount(group.op, weights=values, minlength=n_ops).astype(np.int64)
        for values in (group.macs, loading, group.n_bytes)
    )
    cycles = np.maximum(np.maximum(group.op_cycles(), load_cycles), 1)
    return zip(group.op_names, macs.tolist(), cycles.tolist(), n_bytes.tolist(), strict=True)


def draw_roofline(outcome: Outcome, report: Report) -> Figure:
    """Draw ceilings and attained rates; work without off-chip bytes stands in a strip of its own at the right."""
    figure = _figure(TWO_COLUMNS, 3.4, "Roofline: ops of one layer and its exit, and whole sentences", report)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2.8, 1))
    design, clock_mhz = outcome.setup.design, outcome.setup.design.clock_mhz
    points = roofline_points(outcome)
    peak, head_peak = (lanes * clock_mhz / 1000 for lanes in (design.n_macs, design.head_lanes))
    gb_s = outcome.program.channel.bytes_per_cycle * clock_mhz / 1000
    finite = [point.macs_per_byte for point in points if point.n_bytes]
    edges = (min([*finite, head_peak / gb_s]) / 3, max([*finite, peak / gb_s]) * 3)
    left.plot([edges[0], peak / gb_s, edges[1]], [gb_s * edges[0], peak, peak], color=BLACK, linewidth=1.5)
    left.plot([head_peak / gb_s, edges[1]], [head_peak, head_peak], color=GREY, linestyle="--")
    right.axhline(peak, color=BLACK, linewidth=1.5)
    right.axhline(head_peak, color=GREY, linestyle="--")
    strip = [point for point in points if not point.n_bytes]
    on_head = {op.name for op in outcome.workload.exit}
    handles = []
    for point, look in zip(points, _point_looks(len(points)), strict=True):
        rate = point.gmac_s(clock_mhz)
        share = rate / (head_peak if set(point.names) <= on_head else peak)
        axes, at = (left, point.macs_per_byte) if point.n_bytes else (right, 1.0 + strip.index(point))
        names = textwrap.fill(", ".join(point.names), 24)
        handles += axes.plot(
            at,
            rate,
            linestyle="none",
            markeredgecolor=BLACK,
            markeredgewidth=0.7,
            zorder=4,
            label=f"{names}\n{_figures(rate)} GMAC/s, {100 * share:.1f} %",
            **look,
        )
    low = min([point.gmac_s(clock_mhz) for point in points] + [head_peak]) / 2.5
    _log_axis(left, "y", (low, peak * 2.5), _round_numbers(low, peak * 2.5))
    _log_axis(left, "x", edges, _round_numbers(*edges))
    for ceiling, name, colour in ((peak, "array", BLACK), (head_peak, "exit head", GREY)):
        left.annotate(
            f"{name}: {_figures(ceiling)} GMAC/s",
            (edges[1], ceiling),
            (-4, 10),
            textcoords="offset points",
            ha="right",
            fontsize=7.5,
            color=colour,
        )
    middle = math.sqrt(peak * head_peak) / gb_s
    at_left = middle > math.sqrt(edges[0] * edges[1])  # of the line, where there is more room
    left.annotate(
        f"memory: {_figures(gb_s)} GB/s",
        (middle, gb_s * middle),
        (-6 if at_left else 6, -2),
        fontsize=7.5,
        textcoords="offset points",
        ha="right" if at_left else "left",
        va="bottom" if at_left else "top",
    )
    left.set(xlabel="MAC per off-chip byte", ylabel="GMAC/s")
    right.set(xlim=(0, len(strip) + 1), xlabel="no off-chip bytes →", facecolor="#F4F4F4")
    right.set_xticks([])
    right.xaxis.label.set_size(8)
    right.tick_params(left=False)
    right.spines["left"].set_visible(False)
    figure.legend(
        handles=handles,
        loc="outside right center",
        title="attained, share of the peak",
        title_fontsize=8,
        labelspacing=0.7,
        fontsize=7.5,
    )
    return figure


def _point_looks(n_points: int) -> list[dict[str, Any]]:
    """Markers of the ops, smaller ones on larger ones, and of the whole sentences (a hollow star)."""
    markers, colours = "osD^vPX", (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, GREY)
    looks: list[dict[str, Any]] = [
        {"marker": markers[n % len(markers)], "color": colours[n % len(colours)], "markersize": max(5.0, 9 - 0.6 * n)}
        for n in range(n_points - 1)
    ]
    return [*looks, {"marker": "*", "markerfacecolor": "none", "markersize": 17}]


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
    figure = _figure(TWO_COLUMNS, 5.2, f"One sentence, alone on the design, that leaves after layer {layer}", report)
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
    axes.xaxis.set_major_formatter(PLAIN)
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


def _figure(width: float, height: float, title: str, report: Report) -> Figure:
    """Return an empty figure (inches) under a title, and under that what was simulated, in small."""
    configuration = report.configuration
    bits, design = configuration.bits, configuration.design
    parts = (
        configuration.rule,
        f"W{bits.weight_bits}A{bits.activation_bits}",
        f"{design.name} on {configuration.device.name}, {design.clock_mhz:g} MHz",
        design.exit_overlap if design.n_interleaved == 1 else f"{design.n_interleaved} sentences interleaved",
        f"{configuration.sequence_length} tokens",
        f"{report.data.n_samples} of {report.data.name}",
    )
    text = " · ".join(part.replace(" ", "\u00a0") for part in parts)  # no line ends within a part
    lines = textwrap.wrap(text, int(width * 72 / 3.75))  # 3.75 pt: mean width of a letter at 6.5 pt
    line_inches = 0.125
    header = 0.27 + line_inches * len(lines)
    figure = Figure(figsize=(width, height + line_inches * (len(lines) - 1)))
    height = figure.get_figheight()
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - header / height), w_pad=0.05, h_pad=0.05)
    figure.text(0.05 / width, 1 - 0.06 / height, title, va="top", fontsize=9, fontweight="bold")
    for number, line in enumerate(lines):
        top = 1 - (0.24 + line_inches * number) / height
        figure.text(0.05 / width, top, line.strip(" ·"), va="top", fontsize=6.5, color=GREY)
    return figure


def _log_axis(axes: Axes, direction: str, limits: tuple[float, float], ticks: Sequence[float]) -> None:
    """Make an axis logarithmic, with these plain numbers as its only ticks."""
    axes.set(**{f"{direction}scale": "log", f"{direction}lim": limits})
    axis = axes.xaxis if direction == "x" else axes.yaxis
    axis.set_ticks(ticks, [f"{tick:,g}" for tick in ticks])
    axis.set_minor_locator(NullLocator())


def _round_numbers(low: float, high: float) -> list[float]:
    """Powers of ten between two numbers, with 2 and 5 times them where these would be few."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if math.log10(high / low) < 2.5 else (1,)
    return [step * 10.0**exponent for exponent in exponents for step in steps if low <= step * 10.0**exponent <= high]


def _layer_ticks(axes: Axes, n_layers: int) -> None:
    """Number every layer, or as many as there is room for."""
    axes.xaxis.set_major_locator(MaxNLocator(n_layers + 1 if n_layers <= 12 else 12, integer=True, min_n_ticks=1))


def _ink(kind: str) -> str:
    return "white" if KIND_COLOURS[kind] in (BLUE, BLACK, GREEN, VERMILION) else BLACK


def _figures(value: float) -> str:
    """Write a number with at least three significant figures and no exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


PLAIN = FuncFormatter(lambda value, _: f"{value:,.10g}")
PICTURES: dict[str, Callable[[Outcome, Report], Figure]] = {
    "exits": draw_exits,
    "accuracy_speed": draw_accuracy_speed,
    "latency_by_layer": draw_latency_by_layer,
    "roofline": draw_roofline,
    "gantt": draw_gantt,
}
