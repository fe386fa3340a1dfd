"""Sentences that leave early, one after the other or interleaved: latency, throughput and what was wasted.

Batch 1 (`stall`, `speculate`): one sentence in flight. When its decision falls, every unit is idle again (a
decision waits for its whole layer; speculative work is squashed), so a sentence that exits after layer k always
takes table[k] cycles, read off one simulation of all layers, and the queue is Lindley's recurrence

    start[i] = max(arrival[i], finish[i-1])        finish[i] = start[i] + table[exit_layer[i]]

over the sentences that are admitted (`sim.core.queueing`). Sentences of different lengths have a program and a table
each.

Batch n (`interleave`): n sentences resident, as `sim.core.interleaved.run_interleaved` says, each of which streams the
weights of its layer for itself. That is what ``--batch n`` means. With `share_weights` they go through streamed weights
together, as `sim.core.shared_rounds` says; bytes and cycles of a transfer then count once for all of its sentences.

    stall       the next layer, its weight transfers included, waits for the decision
    speculate   the next layer starts as soon as its input is there; on an exit whatever later layers have begun
                is cut off in the cycle of the decision and counted as wasted, and the units are free
    interleave  a layer waits for its own sentence's decision, meanwhile others have the units

A spatial pipeline of engines (`mapping = "spatial"`): sim.core.spatial says when sentences are where; the tables of a
lone sentence say what each keeps busy.

Latency counts from the arrival to the decision, waiting included. Without arrivals the loop is closed: a
sentence arrives in the cycle in which it can start, and nobody is dropped. Sentences start in order of arrival; all
times are cycles. Not modelled: the host's transfers, the one-off load of resident weights
(`Program.preload_cycles`, which a report tells apart), fetching weights ahead of a decision while stalling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hexit.hw_model.energy import EnergyCounts
from hexit.hw_model.work import group_work
from hexit.quant.arrays import Flags, Floats, Integers
from hexit.quant.errors import ConfigError
from hexit.sim.core.interleaved import run_interleaved
from hexit.sim.core.lone_sentence import ExitTable, LoneSentence
from hexit.sim.core.program import NONE, Program, Unit
from hexit.sim.core.queueing import FULL, LATE, SERVED, Admission, empty_queue, serve
from hexit.sim.core.recurrence import flatten
from hexit.sim.core.sections import transfer_totals
from hexit.sim.core.sentence import evaluated_flags
from hexit.sim.core.shared_stream import share_rounds
from hexit.sim.core.spatial import SpatialResult, simulate_spatial
from hexit.sim.core.squash import SquashedWork


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamResult:
    """A stream as it ran: arrays by sentence, by program (one per length) and by unit, totals.

    `verdict`: which sentences were served (`sim.core.queueing`); start, finish and latency of a dropped sentence are
    NONE, and it is in no total. `served_by_exit` [program, layer - 1] counts the others, `n_exits_by_layer` [layer - 1]
    are the exits that one of them computes, `busy_by_exit` [program, layer - 1, unit] is what one of them keeps busy
    that shares no transfer. `total_cycles` runs from cycle 0 to the last decision. `busy_cycles`, `macs`,
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Stream:
    """What comes: for each sentence its exit layer, the index of its program and its cycle of arrival."""

    exit_layer: Integers
    program_index: Integers
    arrival: Integers
    admission: Admission


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Service:
    """What each sentence of a stream gets: start, finish and verdict.

    `n_passes` [prologue, layer, exit]: how often sentences that share weights ran these together; None if none share.
    """

    start: Integers
    finish: Integers
    verdict: Integers
    n_passes: Integers | None = None


