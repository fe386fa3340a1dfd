"""Cuts every op into tiles and says what they read.

    product     one task per tile of every array (sim.core.tiles); a tile needs the rows and the slice of its left
                operand and the columns and slice of its right one (loaded weights, or a part of another result)
    GELU, add   per tile;   softmax   per head and row block;   layer norm, embedding   per row block
    weights     if streamed: one transfer per panel, which waits until the panel `n_weight_buffers` transfers
                earlier has been used for the last time
    exit head   needs every row block it pools; the decision needs the head and the whole layer

Not modelled: loop orders other than the data flow's, reads that free a panel before its last result is out.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import NamedTuple, assert_never

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.memory.buffers import panel_shape, streamed_panels
from hexit.hw_model.rounding import ceil_div
from hexit.hw_model.task_cycles import TaskCycles
from hexit.hw_model.vector import VectorOp, dense_outputs, vector_unit
from hexit.quant.config import QuantConfig
from hexit.quant.workload import (
    GROUP_INPUT,
    Add,
    Embed,
    ExitDecision,
    ExitHead,
    Gelu,
    LayerNorm,
    MatMul,
    Op,
    Softmax,
    n_vector_parameters,
    output_shape,
    packed_bytes,
)
from hexit.sim.core.program import NONE, Unit
from hexit.sim.core.tiled_ops import COLUMNS, EVERYTHING, INPUT, TERMS, TiledOp
from hexit.sim.core.tiles import tiled_product


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupContext:
    """What the ops of a group share: the design, `merged` folds in a tile, whether stored weights are `streamed`.

    `head` is an exit head that was built; None: the design's head lanes.
    """

    quant: QuantConfig
    accelerator: Accelerator
    merged: int
    streamed: bool
    decision: TaskCycles
    head: TaskCycles | None

    @property
    def block_rows(self) -> int:
        """Rows of a hidden state that are handed on together."""
        return self.merged * self.accelerator.array_rows


Transfer = tuple[int, int]  # bytes that come from off the chip at once, and the scattered rows they are; 0: contiguous


def tiled_ops(ops: tuple[Op, ...], rows: int, context: GroupContext) -> tuple[list[TiledOp], int]:
    """Return the group's input of `rows` rows and its ops as grids of tiles, and which of them leaves the group.

    A decision leaves the hidden state, the group's input, as it is.
    """
    n_blocks = ceil_div(rows, context.block_rows)
    tiled = [
        TiledOp(
            op=NONE,
            unit=NONE,
            rows=rows,
            row_step=context.block_rows,
            row_tiles=n_blocks,
            columns=sys.maxsize,
            column_step=sys.maxsize,
            column_tiles=1,
            n_tasks=n_blocks,
            inner_tiles=n_blocks,
        )
    ]
    places = {GROUP_INPUT: INPUT}
    group, turn, before = 0, 0, None
    for number, op in enumerate(ops):
        per_head = output_shape(op)[0] > 1
        if not (per_head and before is not None and output_shape(before)[0] > 1):
            group, turn = group + 1, 0
        elif isinstance(before, Softmax):
            turn += 1
        place = _Place(number, group, turn, tuple(places[name] for name in op.inputs))
        tiled += _parts(op, place, len(tiled), context)
        if not isinstance(op, ExitDecision):
            places[op.name] = len(tiled) - 1
        before = op
    return tiled, places.get(ops[-1].name, INPUT)


def transfers(ops: tuple[Op, ...], context: GroupContext) -> list[Transfer]:
    """Return the transfers of a group: gathered rows of embeddings, and panels of stored weights that are streamed."""
    found: list[Transfer] = []
    panels = panel_shape(context.accelerator.array)
    for op in ops:
        if isinstance(op, Embed):
            row_bytes = packed_bytes(op.columns, context.quant.activation_bits)
            heights = (min(context.block_rows, op.rows - first) for first in range(0, op.rows, context.block_rows))
            found += [(op.n_tables * height * row_bytes, op.n_tables * height) for height in heights]
        elif _loads(op, context):
            found += [(size, 0) for size in streamed_panels(op, context.quant, panels)]
    return found


def _loads(op: Op, context: GroupContext) -> bool:
    """Whether an op's stored weights come from off the chip: all but those of a head that was built."""
    built = isinstance(op, ExitHead) and context.head is not None
    return context.streamed and n_vector_parameters(op) > 0 and not built


class _Place(NamedTuple):
    """Where an op stands in its program, and the tiled ops that it reads."""

    op: int
    group: int
    delay: int
    sources: tuple[int, ...]


def _parts(op: Op, place: _Place, n_before: int, context: GroupContext) -> list[TiledOp]:
    """Return an op as one grid of tiles, or an exit head as one for each pass, behind `n_before` others."""
    design = context.accelerator
    match op:
        case MatMul():
            return [_product(op, place, context)]
        case Softmax():
            return [_vector_op(op, Unit.SOFTMAX, place, context)]
        case LayerNorm():
            return [_vector_op(op, Unit.LAYER_NORM, place, context)]
        case Gelu():
            return [_vector_op(op, Unit.GELU, place, context, design.array_columns)]
        case Add():
            return [_vector_op(op, Unit.ADD, place, context, design.array_columns)]
        case Embed():
            return [_vector_op(op, Unit.ADD, place, context)]
        case ExitHead():
            return _exit_head(op, place, n_before, context)
        case ExitDecision():
            return [_decision(place, context.decision)]
        case _:
            assert_never(op)


