"""Naive models of the engine: a machine stepped cycle by cycle, and data dependencies element by element."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hw_model.accelerator import Accelerator
from quant.workload import Add, Embed, ExitDecision, ExitHead, Gelu, LayerNorm, MatMul, Op, Softmax, output_shape
from sim.schedule import Program, TaskProgram, Unit

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


def naive_stream(program: Program, exit_layers: list[int], n_slots: int) -> list[tuple[int, int]]:
    """(start, finish) of every sentence of a closed loop with `n_slots` taking turns, each layer stalling."""
    machine = Machine()
    n_blocks = program.layer.n_blocks
    queue = list(enumerate(exit_layers))
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

    return [(end(begins[s]), end(ends[s])) for s in range(len(exit_layers))]


def elements_written(op: Op, program: TaskProgram, task: int, design: Accelerator) -> Iterator[Element]:
    """Result elements that a compute task delivers, one block being `array_rows` rows."""
    _, rows, columns = output_shape(op)
    head, panel, block = int(program.head[task]), int(program.panel[task]), int(program.block[task])
    tiled = isinstance(op, MatMul | Gelu | Add)
    width = design.array_columns if tiled else columns
    for row in range(block * design.array_rows, min((block + 1) * design.array_rows, rows)):
        for column in range(panel * width, min((panel + 1) * width, columns)):
            yield op.name, head, row, column


def elements_read(op: Op, written: Element, shapes: dict[str, tuple[int, int, int]]) -> Iterator[Element]:
    """Elements of the op's inputs that one element of its result is made from, by the definition of the op."""
    _, head, row, column = written
    count = output_shape(op)[0]

    def at(source: str, row: int, column: int, width: int) -> Element:
        source_count, _, source_columns = shapes[source]
        if count == source_count:
            return source, head, row, column
        if source_count == 1:  # a head reads its slice of a joint result
            return source, 0, row, head * width + column
        return source, column // source_columns, row, column % source_columns  # a joint op reads all heads side by side

    match op:
        case MatMul():
            for i in range(op.k):
                yield at(op.inputs[0], row, i, op.k)
                if not op.weights:
                    yield at(op.inputs[1], column, i, op.k) if op.transposed else at(op.inputs[1], i, column, op.n)
        case Softmax() | LayerNorm():
            for i in range(op.columns):
                yield at(op.inputs[0], row, i, op.columns)
        case Gelu() | Add():
            for source in op.inputs:
                yield at(source, row, column, op.columns)
        case Embed() | ExitHead() | ExitDecision():
            return


def broken_data_dependencies(ops: tuple[Op, ...], program: TaskProgram, starts: list[int], design: Accelerator) -> int:
    """Count the (reader, element) pairs where a task starts before an element that it reads is there."""
    shapes = {op.name: output_shape(op) for op in ops}
    ready: dict[Element, int] = {}
    readers: list[tuple[int, Op, Element]] = []
    for task in range(program.n_tasks):
        op = ops[int(program.op[task])]
        if program.unit[task] != Unit.DMA and not isinstance(op, ExitHead | ExitDecision):
            for element in elements_written(op, program, task, design):
                assert element not in ready, "two tasks deliver the same element"
                ready[element] = starts[task] + int(program.latency_cycles[task])
                readers.append((starts[task], op, element))
    for name, (count, rows, columns) in shapes.items():
        delivered = sum(element[0] == name for element in ready)
        assert delivered in (0, count * rows * columns), f"{name} is delivered in part"
    shapes["input"] = (1, 0, 0)
    return sum(
        ready[source] > start
        for start, op, element in readers
        for source in set(elements_read(op, element, shapes))
        if source[0] != "input"
    )
