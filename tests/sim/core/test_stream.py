from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.design_files import load_design
from hexit.hw_model.gemm import roofline_cycles
from hexit.hw_model.memory.channel import MemoryChannel
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.arrays import Integers
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import encoder_workload
from hexit.sim.core.compile import compile_program
from hexit.sim.core.lone_sentence import simulate_sentence
from hexit.sim.core.program import NONE, Program, Unit
from hexit.sim.core.queueing import LATE, Admission
from hexit.sim.core.spatial import simulate_spatial
from hexit.sim.core.spatial_costs import spatial_costs
from hexit.sim.core.stream import run_slots, stream_work
from hexit.sim.core.stream_levels import largest_queue, stream_levels
from support.oracles_engine import naive_stream
from support.strategies import DECISION, LAWS, exits_of, programs
from support.streams import stream_of, table_of

CHANNEL = MemoryChannel(bytes_per_cycle=76.8, latency_cycles=20)


def with_design(program: Program, channel: MemoryChannel | None = None, **changes: object) -> Program:
    design = replace(program.accelerator, **changes)  # type: ignore[arg-type]
    decision = program.exit.decision - program.exit.n_ports
    cost = TaskCycles(
        occupancy_cycles=int(program.exit.occupancy_cycles[decision]),
        latency_cycles=int(program.exit.latency_cycles[decision]),
    )
    return compile_program(program.workload, design, channel or program.channel, cost)


def stalling(program: Program) -> Program:
    return with_design(program, exit_overlap="stall")


def speculating(program: Program) -> Program:
    return with_design(program, exit_overlap="speculate")


def interleaving(program: Program, n: int) -> Program:
    return with_design(program, exit_overlap="interleave", n_interleaved=n)


def albert(design: Accelerator) -> Program:
    workload = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 128)
    return compile_program(workload, design, CHANNEL, DECISION)


def zeros(leaves: list[int]) -> Integers:
    return np.zeros(len(leaves), np.int64)


@given(programs(), st.data())
@LAWS
def test_the_table_of_a_stalling_design_equals_simulating_every_layer(program: Program, data: st.DataObject) -> None:
    program, leaves = stalling(program), data.draw(exits_of(program))
    result = stream_of(program, leaves)
    start, finish, _ = run_slots([program], np.array(leaves), zeros(leaves), 1)
    assert (result.start_cycle == start).all()
    assert (result.finish_cycle == finish).all()


@pytest.mark.slow
@given(programs(), st.integers(1, 3), st.data())
@LAWS
def test_turns_equal_a_machine_stepped_cycle_by_cycle(program: Program, n_slots: int, data: st.DataObject) -> None:
    leaves = data.draw(exits_of(program))
    start, finish, _ = run_slots([program], np.array(leaves), zeros(leaves), n_slots)
    assert list(zip(start.tolist(), finish.tolist(), strict=True)) == naive_stream(program, leaves, n_slots)


@given(programs())
@LAWS
def test_a_later_exit_is_never_cheaper(program: Program) -> None:
    table = table_of(program)
    assert (table.latency_cycles > 0).all()
    for column in (table.latency_cycles, table.macs, table.off_chip_bytes):
        assert (np.diff(column) >= 0).all()
    assert (np.diff(table.busy_cycles, axis=0) >= 0).all()


@given(programs())
@LAWS
def test_latency_lies_between_the_busiest_unit_and_everything_in_sequence(program: Program) -> None:
    table = table_of(program)
    groups = (program.prologue, program.layer, program.exit)
    in_sequence = [int(group.latency_cycles.sum()) for group in groups]
    for k, latency in enumerate(table.latency_cycles, start=1):
        assert table.busy_cycles[k - 1].max() <= latency <= in_sequence[0] + k * (in_sequence[1] + in_sequence[2])


@given(programs())
@LAWS
def test_latency_respects_both_rooflines_and_work_is_conserved(program: Program) -> None:
    table, workload = table_of(program), program.workload
    for k, latency in enumerate(table.latency_cycles, start=1):
        assert table.macs[k - 1] == workload.sentence_macs(k)
        on_array = workload.prologue_macs + k * workload.layer_macs
        assert latency >= roofline_cycles(on_array, program.accelerator)
        n_bytes = program.prologue.n_bytes.sum() + k * (program.layer.n_bytes.sum() + program.exit.n_bytes.sum())
        assert table.off_chip_bytes[k - 1] == n_bytes
        assert latency >= n_bytes / program.channel.bytes_per_cycle


