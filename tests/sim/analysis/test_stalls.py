from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.design_files import load_design
from hexit.hw_model.memory.channel import UNLIMITED, MemoryChannel
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import encoder_workload
from hexit.sim.analysis.stalls import (
    CAUSES,
    NO_WORK,
    WEIGHT_BUFFER,
    kernel_and_transfers,
    op_stall_rows,
    stall_breakdown,
    stall_rows,
)
from hexit.sim.core.compile import compile_program
from hexit.sim.core.lone_sentence import simulate_sentence
from hexit.sim.core.program import NONE, UNIT_NAMES, Program, TaskProgram, Unit
from hexit.sim.core.sentence import SentenceRun
from hexit.sim.plots.stalls import shown_causes
from support.strategies import DECISION, LAWS, programs
from support.streams import table_of


@dataclass(eq=False)
class Task:
    """A task of the whole sentence, with the tasks whose results it reads."""

    unit: int
    start: int
    end: int
    ready: int
    after: list[Task]
    useful: bool


def unrolled(run: SentenceRun, exit_layer: int) -> list[Task]:
    """All tasks of a sentence in program order."""
    program = run.program
    ports: list[Task | None] = [None] * program.prologue.n_ports
    everything: list[Task] = []

    def add(group: TaskProgram, starts: list[int], layer: int) -> list[Task]:
        tasks: list[Task] = []
        for t, start in enumerate(starts):
            numbers = group.dependency[group.first_dependency[t] : group.first_dependency[t + 1]].tolist()
            sources = [ports[n] if n < group.n_ports else tasks[n - group.n_ports] for n in numbers]
            end, ready = start + int(group.occupancy_cycles[t]), start + int(group.latency_cycles[t])
            after = [source for source in sources if source is not None]
            tasks.append(Task(int(group.unit[t]), start, end, ready, after, layer <= exit_layer))
        ports[1:] = [ports[n] if n < group.n_ports else tasks[n - group.n_ports] for n in group.exports.tolist()]
        everything.extend(tasks)
        return tasks

    add(program.prologue, run.prologue_start.tolist(), 0)
    for layer in range(1, program.n_layers + 1):
        add(program.layer, run.layer_start[layer - 1].tolist(), layer)
        if run.decision_cycle[layer - 1] != NONE:
            tasks = add(program.exit, run.exit_start[layer - 1].tolist(), layer)
            if program.accelerator.exit_overlap != "speculate":
                ports[0] = tasks[program.exit.decision - program.exit.n_ports]
    return everything


def watched(run: SentenceRun, exit_layer: int) -> dict[int, Counter[str]]:
    """What each unit does, asked in every single cycle up to the decision."""
    latency = int(run.decision_cycle[exit_layer - 1])
    queues: dict[int, list[Task]] = {unit: [] for unit in Unit}
    for task in unrolled(run, exit_layer):
        if task.useful or task.start < latency:
            queues[task.unit].append(task)
    starts = {unit: [task.start for task in queue] for unit, queue in queues.items()}

    def doing(unit: int, cycle: int) -> str:
        following = bisect_right(starts[unit], cycle)
        for task in reversed(queues[unit][:following]):
            if task.start <= cycle < task.end:
                return "busy" if task.useful else "squashed"
            if task.end > task.start:
                break
        if following == len(queues[unit]):
            return "no work"
        missing = [task for task in queues[unit][following].after if task.ready > cycle]
        results = [task for task in missing if task.unit != Unit.DMA]
        held_by = max(results or missing, key=lambda task: (task.ready, task.unit, task.start))
        if held_by.unit == unit:
            return "own pipeline"
        if held_by.unit == Unit.DECISION:
            return "decision"
        if unit == Unit.DMA:
            return "weight buffer"
        if held_by.unit != Unit.DMA:
            return f"result of {UNIT_NAMES[held_by.unit].replace('_', ' ')}"
        transfer = doing(Unit.DMA, cycle) if cycle < held_by.start else "busy"
        return "memory" if transfer in ("busy", "squashed") else transfer

    return {unit: Counter(doing(unit, cycle) for cycle in range(latency)) for unit in Unit}


