"""The engine: a max-plus recurrence over flat programs, in whole cycles.

For the tasks of a program, in program order:

    start[t]  = max(free[unit[t]], max over dependencies d of time[d])
    free[unit[t]] = start[t] + occupancy[t]          the unit takes its next task
    time[t]   = start[t] + latency[t]                the result is there

`time` begins with the ports (gate, input row blocks, buffer releases) and goes on with one entry per task, so a
dependency is an index. Because there is nothing but max and plus, the model is monotone: an earlier port, a
shorter task or one dependency less never makes anything later.

A sentence is `prologue, (layer, exit) x n`, each program fed with the exports of the one before. Not modelled:
units that reorder their tasks.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from sim.schedule import TaskProgram

Ints = npt.NDArray[np.int64]

EMPTY = -1  # a slot without a sentence


class Flat(NamedTuple):
    """The arrays of a `TaskProgram` that the recurrence reads."""

    n_blocks: int
    n_ports: int
    unit: Ints
    occupancy: Ints
    latency: Ints
    first_dependency: Ints
    dependency: Ints
    exports: Ints
    decision: int


def flatten(program: TaskProgram) -> Flat:
    """Return the arrays that the compiled functions take."""
    return Flat(
        program.n_blocks,
        program.n_ports,
        program.unit,
        program.occupancy_cycles,
        program.latency_cycles,
        program.first_dependency,
        program.dependency,
        program.exports,
        program.decision,
    )


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def run_tasks(program: Flat, ports: Ints, free: Ints, start: Ints, time: Ints) -> None:
    """Run one program: fill `start` (per task) and `time` (ports, then tasks), advance `free` (per unit)."""
    n_ports = program.n_ports
    for port in range(n_ports):  # loops, not slices: numba compiles them in a tenth of the time
        time[port] = ports[port]
    for task in range(program.unit.size):
        unit = program.unit[task]
        ready = free[unit]
        for index in range(program.first_dependency[task], program.first_dependency[task + 1]):
            ready = max(ready, time[program.dependency[index]])
        start[task] = ready
        free[unit] = ready + program.occupancy[task]
        time[n_ports + task] = ready + program.latency[task]


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def run_group(program: Flat, ports: Ints, free: Ints, start: Ints, time: Ints) -> None:
    """Run one program and turn `ports` into those of the next one; the gate stays as it is."""
    run_tasks(program, ports, free, start, time)
    for export in range(program.exports.size):
        ports[1 + export] = time[program.exports[export]]


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def run_sentence(
    prologue: Flat,
    layer: Flat,
    exit_: Flat,
    evaluated: npt.NDArray[np.bool_],
    waits: bool,
    free: Ints,
    prologue_start: Ints,
    layer_start: Ints,
    exit_start: Ints,
) -> Ints:
    """Run one sentence through all layers from cycle 0 on units that are `free`, and return the decisions' cycles.

    The exit after a layer runs where `evaluated` says so; with `waits` the next layer's gate is its decision,
    else the gate stays open. Fills the starts of the tasks ([tasks], [layers, tasks], [layers, tasks]), not those
    of an exit that does not run; its decision is -1.
    """
    prologue_time = np.empty(prologue.n_ports + prologue.unit.size, np.int64)
    layer_time = np.empty(layer.n_ports + layer.unit.size, np.int64)
    exit_time = np.empty(exit_.n_ports + exit_.unit.size, np.int64)
    decisions = np.empty(evaluated.size, np.int64)
    ports = np.zeros(prologue.n_ports, np.int64)
    run_group(prologue, ports, free, prologue_start, prologue_time)
    for index in range(evaluated.size):
        decisions[index] = -1
        run_group(layer, ports, free, layer_start[index], layer_time)
        if evaluated[index]:
            run_group(exit_, ports, free, exit_start[index], exit_time)
            decisions[index] = exit_time[exit_.decision]
            if waits:
                ports[0] = decisions[index]
    return decisions


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def run_interleaved(
    prologue: Flat,
    layer: Flat,
    exit_: Flat,
    evaluated: npt.NDArray[np.bool_],
    exit_layer: Ints,
    arrival: Ints,
    n_slots: int,
    array: int,
    free: Ints,
    start: Ints,
    finish: Ints,
) -> None:
    """Run a stream with `n_slots` resident sentences that take turns, one layer and its exit per turn.

    Slots are served round robin. A slot whose sentence has left takes the next sentence of the stream (in the
    order of `arrival`) at its next turn: the sentence starts at max(arrival, exit of the slot's last sentence),
    its prologue and first layer form that turn. A slot passes while the next sentence has not arrived by the
    time unit `array` is free, unless every slot is empty. Each layer waits for its own sentence's last decision.
    Fills `start` and `finish` (the decision) per sentence.
    """
    prologue_time = np.empty(prologue.n_ports + prologue.unit.size, np.int64)
    layer_time = np.empty(layer.n_ports + layer.unit.size, np.int64)
    exit_time = np.empty(exit_.n_ports + exit_.unit.size, np.int64)
    prologue_start = np.empty(prologue.unit.size, np.int64)
    layer_start = np.empty(layer.unit.size, np.int64)
    exit_start = np.empty(exit_.unit.size, np.int64)
    first_release = 1 + layer.n_blocks
    sentence = np.empty(n_slots, np.int64)
    n_done = np.zeros(n_slots, np.int64)  # layers behind the slot's sentence
    gates = np.zeros(n_slots, np.int64)  # last decision in the slot
    ports = np.zeros((n_slots, layer.n_ports), np.int64)
    for slot in range(n_slots):
        sentence[slot] = EMPTY
    next_sentence, n_resident, slot, last_slot = 0, 0, 0, 0
    while next_sentence < exit_layer.size or n_resident > 0:
        mine = ports[slot]
        waiting = sentence[slot] == EMPTY and next_sentence < exit_layer.size
        enters = waiting and (n_resident == 0 or arrival[next_sentence] <= free[array])
        if enters or sentence[slot] != EMPTY:
            for port in range(first_release, layer.n_ports):  # the weight buffers, which all slots share
                mine[port] = ports[last_slot, port]
            last_slot = slot
        if enters:
            sentence[slot], n_done[slot] = next_sentence, 0
            start[next_sentence] = max(arrival[next_sentence], gates[slot])
            mine[0] = start[next_sentence]
            run_group(prologue, mine, free, prologue_start, prologue_time)
            next_sentence += 1
            n_resident += 1
        if sentence[slot] != EMPTY:
            run_group(layer, mine, free, layer_start, layer_time)
            if evaluated[n_done[slot]]:
                run_group(exit_, mine, free, exit_start, exit_time)
                mine[0] = gates[slot] = exit_time[exit_.decision]
            n_done[slot] += 1
            if n_done[slot] == exit_layer[sentence[slot]]:
                finish[sentence[slot]] = gates[slot]
                sentence[slot] = EMPTY
                n_resident -= 1
        slot = (slot + 1) % n_slots