@given(programs(), st.floats(1.0, 8.0))
@LAWS
def test_more_bandwidth_is_never_slower(program: Program, factor: float) -> None:
    faster = replace(program.channel, bytes_per_cycle=program.channel.bytes_per_cycle * factor)
    quick = table_of(with_design(program, faster)).latency_cycles
    assert (quick <= table_of(program).latency_cycles).all()


@given(programs())
@LAWS
def test_one_more_panel_buffer_is_never_slower(program: Program) -> None:
    more = with_design(program, n_weight_buffers=program.accelerator.n_weight_buffers + 1)
    assert (table_of(more).latency_cycles <= table_of(program).latency_cycles).all()


@given(programs(), st.sampled_from(["softmax", "layer_norm", "gelu", "add", "head"]))
@LAWS
def test_more_lanes_are_never_slower(program: Program, unit: str) -> None:
    lanes = getattr(program.accelerator, f"{unit}_lanes")
    more = with_design(program, **{f"{unit}_lanes": 2 * lanes})
    assert (table_of(more).latency_cycles <= table_of(program).latency_cycles).all()


@given(programs())
@LAWS
def test_speculation_is_never_slower_than_stalling_and_wastes_only_then(program: Program) -> None:
    waits, runs = table_of(stalling(program)), table_of(speculating(program))
    assert (runs.latency_cycles <= waits.latency_cycles).all()
    assert (runs.macs == waits.macs).all()
    assert waits.wasted_cycles.sum() == waits.wasted_macs.sum() == waits.wasted_bytes.sum() == 0
    assert runs.wasted_macs[-1] == 0  # nothing follows the last layer


@given(programs())
@LAWS
def test_squashed_work_is_what_the_later_layers_had_begun(program: Program) -> None:
    program = speculating(program)
    run, table = simulate_sentence(program), table_of(program)
    for k, decision in enumerate(run.decision_cycle.tolist()):
        wasted = [0] * len(Unit)
        macs = 0
        for tasks, starts in ((program.layer, run.layer_start), (program.exit, run.exit_start)):
            for begin in starts[k + 1 :].tolist():
                for t, start in enumerate(begin):
                    occupancy = int(tasks.occupancy_cycles[t])
                    if start < decision:
                        done = min(occupancy, decision - start)
                        wasted[tasks.unit[t]] += done
                        macs += int(tasks.macs[t]) * done // occupancy if occupancy else 0
        assert table.wasted_cycles[k].tolist() == wasted
        assert table.wasted_macs[k] == macs
        assert table.wasted_bytes[k] <= program.layer.n_bytes.sum() * (program.n_layers - k)


@given(programs(), st.data())
@LAWS
def test_the_work_of_a_stream_is_that_of_its_sentences(program: Program, data: st.DataObject) -> None:
    leaves = data.draw(exits_of(program))
    result = stream_of(program, leaves)
    useful, wasted = stream_work([program], result)
    assert sum(mac.n for mac in useful.macs) == result.macs == sum(map(program.workload.sentence_macs, leaves))
    assert (useful.off_chip_bytes, wasted.off_chip_bytes) == (result.off_chip_bytes, result.wasted_bytes)
    assert (result.n_layers, result.n_exits) == (sum(leaves), sum(leaves))
    n_tasks = sum(leaves) * (program.layer.n_tasks + program.exit.n_tasks)
    assert abs(sum(mac.n for mac in wasted.macs) - result.wasted_macs) <= n_tasks  # rounded per op, not per task
    assert (wasted.vector_elements > 0) <= (result.wasted_cycles.sum() > 0)
    everything, _ = stream_work([program], stream_of(program, [*leaves, *leaves]))
    assert everything == useful + useful


def test_squashed_work_counts_in_proportion() -> None:
    program = speculating(albert(replace(load_design("default"), head_lanes=1)))  # a late decision
    one, two = stream_of(program, [1]), stream_of(program, [2])
    _, wasted = stream_work([program], one)
    useful, _ = stream_work([program], two)
    assert abs(sum(mac.n for mac in wasted.macs) - one.wasted_macs) <= program.layer.n_tasks
    assert 0 < wasted.vector_elements < useful.vector_elements
    assert 0.6 < one.wasted_macs / program.workload.layer_macs < 0.7  # a head of 591,360 cycles in a layer of 909,312


