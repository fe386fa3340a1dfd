from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.accelerator import ExitOverlap
from hexit.hw_model.design_files import load_design
from hexit.hw_model.memory.channel import MemoryChannel
from hexit.hw_model.rounding import ceil_div
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.records import from_json, to_json
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import ExitHead, LayerNorm, encoder_workload
from hexit.sim.analysis.timeline import PANELS, WAITING, Timeline, sentence_timeline
from hexit.sim.core.compile import compile_program
from hexit.sim.core.lone_sentence import simulate_sentence
from hexit.sim.core.program import UNIT_NAMES, Program, TaskProgram, Unit
from hexit.sim.core.sentence import SentenceRun
from support.oracles_engine import Machine, Task, add_program, exported
from support.strategies import DECISION, LAWS, programs
from support.streams import table_of

EMBEDDING = 0  # first op of a prologue: its look-ups go to no panel buffer


def dependencies(group: TaskProgram, task: int) -> list[int]:
    found: list[int] = group.dependency[group.first_dependency[task] : group.first_dependency[task + 1]].tolist()
    return found


def naive_sentence(program: Program) -> list[Task]:
    """Every task of a sentence through all layers, on the machine that is stepped cycle by cycle."""
    machine, tasks = Machine(), []
    ports: list[Task | None] = [None] * program.prologue.n_ports
    for group in (program.prologue, *(program.layer, program.exit) * program.n_layers):
        mine = add_program(machine, group, ports)
        ports = [ports[0], *exported(group, ports, mine)]
        if group is program.exit and program.accelerator.exit_overlap == "stall":
            ports[0] = mine[group.decision - group.n_ports]
        tasks += mine
    machine.run()
    return tasks


def albert_run() -> SentenceRun:
    workload = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 64)
    channel = MemoryChannel(bytes_per_cycle=64.0, latency_cycles=20)
    program = compile_program(workload, load_design("default"), channel, DECISION)
    return simulate_sentence(program)


@given(programs(), st.data())
@LAWS
def test_intervals_on_a_unit_never_overlap_and_add_up(program: Program, data: st.DataObject) -> None:
    exit_layer = data.draw(st.integers(1, program.n_layers))
    timeline = sentence_timeline(simulate_sentence(program), exit_layer)
    table = table_of(program)
    for unit, name in enumerate(UNIT_NAMES):
        mine = [i for i in timeline.intervals if i.unit == name]
        assert all(before.end_cycle <= after.start_cycle for before, after in pairwise(mine))
        kept = sum(i.end_cycle - i.start_cycle for i in mine if not i.squashed)
        lost = sum(i.end_cycle - i.start_cycle for i in mine if i.squashed)
        assert kept == table.busy_cycles[exit_layer - 1, unit]
        assert lost == table.wasted_cycles[exit_layer - 1, unit]
    assert all(0 <= i.start_cycle <= i.end_cycle <= i.ready_cycle <= timeline.total_cycles for i in timeline.intervals)
    assert sum(i.macs for i in timeline.intervals if not i.squashed) == table.macs[exit_layer - 1]
    assert sum(i.n_bytes for i in timeline.intervals if not i.squashed) == table.off_chip_bytes[exit_layer - 1]
    assert (
        max(i.ready_cycle for i in timeline.intervals) == timeline.total_cycles == table.latency_cycles[exit_layer - 1]
    )


@given(programs(), st.data())
@LAWS
def test_an_arrow_starts_at_a_result_and_ends_where_it_is_used(program: Program, data: st.DataObject) -> None:
    exit_layer = data.draw(st.integers(1, program.n_layers))
    timeline = sentence_timeline(simulate_sentence(program), exit_layer)
    for flow in timeline.flows:
        source, target = timeline.intervals[flow.source], timeline.intervals[flow.target]
        assert target.squashed or source.ready_cycle <= target.start_cycle
        assert (source.unit == "dma") == (flow.kind == "weights")


@given(programs(), st.data())
@LAWS
def test_arrows_of_an_exit_are_what_the_layer_hands_to_the_head_and_to_the_decision(
    program: Program, data: st.DataObject
) -> None:
    exit_layer = data.draw(st.integers(1, program.n_layers))
    timeline = sentence_timeline(simulate_sentence(program), exit_layer)
    arrows = [(timeline.intervals[f.source], timeline.intervals[f.target]) for f in timeline.flows if f.kind == "exit"]
    pooled = {op.name: op.pooled_rows for op in program.workload.exit if isinstance(op, ExitHead)}
    n_pooled = ceil_div(next(iter(pooled.values())), program.accelerator.array_rows)
    for layer in range(1, exit_layer + 1):
        mine = [arrow for arrow in arrows if arrow[1].layer == layer]
        assert {source.layer for source, _ in mine} == {layer}
        read = sorted(s.block for s, t in mine if t.unit == "head" and s.unit != "head")
        assert read == list(range(n_pooled))
        assert {s.op for s, t in mine if s.unit not in ("head", "decision")} == {program.layer.op_names[-1]}
        ends = {(s.unit, s.block) for s, t in mine if t.unit == "decision"}
        last = program.workload.layer[-1]
        assert isinstance(last, LayerNorm)
        assert ends == {("head", 0), ("layer_norm", program.layer.n_blocks - 1)}


