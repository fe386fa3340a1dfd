"""The picture of where sentences leave, and of the share that has left by each layer."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from hexit.sim.job.experiment import PictureData
from hexit.sim.job.outcome import Outcome
from hexit.sim.plots.style import BLUE, ONE_COLUMN, SKY, VERMILION, layer_ticks, titled_figure
from hexit.sim.report.record import Report


def draw_exits(outcome: Outcome, data: PictureData, report: Report) -> Figure:
    """Draw how many sentences left after each layer, the cumulative share, and the mean layer."""
    figure = titled_figure(ONE_COLUMN, 2.7, "Where sentences leave the encoder", report)
    axes = figure.add_subplot()
    counts = np.array(report.exits.histogram)
    layers = np.arange(1, counts.size + 1)
    axes.bar(layers, counts, width=0.8, color=SKY)
    axes.set(xlabel="exit layer", ylabel="sentences", xlim=(0.4, counts.size + 0.6))
    axes.set_ylim(0, 1.1 * counts.max())
    layer_ticks(axes, counts.size)
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
