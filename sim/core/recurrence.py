"""The recurrence that gives every task its start: max and plus over flat programs, in whole cycles.

For the tasks of a program, in program order:

    start[t]  = max(free[unit[t]], max over dependencies d of time[d])
    free[unit[t]] = start[t] + occupancy[t]          the unit takes its next task
    time[t]   = start[t] + latency[t]                the result is there

`time` begins with the ports (gate, input row blocks, buffer releases) and goes on with one entry per task, so a
dependency is an index. Because there is nothing but max and plus, the model is monotone: an earlier port, a
shorter task or one dependency less never makes anything later.

A sentence is `prologue, (layer, exit) x n`, each group fed with the exports of the one before. Sentences of different
lengths have programs of their own; `Flat` holds the groups of all of them in a row, three per program.
Not modelled: units that reorder their tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numba
import numpy as np

from hexit.quant.arrays import Flags, Integers
from hexit.sim.core.program import TaskProgram

EMPTY = -1  # a slot without a sentence
PROLOGUE, LAYER, EXIT, N_GROUPS = 0, 1, 2, 3  # order of the groups of a program


class Flat(NamedTuple):
    """The arrays of several `TaskProgram`s that the recurrence reads, one group after the other.

    By group g: tasks `first_task[g] : first_task[g + 1]`, exports `first_export[g] : first_export[g + 1]`, numbers of
    ports and row blocks, and the exit decision. By task: the rest; `dependency`, `exports` and `decision` count
    within their group (ports, then tasks). `most_tasks` and `most_ports` are those of the largest group.
    """

    most_tasks: int
    most_ports: int
    first_task: Integers
    first_export: Integers
    n_ports: Integers
    n_blocks: Integers
    decision: Integers
    exports: Integers
    unit: Integers
    occupancy: Integers
    latency: Integers
    first_dependency: Integers
    dependency: Integers


def flatten(groups: Sequence[TaskProgram]) -> Flat:
    """Return the arrays that the compiled functions take."""
    n_dependencies = [*accumulate((group.dependency.size for group in groups), initial=0)]
    first_dependency = [
        group.first_dependency[:-1] + before for group, before in zip(groups, n_dependencies, strict=False)
    ]
    return Flat(
        most_tasks=max(group.n_tasks for group in groups),
        most_ports=max(group.n_ports for group in groups),
        first_task=_offsets([group.n_tasks for group in groups]),
        first_export=_offsets([group.exports.size for group in groups]),
        n_ports=np.array([group.n_ports for group in groups], np.int64),
        n_blocks=np.array([group.n_blocks for group in groups], np.int64),
        decision=np.array([group.decision for group in groups], np.int64),
        exports=np.concatenate([group.exports for group in groups]),
        unit=np.concatenate([group.unit for group in groups]),
        occupancy=np.concatenate([group.occupancy_cycles for group in groups]),
        latency=np.concatenate([group.latency_cycles for group in groups]),
        first_dependency=np.concatenate([*first_dependency, np.array(n_dependencies[-1:], np.int64)]),
        dependency=np.concatenate([group.dependency for group in groups]),
    )


def _offsets(sizes: Sequence[int]) -> Integers:
    return np.array([*accumulate(sizes, initial=0)], np.int64)


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def run_tasks(flat: Flat, group: int, ports: Integers, free: Integers, start: Integers, time: Integers) -> None:
    """Run one group: fill `start` (per task) and `time` (ports, then tasks), advance `free` (per unit)."""
    n_ports, first = flat.n_ports[group], flat.first_task[group]
    for port in range(n_ports):  # loops, not slices: numba compiles them in a tenth of the time
        time[port] = ports[port]
    for task in range(flat.first_task[group + 1] - first):
        unit = flat.unit[first + task]
        ready = free[unit]
        for index in range(flat.first_dependency[first + task], flat.first_dependency[first + task + 1]):
            ready = max(ready, time[flat.dependency[index]])
        start[task] = ready
        free[unit] = ready + flat.occupancy[first + task]
        time[n_ports + task] = ready + flat.latency[first + task]


def run_alone(program: TaskProgram) -> tuple[Integers, Integers]:
    """Run one group from cycle 0 on idle units; return the starts of its tasks, and when ports and results are there.

    The ports are there in cycle 0. `time` counts ports and then tasks, as the program's dependencies do.
    """
    start = np.empty(program.n_tasks, np.int64)
    time = np.empty(program.n_ports + program.n_tasks, np.int64)
    free, ports = np.zeros(program.n_units, np.int64), np.zeros(program.n_ports, np.int64)
    run_tasks(flatten([program]), 0, ports, free, start, time)
    return start, time


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def run_group(flat: Flat, group: int, ports: Integers, free: Integers, start: Integers, time: Integers) -> None:
    """Run one group and turn `ports` into those of the next one; the gate stays as it is."""
    run_tasks(flat, group, ports, free, start, time)
    first = flat.first_export[group]
    for export in range(flat.first_export[group + 1] - first):
        ports[1 + export] = time[flat.exports[first + export]]


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def run_sentence(
    flat: Flat,
    evaluated: Flags,
    waits: bool,
    free: Integers,
    prologue_start: Integers,
    layer_start: Integers,
    exit_start: Integers,
) -> Integers:
    """Run one sentence through all layers from cycle 0 on units that are `free`, and return the decisions' cycles.

    `flat` holds its program alone. The exit after a layer runs where `evaluated` says so; with `waits` the next
    layer's gate is its decision, else the gate stays open. Fills the starts of the tasks ([tasks], [layers, tasks],
    [layers, tasks]), not those of an exit that does not run; its decision is -1.
    """
    time = np.empty(flat.most_ports + flat.most_tasks, np.int64)
    decisions = np.empty(evaluated.size, np.int64)
    ports = np.zeros(flat.n_ports[LAYER], np.int64)
    run_group(flat, PROLOGUE, ports, free, prologue_start, time)
    for index in range(evaluated.size):
        decisions[index] = -1
        run_group(flat, LAYER, ports, free, layer_start[index], time)
        if evaluated[index]:
            run_group(flat, EXIT, ports, free, exit_start[index], time)
            decisions[index] = time[flat.decision[EXIT]]
            if waits:
                ports[0] = decisions[index]
    return decisions
