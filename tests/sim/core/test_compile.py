from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hexit.sim.core.compile
from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import DATAFLOWS, Dataflow, FoldTiming, staging_cycles
from hexit.hw_model.design_files import load_design
from hexit.hw_model.gemm import roofline_cycles
from hexit.hw_model.memory.channel import UNLIMITED, MemoryChannel, transfer_cycles
from hexit.hw_model.task_cycles import TaskCycles
from hexit.hw_model.vector import exit_head_cycles, pooling_cycles
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError, DoesNotFit
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import (
    Add,
    ExitHead,
    Gelu,
    LayerNorm,
    MatMul,
    Op,
    Softmax,
    Workload,
    encoder_workload,
    group_vector_bytes,
    group_weight_bytes,
)
from hexit.sim.core.compile import compile_ops, compile_program
from hexit.sim.core.program import NONE, Program, TaskProgram, Unit
from support.examples import examples
from support.op_programs import INT8, finish_cycle, one_op, product, whole_product_cycles
from support.oracles_engine import data_ready, folds, naive_starts
from support.oracles_vector import stepped_head_cycles, stepped_vector_cycles
from support.strategies import DECISION, LAWS, channels, designs, in_every_data_flow, programs, workloads

DEFAULT = load_design("default")
SIZE = st.integers(1, 12)


@given(SIZE, SIZE, SIZE, st.integers(1, 3), designs(), st.integers(1, 4))
@LAWS
def test_one_product_equals_its_closed_form_however_its_folds_are_merged(
    m: int, k: int, n: int, count: int, design: Accelerator, merged: int
) -> None:
    op = product(m, k, n, count)
    flows = in_every_data_flow(design)
    queueing = [replace(flow, requantisation_lanes=1) for flow in flows]  # results that queue for the lanes
    for variant in (design, *flows, *queueing):
        tasks = one_op(op, variant, merged=merged)
        assert finish_cycle(tasks) == whole_product_cycles(op, variant)
        assert tasks.macs.sum() == count * m * k * n


