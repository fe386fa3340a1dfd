"""Compiles a workload and a design into programs of tasks, once per group of ops.

`sim.core.op_tasks` cuts the ops into tiles, `sim.core.task_builder` makes tasks of them. Groups are remembered by what
shapes their tasks: `_shaping` says what of a design does not, and of the memory channel only transfers take their
cycles.

A design with stages of its own is compiled by `sim.core.stage_program`, into the same kind of program.

Tiles are as small as the data flow allows unless the program gets too long: then folds of the inner loop are merged
into larger tiles, and the totals stay.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import SystolicArray
from hexit.hw_model.device import Device
from hexit.hw_model.memory.buffers import check_activations, place_weights
from hexit.hw_model.memory.channel import MemoryChannel, engine_channel, gather_cycles, transfer_cycles
from hexit.hw_model.packing import most_products_per_dsp
from hexit.hw_model.rounding import ceil_div
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.arrays import Integers
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.workload import ExitDecision, ExitHead, MatMul, Op, Workload, output_shape
from hexit.sim.core.op_tasks import GroupContext, Transfer, tiled_ops, transfers
from hexit.sim.core.program import Program, TaskProgram, Unit
from hexit.sim.core.stage_program import compile_stage_program
from hexit.sim.core.task_builder import TASK_COLUMNS, BuiltTasks, build_tasks
from hexit.sim.core.tiled_ops import INPUT
from hexit.sim.core.tiles import n_inner_folds, n_tiles

MAX_TASKS = 250_000  # tasks of one program; beyond it folds are merged into larger tiles
MAX_SHARED_TASKS = 8192  # tasks of a group that is remembered, so that all of them together stay small


def compile_program(
    workload: Workload,
    accelerator: Accelerator,
    channel: MemoryChannel,
    decision: TaskCycles,
    head: TaskCycles | None = None,
    device: Device | None = None,
) -> Program:
    """Compile a workload for a design, memory channel and exit decision unit; engines share the channel equally.

    `head`: an exit head that was built, with its weights inside, behind the design's own pooling; without it the
    design's head lanes work. `device`: the part whose memory holds the weights of stages, the design's where absent.

    Raises DoesNotFit where the buffers are too small, ConfigError where the array cannot take the bit widths.
    """
    if accelerator.regions:
        return compile_stage_program(workload, accelerator, channel, decision, head, device)
    if accelerator.macs_per_dsp > 1:
        _check_packing(workload.quant, accelerator)
    check_activations(workload, accelerator)
    placement = place_weights(workload, accelerator)
    merged = _merged_folds(workload.layer, accelerator)
    share = engine_channel(channel, accelerator.n_engines)

    def compiled(ops: tuple[Op, ...], streamed: bool) -> TaskProgram:
        return compile_ops(
            ops,
            workload.quant,
            accelerator,
            share,
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
    has_exit = any(isinstance(op, ExitHead | ExitDecision) for op in ops)
    context = GroupContext(
        quant=quant,
        accelerator=_shaping(accelerator),
        merged=merged or _merged_folds(ops, accelerator),
        streamed=streamed,
        decision=decision if decision and has_exit else TaskCycles(occupancy_cycles=1, latency_cycles=1),
        head=head if has_exit else None,
    )
    shares = _n_tiles(ops, accelerator.array, context.merged) <= MAX_SHARED_TASKS
    return _timed(ops, (shared_group if shares else _build_group)(ops, rows, context), channel)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Group:
    """The tasks of a group without the cycles of its transfers, which the memory channel tells.

    `kind`: which of the `kinds` of transfers each one is; arrays are read-only, for programs share them.
    """

    n_blocks: int
    n_ports: int
    tasks: BuiltTasks
    kinds: tuple[Transfer, ...]
    kind: Integers


def _build_group(ops: tuple[Op, ...], rows: int, context: GroupContext) -> _Group:
    tiled, export = tiled_ops(ops, rows, context)
    loads = transfers(ops, context)
    n_blocks, n_buffers = tiled[INPUT].row_tiles, context.accelerator.n_weight_buffers
    n_bytes = np.array([size for size, _ in loads], np.int64)
    tasks = build_tasks(tiled, n_bytes, n_buffers, export)
    kinds = {load: number for number, load in enumerate(dict.fromkeys(loads))}
    kind = np.array([kinds[load] for load in loads], np.int64)
    for array in (tasks.columns, tasks.first_dependency, tasks.dependency, tasks.exports, tasks.transfer, kind):
        array.setflags(write=False)
    return _Group(n_blocks=n_blocks, n_ports=1 + n_blocks + n_buffers, tasks=tasks, kinds=tuple(kinds), kind=kind)


# Designs that differ in clock, memory, buffers, exits or rule alone share the arrays of their programs. At most 64
# groups of some 100 bytes a task: 60 MB.
shared_group = functools.lru_cache(maxsize=64)(_build_group)


def _timed(ops: tuple[Op, ...], group: _Group, channel: MemoryChannel) -> TaskProgram:
    """Return the program of a group whose transfers go through a channel."""
    tasks, columns = group.tasks, dict(zip(TASK_COLUMNS, group.tasks.columns, strict=True))
    if group.kinds:
        costs = [
            gather_cycles(n_rows, n_bytes // n_rows, channel) if n_rows else transfer_cycles(n_bytes, channel)
            for n_bytes, n_rows in group.kinds
        ]
        for name in ("occupancy_cycles", "latency_cycles"):
            columns[name] = columns[name].copy()
            columns[name][tasks.transfer] = np.array([getattr(cost, name) for cost in costs], np.int64)[group.kind]
            columns[name].setflags(write=False)
    return TaskProgram(
        op_names=tuple(op.name for op in ops),
        n_blocks=group.n_blocks,
        n_ports=group.n_ports,
        first_dependency=tasks.first_dependency,
        dependency=tasks.dependency,
        exports=tasks.exports,
        decision=tasks.decision,
        n_units=len(Unit),
        **columns,
    )


@functools.lru_cache(maxsize=16)  # asked for by every group of a design
def _shaping(accelerator: Accelerator) -> Accelerator:
    """Return a design with everything that shapes no task set to one value for all."""
    return replace(
        accelerator,
        name="",
        device="any",
        clock_mhz=1.0,
        macs_per_dsp=1,
        control_lut=0,
        control_ff=0,
        weight_buffer_kib=1,
        activation_buffer_kib=1,
        weight_placement="auto",
        memory_efficiency_fraction=1.0,
        memory_latency_ns=None,
        memory_channels=None,
        memory_port_bits=None,
        memory_burst_beats=None,
        memory_outstanding=None,
        mapping="temporal",
        n_engines=1,
        engine_layers=None,
        fifo_sentences=1,
        result_order="as_finished",
        exit_overlap="stall",
        n_interleaved=1,
        share_weights=False,
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
    array, merged = accelerator.array, 1
    while _n_tiles(ops, array, merged) > MAX_TASKS and merged < max(_mergeable(op, array) for op in ops):
        merged *= 2
    return merged


def _mergeable(op: Op, array: SystolicArray) -> int:
    return n_inner_folds(op, array) if isinstance(op, MatMul) else ceil_div(output_shape(op)[1], array.rows)


@functools.lru_cache(maxsize=1024)  # asked for by every group, to merge folds and to share programs
def _n_tiles(ops: tuple[Op, ...], array: SystolicArray, merged: int) -> int:
    return sum(_tiles(op, array, merged) for op in ops)


def _tiles(op: Op, array: SystolicArray, merged: int) -> int:
    if isinstance(op, MatMul):
        return n_tiles(op, array, merged)
    count, rows, columns = output_shape(op)
    return count * ceil_div(rows, merged * array.rows) * ceil_div(columns, array.columns)
