from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.accelerator import layers_per_engine
from hexit.quant.arrays import Integers
from hexit.sim.core.levels import Levels
from hexit.sim.core.program import NONE, Program, Unit
from hexit.sim.core.queueing import FULL, LATE, SERVED, UNLIMITED, Admission
from hexit.sim.core.spatial import SpatialResult, simulate_spatial
from hexit.sim.core.spatial_costs import SpatialCosts, spatial_costs, spatial_run
from support.examples import examples
from support.oracles_spatial import Machine
from support.spatial_tables import (
    albert_table,
    made_up,
    small_tables,
    spatial,
    spatial_tables,
    streams,
    with_design,
)
from support.strategies import LAWS, exits_of, programs
from support.streams import stream_of, table_of


def run(table: SpatialCosts, stream: tuple[Integers, Integers], n_places: int | None = None) -> SpatialResult:
    return simulate_spatial([table], *stream, fifo_sentences=n_places)


def highest(levels: Levels) -> int:
    return int(levels.level.max(initial=0))


@given(programs(), st.sampled_from(["stall", "speculate"]), st.data())
@LAWS
def test_one_engine_is_the_temporal_design(program: Program, overlap: str, data: st.DataObject) -> None:
    temporal = with_design(program, exit_overlap=overlap)
    leaves = np.array(data.draw(exits_of(program)))
    arrival = np.cumsum([data.draw(st.integers(0, 2000)) for _ in leaves])
    expected = stream_of(temporal, leaves, arrival)
    result = run(spatial(program, 1, overlap), (leaves, arrival))
    assert (result.start_cycle == expected.start_cycle).all()
    assert (result.finish_cycle == expected.finish_cycle).all()
    wasted = result.squashed[0]
    assert (wasted.cycles == expected.wasted_cycles).all()
    assert (wasted.op_cycles == expected.wasted_op_cycles[0]).all()
    assert (wasted.macs, wasted.n_bytes) == (expected.wasted_macs, expected.wasted_bytes)


@pytest.mark.slow
@given(small_tables(), st.integers(1, 3), st.data())
@examples(200)
def test_the_recurrence_equals_a_machine_stepped_cycle_by_cycle(
    table: SpatialCosts, n_places: int, data: st.DataObject
) -> None:
    leaves, arrival = data.draw(streams(table))
    result = run(table, (leaves, arrival), n_places)
    seen = Machine(table, leaves.tolist(), arrival.tolist(), n_places).run()
    entered = {(i, g): t for (i, g), t in np.ndenumerate(result.entered_cycle) if t != NONE}
    handed = {(i, g): t for (i, g), t in np.ndenumerate(result.handed_cycle) if t != NONE}
    assert entered == seen.entered
    assert handed == seen.handed
    assert result.finish_cycle.tolist() == [seen.finish[i] for i in range(leaves.size)]
    assert result.busy_cycles.tolist() == seen.busy
    assert result.blocked_cycles.tolist() == seen.blocked
    assert result.squashed_cycles.tolist() == seen.squashed
    assert result.fifo_high_water.tolist() == seen.fifo_high
    assert [highest(result.fifo_level(engine)) for engine in range(1, table.n_engines)] == seen.fifo_high
    assert highest(result.undecided_level()) == seen.undecided_high
    assert highest(result.reorder_level()) == seen.reorder_high


def test_five_sentences_and_what_exits_leave_behind_them() -> None:
    """Three engines of one layer, 10 cycles each, and exits of 2 cycles; one place between two engines.

        cycle        0         12        24        36        48        60        72        84
        engine 1     A         B         C         D         E         .
        engine 2               A         .         C         D         .
        engine 3                         A         .         .         D         .
        leaves                           B         A C                 E         D

    B leaves engine 1 and C engine 2: the bubbles behind them reach the last engine. E overtakes D.
    """
    table = made_up([10, 10, 10], n_engines=3, exit_cycles=2, speculates=False)
    result = run(table, (np.array([3, 1, 2, 3, 1]), np.zeros(5, np.int64)))
    assert result.entered_cycle.tolist() == [
        [0, 12, 24],
        [12, NONE, NONE],
        [24, 36, NONE],
        [36, 48, 60],
        [48, NONE, NONE],
    ]
    assert result.finish_cycle.tolist() == [36, 24, 48, 72, 60]
    assert result.busy_cycles.tolist() == [60, 36, 24]
    assert result.starved_cycles.tolist() == [12, 36, 48]
    assert result.blocked_cycles.tolist() == result.squashed_cycles.tolist() == [0, 0, 0]
    in_order = replace(table.program.accelerator, result_order="in_order")
    held = run(
        replace(table, program=replace(table.program, accelerator=in_order)), (result.exit_layer, np.zeros(5, np.int64))
    )
    assert held.delivered_cycle.tolist() == [36, 36, 48, 72, 72]
    assert highest(held.reorder_level()) == 1