def simulate_stream(
    sentences: Sequence[LoneSentence],
    exit_layer: npt.ArrayLike,
    arrivals: npt.ArrayLike | None = None,
    *,
    program_index: npt.ArrayLike | None = None,
    admission: Admission = Admission(),  # noqa: B008 - an immutable tuple
) -> StreamResult:
    """Run sentences that exit after the given layers (from 1), in order, under the design's exit overlap.

    `sentences`: the lone sentence of each program of the stream (one design, a length each), which says what exits are
    evaluated. `arrivals`: cycle of each sentence's arrival, not falling; closed loop without. `program_index`: which of
    the programs a sentence runs, the first without. Raises ConfigError for exits or programs that do not exist and
    arrivals out of order.
    """
    tables = [sentence.table for sentence in sentences]
    stream = _checked(sentences, exit_layer, arrivals, program_index, admission)
    service, spatial = _served(sentences, stream)
    served = service.verdict == SERVED
    start, finish = np.where(served, service.start, NONE), np.where(served, service.finish, NONE)
    arrival = start if arrivals is None else stream.arrival
    counts = _count_exits(stream, served, len(tables), tables[0].n_exits.size)
    wasted = _wasted(tables, counts) if spatial is None else spatial.squashed

    def total(name: str) -> Integers:
        """Sum a column of the tables over programs and exits, once per served sentence."""
        return np.asarray(np.tensordot(counts, np.stack([getattr(table, name) for table in tables]), 2), np.int64)

    n_layers, n_exits, n_bytes = int(stream.exit_layer[served].sum()), int(total("n_exits")), total("off_chip_bytes")
    busy_cycles = total("busy_cycles")
    if service.n_passes is not None:  # counted so far as if each had loaded its weights for itself
        n_spared = np.array([served.sum(), n_layers, n_exits]) - service.n_passes
        spared_cycles, spared_bytes = transfer_totals(sentences[0].run.program, n_spared)
        busy_cycles[Unit.DMA], n_bytes = busy_cycles[Unit.DMA] - spared_cycles, n_bytes - spared_bytes
    return StreamResult(
        exit_layer=stream.exit_layer,
        program_index=stream.program_index,
        arrival_cycle=arrival,
        start_cycle=start,
        finish_cycle=finish,
        latency_cycles=np.where(served, finish - arrival, NONE),
        verdict=service.verdict,
        deadline_cycles=admission.deadline_cycles,
        served_by_exit=counts,
        n_exits_by_layer=tables[0].n_exits,
        n_engines=sentences[0].run.program.accelerator.n_engines,
        busy_by_exit=np.stack([table.busy_cycles for table in tables]),
        busy_cycles=busy_cycles,
        wasted_cycles=np.sum([work.cycles for work in wasted], axis=0),
        wasted_op_cycles=np.stack([work.op_cycles for work in wasted]),
        total_cycles=int(finish.max()),
        n_layers=n_layers,
        n_exits=n_exits,
        macs=int(total("macs")),
        wasted_macs=sum(work.macs for work in wasted),
        off_chip_bytes=int(n_bytes),
        wasted_bytes=sum(work.n_bytes for work in wasted),
        spatial=spatial,
    )


def _checked(
    sentences: Sequence[LoneSentence],
    exit_layer: npt.ArrayLike,
    arrivals: npt.ArrayLike | None,
    program_index: npt.ArrayLike | None,
    admission: Admission,
) -> _Stream:
    """Raise ConfigError for a stream that these programs cannot run; nobody is dropped in a closed loop."""
    exits = np.asarray(exit_layer, dtype=np.int64)
    if exits.ndim != 1 or exits.size == 0:
        raise ConfigError("exit_layer", exits.shape, "must be a list of at least one layer", "Give sentences")
    legal = list(sentences[0].run.evaluated_layers)
    wrong = exits[~np.isin(exits, legal)]
    if wrong.size:
        raise ConfigError("exit_layer", int(wrong[0]), f"must be one of the exits {legal}", "Correct the exit layers")
    chosen = np.zeros_like(exits) if program_index is None else np.asarray(program_index, dtype=np.int64)
    if chosen.shape != exits.shape or (chosen < 0).any() or (chosen >= len(sentences)).any():
        requirement = f"must be {exits.size} of 0..{len(sentences) - 1}"
        raise ConfigError("program_index", chosen.shape, requirement, "Correct the programs")
    arrival = np.zeros_like(exits) if arrivals is None else np.asarray(arrivals, dtype=np.int64)
    if arrival.shape != exits.shape or (arrival < 0).any() or (np.diff(arrival) < 0).any():
        requirement = f"must be {exits.size} cycles, not negative, not falling"
        raise ConfigError("arrivals", arrival.shape, requirement, "Sort the arrivals")
    return _Stream(
        exit_layer=exits,
        program_index=chosen,
        arrival=arrival,
        admission=Admission() if arrivals is None else admission,
    )


