"""The straightforward compiler: tasks appended op by op as NumPy columns, everything worked out anew each time."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.memory.buffers import check_activations, place_weights
from hexit.hw_model.memory.channel import MemoryChannel, engine_channel
from hexit.hw_model.rounding import ceil_div
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.config import QuantConfig
from hexit.quant.workload import MatMul, Op, Softmax, Workload, output_shape
from hexit.sim.core.compile import MAX_TASKS
from hexit.sim.core.program import Program, TaskProgram
from support.oracles_op_tasks import GroupContext, add_op
from support.oracles_task_list import TaskList
from support.oracles_tiles import n_inner_folds, n_tiles


def naive_program(
    workload: Workload,
    accelerator: Accelerator,
    channel: MemoryChannel,
    decision: TaskCycles,
    head: TaskCycles | None = None,
) -> Program:
    """`compile_program`, the straightforward way."""
    check_activations(workload, accelerator)
    placement = place_weights(workload, accelerator)
    shared: dict[str, Any] = {
        "rows": workload.sequence_length,
        "decision": decision,
        "head": head,
        "merged": naive_merged_folds(workload.layer, accelerator),
    }
    share = engine_channel(channel, accelerator.n_engines)

    def compiled(ops: tuple[Op, ...], streamed: bool) -> TaskProgram:
        return naive_ops(ops, workload.quant, accelerator, share, streamed=streamed, **shared)

    return Program(
        workload=workload,
        accelerator=accelerator,
        channel=channel,
        placement=placement,
        prologue=compiled(workload.prologue, placement.prologue_streamed),
        layer=compiled(workload.layer, placement.layer_streamed),
        exit=compiled(workload.exit, placement.exit_streamed),
    )


def naive_ops(
    ops: tuple[Op, ...],
    quant: QuantConfig,
    accelerator: Accelerator,
    channel: MemoryChannel,
    *,
    rows: int,
    streamed: bool,
    decision: TaskCycles | None = None,
    head: TaskCycles | None = None,
    merged: int | None = None,
) -> TaskProgram:
    """`compile_ops`, the straightforward way."""
    context = GroupContext(
        quant=quant,
        accelerator=accelerator,
        channel=channel,
        merged=merged or naive_merged_folds(ops, accelerator),
        streamed=streamed,
        decision=decision or TaskCycles(occupancy_cycles=1, latency_cycles=1),
        head=head,
    )
    tasks = TaskList(rows=rows, block_rows=context.block_rows, n_weight_buffers=accelerator.n_weight_buffers)
    group, turn = 0, 0
    for index, op in enumerate(ops):
        per_head = output_shape(op)[0] > 1
        previous_per_head = index > 0 and output_shape(ops[index - 1])[0] > 1
        if not (per_head and previous_per_head):
            group, turn = group + 1, 0
        elif isinstance(ops[index - 1], Softmax):
            turn += 1
        tasks.begin_op(group, turn)
        add_op(tasks, op, context)
    return tasks.program(ops)


def naive_merged_folds(ops: tuple[Op, ...], accelerator: Accelerator) -> int:
    """Folds of a tile: one, doubled until the program is short enough (or a tile holds a whole inner loop)."""
    merged = 1
    while merged < max(_mergeable(op, accelerator) for op in ops):
        if sum(_tiles(op, accelerator, merged) for op in ops) <= MAX_TASKS:
            break
        merged *= 2
    return merged


def _mergeable(op: Op, accelerator: Accelerator) -> int:
    if isinstance(op, MatMul):
        return n_inner_folds(op, accelerator)
    return ceil_div(output_shape(op)[1], accelerator.array_rows)


def _tiles(op: Op, accelerator: Accelerator, merged: int) -> int:
    if isinstance(op, MatMul):
        return n_tiles(op, accelerator, merged)
    count, rows, columns = output_shape(op)
    return count * ceil_div(rows, merged * accelerator.array_rows) * ceil_div(columns, accelerator.array_columns)


def assert_same_tasks(tasks: TaskProgram, expected: TaskProgram) -> None:
    """Every array of two programs is equal, entry by entry and in type, and so is every number."""
    for field in dataclasses.fields(TaskProgram):
        ours, theirs = getattr(tasks, field.name), getattr(expected, field.name)
        if isinstance(theirs, np.ndarray):
            assert ours.dtype == theirs.dtype == np.int64, field.name
            assert ours.tolist() == theirs.tolist(), field.name
        else:
            assert ours == theirs, field.name