@given(SIZE, SIZE, SIZE, st.integers(1, 3), designs())
@LAWS
def test_every_data_flow_makes_the_same_products(m: int, k: int, n: int, count: int, design: Accelerator) -> None:
    op = product(m, k, n, count)
    flows = in_every_data_flow(design)
    assert {int(one_op(op, flow).macs.sum()) for flow in flows} == {count * m * k * n}
    assert all(one_op(op, flow).n_tasks == -(-len(list(folds(op, flow))) // flow.n_arrays) for flow in flows)


@given(SIZE, SIZE, st.integers(1, 3), designs())
@LAWS
def test_one_vector_op_equals_a_stepped_unit(rows: int, columns: int, count: int, design: Accelerator) -> None:
    softmax = Softmax(name="s", rows=rows, columns=columns, count=count)
    norm = LayerNorm(name="n", rows=rows, columns=columns)
    gelu, add = Gelu(name="g", rows=rows, columns=columns), Add(name="a", rows=rows, columns=columns)
    for op in (softmax, norm, gelu, add):
        assert finish_cycle(one_op(op, design)) == stepped_vector_cycles(op, design)


def test_elementwise_ops_take_a_row_tile_by_tile() -> None:
    """Tiles of 8, 8 and 2 columns, 3 at a time."""
    design = replace(DEFAULT, array_columns=8, gelu_lanes=3, gelu_depth_cycles=5)
    tasks = one_op(Gelu(name="g", rows=5, columns=18), design)
    assert (tasks.busy_cycles()[Unit.GELU], finish_cycle(tasks)) == (5 * (3 + 3 + 1), 5 * 7 + 5)


@given(SIZE, SIZE, SIZE, st.booleans(), designs())
@LAWS
def test_one_exit_head_equals_its_closed_form_and_a_stepped_head(
    hidden: int, n_classes: int, rows: int, pooler: bool, design: Accelerator
) -> None:
    op = ExitHead(name="h", hidden_size=hidden, n_classes=n_classes, pooler=pooler, pooled_rows=rows)
    assert finish_cycle(one_op(op, design)) == exit_head_cycles(op, design).latency_cycles
    assert finish_cycle(one_op(op, design)) == stepped_head_cycles(op, design)


@given(SIZE, SIZE, SIZE, designs(), channels())
@LAWS
def test_streamed_weights_delay_a_product_by_its_first_panel_at_least(
    m: int, k: int, n: int, design: Accelerator, channel: MemoryChannel
) -> None:
    op = MatMul(name="x", m=m, k=k, n=n, weights=True)
    program = one_op(op, design, channel, streamed=True)
    first_panel = transfer_cycles(int(program.n_bytes[0]), channel).latency_cycles
    array = design.array
    if array.dataflow == "input_stationary":
        first = replace(op, k=min(k, array.rows * array.n_arrays))
    else:
        first = replace(op, n=min(n, array.columns * array.n_arrays))
    assert finish_cycle(program) >= first_panel + whole_product_cycles(first, design)
    assert program.n_bytes.sum() == group_weight_bytes((op,), INT8) + group_vector_bytes((op,), INT8)


@given(programs())
@LAWS
def test_macs_and_bytes_of_a_program_are_those_of_the_workload(program: Program) -> None:
    workload, placement = program.workload, program.placement
    groups = (
        (program.prologue, workload.prologue, placement.prologue_streamed, workload.embedding_bytes),
        (program.layer, workload.layer, placement.layer_streamed, 0),
        (program.exit, workload.exit, placement.exit_streamed, 0),
    )
    for tasks, ops, streamed, table_bytes in groups:
        stored = group_weight_bytes(ops, workload.quant) + group_vector_bytes(ops, workload.quant)
        assert tasks.n_bytes.sum() == streamed * stored + table_bytes
    assert program.prologue.macs.sum() == workload.prologue_macs
    assert program.layer.macs.sum() == workload.layer_macs
    assert program.exit.macs.sum() == workload.exit_macs


@pytest.mark.slow
@given(programs())
@examples(100)
def test_no_task_starts_before_the_elements_that_it_reads_are_there(program: Program) -> None:
    streamed = program.placement.prologue_streamed, program.placement.layer_streamed
    groups = (program.prologue, program.workload.prologue), (program.layer, program.workload.layer)
    for (tasks, ops), loads in zip(groups, streamed, strict=True):
        assert_starts_follow_the_data(ops, tasks, program.accelerator, exact=not loads and tasks is program.layer)


def assert_starts_follow_the_data(
    ops: tuple[Op, ...], tasks: TaskProgram, design: Accelerator, *, exact: bool = True
) -> None:
    """No task starts before what it reads is there; `exact`: nor any later than that and its unit allow."""
    starts, idle_from = naive_starts(tasks), dict.fromkeys(range(len(Unit)), 0)
    ready = data_ready(ops, tasks, starts, design)
    for t, start in enumerate(starts):
        unit = int(tasks.unit[t])
        if t in ready:
            assert start >= ready[t]
            assert not exact or start == max(ready[t], idle_from[unit])
        idle_from[unit] = start + int(tasks.occupancy_cycles[t])


@pytest.mark.slow
@given(programs())
@LAWS
def test_no_program_beats_the_roofline_of_its_units_and_its_bandwidth(program: Program) -> None:
    for tasks in (program.prologue, program.layer, program.exit):
        cycles, busy = finish_cycle(tasks), tasks.busy_cycles()
        on_arrays = int(tasks.macs[tasks.unit == Unit.ARRAY].sum())
        assert busy.max() <= cycles <= (tasks.latency_cycles).sum()
        assert busy[Unit.ARRAY] >= roofline_cycles(on_arrays, program.accelerator)
        assert cycles * program.channel.bytes_per_cycle >= tasks.n_bytes.sum()


@pytest.mark.slow
@given(workloads(), designs(), channels(), st.integers(2, 8))
@LAWS
def test_more_bandwidth_or_more_panel_buffers_are_never_slower(
    workload: Workload, design: Accelerator, channel: MemoryChannel, factor: int
) -> None:
    def cycles(design: Accelerator, channel: MemoryChannel) -> int:
        rows = workload.sequence_length
        return finish_cycle(compile_ops(workload.layer, workload.quant, design, channel, rows=rows, streamed=True))

    before = cycles(design, channel)
    assert cycles(design, replace(channel, bytes_per_cycle=factor * channel.bytes_per_cycle)) <= before
    assert cycles(replace(design, n_weight_buffers=design.n_weight_buffers + 1), channel) <= before


@given(programs())
@LAWS
def test_a_product_waits_for_the_panel_of_weights_that_it_uses(program: Program) -> None:
    tasks = program.layer
    ready = np.array(naive_starts(tasks)) + tasks.latency_cycles
    first_start = {}
    for t in np.flatnonzero(tasks.unit == Unit.ARRAY)[::-1]:
        first_start[int(tasks.op[t]), int(tasks.panel[t])] = int(ready[t] - tasks.latency_cycles[t])
    for t in np.flatnonzero(tasks.unit == Unit.DMA):
        key = int(tasks.op[t]), int(tasks.panel[t])
        is_product = isinstance(program.workload.layer[key[0]], MatMul)
        assert (key in first_start) == is_product
        assert not is_product or first_start[key] >= ready[t]


@pytest.mark.parametrize(
    ("dataflow", "expected"),
    [
        # panels of 2 columns, slices of 2 values of k; three rows stream through; the sum waits for the second slice
        ("weight_stationary", [(0, (0, 0), 3, 5), (3, (0, 1), 6, 8), (6, (1, 0), 9, 11), (9, (1, 1), 12, 14)]),
        # slices of 2 values of k, blocks of 2 and 1 rows; four columns stream through; sums wait for the second slice
        ("input_stationary", [(0, (0, 0), 4, 6), (4, (0, 1), 8, 10), (8, (1, 0), 12, 14), (12, (1, 1), 16, 18)]),
    ],
)
def test_a_small_story_of_operands_that_stand_still(
    dataflow: Dataflow, expected: list[tuple[int, tuple[int, int], int, int]]
) -> None:
    """A 3 x 4 by 4 x 4 product on a 2 x 2 array with 2 cycles of skew, and GELU behind it, 2 lanes, no depth."""
    design = replace(
        DEFAULT,
        array_rows=2,
        array_columns=2,
        fold=FoldTiming(),
        dataflow=dataflow,
        gelu_lanes=2,
        gelu_depth_cycles=0,
    )
    ops = MatMul(name="x", m=3, k=4, n=4, weights=True), Gelu(name="g", rows=3, columns=4, inputs=("x",))
    tasks = compile_ops(ops, INT8, design, UNLIMITED, rows=3, streamed=False)
    log = [
        (start, (int(tasks.panel[t]), int(tasks.block[t])), start + busy, start + latency)
        for t, (start, busy, latency) in enumerate(
            zip(naive_starts(tasks), tasks.occupancy_cycles.tolist(), tasks.latency_cycles.tolist(), strict=True)
        )
    ]
    array = (tasks.unit == Unit.ARRAY).tolist()
    assert [entry for entry, on_array in zip(log, array, strict=True) if on_array] == expected
    gelu_starts = [entry[0] for entry, on_array in zip(log, array, strict=True) if not on_array]
    # weight stationary, panel by panel, both blocks of rows; input stationary, rows 0..1 at 14 and row 2 at 18
    assert gelu_starts == ([8, 10, 14, 16] if dataflow == "weight_stationary" else [14, 18, 19, 21])


def test_operands_are_staged_before_the_first_and_behind_the_last_fold_of_each_product() -> None:
    """Two heads of 4 x 4 by 4 x 2 on a 2 x 2 array: 8 + 2 (4 + 1) words in, 4 out, folds of 2 + 4 + 2 + 6 cycles."""
    design = replace(
        DEFAULT,
        array_rows=2,
        array_columns=2,
        dataflow="weight_stationary",
        array_preset="rtl_simple",
    )
    op = MatMul(name="x", m=4, k=4, n=2, count=2, weights=False, inputs=("input", "input"))
    tasks = one_op(op, design)
    assert tasks.occupancy_cycles.tolist() == [18 + 14, 14 + 4] * 2
    assert tasks.op_cycles().sum() == sum(staging_cycles(4, 4, 2, design.array) + 2 * 14 for _ in range(2))


def test_heads_share_a_round_of_several_arrays() -> None:
    """Three heads of one fold each on two arrays: two rounds, the second for one head alone."""
    design = replace(DEFAULT, n_arrays=2, fold=FoldTiming())
    heads = MatMul(name="s", m=8, k=5, n=8, count=3, weights=False, transposed=True, inputs=("input", "input"))
    tasks = one_op(heads, design)
    assert tasks.occupancy_cycles.tolist() == [5, 5]
    assert tasks.macs.tolist() == [2 * 8 * 5 * 8, 8 * 5 * 8]


@pytest.mark.parametrize("n_arrays", [1, 2])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize(("rows", "columns"), [(1, 3), (3, 1), (2, 3), (3, 2)])
def test_a_result_is_handed_on_block_by_block_where_its_data_flow_allows_it(
    rows: int, columns: int, dataflow: Dataflow, n_arrays: int
) -> None:
    design = replace(DEFAULT, array_rows=rows, array_columns=columns, dataflow=dataflow, n_arrays=n_arrays)
    ops = (
        MatMul(name="x", m=7, k=4, n=5, weights=True),
        MatMul(name="y", m=7, k=5, n=4, weights=True, inputs=("x",)),
        Gelu(name="g", rows=7, columns=4, inputs=("y",)),
    )
    tasks = compile_ops(ops, INT8, design, UNLIMITED, rows=7, streamed=False)
    assert_starts_follow_the_data(ops, tasks, design)


@pytest.mark.parametrize("n_arrays", [1, 3])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("n_heads", [1, 3])
@pytest.mark.parametrize("columns", [1, 2, 3])
@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_heads_wait_for_their_part_of_a_joint_result_that_comes_slowly(
    width: int, columns: int, n_heads: int, dataflow: Dataflow, n_arrays: int
) -> None:
    rows = 5
    design = replace(
        DEFAULT,
        array_rows=2,
        array_columns=columns,
        n_arrays=n_arrays,
        dataflow=dataflow,
        gelu_lanes=1,
    )
    joint = Gelu(name="joint", rows=rows, columns=n_heads * width)
    shape: dict[str, Any] = {"count": n_heads, "m": rows, "weights": False}
    for reader in (
        MatMul(name="q", k=width, n=rows, transposed=True, inputs=("joint", "input"), **shape),
        MatMul(name="k", k=width, n=rows, transposed=True, inputs=("input", "joint"), **shape),
        MatMul(name="v", k=rows, n=width, inputs=("input", "joint"), **shape),
    ):
        tasks = compile_ops((joint, reader), INT8, design, UNLIMITED, rows=rows, streamed=False)
        assert_starts_follow_the_data((joint, reader), tasks, design)


@given(programs())
@LAWS
def test_a_program_is_well_formed(program: Program) -> None:
    for tasks in (program.prologue, program.layer, program.exit):
        reader = np.repeat(np.arange(tasks.n_tasks), np.diff(tasks.first_dependency))
        assert (tasks.dependency - tasks.n_ports < reader).all()  # program order is a topological order
        assert (np.diff(tasks.first_dependency) >= 1).all()  # every task waits for the gate, itself or through others
        assert (tasks.occupancy_cycles >= 0).all()
        assert (tasks.latency_cycles >= tasks.occupancy_cycles).all()
        assert tasks.exports.size == tasks.n_ports - 1
    assert program.prologue.decision == program.layer.decision == NONE
    assert program.exit.unit[program.exit.decision - program.exit.n_ports] == Unit.DECISION


@given(programs())
@LAWS
def test_a_panel_transfer_waits_for_the_buffer_that_it_overwrites(program: Program) -> None:
    tasks, starts = program.layer, naive_starts(program.layer)
    if not program.placement.layer_streamed:
        assert (tasks.unit != Unit.DMA).all()
        return
    loads = np.flatnonzero(tasks.unit == Unit.DMA)
    for earlier, later in zip(loads, loads[program.accelerator.n_weight_buffers :], strict=False):
        uses = (tasks.op == tasks.op[earlier]) & (tasks.panel == tasks.panel[earlier]) & (tasks.unit != Unit.DMA)
        assert starts[later] >= max((np.array(starts) + tasks.latency_cycles)[uses])


def test_the_heads_take_turns_so_that_scores_run_under_the_softmax() -> None:
    program = compile_for_albert(DEFAULT)
    on_array = program.unit == Unit.ARRAY
    sequence = [
        (program.op_names[op], head) for op, head in zip(program.op[on_array], program.head[on_array], strict=True)
    ]
    runs = [item for index, item in enumerate(sequence) if index == 0 or sequence[index - 1] != item]
    assert runs[:9] == [
        ("query", 0),
        ("key", 0),
        ("value", 0),
        ("scores", 0),
        ("scores", 1),
        ("context", 0),
        ("scores", 2),
        ("context", 1),
        ("scores", 3),
    ]


def compile_for_albert(design: Accelerator) -> TaskProgram:
    workload = encoder_workload(ALBERT_BASE, INT8, 128)
    return compile_ops(workload.layer, INT8, design, UNLIMITED, rows=128, streamed=False)


@pytest.mark.parametrize("n_arrays", [1, 3])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_a_long_program_is_coalesced_without_changing_its_totals(
    monkeypatch: pytest.MonkeyPatch, dataflow: Dataflow, n_arrays: int
) -> None:
    design = replace(DEFAULT, dataflow=dataflow, n_arrays=n_arrays)
    fine = compile_for_albert(design)
    monkeypatch.setattr(hexit.sim.core.compile, "MAX_TASKS", 1100)
    coarse = compile_for_albert(design)
    assert coarse.n_tasks < fine.n_tasks
    assert fine.busy_cycles().tolist() == coarse.busy_cycles().tolist()
    assert fine.macs.sum() == coarse.macs.sum()
    products = [op for op in encoder_workload(ALBERT_BASE, INT8, 128).layer if isinstance(op, MatMul)]
    fold, size = design.array.fold, (design.array_rows, design.array_columns)
    behind = fold.fill.cycles(*size) + fold.drain.cycles(*size)
    assert fine.busy_cycles()[Unit.ARRAY] == sum(whole_product_cycles(op, design) - behind for op in products)


def test_packed_dsps_refuse_wide_operands() -> None:
    workload = encoder_workload(ALBERT_BASE, QuantConfig.uniform(16), 16)
    design = replace(DEFAULT, macs_per_dsp=2)
    with pytest.raises(ConfigError, match=r"design\.macs_per_dsp = 2: no DSP slice makes two products of 16 x 16 b"):
        compile_program(workload, design, UNLIMITED, transfer_cycles(0, UNLIMITED))


def test_a_sentence_that_does_not_fit_is_refused() -> None:
    workload = encoder_workload(ALBERT_BASE, INT8, 512)
    with pytest.raises(DoesNotFit, match="activation_buffer_kib"):
        compile_program(workload, DEFAULT, UNLIMITED, transfer_cycles(0, UNLIMITED))


def test_preloading_the_resident_weights_is_told_apart() -> None:
    workload = encoder_workload(ALBERT_BASE, INT8, 16)
    channel = MemoryChannel(bytes_per_cycle=64.0, latency_cycles=20)
    program = compile_program(workload, DEFAULT, channel, transfer_cycles(0, UNLIMITED))
    assert program.preload_cycles == -(-program.placement.resident_bytes // 64) + 20


@given(programs(), st.integers(0, 9), st.integers(0, 30))
@LAWS
def test_a_built_head_is_one_task_behind_the_pooling_and_fetches_nothing(
    program: Program, occupancy: int, more: int
) -> None:
    built = TaskCycles(occupancy_cycles=occupancy, latency_cycles=occupancy + more)
    exits = compile_program(program.workload, program.accelerator, program.channel, DECISION, built).exit
    head = exits.unit == Unit.HEAD
    last = (exits.occupancy_cycles[head][-1], exits.latency_cycles[head][-1])
    assert last == (occupancy, occupancy + more)
    assert (exits.unit != Unit.DMA).all()
    assert exits.macs.sum() == program.workload.exit_macs
    op = next(op for op in program.workload.exit if isinstance(op, ExitHead))
    first_row = finish_cycle(exits) - DECISION.latency_cycles - occupancy - more
    assert first_row == pooling_cycles(op, program.accelerator).latency_cycles
