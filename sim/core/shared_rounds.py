"""Rounds of sentences that share streamed weights: each advances by one layer, whatever layer it is at.

Sentences whose next layers are one set of weights pass through each streamed panel behind each other:

    for each set of weights, in the order of the slots
        prologue of those that enter,  their layer,  their exits          each of the three as follows
            for each section of the program:   one transfer of its panel,  then the tasks of sentence 1, 2, ...

A section (sim.core.sections) is a panel with the tasks that use it, or what lies between two panels, as attention
does. A program that streams nothing is a single section: its sentences run one after the other, as without sharing.

A panel's transfer waits for the gate of the first of its sentences, and until all of them have used the panel that lay
in its buffer. A sentence's tasks wait for its own gate, its last decision. Where layers have exit heads of their own,
sentences share a head's panels at the same layer alone.

Data flows: weight-stationary arrays load a fold again for every sentence, what is shared is the panel in the weight
buffer; with input-stationary ones the partial sums of all sentences of a round wait for the last slice.
Not modelled: row blocks that two sentences share (the last block of each costs as much as a full one), a fold that
stays in the array for the next sentence, other orders of the sets of weights.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from hexit.quant.arrays import Flags, Integers
from hexit.sim.core.program import GATE, NONE
from hexit.sim.core.recurrence import EXIT, LAYER, PROLOGUE, Flat
from hexit.sim.core.sections import Sections


class Depths(NamedTuple):
    """By layer - 1: which set of weights it has, which exit head, and whether its exit is evaluated."""

    weights: Integers
    head: Integers
    evaluated: Flags


class Cast(NamedTuple):
    """Who takes part in a round, in the order of the slots, and how: with its prologue, with its exit."""

    slot: Integers
    first_group: Integers
    weights: Integers
    head: Integers
    enters: Flags
    exits: Flags


class Slots(NamedTuple):
    """What the resident sentences have, by slot: the sentence, layers behind it, last decision, ports, task times."""

    sentence: Integers
    n_done: Integers
    decision: Integers
    ports: Integers
    time: Integers


class Engine(NamedTuple):
    """What all sentences share: cycles at which weight buffers and units are free, and passes [prologue, layer, exit].

    A pass is one run of a group's tasks by one or more sentences, which streams its panels once.
    """

    releases: Integers
    free: Integers
    n_passes: Integers


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def open_ports(
    flat: Flat, members: Integers, n_members: int, group: Integers, slots: Slots, releases: Integers
) -> None:
    """Put what each sentence enters a group with, and the weight buffers of all, before the times of its tasks."""
    for index in range(n_members):
        slot = members[index]
        n_own = 1 + flat.n_blocks[group[slot]]
        for port in range(n_own):
            slots.time[slot, port] = slots.ports[slot, port]
        for buffer in range(releases.size):
            slots.time[slot, n_own + buffer] = releases[buffer]


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def hand_on(flat: Flat, members: Integers, n_members: int, group: Integers, slots: Slots, releases: Integers) -> None:
    """Take what each sentence leaves a group with; a weight buffer is free when its last sentence has used it."""
    for index in range(n_members):
        slot = members[index]
        first, n_blocks = flat.first_export[group[slot]], flat.n_blocks[group[slot]]
        for block in range(n_blocks):
            slots.ports[slot, 1 + block] = slots.time[slot, flat.exports[first + block]]
        for buffer in range(releases.size):
            release = slots.time[slot, flat.exports[first + n_blocks + buffer]]
            releases[buffer] = release if index == 0 else max(releases[buffer], release)


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def run_sections(
    flat: Flat, sections: Sections, members: Integers, n_members: int, group: Integers, time: Integers, free: Integers
) -> None:
    """Run the sections of a group by the sentences in the slots `members`, each with the `group` [slot] of its program.

    Fills the times [slot, ports and tasks], advances `free`. A function per section would cost more than its tasks.
    """
    leader = group[members[0]]
    for section in range(sections.first_section[leader + 1] - sections.first_section[leader]):
        transfer = sections.transfer[sections.first_section[leader] + section]
        loaded = 0
        if transfer != NONE:
            task = flat.first_task[leader] + transfer
            ready = free[flat.unit[task]]
            for index in range(n_members):
                slot = members[index]
                first = flat.first_task[group[slot]] + sections.transfer[sections.first_section[group[slot]] + section]
                for number in range(flat.first_dependency[first], flat.first_dependency[first + 1]):
                    if index == 0 or flat.dependency[number] != GATE:
                        ready = max(ready, time[slot, flat.dependency[number]])
            free[flat.unit[task]] = ready + flat.occupancy[task]
            loaded = ready + flat.latency[task]
        for index in range(n_members):
            slot = members[index]
            place = sections.first_section[group[slot]] + section
            n_ports, first = flat.n_ports[group[slot]], flat.first_task[group[slot]]
            for task in range(sections.begin[place], sections.end[place]):
                if task == sections.transfer[place]:
                    time[slot, n_ports + task] = max(loaded, time[slot, GATE])
                    continue
                unit = flat.unit[first + task]
                ready = free[unit]
                for number in range(flat.first_dependency[first + task], flat.first_dependency[first + task + 1]):
                    ready = max(ready, time[slot, flat.dependency[number]])
                free[unit] = ready + flat.occupancy[first + task]
                time[slot, n_ports + task] = ready + flat.latency[first + task]


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def joins(cast: Cast, one: int, leader: int, kind: int) -> bool:
    """Whether sentence `one` of a round runs the group of this kind together with the sentence `leader`."""
    same = cast.weights[one] == cast.weights[leader]
    if kind == PROLOGUE:
        return bool(same and cast.enters[one])
    if kind == EXIT:
        return bool(same and cast.exits[one] and cast.head[one] == cast.head[leader])
    return bool(same)


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def leads(cast: Cast, one: int, kind: int) -> bool:
    """Whether sentence `one` is the first of those with which it runs the group of this kind."""
    for earlier in range(one):
        if joins(cast, earlier, one, kind):
            return False
    return bool(joins(cast, one, one, kind))


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def run_pass(
    flat: Flat, sections: Sections, cast: Cast, n: int, leader: int, kind: int, slots: Slots, engine: Engine
) -> None:
    """Run the group of a kind by all who join the leader; exits open or close their sentences' gates."""
    members, group = np.empty(n, np.int64), np.empty(slots.sentence.size, np.int64)
    n_members = 0
    for one in range(n):
        if joins(cast, one, leader, kind):
            members[n_members], group[cast.slot[one]] = cast.slot[one], cast.first_group[one] + kind
            n_members += 1
    if n_members == 0:
        return
    open_ports(flat, members, n_members, group, slots, engine.releases)
    run_sections(flat, sections, members, n_members, group, slots.time, engine.free)
    hand_on(flat, members, n_members, group, slots, engine.releases)
    engine.n_passes[kind] += 1
    if kind == EXIT:
        for index in range(n_members):
            slot = members[index]
            slots.ports[slot, GATE] = slots.time[slot, flat.decision[group[slot]]]


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def run_round(flat: Flat, sections: Sections, cast: Cast, n: int, slots: Slots, engine: Engine) -> None:
    """Let every sentence of a round advance by one layer."""
    for leader in range(n):
        if leads(cast, leader, LAYER):
            run_pass(flat, sections, cast, n, leader, PROLOGUE, slots, engine)
            run_pass(flat, sections, cast, n, leader, LAYER, slots, engine)
            for other in range(leader, n):
                if cast.weights[other] == cast.weights[leader] and leads(cast, other, EXIT):
                    run_pass(flat, sections, cast, n, other, EXIT, slots, engine)
