"""Naive models of the engine: a machine stepped cycle by cycle, and data dependencies element by element."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

from hexit.hw_model.accelerator import Accelerator
from hexit.quant.workload import (
    GROUP_INPUT,
    Add,
    ExitDecision,
    ExitHead,
    Gelu,
    LayerNorm,
    MatMul,
    Op,
    Softmax,
    output_shape,
)
from hexit.sim.core.program import Program, TaskProgram, Unit

Element = tuple[str, int, int, int]  # result, head, row, column


@dataclass(eq=False)
class Task:
    """A task of the naive machine; `after` are the tasks whose results it waits for."""

    unit: int
    occupancy: int
    latency: int
    after: list[Task]
    start: int = -1

    def ready(self, now: int) -> bool:
        return all(t.start >= 0 and t.start + t.latency <= now for t in self.after)


@dataclass
class Machine:
    """Units that look at their next task in every cycle and start it if they are idle and it is ready."""

    queues: dict[int, list[Task]] = field(default_factory=lambda: {unit: [] for unit in Unit})

    def add(self, task: Task) -> Task:
        self.queues[task.unit].append(task)
        return task

    def run(self) -> None:
        """Step cycle by cycle until every task has started."""
        position = dict.fromkeys(self.queues, 0)
        idle_from = dict.fromkeys(self.queues, 0)
        now = 0
        while any(position[unit] < len(queue) for unit, queue in self.queues.items()):
            progress = True
            while progress:  # tasks without duration let others start in the same cycle
                progress = False
                for unit, queue in self.queues.items():
                    if position[unit] < len(queue) and idle_from[unit] <= now and queue[position[unit]].ready(now):
                        task = queue[position[unit]]
                        task.start, idle_from[unit] = now, now + task.occupancy
                        position[unit] += 1
                        progress = True
            now += 1


def add_program(machine: Machine, program: TaskProgram, ports: list[Task | None]) -> list[Task]:
    """Queue the tasks of a program whose ports are tasks of earlier programs (None: the beginning of time)."""
    tasks: list[Task] = []
    for t in range(program.n_tasks):
        numbers = program.dependency[program.first_dependency[t] : program.first_dependency[t + 1]].tolist()
        sources = [ports[n] if n < program.n_ports else tasks[n - program.n_ports] for n in numbers]
        after = [source for source in sources if source is not None]
        cycles = int(program.occupancy_cycles[t]), int(program.latency_cycles[t])
        tasks.append(machine.add(Task(int(program.unit[t]), *cycles, after)))
    return tasks


def exported(program: TaskProgram, ports: list[Task | None], tasks: list[Task]) -> list[Task | None]:
    """The tasks behind a program's exports."""
    return [ports[n] if n < program.n_ports else tasks[n - program.n_ports] for n in program.exports.tolist()]


def naive_starts(program: TaskProgram) -> list[int]:
    """Start of every task of one program alone, all ports open at cycle 0."""
    machine = Machine()
    tasks = add_program(machine, program, [None] * program.n_ports)
    machine.run()
    return [task.start for task in tasks]


def naive_stream(program: Program, evaluated_layers: list[int], n_slots: int) -> list[tuple[int, int]]:
    """(start, finish) of every sentence of a closed loop with `n_slots` taking turns, each layer stalling."""
    machine = Machine()
    n_blocks = program.layer.n_blocks
    queue = list(enumerate(evaluated_layers))
    buffers: list[Task | None] = [None] * (program.layer.n_ports - 1 - n_blocks)
    resident: list[tuple[int, int] | None] = [None] * n_slots  # sentence, layers to go
    gates: list[Task | None] = [None] * n_slots
    blocks: list[list[Task | None]] = [[None] * n_blocks for _ in range(n_slots)]
    begins: dict[int, Task | None] = {}
    ends: dict[int, Task] = {}

    def run(group: TaskProgram, slot: int) -> list[Task]:
        ports = [gates[slot], *blocks[slot], *buffers]
        tasks = add_program(machine, group, ports)
        after = exported(group, ports, tasks)
        blocks[slot], buffers[:] = after[:n_blocks], after[n_blocks:]
        return tasks

    slot = 0
    while queue or any(resident):
        if resident[slot] is None and queue:
            resident[slot] = sentence, _ = queue.pop(0)
            begins[sentence] = gates[slot]
            run(program.prologue, slot)
        if (now := resident[slot]) is not None:
            run(program.layer, slot)
            tasks = run(program.exit, slot)
            gates[slot] = decision = tasks[program.exit.decision - program.exit.n_ports]
            resident[slot] = (now[0], now[1] - 1) if now[1] > 1 else None
            if resident[slot] is None:
                ends[now[0]] = decision
        slot = (slot + 1) % n_slots
    machine.run()

    def end(task: Task | None) -> int:
        return 0 if task is None else task.start + task.latency

    return [(end(begins[s]), end(ends[s])) for s in range(len(evaluated_layers))]


@dataclass(frozen=True)
class Fold:
    """What one fold of a product takes: rows and columns of the result, values of k, of one of `count` products."""

    head: int
    rows: range
    columns: range
    ks: range


