"""Why units wait: every cycle of a lone sentence is busy, squashed or waiting with one cause, on every unit.

    latency = busy[u] + squashed[u] + sum over causes of waiting[u, cause]      exactly, for each unit u

(of a spatial pipeline: latency x engines, each unit being that of all of its engines).

A unit takes its tasks in program order, so it waits between two of them, and the wait belongs to the dependency of
the later one that was there last:

    memory          a transfer of weights, parameters or embedding rows
    result of <u>   a result of another compute unit
    decision        the exit decision that holds the layer back
    weight buffer   the DMA waits until a panel buffer has been used for the last time
    own pipeline    the unit's own earlier result is still on its way through the pipeline
    no work         nothing for the unit before the decision: none is left, or the sentence is not in its engine yet

Of stages:

    result of <s>       a pack of a stage in front, or its first result
    stage in front      it still streams, and this one ends no sooner
    <s> to be free      a place in the FIFO to a stage further on; of stages that take turns, the turn
    rest of the layer   stages of other regions; of the head, the whole layer

Waits for transfers are split further, so that those for memory are the ones that a faster memory could shorten. While
another operand is missing too, that operand is the cause. While the DMA itself waited, its own cause counts: a unit
behind a transfer that had no panel buffer waits for the weight buffer. So a memory without limits never stalls
anything. Results that arrive in the same cycle count to the unit that has the higher number, to a transfer last.
Causes are not followed beyond that: the array waits for the softmax, whatever the softmax has waited for.
Not modelled: waits of interleaved sentences for each other, and those between sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np

from hexit.hw_model.memory.channel import UNLIMITED
from hexit.quant.arrays import Flags, Integers
from hexit.sim.core.lone_sentence import simulate_sentence
from hexit.sim.core.program import CALL, NONE, UNIT_NAMES, TaskProgram, Unit
from hexit.sim.core.sentence import SentenceRun

_Executed = tuple[int, TaskProgram, int, Integers]

WEIGHT_BUFFER, PIPELINE, NO_WORK = -3, -2, -1  # the last causes; each before them is the unit that is waited for
N_OTHER_CAUSES = 3


def cause_names(unit_names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the causes by number: the units, then the other three.

    Behind the named units stand those on which the last result of the stage in front goes through each stage.
    """
    known = {int(Unit.DMA): "memory", int(Unit.DECISION): "decision", CALL: "rest of the layer"}
    of_units = (known.get(unit, f"result of {name.replace('_', ' ')}") for unit, name in enumerate(unit_names))
    through = ("stage in front" for _ in unit_names[CALL + 1 :])
    return (*of_units, *through, "weight buffer", "own pipeline", "no work")


CAUSES = cause_names(UNIT_NAMES)  # of an engine


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StallBreakdown:
    """Cycles of one sentence up to its decision, by unit and cause.

    `unit_names` and `causes` name them, `units` are those that the design has. `squashed_cycles` are spent on layers
    behind the exit that speculation had begun. `op_waiting_cycles` are the waits of the compute units in front of each
    op (its transfers left out), the ops being those of the prologue, of all layers together and of all exits together.
    """

    latency_cycles: int
    n_engines: int
    units: tuple[int, ...]
    unit_names: tuple[str, ...]
    causes: tuple[str, ...]
    busy_cycles: Integers
    squashed_cycles: Integers
    waiting_cycles: Integers
    op_names: tuple[str, ...]
    op_waiting_cycles: Integers

    def unit_of(self, op: str) -> int:
        """Return the stage of an op of stages, which has its name; NONE for the ops of an engine."""
        return self.unit_names.index(op, CALL) if op in self.unit_names[CALL:] else NONE

    def cause_name(self, unit: int, cause: int) -> str:
        """Return what a unit waits for: of a stage further on a free place, not a result."""
        if CALL < unit < cause < len(self.unit_names):
            return f"{self.unit_names[cause].replace('_', ' ')} to be free"
        return self.causes[cause]

    @property
    def whole_cycles(self) -> int:
        """Cycles of each unit, all engines together."""
        return self.n_engines * self.latency_cycles