def drawn_exit(program: Program, data: st.DataObject) -> tuple[SentenceRun, int]:
    """A run that evaluates some of the exits, and one of these."""
    early = [layer for layer in range(1, program.n_layers) if data.draw(st.booleans())]
    exits = (*early, program.n_layers)
    return simulate_sentence(program, exits), data.draw(st.sampled_from(exits))


@pytest.mark.slow
@given(programs(), st.data())
@LAWS
def test_the_breakdown_is_what_one_sees_who_watches_every_cycle(program: Program, data: st.DataObject) -> None:
    run, exit_layer = drawn_exit(program, data)
    found, seen = stall_breakdown(run, exit_layer), watched(run, exit_layer)
    for unit in Unit:
        causes = dict(zip(CAUSES, found.waiting_cycles[unit].tolist(), strict=True))
        expected = {cause: seen[unit][cause] for cause in CAUSES}
        assert (UNIT_NAMES[unit], causes) == (UNIT_NAMES[unit], expected)
        assert found.busy_cycles[unit] == seen[unit]["busy"]
        assert found.squashed_cycles[unit] == seen[unit]["squashed"]


@given(programs(), st.data())
@LAWS
def test_every_cycle_of_every_unit_has_one_cause_and_none_is_negative(program: Program, data: st.DataObject) -> None:
    run, exit_layer = drawn_exit(program, data)
    found = stall_breakdown(run, exit_layer)
    spent = found.busy_cycles + found.squashed_cycles + found.waiting_cycles.sum(axis=1)
    assert spent.tolist() == [found.latency_cycles] * len(Unit)
    for cycles in (found.busy_cycles, found.squashed_cycles, found.waiting_cycles, found.op_waiting_cycles):
        assert (cycles >= 0).all()
    by_unit = np.delete(found.waiting_cycles, Unit.DMA, axis=0).sum(axis=0)
    by_unit[NO_WORK] = 0
    assert found.op_waiting_cycles.sum(axis=0).tolist() == by_unit.tolist()


@given(programs(), st.data())
@LAWS
def test_busy_and_squashed_are_those_of_the_exit_table(program: Program, data: st.DataObject) -> None:
    run, exit_layer = drawn_exit(program, data)
    table = table_of(program, tuple((np.flatnonzero(run.decision_cycle != NONE) + 1).tolist()))
    found = stall_breakdown(run, exit_layer)
    assert found.busy_cycles.tolist() == table.busy_cycles[exit_layer - 1].tolist()
    assert found.squashed_cycles.tolist() == table.wasted_cycles[exit_layer - 1].tolist()


def with_channel(program: Program, channel: MemoryChannel) -> Program:
    return compile_program(program.workload, program.accelerator, channel, DECISION)


@given(programs(), st.data())
@LAWS
def test_a_memory_without_limits_stalls_nothing(program: Program, data: st.DataObject) -> None:
    run, exit_layer = drawn_exit(with_channel(program, UNLIMITED), data)
    assert (stall_breakdown(run, exit_layer).waiting_cycles[:, CAUSES.index("memory")] == 0).all()
    assert kernel_and_transfers(run, exit_layer).exposed_cycles == 0


@given(programs(), st.data())
@LAWS
def test_a_sentence_lies_between_its_kernel_and_kernel_plus_transfers(program: Program, data: st.DataObject) -> None:
    run, exit_layer = drawn_exit(with_channel(program, program.channel), data)
    found = kernel_and_transfers(run, exit_layer)
    assert found.kernel_cycles <= found.latency_cycles <= found.kernel_cycles + found.transfer_cycles
    assert found.dma_busy_cycles == stall_breakdown(run, exit_layer).busy_cycles[Unit.DMA] <= found.latency_cycles
    exits = tuple((np.flatnonzero(run.decision_cycle != NONE) + 1).tolist())
    kernel = simulate_sentence(with_channel(program, UNLIMITED), exits)
    assert found.kernel_cycles == kernel.decision_cycle[exit_layer - 1]


