"""The pictures of a run, ready to print: PNG at 200 dpi and SVG, byte-identical for equal runs.

    exits              where sentences left, and the share that has left by each layer
    accuracy_speed     score against layer speed-up of every rule on the recorded logits, with the interval of every
                       fixed depth; without labels the mean layer, and who has left by when, against the rule's setting
    latency_by_layer   busy cycles of each unit in one layer and its exit, op by op; latency of each exit
    roofline           GMAC/s against MAC per off-chip byte: ceilings of the design, products, layers, sentences
    stalls             what every unit does in each cycle of one sentence, and which op makes units wait
    gantt              one sentence up to its exit, a track per unit, with its last layer and its last exit enlarged
    queue, latency     where sentences wait for each other: queue and utilisation over time, latencies

Every number comes from the outcome, the picture data or the report; a picture only divides and sums.
Not drawn: several sentences in one Gantt chart, intervals of anything but accuracy.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from hexit.quant.files import write_whole
from hexit.quant.traces.store import Progress
from hexit.sim.job.experiment import PictureData
from hexit.sim.job.outcome import Outcome
from hexit.sim.plots.accuracy_speed import draw_accuracy_speed
from hexit.sim.plots.exits import draw_exits
from hexit.sim.plots.gantt import draw_gantt
from hexit.sim.plots.latency_by_layer import draw_latency_by_layer
from hexit.sim.plots.roofline import draw_roofline
from hexit.sim.plots.stalls import draw_stalls
from hexit.sim.plots.stream import anyone_waits, draw_latency, draw_queue
from hexit.sim.plots.style import plot_style, render
from hexit.sim.report.record import Report

Picture = Callable[[Outcome, PictureData, Report], Figure]

PICTURES: dict[str, Picture] = {
    "exits": draw_exits,
    "accuracy_speed": draw_accuracy_speed,
    "latency_by_layer": draw_latency_by_layer,
    "roofline": draw_roofline,
    "stalls": draw_stalls,
    "gantt": draw_gantt,
}
STREAM_PICTURES: dict[str, Picture] = {"queue": draw_queue, "latency": draw_latency}


def draw_all(outcome: Outcome, data: PictureData, report: Report, folder: Path, progress: Progress) -> None:
    """Write every picture that says something of this run to `folder` as NAME.png and NAME.svg."""
    pictures = pictures_of(outcome)
    advance = progress("pictures", len(pictures))
    for name, draw in pictures.items():
        with plot_style():
            for kind, raw in render(draw(outcome, data, report)).items():
                write_whole(folder / f"{name}.{kind}", raw)
        advance(1)


def pictures_of(outcome: Outcome) -> dict[str, Picture]:
    """Return the pictures of a run by name: of a stream only where sentences wait, a roofline of arrays alone."""
    pictures = {name: draw for name, draw in PICTURES.items() if name != "roofline" or outcome.setup.design.n_macs}
    return pictures | (STREAM_PICTURES if anyone_waits(outcome.with_exits.result) else {})