@dataclass(frozen=True, slots=True, kw_only=True)
class StallRow:
    """One line of a table: what a unit (or an op) does for how many cycles, and its share of the whole time."""

    name: str
    cause: str
    cycles: int
    latency_fraction: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelAndTransfers:
    """One sentence with the design's memory, with one that has no limits, and its transfers alone.

        kernel_cycles <= latency_cycles <= kernel_cycles + transfer_cycles

    `transfer_cycles` are the transfers one after the other, each with its first-word latency; `dma_busy_cycles` leave
    out what of the latencies lies under other transfers.
    """

    latency_cycles: int
    kernel_cycles: int
    transfer_cycles: int
    dma_busy_cycles: int

    @property
    def exposed_cycles(self) -> int:
        """Cycles that the memory adds to the kernel."""
        return self.latency_cycles - self.kernel_cycles


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Events:
    """Results (first the ports, then the tasks of a group): when they are there, their task's start, its unit."""

    time: Integers
    start: Integers
    unit: Integers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Waits:
    """Waits of tasks from `free` to `start` for `cause`; `transfer_start`: when a transfer they read began, or NONE."""

    unit: Integers
    op: Integers
    free: Integers
    start: Integers
    cause: Integers
    transfer_start: Integers


def stall_breakdown(run: SentenceRun, exit_layer: int) -> StallBreakdown:
    """Return what every unit does in each cycle of a sentence that exits after a layer (from 1).

    Raises ConfigError for an exit that is not evaluated.
    """
    latency, program = run.latency_cycles(exit_layer), run.program
    op_names = tuple(name for group in program.groups for name in group.op_names)
    engines = [_engine_breakdown(run, groups, exit_layer, latency, op_names) for groups in _groups_by_engine(run)]
    busy, squashed, waiting, op_waiting = (
        np.sum([getattr(engine, name) for engine in engines], axis=0)
        for name in ("busy_cycles", "squashed_cycles", "waiting_cycles", "op_waiting_cycles")
    )
    return StallBreakdown(
        latency_cycles=latency,
        n_engines=len(engines),
        units=program.shown_units,
        unit_names=program.unit_names,
        causes=cause_names(program.unit_names),
        busy_cycles=busy,
        squashed_cycles=squashed,
        waiting_cycles=waiting,
        op_names=op_names,
        op_waiting_cycles=op_waiting,
    )


def _engine_breakdown(
    run: SentenceRun, groups: list[_Executed], exit_layer: int, latency: int, op_names: tuple[str, ...]
) -> StallBreakdown:
    """The breakdown of one engine, whose units have no work before the sentence enters it."""
    entry = min([latency, *(int(start.min()) for _, _, _, start in groups[:1])])
    n_units, n_causes = run.program.n_units, run.program.n_units + N_OTHER_CAUSES
    free, last_end = (np.full(n_units, entry, np.int64) for _ in range(2))
    busy, squashed = (np.zeros(n_units, np.int64) for _ in range(2))
    at_entry = np.full(run.program.layer.n_ports, entry, np.int64)
    ports = _Events(time=at_entry, start=at_entry, unit=np.full_like(at_entry, Unit.DECISION))
    parts: list[_Waits] = []
    for layer, group, first_op, start in groups:
        useful = layer <= exit_layer
        begun = np.full(start.size, True) if useful else start < latency
        if not begun.any():
            break
        end = start + group.occupancy_cycles
        events = _Events(
            time=np.concatenate([ports.time, start + group.latency_cycles]),
            start=np.concatenate([ports.start, start]),
            unit=np.concatenate([ports.unit, group.unit]),
        )
        parts += _group_waits(group, events, _free_before(group.unit, end, free), begun, first_op)
        np.maximum.at(free, group.unit, end)
        worked = np.minimum(end, latency)[begun]
        np.maximum.at(last_end, group.unit[begun], worked)
        np.add.at(busy if useful else squashed, group.unit[begun], worked - start[begun])
        ports = _next_ports(group, events, run.program.accelerator.exit_overlap != "speculate")
    waiting, op_waiting = np.zeros((n_units, n_causes), np.int64), np.zeros((len(op_names), n_causes), np.int64)
    if parts:
        waiting, op_waiting = _count(_join(parts), len(op_names), n_units, run.program.shown_units)
    waiting[:, NO_WORK] = latency - last_end + entry
    return StallBreakdown(
        latency_cycles=latency,
        n_engines=1,
        units=(),
        unit_names=(),
        causes=(),
        busy_cycles=busy,
        squashed_cycles=squashed,
        waiting_cycles=waiting,
        op_names=op_names,
        op_waiting_cycles=op_waiting,
    )


