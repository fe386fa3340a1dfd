"""Sentences that share weights, task object by task object: plain loops, and a machine stepped cycle by cycle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hexit.quant.workload import ExitHead, LayerNorm, MatMul, Op
from hexit.sim.core.program import Program, TaskProgram, Unit
from support.oracles_engine import Machine, Task

Sources = list[Task]  # tasks after which something is there
PROLOGUE, LAYER, EXIT = range(3)


@dataclass(frozen=True)
class Transfer:
    """A transfer of stored parameters: in which round, of what kind of group and set of weights, which panel."""

    round: int
    kind: int
    weights: int
    op: int
    panel: int
    n_bytes: int


@dataclass
class Resident:
    """A sentence in its slot."""

    sentence: int
    program: Program
    gate: Task
    blocks: list[Sources]
    layers_done: int = 0


@dataclass
class NaiveRounds:
    """The tasks of a stream as they are queued; `ends` are the cycles in which their results are there."""

    n_buffers: int
    machine: Machine = field(default_factory=Machine)
    ends: dict[int, int] = field(default_factory=dict)
    idle: dict[int, int] = field(default_factory=lambda: dict.fromkeys(Unit, 0))
    tasks: list[tuple[Task, int]] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    own_bytes: int = 0
    macs: int = 0
    layers_run: dict[int, list[int]] = field(default_factory=dict)
    buffers: list[Sources] = field(default_factory=list)

    def queue(self, unit: int, occupancy: int, latency: int, after: Sources) -> Task:
        """Queue a task and work out when it starts: not before its unit is idle, nor before what it waits for."""
        task = self.machine.add(Task(unit, occupancy, latency, list(after)))
        start = max([self.idle[unit], *(self.ends[id(one)] for one in after)])
        self.idle[unit], self.ends[id(task)] = start + occupancy, start + latency
        self.tasks.append((task, start))
        return task

    def at(self, cycle: int) -> Task:
        """A moment that is no task."""
        moment = Task(-1, 0, 0, [], start=cycle)
        self.ends[id(moment)] = cycle
        self.tasks.append((moment, cycle))
        return moment

    def run_together(self, who: list[Resident], kind: int, weights: int, number: int) -> None:
        """Queue one group of all of these, part by part, and within a part sentence by sentence."""
        groups = [resident.program.groups[kind] for resident in who]
        parts = [parts_of(group, resident.program.workload.groups[kind]) for group, resident in zip(groups, who)]  # noqa: B905
        made: list[dict[int, Sources]] = []
        for resident, group in zip(who, groups, strict=True):
            ports = [[resident.gate], *resident.blocks, *(self.buffers or [[]] * self.n_buffers)]
            assert len(ports) == group.n_ports
            made.append(dict(enumerate(ports)))
        for part in range(max(max(of_one) for of_one in parts) + 1):
            loaded: Task | None = None
            for place, (resident, group, of_one) in enumerate(zip(who, groups, parts, strict=True)):
                for t in [t for t in range(group.n_tasks) if of_one[t] == part]:
                    if not is_load(group, resident.program.workload.groups[kind], t):
                        after = [task for source in reads(group, t) for task in made[place][source]]
                        done = [self.queue(*cycles(group, t), after)]
                        self.own_bytes += int(group.n_bytes[t])
                        self.macs += int(group.macs[t])
                    elif loaded is None:
                        loaded = self.load(
                            groups, parts, part, made, [one.program.workload.groups[kind] for one in who]
                        )
                        what = int(group.op[t]), int(group.panel[t]), int(group.n_bytes[t])
                        self.transfers.append(Transfer(number, kind, weights, *what))
                        done = [loaded]
                    else:
                        done = [loaded, resident.gate]
                    made[place][group.n_ports + t] = done
        for resident, group, has in zip(who, groups, made, strict=True):
            resident.blocks = [has[source] for source in group.exports[: group.n_blocks].tolist()]
            if kind == EXIT:
                (resident.gate,) = has[group.decision]
        self.buffers = [
            [task for group, has in zip(groups, made, strict=True) for task in has[int(group.exports[-left])]]
            for left in range(self.n_buffers, 0, -1)
        ]

    def load(
        self,
        groups: list[TaskProgram],
        parts: list[list[int]],
        part: int,
        made: list[dict[int, Sources]],
        ops: list[tuple[Op, ...]],
    ) -> Task:
        """Queue the transfer of a part: after the first sentence's gate, and after all that used its buffer."""
        after: Sources = []
        for place, group in enumerate(groups):
            (t,) = [t for t in range(group.n_tasks) if parts[place][t] == part and is_load(group, ops[place], t)]
            sources = [source for source in reads(group, t) if place == 0 or source != 0]
            after += [task for source in sources for task in made[place][source]]
        return self.queue(*cycles(group, t), after)


