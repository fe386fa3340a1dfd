"""The straightforward way to cut every op into tasks, one NumPy array for each column of each op's tasks.

    product     one task per tile of every array (oracles_tiles.py); a tile needs the rows and the slice of its left
                operand and the columns and slice of its right one (loaded weights, or a part of another result)
    GELU, add   per tile;   softmax   per head and row block;   layer norm, embedding   per row block
    weights     if streamed: one transfer per panel, which waits until the panel `n_weight_buffers` transfers
                earlier has been used for the last time
    exit head   needs every row block it pools; the decision needs the head and the whole layer

Not modelled: loop orders other than the data flow's, reads that free a panel before its last result is out.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.memory.channel import MemoryChannel, gather_cycles, transfer_cycles
from hexit.hw_model.rounding import ceil_div
from hexit.hw_model.task_cycles import TaskCycles
from hexit.hw_model.vector import VectorOp, dense_outputs, vector_unit
from hexit.quant.arrays import Integers
from hexit.quant.config import QuantConfig
from hexit.quant.workload import (
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
from hexit.sim.core.program import Unit
from support.oracles_task_list import Region, Result, TaskList
from support.oracles_tiles import cut_product


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupContext:
    """What the ops of a group share: the design, `merged` folds in a tile, whether stored weights are `streamed`.

    `head` is an exit head that was built; None: the design's head lanes.
    """

    quant: QuantConfig
    accelerator: Accelerator
    channel: MemoryChannel
    merged: int
    streamed: bool
    decision: TaskCycles
    head: TaskCycles | None

    @property
    def block_rows(self) -> int:
        """Rows of a hidden state that are handed on together."""
        return self.merged * self.accelerator.array_rows


def add_op(tasks: TaskList, op: Op, context: GroupContext) -> None:
    """Append the tasks of one op."""
    match op:
        case MatMul():
            _add_product(tasks, op, context)
        case Softmax():
            _add_vector_op(tasks, op, Unit.SOFTMAX, context)
        case LayerNorm():
            _add_layer_norm(tasks, op, context)
        case Gelu():
            _add_vector_op(tasks, op, Unit.GELU, context, context.accelerator.array_columns)
        case Add():
            _add_vector_op(tasks, op, Unit.ADD, context, context.accelerator.array_columns)
        case Embed():
            _add_embedding(tasks, op, context)
        case ExitHead():
            _add_exit_head(tasks, op, context)
        case ExitDecision():
            _add_decision(tasks, op, context)
        case _:
            assert_never(op)


def _add_product(tasks: TaskList, op: MatMul, context: GroupContext) -> None:
    cut = cut_product(op, context.accelerator, context.merged)

    def read(operand: int, width: int, last_column: Integers, last_row: Integers) -> Integers:
        region = Region(n_heads=op.count, head=cut.head, width=width, last_column=last_column, last_row=last_row)
        return np.maximum.reduceat(tasks.read(op.inputs[operand], region), cut.first_tile)

    operands = [read(0, op.k, cut.last_k, cut.last_row)]
    if not op.weights and op.transposed:
        operands.append(read(1, op.k, cut.last_k, cut.last_column))
    elif not op.weights:
        operands.append(read(1, op.n, cut.last_column, cut.last_k))
    elif context.streamed:
        operands.append(_load(tasks, op, context, cut.last_of_panel)[cut.panel])
    numbers = tasks.append(
        Unit.ARRAY,
        cut.occupancy_cycles,
        cut.latency_cycles,
        operands,
        head=cut.task_head,
        panel=cut.panel,
        block=cut.block,
        macs=cut.macs,
    )
    tasks.results[op.name] = Result(
        tasks=numbers[cut.finished], columns=op.n, panel_columns=cut.panel_columns, block_rows=cut.block_rows
    )


def _add_vector_op(
    tasks: TaskList,
    op: VectorOp,
    unit: Unit,
    context: GroupContext,
    panel_columns: int | None = None,
    loads: Sequence[Integers] = (),
) -> None:
    """Append a task per head, panel of columns (a whole row without `panel_columns`) and row block."""
    count, rows, columns = output_shape(op)
    width = panel_columns or columns
    heights = tasks.block_heights(rows)
    n_panels = ceil_div(columns, width)
    head, panel, block = np.indices((count, n_panels, heights.size)).reshape(3, -1)
    last_column = np.minimum((panel + 1) * width, columns) - 1
    last_row = (np.cumsum(heights) - 1)[block]
    region = Region(n_heads=count, head=head, width=columns, last_column=last_column, last_row=last_row)
    lanes = vector_unit(op, context.accelerator)
    occupancy = lanes.occupancy_cycles(heights[block], last_column + 1 - panel * width)
    numbers = tasks.append(
        unit,
        occupancy,
        occupancy + lanes.depth_cycles,
        [*(tasks.read(name, region) for name in op.inputs), *loads],
        head=head,
        panel=panel,
        block=block,
    )
    tasks.results[op.name] = Result(
        tasks=numbers.reshape(count, n_panels, heights.size),
        columns=columns,
        panel_columns=width,
        block_rows=tasks.block_rows,
    )


def _add_layer_norm(tasks: TaskList, op: LayerNorm, context: GroupContext) -> None:
    last_use = np.array([tasks.block_heights(op.rows).size - 1])
    loads = [_load(tasks, op, context, last_use)] if context.streamed else []
    _add_vector_op(tasks, op, Unit.LAYER_NORM, context, loads=loads)


def _add_embedding(tasks: TaskList, op: Embed, context: GroupContext) -> None:
    """Append a gather of the tables' rows per row block, and their sums."""
    heights = tasks.block_heights(op.rows)
    row_bytes = packed_bytes(op.columns, context.quant.activation_bits)
    loads = tasks.append(
        Unit.DMA,
        *_cycles([gather_cycles(int(height) * op.n_tables, row_bytes, context.channel) for height in heights]),
        block=np.arange(heights.size),
        n_bytes=heights * op.n_tables * row_bytes,
    )
    _add_vector_op(tasks, op, Unit.ADD, context, loads=[loads])