def folds(op: MatMul, design: Accelerator) -> Iterator[Fold]:
    """The folds of a product in the order in which a design goes through them."""
    rows, columns = design.array_rows, design.array_columns

    def parts(size: int, step: int) -> list[range]:
        return [range(first, min(first + step, size)) for first in range(0, size, step)]

    for head in range(op.count):
        match design.dataflow:
            case "output_stationary":
                for panel in parts(op.n, columns):
                    yield from (Fold(head, block, panel, range(op.k)) for block in parts(op.m, rows))
            case "weight_stationary":
                for panel in parts(op.n, columns):
                    yield from (Fold(head, range(op.m), panel, ks) for ks in parts(op.k, rows))
            case "input_stationary":
                for ks in parts(op.k, rows):
                    yield from (Fold(head, block, range(op.n), ks) for block in parts(op.m, columns))


def vector_elements(op: Op, program: TaskProgram, task: int, design: Accelerator) -> Iterator[Element]:
    """Result elements that a vector unit's task delivers, one block being `array_rows` rows."""
    _, rows, columns = output_shape(op)
    head, panel, block = int(program.head[task]), int(program.panel[task]), int(program.block[task])
    width = design.array_columns if isinstance(op, Gelu | Add) else columns
    for row in range(block * design.array_rows, min((block + 1) * design.array_rows, rows)):
        for column in range(panel * width, min((panel + 1) * width, columns)):
            yield op.name, head, row, column


def source_element(
    op: Op, shapes: dict[str, tuple[int, int, int]], source: str, head: int, row: int, column: int, width: int
) -> Element:
    """The element of a result that an op takes for (head, row, column) of an operand that is `width` wide per head."""
    count, (source_count, _, source_columns) = output_shape(op)[0], shapes[source]
    if count == source_count:
        return source, head, row, column
    if source_count == 1:  # a head reads its slice of a joint result
        return source, 0, row, head * width + column
    return source, column // source_columns, row, column % source_columns  # a joint op reads all heads side by side


def fold_reads(op: MatMul, fold: Fold, shapes: dict[str, tuple[int, int, int]]) -> set[Element]:
    """Elements of both operands that one fold multiplies."""
    left = {source_element(op, shapes, op.inputs[0], fold.head, r, i, op.k) for r in fold.rows for i in fold.ks}
    if op.weights:
        return left
    pairs = product(fold.columns, fold.ks)
    if op.transposed:
        return left | {source_element(op, shapes, op.inputs[1], fold.head, c, i, op.k) for c, i in pairs}
    return left | {source_element(op, shapes, op.inputs[1], fold.head, i, c, op.n) for c, i in pairs}


@dataclass
class Elements:
    """When the elements of results are there, and what each task reads."""

    shapes: dict[str, tuple[int, int, int]]
    ready: dict[Element, int] = field(default_factory=dict)
    reads: dict[int, set[Element]] = field(default_factory=dict)

    def add_product(self, op: MatMul, program: TaskProgram, done: dict[int, int], design: Accelerator) -> None:
        """Tasks are rounds, the next fold for each array; an element is there after its last partial sum, or, where
        operands and results are staged, after the product's last task."""
        order = list(folds(op, design))
        rounds = [order[first : first + design.n_arrays] for first in range(0, len(order), design.n_arrays)]
        n_made: dict[Element, int] = {}
        for task, in_round in zip(done, rounds, strict=True):
            assert program.macs[task] == sum(len(f.rows) * len(f.columns) * len(f.ks) for f in in_round)
            self.reads[task] = set().union(*(fold_reads(op, fold, self.shapes) for fold in in_round))
            for fold in in_round:
                for row, column in product(fold.rows, fold.columns):
                    element = op.name, fold.head, row, column
                    n_made[element] = n_made.get(element, 0) + len(fold.ks)
                    self.ready[element] = done[task]
        assert n_made == {(op.name, *place): op.k for place in product(*map(range, output_shape(op)))}
        if design.array.fold.stages_operands:
            last = {fold.head: done[task] for task, in_round in zip(done, rounds, strict=True) for fold in in_round}
            self.ready |= {element: last[element[1]] for element in n_made}

    def add_vector_op(self, op: Op, program: TaskProgram, done: dict[int, int], design: Accelerator) -> None:
        """An element is there after the one task that delivers it."""
        written = [(task, element) for task in done for element in vector_elements(op, program, task, design)]
        places = sorted(element[1:] for _, element in written)
        assert places == list(product(*map(range, output_shape(op)))), "every element is delivered once"
        self.ready |= {element: done[task] for task, element in written}
        columns = output_shape(op)[2]
        for task, (_, head, row, column) in written:
            wanted = range(columns) if isinstance(op, Softmax | LayerNorm) else (column,)
            self.reads.setdefault(task, set()).update(
                source_element(op, self.shapes, source, head, row, c, columns) for source in op.inputs for c in wanted
            )


def data_ready(ops: tuple[Op, ...], program: TaskProgram, starts: list[int], design: Accelerator) -> dict[int, int]:
    """The cycle at which the last element is there that a task of the arrays or of a vector unit reads.

    Elements of the group's input are there at cycle 0. Asserts that every element is delivered, and every product
    made, once.
    """
    elements = Elements({GROUP_INPUT: (1, 0, 0)} | {op.name: output_shape(op) for op in ops})
    for index, op in enumerate(ops):
        tasks = [t for t in range(program.n_tasks) if program.op[t] == index and program.unit[t] != Unit.DMA]
        done = {task: starts[task] + int(program.latency_cycles[task]) for task in tasks}
        if isinstance(op, MatMul):
            elements.add_product(op, program, done, design)
        elif not isinstance(op, ExitHead | ExitDecision):
            elements.add_vector_op(op, program, done, design)
    return {
        task: max((elements.ready[e] for e in read if e[0] != GROUP_INPUT), default=0)
        for task, read in elements.reads.items()
    }