def test_a_sentence_that_leaves_is_squashed_in_the_engine_behind() -> None:
    """As above, but the second engine takes 30 cycles: A is in it when B leaves, so B goes from its place, unseen."""
    table = made_up([10, 30], n_engines=2, exit_cycles=2, speculates=True)
    result = run(table, (np.array([1, 2, 1, 1]), np.zeros(4, np.int64)))
    assert result.entered_cycle.tolist() == [[0, 10], [12, 22], [24, NONE], [36, NONE]]
    assert result.handed_cycle.tolist() == [[10], [22], [34], [46]]
    assert result.finish_cycle.tolist() == [12, 54, 36, 48]
    assert result.squashed_cycles.tolist() == [0, 2]
    assert result.fifo_high_water.tolist() == [1]


def test_a_sentence_leaves_before_it_finds_a_place() -> None:
    """A is in the slow engine 2 up to 37, B in the only place; C leaves at 21, D has to wait for the place of B."""
    table = made_up([2, 30], n_engines=2, exit_cycles=5, speculates=True)
    result = run(table, (np.array([2, 2, 1, 2]), np.zeros(4, np.int64)))
    assert result.handed_cycle.tolist() == [[2], [9], [NONE], [37]]
    assert result.entered_cycle.tolist() == [[0, 2], [7, 37], [14, NONE], [21, 72]]
    assert result.finish_cycle.tolist() == [37, 72, 21, 107]
    assert result.blocked_cycles.tolist() == [9, 0]  # D: decided at 28, handed on at 37


@given(spatial_tables(), st.data())
@LAWS
def test_squashed_work_is_what_had_begun_task_by_task(table: SpatialCosts, data: st.DataObject) -> None:
    result = run(table, data.draw(streams(table, longest_gap=5000)))
    wasted, macs, n_bytes = [0] * len(Unit), 0, 0
    for i, leaves in enumerate(result.exit_layer.tolist()):
        for engine, entered in enumerate(result.entered_cycle[i].tolist()):
            first = int(np.searchsorted(table.engine, engine))
            for layer in range(table.runs[engine].layer_start.shape[0]):
                if entered == NONE or first + layer < leaves:
                    continue
                starts = table.runs[engine].layer_start[layer], table.runs[engine].exit_start[layer]
                for tasks, begin in zip((table.program.layer, table.program.exit), starts, strict=True):
                    for t, start in enumerate(begin.tolist()):
                        occupancy = int(tasks.occupancy_cycles[t])
                        left = int(result.finish_cycle[i]) - entered - start
                        if start == NONE or left <= 0:
                            continue
                        done = min(occupancy, left)
                        wasted[tasks.unit[t]] += done
                        share = (done, occupancy) if occupancy else (1, 1)
                        macs += int(tasks.macs[t]) * share[0] // share[1]
                        n_bytes += int(tasks.n_bytes[t]) * share[0] // share[1]
    assert result.squashed[0].cycles.tolist() == wasted
    assert (result.squashed[0].macs, result.squashed[0].n_bytes) == (macs, n_bytes)


@given(spatial_tables(), st.data())
@LAWS
def test_the_time_of_every_engine_is_accounted_for(table: SpatialCosts, data: st.DataObject) -> None:
    result = run(table, data.draw(streams(table, longest_gap=5000)))
    cycles = np.stack([result.busy_cycles, result.blocked_cycles, result.squashed_cycles, result.starved_cycles])
    assert (cycles >= 0).all()
    assert (cycles.sum(axis=0) == result.total_cycles).all()
    last_engine = table.engine[result.exit_layer - 1]
    visits = [(last_engine >= engine).sum() for engine in range(table.n_engines)]
    assert visits[0] == result.exit_layer.size
    assert (np.diff(visits) <= 0).all()
    useful = [
        int(table.decision_cycle[leaves - 1]) if engine == last_engine[i] else int(table.service_cycles[engine])
        for i, leaves in enumerate(result.exit_layer.tolist())
        for engine in range(int(last_engine[i]) + 1)
    ]
    assert result.busy_cycles.sum() == sum(useful)


