"""Sentences that leave early, one after the other or interleaved: latency, throughput and what was wasted.

Batch 1 (`stall`, `speculate`): one sentence in flight. When its decision falls, every unit is idle again (a
decision waits for its whole layer; speculative work is squashed), so a sentence that exits after layer k always
takes table[k] cycles, read off one simulation of all layers, and the queue is Lindley's recurrence

    start[i] = max(arrival[i], finish[i-1])        finish[i] = start[i] + table[exit_layer[i]]

Batch n (`interleave`): n sentences resident, as `engine.run_interleaved` says. That is what ``--batch n`` means;
weights are not shared between the sentences of a batch.

    stall       the next layer, its weight transfers included, waits for the decision
    speculate   the next layer starts as soon as its input is there; on an exit whatever later layers have begun
                is cut off in the cycle of the decision and counted as wasted, and the units are free
    interleave  a layer waits for its own sentence's decision, meanwhile others have the units

Latency counts from the arrival to the decision, waiting included. Without arrivals the loop is closed: a
sentence arrives in the cycle in which it can start. Sentences start in order of arrival; all times are cycles.
Not modelled: the host's transfers, sentences of different lengths, the one-off load of resident weights
(`Program.preload_cycles`), fetching weights ahead of a decision while stalling.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hw_model.energy import EnergyCounts
from hw_model.work import group_work, op_work
from quant.errors import ConfigError
from sim.engine import flatten, run_interleaved, run_sentence
from sim.schedule import NONE, Program, TaskProgram, Unit

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SentenceRun:
    """One sentence through all layers on an idle design: start of every task, cycle of every decision.

    `decision_cycle[k - 1]` is the latency of a sentence that exits after layer k (NONE where that exit is not
    evaluated). Starts are indexed [task] and [layer - 1, task]; later layers of an earlier exit are squashed.
    """

    program: Program
    prologue_start: Ints
    layer_start: Ints
    exit_start: Ints
    decision_cycle: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExitTable:
    """What a sentence alone on the design costs by the layer k after which it exits (index k - 1).

    `latency_cycles` is NONE for exits that are not evaluated. `wasted_*`: squashed work that had begun; MACs and
    bytes of a task that was cut off count in proportion to the cycles it got, rounded down.
    `wasted_op_cycles` are the squashed cycles, transfers left out, by op of the layer and then of the exit.
    """

    latency_cycles: Ints
    busy_cycles: Ints
    n_exits: Ints
    macs: Ints
    off_chip_bytes: Ints
    wasted_cycles: Ints
    wasted_op_cycles: Ints
    wasted_macs: Ints
    wasted_bytes: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamResult:
    """A stream as it ran: arrays by sentence, arrays by unit (`Unit`), totals.

    `total_cycles` runs from cycle 0 to the last decision. `busy_cycles`, `macs`, `off_chip_bytes` and the numbers
    of executed layers and exits are useful work; the `wasted_*` twins are work that was squashed, on top.
    """

    exit_layer: Ints
    arrival_cycle: Ints
    start_cycle: Ints
    finish_cycle: Ints
    latency_cycles: Ints
    busy_cycles: Ints
    wasted_cycles: Ints
    wasted_op_cycles: Ints
    total_cycles: int
    n_layers: int
    n_exits: int
    macs: int
    wasted_macs: int
    off_chip_bytes: int
    wasted_bytes: int

    @property
    def n_sentences(self) -> int:
        """Sentences of the stream."""
        return int(self.exit_layer.size)

    @property
    def utilisation_fraction(self) -> npt.NDArray[np.float64]:
        """Share of the total time in which each unit did useful work."""
        return np.asarray(self.busy_cycles / self.total_cycles, dtype=np.float64)


def simulate_sentence(program: Program, exit_layers: tuple[int, ...] | None = None) -> SentenceRun:
    """Run one sentence through all layers under the design's exit overlap (`interleave` alone is `stall`).

    `exit_layers`: the layers whose exits exist, all of them by default; the last layer must be among them.
    """
    evaluated = _evaluated(program, exit_layers)
    shape = program.n_layers
    prologue_start = np.empty(program.prologue.n_tasks, np.int64)
    layer_start = np.empty((shape, program.layer.n_tasks), np.int64)
    exit_start = np.full((shape, program.exit.n_tasks), NONE, np.int64)
    decisions = run_sentence(
        flatten(program.prologue),
        flatten(program.layer),
        flatten(program.exit),
        evaluated,
        program.accelerator.exit_overlap != "speculate",
        np.zeros(len(Unit), np.int64),
        prologue_start,
        layer_start,
        exit_start,
    )
    return SentenceRun(
        program=program,
        prologue_start=prologue_start,
        layer_start=layer_start,
        exit_start=exit_start,
        decision_cycle=decisions,
    )


def exit_table(program: Program, exit_layers: tuple[int, ...] | None = None) -> ExitTable:
    """Return the cost of every exit layer of a sentence alone, from one simulation of all layers."""
    run = simulate_sentence(program, exit_layers)
    n_exits = np.cumsum(run.decision_cycle != NONE)
    layers = np.arange(1, program.n_layers + 1)
    groups = (program.prologue, program.layer, program.exit)
    times = (np.ones_like(layers), layers, n_exits)
    wasted_cycles = np.zeros((program.n_layers, len(Unit)), np.int64)
    squashable = (program.layer, run.layer_start), (program.exit, run.exit_start)
    wasted_op_cycles = np.zeros((program.n_layers, sum(len(group.op_names) for group, _ in squashable)), np.int64)
    wasted_macs, wasted_bytes = np.zeros_like(layers), np.zeros_like(layers)
    for k, decision in enumerate(run.decision_cycle):
        if decision == NONE:
            continue
        first_op = 0
        for group, starts in squashable:
            cycles, op_cycles, macs, n_bytes = _squashed(group, starts[k + 1 :], int(decision))
            wasted_cycles[k] += cycles
            wasted_op_cycles[k, first_op : first_op + op_cycles.size] = op_cycles
            wasted_macs[k] += macs
            wasted_bytes[k] += n_bytes
            first_op += op_cycles.size
    return ExitTable(
        latency_cycles=run.decision_cycle,
        busy_cycles=np.sum([np.outer(n, g.busy_cycles()) for n, g in zip(times, groups, strict=True)], axis=0),
        n_exits=n_exits,
        macs=np.sum([n * g.macs.sum() for n, g in zip(times, groups, strict=True)], axis=0),
        off_chip_bytes=np.sum([n * g.n_bytes.sum() for n, g in zip(times, groups, strict=True)], axis=0),
        wasted_cycles=wasted_cycles,
        wasted_op_cycles=wasted_op_cycles,
        wasted_macs=wasted_macs,
        wasted_bytes=wasted_bytes,
    )


def _squashed(program: TaskProgram, starts: Ints, decision: int) -> tuple[Ints, Ints, int, int]:
    """Cycles per unit, cycles per op, MACs and bytes of what began in `starts` before the decision."""
    begun_layer, begun = np.nonzero((starts != NONE) & (starts < decision))
    occupancy = program.occupancy_cycles[begun]
    done = np.minimum(occupancy, decision - starts[begun_layer, begun])
    whole = np.maximum(occupancy, 1)
    share = np.where(occupancy == 0, 1, done)  # a task of no cycles is done as soon as it begins
    computing = program.unit[begun] != Unit.DMA
    cycles = np.bincount(program.unit[begun], weights=done, minlength=len(Unit))
    op_cycles = np.bincount(program.op[begun], weights=done * computing, minlength=len(program.op_names))
    macs, n_bytes = (int((values[begun] * share // whole).sum()) for values in (program.macs, program.n_bytes))
    return cycles.astype(np.int64), op_cycles.astype(np.int64), macs, n_bytes


def simulate_stream(
    program: Program,
    exit_layer: npt.ArrayLike,
    arrivals: npt.ArrayLike | None = None,
    exit_layers: tuple[int, ...] | None = None,
) -> StreamResult:
    """Run sentences that exit after the given layers (from 1), in order, under the design's exit overlap.

    `arrivals`: cycle of each sentence's arrival, not falling; closed loop without. `exit_layers` as in
    `simulate_sentence`. Raises ConfigError for exits that do not exist and arrivals out of order.
    """
    leaves = np.asarray(exit_layer, dtype=np.int64)
    evaluated = _evaluated(program, exit_layers)
    if leaves.ndim != 1 or leaves.size == 0:
        raise ConfigError("exit_layer", leaves.shape, "must be a list of at least one layer", "Give sentences")
    legal = np.flatnonzero(evaluated) + 1
    wrong = leaves[~np.isin(leaves, legal)]
    if wrong.size:
        raise ConfigError(
            "exit_layer", int(wrong[0]), f"must be one of the exits {legal.tolist()}", "Correct the exit layers"
        )
    arrival = np.zeros_like(leaves) if arrivals is None else np.asarray(arrivals, dtype=np.int64)
    if arrival.shape != leaves.shape or (arrival < 0).any() or (np.diff(arrival) < 0).any():
        raise ConfigError(
            "arrivals", arrival.shape, f"must be {leaves.size} cycles, not negative, not falling", "Sort the arrivals"
        )
    table = exit_table(program, exit_layers)
    index = leaves - 1
    if program.accelerator.exit_overlap == "interleave":
        start, finish = run_slots(program, leaves, arrival, program.accelerator.n_interleaved, exit_layers)
    else:
        service = table.latency_cycles[index]
        done = np.cumsum(service)
        finish = done + np.maximum.accumulate(arrival - (done - service))
        start = finish - service
    arrival = start if arrivals is None else arrival
    return StreamResult(
        exit_layer=leaves,
        arrival_cycle=arrival,
        start_cycle=start,
        finish_cycle=finish,
        latency_cycles=finish - arrival,
        busy_cycles=table.busy_cycles[index].sum(axis=0),
        wasted_cycles=table.wasted_cycles[index].sum(axis=0),
        wasted_op_cycles=table.wasted_op_cycles[index].sum(axis=0),
        total_cycles=int(finish.max()),
        n_layers=int(leaves.sum()),
        n_exits=int(table.n_exits[index].sum()),
        macs=int(table.macs[index].sum()),
        wasted_macs=int(table.wasted_macs[index].sum()),
        off_chip_bytes=int(table.off_chip_bytes[index].sum()),
        wasted_bytes=int(table.wasted_bytes[index].sum()),
    )


def stream_work(program: Program, result: StreamResult) -> tuple[EnergyCounts, EnergyCounts]:
    """Return the useful and the squashed work of a stream, ready for an energy model.

    Squashed work of an op counts in proportion to the cycles that were spent on it, rounded down.
    """
    workload, design = program.workload, program.accelerator
    quant = workload.quant
    useful = (
        group_work(workload.prologue, quant, design) * result.n_sentences
        + group_work(workload.layer, quant, design) * result.n_layers
        + group_work(workload.exit, quant, design) * result.n_exits
        + EnergyCounts(off_chip_bytes=result.off_chip_bytes)
    )
    wasted = EnergyCounts(off_chip_bytes=result.wasted_bytes)
    ops = (*workload.layer, *workload.exit)
    op_cycles = np.concatenate([program.layer.op_cycles(), program.exit.op_cycles()])
    for op, spent, whole in zip(ops, result.wasted_op_cycles.tolist(), op_cycles.tolist(), strict=True):
        wasted += _fraction(op_work(op, quant, design), spent, max(1, whole))
    return useful, wasted


def _fraction(work: EnergyCounts, part: int, whole: int) -> EnergyCounts:
    return EnergyCounts(
        macs=tuple(replace(mac, n=mac.n * part // whole) for mac in work.macs),
        vector_elements=work.vector_elements * part // whole,
        on_chip_bytes=work.on_chip_bytes * part // whole,
    )


def run_slots(
    program: Program,
    exit_layer: Ints,
    arrival: Ints,
    n_slots: int,
    exit_layers: tuple[int, ...] | None = None,
) -> tuple[Ints, Ints]:
    """Simulate every layer of every sentence in `n_slots` slots, and return start and finish cycles.

    One slot is a stalling design, so this is also the long way to the batch-1 results.
    """
    start, finish = np.empty_like(exit_layer), np.empty_like(exit_layer)
    run_interleaved(
        flatten(program.prologue),
        flatten(program.layer),
        flatten(program.exit),
        _evaluated(program, exit_layers),
        exit_layer,
        arrival,
        n_slots,
        int(Unit.ARRAY),
        np.zeros(len(Unit), np.int64),
        start,
        finish,
    )
    return start, finish


def _evaluated(program: Program, exit_layers: tuple[int, ...] | None) -> npt.NDArray[np.bool_]:
    n_layers = program.n_layers
    chosen = range(1, n_layers + 1) if exit_layers is None else exit_layers
    if not set(chosen) <= set(range(1, n_layers + 1)) or n_layers not in chosen:
        raise ConfigError(
            "exit_layers", exit_layers, f"must lie in 1..{n_layers} and contain {n_layers}", "Correct the list"
        )
    evaluated = np.zeros(n_layers, np.bool_)
    evaluated[np.array(list(chosen)) - 1] = True
    return evaluated
