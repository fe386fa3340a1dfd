"""Interleaved streams turn by turn, none of them remembered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hexit.quant.arrays import Integers
from hexit.sim.core.program import Program, Unit
from hexit.sim.core.recurrence import flatten, run_group


def plain_turns(
    programs: Sequence[Program], index: Sequence[int], leaves: Sequence[int], arrivals: Sequence[int], n_slots: int,
    evaluated: Sequence[bool],
) -> list[tuple[int, int]]:  # fmt: skip
    """Return start and finish of every sentence, nobody dropped: the rules of `run_interleaved`, every task run."""
    flats = [flatten(program.groups) for program in programs]
    blocks = [program.layer.n_blocks for program in programs]
    n_ports = max(program.layer.n_ports for program in programs)
    releases: Integers = np.zeros(programs[0].layer.n_ports - 1 - blocks[0], np.int64)
    free = np.zeros(len(Unit), np.int64)
    slots: list[int | None] = [None] * n_slots
    ports, gates, done = np.zeros((n_slots, n_ports), np.int64), [0] * n_slots, [0] * n_slots
    found = [(0, 0)] * len(leaves)
    waiting = slot = 0
    while waiting < len(leaves) or any(one is not None for one in slots):
        enters = slots[slot] is None and waiting < len(leaves)
        if enters and any(one is not None for one in slots):
            enters = bool(arrivals[waiting] <= free[Unit.ARRAY])
        if enters:
            slots[slot], done[slot] = waiting, 0
            ports[slot, 0] = max(arrivals[waiting], gates[slot])
            found[waiting] = (int(ports[slot, 0]), 0)
            waiting += 1
        current = slots[slot]
        if current is not None:
            flat, mine = flats[index[current]], ports[slot]
            first = 1 + blocks[index[current]]
            scratch, time = np.empty(flat.most_tasks, np.int64), np.empty(flat.most_ports + flat.most_tasks, np.int64)
            mine[first : first + releases.size] = releases
            exits = evaluated[done[slot]]
            for group in [0] * enters + [1] + [2] * exits:
                run_group(flat, group, mine, free, scratch, time)
            releases = mine[first : first + releases.size].copy()
            if exits:
                gates[slot] = mine[0] = int(time[flat.decision[2]])
            done[slot] += 1
            if done[slot] == leaves[current]:
                found[current] = (found[current][0], gates[slot])
                slots[slot] = None
        slot = (slot + 1) % n_slots
    return found
