"""The picture of a validation: predicted against published, and the errors of the figures that are not exact.

Left, every figure in cycles, whatever unit it was published in. Right, predicted / published - 1 of those that differ,
with the tolerance that the design's file states; figures that a constant was fitted to are pale, and a cross is the
error without any fit.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hexit.quant.files import write_whole
from hexit.sim.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    TWO_COLUMNS,
    VERMILION,
    log_axis,
    plot_style,
    render,
    round_numbers,
)
from hexit.sim.published.validation import DesignValidation, Validation, ValidationRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOKS = {  # by the first word of a design's evidence
    "another": ("SCALE-Sim", "s", ORANGE),
    "RTL": ("RTL simulation", "^", GREEN),
    "csynth": ("HLS report", "o", BLUE),
    "cycles:": ("HLS report and board", "D", BLUE),
    "measured": ("board", "D", VERMILION),
}
OTHER = ("reported", "v", GREY)
LONGEST = 40  # characters of a label


def draw_validation(validation: Validation) -> Figure:
    """Return the picture of all figures; at least one design has figures."""
    from matplotlib.figure import Figure

    rows = [(entry, row) for entry in validation.designs for row in entry.rows if row.unit != "mW"]
    differing = [(entry, row) for entry, row in rows if row.error_fraction]
    exact = len(rows) - len(differing)
    with plot_style():
        figure = Figure(figsize=(TWO_COLUMNS, max(3.0, 1.2 + 0.19 * len(differing))), layout="constrained")
        figure.suptitle(
            f"{len(rows)} published figures of {len(validation.designs)} designs: {exact} exact "
            "(grey: tolerance; hollow: fitted; cross: nothing fitted)",
            x=0.01,
            ha="left",
            fontsize=9,
            fontweight="bold",
        )
        left, right = figure.subplots(1, 2, width_ratios=(1, 0.9))
        _draw_parity(left, rows)
        _draw_errors(right, differing)
    return figure


def _cycles(entry: DesignValidation, row: ValidationRow, value: float) -> float:
    return value if row.unit == "cycles" else value * entry.design.clock_mhz * 1000


def _draw_parity(axes: Axes, rows: list[tuple[DesignValidation, ValidationRow]]) -> None:
    points: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for entry, row in rows:
        look = LOOKS.get(entry.design.evidence.split(" ")[0], OTHER)
        published, predicted = (_cycles(entry, row, value) for value in (row.published, row.predicted))
        points.setdefault(look, []).append((published, predicted))
    values = [value for pairs in points.values() for pair in pairs for value in pair]
    limits = min(values) / 2, max(values) * 2
    axes.plot(limits, limits, color=GREY, linewidth=0.8, zorder=1)
    for (name, marker, colour), pairs in points.items():
        axes.plot(*zip(*pairs, strict=True), marker, color=colour, markeredgecolor="white", label=name, zorder=2)
    ticks = round_numbers(*limits)
    for direction, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        log_axis(axes, direction, limits, ticks)
        axis.set_ticks(ticks, [_thousands(tick) for tick in ticks])
    axes.set(xlabel="published (cycles)", ylabel="predicted (cycles)")
    axes.tick_params(labelsize=7)
    axes.legend(loc="upper left", fontsize=7)


def _thousands(value: float) -> str:
    """A power of ten with k for thousands and M for millions."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"


def _draw_errors(axes: Axes, rows: list[tuple[DesignValidation, ValidationRow]]) -> None:
    for place, (_, row) in enumerate(rows):
        percent, tolerance = 100 * row.error_fraction, 100 * row.tolerance_fraction
        axes.plot((-tolerance, tolerance), (place, place), color=PALE, linewidth=5, solid_capstyle="butt", zorder=1)
        is_check = row.role == "check"
        colour = VERMILION if not row.holds else BLUE if is_check else GREY
        if row.unfitted_error_fraction is not None:
            axes.plot(100 * row.unfitted_error_fraction, place, "x", color=GREY, markersize=4, zorder=2)
        axes.plot(percent, place, "o", color=colour, markerfacecolor=colour if is_check else "white", zorder=3)
    labels = [f"{entry.design.name}: {row.of}" + (", memory" if row.with_memory else "") for entry, row in rows]
    axes.set_yticks(range(len(rows)), [_short(label) for label in labels], fontsize=6)
    axes.axvline(0, color=GREY, linewidth=0.8, zorder=2)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("error (%)")
    axes.grid(visible=False, axis="y")


def _short(label: str) -> str:
    return label if len(label) <= LONGEST else label[: LONGEST - 1] + "…"


def write_validation(validation: Validation, text: str, folder: Path) -> None:
    """Write validation.json (`text`) and, where there are figures, validation.png and validation.svg to a folder."""
    write_whole(folder / "validation.json", text + "\n")
    if any(design.rows for design in validation.designs):
        with plot_style():
            for kind, raw in render(draw_validation(validation)).items():
                write_whole(folder / f"validation.{kind}", raw)