@pytest.mark.slow
@given(programs(), st.integers(2, 3), st.data())
@LAWS
def test_interleaving_conserves_work_and_keeps_sentences_in_order(
    program: Program, n: int, data: st.DataObject
) -> None:
    leaves = data.draw(exits_of(program))
    alone, together = stream_of(stalling(program), leaves), stream_of(interleaving(program, n), leaves)
    assert together.macs == alone.macs
    assert (together.busy_cycles == alone.busy_cycles).all()
    assert together.busy_cycles.max() <= together.total_cycles
    assert (np.diff(together.start_cycle) >= 0).all()
    assert together.n_sentences == len(leaves)
    in_flight = [(together.start_cycle <= t) & (together.finish_cycle > t) for t in together.start_cycle]
    assert max(int(mask.sum()) for mask in in_flight) <= n
    assert (together.latency_cycles >= table_of(stalling(program)).latency_cycles[np.array(leaves) - 1]).all()


@given(programs(), st.lists(st.integers(0, 400), min_size=6, max_size=6).map(sorted), st.data())
@LAWS
def test_a_queue_of_one_server_is_lindleys_recurrence(
    program: Program, arrivals: list[int], data: st.DataObject
) -> None:
    leaves = data.draw(st.lists(st.integers(1, program.n_layers), min_size=6, max_size=6))
    result = stream_of(program, leaves, arrivals)
    latency = table_of(program).latency_cycles
    free = 0
    for i, (arrival, layer) in enumerate(zip(arrivals, leaves, strict=True)):
        free = max(free, arrival) + int(latency[layer - 1])
        assert (result.finish_cycle[i], result.latency_cycles[i]) == (free, free - arrival)
    start, finish, _ = run_slots([stalling(program)], np.array(leaves), np.array(arrivals), 1)
    if program.accelerator.exit_overlap == "stall":
        assert (start.tolist(), finish.tolist()) == (result.start_cycle.tolist(), result.finish_cycle.tolist())


@given(programs(), st.integers(2, 3), st.data())
@LAWS
def test_sentences_far_apart_do_not_feel_each_other(program: Program, n: int, data: st.DataObject) -> None:
    leaves = data.draw(exits_of(program))
    alone = table_of(stalling(program)).latency_cycles
    arrivals = np.arange(len(leaves)) * (int(alone[-1]) + 1)
    result = stream_of(interleaving(program, n), leaves, arrivals)
    assert result.latency_cycles.tolist() == [alone[layer - 1] for layer in leaves]


def test_a_closed_loop_has_no_waiting_and_a_heap_of_arrivals_has() -> None:
    program = albert(load_design("default"))
    latency = table_of(program).latency_cycles
    closed, heap = stream_of(program, [3, 1, 12]), stream_of(program, [3, 1, 12], [0, 0, 0])
    assert closed.latency_cycles.tolist() == [latency[2], latency[0], latency[11]]
    assert heap.latency_cycles.tolist() == np.cumsum(closed.latency_cycles).tolist()
    assert closed.total_cycles == heap.total_cycles == heap.latency_cycles[-1]
    assert (closed.utilisation_fraction <= 1).all()


def test_without_early_exits_there_is_one_head_and_no_waiting() -> None:
    program = albert(load_design("default"))
    table = table_of(program, evaluated_layers=(12,))
    assert (table.latency_cycles[:-1] == NONE).all()
    assert table.latency_cycles[-1] < table_of(program).latency_cycles[-1]
    assert table.macs[-1] == program.workload.sentence_macs(12) - 11 * program.workload.exit_macs
    start, finish, _ = run_slots([program], np.array([12]), np.array([0]), 1, (12,))
    assert (start[0], finish[0]) == (0, table.latency_cycles[-1])


def test_albert_base_on_the_default_design() -> None:
    table = table_of(albert(load_design("default")))
    per_layer = np.diff(table.latency_cycles)
    folds = 909_312  # MACs / 1,024: no control between folds
    assert table.busy_cycles[-1, Unit.ARRAY] == 12 * folds + 4 * 24 * 128
    assert per_layer.tolist() == [per_layer[0]] * 11
    assert folds <= per_layer[0] < 1.005 * folds