def levels_by_cycle(timeline: Timeline, name: str) -> list[int]:
    found = [0] * timeline.total_cycles
    for counter in timeline.counters:
        if counter.name == name:
            for cycle, level in zip(counter.cycles, counter.levels, strict=True):
                found[cycle:] = [level] * (timeline.total_cycles - cycle)
    return found


@given(programs(), st.data())
@LAWS
def test_a_panel_is_taken_from_its_transfer_to_its_last_use_and_never_more_than_there_are_buffers(
    program: Program, data: st.DataObject
) -> None:
    run = simulate_sentence(program)
    exit_layer = data.draw(st.integers(1, program.n_layers))
    timeline = sentence_timeline(run, exit_layer)
    groups = [(program.prologue, run.prologue_start)]
    for layer in range(program.n_layers):
        groups += [(program.layer, run.layer_start[layer]), (program.exit, run.exit_start[layer])]
    wanted = [0] * timeline.total_cycles
    for group, starts in groups:
        for task in np.flatnonzero(group.unit == Unit.DMA):
            if (group is program.prologue) and group.op[task] == EMBEDDING:
                continue
            readers = [t for t in range(group.n_tasks) if task + group.n_ports in dependencies(group, t)]
            last_use = max(starts[t] + group.latency_cycles[t] for t in readers)
            for cycle in range(starts[task], min(last_use, timeline.total_cycles)):
                wanted[cycle] += 1
    assert levels_by_cycle(timeline, PANELS) == wanted
    assert max(wanted) <= program.accelerator.n_weight_buffers
    assert {c.capacity for c in timeline.counters if c.name == PANELS} <= {program.accelerator.n_weight_buffers}


@given(programs(), st.data())
@LAWS
def test_tasks_wait_for_a_unit_as_a_machine_stepped_cycle_by_cycle_says(program: Program, data: st.DataObject) -> None:
    timeline = sentence_timeline(simulate_sentence(program), data.draw(st.integers(1, program.n_layers)))
    tasks = naive_sentence(program)
    for unit, name in enumerate(UNIT_NAMES):
        wanted = [0] * timeline.total_cycles
        for task in tasks:
            if task.unit == unit:
                operands = max((before.start + before.latency for before in task.after), default=0)
                for cycle in range(operands, min(task.start, timeline.total_cycles)):
                    wanted[cycle] += 1
        assert levels_by_cycle(timeline, f"{WAITING} {name}") == wanted


@given(programs(), st.data())
@LAWS
def test_levels_are_changes_in_order_and_end_at_nothing(program: Program, data: st.DataObject) -> None:
    timeline = sentence_timeline(simulate_sentence(program), data.draw(st.integers(1, program.n_layers)))
    for counter in timeline.counters:
        assert all(before < after for before, after in pairwise(counter.cycles))
        assert all(before != after for before, after in pairwise((0, *counter.levels)))
        assert min(counter.levels) == counter.levels[-1] == 0
        assert counter.cycles[-1] <= timeline.total_cycles


def test_a_timeline_survives_json() -> None:
    timeline = sentence_timeline(albert_run(), 1)
    assert from_json(Timeline, to_json(timeline)) == timeline


@pytest.mark.parametrize("exit_layer", [0, 13])
def test_an_exit_that_does_not_exist_has_no_timeline(exit_layer: int) -> None:
    with pytest.raises(ConfigError, match=rf"exit_layer = {exit_layer}: must be one of the exits"):
        sentence_timeline(albert_run(), exit_layer)


@given(programs(), st.data())
@LAWS
def test_engines_of_a_pipeline_have_units_and_panel_buffers_of_their_own(program: Program, data: st.DataObject) -> None:
    n_engines = data.draw(st.integers(1, program.n_layers))
    overlap: ExitOverlap = data.draw(st.sampled_from(("stall", "speculate")))
    design = replace(program.accelerator, mapping="spatial", n_engines=n_engines, exit_overlap=overlap)
    run = simulate_sentence(compile_program(program.workload, design, program.channel, DECISION))
    timeline = sentence_timeline(run, data.draw(st.integers(1, program.n_layers)))
    tracks: dict[tuple[int, str], list[tuple[int, int]]] = {}
    for interval in timeline.intervals:
        tracks.setdefault((interval.engine, interval.unit), []).append((interval.start_cycle, interval.end_cycle))
    for spans in tracks.values():
        busy = [span for span in sorted(spans) if span[0] < span[1]]
        assert all(before[1] <= after[0] for before, after in pairwise(busy))
    assert {engine for engine, _ in tracks} <= set(range(1, n_engines + 1))
    for counter in timeline.counters:
        assert max(counter.levels) <= (counter.capacity or max(counter.levels))
