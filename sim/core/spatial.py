"""Streams through a spatial pipeline of engines: a FIFO of hidden states between two of them, exits in between.

Sentence i, engine g, offsets in an engine from sim.core.spatial_costs; `places` is the design's fifo_sentences:

    entered[i,g] = max(arrival[i] if g = 0 else handed[i,g],  free[g])
    ready[i,g]   = max(entered[i,g] + hand_over[g],  entered[i,g-1] + service[g-1])
    handed[i,g+1] = max(ready[i,g],  cycle in which a place of FIFO g+1 is free)
    free[g]      = max(entered[i,g] + service[g],  handed[i,g+1])      for the next sentence
    finish[i]    = entered[i,e] + decision[exit layer]   = free[e]     in the engine e of its exit layer

Blocking after service: an engine that is done keeps its sentence until the FIFO behind has a place. A place is
taken from the hand-over until the next engine begins, which may be the same cycle, and can be taken again in the
cycle in which it is given up. A sentence that exits leaves at once; engines behind never see it, unless the design
speculates: then the exit at the end of an engine's share falls after the hand-over, and

    in the FIFO         the sentence is dropped from its place
    in the next engine  what has begun is cut off, counted as squashed, and the engine is free

both in the cycle of the decision, which goes before everything else in that cycle. Engine e takes no other sentence
before that decision, so what was squashed has never kept a later sentence waiting: speculation is never slower than
stalling, for no sentence of any stream, and a deeper FIFO is never slower either. (Streams that drop sentences may
admit others then.)

Not modelled: what sim.core.spatial_costs does not; bursts of one engine in another's idle time (every engine has an
equal share of the channel); the port through which results leave (any number per cycle).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np

from hexit.quant.arrays import Flags, Integers
from hexit.sim.core.levels import Levels, count_open
from hexit.sim.core.program import NONE
from hexit.sim.core.queueing import SERVED, Admission, Queue, empty_queue, enter
from hexit.sim.core.spatial_costs import SpatialCosts
from hexit.sim.core.squash import SquashedWork, squashed_layers

NEVER = int(np.iinfo(np.int64).max)


class Offsets(NamedTuple):
    """The cycles of all programs, [programs, engines] or [programs, layers]; engines and layers count from 0."""

    hand_over: Integers
    service: Integers
    decision: Integers
    engine: Integers
    end_layer: Integers


class Visits(NamedTuple):
    """By sentence and engine: entry [n, engines] and hand-over to the next one [n, engines - 1]; NONE where never."""

    entered: Integers
    handed: Integers


class Fifos(NamedTuple):
    """The FIFO in front of each engine as a ring: when each place will be given up, [engines, places]."""

    given_up: Integers
    oldest: Integers
    taken: Integers


class EngineCycles(NamedTuple):
    """By engine: cycles of useful service, waiting for a place behind, of squashed service; and FIFO high marks."""

    busy: Integers
    blocked: Integers
    squashed: Integers
    fifo_high: Integers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpatialResult:
    """A stream as it ran through the engines; cycles by sentence are NONE where it was dropped or never came.

    `entered_cycle` [n, engines] includes entries that were squashed, `handed_cycle` [n, engines - 1] hidden states
    that were dropped from the FIFO. By engine: `busy_cycles` in service of sentences that went on or left,
    `blocked_cycles` done but without a place behind (or, where exits are left out, before the decision of the engine
    in front), `squashed_cycles` in service of sentences that left meanwhile; with `starved_cycles` they are the whole
    time. `squashed` is all wasted work, by program. `total_cycles` ends
    with the last decision.
    """

    costs: tuple[SpatialCosts, ...]
    program_index: Integers
    exit_layer: Integers
    verdict: Integers
    entered_cycle: Integers
    handed_cycle: Integers
    finish_cycle: Integers
    delivered_cycle: Integers
    busy_cycles: Integers
    blocked_cycles: Integers
    squashed_cycles: Integers
    fifo_high_water: Integers
    squashed: tuple[SquashedWork, ...]
    total_cycles: int

    @property
    def start_cycle(self) -> Integers:
        """Entry into the first engine; of a dropped sentence the cycle in which it would have entered."""
        return self.entered_cycle[:, 0]

    @property
    def served(self) -> Flags:
        """Which sentences were admitted."""
        return np.asarray(self.verdict == SERVED)

    @property
    def n_engines(self) -> int:
        """Engines of the pipeline."""
        return int(self.busy_cycles.size)

    @property
    def starved_cycles(self) -> Integers:
        """Cycles in which each engine had no sentence."""
        return self.total_cycles - self.busy_cycles - self.blocked_cycles - self.squashed_cycles

    def fifo_level(self, engine: int) -> Levels:
        """Return how many hidden states wait in front of an engine (from 1) over time."""
        handed, entered = self.handed_cycle[:, engine - 1], self.entered_cycle[:, engine]
        came = handed != NONE
        return count_open(handed[came], np.where(entered == NONE, self.finish_cycle, entered)[came])

    def reorder_level(self) -> Levels:
        """Return how many results would wait over time for those of earlier sentences, if they left in order."""
        finish = self.finish_cycle[self.served]
        return count_open(finish, np.maximum.accumulate(finish))

    def undecided_level(self) -> Levels:
        """Return how many hidden states at the end of a share, the last one left out, wait for their decision."""
        begins, ends = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        hidden, service = (
            np.stack([getattr(engines, name) for engines in self.costs])[self.program_index]
            for name in ("hidden_cycles", "service_cycles")
        )
        for engine, end in enumerate(self.costs[0].end_layer[:-1].tolist()):
            there = self.served & (self.exit_layer >= end)
            begins.append((self.entered_cycle[:, engine] + hidden[:, engine])[there])
            ends.append((self.entered_cycle[:, engine] + service[:, engine])[there])
        return count_open(np.concatenate(begins), np.concatenate(ends))


def simulate_spatial(
    costs: Sequence[SpatialCosts],
    exit_layer: Integers,
    arrival: Integers,
    admission: Admission = Admission(),  # noqa: B008  # immutable
    *,
    program_index: Integers | None = None,
    fifo_sentences: int | None = None,
) -> SpatialResult:
    """Run sentences that exit after the given layers (from 1) through the engines of a design.

    `costs`: one per program of the stream (sentences of different lengths), `program_index` says whose each sentence
    is, the first one's without. `arrival` must not fall; a closed loop has zeros. `fifo_sentences` goes before the
    design's. Results leave in the design's `result_order`.
    """
    n, n_engines = exit_layer.size, costs[0].n_engines
    design = costs[0].program.accelerator
    index = np.zeros(n, np.int64) if program_index is None else program_index
    places = min(design.fifo_sentences if fifo_sentences is None else fifo_sentences, max(n, 1))
    visits = Visits(np.full((n, n_engines), NONE, np.int64), np.full((n, n_engines - 1), NONE, np.int64))
    cycles = EngineCycles(*(np.zeros(size, np.int64) for size in (n_engines, n_engines, n_engines, n_engines - 1)))
    finish, verdict = np.full(n, NONE, np.int64), np.empty(n, np.int64)
    run_engines(
        offsets(costs), index, exit_layer, arrival, places, admission, empty_queue(n), visits, cycles, finish, verdict
    )
    served = verdict == SERVED
    delivered = finish
    if design.result_order == "in_order":
        delivered = np.where(served, np.maximum.accumulate(finish), NONE)
    return SpatialResult(
        costs=tuple(costs),
        program_index=index,
        exit_layer=exit_layer,
        verdict=verdict,
        entered_cycle=visits.entered,
        handed_cycle=visits.handed,
        finish_cycle=finish,
        delivered_cycle=delivered,
        busy_cycles=cycles.busy,
        blocked_cycles=cycles.blocked,
        squashed_cycles=cycles.squashed,
        fifo_high_water=cycles.fifo_high,
        squashed=tuple(
            _squashed(engines, served & (index == program), exit_layer, visits.entered, finish)
            for program, engines in enumerate(costs)
        ),
        total_cycles=int(finish.max(initial=0)),
    )


def offsets(costs: Sequence[SpatialCosts]) -> Offsets:
    """Return the cycles of all programs as the compiled function takes them."""
    hand_over, service, decision = (
        np.stack([getattr(engines, f"{name}_cycle{suffix}") for engines in costs])
        for name, suffix in (("hand_over", "s"), ("service", "s"), ("decision", ""))
    )
    return Offsets(hand_over, service, decision, costs[0].engine, costs[0].end_layer)


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def give_up_places(fifos: Fifos, engine: int, cycle: int) -> None:
    """Free the places in front of an engine that have been given up by a cycle; later calls have later cycles."""
    n_places = fifos.given_up.shape[1]
    while fifos.taken[engine] > 0 and fifos.given_up[engine, fifos.oldest[engine]] <= cycle:
        fifos.oldest[engine] = (fifos.oldest[engine] + 1) % n_places
        fifos.taken[engine] -= 1


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def take_place(fifos: Fifos, engine: int, until: int) -> None:
    """Take a free place in front of an engine until a cycle."""
    n_places = fifos.given_up.shape[1]
    fifos.given_up[engine, (fifos.oldest[engine] + fifos.taken[engine]) % n_places] = until
    fifos.taken[engine] += 1


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def hand_on(fifos: Fifos, engine: int, ready: int, leaves: int) -> int:
    """Return the cycle from `ready` on in which there is a place in front of an engine, NONE if `leaves` is first."""
    if ready >= leaves:
        return NONE
    give_up_places(fifos, engine, ready)
    if fifos.taken[engine] == fifos.given_up.shape[1]:
        ready = fifos.given_up[engine, fifos.oldest[engine]]
        if ready >= leaves:
            return NONE
        give_up_places(fifos, engine, ready)
    return ready


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def run_engines(
    offset: Offsets,
    program: Integers,
    exit_layer: Integers,
    arrival: Integers,
    n_places: int,
    admission: Admission,
    queue: Queue,
    visits: Visits,
    cycles: EngineCycles,
    finish: Integers,
    verdict: Integers,
) -> None:
    """Fill `visits`, `cycles`, `finish` and `verdict`, which come as NONE and 0, sentence by sentence.

    Sentences that are squashed take no place here: they have gone before anybody else comes.
    """
    n_engines = visits.entered.shape[1]
    free = np.zeros(n_engines, np.int64)
    fifos = Fifos(
        np.empty((n_engines, n_places), np.int64), np.zeros(n_engines, np.int64), np.zeros(n_engines, np.int64)
    )
    for i in range(exit_layer.size):
        hand_over, service = offset.hand_over[program[i]], offset.service[program[i]]
        entry = max(arrival[i], free[0])
        visits.entered[i, 0] = entry
        verdict[i] = enter(admission, queue, arrival[i], entry)
        if verdict[i] != SERVED:
            continue
        last = offset.engine[exit_layer[i] - 1]
        leaves = NEVER
        decided = 0  # the last decision of the engine in front
        for engine in range(n_engines):
            behind, done = engine + 1, entry + service[engine]
            if engine == last:
                leaves = done = finish[i] = entry + offset.decision[program[i], exit_layer[i] - 1]
            cycles.busy[engine] += done - entry
            free[engine] = done
            if behind == n_engines or (engine == last and exit_layer[i] != offset.end_layer[engine]):
                break
            handed = hand_on(fifos, behind, max(entry + hand_over[engine], decided), leaves)
            if handed == NONE:
                break
            visits.handed[i, engine] = handed
            entry = max(handed, free[behind])
            if entry > handed:
                cycles.fifo_high[engine] = max(cycles.fifo_high[engine], fifos.taken[behind] + 1)
            if entry < leaves:
                visits.entered[i, behind] = entry
            if engine == last:
                cycles.squashed[behind] += max(leaves - entry, 0)  # and nobody comes there before `leaves`
                break
            if entry > handed:
                take_place(fifos, behind, entry)
            free[engine] = max(done, handed)
            cycles.blocked[engine] += free[engine] - done
            decided = done


def _squashed(
    costs: SpatialCosts, mine: Flags, exit_layer: Integers, entered: Integers, finish: Integers
) -> SquashedWork:
    """Add up what was cut off of the sentences `mine`: in the engine of the exit, and in the engine behind."""
    engine_of = costs.engine
    total = squashed_layers(costs.runs[0], 0, np.zeros(0, np.int64))
    n_left = np.bincount(exit_layer[mine] - 1, minlength=engine_of.size)
    for layer in np.flatnonzero(n_left).tolist():
        engine = int(engine_of[layer])
        first = layer + 1 - int(np.searchsorted(engine_of, engine))
        total += squashed_layers(
            costs.runs[engine], first, costs.decision_cycle[layer : layer + 1], n_left[layer : layer + 1]
        )
    for engine in range(1, costs.n_engines):
        squashed = mine & (engine_of[exit_layer - 1] < engine) & (entered[:, engine] != NONE)
        cut, times = np.unique((finish - entered[:, engine])[squashed], return_counts=True)
        total += squashed_layers(costs.runs[engine], 0, cut, times)
    return total
