"""The picture of what one layer and its exit cost, unit by unit and op by op, and of the latency of each exit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hexit.sim.core.program import Program
from hexit.sim.job.experiment import PictureData
from hexit.sim.job.outcome import Outcome
from hexit.sim.plots.op_kinds import KIND_COLOURS, ink, kind_legend, program_kinds
from hexit.sim.plots.style import (
    BLACK,
    ORANGE,
    SKY,
    TWO_COLUMNS,
    VERMILION,
    layer_ticks,
    plain_ticks,
    three_figures,
    titled_figure,
)
from hexit.sim.report.record import Report

ROW_INCHES = 0.19


def draw_latency_by_layer(outcome: Outcome, data: PictureData, report: Report) -> Figure:
    """Draw the busy cycles of each unit in one layer and its exit, and the latency of each exit."""
    height = max(3.4, 1.5 + ROW_INCHES * len(report.layer_busy_cycles))
    figure = titled_figure(TWO_COLUMNS, height, "What one layer costs, and a sentence by its exit layer", report)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    program = outcome.design.program
    kinds = program_kinds(program)
    names = list(report.layer_busy_cycles)
    longest = max(report.layer_cycles, *report.layer_busy_cycles.values())
    used: set[str] = set()
    for place, name in enumerate(names):
        end = 0
        for op, cycles in unit_op_cycles(program, program.unit_names.index(name)).items():
            kind = kinds[op]
            used.add(kind)
            left.barh(place, cycles, 0.7, left=end, color=KIND_COLOURS[kind], edgecolor="white", linewidth=0.4)
            if cycles > 0.03 * len(op) * longest:
                left.text(end + cycles / 2, place, op, ha="center", va="center", fontsize=6, color=ink(kind))
            end += cycles
        busy = report.layer_busy_cycles[name]
        percent = 100 * busy / report.layer_cycles
        text = f"{busy:,} ({percent:.1f} %)" if percent >= 0.1 else f"{busy:,} (<0.1 %)"
        beyond = max(end, report.layer_cycles) if end > 0.55 * longest else end  # not across the dashed line
        left.annotate(text, (beyond, place), (3, 0), fontsize=7, textcoords="offset points", va="center")
    left.axvline(report.layer_cycles, color=BLACK, linestyle="--", linewidth=0.9)
    left.set_title(f"One layer and its exit: {report.layer_cycles:,} cycles (dashed)")
    left.set(xlabel="busy cycles (units overlap)", xlim=(0, 1.4 * longest), ylim=(len(names) - 0.4, -0.6))
    left.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    left.grid(visible=False, axis="y")
    left.xaxis.set_major_formatter(plain_ticks())
    left.xaxis.set_major_locator(MaxNLocator(4))
    kind_legend(figure, used)
    _exit_latencies(right, report)
    return figure


def unit_op_cycles(program: Program, unit: int) -> dict[str, int]:
    """Return the cycles in which a unit works on each op of one layer and its exit, in program order."""
    cycles: dict[str, int] = {}
    for group in (program.layer, program.exit):
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
    layer_ticks(axes, len(by_exit))
    axes.grid(visible=False, axis="x")


def _spread(places: Sequence[float], *, gap: float, highest: float) -> list[float]:
    """Return rising places, at least `gap` apart and none above `highest`: those too close move down."""
    moved: list[float] = []
    for place in reversed(places):
        highest = min(place, highest)
        moved.append(highest)
        highest -= gap
    return moved[::-1]