def _served(sentences: Sequence[LoneSentence], stream: _Stream) -> tuple[_Service, SpatialResult | None]:
    """Serve a stream as the design's mapping and exit overlap say; engine by engine where there are several."""
    run = sentences[0].run
    design = run.program.accelerator
    exits, chosen, arrival = stream.exit_layer, stream.program_index, stream.arrival
    engines = [sentence.engines for sentence in sentences if sentence.engines is not None]
    if engines:
        spatial = simulate_spatial(engines, exits, arrival, stream.admission, program_index=chosen)
        service = _Service(start=spatial.start_cycle, finish=spatial.delivered_cycle, verdict=spatial.verdict)
        return service, spatial
    if design.exit_overlap == "interleave":
        return _interleaved(sentences, stream), None
    latency = np.stack([sentence.table.latency_cycles for sentence in sentences])[chosen, exits - 1]
    start, verdict = np.empty_like(exits), np.empty_like(exits)
    serve(stream.admission, empty_queue(exits.size), arrival, latency, start, verdict)
    return _Service(start=start, finish=start + latency, verdict=verdict), None


def _interleaved(sentences: Sequence[LoneSentence], stream: _Stream) -> _Service:
    """Serve a stream by several resident sentences, which share streamed weights if the design says so."""
    run = sentences[0].run
    design = run.program.accelerator
    programs = [sentence.run.program for sentence in sentences]
    slots = stream.exit_layer, stream.arrival, design.n_interleaved, run.evaluated_layers
    index, admission, n_passes = stream.program_index, stream.admission, None
    if design.share_weights:
        start, finish, verdict, n_passes = share_rounds(programs, *slots, program_index=index, admission=admission)
    else:
        start, finish, verdict = run_slots(programs, *slots, program_index=index, admission=admission)
    return _Service(start=start, finish=finish, verdict=verdict, n_passes=n_passes)


def _count_exits(stream: _Stream, served: Flags, n_programs: int, n_layers: int) -> Integers:
    """Served sentences by program and exit layer."""
    place = stream.program_index * n_layers + stream.exit_layer - 1
    return np.bincount(place[served], minlength=n_programs * n_layers).reshape(n_programs, n_layers)


def _wasted(tables: Sequence[ExitTable], counts: Integers) -> tuple[SquashedWork, ...]:
    """Squashed work by program of as many sentences by exit, each alone on the design."""
    return tuple(
        SquashedWork(
            cycles=n_served @ table.wasted_cycles,
            op_cycles=n_served @ table.wasted_op_cycles,
            macs=int(n_served @ table.wasted_macs),
            n_bytes=int(n_served @ table.wasted_bytes),
        )
        for table, n_served in zip(tables, counts, strict=True)
    )


def run_slots(
    programs: Sequence[Program],
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
    start, finish, verdict = (np.empty_like(exit_layer) for _ in range(3))
    run_interleaved(
        flatten([group for program in programs for group in program.groups]),
        evaluated_flags(programs[0], evaluated_layers),
        np.zeros_like(exit_layer) if program_index is None else program_index,
        exit_layer,
        arrival,
        admission,
        empty_queue(exit_layer.size),
        n_slots,
        programs[0].turn_unit,
        np.zeros(programs[0].n_units, np.int64),
        start,
        finish,
        verdict,
    )
    return start, finish, verdict


def stream_work(programs: Sequence[Program], result: StreamResult) -> tuple[EnergyCounts, EnergyCounts]:
    """Return the useful and the squashed work of a stream of these programs, ready for an energy model.

    Squashed work of an op counts in proportion to the cycles that were spent on it, rounded down.
    """
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
        op_cycles = np.concatenate([program.layer.op_cycles(), program.exit.op_cycles()])
        for ops, spent, whole in zip(
            program.ops_by_name, result.wasted_op_cycles[index].tolist(), op_cycles.tolist(), strict=True
        ):
            wasted += _fraction(group_work(ops, quant, design), spent, max(1, whole))
    return useful, wasted


def _fraction(work: EnergyCounts, part: int, whole: int) -> EnergyCounts:
    return EnergyCounts(
        macs=tuple(replace(mac, n=mac.n * part // whole) for mac in work.macs),
        vector_elements=work.vector_elements * part // whole,
        on_chip_bytes=work.on_chip_bytes * part // whole,
    )
