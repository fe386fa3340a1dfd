"""Compiles a workload and a design into programs of tasks, once per group of ops; `sim.core.op_tasks` cuts the ops.

Tiles are as small as the data flow allows unless the program gets too long: then folds of the inner loop are merged
into larger tiles, and the totals stay.
"""

from __future__ import annotations

import numpy as np

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.memory.buffers import check_activations, place_weights
from hexit.hw_model.memory.channel import MemoryChannel, engine_channel
from hexit.hw_model.packing import most_products_per_dsp
from hexit.hw_model.rounding import ceil_div
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.workload import MatMul, Op, Softmax, Workload, output_shape
from hexit.sim.core.op_tasks import GroupContext, tiled_ops, transfers
from hexit.sim.core.program import Program, TaskProgram
from hexit.sim.core.task_builder import TASK_COLUMNS, build_tasks
from hexit.sim.core.tiled_ops import INPUT, TILED_OP
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
    tiled, export = tiled_ops(ops, rows, context)
    loads = transfers(ops, context)
    built = build_tasks(np.array(list(tiled), TILED_OP), loads.n_bytes, tiled[INPUT].row_tiles, accelerator.n_weight_buffers, export)
    columns = dict(zip(TASK_COLUMNS, built.columns, strict=True))
    columns["occupancy_cycles"][built.transfer] = loads.occupancy_cycles
    columns["latency_cycles"][built.transfer] = loads.latency_cycles
    return TaskProgram(
        op_names=tuple(op.name for op in ops),
        n_blocks=tiled[INPUT].row_tiles,
        n_ports=1 + tiled[INPUT].row_tiles + accelerator.n_weight_buffers,
        first_dependency=built.first_dependency,
        dependency=built.dependency,
        exports=built.exports,
        decision=built.decision,
        **columns,
    )


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
        return n_inner_folds(op, accelerator.array)
    return ceil_div(output_shape(op)[1], accelerator.array_rows)


def _tiles(op: Op, accelerator: Accelerator, merged: int) -> int:
    if isinstance(op, MatMul):
        return n_tiles(op, accelerator.array, merged)
    count, rows, columns = output_shape(op)
    return count * ceil_div(rows, merged * accelerator.array_rows) * ceil_div(columns, accelerator.array_columns)