@given(programs(), st.data())
@LAWS
def test_who_never_waits_for_memory_gains_nothing_from_a_faster_one(program: Program, data: st.DataObject) -> None:
    run, exit_layer = drawn_exit(program, data)
    behind_memory = stall_breakdown(run, exit_layer).waiting_cycles[:, CAUSES.index("memory")].sum()
    assert behind_memory > 0 or kernel_and_transfers(run, exit_layer).exposed_cycles == 0


def group(base: TaskProgram, rows: list[tuple[Unit, int, int, list[int]]], exports: list[int]) -> TaskProgram:
    """A hand-made group of one op with ports 0 (gate), 1 (input), 2 (weight buffer); tasks count from 3."""
    zeros = np.zeros(len(rows), np.int64)
    decisions = [3 + number for number, row in enumerate(rows) if row[0] is Unit.DECISION]
    return replace(
        base,
        op_names=("op",),
        n_blocks=1,
        n_ports=3,
        unit=np.array([row[0] for row in rows]),
        occupancy_cycles=np.array([row[1] for row in rows]),
        latency_cycles=np.array([row[2] for row in rows]),
        first_dependency=np.cumsum([0, *(len(row[3]) for row in rows)]),
        dependency=np.concatenate([row[3] for row in rows]),
        exports=np.array(exports),
        decision=decisions[0] if decisions else NONE,
        op=zeros,
        head=zeros,
        panel=zeros,
        block=zeros,
        macs=zeros,
        n_bytes=zeros,
    )


@pytest.fixture(scope="module")
def story() -> SentenceRun:
    """Two layers of two products whose weights pass through one panel buffer.

    prologue    DMA 0..2, there at 5; ADD 5..6, there at 7
    layer 1     DMA 2..6, there at 8; ARRAY 8..11, there at 13; the second panel waits for the buffer until 13:
                DMA 13..17, there at 19; ARRAY 19..22, there at 24; layer norm 24..25, there at 29
    exit 1      HEAD 29..31, there at 32; DECISION 32..33, there at 35
    layer 2     as layer 1, 33 cycles later: its first transfer waits for the decision
    """
    program = compile_program(
        encoder_workload(replace(ALBERT_BASE, n_layers=2), QuantConfig.uniform(8), 8),
        load_design("default"),
        UNLIMITED,
        DECISION,
    )
    layer: list[tuple[Unit, int, int, list[int]]] = [
        (Unit.DMA, 4, 6, [2, 0]),
        (Unit.ARRAY, 3, 5, [1, 3]),
        (Unit.DMA, 4, 6, [4]),
        (Unit.ARRAY, 3, 5, [1, 5]),
        (Unit.LAYER_NORM, 1, 5, [6]),
    ]
    return simulate_sentence(
        replace(
            program,
            prologue=group(program.prologue, [(Unit.DMA, 2, 5, [0]), (Unit.ADD, 1, 2, [3])], [4, 2]),
            layer=group(program.layer, layer, [7, 6]),
            exit=group(program.exit, [(Unit.HEAD, 2, 3, [1]), (Unit.DECISION, 1, 3, [1, 3])], [1, 2]),
        )
    )


def test_a_story_of_two_layers(story: SentenceRun) -> None:
    assert story.layer_start.tolist() == [[2, 8, 13, 19, 24], [35, 41, 46, 52, 57]]
    assert story.decision_cycle.tolist() == [35, 68]
    rows = [(row.name, row.cause, row.cycles) for row in stall_rows(stall_breakdown(story, 2))]
    assert rows == [
        ("dma", "busy", 2 + 4 * 4),
        ("dma", "decision", 35 - 17),
        ("dma", "no work", 68 - 50),
        ("dma", "weight buffer", (13 - 6) + (46 - 39)),
        ("array", "busy", 4 * 3),
        # 7..8 the transfer alone is missing; 11..13 it waits for the buffer, 13..19 it runs; the same in layer 2,
        # where the operand is there at 29, the transfer waits for the decision until 35 and runs 35..41
        ("array", "memory", 1 + 6 + 6 + 6),
        ("array", "no work", 68 - 55),
        ("array", "result of layer norm", 29 - 22),
        ("array", "result of add", 7),
        ("array", "decision", 35 - 29),
        ("array", "weight buffer", 2 + 2),
        ("softmax", "no work", 68),
        ("layer_norm", "busy", 2),
        ("layer_norm", "result of array", 24 + (57 - 25)),
        ("layer_norm", "no work", 68 - 58),
        ("gelu", "no work", 68),
        ("add", "busy", 1),
        ("add", "no work", 68 - 6),
        ("add", "memory", 5),
        ("head", "busy", 2 * 2),
        ("head", "result of layer norm", 29 + (62 - 31)),
        ("head", "no work", 68 - 64),
        ("decision", "busy", 2),
        ("decision", "result of head", 32 + (65 - 33)),
        ("decision", "no work", 68 - 66),
    ]