def has_parameters(op: Op) -> bool:
    return isinstance(op, LayerNorm | ExitHead) or (isinstance(op, MatMul) and op.weights)


def is_load(group: TaskProgram, ops: tuple[Op, ...], t: int) -> bool:
    return bool(group.unit[t] == Unit.DMA) and has_parameters(ops[group.op[t]])


def parts_of(group: TaskProgram, ops: tuple[Op, ...]) -> list[int]:
    """The part of each task: a new one with every panel of parameters, and with what comes between such ops."""
    if not any(is_load(group, ops, t) for t in range(group.n_tasks)):
        return [0] * group.n_tasks
    parts: list[int] = []
    before: tuple[int, int] | None = None
    for t in range(group.n_tasks):
        op = int(group.op[t])
        now = (op, max(0, int(group.panel[t]))) if has_parameters(ops[op]) else (-1, -1)
        parts.append(0 if before is None else parts[-1] + (now != before))
        before = now
    return parts


def reads(group: TaskProgram, t: int) -> list[int]:
    return [int(n) for n in group.dependency[group.first_dependency[t] : group.first_dependency[t + 1]]]


def cycles(group: TaskProgram, t: int) -> tuple[int, int, int]:
    return int(group.unit[t]), int(group.occupancy_cycles[t]), int(group.latency_cycles[t])


def naive_rounds(
    programs: Sequence[Program], index: Sequence[int], leaves: Sequence[int], arrivals: Sequence[int], n_slots: int,
    evaluated: Sequence[bool],
) -> tuple[list[tuple[int, int]], NaiveRounds]:  # fmt: skip
    """Return start and finish of every sentence, nobody dropped, and all that was done."""
    shape = programs[0].workload.shape
    rounds = NaiveRounds(programs[0].accelerator.n_weight_buffers)
    slots: list[Resident | None] = [None] * n_slots
    left = [rounds.at(0) for _ in slots]
    found = [(-1, -1)] * len(leaves)
    coming, number = 0, 0
    while coming < len(leaves) or any(slots):
        entering = []
        opens = rounds.idle[Unit.ARRAY]
        for slot in range(n_slots):
            if slots[slot] is not None or coming == len(leaves):
                continue
            begin = max(arrivals[coming], rounds.ends[id(left[slot])])
            if not any(slots):
                opens = max(opens, begin)
            if arrivals[coming] <= opens:
                program = programs[index[coming]]
                blocks: list[Sources] = [[] for _ in range(program.prologue.n_blocks)]
                slots[slot] = resident = Resident(coming, program, rounds.at(begin), blocks)
                entering.append(resident)
                found[coming] = (begin, -1)
                coming += 1
        here = [resident for resident in slots if resident is not None]
        sets = [shape.layer_group(resident.layers_done + 1) for resident in here]
        for weights in dict.fromkeys(sets):
            who = [resident for resident, own in zip(here, sets, strict=True) if own == weights]
            if new := [resident for resident in who if resident in entering]:
                rounds.run_together(new, PROLOGUE, 0, number)
            rounds.run_together(who, LAYER, weights, number)
            exiting = [resident for resident in who if evaluated[resident.layers_done]]
            heads = [0 if shape.shared_head else resident.layers_done for resident in exiting]
            for head in dict.fromkeys(heads):
                mine = [resident for resident, own in zip(exiting, heads, strict=True) if own == head]
                rounds.run_together(mine, EXIT, weights * shape.n_layers + head, number)
        for slot, one in enumerate(slots):
            if one is not None:
                rounds.layers_run.setdefault(one.sentence, []).append(one.layers_done)
                one.layers_done += 1
                if one.layers_done == leaves[one.sentence]:
                    found[one.sentence] = (found[one.sentence][0], rounds.ends[id(one.gate)])
                    slots[slot], left[slot] = None, one.gate
        number += 1
    return found, rounds
