"""The picture of one sentence on the design, a track per unit, with its last layer and its last exit enlarged."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from hexit.sim.analysis.timeline import Interval, Timeline
from hexit.sim.core.program import NONE, UNIT_NAMES, Unit
from hexit.sim.job.experiment import PictureData
from hexit.sim.job.outcome import Outcome
from hexit.sim.plots.op_kinds import KIND_COLOURS, ink, kind_legend, program_kinds
from hexit.sim.plots.style import BLACK, GREY, TWO_COLUMNS, VERMILION, plain_ticks, titled_figure
from hexit.sim.report.record import Report

CLOSE_FRACTION = 1 / 150  # of an axis: tasks of one op that are closer are one bar, as high as their share of its time
HAIR_FRACTION = 1 / 600  # of an axis: the thinnest bar that still prints
N_ENGINE_UNITS = len(UNIT_NAMES)  # tracks that the usual height is for; stages may be more
TRACK_INCHES = 0.14


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


def draw_gantt(outcome: Outcome, data: PictureData, report: Report) -> Figure:
    """Draw the median sentence on the design: all of it, its last layer, and its last exit."""
    timeline = data.timeline
    layer, total = timeline.exit_layer, timeline.total_cycles
    title = f"One sentence, alone on the design, that leaves after layer {layer}"
    more_units = max(0, len(timeline.unit_names) - N_ENGINE_UNITS)
    figure = titled_figure(TWO_COLUMNS, 5.2 + 2 * TRACK_INCHES * more_units, title, report)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.7, 1))
    whole, last, leaving = (figure.add_subplot(cell) for cell in (grid[0, :], grid[1, 0], grid[1, 1]))
    kinds = program_kinds(outcome.design.program)
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
        decided = outcome.sentence.run.decision_cycle[:layer]
        decided = decided[(decided != NONE) & (decided >= first)] / timeline.clock_mhz
        axes.plot(
            decided,
            np.full(decided.size, timeline.unit_names.index(UNIT_NAMES[Unit.DECISION])),
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
    kind_legend(figure, used - {"exit decision"}, extra)
    return figure


def _layer_starts(timeline: Timeline) -> dict[int, int]:
    """First cycle of the prologue (0) and of every layer that counted."""
    starts: dict[int, int] = {}
    for interval in timeline.intervals:
        if not interval.squashed and interval.unit != UNIT_NAMES[Unit.DMA]:
            starts[interval.layer] = min(starts.get(interval.layer, interval.start_cycle), interval.start_cycle)
    return dict(sorted(starts.items()))


def _tracks(axes: Axes, timeline: Timeline, kinds: dict[str, str], first: int, named_pt: float) -> set[str]:
    """Draw all tracks from cycle `first` to the end; return the kinds in sight. `named_pt`: width for names, or 0."""
    span = max(1, timeline.total_cycles - first)
    slices = merged_slices(timeline.intervals, kinds, first, timeline.total_cycles, span * CLOSE_FRACTION)
    for s in slices:
        duration, bottom = s.end_cycle - s.start_cycle, timeline.unit_names.index(s.unit) + 0.38
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
                color=BLACK if s.squashed else ink(s.kind),
            )
    axes.set(xlabel="time (µs)", ylim=(len(timeline.unit_names) - 0.4, -0.6))
    axes.set_xlim(first / timeline.clock_mhz, (timeline.total_cycles + 0.01 * span) / timeline.clock_mhz)
    axes.set_yticks(range(len(timeline.unit_names)), [name.replace("_", " ") for name in timeline.unit_names])
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
