"""Streams of sentences that share streamed weights: continuous batching across depth.

Round after round (sim.core.shared_rounds) all resident sentences advance by one layer. A slot whose sentence has left
takes the next sentence of the stream in the next round, whatever layers the others are at.

A round has max and plus alone, so that one in a situation met before is not run again; sim.core.interleaved says why
that is exact. No task of it starts before

    base = max(min over sentences of gate, min over first units of free)

where the first units are those of the tasks that wait for no other task of the round: transfers, and the array where
weights are on chip.
Not modelled: rounds that wait until they are full, sentences that join a round under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np

from hexit.quant.arrays import Flags, Integers
from hexit.sim.core.interleaved import LONG_AGO, UNTOUCHED, admit, hands_on_in_place
from hexit.sim.core.program import GATE, NONE, Program, Unit
from hexit.sim.core.queueing import UNLIMITED, Admission, Queue, empty_queue
from hexit.sim.core.recurrence import EMPTY, EXIT, LAYER, N_GROUPS, Flat, flatten
from hexit.sim.core.sections import Sections, sections_of
from hexit.sim.core.sentence import evaluated_flags
from hexit.sim.core.shared_rounds import Cast, Depths, Engine, Slots, run_round

MEMORY_VALUES = 1 << 22  # of remembered rounds: 32 MiB of situations, and as much of what came of them
MOST_REMEMBERED = 1 << 14  # rounds


class Memory(NamedTuple):
    """Remembered rounds by place: how long the situation is (0: none), the situation, what it led to, its passes.

    `before` and `after` [places, values] are relative to the base of their round. `begins` [unit] are the first units,
    `in_place` [program] says where `sim.core.interleaved.hands_on_in_place` holds; other rounds are not remembered.
    """

    size: Integers
    before: Integers
    after: Integers
    n_passes: Integers
    begins: Flags
    in_place: Flags


def depths_of(program: Program, evaluated_layers: tuple[int, ...] | None) -> Depths:
    """Return what the layers of a network share, and which exits are evaluated."""
    shape = program.workload.shape
    layers = np.arange(shape.n_layers)
    return Depths(
        weights=np.array([shape.layer_group(layer + 1) for layer in layers.tolist()], np.int64),
        head=np.zeros_like(layers) if shape.shared_head else layers,
        evaluated=evaluated_flags(program, evaluated_layers),
    )


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def survey(flat: Flat, sections: Sections, memory: Memory) -> None:
    """Fill `begins` and `in_place`.

    A task that reads ports alone waits for the gate. In an exit it reads what the layer of the same round has made,
    unless it is a transfer.
    """
    for group in range(flat.n_ports.size):
        memory.in_place[group // N_GROUPS] &= hands_on_in_place(flat, group)
        if group % N_GROUPS == EXIT:
            for section in range(sections.first_section[group], sections.first_section[group + 1]):
                if sections.transfer[section] != NONE:
                    memory.begins[flat.unit[flat.first_task[group] + sections.transfer[section]]] = True
            continue
        for task in range(flat.first_task[group], flat.first_task[group + 1]):
            for index in range(flat.first_dependency[task], flat.first_dependency[task + 1]):
                if flat.dependency[index] == GATE:
                    memory.begins[flat.unit[task]] = True


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def gather(flat: Flat, cast: Cast, n: int, slots: Slots, engine: Engine, values: Integers) -> int:
    """Fill `values` with what a round reads and writes: ports of its sentences, buffers, units; return how many."""
    size = 0
    for one in range(n):
        for port in range(1 + flat.n_blocks[cast.first_group[one]]):
            values[size] = slots.ports[cast.slot[one], port]
            size += 1
    for buffer in range(engine.releases.size):
        values[size] = engine.releases[buffer]
        size += 1
    for unit in range(engine.free.size):
        values[size] = engine.free[unit]
        size += 1
    return size


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def scatter(flat: Flat, cast: Cast, n: int, slots: Slots, engine: Engine, values: Integers) -> None:
    """Put `values` back to where `gather` took them from."""
    size = 0
    for one in range(n):
        for port in range(1 + flat.n_blocks[cast.first_group[one]]):
            slots.ports[cast.slot[one], port] = values[size]
            size += 1
    for buffer in range(engine.releases.size):
        engine.releases[buffer] = values[size]
        size += 1
    for unit in range(engine.free.size):
        engine.free[unit] = values[size]
        size += 1


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def describe(
    cast: Cast,
    n: int,
    slots: Slots,
    engine: Engine,
    begins: Flags,
    values: Integers,
    n_values: int,
    situation: Integers,
) -> tuple[int, int]:
    """Fill the situation of a round, its `values` relative to its base and who takes part; return base and a hash."""
    base, earliest = UNLIMITED, UNLIMITED
    for unit in range(engine.free.size):
        if begins[unit]:
            base = min(base, engine.free[unit])
    for one in range(n):
        earliest = min(earliest, slots.ports[cast.slot[one], GATE])
    base, place = max(base, earliest), n
    for index in range(n_values):
        situation[index] = max(values[index] - base, LONG_AGO)
        place = 31 * place + situation[index]
    for one in range(n):
        who = (cast.first_group[one] << 32) + (cast.weights[one] << 18) + (cast.head[one] << 4)
        situation[n_values + one] = who + 2 * cast.enters[one] + cast.exits[one]
        place = 31 * place + (who >> 4) + situation[n_values + one]
    return base, place ^ (place >> 17)


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def is_known(memory: Memory, place: int, situation: Integers, size: int) -> bool:
    """Whether the round that is remembered in a place was in this situation."""
    same, index = memory.size[place] == size, 0
    while same and index < size:
        same = memory.before[place, index] == situation[index]
        index += 1
    return bool(same)


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def run_or_recall(
    flat: Flat,
    sections: Sections,
    cast: Cast,
    n: int,
    slots: Slots,
    engine: Engine,
    memory: Memory,
    values: Integers,
    situation: Integers,
) -> None:
    """Let every sentence of a round advance by one layer, as it did in the same situation before if there was one."""
    n_values = gather(flat, cast, n, slots, engine, values)
    base, code = describe(cast, n, slots, engine, memory.begins, values, n_values, situation)
    size, place = n_values + n, code & (memory.size.size - 1)
    if is_known(memory, place, situation, size):
        for index in range(n_values):
            if memory.after[place, index] != UNTOUCHED:
                values[index] = base + memory.after[place, index]
        scatter(flat, cast, n, slots, engine, values)
        for kind in range(N_GROUPS):
            engine.n_passes[kind] += memory.n_passes[place, kind]
        return
    for kind in range(N_GROUPS):
        memory.n_passes[place, kind] = -engine.n_passes[kind]
    run_round(flat, sections, cast, n, slots, engine)
    gather(flat, cast, n, slots, engine, values)
    memory.size[place] = size
    for one in range(n):
        if not memory.in_place[cast.first_group[one] // N_GROUPS]:
            memory.size[place] = 0
    for index in range(size):
        memory.before[place, index] = situation[index]
    for index in range(n_values):
        memory.after[place, index] = max(values[index] - base, UNTOUCHED)
    for kind in range(N_GROUPS):
        memory.n_passes[place, kind] += engine.n_passes[kind]


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def cast_slot(cast: Cast, one: int, slot: int, program: int, enters: bool, n_done: int, depths: Depths) -> None:
    """Let the sentence in a slot be number `one` of a round."""
    cast.slot[one], cast.first_group[one], cast.enters[one] = slot, N_GROUPS * program, enters
    cast.weights[one], cast.head[one] = depths.weights[n_done], depths.head[n_done]
    cast.exits[one] = depths.evaluated[n_done]


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def run_rounds(
    flat: Flat,
    sections: Sections,
    depths: Depths,
    program: Integers,
    exit_layer: Integers,
    arrival: Integers,
    admission: Admission,
    queue: Queue,
    array: int,
    slots: Slots,
    cast: Cast,
    engine: Engine,
    memory: Memory,
    start: Integers,
    finish: Integers,
    verdict: Integers,
) -> None:
    """Run a stream with as many resident sentences as `slots`, round after round.

    Arguments and admission as `run_interleaved` has them: an empty slot passes while the next sentence has not arrived
    by the time unit `array` is free, or, where no one is resident, by the start of the first one to come. `cast` has
    room for a round. Fills `start`, `finish` and `verdict` by sentence.
    """
    n_slots = slots.sentence.size
    values, situation = np.empty(memory.after.shape[1], np.int64), np.empty(memory.before.shape[1], np.int64)
    survey(flat, sections, memory)
    waiting, n_resident = 0, 0
    while waiting < exit_layer.size or n_resident > 0:
        until, n = engine.free[array] if n_resident else UNLIMITED, 0
        for slot in range(n_slots):
            enters = False
            if slots.sentence[slot] == EMPTY:
                waiting = admit(waiting, until, slots.decision[slot], arrival, admission, queue, start, verdict)
                enters = waiting < arrival.size and arrival[waiting] <= until
            if enters:
                slots.sentence[slot], slots.n_done[slot], slots.ports[slot, GATE] = waiting, 0, start[waiting]
                until = max(engine.free[array], start[waiting]) if n_resident == 0 else until
                n_resident += 1
                waiting += 1
            if slots.sentence[slot] != EMPTY:
                cast_slot(cast, n, slot, program[slots.sentence[slot]], enters, slots.n_done[slot], depths)
                n += 1
        if n:
            run_or_recall(flat, sections, cast, n, slots, engine, memory, values, situation)
        for one in range(n):
            slot = cast.slot[one]
            if cast.exits[one]:
                slots.decision[slot] = slots.ports[slot, GATE]
            slots.n_done[slot] += 1
            if slots.n_done[slot] == exit_layer[slots.sentence[slot]]:
                finish[slots.sentence[slot]] = slots.decision[slot]
                slots.sentence[slot] = EMPTY
                n_resident -= 1


def share_rounds(
    programs: Sequence[Program],
    exit_layer: Integers,
    arrival: Integers,
    n_slots: int,
    evaluated_layers: tuple[int, ...] | None = None,
    *,
    program_index: Integers | None = None,
    admission: Admission = Admission(),  # noqa: B008 - an immutable tuple
    most_remembered: int = MOST_REMEMBERED,
) -> tuple[Integers, Integers, Integers, Integers]:
    """Simulate every layer of every sentence in `n_slots` slots that share streamed weights.

    Returns start and finish cycles, verdicts, and the passes of prologue, layer and exit: how often their panels were
    streamed, if they are. `most_remembered`: rounds, a power of two.
    """
    flat = flatten([group for program in programs for group in program.groups])
    start, finish, verdict = (np.empty_like(exit_layer) for _ in range(3))
    n_buffers = int(flat.n_ports[LAYER] - 1 - flat.n_blocks[LAYER])
    slots = Slots(
        sentence=np.full(n_slots, EMPTY, np.int64),
        n_done=np.zeros(n_slots, np.int64),
        decision=np.zeros(n_slots, np.int64),
        ports=np.zeros((n_slots, flat.most_ports), np.int64),
        time=np.empty((n_slots, flat.most_ports + flat.most_tasks), np.int64),
    )
    engine = Engine(
        releases=np.zeros(n_buffers, np.int64),
        free=np.zeros(len(Unit), np.int64),
        n_passes=np.zeros(N_GROUPS, np.int64),
    )
    run_rounds(
        flat,
        sections_of(programs),
        depths_of(programs[0], evaluated_layers),
        np.zeros_like(exit_layer) if program_index is None else program_index,
        exit_layer,
        arrival,
        admission,
        empty_queue(exit_layer.size),
        int(Unit.ARRAY),
        slots,
        Cast(
            slot=np.empty(n_slots, np.int64),
            first_group=np.empty(n_slots, np.int64),
            weights=np.empty(n_slots, np.int64),
            head=np.empty(n_slots, np.int64),
            enters=np.empty(n_slots, np.bool_),
            exits=np.empty(n_slots, np.bool_),
        ),
        engine,
        _empty_memory(len(programs), n_slots * (flat.most_ports + 1) + len(Unit) + n_buffers, most_remembered),
        start,
        finish,
        verdict,
    )
    return start, finish, verdict, engine.n_passes


def _empty_memory(n_programs: int, n_values: int, most_remembered: int) -> Memory:
    """Return room for rounds whose situations have up to `n_values` values: a power of two of them."""
    n_places = most_remembered
    while n_places > 1 and n_places * n_values > MEMORY_VALUES:
        n_places //= 2
    return Memory(
        size=np.zeros(n_places, np.int64),
        before=np.empty((n_places, n_values), np.int64),
        after=np.empty((n_places, n_values), np.int64),
        n_passes=np.empty((n_places, N_GROUPS), np.int64),
        begins=np.zeros(len(Unit), np.bool_),
        in_place=np.ones(n_programs, np.bool_),
    )
