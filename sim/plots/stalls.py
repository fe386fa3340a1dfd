"""The picture of what every unit does in each cycle of one sentence, and of the products in front of which arrays wait.

A bar of a unit is as long as the sentence: busy, squashed, and waiting by cause (sim.analysis.stalls). Bars of
products are the waits in front of them, all layers together; the arrays' own bar has these and, at its end, no work.
Stages are drawn with their waits by kind; the report has them by name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from hexit.quant.arrays import Floats, Integers
from hexit.sim.analysis.stalls import CAUSES, NO_WORK, PIPELINE, WEIGHT_BUFFER, StallBreakdown
from hexit.sim.core.program import CALL, Program, Unit
from hexit.sim.job.experiment import PictureData
from hexit.sim.job.outcome import Outcome
from hexit.sim.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    TWO_COLUMNS,
    VERMILION,
    YELLOW,
    legend_below,
    plain_ticks,
    titled_figure,
)
from hexit.sim.report.record import Report

Looks = dict[int, dict[str, Any]]
CAUSE_LOOKS: Looks = {  # of an engine
    Unit.DMA: {"facecolor": ORANGE},
    Unit.ARRAY: {"facecolor": SKY},
    Unit.SOFTMAX: {"facecolor": VERMILION},
    Unit.LAYER_NORM: {"facecolor": PURPLE},
    Unit.GELU: {"facecolor": "#8C510A"},
    Unit.ADD: {"facecolor": YELLOW},
    Unit.HEAD: {"facecolor": GREEN},
    Unit.DECISION: {"facecolor": BLACK},
    len(CAUSES) + WEIGHT_BUFFER: {"facecolor": GREY},
    len(CAUSES) + PIPELINE: {"facecolor": PALE},
    len(CAUSES) + NO_WORK: {"facecolor": "white", "edgecolor": GREY},
}
STAGE_CAUSE_LOOKS: dict[str, dict[str, Any]] = {  # of stages, of which there are too many for a colour each
    "memory": CAUSE_LOOKS[Unit.DMA],
    "a result of a stage": {"facecolor": SKY},
    "stage in front": {"facecolor": YELLOW},
    "a stage further on to be free": {"facecolor": VERMILION},
    "rest of the layer": {"facecolor": PURPLE},
    "result of head": CAUSE_LOOKS[Unit.HEAD],
    "decision": CAUSE_LOOKS[Unit.DECISION],
    "weight buffer": CAUSE_LOOKS[len(CAUSES) + WEIGHT_BUFFER],
    "own pipeline": CAUSE_LOOKS[len(CAUSES) + PIPELINE],
    "no work": CAUSE_LOOKS[len(CAUSES) + NO_WORK],
}
BUSY_LOOK: dict[str, Any] = {"facecolor": BLUE}
SQUASHED_LOOK: dict[str, Any] = {"facecolor": "white", "edgecolor": BLUE, "hatch": "//////"}
EDGE: dict[str, Any] = {"linewidth": 0.4, "edgecolor": "white"}
SEEN_PERCENT = 0.15  # of the latency: a thinner piece is drawn but too thin to be seen, so the legend leaves it out
ROW_INCHES = 0.21


def shown_causes(stalls: StallBreakdown) -> tuple[StallBreakdown, Looks]:
    """Return the breakdown by the causes that are drawn, and how: those of stages by what kind they are."""
    if len(stalls.causes) == len(CAUSES):
        return stalls, CAUSE_LOOKS
    kinds = list(STAGE_CAUSE_LOOKS)
    n_named = len(stalls.unit_names)

    def by_kind(unit: int, waits: Integers) -> Integers:
        found = np.zeros(len(kinds), np.int64)
        for cause in np.flatnonzero(waits).tolist():
            if CALL < cause < n_named:
                kind = "a stage further on to be free" if CALL < unit < cause else "a result of a stage"
            else:
                kind = stalls.causes[cause]
            found[kinds.index(kind)] += waits[cause]
        return found

    shown = replace(
        stalls,
        causes=tuple(kinds),
        waiting_cycles=np.array([by_kind(unit, waits) for unit, waits in enumerate(stalls.waiting_cycles)]),
        op_waiting_cycles=np.array(
            [
                by_kind(stalls.unit_of(name), waits)
                for name, waits in zip(stalls.op_names, stalls.op_waiting_cycles, strict=True)
            ]
        ),
    )
    return shown, dict(enumerate(STAGE_CAUSE_LOOKS.values()))


def draw_stalls(outcome: Outcome, data: PictureData, report: Report) -> Figure:
    """Draw what the units do while the median sentence is on the design, and in front of what the arrays wait."""
    layer = outcome.sentence.exit_layer
    stalls, cause_looks = shown_causes(outcome.sentence.stalls)
    units = [unit for unit in stalls.units if stalls.busy_cycles[unit] + stalls.squashed_cycles[unit]]
    ops = array_ops(outcome.design.program)
    title = f"Busy and waiting: one sentence, alone on the design, that leaves after layer {layer}"
    height = 1.75 + ROW_INCHES * max(len(units), len(ops))
    figure = titled_figure(TWO_COLUMNS, height, title, report)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    used = _unit_bars(left, stalls, units, cause_looks) | _op_bars(right, stalls, ops, cause_looks)
    lost = 100 * float(stalls.squashed_cycles.max() / stalls.whole_cycles)
    looks = {"busy": BUSY_LOOK} | ({"squashed": SQUASHED_LOOK} if lost >= SEEN_PERCENT else {})
    looks |= {f"waits: {stalls.causes[cause]}": look for cause, look in cause_looks.items() if cause in used}
    legend_below(figure, [Patch(label=name, **EDGE | look) for name, look in looks.items()], most_columns=5)
    return figure


def _unit_bars(axes: Axes, stalls: StallBreakdown, units: list[int], looks: Looks) -> set[int]:
    """Draw a bar of 100 % for each unit; return the causes in sight."""
    percent = 100 / stalls.whole_cycles
    used: set[int] = set()
    for row, unit in enumerate(units):
        end = _piece(axes, row, 0, percent * stalls.busy_cycles[unit], BUSY_LOOK)
        end = _piece(axes, row, end, percent * stalls.squashed_cycles[unit], SQUASHED_LOOK)
        used |= _causes(axes, row, end, percent * stalls.waiting_cycles[unit], SEEN_PERCENT, looks)
    axes.set_yticks(range(len(units)), [stalls.unit_names[unit].replace("_", " ") for unit in units])
    axes.set(xlabel="share of the latency (%)", xlim=(0, 100), ylim=(len(units) - 0.4, -0.6))
    of_engines = f" of {stalls.n_engines} engines" * (stalls.n_engines > 1)
    axes.set_title(f"Units{of_engines}: {stalls.whole_cycles:,} cycles each")
    axes.grid(visible=False, axis="y")
    return used


def _op_bars(axes: Axes, stalls: StallBreakdown, ops: list[int], looks: Looks) -> set[int]:
    """Draw the waits in front of each op; return the causes in sight."""
    waits = stalls.op_waiting_cycles[ops]
    total = int(waits.sum())
    longest = max(1, int(waits.sum(axis=1).max()))
    used: set[int] = set()
    worker = "Waits" if len(stalls.unit_names) > CALL else "Array waits"
    for row, op in enumerate(ops):
        seen = longest * SEEN_PERCENT / 100
        used |= _causes(axes, row, 0, stalls.op_waiting_cycles[op].astype(float), seen, looks)
    axes.set_yticks(range(len(ops)), [stalls.op_names[op] for op in ops], fontsize=7)
    axes.set(xlabel="cycles", xlim=(0, 1.05 * longest), ylim=(len(ops) - 0.4, -0.6))
    axes.set_title(f"{worker} in front of: {total:,} cycles")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter(plain_ticks())
    axes.grid(visible=False, axis="y")
    return used


def _causes(axes: Axes, row: int, end: float, width: Floats, seen: float, looks: Looks) -> set[int]:
    """Draw the waits of a bar from `end` on, `width` by cause; return the causes that are wide enough to be seen."""
    for cause, look in looks.items():
        end = _piece(axes, row, end, float(width[cause]), look)
    return {cause for cause in looks if width[cause] >= seen}


def _piece(axes: Axes, row: int, start: float, width: float, look: dict[str, Any]) -> float:
    """Draw one piece of a bar and return where it ends."""
    if width:
        axes.barh(row, width, 0.72, left=start, **EDGE | look)
    return start + width


def array_ops(program: Program) -> list[int]:
    """Return the ops that run on the arrays, or the stages, as numbers of `StallBreakdown.op_names`."""
    first = 0
    ops: list[int] = []
    for group in (program.prologue, program.layer, program.exit):
        ops += (first + np.unique(group.op[(group.unit == Unit.ARRAY) | (group.unit > CALL)])).tolist()
        first += len(group.op_names)
    return ops
