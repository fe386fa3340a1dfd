"""Streams of sentences that take turns on one engine, and turns that are remembered.

A turn is a layer of one sentence, with its prologue and its exit if so. It maps what is free when (units, results,
weight buffers, its gate) to the same after it, with max and plus alone: where everything is later by d, everything
after it is later by d. And no task of it starts before its gate, nor before the first unit is free, so that it does not
matter how far back something lies that lies further back. A turn whose situation, counted from that cycle, was met
before is therefore not run again:

    after = base + remembered(max(before - base, -1)),    base = max(gate, min over units of free)

What lies before the base after a turn, the turn has not touched: a unit that it does not use, a result that it hands
on. A stream under load goes through few situations.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from hexit.quant.arrays import Flags, Integers
from hexit.sim.core.queueing import SERVED, UNLIMITED, Admission, Queue, enter
from hexit.sim.core.recurrence import EMPTY, EXIT, LAYER, N_GROUPS, PROLOGUE, Flat, run_group

N_REMEMBERED = 512  # situations, a power of two; a later one of the same place takes it over
LONG_AGO = -1  # relative to the base: before it, no matter how long
UNTOUCHED = -1  # of a remembered result: as it was before the turn


class Memory(NamedTuple):
    """Remembered turns, by place: which turn, and its situation before and after, relative to the base.

    `turn` [N_REMEMBERED] is EMPTY where there is none; `before` and `after` [N_REMEMBERED, ports and units]; `decision`
    [N_REMEMBERED].
    """

    turn: Integers
    before: Integers
    after: Integers
    decision: Integers


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def empty_memory(n_values: int) -> Memory:
    """Return room for turns whose situations have so many values."""
    return Memory(
        np.full(N_REMEMBERED, EMPTY, np.int64),
        np.empty((N_REMEMBERED, n_values), np.int64),
        np.empty((N_REMEMBERED, n_values), np.int64),
        np.empty(N_REMEMBERED, np.int64),
    )


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def hands_on_in_place(flat: Flat, group: int) -> bool:
    """Whether every port that a group hands on keeps its number, so that `UNTOUCHED` says which one it was."""
    first = flat.first_export[group]
    for export in range(flat.first_export[group + 1] - first):
        source = flat.exports[first + export]
        if source < flat.n_ports[group] and source != 1 + export:
            return False
    return True


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def relative(turn: int, ports: Integers, free: Integers, n_ports: int, situation: Integers) -> tuple[int, int]:
    """Fill the situation [ports, units] of a turn relative to its base; return the base and where it is remembered."""
    base = free[0]
    for unit in range(1, free.size):
        base = min(base, free[unit])
    base, place = max(base, ports[0]), turn
    for port in range(n_ports):
        situation[port] = max(ports[port] - base, LONG_AGO)
        place = 31 * place + situation[port]
    for unit in range(free.size):
        situation[n_ports + unit] = max(free[unit] - base, LONG_AGO)
        place = 31 * place + situation[n_ports + unit]
    return base, (place ^ (place >> 17)) & (N_REMEMBERED - 1)


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def recall(
    memory: Memory, place: int, turn: int, situation: Integers, base: int, ports: Integers, free: Integers, n_ports: int
) -> bool:
    """Put a remembered turn's results into `ports` and `free`; return whether it was remembered."""
    if memory.turn[place] != turn:
        return False
    for index in range(n_ports + free.size):
        if memory.before[place, index] != situation[index]:
            return False
    for index in range(n_ports + free.size):
        after = memory.after[place, index]
        if after != UNTOUCHED:
            if index < n_ports:
                ports[index] = base + after
            else:
                free[index - n_ports] = base + after
    return True


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def remember(
    memory: Memory, place: int, turn: int, situation: Integers, base: int, ports: Integers, free: Integers, n_ports: int
) -> None:
    """Keep a turn; what it left before the base is what it did not touch."""
    memory.turn[place] = turn
    for index in range(n_ports + free.size):
        value = ports[index] if index < n_ports else free[index - n_ports]
        memory.before[place, index] = situation[index]
        memory.after[place, index] = value - base if value >= base else UNTOUCHED


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def run_turn(
    flat: Flat,
    memory: Memory,
    first_group: int,
    with_prologue: bool,
    with_exit: bool,
    ports: Integers,
    releases: Integers,
    free: Integers,
    situation: Integers,
    start: Integers,
    time: Integers,
) -> int:
    """Run one layer of a sentence, with its prologue and its exit if so, and return the decision, EMPTY without.

    `ports` are the sentence's own, `releases` those of the weight buffers of all sentences; both advance.
    """
    first_release, decision = 1 + flat.n_blocks[first_group + LAYER], EMPTY
    n_ports = max(flat.n_ports[first_group + PROLOGUE], flat.n_ports[first_group + LAYER])
    for index in range(releases.size):
        ports[first_release + index] = releases[index]
    turn = 4 * first_group + 2 * with_prologue + with_exit
    base, place = relative(turn, ports, free, n_ports, situation)
    if recall(memory, place, turn, situation, base, ports, free, n_ports):
        decision = base + memory.decision[place] if with_exit else EMPTY
    else:
        in_place = hands_on_in_place(flat, first_group + LAYER)
        if with_prologue:
            run_group(flat, first_group + PROLOGUE, ports, free, start, time)
            in_place = in_place and hands_on_in_place(flat, first_group + PROLOGUE)
        run_group(flat, first_group + LAYER, ports, free, start, time)
        if with_exit:
            run_group(flat, first_group + EXIT, ports, free, start, time)
            decision = time[flat.decision[first_group + EXIT]]
            in_place = in_place and hands_on_in_place(flat, first_group + EXIT)
        if in_place:
            remember(memory, place, turn, situation, base, ports, free, n_ports)
            memory.decision[place] = decision - base
    for index in range(releases.size):
        releases[index] = ports[first_release + index]
    return decision


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def admit(
    waiting: int,
    until: int,
    earliest: int,
    arrival: Integers,
    admission: Admission,
    queue: Queue,
    start: Integers,
    verdict: Integers,
) -> int:
    """Return the first sentence from `waiting` on that is admitted, or the first one that arrives after `until`.

    Fills the `start`, not before `earliest`, and the `verdict` of all sentences up to the admitted one.
    """
    while waiting < arrival.size and arrival[waiting] <= until:
        start[waiting] = max(arrival[waiting], earliest)
        verdict[waiting] = enter(admission, queue, arrival[waiting], start[waiting])
        if verdict[waiting] == SERVED:
            break
        waiting += 1
    return waiting


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def run_interleaved(
    flat: Flat,
    evaluated: Flags,
    program: Integers,
    exit_layer: Integers,
    arrival: Integers,
    admission: Admission,
    queue: Queue,
    n_slots: int,
    array: int,
    free: Integers,
    start: Integers,
    finish: Integers,
    verdict: Integers,
) -> None:
    """Run a stream with `n_slots` resident sentences that take turns, one layer and its exit per turn.

    Slots are served round robin. A slot whose sentence has left takes the next sentence of the stream (in the
    order of `arrival`) that is admitted at its next turn: the sentence starts at max(arrival, exit of the slot's last
    sentence), its prologue and first layer form that turn. A slot passes while the next sentence has not arrived by
    the time unit `array` is free, unless every slot is empty. Each layer waits for its own sentence's last decision;
    `program` is the index of each sentence's program in `flat`. Fills `start`, `finish` (the decision) and `verdict`
    per sentence; a dropped one has the start that it would have had, and no finish.
    """
    task_start, time = np.empty(flat.most_tasks, np.int64), np.empty(flat.most_ports + flat.most_tasks, np.int64)
    sentence = np.full(n_slots, EMPTY, np.int64)
    n_done = np.zeros(n_slots, np.int64)  # layers behind the slot's sentence
    gates = np.zeros(n_slots, np.int64)  # last decision in the slot
    ports = np.zeros((n_slots, flat.most_ports), np.int64)
    situation = np.empty(flat.most_ports + free.size, np.int64)
    memory = empty_memory(situation.size)
    releases = np.zeros(flat.n_ports[LAYER] - 1 - flat.n_blocks[LAYER], np.int64)  # weight buffers, of all slots
    waiting, n_resident, slot = 0, 0, 0
    while waiting < exit_layer.size or n_resident > 0:
        mine, enters = ports[slot], False
        if sentence[slot] == EMPTY:
            until = free[array] if n_resident else UNLIMITED
            waiting = admit(waiting, until, gates[slot], arrival, admission, queue, start, verdict)
            enters = waiting < arrival.size and arrival[waiting] <= until
        if enters:
            sentence[slot], n_done[slot], mine[0] = waiting, 0, start[waiting]
            n_resident += 1
            waiting += 1
        current = sentence[slot]
        if current != EMPTY:
            first_group, with_exit = N_GROUPS * program[current], evaluated[n_done[slot]]
            decision = run_turn(
                flat, memory, first_group, enters, with_exit, mine, releases, free, situation, task_start, time
            )
            if with_exit:
                mine[0] = gates[slot] = decision
            n_done[slot] += 1
            if n_done[slot] == exit_layer[current]:
                finish[current] = gates[slot]
                sentence[slot] = EMPTY
                n_resident -= 1
        slot = (slot + 1) % n_slots
