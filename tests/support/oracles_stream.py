"""Naive models of streams: a queue stepped cycle by cycle, and sentences of several lengths that take turns."""

from __future__ import annotations

from collections import deque

from hexit.sim.core.program import Program, TaskProgram
from hexit.sim.core.queueing import FULL, LATE, SERVED
from support.oracles_engine import Machine, Task, add_program, exported

Served = tuple[int, int]  # verdict, start (-1 where dropped)


def naive_queue(
    arrivals: list[int], services: list[int], n_places: int | None, deadline: int | None, drops_late: bool
) -> list[Served]:
    """What becomes of every sentence in front of a lone server, one cycle after the other."""
    found: list[Served] = [(-1, -1)] * len(arrivals)
    waiting: deque[int] = deque()
    coming = deque(range(len(arrivals)))
    now, busy_until = 0, 0

    def send_late_ones_away() -> None:
        while drops_late and deadline is not None and waiting and arrivals[waiting[0]] + deadline <= now:
            found[waiting.popleft()] = (LATE, -1)

    def begin(sentence: int) -> int:
        found[sentence] = (SERVED, now)
        return now + services[sentence]

    while coming or waiting:
        if waiting and busy_until <= now:
            busy_until = begin(waiting.popleft())
        send_late_ones_away()
        while coming and arrivals[coming[0]] == now:
            sentence = coming.popleft()
            if busy_until <= now:
                busy_until = begin(sentence)
            elif n_places is not None and len(waiting) >= n_places:
                found[sentence] = (FULL, -1)
            else:
                waiting.append(sentence)
                send_late_ones_away()
        now += 1
    return found


def naive_turns(
    programs: list[Program], program_index: list[int], evaluated_layers: list[int], n_slots: int
) -> list[tuple[int, int]]:
    """(start, finish) of every sentence of a closed loop with a program each and `n_slots` taking turns."""
    machine = Machine()
    layer = programs[0].layer
    queue = list(zip(range(len(evaluated_layers)), program_index, evaluated_layers, strict=True))
    buffers: list[Task | None] = [None] * (layer.n_ports - 1 - layer.n_blocks)
    resident: list[tuple[int, Program, int] | None] = [None] * n_slots  # sentence, its program, layers to go
    gates: list[Task | None] = [None] * n_slots
    blocks: list[list[Task | None]] = [[] for _ in range(n_slots)]
    begins: dict[int, Task | None] = {}
    ends: dict[int, Task] = {}

    def run(group: TaskProgram, slot: int) -> list[Task]:
        ports = [gates[slot], *blocks[slot], *buffers]
        tasks = add_program(machine, group, ports)
        after = exported(group, ports, tasks)
        blocks[slot], buffers[:] = after[: group.n_blocks], after[group.n_blocks :]
        return tasks

    slot = 0
    while queue or any(resident):
        if resident[slot] is None and queue:
            sentence, index, to_go = queue.pop(0)
            program = programs[index]
            resident[slot], begins[sentence] = (sentence, program, to_go), gates[slot]
            blocks[slot] = [None] * program.prologue.n_blocks
            run(program.prologue, slot)
        if (now := resident[slot]) is not None:
            sentence, program, to_go = now
            run(program.layer, slot)
            tasks = run(program.exit, slot)
            gates[slot] = decision = tasks[program.exit.decision - program.exit.n_ports]
            resident[slot] = (sentence, program, to_go - 1) if to_go > 1 else None
            if resident[slot] is None:
                ends[sentence] = decision
        slot = (slot + 1) % n_slots
    machine.run()

    def end(task: Task | None) -> int:
        return 0 if task is None else task.start + task.latency

    return [(end(begins[s]), end(ends[s])) for s in range(len(evaluated_layers))]