def _product(op: MatMul, place: _Place, context: GroupContext) -> TiledOp:
    product = tiled_product(op.m, op.k, op.n, op.count, context.accelerator, context.merged)
    column_axis, row_axis = (TERMS, COLUMNS) if op.transposed else (COLUMNS, TERMS)
    return product._replace(
        op=place.op,
        group=place.group,
        delay=place.delay,
        left_source=place.sources[0],
        left_width=op.k,
        left_column_axis=TERMS,
        right_source=NONE if op.weights else place.sources[1],
        right_width=op.k if op.transposed else op.n,
        right_column_axis=column_axis,
        right_row_axis=row_axis,
        n_transfers=ceil_div(product.n_tasks, product.inner_tiles) if _loads(op, context) else 0,
    )


def _vector_op(
    op: VectorOp, unit: Unit, place: _Place, context: GroupContext, panel_columns: int | None = None
) -> TiledOp:
    """Return a task per head, panel of columns (a whole row without `panel_columns`) and row block."""
    count, rows, columns = output_shape(op)
    left, right = (*place.sources, NONE, NONE)[:2]
    lanes = vector_unit(op, context.accelerator)
    n_panels, n_blocks = ceil_div(columns, panel_columns or columns), ceil_div(rows, context.block_rows)
    gathers = isinstance(op, Embed)
    return TiledOp(
        op=place.op,
        unit=int(unit),
        rows=rows,
        row_step=context.block_rows,
        row_tiles=n_blocks,
        columns=columns,
        column_step=panel_columns or columns,
        column_tiles=n_panels,
        n_tasks=count * n_panels * n_blocks,
        inner_tiles=n_blocks,
        n_results=count,
        group=place.group,
        delay=place.delay,
        left_source=left,
        left_width=columns,
        right_source=right,
        right_width=columns,
        n_transfers=n_blocks if gathers else int(_loads(op, context)),
        gathers=int(gathers),
        interval_cycles=lanes.interval_cycles,
        lanes=lanes.lanes,
        depth_cycles=lanes.depth_cycles,
    )


def _exit_head(op: ExitHead, place: _Place, n_before: int, context: GroupContext) -> list[TiledOp]:
    """Return the pooling, row block by row block, and the rest of the head: as it was built, or dense passes.

    Each pass reads the last panel of the one before.
    """
    lanes = vector_unit(op, context.accelerator)
    parts = []
    if op.pooled_rows > 1:
        n_blocks = ceil_div(op.pooled_rows, context.block_rows)
        pooling = TiledOp(
            op=place.op,
            unit=int(Unit.HEAD),
            rows=op.pooled_rows,
            row_step=context.block_rows,
            row_tiles=n_blocks,
            columns=op.hidden_size,
            column_step=op.hidden_size,
            column_tiles=1,
            n_tasks=n_blocks,
            inner_tiles=n_blocks,
            group=place.group,
            first_panel=-1,
            is_whole=1,
            left_source=place.sources[0],
            interval_cycles=lanes.interval_cycles,
            lanes=lanes.lanes,
            depth_cycles=lanes.depth_cycles,
        )
        parts.append(pooling)
    if context.head is not None:
        n_outputs = sum(dense_outputs(op))
        whole = _one_row(Unit.HEAD, place, n_outputs, n_outputs, *_busy_and_wait(context.head))
        passes = [whole._replace(lanes=n_outputs)]
    else:
        panel, busy = context.accelerator.array_columns, lanes.occupancy_cycles(1, op.hidden_size)
        passes = [_one_row(Unit.HEAD, place, n, panel, busy, lanes.depth_cycles) for n in dense_outputs(op)]
    n_panels = 0
    for one_pass in passes:
        dense = one_pass._replace(
            terms=op.hidden_size,
            term_step=op.hidden_size,
            first_panel=n_panels,
            left_source=n_before + len(parts) - 1 if parts else place.sources[0],
            left_column_axis=TERMS,
            n_transfers=one_pass.n_tasks if _loads(op, context) else 0,
            macs_each=1,
        )
        parts.append(dense)
        n_panels += dense.n_tasks
    return parts


def _decision(place: _Place, cycles: TaskCycles) -> TiledOp:
    head, hidden_state = place.sources
    return _one_row(Unit.DECISION, place, 1, 1, *_busy_and_wait(cycles))._replace(
        left_source=head, left_row_axis=EVERYTHING, right_source=hidden_state, right_row_axis=EVERYTHING
    )


def _one_row(
    unit: Unit, place: _Place, columns: int, panel_columns: int, interval_cycles: int, depth_cycles: int
) -> TiledOp:
    """Return a row of results in panels, each of which takes an interval per column."""
    n_panels = ceil_div(columns, panel_columns)
    return TiledOp(
        op=place.op,
        unit=int(unit),
        rows=1,
        row_step=1,
        row_tiles=1,
        columns=columns,
        column_step=panel_columns,
        column_tiles=n_panels,
        n_tasks=n_panels,
        inner_tiles=1,
        group=place.group,
        is_whole=1,
        interval_cycles=interval_cycles,
        depth_cycles=depth_cycles,
    )


def _busy_and_wait(cycles: TaskCycles) -> tuple[int, int]:
    return cycles.occupancy_cycles, cycles.latency_cycles - cycles.occupancy_cycles
