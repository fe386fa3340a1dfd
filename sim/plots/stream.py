"""Pictures of a stream in which sentences wait: queue and utilisation over time, and the distribution of latencies.

    queue      sentences that wait: mean and largest number in each of N_BINS equal parts of the time;
               utilisation of each unit in the same parts, a sentence's work spread evenly over its time in service
    latency    share of the served sentences that take longer than t: with early exits, their time in service alone,
               and the same arrivals without early exit

In a closed loop no sentence waits, and there is no such picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hexit.quant.arrays import Floats, Integers
from hexit.sim.core.levels import Levels, count_open
from hexit.sim.core.program import Unit
from hexit.sim.core.queueing import UNLIMITED
from hexit.sim.core.stream import StreamResult
from hexit.sim.core.stream_levels import queue_spans, stream_levels
from hexit.sim.job.experiment import PictureData
from hexit.sim.job.outcome import Outcome
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
    log_axis,
    plain_ticks,
    round_numbers,
    three_figures,
    titled_figure,
)
from hexit.sim.report.record import Report

N_BINS = 200  # of the time axis; about one in two pixels of a printed column
N_TAIL = 400  # points of a curve of latencies
LEAST_UTILISATION = 0.01  # fraction; units below it in every bin are left out
PERCENTILES = (50.0, 95.0, 99.0, 99.9)
UNIT_LOOKS: dict[int, dict[str, Any]] = {  # stages have the colours of the style, in turn
    Unit.ARRAY: {"color": BLUE},
    Unit.DMA: {"color": ORANGE},
    Unit.SOFTMAX: {"color": VERMILION},
    Unit.LAYER_NORM: {"color": PURPLE},
    Unit.GELU: {"color": SKY},
    Unit.ADD: {"color": GREY},
    Unit.HEAD: {"color": GREEN},
    Unit.DECISION: {"color": BLACK},
}
DRAWN_FIRST = [Unit.ARRAY, Unit.DMA, *range(Unit.SOFTMAX, 1000)].index  # lines in front of the others


def anyone_waits(stream: StreamResult) -> bool:
    """Return whether any sentence of a stream waited, or was dropped."""
    return stream.n_served < stream.n_sentences or bool((stream.start_cycle > stream.arrival_cycle).any())


def waiting_sentences(stream: StreamResult) -> Levels:
    """Return how many sentences are in the queue over time, exactly."""
    return count_open(*queue_spans(stream))


def bin_edges(last_cycle: int) -> Integers:
    """Return the edges of at most N_BINS equal parts of the cycles up to the last one."""
    return np.unique(np.linspace(0, last_cycle, N_BINS + 1).astype(np.int64))


def tail(latency_cycles: Integers, n_points: int = N_TAIL) -> tuple[Integers, Floats]:
    """Return latencies, rising, and the fraction of all that are longer than each; at most `n_points` of them.

    Exact at every latency that is returned: ranks are thinned evenly in the logarithm of the fraction, so that the
    rarest latencies keep their points. The longest has the fraction 0.
    """
    value, count = np.unique(latency_cycles, return_counts=True)
    longer = latency_cycles.size - np.cumsum(count)
    if value.size > n_points:
        wanted = np.geomspace(latency_cycles.size, 1, n_points - 1)
        kept = np.unique([*np.searchsorted(-longer, -wanted), value.size - 1])
        value, longer = value[kept], longer[kept]
    return value, longer / latency_cycles.size


def draw_queue(outcome: Outcome, data: PictureData, report: Report) -> Figure:
    """Draw who waits and which units work over the time of the stream."""
    stream, clock_mhz = outcome.with_exits.result, outcome.setup.design.clock_mhz
    title = f"Queue and utilisation over time: {stream.n_sentences:,} sentences"
    if stream.n_served < stream.n_sentences:
        title += f", {stream.n_sentences - stream.n_served:,} of them dropped"
    figure = titled_figure(TWO_COLUMNS, 3.6, title, report)
    above, below = figure.subplots(2, 1, sharex=True)
    levels = waiting_sentences(stream)
    edges = bin_edges(max(stream.total_cycles, int(levels.cycle.max(initial=0))))
    seconds = edges / (clock_mhz * 1e6)
    unit, scale = ("s", 1.0) if seconds[-1] >= 1 else ("ms", 1000.0)
    times = scale * seconds
    mean = np.diff(levels.integral(edges)) / np.diff(edges)
    above.stairs(levels.maxima(edges), times, fill=True, color=SKY, alpha=0.5, label="largest of the interval")
    above.stairs(mean, times, baseline=None, color=BLUE, linewidth=1.2, label="mean of the interval")
    above.set(ylabel="sentences waiting", ylim=(0, None))
    above.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    above.yaxis.set_major_formatter(plain_ticks())
    used = stream_levels(stream, N_BINS)
    program = outcome.design.program
    for one in sorted(program.shown_units, key=DRAWN_FIRST):
        share, look = used.utilisation_fraction[:, one], UNIT_LOOKS.get(one, {})
        if share.max() >= LEAST_UTILISATION:
            name = program.unit_names[one].replace("_", " ")
            own_times = scale * used.edge_cycle / (clock_mhz * 1e6)
            below.stairs(100 * share, own_times, baseline=None, label=name, **look)
    below.set(
        ylabel="utilisation (%)", ylim=(0, 103), xlabel=f"time ({unit}), in {mean.size} intervals", xlim=(0, times[-1])
    )
    below.xaxis.set_major_formatter(plain_ticks())
    for axes in (above, below):
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7.5)
    return figure


def draw_latency(outcome: Outcome, data: PictureData, report: Report) -> Figure:
    """Draw the share of sentences that take longer than t, down to one in all of them."""
    stream, clock_mhz = outcome.with_exits.result, outcome.setup.design.clock_mhz
    figure = titled_figure(ONE_COLUMN, 3.3, "Latency of a sentence in the stream", report)
    axes = figure.add_subplot()
    served = stream.served
    service = stream.finish_cycle[served] - stream.start_cycle[served]
    curves: dict[str, tuple[Integers, dict[str, Any]]] = {
        "without early exit": (outcome.full_depth.result.served_latency_cycles, {"color": GREY, "linestyle": "--"}),
        "in service": (service, {"color": SKY}),
        "with early exits": (stream.served_latency_cycles, {"color": BLUE, "linewidth": 1.6}),
    }
    for name, (latencies, look) in curves.items():
        if latencies.size:
            _step_down(axes, *tail(latencies), clock_mhz, label=name, **look)
    _mark_percentiles(axes, stream.served_latency_cycles, clock_mhz)
    if stream.deadline_cycles < UNLIMITED:
        axes.axvline(stream.deadline_cycles / clock_mhz / 1000, color=BLACK, linestyle=":", label="deadline")
    shortest, longest = (
        edge(edge(latencies) for latencies, _ in curves.values() if latencies.size) / clock_mhz / 1000
        for edge in (min, max)
    )
    limits = 0.9 * shortest, 1.1 * longest
    log_axis(axes, "x", limits, round_numbers(*limits))
    lowest = 70 / max(1, stream.n_served)
    log_axis(axes, "y", (lowest, 130), round_numbers(lowest, 130))
    axes.set(xlabel="latency (ms)", ylabel="share that takes longer (%)")
    axes.tick_params(labelsize=7)
    figure.legend(reverse=True, loc="outside lower center", ncols=2, columnspacing=1.0, handletextpad=0.5, fontsize=7.5)
    return figure


def _step_down(axes: Axes, value: Integers, longer: Floats, clock_mhz: float, **look: Any) -> None:
    """Draw a curve from 100 % at the shortest latency down; the last step ends at the lower edge."""
    milliseconds = value / clock_mhz / 1000
    x, y = np.concatenate([milliseconds[:1], milliseconds]), np.concatenate([[1.0], longer])
    axes.step(x, 100 * np.maximum(y, 1e-9), where="post", **look)


def _mark_percentiles(axes: Axes, latencies: Integers, clock_mhz: float) -> None:
    """Mark the percentiles that so many sentences have, each with its value beside it."""
    for percentile in PERCENTILES:
        if latencies.size * (100 - percentile) < 100:
            continue
        value = float(np.percentile(latencies, percentile, method="higher")) / clock_mhz / 1000
        axes.plot(value, 100 - percentile, marker="o", linestyle="none", color=VERMILION, zorder=5)
        axes.annotate(
            f"p{percentile:g}: {three_figures(value)} ms",
            (value, 100 - percentile),
            xytext=(6, 1),
            textcoords="offset points",
            fontsize=7,
            color=VERMILION,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
            zorder=4,
        )