@given(spatial_tables())
@LAWS
def test_decisions_of_a_sentence_fall_in_the_order_of_its_layers(table: SpatialCosts) -> None:
    open_for = table.service_cycles - table.hand_over_cycles
    first = [
        min(t for t in [*table.decision_cycle[table.engine == g].tolist(), 10**9] if t != NONE)
        for g in range(table.n_engines)
    ]
    assert (open_for[:-1] <= first[1:]).all()
    assert (open_for >= 0).all()
    assert (table.hand_over_cycles >= table.hidden_cycles).all()
    for engine, cycle in enumerate(table.hand_over_cycles.tolist()):
        assert (table.decision_cycle[table.engine == engine][:-1] <= cycle).all()


@given(spatial_tables())
@LAWS
def test_engines_behind_the_first_begin_with_a_layer_in_the_cycle_of_the_entry(table: SpatialCosts) -> None:
    assert table.runs[0].prologue_start.min() == 0
    for run_of_engine in table.runs[1:]:
        assert run_of_engine.prologue_start.size == 0
        assert run_of_engine.layer_start[0].min() == 0


def test_a_slow_exit_holds_the_hand_over_back_for_all_decisions_but_the_last() -> None:
    """Heads of one lane take longer than two layers: the decision after layer 1 falls after both layers are done."""
    slow = albert_table(6, "speculate", head_lanes=1, array_rows=64, array_columns=64, weight_buffer_kib=10240)
    assert (slow.decision_cycle[:2] > slow.hidden_cycles[0]).all()
    assert slow.hand_over_cycles[0] == slow.decision_cycle[0] < slow.decision_cycle[1] == slow.service_cycles[0]


@given(programs(), st.data())
@LAWS
def test_a_lone_sentence_costs_what_its_table_says(program: Program, data: st.DataObject) -> None:
    n_engines = data.draw(st.integers(1, program.n_layers))
    overlap = data.draw(st.sampled_from(["stall", "speculate"]))
    temporal = table_of(with_design(program, exit_overlap=overlap)).latency_cycles
    table = spatial(program, n_engines, overlap)
    alone = [
        int(run(table, (np.array([k]), np.zeros(1, np.int64))).finish_cycle[0]) for k in range(1, program.n_layers + 1)
    ]
    assert alone == spatial_run(table).decision_cycle.tolist()
    if overlap == "stall":  # a hand-over starts nothing sooner; who speculates has more channels and heads, though
        assert (alone >= temporal).all()


@given(programs(), st.integers(1, 3), st.data())
@LAWS
def test_speculation_is_never_slower_for_any_sentence(program: Program, n_places: int, data: st.DataObject) -> None:
    n_engines = data.draw(st.integers(1, program.n_layers))
    waits, runs = spatial(program, n_engines, "stall"), spatial(program, n_engines, "speculate")
    stream = data.draw(streams(waits, longest_gap=3000))
    assert (run(runs, stream, n_places).finish_cycle <= run(waits, stream, n_places).finish_cycle).all()
    assert run(waits, stream, n_places).squashed_cycles.sum() == 0


@given(small_tables(), st.integers(1, 3), st.data())
@examples(100)
def test_a_deeper_fifo_is_never_slower_for_any_sentence(
    table: SpatialCosts, n_places: int, data: st.DataObject
) -> None:
    stream = data.draw(streams(table))
    shallow, deep = run(table, stream, n_places), run(table, stream, n_places + 1)
    assert (deep.finish_cycle <= shallow.finish_cycle).all()
    assert (run(table, stream, 10**9).blocked_cycles <= deep.blocked_cycles).all()


@given(small_tables(), st.data())
@LAWS
def test_with_large_fifos_engines_are_queues_in_tandem(table: SpatialCosts, data: st.DataObject) -> None:
    stalls = replace(table, hand_over_cycles=table.service_cycles)
    leaves, arrival = data.draw(streams(stalls))
    result = run(stalls, (leaves, arrival), 10**9)
    free = [0] * table.n_engines
    for i, (k, now) in enumerate(zip(leaves.tolist(), arrival.tolist(), strict=True)):
        for engine in range(int(table.engine[k - 1]) + 1):
            start = max(now, free[engine])
            service = table.decision_cycle[k - 1] if engine == table.engine[k - 1] else table.service_cycles[engine]
            now = free[engine] = start + int(service)
        assert result.finish_cycle[i] == now