def stall_rows(breakdown: StallBreakdown) -> tuple[StallRow, ...]:
    """Return the breakdown as lines, unit by unit: busy, squashed, then the causes by size; nothing of 0 cycles."""
    rows: list[StallRow] = []
    for unit in breakdown.units:
        name = breakdown.unit_names[unit]
        spent = {"busy": breakdown.busy_cycles[unit], "squashed": breakdown.squashed_cycles[unit]}
        rows += _rows(name, spent, breakdown.whole_cycles)
        rows += _cause_rows(breakdown, name, unit, breakdown.waiting_cycles[unit])
    return tuple(rows)


def op_stall_rows(breakdown: StallBreakdown) -> tuple[StallRow, ...]:
    """Return the waits of the compute units as lines, op by op, the causes by size; nothing of 0 cycles."""
    return tuple(
        row
        for name, waits in zip(breakdown.op_names, breakdown.op_waiting_cycles, strict=True)
        for row in _cause_rows(breakdown, name, breakdown.unit_of(name), waits)
    )


def kernel_and_transfers(run: SentenceRun, exit_layer: int) -> KernelAndTransfers:
    """Return the time of a sentence next to that of its kernel alone and of its transfers alone.

    The kernel is the same program whose transfers take no time. Raises ConfigError for an exit that is not evaluated.
    """
    latency, program = run.latency_cycles(exit_layer), run.program
    kernel = replace(
        program,
        channel=UNLIMITED,
        prologue=_without_transfers(program.prologue),
        layer=_without_transfers(program.layer),
        exit=_without_transfers(program.exit),
    )
    alone = simulate_sentence(kernel, run.evaluated_layers)
    transfers = [
        (group.latency_cycles[on_dma].sum(), group.occupancy_cycles[on_dma].sum())
        for layer, group, _, _ in _executed(run)
        for on_dma in [group.unit == Unit.DMA]
        if layer <= exit_layer
    ]
    transfer_cycles, dma_busy_cycles = np.sum(transfers, axis=0).tolist()
    return KernelAndTransfers(
        latency_cycles=latency,
        kernel_cycles=alone.latency_cycles(exit_layer),
        transfer_cycles=transfer_cycles,
        dma_busy_cycles=dma_busy_cycles,
    )


def _executed(run: SentenceRun) -> Iterator[_Executed]:
    """Layer (0: the prologue), group, number of its first op among all, and starts, in the order of execution."""
    program = run.program
    first_layer_op = len(program.prologue.op_names)
    yield 0, program.prologue, 0, run.prologue_start
    for index, decision in enumerate(run.decision_cycle):
        yield index + 1, program.layer, first_layer_op, run.layer_start[index]
        if decision != NONE:
            yield index + 1, program.exit, first_layer_op + len(program.layer.op_names), run.exit_start[index]


def _groups_by_engine(run: SentenceRun) -> list[list[_Executed]]:
    """The executed groups of each engine, in the order of execution; the prologue is the first one's."""
    ends = run.program.end_layer
    engines: list[list[_Executed]] = [[] for _ in ends]
    for executed in _executed(run):
        engines[int(np.searchsorted(ends, max(1, executed[0])))].append(executed)
    return engines


def _free_before(unit: Integers, end: Integers, free: Integers) -> Integers:
    """Cycle in which each task's unit is done with the task before, or `free` from earlier groups."""
    order = np.argsort(unit, kind="stable")
    before = np.empty_like(end)
    before[order[1:]] = end[order[:-1]]
    units, first = np.unique(unit[order], return_index=True)
    before[order[first]] = free[units]
    return before