def _add_exit_head(tasks: TaskList, op: ExitHead, context: GroupContext) -> None:
    """Append the pooling, row block by row block, and the rest of the head: as it was built, or dense passes."""
    heights = tasks.block_heights(op.pooled_rows)
    block = np.arange(heights.size)
    region = Region(
        n_heads=1,
        head=np.zeros_like(block),
        width=op.hidden_size,
        last_column=np.full_like(block, op.hidden_size - 1),
        last_row=np.cumsum(heights) - 1,
    )
    source = tasks.read(op.inputs[0], region)
    if op.pooled_rows > 1:
        lanes = vector_unit(op, context.accelerator)
        occupancy = lanes.occupancy_cycles(heights, op.hidden_size)
        source = tasks.append(Unit.HEAD, occupancy, occupancy + lanes.depth_cycles, [source], panel=-1, block=block)
    if context.head is None:
        outputs = _append_dense_passes(tasks, op, context, int(source[-1]))
    else:
        macs = op.hidden_size * sum(dense_outputs(op))
        outputs = tasks.append(Unit.HEAD, *_cycles([context.head]), [source[-1:]], macs=macs)
    tasks.results[op.name] = Result(tasks=outputs[-1:].reshape(1, 1, 1))


def _append_dense_passes(tasks: TaskList, op: ExitHead, context: GroupContext, source: int) -> Integers:
    """Append the dense passes of a head in panels of outputs; each pass reads the last panel of the one before."""
    panel_columns = context.accelerator.array_columns
    widths = [np.minimum(panel_columns, n - np.arange(0, n, panel_columns)) for n in dense_outputs(op)]
    width = np.concatenate(widths)
    panel = np.arange(width.size)
    loads = [_load(tasks, op, context, panel)] if context.streamed else []
    last_of_pass = tasks.next_number - 1 + np.cumsum([one_pass.size for one_pass in widths])
    inputs = np.repeat([source, *last_of_pass[:-1]], [one_pass.size for one_pass in widths])
    lanes = vector_unit(op, context.accelerator)
    occupancy = lanes.occupancy_cycles(width, op.hidden_size)
    return tasks.append(
        Unit.HEAD,
        occupancy,
        occupancy + lanes.depth_cycles,
        [inputs, *loads],
        panel=panel,
        macs=op.hidden_size * width,
    )


def _add_decision(tasks: TaskList, op: ExitDecision, context: GroupContext) -> None:
    zero = np.zeros(1, np.int64)
    everything = Region(n_heads=1, head=zero, width=0, last_column=zero, last_row=np.full(1, sys.maxsize))
    sources = [tasks.read(name, everything) for name in op.inputs]
    tasks.decision = int(tasks.append(Unit.DECISION, *_cycles([context.decision]), sources)[0])


def _load(tasks: TaskList, op: Op, context: GroupContext, last_use: Integers) -> Integers:
    """Append one transfer per panel of an op's parameters; a transfer waits for the release of its buffer.

    `last_use`: the last task that needs each panel, counted from the first one behind the transfers.
    """
    n_bytes = np.array(naive_panels(op, context.quant, context.accelerator))
    releases = np.concatenate([tasks.releases, tasks.next_number + n_bytes.size + last_use])
    tasks.releases = releases[n_bytes.size :]
    return tasks.append(
        Unit.DMA,
        *_cycles([transfer_cycles(int(size), context.channel) for size in n_bytes]),
        [releases[: n_bytes.size]],
        panel=np.arange(n_bytes.size),
        n_bytes=n_bytes,
    )


def _cycles(costs: Sequence[TaskCycles]) -> tuple[Integers, Integers]:
    """Occupancy and latency of one task for each of `costs`."""
    return np.array([cost.occupancy_cycles for cost in costs]), np.array([cost.latency_cycles for cost in costs])


def naive_panels(op: Op, quant: QuantConfig, accelerator: Accelerator) -> list[int]:
    """`streamed_panels`, one panel after the other."""
    array = accelerator.array
    if isinstance(op, MatMul) and array.dataflow == "input_stationary":
        height = array.rows * array.n_arrays
        sizes = [(min(height, op.k - first) * op.n, 0) for first in range(0, op.k, height)]
        sizes[-1] = sizes[-1][0], op.n
    elif isinstance(op, MatMul):
        sizes = naive_column_panels(op.k, op.n, array.fold_columns * array.n_arrays)
    elif isinstance(op, ExitHead):
        sizes = []
        for outputs in dense_outputs(op):
            sizes += naive_column_panels(op.hidden_size, outputs, array.fold_columns)
    else:
        sizes = [(0, n_vector_parameters(op))]
    panels, weights, biases, loaded = [], 0, 0, 0
    for more_weights, more_biases in sizes:
        weights, biases = weights + more_weights, biases + more_biases
        panels.append(packed_bytes(weights, quant.weight_bits) + packed_bytes(biases, quant.bias_bits) - loaded)
        loaded += panels[-1]
    return panels


def naive_column_panels(n_inputs: int, n_outputs: int, panel_columns: int) -> list[tuple[int, int]]:
    """Weights and biases of the panels of a matrix."""
    widths = (min(panel_columns, n_outputs - first) for first in range(0, n_outputs, panel_columns))
    return [(n_inputs * width, width) for width in widths]