@given(small_tables(), st.integers(1, 3))
@LAWS
def test_without_exits_the_slowest_engine_sets_the_pace(table: SpatialCosts, n_places: int) -> None:
    n = 60
    full = np.full(n, table.program.n_layers)
    finish = run(table, (full, np.zeros(n, np.int64)), n_places).finish_cycle
    slowest = int(table.service_cycles.max())
    assert (np.diff(finish)[30:] == slowest).all()


@given(small_tables(), st.data())
@LAWS
def test_results_in_order_wait_for_all_earlier_ones(table: SpatialCosts, data: st.DataObject) -> None:
    in_order = replace(table.program.accelerator, result_order="in_order")
    stream = data.draw(streams(table))
    held = run(replace(table, program=replace(table.program, accelerator=in_order)), stream)
    free = run(table, stream)
    assert (held.finish_cycle == free.finish_cycle).all()
    assert (free.delivered_cycle == free.finish_cycle).all()
    assert held.delivered_cycle.tolist() == [
        max(free.finish_cycle[: i + 1].tolist()) for i in range(free.finish_cycle.size)
    ]


@given(small_tables(), st.integers(0, 2), st.integers(0, 30), st.data())
@LAWS
def test_dropped_sentences_leave_no_trace_in_the_engines(
    table: SpatialCosts, n_places: int, deadline: int, data: st.DataObject
) -> None:
    in_order = replace(table.program.accelerator, result_order="in_order")
    table = replace(table, program=replace(table.program, accelerator=in_order))
    leaves, arrival = data.draw(streams(table, longest_gap=4))
    door = Admission(data.draw(st.sampled_from([n_places, UNLIMITED])), deadline, data.draw(st.booleans()))
    result = simulate_spatial([table], leaves, arrival, door)
    served = result.served
    alone = run(table, (leaves[served], arrival[served]))
    assert (result.finish_cycle[served] == alone.finish_cycle).all()
    assert (result.delivered_cycle[served] == alone.delivered_cycle).all()
    assert (result.busy_cycles == alone.busy_cycles).all()
    assert (result.finish_cycle[~served] == NONE).all()
    assert (result.delivered_cycle[~served] == NONE).all()
    waited = result.start_cycle - arrival
    assert (waited[result.verdict == FULL] > 0).all()
    assert ((waited > deadline) & door.drops_late)[result.verdict == LATE].all()
    assert set(result.verdict.tolist()) <= {SERVED, FULL, LATE}


@given(small_tables(), st.data())
@LAWS
def test_sentences_of_two_lengths_use_the_tables_of_their_own(table: SpatialCosts, data: st.DataObject) -> None:
    leaves, arrival = data.draw(streams(table))
    twice = replace(
        table,
        **{name: 2 * getattr(table, name) for name in ("hidden_cycles", "hand_over_cycles", "service_cycles")},
        decision_cycle=np.where(table.decision_cycle == NONE, NONE, 2 * table.decision_cycle),
    )
    second = np.ones_like(leaves)
    long = simulate_spatial([table, twice], leaves, 2 * arrival, program_index=second)
    assert (long.finish_cycle == 2 * run(table, (leaves, arrival)).finish_cycle).all()
    short = simulate_spatial([table, twice], leaves, arrival, program_index=0 * second)
    assert (short.finish_cycle == run(table, (leaves, arrival)).finish_cycle).all()


@given(programs(), st.data())
@LAWS
def test_shares_of_a_users_own_are_the_equal_ones_moved(program: Program, data: st.DataObject) -> None:
    n_engines = data.draw(st.integers(1, program.n_layers))
    everywhere = np.ones(program.n_layers, np.bool_)
    cuts = sorted(data.draw(st.permutations(range(1, program.n_layers)))[: n_engines - 1])
    shares = np.diff([0, *cuts, program.n_layers]).tolist()

    def table(engine_layers: tuple[int, ...] | None) -> SpatialCosts:
        changes = {"mapping": "spatial", "n_engines": n_engines, "engine_layers": engine_layers}
        return spatial_costs(with_design(program, **changes), everywhere)

    assert np.bincount(table(tuple(shares)).engine).tolist() == shares
    equal = table(layers_per_engine(program.n_layers, n_engines))
    assert (equal.service_cycles == table(None).service_cycles).all()


def test_many_sentences_through_twelve_engines_keep_the_first_one_busy_or_starved() -> None:
    table = albert_table(12, "speculate")
    leaves = np.random.default_rng(7).integers(1, 13, 10**5)
    result = run(table, (leaves, np.zeros_like(leaves)))
    assert result.busy_cycles[0] + result.starved_cycles[0] == result.total_cycles
