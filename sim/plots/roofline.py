"""The picture of a roofline: GMAC/s against MAC per off-chip byte, and how near each point is to its own roof.

The strip is for work without off-chip bytes. A point in it has no roof but that of its unit. A stage's own roof is that
of its own arrays, which is below the line of all arrays.
"""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hexit.sim.analysis.roofline import LAYERS, SENTENCES, RooflinePoint
from hexit.sim.job.experiment import PictureData
from hexit.sim.job.outcome import Outcome
from hexit.sim.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    TWO_COLUMNS,
    VERMILION,
    log_axis,
    round_numbers,
    three_figures,
    titled_figure,
)
from hexit.sim.report.record import Report

NAMED_TOGETHER = 4  # ops that are alike and still named one by one
ROW_INCHES = 0.2


def draw_roofline(outcome: Outcome, data: PictureData, report: Report) -> Figure:
    """Draw ceilings and attained rates, a strip for work without off-chip bytes, and the share of its roof of each."""
    layer, roofs = outcome.sentence.exit_layer, data.roofline
    points, clock_mhz = roofs.points, outcome.setup.design.clock_mhz
    title = f"Roofline: every product of a sentence that exits after layer {layer}, as measured on its timeline"
    figure = titled_figure(TWO_COLUMNS, 1.4 + ROW_INCHES * len(points), title, report)
    left, strip, shares = figure.subplots(1, 3, width_ratios=(2.7, 0.75, 1.7))
    array_peak, head_peak = (float(macs) * clock_mhz / 1000 for macs in (roofs.array_macs, roofs.head_macs))
    peak = roofs.n_engines * array_peak
    gb_s = roofs.bytes_per_cycle * clock_mhz / 1000
    finite = [point.macs_per_byte for point in points if point.n_bytes]
    edges = (min([*finite, head_peak / gb_s]) / 3, max([*finite, peak / gb_s]) * 3)
    left.plot([edges[0], peak / gb_s, edges[1]], [gb_s * edges[0], peak, peak], color=BLACK, linewidth=1.5)
    left.plot([head_peak / gb_s, edges[1]], [head_peak, head_peak], color=GREY, linestyle="--")
    strip.axhline(peak, color=BLACK, linewidth=1.5)
    if roofs.n_engines > 1:
        left.plot([array_peak / gb_s, edges[1]], [array_peak, array_peak], color=BLACK, linestyle="--")
        strip.axhline(array_peak, color=BLACK, linestyle="--")
    strip.axhline(head_peak, color=GREY, linestyle="--")
    inside = [point for point in points if not point.n_bytes]
    for row, (point, look) in enumerate(zip(points, _looks(points), strict=True)):
        style: dict[str, Any] = {"linestyle": "none", "markeredgecolor": BLACK, "markeredgewidth": 0.7} | look
        rate = point.gmac_s(clock_mhz)
        axes, at = (left, point.macs_per_byte) if point.n_bytes else (strip, 1.0 + inside.index(point))
        axes.plot(at, rate, zorder=4, **style)
        percent = 100 * point.macs / point.cycles / roofs.roof(point)
        shares.plot(percent, row, zorder=4, clip_on=False, **style)
        shares.annotate(
            f"{three_figures(rate)}",
            (1.06, row),
            xycoords=shares.get_yaxis_transform(),
            fontsize=7,
            va="center",
            annotation_clip=False,
        )
    low = min([point.gmac_s(clock_mhz) for point in points] + [head_peak]) / 2.5
    for axes in (left, strip):
        log_axis(axes, "y", (low, peak * 2.5), round_numbers(low, peak * 2.5))
    log_axis(left, "x", edges, round_numbers(*edges))
    arrays = {f"{roofs.n_engines} engines": peak, "one engine": array_peak}
    if roofs.n_engines == 1:
        arrays = {"all arrays" if outcome.setup.design.regions else "arrays": peak}
    _name_ceilings(left, edges, arrays, head_peak, gb_s, report.memory.limited_by)
    left.set(xlabel="MAC per off-chip byte", ylabel="GMAC/s")
    strip.set(xlim=(0, len(inside) + 1), facecolor="#F4F4F4")
    strip.set_xlabel("no bytes:\ncompute\nroof alone", fontsize=7)
    strip.set_xticks([])
    strip.tick_params(left=False, labelleft=False)
    strip.spines["left"].set_visible(False)
    shares.set_yticks(range(len(points)), [_names(point) for point in points], fontsize=7)
    shares.set(xlabel="share of the roof (%)", xlim=(0, 100), ylim=(len(points) - 0.5, -0.5))
    shares.annotate("GMAC/s", (1.06, 1.01), xycoords="axes fraction", fontsize=7, annotation_clip=False)
    return figure


def _name_ceilings(
    axes: Axes, edges: tuple[float, float], arrays: dict[str, float], head_peak: float, gb_s: float, limit: str
) -> None:
    """Name each roof where hardly a point can be: left of the memory's line, right of the head's, along the line."""
    size: dict[str, Any] = {"fontsize": 7.5, "textcoords": "offset points"}
    for peak in arrays.values():
        axes.plot([edges[0], peak / gb_s], [peak, peak], color=BLACK, linestyle=":", linewidth=0.7)
    (highest, peak), *lower = arrays.items()
    axes.annotate(f"{highest}: {three_figures(peak)} GMAC/s", (edges[0], peak), (3, 4), **size)
    for name, peak in lower:
        axes.annotate(f"{name}: {three_figures(peak)}", (peak / gb_s, peak), (6, -4), va="top", **size)
    axes.annotate(
        f"exit head: {three_figures(head_peak)}", (edges[1], head_peak), (-3, 4), ha="right", color=GREY, **size
    )
    middle = math.sqrt(min(arrays.values()) * head_peak) / gb_s
    at_left = middle > math.sqrt(edges[0] * edges[1])  # of the line, where there is more room
    axes.annotate(
        f"{limit}: {three_figures(gb_s)} GB/s",
        (middle, gb_s * middle),
        (-6 if at_left else 6, -2),
        ha="right" if at_left else "left",
        va="bottom" if at_left else "top",
        **size,
    )


def _names(point: RooflinePoint) -> str:
    shown = point.names[:NAMED_TOGETHER]
    return ", ".join(shown) + (f" and {len(point.names) - len(shown)} more" if len(point.names) > len(shown) else "")


def _looks(points: tuple[RooflinePoint, ...]) -> list[dict[str, Any]]:
    """Markers of the ops, smaller ones on larger ones, and of whole layers and sentences (hollow)."""
    markers, colours = "osD^vPX", (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, GREY)
    hollow = {LAYERS: ("h", 10), SENTENCES: ("*", 13)}
    looks: list[dict[str, Any]] = []
    for n, point in enumerate(points):
        if point.names[0] in hollow:
            marker, size = hollow[point.names[0]]
            looks.append({"marker": marker, "markerfacecolor": "none", "markersize": size})
        else:
            colour = colours[n % len(colours)] if n < len(colours) else "white"
            looks.append({"marker": markers[n % len(markers)], "color": colour, "markersize": max(3.5, 7.5 - 0.5 * n)})
    return looks
