"""The roofline of a design, and where its products stand under it, measured on one sentence.

    rate = macs / cycles                 cycles: those in which any task of the op runs, transfers included
    roof = min(macs_per_cycle of the unit, bytes_per_cycle of the channel x macs / bytes)

Counted over every layer up to the exit, on the timeline of the sentence: an op whose tiles wait for each other, or
for their weights, is slower for it only while a task of it runs; idle time is in the point of the whole layers, which
runs from their first task to the decision. An op without off-chip bytes has only the first roof.
A unit is busy for all cycles of a task, so no point can lie above its roof.
Not modelled: bytes on chip, the roof of the vector units (they make no products).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from hexit.quant.arrays import Integers
from hexit.sim.core.levels import count_open
from hexit.sim.core.program import NONE, Program, TaskProgram, Unit
from hexit.sim.core.sentence import SentenceRun
from hexit.sim.core.stream import StreamResult

Worker = Literal["array", "head", "engine", "engines"]

LAYERS, SENTENCES = "whole layers", "whole sentences"


@dataclass(frozen=True, slots=True, kw_only=True)
class RooflinePoint:
    """Work, time and off-chip traffic of some ops (each alike), of whole layers, or of the whole stream.

    `unit`: whose products they are. An engine's array and head work at the same time; a sentence is in one engine, a
    stream in all of them. `array_macs`: MACs per cycle of the arrays that are there for it, of stages the stage's own.
    """

    names: tuple[str, ...]
    unit: Worker
    array_macs: int
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """The roofs, per cycle (arrays and exit head of an engine, channel), and the points, layers and sentences last."""

    n_engines: int
    array_macs: int
    head_macs: Fraction
    bytes_per_cycle: float
    points: tuple[RooflinePoint, ...]

    def roof(self, point: RooflinePoint) -> float:
        """Return the MACs per cycle that the work of a point could attain at most."""
        array = 0 if point.unit == "head" else point.array_macs
        head = 0 if point.unit == "array" else self.head_macs
        n_engines = self.n_engines if point.unit == "engines" else 1
        return min(float(n_engines * (array + head)), self.bytes_per_cycle * point.macs_per_byte)


def roofline(run: SentenceRun, exit_layer: int, stream: StreamResult) -> Roofline:
    """Return the roofs of a design and the points of a sentence that exits after `exit_layer` (from 1)."""
    program = run.program
    evaluated = np.flatnonzero(run.decision_cycle[:exit_layer] != NONE)
    layers = program.layer, run.layer_start[:exit_layer]
    exits = program.exit, run.exit_start[evaluated]
    all_macs, stage_macs = program.accelerator.n_macs, _stage_macs(program)
    alike: dict[tuple[Worker, int, int, int, int], list[str]] = {}
    for group, starts in ((program.prologue, run.prologue_start[None]), layers, exits):
        for op, name in enumerate(group.op_names):
            macs, cycles, n_bytes = _measured(group, starts, group.op == op)
            if macs:
                unit: Worker = "head" if group is program.exit else "array"
                alike.setdefault((unit, stage_macs.get(name, all_macs), macs, cycles, n_bytes), []).append(name)
    ops = [
        RooflinePoint(names=tuple(names), unit=unit, array_macs=arrays, macs=macs, cycles=cycles, n_bytes=n_bytes)
        for (unit, arrays, macs, cycles, n_bytes), names in alike.items()
    ]
    whole = RooflinePoint(
        names=(LAYERS,),
        unit="engine",
        array_macs=all_macs,
        macs=sum(starts.shape[0] * int(group.macs.sum()) for group, starts in (layers, exits)),
        cycles=int(run.decision_cycle[exit_layer - 1] - run.layer_start[0].min()),
        n_bytes=sum(starts.shape[0] * int(group.n_bytes.sum()) for group, starts in (layers, exits)),
    )
    sentences = RooflinePoint(
        names=(SENTENCES,),
        unit="engines",
        array_macs=all_macs,
        macs=stream.macs,
        cycles=stream.total_cycles,
        n_bytes=stream.off_chip_bytes + stream.wasted_bytes,
    )
    return Roofline(
        n_engines=program.accelerator.n_engines,
        array_macs=all_macs,
        head_macs=_head_macs(program),
        bytes_per_cycle=program.channel.bytes_per_cycle,
        points=(*ops, whole, sentences),
    )


def _stage_macs(program: Program) -> dict[str, int]:
    """MACs per cycle of each stage's own arrays, by stage; nothing for an engine, whose ops have all of them."""
    design = program.accelerator
    stages = [stage for region in design.regions for stage in region.stages]
    return {stage.name: sum(array.n_macs for array in design.arrays_of_stage(stage)) for stage in stages}


def _measured(group: TaskProgram, starts: Integers, mine: Integers) -> tuple[int, int, int]:
    """MACs, cycles in which any of the tasks `mine` runs, and off-chip bytes, over all runs [runs, tasks]."""
    begin = starts[:, mine].reshape(-1)
    occupancy = np.tile(group.occupancy_cycles[mine], starts.shape[0])
    levels = count_open(begin, begin + occupancy)
    cycles = int((levels.level[:-1] > 0) @ np.diff(levels.cycle))
    macs, n_bytes = (starts.shape[0] * int(values[mine].sum()) for values in (group.macs, group.n_bytes))
    return macs, cycles, n_bytes


def _head_macs(program: Program) -> Fraction:
    """MACs per cycle of the exit head while it works: its lanes, or what a head that was built makes."""
    group = program.exit
    works = (group.unit == Unit.HEAD) & (group.macs > 0)
    rates = zip(group.macs[works].tolist(), group.occupancy_cycles[works].tolist(), strict=True)
    return max(Fraction(macs, max(1, cycles)) for macs, cycles in rates)