def _group_waits(
    group: TaskProgram, events: _Events, free: Integers, begun: Flags, first_op: int
) -> tuple[_Waits, _Waits]:
    """The waits of a group's tasks for all but transfers, and behind them those for transfers alone."""
    read, segments = group.dependency, group.first_dependency[:-1]
    on_dma, n_units = events.unit[read] == Unit.DMA, group.n_units
    key = events.time[read] * n_units + events.unit[read]  # latest first, then by unit: the DMA is unit 0, comes last
    last, last_result = (np.maximum.reduceat(keys, segments) for keys in (key, np.where(on_dma, NONE, key)))
    source = np.maximum(last_result, 0) % n_units
    releases_a_panel = (group.unit == Unit.DMA) & (source != Unit.DECISION)
    cause = np.where(source == group.unit, PIPELINE, np.where(releases_a_panel, WEIGHT_BUFFER, source))
    start = events.start[group.n_ports :]
    behind_transfer = last % n_units == Unit.DMA
    alone = np.where(behind_transfer, np.clip(last_result // n_units, free, start), start)
    everything = _Waits(
        unit=group.unit,
        op=group.op + first_op,
        free=free,
        start=alone,
        cause=cause,
        transfer_start=np.maximum.reduceat(np.where(on_dma, events.start[read], NONE), segments),
    )
    transfers = replace(everything, free=alone, start=start, cause=np.full_like(cause, Unit.DMA))
    return _chosen(everything, begun & (alone > free)), _chosen(transfers, begun & (start > alone))


def _chosen(waits: _Waits, chosen: Flags) -> _Waits:
    return _Waits(**{field.name: getattr(waits, field.name)[chosen] for field in fields(_Waits)})


def _next_ports(group: TaskProgram, events: _Events, holds_back: bool) -> _Events:
    """The exports of a group; the gate stays, or is the group's decision if that holds the next layer back."""
    gate = group.decision if group.decision != NONE and holds_back else 0
    sources = np.concatenate([[gate], group.exports])
    return _Events(time=events.time[sources], start=events.start[sources], unit=events.unit[sources])


def _join(parts: list[_Waits]) -> _Waits:
    return _Waits(
        **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(_Waits)}
    )


def _count(waits: _Waits, n_ops: int, n_units: int, shown: tuple[int, ...]) -> tuple[Integers, Integers]:
    """Waiting cycles [unit, cause], and of the compute units [op, cause]."""
    gap = waits.start - waits.free
    by_cause = np.zeros((n_units + N_OTHER_CAUSES, gap.size), np.int64)
    by_cause[waits.cause, np.arange(gap.size)] = gap
    # Behind a transfer: what the DMA itself waited for, before it could start on it, is no wait for memory.
    dma, behind = waits.unit == Unit.DMA, waits.cause == Unit.DMA
    until = np.clip(waits.transfer_start, waits.free, waits.start)[behind]
    for cause in np.unique(waits.cause[dma]).tolist():
        held = np.where(waits.cause[dma] == cause, gap[dma], 0)
        held_behind = _held(waits.start[dma], held, until) - _held(waits.start[dma], held, waits.free[behind])
        by_cause[cause, behind] += held_behind
        by_cause[Unit.DMA, behind] -= held_behind
    compute = ~dma & np.isin(waits.unit, shown)
    return _sum_columns(by_cause, waits.unit, n_units), _sum_columns(by_cause[:, compute], waits.op[compute], n_ops)


def _held(start: Integers, held: Integers, cycle: Integers) -> Integers:
    """Cycles before each `cycle` that a unit was held back: `held` cycles in front of each start, in order."""
    before = np.concatenate([[0], np.cumsum(held)])
    following = np.searchsorted(start, cycle)
    last = np.minimum(following, start.size - 1)
    within = np.clip(cycle - (start[last] - held[last]), 0, held[last])
    total: Integers = before[following] + np.where(following < start.size, within, 0)
    return total


def _sum_columns(by_cause: Integers, row: Integers, n_rows: int) -> Integers:
    sums = [np.bincount(row, weights=cycles, minlength=n_rows) for cycles in by_cause]
    return np.stack(sums, axis=1).astype(np.int64)


def _without_transfers(group: TaskProgram) -> TaskProgram:
    on_dma = group.unit == Unit.DMA
    return replace(
        group,
        occupancy_cycles=np.where(on_dma, 0, group.occupancy_cycles),
        latency_cycles=np.where(on_dma, 0, group.latency_cycles),
    )


def _cause_rows(breakdown: StallBreakdown, name: str, unit: int, waits: Integers) -> list[StallRow]:
    by_size = [cause for cause in np.argsort(-waits, kind="stable").tolist() if waits[cause]]
    spent = {breakdown.cause_name(unit, cause): waits[cause] for cause in by_size}
    return _rows(name, spent, breakdown.whole_cycles)


def _rows(name: str, spent: dict[str, np.int64], latency: int) -> list[StallRow]:
    return [
        StallRow(name=name, cause=cause, cycles=int(cycles), latency_fraction=float(cycles / latency))
        for cause, cycles in spent.items()
        if cycles
    ]
