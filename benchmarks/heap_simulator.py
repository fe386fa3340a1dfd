"""A plain discrete-event simulator of the same programs: Python objects, one heap of events, nothing precomputed.

Every unit has a queue of tasks in program order. A task starts when it is the first of its queue, its unit is idle
and everything it depends on is there; it then puts two events on the heap, `unit free` and `result there`. An exit
decision either ends the sentence or issues the next layer (`stall`: nothing of that layer is issued before). The next
sentence starts when it has arrived and the one before has left.

`benchmarks/stream.py` compares it with `sim.core.stream`: equal cycles, and how long both take. Not for use: it is
here to say what the shortcuts of `sim.core.stream` are worth, and that they change nothing.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

from hexit.sim.core.program import Program, TaskProgram, Unit


@dataclass(slots=True, eq=False)
class Task:
    """One task: what it still waits for, and who waits for it."""

    unit: int
    occupancy: int
    latency: int
    n_waits: int = 0
    readers: list[Task] = field(default_factory=list)
    done: bool = False


class HeapSimulator:
    """Runs sentences one after the other through a stalling design; `start` and `finish` are cycles by sentence."""

    def __init__(self, program: Program, evaluated_layers: list[int], arrivals: list[int] | None = None) -> None:
        """Take the sentences in order of arrival; without arrivals each comes when it can start."""
        self.groups = {group: _tasks(group) for group in (program.prologue, program.layer, program.exit)}
        self.program, self.evaluated_layers, self.arrivals = program, evaluated_layers, arrivals
        self.queues: list[deque[Task]] = [deque() for _ in Unit]
        self.idle = [True] * len(Unit)
        self.events: list[tuple[int, int, Task, bool]] = []
        self.n_events = self.n_tasks = self.now = self.n_begun = self.layer = 0
        self.ports: list[Task | None] = []
        self.decision: Task | None = None
        self.start: list[int] = []
        self.finish: list[int] = []

    def run(self) -> None:
        """Work off all events until the last sentence has left."""
        self._next_sentence()
        while self.events:
            self.now, _, task, frees_unit = heapq.heappop(self.events)
            if frees_unit:
                self.idle[task.unit] = True
                self._try_start(task.unit)
                continue
            task.done = True
            for reader in task.readers:
                reader.n_waits -= 1
                if not reader.n_waits:
                    self._try_start(reader.unit)
            if task is self.decision:
                self._decided()

    def _next_sentence(self) -> None:
        if self.n_begun == len(self.evaluated_layers):
            return
        arrival = 0 if self.arrivals is None else self.arrivals[self.n_begun]
        self.now = max(self.now, arrival)
        self.start.append(self.now)
        self.n_begun, self.layer = self.n_begun + 1, 0
        self.ports = [None] * self.program.prologue.n_ports
        self._issue(self.program.prologue)
        self._next_layer()

    def _next_layer(self) -> None:
        self.layer += 1
        self._issue(self.program.layer)
        tasks = self._issue(self.program.exit)
        self.decision = tasks[self.program.exit.decision - self.program.exit.n_ports]

    def _decided(self) -> None:
        if self.layer < self.evaluated_layers[self.n_begun - 1]:
            self._next_layer()
            return
        self.finish.append(self.now)
        self._next_sentence()

    def _issue(self, group: TaskProgram) -> list[Task]:
        """Queue the tasks of a group behind what its ports stand for, and start what can start."""
        costs, dependencies, exports = self.groups[group]
        known: list[Task | None] = list(self.ports)
        tasks = []
        for (unit, occupancy, latency), numbers in zip(costs, dependencies, strict=True):
            task = Task(unit, occupancy, latency)
            for number in numbers:
                source = known[number]
                if source is not None and not source.done:
                    source.readers.append(task)
                    task.n_waits += 1
            known.append(task)
            tasks.append(task)
            self.queues[unit].append(task)
        self.ports = [None, *(known[number] for number in exports)]
        for unit in range(len(self.queues)):
            self._try_start(unit)
        self.n_tasks += len(tasks)
        return tasks

    def _try_start(self, unit: int) -> None:
        queue = self.queues[unit]
        if not self.idle[unit] or not queue or queue[0].n_waits:
            return
        task = queue.popleft()
        self.idle[unit] = False
        for cycles, frees_unit in ((task.occupancy, True), (task.latency, False)):
            self.n_events += 1
            heapq.heappush(self.events, (self.now + cycles, self.n_events, task, frees_unit))


Costs = list[tuple[int, int, int]]


def _tasks(group: TaskProgram) -> tuple[Costs, list[list[int]], list[int]]:
    """A group as Python lists: (unit, occupancy, latency) and dependencies of every task, exports."""
    first = group.first_dependency.tolist()
    dependency = group.dependency.tolist()
    costs = list(zip(group.unit.tolist(), group.occupancy_cycles.tolist(), group.latency_cycles.tolist(), strict=True))
    return costs, [dependency[a:b] for a, b in pairwise(first)], group.exports.tolist()
