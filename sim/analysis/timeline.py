"""What happened when: every task of one sentence up to its exit, the arrows between them, and levels over time.

Arrows lead from each weight transfer to its first use, and from the results of a layer that an exit reads over its
head to the decision. Levels are exact, a counter each:

    weight panels in use    a panel buffer is taken from the start of its transfer until its last reader's result is
                            there, which is when the schedule gives it to the next transfer
    tasks ready for UNIT    tasks whose operands are there while the unit has not begun them: the tiles that wait
                            between the units, counted at the unit that they wait for

Squashed work ends in the cycle of the decision, what it holds and what it waits for too.
Not modelled: several sentences in one timeline, the words in each buffer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hexit.quant.arrays import Flags, Integers
from hexit.sim.core.levels import count_open
from hexit.sim.core.program import CALL, NONE, Program, TaskProgram, Unit
from hexit.sim.core.sentence import SentenceRun

PANELS = "weight panels in use"
WAITING = "tasks ready for"  # and the unit's name

FlowKind = Literal["weights", "exit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One task on its unit: busy from `start_cycle` to `end_cycle`, result at `ready_cycle`.

    `layer` is 0 in the prologue. A squashed task ends, without a result, in the cycle of the decision. `engine` counts
    from 1, through a spatial pipeline.
    """

    engine: int
    unit: str
    op: str
    layer: int
    head: int
    panel: int
    block: int
    start_cycle: int
    end_cycle: int
    ready_cycle: int
    macs: int
    n_bytes: int
    squashed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """An arrow from one interval to another (indices into `Timeline.intervals`)."""

    kind: FlowKind
    source: int
    target: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A level over time: `levels[i]` from `cycles[i]` on, 0 before; never above `capacity` where there is one."""

    engine: int
    name: str
    capacity: int | None
    cycles: tuple[int, ...]
    levels: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """All intervals of one sentence, program order within each layer, with the arrows between them and the levels.

    `unit_names` are the units that the design has, in the order in which they are shown.
    """

    design: str
    clock_mhz: float
    exit_layer: int
    total_cycles: int
    n_engines: int
    unit_names: tuple[str, ...]
    intervals: tuple[Interval, ...]
    flows: tuple[Flow, ...]
    counters: tuple[Counter, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Group:
    """One program as it ran: layer (0: prologue), start of every task, cycle in which its operands are there."""

    program: TaskProgram
    engine: int
    layer: int
    start: Integers
    operands: Integers


def sentence_timeline(run: SentenceRun, exit_layer: int) -> Timeline:
    """Return the timeline of a sentence that exits after `exit_layer`, squashed work included.

    Raises ConfigError where `run` has no such exit.
    """
    program, decision = run.program, run.latency_cycles(exit_layer)
    groups = list(_groups(run))
    intervals: list[Interval] = []
    flows: list[Flow] = []
    place = np.empty(0, np.int64)  # of the tasks of the layer before an exit, among the intervals
    for group in groups:
        squashed = group.layer > exit_layer
        layer_place = place
        place = _append_group(intervals, flows, group, program.unit_names, decision, squashed=squashed)
        if group.program is program.exit and not squashed:
            flows.extend(_exit_flows(program.layer, program.exit, layer_place, place))
    return Timeline(
        design=program.accelerator.name,
        clock_mhz=program.accelerator.clock_mhz,
        exit_layer=exit_layer,
        total_cycles=decision,
        n_engines=program.accelerator.n_engines,
        unit_names=tuple(program.unit_names[unit] for unit in program.shown_units),
        intervals=tuple(intervals),
        flows=tuple(flows),
        counters=tuple(counter for counter in _counters(groups, program, decision) if counter.cycles),
    )


def _groups(run: SentenceRun) -> Iterator[_Group]:
    """The programs of a sentence in the order in which they ran, each fed with the results of those before it."""
    program = run.program
    waits = program.accelerator.exit_overlap != "speculate"
    ports = np.zeros(program.prologue.n_ports, np.int64)

    def ran(group: TaskProgram, layer: int, start: Integers) -> _Group:
        time = np.concatenate([ports, start + group.latency_cycles])
        operands = np.maximum.reduceat(time[group.dependency], group.first_dependency[:-1])
        ports[1:] = time[group.exports]
        engine = 1 + int(np.searchsorted(program.end_layer, max(layer, 1)))
        return _Group(program=group, engine=engine, layer=layer, start=start, operands=operands)

    yield ran(program.prologue, 0, run.prologue_start)
    for layer in range(1, program.n_layers + 1):
        yield ran(program.layer, layer, run.layer_start[layer - 1])
        if run.decision_cycle[layer - 1] != NONE:
            yield ran(program.exit, layer, run.exit_start[layer - 1])
            if waits:
                ports[0] = run.decision_cycle[layer - 1]


def _append_group(
    intervals: list[Interval],
    flows: list[Flow],
    group: _Group,
    names: tuple[str, ...],
    decision: int,
    *,
    squashed: bool,
) -> Integers:
    """Append the tasks of one program that began (before the decision, where squashed), and its weight arrows.

    Returns the place of each task among the intervals, NONE where it did not begin.
    """
    program, starts = group.program, group.start
    begun = _begun(group, decision, squashed=squashed) & ~_is_control(program)
    ends, readies = starts + program.occupancy_cycles, starts + program.latency_cycles
    if squashed:
        ends, readies = np.minimum(ends, decision), np.minimum(readies, decision)
    place = np.where(begun, np.cumsum(begun) - 1 + len(intervals), NONE)
    columns = (
        program.unit,
        program.op,
        program.head,
        program.panel,
        program.block,
        starts,
        ends,
        readies,
        program.macs,
        program.n_bytes,
    )
    for unit, op, head, panel, block, start, end, ready, macs, n_bytes in zip(
        *(column[begun].tolist() for column in columns), strict=True
    ):
        intervals.append(
            Interval(
                engine=group.engine,
                unit=names[unit],
                op=program.op_names[op],
                layer=group.layer,
                head=head,
                panel=panel,
                block=block,
                start_cycle=start,
                end_cycle=end,
                ready_cycle=ready,
                macs=macs,
                n_bytes=n_bytes,
                squashed=squashed,
            )
        )
    for source, target in zip(*_uses(program, last=False), strict=True):
        if begun[source] and begun[target]:
            flows.append(Flow(kind="weights", source=int(place[source]), target=int(place[target])))
    return place


def _is_control(program: TaskProgram) -> Flags:
    """Which tasks only call a layer, or hand something on in a stage in no time."""
    return np.asarray((program.unit == CALL) | ((program.unit > CALL) & (program.occupancy_cycles == 0)), np.bool_)


def _begun(group: _Group, decision: int, *, squashed: bool) -> Flags:
    return group.start < decision if squashed else np.ones_like(group.start, np.bool_)


def _readers(program: TaskProgram) -> Integers:
    """The task that each entry of `dependency` belongs to."""
    return np.repeat(np.arange(program.n_tasks), np.diff(program.first_dependency))


def _uses(program: TaskProgram, *, last: bool) -> tuple[list[int], list[int]]:
    """The transfers that tasks read, and the first or last of these tasks in program order."""
    source = program.dependency - program.n_ports
    is_load = (source >= 0) & (program.unit[np.maximum(source, 0)] == Unit.DMA)
    loads, readers = source[is_load], _readers(program)[is_load]
    if last:
        loads, readers = loads[::-1], readers[::-1]
    distinct, first = np.unique(loads, return_index=True)
    return distinct.tolist(), readers[first].tolist()


def _exit_flows(layer: TaskProgram, exit_: TaskProgram, layer_place: Integers, place: Integers) -> list[Flow]:
    """Arrows from each result of the layer or of the head that an op of the exit reads to its first reader there."""
    reader = _readers(exit_)
    number = exit_.dependency
    from_layer = (number >= 1) & (number <= layer.n_blocks)
    inside = (number >= exit_.n_ports) & (exit_.unit[np.maximum(number - exit_.n_ports, 0)] != Unit.DMA)
    results = layer_place[layer.exports[number[from_layer] - 1] - layer.n_ports]
    last_shown = layer_place[layer_place != NONE][-1]  # a call of stages returns in no time: its last pack is drawn
    sources = np.concatenate(
        [
            np.where(results == NONE, last_shown, results),
            place[number[inside] - exit_.n_ports],
        ]
    )
    readers = np.concatenate([reader[from_layer], reader[inside]])
    edges = np.stack([sources, exit_.op[readers]])
    _, first = np.unique(edges, axis=1, return_index=True)
    return [
        Flow(kind="exit", source=source, target=target)
        for source, target in zip(sources[first].tolist(), place[readers[first]].tolist(), strict=True)
    ]


def _panels(groups: list[_Group]) -> tuple[Integers, Integers]:
    """Start of the transfer and release of the buffer of every weight panel."""
    begin, end = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for group in groups:
        loads, last_readers = (np.array(tasks, np.int64) for tasks in _uses(group.program, last=True))
        is_panel = _waits_for_buffer(group.program)[loads]
        begin.append(group.start[loads[is_panel]])
        end.append((group.start + group.program.latency_cycles)[last_readers[is_panel]])
    return np.concatenate(begin), np.concatenate(end)


def _waits_for_buffer(program: TaskProgram) -> Flags:
    """Which tasks wait for a release, from a port or by a task: transfers of panels do, look-ups do not."""
    by_anything = (program.dependency > program.n_blocks).astype(np.int64)
    waits = np.add.reduceat(by_anything, program.first_dependency[:-1]) > 0
    return np.asarray(waits & (program.unit == Unit.DMA), np.bool_)


def _counters(groups: list[_Group], whole: Program, decision: int) -> Iterator[Counter]:
    """Weight panel buffers that are taken, and for each unit the tasks that have their operands and wait for it."""
    design = whole.accelerator
    for engine in range(1, design.n_engines + 1):
        inside = [group for group in groups if group.engine == engine]
        yield _counter(engine, PANELS, design.n_weight_buffers, *_panels(inside), decision)
        unit, ready, start = (
            np.concatenate(parts)
            for parts in zip(*((group.program.unit, group.operands, group.start) for group in inside), strict=True)
        )
        for number in whole.shown_units:
            mine = unit == number
            yield _counter(engine, f"{WAITING} {whole.unit_names[number]}", None, ready[mine], start[mine], decision)


def _counter(engine: int, name: str, capacity: int | None, begin: Integers, end: Integers, decision: int) -> Counter:
    levels = count_open(np.minimum(begin, decision), np.minimum(end, decision))
    return Counter(
        engine=engine,
        name=name,
        capacity=capacity,
        cycles=tuple(levels.cycle.tolist()),
        levels=tuple(levels.level.tolist()),
    )