def test_the_waits_of_an_op_are_those_of_its_compute_units(story: SentenceRun) -> None:
    found = stall_breakdown(story, 1)
    assert found.op_names == ("op", "op", "op")
    assert found.waiting_cycles[Unit.DMA, WEIGHT_BUFFER] == 7
    assert [(row.cause, row.cycles) for row in op_stall_rows(found)] == [
        ("memory", 5),
        ("result of array", 24),
        ("memory", 7),
        ("result of add", 7),
        ("weight buffer", 2),
        ("result of head", 32),
        ("result of layer norm", 29),
    ]
    assert [row.latency_fraction for row in op_stall_rows(found)][:2] == [5 / 35, 24 / 35]


def test_kernel_and_transfers_of_the_story(story: SentenceRun) -> None:
    found = kernel_and_transfers(story, 1)
    assert (found.latency_cycles, found.kernel_cycles) == (35, 2 + 5 + 5 + 5 + 3 + 3)
    assert (found.transfer_cycles, found.dma_busy_cycles, found.exposed_cycles) == (5 + 6 + 6, 10, 12)


def test_an_exit_that_is_not_evaluated_is_refused(story: SentenceRun) -> None:
    run = simulate_sentence(story.program, (2,))
    for ask in (stall_breakdown, kernel_and_transfers):
        with pytest.raises(ConfigError, match=r"exit_layer = 1: must be one of the exits \[2\]"):
            ask(run, 1)


def test_stages_wait_for_results_in_front_and_for_room_behind() -> None:
    """64 tokens are four packs, a FIFO holds two: what is quick fills it, and waits for the slow stage behind."""
    design = load_design("hls-bert-u280-opt5")
    program = compile_program(encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 64), design, UNLIMITED, DECISION)
    found = stall_breakdown(simulate_sentence(program), 2)
    waits: dict[str, set[str]] = {}
    for row in stall_rows(found):
        waits.setdefault(row.name, set()).add(row.cause)
    assert waits["load_keys_values"] - {"busy", "no work"} == {"rest of the layer", "value to be free"}
    assert waits["key"] - {"busy", "no work"} == {"result of load keys values"}
    assert waits["ffn_add"] - {"busy", "no work"} == {"result of ffn out", "stage in front"}
    assert waits["head"] - {"busy", "no work"} == {"rest of the layer"}
    of_ops = {row.cause for row in op_stall_rows(found) if row.name == "load_keys_values"}
    assert of_ops == waits["load_keys_values"] - {"busy", "no work"}


def test_a_picture_shows_the_waits_of_stages_by_kind_and_leaves_none_out() -> None:
    design = load_design("hls-bert-u280-opt5")
    program = compile_program(encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 64), design, UNLIMITED, DECISION)
    found = stall_breakdown(simulate_sentence(program), 2)
    shown, looks = shown_causes(found)
    assert len(looks) == len(shown.causes) <= 10
    assert shown.waiting_cycles.sum(axis=1).tolist() == found.waiting_cycles.sum(axis=1).tolist()
    assert shown.op_waiting_cycles.sum(axis=1).tolist() == found.op_waiting_cycles.sum(axis=1).tolist()
    behind = sum(row.cycles for row in stall_rows(found) if row.cause.endswith("to be free"))
    assert shown.waiting_cycles[:, shown.causes.index("a stage further on to be free")].sum() == behind > 0
