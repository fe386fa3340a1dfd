"""Sentences that leave early, one after the other or interleaved: latency, throughput and what was wasted.

Batch 1 (`stall`, `speculate`): one sentence in flight. When its decision falls, every unit is idle again (a
decision waits for its whole layer; speculative work is squashed), so a sentence that exits after layer k always
takes table[k] cycles, read off one simulation of all layers, and the queue is Lindley's recurrence

    start[i] = max(arrival[i], finish[i-1])        finish[i] = start[i] + table[exit_layer[i]]

over the sentences that are admitted (`sim.core.queueing`). Sentences of different lengths have a program and a table
each.

Batch n (`interleave`): n sentences resident, as `engine.run_interleaved` says. That is what ``--batch n`` means;
weights are not shared between the sentences of a batch.

    stall       the next layer, its weight transfers included, waits for the decision
    speculate   the next layer starts as soon as its input is there; on an exit whatever later layers have begun
                is cut off in the cycle of the decision and counted as wasted, and the units are free
    interleave  a layer waits for its own sentence's decision, meanwhile others have the units

Engines behind each other (`mapping = "spatial"`): sim.core.spatial says when sentences are where; the tables of a lone
sentence say what each keeps busy.

Latency counts from the arrival to the decision, waiting included. Without arrivals the loop is closed: a
sentence arrives in the cycle in which it can start, and nobody is dropped. Sentences start in order of arrival; all
times are cycles. Not modelled: the host's transfers, the one-off load of resident weights
(`Program.preload_cycles`), fetching weights ahead of a decision while stalling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hexit.hw_model.energy import EnergyCounts
from hexit.hw_model.work import group_work, op_work
from hexit.quant.arrays import Flags, Floats, Integers
from hexit.quant.errors import ConfigError
from hexit.sim.core.levels import count_open
from hexit.sim.core.program import NONE, Program, Unit
from hexit.sim.core.queueing import (
    FULL,
    LATE,
    SERVED,
    UNLIMITED,
    Admission,
    empty_queue,
    serve,
)
from hexit.sim.core.recurrence import Flat, flatten, run_interleaved, run_sentence
from hexit.sim.core.spatial import SpatialResult, simulate_spatial
from hexit.sim.core.spatial_costs import SpatialCosts, lone_run, spatial_costs
from hexit.sim.core.squash import SquashedWork, squashed_work


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SentenceRun:
    """One sentence through all layers on an idle design: start of every task, cycle of every decision.

    `decision_cycle[k - 1]` is the latency of a sentence that exits after layer k (NONE where that exit is not
    evaluated). Starts are indexed [task] and [layer - 1, task]; later layers of an earlier exit are squashed.
    """

    program: Program
    prologue_start: Integers
    layer_start: Integers
    exit_start: Integers
    decision_cycle: Integers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExitTable:
    """What a sentence alone on the design costs by the layer k after which it exits (index k - 1).

    `latency_cycles` is NONE for exits that are not evaluated. `wasted_*`: squashed work that had begun; MACs and
    bytes of a task that was cut off count in proportion to the cycles it got, rounded down.
    `wasted_op_cycles` are the squashed cycles, transfers left out, by op of the layer and then of the exit.
    """

    latency_cycles: Integers
    busy_cycles: Integers
    n_exits: Integers
    macs: Integers
    off_chip_bytes: Integers
    wasted_cycles: Integers
    wasted_op_cycles: Integers
    wasted_macs: Integers
    wasted_bytes: Integers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoneSentence:
    """A sentence of a program alone on the design: its run, its cost by exit layer, and what the engines of a spatial
    pipeline take for it (None of one engine)."""

    run: SentenceRun
    table: ExitTable
    engines: SpatialCosts | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamResult:
    """A stream as it ran: arrays by sentence, by program (one per length) and by unit (`Unit`), totals.

    `verdict` says who was served (`sim.core.queueing`); start, finish and latency of a dropped sentence are NONE, and
    it is in no total. `served_by_exit` [program, layer - 1] counts the others, `n_exits_by_layer` [layer - 1]
    are the exits that one of them computes, `busy_by_exit` [program, layer - 1, unit] is
    what one of them keeps busy. `total_cycles` runs from cycle 0 to the last decision. `busy_cycles`, `macs`,
    `off_chip_bytes` and the numbers of executed layers and exits are useful work; the `wasted_*` twins are work that
    was squashed, on top (`wasted_op_cycles` by program, then op). `spatial` is the same stream engine by engine, None
    of one engine.
    """

    exit_layer: Integers
    program_index: Integers
    arrival_cycle: Integers
    start_cycle: Integers
    finish_cycle: Integers
    latency_cycles: Integers
    verdict: Integers
    deadline_cycles: int
    n_engines: int
    served_by_exit: Integers
    n_exits_by_layer: Integers
    busy_by_exit: Integers
    busy_cycles: Integers
    wasted_cycles: Integers
    wasted_op_cycles: Integers
    total_cycles: int
    n_layers: int
    n_exits: int
    macs: int
    wasted_macs: int
    off_chip_bytes: int
    wasted_bytes: int
    spatial: SpatialResult | None

    @property
    def n_sentences(self) -> int:
        """Sentences of the stream, dropped ones included."""
        return int(self.exit_layer.size)

    @property
    def served(self) -> Flags:
        """Which sentences were served."""
        return np.asarray(self.verdict == SERVED)

    @property
    def n_served(self) -> int:
        """Sentences that were served."""
        return int(self.served.sum())

    @property
    def n_dropped_full(self) -> int:
        """Sentences that found the queue full."""
        return int((self.verdict == FULL).sum())

    @property
    def n_dropped_late(self) -> int:
        """Sentences that waited until their deadline."""
        return int((self.verdict == LATE).sum())

    @property
    def n_missed(self) -> int:
        """Sentences that were served and whose decision came after their deadline."""
        return int((self.served_latency_cycles > self.deadline_cycles).sum())

    @property
    def served_latency_cycles(self) -> Integers:
        """Latency of the sentences that were served, in the order of arrival."""
        return np.asarray(self.latency_cycles[self.served])

    @property
    def utilisation_fraction(self) -> Floats:
        """Share of the total time in which each unit did useful work, mean over the engines."""
        return np.asarray(self.busy_cycles / (self.n_engines * self.total_cycles), dtype=np.float64)


def simulate_sentence(program: Program, evaluated_layers: tuple[int, ...] | None = None) -> SentenceRun:
    """Run one sentence through all layers under the design's exit overlap (`interleave` alone is `stall`).

    `evaluated_layers`: the layers whose exits exist, all of them by default; the last layer must be among them.
    """
    return _lone_run(program, _evaluated(program, evaluated_layers), None)


def lone_sentence(program: Program, evaluated_layers: tuple[int, ...] | None = None) -> LoneSentence:
    """Run one sentence through all layers, and return the run with its cost by exit layer; see `simulate_sentence`."""
    evaluated = _evaluated(program, evaluated_layers)
    engines = spatial_costs(program, evaluated) if program.accelerator.mapping == "spatial" else None
    run = _lone_run(program, evaluated, engines)
    return LoneSentence(run=run, table=_table(run), engines=engines)


def _lone_run(program: Program, evaluated: Flags, engines: SpatialCosts | None) -> SentenceRun:
    """Run one sentence; in a spatial pipeline from the costs of its `engines`, which are computed if there are none."""
    if program.accelerator.mapping == "spatial":
        run, decisions = lone_run(engines or spatial_costs(program, evaluated))
        return SentenceRun(
            program=program,
            prologue_start=run.prologue_start,
            layer_start=run.layer_start,
            exit_start=run.exit_start,
            decision_cycle=decisions,
        )
    shape = program.n_layers
    prologue_start = np.empty(program.prologue.n_tasks, np.int64)
    layer_start = np.empty((shape, program.layer.n_tasks), np.int64)
    exit_start = np.full((shape, program.exit.n_tasks), NONE, np.int64)
    decisions = run_sentence(
        _flat([program]),
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


def exit_table(program: Program, evaluated_layers: tuple[int, ...] | None = None) -> ExitTable:
    """Return the cost of every exit layer of a sentence alone, from one simulation of all layers."""
    return _table(simulate_sentence(program, evaluated_layers))


def _table(run: SentenceRun) -> ExitTable:
    program = run.program
    n_exits = np.cumsum(run.decision_cycle != NONE)
    layers = np.arange(1, program.n_layers + 1)
    groups = (program.prologue, program.layer, program.exit)
    times = (np.ones_like(layers), layers, n_exits)
    squashed = [_squashed(run, k) for k in range(program.n_layers)]
    return ExitTable(
        latency_cycles=run.decision_cycle,
        busy_cycles=np.sum([np.outer(n, g.busy_cycles()) for n, g in zip(times, groups, strict=True)], axis=0),
        n_exits=n_exits,
        macs=np.sum([n * g.macs.sum() for n, g in zip(times, groups, strict=True)], axis=0),
        off_chip_bytes=np.sum([n * g.n_bytes.sum() for n, g in zip(times, groups, strict=True)], axis=0),
        wasted_cycles=np.stack([work.cycles for work in squashed]),
        wasted_op_cycles=np.stack([work.op_cycles for work in squashed]),
        wasted_macs=np.array([work.macs for work in squashed]),
        wasted_bytes=np.array([work.n_bytes for work in squashed]),
    )


def _squashed(run: SentenceRun, k: int) -> SquashedWork:
    """What later layers have begun when a sentence leaves after layer k + 1; nothing where they wait for decisions."""
    program, cut = run.program, run.decision_cycle[k : k + 1]
    if cut[0] == NONE or program.accelerator.exit_overlap != "speculate":
        n_ops = len(program.layer.op_names) + len(program.exit.op_names)
        nothing = np.zeros(len(Unit), np.int64), np.zeros(n_ops, np.int64)
        return SquashedWork(cycles=nothing[0], op_cycles=nothing[1], macs=0, n_bytes=0)
    layer = squashed_work(program.layer, run.layer_start[k + 1 :], cut)
    exit_ = squashed_work(program.exit, run.exit_start[k + 1 :], cut)
    return SquashedWork(
        cycles=layer.cycles + exit_.cycles,
        op_cycles=np.concatenate([layer.op_cycles, exit_.op_cycles]),
        macs=layer.macs + exit_.macs,
        n_bytes=layer.n_bytes + exit_.n_bytes,
    )


def simulate_stream(
    programs: Program | Sequence[Program],
    exit_layer: npt.ArrayLike,
    arrivals: npt.ArrayLike | None = None,
    evaluated_layers: tuple[int, ...] | None = None,
    *,
    program_index: npt.ArrayLike | None = None,
    admission: Admission = Admission(),  # noqa: B008 - an immutable tuple
) -> StreamResult:
    """Run sentences that exit after the given layers (from 1), in order, under the design's exit overlap.

    `arrivals`: cycle of each sentence's arrival, not falling; closed loop without. `evaluated_layers` as in
    `simulate_sentence`. `program_index`: which of `programs` (one design, a length each) a sentence runs, the first
    without. Raises ConfigError for exits or programs that do not exist and arrivals out of order.
    """
    programs = [programs] if isinstance(programs, Program) else list(programs)
    sentences = [lone_sentence(program, evaluated_layers) for program in programs]
    return run_stream(sentences, exit_layer, arrivals, program_index=program_index, admission=admission)


def run_stream(
    sentences: Sequence[LoneSentence],
    exit_layer: npt.ArrayLike,
    arrivals: npt.ArrayLike | None = None,
    *,
    program_index: npt.ArrayLike | None = None,
    admission: Admission = Admission(),  # noqa: B008 - an immutable tuple
) -> StreamResult:
    """Run a stream as `simulate_stream`, from the lone sentences of its programs, which say what exits are evaluated.

    A sentence exits after one of the exits that are evaluated.
    """
    programs = [sentence.run.program for sentence in sentences]
    tables = [sentence.table for sentence in sentences]
    design, evaluated = programs[0].accelerator, tables[0].latency_cycles != NONE
    leaves = _checked_exits(exit_layer, evaluated)
    chosen = np.zeros_like(leaves) if program_index is None else np.asarray(program_index, dtype=np.int64)
    if chosen.shape != leaves.shape or (chosen < 0).any() or (chosen >= len(programs)).any():
        raise ConfigError(
            "program_index", chosen.shape, f"must be {leaves.size} of 0..{len(programs) - 1}", "Correct the programs"
        )
    arrival = np.zeros_like(leaves) if arrivals is None else np.asarray(arrivals, dtype=np.int64)
    if arrival.shape != leaves.shape or (arrival < 0).any() or (np.diff(arrival) < 0).any():
        raise ConfigError(
            "arrivals", arrival.shape, f"must be {leaves.size} cycles, not negative, not falling", "Sort the arrivals"
        )
    door = Admission() if arrivals is None else admission
    engines = [sentence.engines for sentence in sentences if sentence.engines is not None]
    spatial = simulate_spatial(engines, leaves, arrival, door, program_index=chosen) if engines else None
    if spatial is not None:
        start, finish, verdict = spatial.start_cycle, spatial.delivered_cycle, spatial.verdict
    elif design.exit_overlap == "interleave":
        layers = tuple((np.flatnonzero(evaluated) + 1).tolist())
        start, finish, verdict = run_slots(
            programs, leaves, arrival, design.n_interleaved, layers, program_index=chosen, admission=door
        )
    else:
        service = np.stack([table.latency_cycles for table in tables])[chosen, leaves - 1]
        start, verdict = np.empty_like(leaves), np.empty_like(leaves)
        serve(door, empty_queue(leaves.size), arrival, service, start, verdict)
        finish = start + service
    served = verdict == SERVED
    start, finish = np.where(served, start, NONE), np.where(served, finish, NONE)
    arrival = start if arrivals is None else arrival
    n_layers = programs[0].n_layers
    counts = np.bincount((chosen * n_layers + leaves - 1)[served], minlength=len(programs) * n_layers)
    counts = counts.reshape(len(programs), n_layers)

    lone = [_wasted(table, n) for table, n in zip(tables, counts, strict=True)]
    wasted = lone if spatial is None else spatial.squashed

    def total(name: str) -> Integers:
        """Sum a column of the tables over programs and exits, once per served sentence."""
        return np.asarray(np.tensordot(counts, np.stack([getattr(table, name) for table in tables]), 2), np.int64)

    return StreamResult(
        exit_layer=leaves,
        program_index=chosen,
        arrival_cycle=arrival,
        start_cycle=start,
        finish_cycle=finish,
        latency_cycles=np.where(served, finish - arrival, NONE),
        verdict=verdict,
        deadline_cycles=admission.deadline_cycles,
        served_by_exit=counts,
        n_exits_by_layer=tables[0].n_exits,
        n_engines=design.n_engines,
        busy_by_exit=np.stack([table.busy_cycles for table in tables]),
        busy_cycles=total("busy_cycles"),
        wasted_cycles=np.sum([work.cycles for work in wasted], axis=0),
        wasted_op_cycles=np.stack([work.op_cycles for work in wasted]),
        total_cycles=int(finish.max()),
        n_layers=int(leaves[served].sum()),
        n_exits=int(total("n_exits")),
        macs=int(total("macs")),
        wasted_macs=sum(work.macs for work in wasted),
        off_chip_bytes=int(total("off_chip_bytes")),
        wasted_bytes=sum(work.n_bytes for work in wasted),
        spatial=spatial,
    )


def _wasted(table: ExitTable, n_served: Integers) -> SquashedWork:
    """Squashed work of `n_served` sentences by exit, each alone on the design."""
    return SquashedWork(
        cycles=n_served @ table.wasted_cycles,
        op_cycles=n_served @ table.wasted_op_cycles,
        macs=int(n_served @ table.wasted_macs),
        n_bytes=int(n_served @ table.wasted_bytes),
    )


def _checked_exits(exit_layer: npt.ArrayLike, evaluated: Flags) -> Integers:
    leaves = np.asarray(exit_layer, dtype=np.int64)
    if leaves.ndim != 1 or leaves.size == 0:
        raise ConfigError("exit_layer", leaves.shape, "must be a list of at least one layer", "Give sentences")
    legal = np.flatnonzero(evaluated) + 1
    wrong = leaves[~np.isin(leaves, legal)]
    if wrong.size:
        raise ConfigError(
            "exit_layer", int(wrong[0]), f"must be one of the exits {legal.tolist()}", "Correct the exit layers"
        )
    return leaves


def stream_work(programs: Program | Sequence[Program], result: StreamResult) -> tuple[EnergyCounts, EnergyCounts]:
    """Return the useful and the squashed work of a stream of these programs, ready for an energy model.

    Squashed work of an op counts in proportion to the cycles that were spent on it, rounded down.
    """
    programs = [programs] if isinstance(programs, Program) else list(programs)
    useful = EnergyCounts(off_chip_bytes=result.off_chip_bytes)
    wasted = EnergyCounts(off_chip_bytes=result.wasted_bytes)
    n_layers = programs[0].n_layers
    per_exit = result.served_by_exit
    layers = per_exit @ np.arange(1, n_layers + 1)
    exits = per_exit @ result.n_exits_by_layer
    for index, program in enumerate(programs):
        workload, design = program.workload, program.accelerator
        quant = workload.quant
        useful += group_work(workload.prologue, quant, design) * int(per_exit[index].sum())
        useful += group_work(workload.layer, quant, design) * int(layers[index])
        useful += group_work(workload.exit, quant, design) * int(exits[index])
        ops = (*workload.layer, *workload.exit)
        op_cycles = np.concatenate([program.layer.op_cycles(), program.exit.op_cycles()])
        for op, spent, whole in zip(ops, result.wasted_op_cycles[index].tolist(), op_cycles.tolist(), strict=True):
            wasted += _fraction(op_work(op, quant, design), spent, max(1, whole))
    return useful, wasted


def _fraction(work: EnergyCounts, part: int, whole: int) -> EnergyCounts:
    return EnergyCounts(
        macs=tuple(replace(mac, n=mac.n * part // whole) for mac in work.macs),
        vector_elements=work.vector_elements * part // whole,
        on_chip_bytes=work.on_chip_bytes * part // whole,
    )


def run_slots(
    programs: Program | Sequence[Program],
    exit_layer: Integers,
    arrival: Integers,
    n_slots: int,
    evaluated_layers: tuple[int, ...] | None = None,
    *,
    program_index: Integers | None = None,
    admission: Admission = Admission(),  # noqa: B008 - an immutable tuple
) -> tuple[Integers, Integers, Integers]:
    """Simulate every layer of every sentence in `n_slots` slots, and return start and finish cycles and verdicts.

    One slot is a stalling design, so this is also the long way to the batch-1 results.
    """
    programs = [programs] if isinstance(programs, Program) else list(programs)
    start, finish, verdict = (np.empty_like(exit_layer) for _ in range(3))
    run_interleaved(
        _flat(programs),
        _evaluated(programs[0], evaluated_layers),
        np.zeros_like(exit_layer) if program_index is None else program_index,
        exit_layer,
        arrival,
        admission,
        empty_queue(exit_layer.size),
        n_slots,
        int(Unit.ARRAY),
        np.zeros(len(Unit), np.int64),
        start,
        finish,
        verdict,
    )
    return start, finish, verdict


def _flat(programs: Sequence[Program]) -> Flat:
    return flatten([group for program in programs for group in (program.prologue, program.layer, program.exit)])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamLevels:
    """A stream over time, as means over bins: `edge_cycle` [n_bins + 1], sentences that wait and that are in service.

    `utilisation_fraction` [n_bins, n_units]: useful work, each sentence's spread evenly over its time in service.
    """

    edge_cycle: Integers
    waiting: Floats
    in_service: Floats
    utilisation_fraction: Floats


def stream_levels(result: StreamResult, n_bins: int = 100) -> StreamLevels:
    """Return what a stream looked like over time, in at most `n_bins` bins of equal length."""
    last = max(result.total_cycles, int(queue_spans(result)[1].max()))
    edges = np.unique(np.linspace(0, last, n_bins + 1).astype(np.int64))
    served = result.served
    start, finish = result.start_cycle[served], result.finish_cycle[served]
    busy = result.busy_by_exit[result.program_index[served], result.exit_layer[served] - 1]
    length = result.n_engines * np.maximum(1, finish - start)
    return StreamLevels(
        edge_cycle=edges,
        waiting=np.diff(count_open(*queue_spans(result)).integral(edges)) / np.diff(edges),
        in_service=np.diff(count_open(start, finish).integral(edges)) / np.diff(edges),
        utilisation_fraction=np.stack(
            [_mean_rate(start, finish, busy[:, unit] / length, edges) for unit in range(busy.shape[1])], axis=1
        ),
    )


def _mean_rate(begin: Integers, end: Integers, rate: Floats, edges: Integers) -> Floats:
    """Mean over each bin [n_bins] of the summed `rate` [n] of all that are between their `begin` and `end` [n]."""
    widths = np.diff(edges)

    def passed(cycle: Integers) -> Floats:
        """Rate x time since `cycle`, in each bin."""
        bins = np.minimum(np.searchsorted(edges, cycle, side="right") - 1, widths.size - 1)
        within = np.bincount(bins, rate * (edges[bins + 1] - cycle), widths.size)
        before = np.cumsum(np.bincount(bins, rate, widths.size))
        return np.asarray(within + np.concatenate([[0.0], before[:-1]]) * widths)

    return np.asarray(np.maximum(0.0, passed(begin) - passed(end)) / widths)


def largest_queue(result: StreamResult) -> int:
    """Return the largest number of sentences that waited at a time."""
    return int(count_open(*queue_spans(result)).level.max(initial=0))


def queue_spans(result: StreamResult) -> tuple[Integers, Integers]:
    """Return the cycles in which sentences entered and left the queue, of those that did not find it full."""
    entered = result.verdict != FULL
    arrival, start = result.arrival_cycle[entered], result.start_cycle[entered]
    late = result.verdict[entered] == LATE
    deadline = 0 if result.deadline_cycles == UNLIMITED else result.deadline_cycles
    return arrival, np.maximum.accumulate(np.where(late, arrival + deadline, start))


def _evaluated(program: Program, evaluated_layers: tuple[int, ...] | None) -> Flags:
    n_layers = program.n_layers
    chosen = range(1, n_layers + 1) if evaluated_layers is None else evaluated_layers
    if not set(chosen) <= set(range(1, n_layers + 1)) or n_layers not in chosen:
        raise ConfigError(
            "evaluated_layers",
            evaluated_layers,
            f"must lie in 1..{n_layers} and contain {n_layers}",
            "Correct the list",
        )
    evaluated = np.zeros(n_layers, np.bool_)
    evaluated[np.array(list(chosen)) - 1] = True
    return evaluated
