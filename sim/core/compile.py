"""Compiles a workload and a design into programs of tasks, once per group of ops; `sim.core.op_tasks` cuts the ops.

A design with stages of its own is compiled by `sim.core.stage_program`, into the same kind of program.

Tiles are as small as the data flow allows unless the program gets too long: then folds of the inner loop are merged
into larger tiles, and the totals stay.
"""

from __future__ import annotations

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.memory.buffers import check_activations, place_weights
from hexit.hw_model.memory.channel import MemoryChannel, engine_channel
from hexit.hw_model.packing import most_products_per_dsp
from hexit.hw_model.rounding import ceil_div
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.workload import MatMul, Op, Softmax, Workload, output_shape
from hexit.sim.core.op_tasks import GroupContext, add_op
from hexit.sim.core.program import Program, TaskProgram
from hexit.sim.core.stage_program import compile_stage_program
from hexit.sim.core.task_list import TaskList
from hexit.sim.core.tiles import n_inner_folds, n_tiles

MAX_TASKS = 250_000  # tasks of one program; beyond it folds are merged into larger tiles


def compile_program(
    workload: Workload,
    accelerator: Accelerator,
    channel: MemoryChannel,
    decision: TaskCycles,
    head: TaskCycles | None = None,
) -> Program:
    """Compile a workload for a design, memory channel and exit decision unit; engines share the channel equally.

    `head`: an exit head that was built, with its weights inside, behind the design's own pooling; without it the
    design's head lanes work.

    Raises DoesNotFit where the buffers are too small, ConfigError where the array cannot take the bit widths.
    """
    if accelerator.regions:
        return compile_stage_program(workload, accelerator, channel, decision, head)
    if accelerator.macs_per_dsp > 1:
        _check_packing(workload.quant, accelerator)
    check_activations(workload, accelerator)
    placement = place_weights(workload, accelerator)
    merged = _merged_folds(workload.layer, accelerator)

    def compiled(ops: tuple[Op, ...], streamed: bool) -> TaskProgram:
        return compile_ops(
            ops,
            workload.quant,
            accelerator,
            engine_channel(channel, accelerator.n_engines),
            rows=workload.sequence_length,
            streamed=streamed,
            decision=decision,
            head=head,
            merged=merged,
        )

    return Program(
        workload=workload,
        accelerator=accelerator,
        channel=channel,
        placement=placement,
        prologue=compiled(workload.prologue, placement.prologue_streamed),
        layer=compiled(workload.layer, placement.layer_streamed),
        exit=compiled(workload.exit, placement.exit_streamed),
    )


def compile_ops(
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
    """Compile one group of ops whose input has `rows` rows; `streamed` says where its stored weights come from.

    `merged` folds make one tile, as many as the length of the program asks for where it is None.
    """
    context = GroupContext(
        quant=quant,
        accelerator=accelerator,
        channel=channel,
        merged=merged or _merged_folds(ops, accelerator),
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


def _check_packing(quant: QuantConfig, accelerator: Accelerator) -> None:
    """Raise ConfigError where no slice makes even two of the products that a design wants to pack."""
    if most_products_per_dsp(quant.activation_bits, quant.weight_bits, accelerator.macs_per_dsp) == 1:
        raise ConfigError(
            "design.macs_per_dsp",
            accelerator.macs_per_dsp,
            f"no DSP slice makes two products of {quant.activation_bits} x {quant.weight_bits} bits",
            "Try macs_per_dsp = 1 or --bits 8",
        )


def _merged_folds(ops: tuple[Op, ...], accelerator: Accelerator) -> int:
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