@pytest.mark.parametrize(
    ("exits", "arrivals", "message"),
    [
        ([], None, r"exit_layer = .*: must be a list of at least one layer"),
        ([13], None, r"exit_layer = 13: must be one of the exits"),
        ([1, 2], [5, 3], r"arrivals = .*: must be 2 cycles, not negative, not falling"),
        ([1, 2], [5], r"arrivals = .*: must be 2 cycles"),
        ([1, 2], [-1, 3], r"arrivals = .*: must be 2 cycles, not negative"),
    ],
)
def test_impossible_streams_are_refused(exits: list[int], arrivals: list[int] | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        stream_of(albert(load_design("default")), exits, arrivals)


@pytest.mark.parametrize("evaluated_layers", [(3,), (0, 12), (12, 13)])
def test_impossible_exits_are_refused(evaluated_layers: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"evaluated_layers = .*: must lie in 1\.\.12 and contain 12"):
        simulate_sentence(albert(load_design("default")), evaluated_layers)


@given(programs(), st.data())
@LAWS
def test_one_spatial_engine_is_the_temporal_one(program: Program, data: st.DataObject) -> None:
    leaves = data.draw(exits_of(program))
    arrivals = np.cumsum(data.draw(st.lists(st.integers(0, 500), min_size=len(leaves), max_size=len(leaves))))
    temporal, spatial = (with_design(program, mapping=mapping) for mapping in ("temporal", "spatial"))
    for when in (None, arrivals):
        one, other = stream_of(temporal, leaves, when), stream_of(spatial, leaves, when)
        for field in (field for field in fields(one) if field.name != "spatial"):
            assert np.array_equal(getattr(one, field.name), getattr(other, field.name)), field.name
    assert (table_of(temporal).latency_cycles == table_of(spatial).latency_cycles).all()


@pytest.mark.parametrize("overlap", ["stall", "speculate"])
def test_several_engines_serve_a_heap_of_sentences_faster_with_the_same_work(overlap: str) -> None:
    leaves, heap = [12, 6, 12, 6, 6, 12, 4, 6, 12, 6], [0] * 10  # 6: handed over to an engine that is slower, and busy
    one, five = (
        stream_of(
            albert(replace(load_design("default"), mapping="spatial", n_engines=n, exit_overlap=overlap)),  # type: ignore[arg-type]
            leaves,
            heap,
        )
        for n in (1, 5)
    )
    assert five.total_cycles < 0.6 * one.total_cycles
    design = replace(load_design("default"), mapping="spatial", n_engines=5, exit_overlap=overlap)  # type: ignore[arg-type]
    table = spatial_costs(albert(design), np.ones(12, np.bool_))
    direct = simulate_spatial([table], np.array(leaves), np.array(heap))
    assert (five.finish_cycle == direct.finish_cycle).all()
    assert (five.wasted_cycles == direct.squashed[0].cycles).all()
    assert (five.wasted_op_cycles == direct.squashed[0].op_cycles).all()
    assert (five.wasted_macs, five.wasted_bytes) == (direct.squashed[0].macs, direct.squashed[0].n_bytes)
    assert (five.macs, five.n_layers, five.n_exits) == (one.macs, one.n_layers, one.n_exits)
    assert (five.latency_cycles > 0).all()
    assert (five.utilisation_fraction <= 1).all()
    assert five.utilisation_fraction[Unit.ARRAY] > 0.25


def test_levels_over_time_add_up_to_the_stream() -> None:
    """Means over bins times their lengths are the cycles waited, served and worked."""
    program = albert(load_design("default"))
    leaves, arrivals = np.resize([3, 1, 12, 5], 40), np.arange(40) * 1_000_000
    result = stream_of(program, leaves, arrivals, admission=Admission(3, 5_000_000, True))
    assert result.n_dropped_full > 0
    assert result.n_dropped_late > 0
    levels = stream_levels(result, 7)
    widths = np.diff(levels.edge_cycle)
    assert widths.size == 7
    served = result.served
    late = result.verdict == LATE
    waited = (result.start_cycle - result.arrival_cycle)[served].sum() + 5_000_000 * late.sum()
    in_service = (result.finish_cycle - result.start_cycle)[served].sum()
    assert levels.waiting @ widths == pytest.approx(waited, rel=1e-12)
    assert levels.in_service @ widths == pytest.approx(in_service, rel=1e-12)
    assert widths @ levels.utilisation_fraction == pytest.approx(result.busy_cycles, rel=1e-12)
    assert largest_queue(result) == 3
    assert levels.in_service.max() <= 1
