"""Two pictures of an exit unit, PNG and SVG: its pipeline, and the area of the unit that every rule would need.

    pipeline   the stages in order with what each computes, the loop of the state, and events on their way through
    area       LUTs and flip-flops of each rule's unit, as synthesised, the chosen one marked

The lower half of the pipeline is a run of the cycle model (sim.analysis.exit_events): two sentences take turns, then
one of them sends two layers in a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.ticker import MaxNLocator

from hexit.hw_model.area.resources import Resources
from hexit.hw_model.exit_unit.area import exit_unit_resources
from hexit.hw_model.exit_unit.timing import ExitUnitTiming, unit_timing
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import RULES, ElbertExit
from hexit.quant.exits.unit import ExitUnitSpec, exit_unit_spec
from hexit.quant.files import write_whole
from hexit.sim.analysis.exit_events import stage_entries
from hexit.sim.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    SKY,
    TWO_COLUMNS,
    VERMILION,
    plot_style,
    render,
)

STAGE_TEXT = {
    "logits": "keep $q_0$",
    "difference": "$q_0 - q_1$",
    "argmax": "larger of two",
    "distance": "$m - q_j$",
    "exponential": "table $e^{-y}$",
    "sum": "add pairs",
    "logarithm": "table $\\ln A$",
    "excess": "$\\ln A - h$",
    "product": "multiply by $A$",
    "log_odds": "log-odds",
    "side": "which side",
    "state": "run, window",
    "window": "min, max",
    "limit": "table of limits",
    "decision": "compare",
}
STAGES_PER_ROW = 7  # boxes of one row of the block diagram that stay readable in two columns of a paper
LEAST_SHOWN_CYCLES = 12  # a shorter run is not stretched over the whole width
SHOWN_EVENTS = ((0, 1), (1, 1), (0, 2), (1, 2), (1, 3), (0, 3))  # slot and layer of the events that are drawn


def draw_pipeline(spec: ExitUnitSpec, timing: ExitUnitTiming) -> Figure:
    """Draw the stages of a unit as boxes, its state as a loop, and below them events cycle by cycle."""
    n_rows = -(-len(timing.stages) // STAGES_PER_ROW)
    events = _events(spec)
    heights = (1.05 * n_rows, 0.35 + 0.16 * len(events))
    figure = Figure(figsize=(TWO_COLUMNS, sum(heights) + 0.9), layout="constrained")
    blocks, run = figure.subplots(2, 1, height_ratios=heights)
    figure.suptitle(
        f"Exit unit, rule {spec.rule.partition(':')[0]}: {spec.n_classes} "
        f"{'class' if spec.n_classes == 1 else 'classes'}, {spec.logit_bits}-bit logits: "
        f"{timing.latency_cycles} cycles, one event per cycle",
        x=0.01,
        ha="left",
        fontsize=9,
    )
    _draw_stages(blocks, spec, timing)
    _draw_run(run, spec, timing, events)
    return figure


def _draw_stages(axes: Axes, spec: ExitUnitSpec, timing: ExitUnitTiming) -> None:
    axes.set_axis_off()
    n_rows = -(-len(timing.stages) // STAGES_PER_ROW)
    axes.set_xlim(-0.75, STAGES_PER_ROW)
    axes.set_ylim(-(n_rows - 1) * 1.6 - 0.95, 0.75)
    places = [(index % STAGES_PER_ROW, -(index // STAGES_PER_ROW) * 1.6) for index in range(len(timing.stages))]
    axes.annotate("slot\nlayer\nlogits", (-0.42, 0), ha="right", va="center", fontsize=7)
    _arrow(axes, (-0.4, 0), (-0.02, 0))
    for number, (stage, (x, y)) in enumerate(zip(timing.stages, places, strict=True), 1):
        updates = timing.state_stage and number == timing.state_stage + 1
        axes.add_patch(
            FancyBboxPatch(
                (x, y - 0.36),
                0.8,
                0.72,
                boxstyle="round,pad=0,rounding_size=0.06",
                facecolor=ORANGE if updates else PALE,
                edgecolor=GREY,
                linewidth=0.6,
                alpha=0.85,
            )
        )
        words = STAGE_TEXT[stage.rstrip("0123456789").rstrip("_")]
        axes.text(x + 0.4, y + 0.15, f"{number}  {stage.replace('_', ' ')}", ha="center", va="center", fontsize=5.8)
        axes.text(x + 0.4, y - 0.14, words, ha="center", va="center", fontsize=5.8, parse_math=True)
        if number < len(timing.stages):
            following = places[number]
            if following[1] == y:
                _arrow(axes, (x + 0.8, y), (x + 1, y))
            else:
                below = y - 0.62
                axes.plot((x + 0.4, x + 0.4, following[0] + 0.4), (y - 0.36, below, below), color=BLACK, linewidth=0.7)
                _arrow(axes, (following[0] + 0.4, below), (following[0] + 0.4, following[1] + 0.36))
    x, y = places[-1]
    _arrow(axes, (x + 0.8, y), (x + 0.98, y))
    axes.annotate("exit, class\nlayer, slot", (x + 1.0, y), ha="left", va="center", fontsize=7, annotation_clip=False)
    if timing.state_stage:
        _state_loop(axes, spec, timing, *places[timing.state_stage])


def _state_loop(axes: Axes, spec: ExitUnitSpec, timing: ExitUnitTiming, x: float, y: float) -> None:
    kept = ", ".join(
        f"{field.name} {field.bits}{f' x {field.count}' if field.count > 1 else ''}" for field in spec.state_fields
    )
    where = "registers" if timing.state_cycles == 1 else "memory, read a cycle ahead"
    axes.add_patch(
        FancyArrowPatch(
            (x + 0.65, y - 0.36),
            (x + 0.15, y - 0.36),
            connectionstyle="arc3,rad=-0.9",
            arrowstyle="-|>",
            mutation_scale=7,
            color=VERMILION,
            linewidth=0.9,
        )
    )
    slots = f"{spec.n_slots} x " if spec.n_slots > 1 else ""
    text = f"state in {where}: {slots}{spec.state_bits} bits ({kept})"
    axes.text(x + 0.4, y - 0.68, text, ha="center" if 1 < x < 5 else "left", va="top", fontsize=6.5, color=VERMILION)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style: dict[str, Any] = {"arrowstyle": "-|>", "linewidth": 0.7, "color": BLACK, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, xytext=start, arrowprops=style, annotation_clip=False)


def _events(spec: ExitUnitSpec) -> tuple[tuple[int, int], ...]:
    return tuple(
        (slot % spec.n_slots if spec.n_slots > 1 else 0, min(layer, spec.n_layers)) for slot, layer in SHOWN_EVENTS
    )


def _draw_run(axes: Axes, spec: ExitUnitSpec, timing: ExitUnitTiming, events: Sequence[tuple[int, int]]) -> None:
    """One row per event: a cell per cycle, with the number of the stage that it is in."""
    slots = [slot for slot, _ in events]
    entries = stage_entries(timing, slots)
    last = int(entries[-1, -1])
    colours = (SKY, GREEN, BLUE, ORANGE)
    for row, ((slot, _), enters) in enumerate(zip(events, entries.tolist(), strict=True)):
        leaves = [*enters[1:], enters[-1] + 1]
        for number, (first, after) in enumerate(zip(enters, leaves, strict=True), 1):
            waits = after - first > 1
            axes.add_patch(
                Rectangle(
                    (first - 0.5, row - 0.4),
                    after - first,
                    0.8,
                    facecolor=colours[slot % len(colours)],
                    edgecolor="white",
                    linewidth=0.5,
                    hatch="////" if waits else None,
                )
            )
            axes.text((first + after - 1) / 2, row, str(number), ha="center", va="center", fontsize=6)
    axes.set_xlim(0.4, max(last, LEAST_SHOWN_CYCLES) + 0.6)
    axes.set_ylim(len(events) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    names = [
        f"sentence {slot + 1}, layer {layer}" if spec.n_slots > 1 else f"event {row + 1}"
        for row, (slot, layer) in enumerate(events)
    ]
    axes.set_yticks(range(len(events)), names, fontsize=7)
    axes.set_xlabel("cycle (offered one a cycle; hatched: waits for the state of the event before it)", fontsize=7)
    axes.grid(False)


def draw_area(areas: Mapping[str, Resources], chosen: str, caption: str) -> Figure:
    """Draw LUTs and flip-flops of each unit by name, smallest first; block RAMs and DSP slices as numbers."""
    names = sorted(areas, key=lambda name: (areas[name].lut, name))
    figure = Figure(figsize=(TWO_COLUMNS, 0.9 + 0.3 * len(names)), layout="constrained")
    axes = figure.subplots()
    figure.suptitle(caption, x=0.01, ha="left", fontsize=9)
    for row, name in enumerate(names):
        used = areas[name]
        colour = VERMILION if name == chosen else BLUE
        axes.barh(row - 0.19, used.lut, 0.36, color=colour, label="LUT" if row == 0 else None)
        axes.barh(row + 0.19, used.ff, 0.36, color=colour, alpha=0.45, label="flip-flops" if row == 0 else None)
        memory = [f"{used.bram18} BRAM18"] * bool(used.bram18) + [f"{used.dsp} DSP"] * bool(used.dsp)
        text = ", ".join([f"{used.lut} LUT", f"{used.ff} FF", *memory])
        axes.text(max(used.lut, used.ff), row, f"  {text}", va="center", fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        label.set_color(VERMILION if name == chosen else BLACK)
    axes.set_xlim(0, 1.6 * max(max(used.lut, used.ff) for used in areas.values()))
    axes.set_xlabel("LUTs (solid) and flip-flops (pale)")
    axes.grid(False, axis="y")
    axes.invert_yaxis()
    return figure


def draw_unit(spec: ExitUnitSpec, folder: Path) -> None:
    """Write pipeline.png, pipeline.svg, area.png and area.svg of a unit to `folder`."""
    areas, caption = rule_areas(spec)
    with plot_style():
        pictures = {
            "pipeline": draw_pipeline(spec, unit_timing(spec)),
            "area": draw_area(areas, _short(spec.rule), caption),
        }
        for name, figure in pictures.items():
            for kind, raw in render(figure).items():
                write_whole(folder / f"{name}.{kind}", raw)


def rule_areas(spec: ExitUnitSpec) -> tuple[dict[str, Resources], str]:
    """Return the area of the unit of every rule, at its defaults, for the same logits and layers, and of this one."""
    areas = {_short(spec.rule): exit_unit_resources(spec)[0]}
    sources = {_evidence(exit_unit_resources(spec)[1])}
    rules = [kind() for kind in RULES.values()] + [ElbertExit(bias=bias) for bias in ("bias_2", "bias_3")]
    for rule in rules:
        try:
            other = exit_unit_spec(
                rule,
                n_layers=spec.n_layers,
                n_classes=spec.n_classes,
                scale=spec.form.scale,
                logit_bits=spec.logit_bits,
                n_slots=spec.n_slots,
            )
        except ConfigError:  # the oracle, or a rule that these classes or layers cannot have
            continue
        resources, source = exit_unit_resources(other)
        areas.setdefault(_short(other.rule), resources)
        sources.add(_evidence(source))
    classes = f"{spec.n_classes} class{'es' * (spec.n_classes > 1)}"
    return areas, f"Exit units for {classes}, {spec.logit_bits}-bit logits ({', '.join(sorted(sources))})"


def _evidence(source: str) -> str:
    """The first word of a source: measured or fitted."""
    return source.replace(":", " ").split()[0]


def _short(rule: str) -> str:
    """A rule with the parameters that tell it from its neighbours: the first, and the kind of trend."""
    name, _, rest = rule.partition(":")
    fields = rest.split(",")
    kept = [field for index, field in enumerate(fields) if index == 0 or field.startswith(("bias", "run_length"))]
    return f"{name} {', '.join(kept).replace('bias=', '')}".strip()
