"""Compiles a workload and a design into flat programs of tasks, once per group of ops.

A task is one tile of array results, one chunk of a vector unit, or one off-chip transfer. Tasks of one unit run
in program order; everything else is a dependency:

    product     column panels outer, row blocks inner; tile (panel j, block i) needs row block i of its left
                operand and panel j of its right one (loaded weights, or the rows or columns of another result)
    per head    the heads of a run of per-head ops take turns, ops behind a softmax one head later, so that the
                array works on the next head's scores while a softmax runs
    GELU, add   per tile;   softmax   per head and row block;   layer norm   per row block
    weights     if streamed: one transfer per panel, which waits until the panel `n_weight_buffers` transfers
                earlier has been used for the last time
    exit head   needs every row block it pools; the decision needs the head and the whole layer

A program has ports through which the outside enters: [gate, row blocks of the input, releases of the weight
buffers]. Its `exports` are the ports of the next program. Tasks that depend on ports alone also wait for the gate.
A dependency on a region of a result is one on its last task: within one op results come in program order.

Not modelled: loop orders other than this one, weight panels split along k, reads that free a panel before its last
result is out.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import IntEnum
from typing import assert_never

import numpy as np
import numpy.typing as npt

from hw_model.accelerator import Accelerator, UnitCost
from hw_model.array import ceil_div
from hw_model.gemm import fold_cost
from hw_model.memory import (
    MemoryChannel,
    WeightPlacement,
    check_activations,
    gather_cost,
    parameter_panels,
    place_weights,
    transfer_cost,
)
from hw_model.vector import LAYER_NORM_PASSES, SOFTMAX_PASSES
from quant.config import QuantConfig
from quant.errors import ConfigError
from quant.workload import (
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
    Workload,
    output_shape,
    packed_bytes,
)

Ints = npt.NDArray[np.int64]

MAX_TASKS = 250_000  # tasks of one program; beyond it row tiles are merged into larger blocks, totals unchanged
GATE = 0  # port that holds back a whole program: start of a sentence, or an exit decision
NONE = -1  # no dependency


class Unit(IntEnum):
    """The units that execute tasks, each one task at a time."""

    DMA = 0
    ARRAY = 1
    SOFTMAX = 2
    LAYER_NORM = 3
    GELU = 4
    ADD = 5
    HEAD = 6
    DECISION = 7


UNIT_NAMES = tuple(unit.name.lower() for unit in Unit)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaskProgram:
    """A group of ops as flat arrays, one entry per task in program order.

    Dependencies of task t are `dependency[first_dependency[t] : first_dependency[t + 1]]`: numbers below
    `n_ports` are ports, the others tasks (number - n_ports). `exports` uses the same numbers. `decision` is the
    number of the exit decision, or NONE.
    """

    op_names: tuple[str, ...]
    n_blocks: int
    n_ports: int
    unit: Ints
    occupancy_cycles: Ints
    latency_cycles: Ints
    first_dependency: Ints
    dependency: Ints
    exports: Ints
    decision: int
    op: Ints
    head: Ints
    panel: Ints
    block: Ints
    macs: Ints
    n_bytes: Ints

    @property
    def n_tasks(self) -> int:
        """Tasks of this program."""
        return int(self.unit.size)

    def busy_cycles(self) -> Ints:
        """Return the cycles that each unit is busy with this program."""
        return np.bincount(self.unit, weights=self.occupancy_cycles, minlength=len(Unit)).astype(np.int64)

    def op_cycles(self) -> Ints:
        """Return the cycles that units other than the DMA are busy with each op."""
        cycles = np.where(self.unit == Unit.DMA, 0, self.occupancy_cycles)
        return np.bincount(self.op, weights=cycles, minlength=len(self.op_names)).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """What the engine runs for one sentence: `prologue` once, then `layer` and `exit` per layer."""

    workload: Workload
    accelerator: Accelerator
    channel: MemoryChannel
    placement: WeightPlacement
    prologue: TaskProgram
    layer: TaskProgram
    exit: TaskProgram

    @property
    def n_layers(self) -> int:
        """Layers of the encoder."""
        return self.workload.shape.n_layers

    @property
    def preload_cycles(self) -> int:
        """Cycles that load the resident weights once, before the first sentence; no sentence's latency has them."""
        return transfer_cost(self.placement.resident_bytes, self.channel).latency_cycles


def compile_program(
    workload: Workload,
    accelerator: Accelerator,
    channel: MemoryChannel,
    decision: UnitCost,
    head: UnitCost | None = None,
) -> Program:
    """Compile a workload for a design, memory channel and exit decision unit.

    `head`: an exit head that was built, with its weights inside, behind the design's own pooling; without it the
    design's head lanes work.

    Raises DoesNotFit where the buffers are too small, ConfigError where the array cannot take the bit widths.
    """
    quant = workload.quant
    if accelerator.macs_per_dsp > 1 and max(quant.weight_bits, quant.activation_bits) > 8:
        raise ConfigError(
            "design.macs_per_dsp",
            accelerator.macs_per_dsp,
            f"packs products of at most 8 bits, not {quant.weight_bits} x {quant.activation_bits}",
            "Try macs_per_dsp = 1 or --bits 8",
        )
    check_activations(workload, accelerator)
    placement = place_weights(workload, accelerator)
    rows = workload.sequence_length
    block_rows = _block_rows(workload.layer, accelerator)
    compiled = [
        compile_ops(
            ops,
            quant,
            accelerator,
            channel,
            rows=rows,
            streamed=streamed,
            decision=decision,
            head=head,
            block_rows=block_rows,
        )
        for ops, streamed in (
            (workload.prologue, placement.prologue_streamed),
            (workload.layer, placement.layer_streamed),
            (workload.exit, placement.exit_streamed),
        )
    ]
    return Program(
        workload=workload,
        accelerator=accelerator,
        channel=channel,
        placement=placement,
        prologue=compiled[0],
        layer=compiled[1],
        exit=compiled[2],
    )


def compile_ops(
    ops: tuple[Op, ...],
    quant: QuantConfig,
    accelerator: Accelerator,
    channel: MemoryChannel,
    *,
    rows: int,
    streamed: bool,
    decision: UnitCost | None = None,
    head: UnitCost | None = None,
    block_rows: int | None = None,
) -> TaskProgram:
    """Compile one group of ops whose input has `rows` rows; `streamed` says where its stored weights come from."""
    builder = _Builder(
        quant=quant,
        accelerator=accelerator,
        channel=channel,
        block_rows=block_rows or _block_rows(ops, accelerator),
        rows=rows,
        streamed=streamed,
        decision=decision or UnitCost(occupancy_cycles=1, latency_cycles=1),
        head=head,
    )
    group, turn = 0, 0
    for index, op in enumerate(ops):
        per_head = output_shape(op)[0] > 1
        previous_per_head = index > 0 and output_shape(ops[index - 1])[0] > 1
        if not (per_head and previous_per_head):
            group, turn = group + 1, 0
        elif isinstance(ops[index - 1], Softmax):
            turn += 1
        builder.add(op, group, turn)
    return builder.finish(ops)


def _block_rows(ops: tuple[Op, ...], accelerator: Accelerator) -> int:
    """Rows of a block: the array's, doubled until the program is short enough (or a block holds all rows)."""
    shapes = [output_shape(op) for op in ops]
    block_rows = accelerator.array_rows
    while block_rows < max(rows for _, rows, _ in shapes):
        n_tiles = sum(
            count * ceil_div(rows, block_rows) * ceil_div(columns, accelerator.array_columns)
            for count, rows, columns in shapes
        )
        if n_tiles <= MAX_TASKS:
            break
        block_rows *= 2
    return block_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    """Where the tasks of a result are: number = first + head * head_stride + panel * n_blocks + block."""

    first: int
    n_heads: int = 1
    head_stride: int = 0
    columns: int = sys.maxsize
    panel_columns: int = sys.maxsize
    n_blocks: int

    def last_task(self, reader_heads: int, head: Ints, width: int, last_column: Ints, block: Ints) -> Ints:
        """Number of the last task of the region up to `last_column` of a head's `width` columns, up to `block`."""
        if reader_heads > 1 and self.n_heads > 1:
            own_head, column = head, last_column
        elif self.n_heads > 1:
            own_head, column = np.divmod(last_column, self.columns)
        else:
            own_head, column = np.zeros_like(head), head * width + last_column
        block = np.minimum(block, self.n_blocks - 1)
        return self.first + own_head * self.head_stride + column // self.panel_columns * self.n_blocks + block


class _Builder:
    """Collects the tasks of one group, op by op; `finish` puts them in program order."""

    def __init__(
        self,
        *,
        quant: QuantConfig,
        accelerator: Accelerator,
        channel: MemoryChannel,
        block_rows: int,
        rows: int,
        streamed: bool,
        decision: UnitCost,
        head: UnitCost | None,
    ) -> None:
        self.quant, self.accelerator, self.channel = quant, accelerator, channel
        self.block_rows, self.streamed, self.decision_cost, self.head_cost = block_rows, streamed, decision, head
        self.n_blocks = ceil_div(rows, block_rows)
        self.n_ports = 1 + self.n_blocks + accelerator.n_weight_buffers
        self.results = {GROUP_INPUT: _Result(first=1, n_blocks=self.n_blocks)}
        self.releases: Ints = np.arange(1 + self.n_blocks, self.n_ports)
        self.next_number = self.n_ports
        self.decision = NONE
        self.columns: dict[str, list[Ints]] = {name: [] for name in _COLUMNS}
        self.dependencies: list[Ints] = []
        self.op_index = -1
        self.group = self.turn = 0

    def add(self, op: Op, group: int, turn: int) -> None:
        """Append the tasks of one op; `turn` delays its heads against the others of its group."""
        self.op_index += 1
        self.group, self.turn = group, turn
        match op:
            case MatMul():
                self._matmul(op)
            case Softmax():
                self._rowwise(op, Unit.SOFTMAX, op.count, SOFTMAX_PASSES)
            case LayerNorm():
                self._rowwise(op, Unit.LAYER_NORM, 1, LAYER_NORM_PASSES)
            case Gelu() | Add():
                self._elementwise(op)
            case Embed():
                self._embed(op)
            case ExitHead():
                self._exit_head(op)
            case ExitDecision():
                self._exit_decision(op)
            case _:
                assert_never(op)

    def _matmul(self, op: MatMul) -> None:
        array_rows, array_columns = self.accelerator.array_rows, self.accelerator.array_columns
        n_panels, heights = ceil_div(op.n, array_columns), self._block_heights(op.m)
        n_blocks = heights.size
        head, panel, block = _grid(op.count, n_panels, n_blocks)
        width = np.minimum(array_columns, op.n - panel * array_columns)
        costs = [fold_cost(op.k, self.accelerator, ceil_div(int(height), array_rows)) for height in heights]
        left = self._read(op.inputs[0], op.count, head, op.k, np.full_like(head, op.k - 1), block)
        if op.weights:
            first_fold = self.next_number + (n_panels if self.streamed else 0)
            last_uses = first_fold + np.arange(n_panels) * n_blocks + n_blocks - 1
            right = self._load(op, last_uses)[panel] if self.streamed else np.full_like(head, NONE)
        elif op.transposed:
            last_row = panel * array_columns + width - 1
            right = self._read(
                op.inputs[1], op.count, head, op.k, np.full_like(head, op.k - 1), last_row // self.block_rows
            )
        else:
            last_block = np.full_like(head, (op.k - 1) // self.block_rows)
            right = self._read(op.inputs[1], op.count, head, op.n, panel * array_columns + width - 1, last_block)
        self._result(op, op.count, n_panels, array_columns, n_blocks)
        self._append(
            Unit.ARRAY,
            occupancy=np.array([cost.occupancy_cycles for cost in costs])[block],
            latency=np.array([cost.latency_cycles for cost in costs])[block],
            dependencies=(left, right),
            head=head,
            panel=panel,
            block=block,
            macs=heights[block] * width * op.k,
        )

    def _rowwise(self, op: Softmax | LayerNorm, unit: Unit, count: int, passes: int) -> None:
        lanes, depth = self._lanes(unit)
        heights = self._block_heights(op.rows)
        head, panel, block = _grid(count, 1, heights.size)
        source = self._read(op.inputs[0], count, head, op.columns, np.full_like(head, op.columns - 1), block)
        parameters = np.full_like(head, NONE)
        if self.streamed and isinstance(op, LayerNorm):
            last_use = np.array([self.next_number + 1 + heights.size - 1])
            parameters = self._load(op, last_use)[panel]
        self._result(op, count, 1, sys.maxsize, heights.size)
        occupancy = passes * heights[block] * ceil_div(op.columns, lanes)
        self._append(
            unit,
            occupancy=occupancy,
            latency=occupancy + depth,
            dependencies=(source, parameters),
            head=head,
            panel=panel,
            block=block,
        )

    def _elementwise(self, op: Gelu | Add) -> None:
        unit = Unit.GELU if isinstance(op, Gelu) else Unit.ADD
        lanes, depth = self._lanes(unit)
        panel_columns = self.accelerator.array_columns
        heights = self._block_heights(op.rows)
        head, panel, block = _grid(1, ceil_div(op.columns, panel_columns), heights.size)
        last_column = np.minimum((panel + 1) * panel_columns, op.columns) - 1
        width = last_column - panel * panel_columns + 1
        sources = tuple(self._read(name, 1, head, op.columns, last_column, block) for name in op.inputs)
        self._result(op, 1, ceil_div(op.columns, panel_columns), panel_columns, heights.size)
        occupancy = heights[block] * -(-width // lanes)
        self._append(
            unit,
            occupancy=occupancy,
            latency=occupancy + depth,
            dependencies=sources,
            head=head,
            panel=panel,
            block=block,
        )

    def _embed(self, op: Embed) -> None:
        lanes, depth = self._lanes(Unit.ADD)
        heights = self._block_heights(op.rows)
        head, panel, block = _grid(1, 1, heights.size)
        row_bytes = packed_bytes(op.columns, self.quant.activation_bits)
        costs = [gather_cost(int(height) * op.n_tables, row_bytes, self.channel) for height in heights]
        loads = self._append(
            Unit.DMA,
            occupancy=np.array([cost.occupancy_cycles for cost in costs]),
            latency=np.array([cost.latency_cycles for cost in costs]),
            dependencies=(),
            head=head,
            panel=panel,
            block=block,
            n_bytes=heights * op.n_tables * row_bytes,
        )
        self._result(op, 1, 1, sys.maxsize, heights.size)
        occupancy = (op.n_tables - 1) * heights * ceil_div(op.columns, lanes)
        self._append(
            Unit.ADD,
            occupancy=occupancy,
            latency=occupancy + depth,
            dependencies=(loads,),
            head=head,
            panel=panel,
            block=block,
        )

    def _exit_head(self, op: ExitHead) -> None:
        per_output = ceil_div(op.hidden_size, self.accelerator.head_lanes)
        depth = self.accelerator.head_depth_cycles
        panel_columns = self.accelerator.array_columns
        heights = self._block_heights(op.pooled_rows)
        head, panel, block = _grid(1, 1, heights.size)
        source = self._read(op.inputs[0], 1, head, op.hidden_size, np.full_like(head, op.hidden_size - 1), block)
        if op.pooled_rows > 1:
            occupancy = heights * per_output
            source = self._append(
                Unit.HEAD,
                occupancy=occupancy,
                latency=occupancy + depth,
                dependencies=(source,),
                head=head,
                panel=panel - 1,
                block=block,
            )
        if self.head_cost is not None:
            self._built_head(op, self.head_cost, source[-1:])
            return
        passes = [(op.hidden_size, True)] * op.pooler + [(op.n_classes, False)]
        widths = [
            np.minimum(panel_columns, n_outputs - np.arange(0, n_outputs, panel_columns)) for n_outputs, _ in passes
        ]
        width = np.concatenate(widths)
        n_panels = width.size
        first = self.next_number + (n_panels if self.streamed else 0)
        loads = self._load(op, first + np.arange(n_panels)) if self.streamed else np.full(n_panels, NONE)
        stage_input = np.full(n_panels, source[-1])
        if op.pooler:
            stage_input[widths[0].size :] = first + widths[0].size - 1
        stage_macs = np.full(n_panels, op.hidden_size) * width
        outputs = self._append(
            Unit.HEAD,
            occupancy=width * per_output,
            latency=width * per_output + depth,
            dependencies=(stage_input, loads),
            head=np.zeros_like(width),
            panel=np.arange(n_panels),
            block=np.zeros_like(width),
            macs=stage_macs,
        )
        self.results[op.name] = _Result(first=int(outputs[-1]), n_blocks=1)

    def _built_head(self, op: ExitHead, cost: UnitCost, source: Ints) -> None:
        zero = np.zeros(1, np.int64)
        outputs = self._append(
            Unit.HEAD,
            occupancy=np.array([cost.occupancy_cycles]),
            latency=np.array([cost.latency_cycles]),
            dependencies=(source,),
            head=zero,
            panel=zero,
            block=zero,
            macs=np.array([op.hidden_size * (op.hidden_size * op.pooler + op.n_classes)]),
        )
        self.results[op.name] = _Result(first=int(outputs[0]), n_blocks=1)

    def _exit_decision(self, op: ExitDecision) -> None:
        zero = np.zeros(1, np.int64)
        everything = np.full(1, sys.maxsize)
        dependencies = tuple(self._read(name, 1, zero, 0, zero, everything) for name in op.inputs)
        numbers = self._append(
            Unit.DECISION,
            occupancy=np.array([self.decision_cost.occupancy_cycles]),
            latency=np.array([self.decision_cost.latency_cycles]),
            dependencies=dependencies,
            head=zero,
            panel=zero,
            block=zero,
        )
        self.decision = int(numbers[0])

    def _load(self, op: Op, last_uses: Ints) -> Ints:
        """Append one transfer per panel of an op's parameters; a transfer waits for the release of its buffer."""
        n_bytes = np.array(parameter_panels(op, self.quant, self.accelerator.array_columns))
        costs = [transfer_cost(int(size), self.channel) for size in n_bytes]
        releases = np.concatenate([self.releases, last_uses])
        panel, zero = np.arange(n_bytes.size), np.zeros_like(n_bytes)
        numbers = self._append(
            Unit.DMA,
            occupancy=np.array([cost.occupancy_cycles for cost in costs]),
            latency=np.array([cost.latency_cycles for cost in costs]),
            dependencies=(releases[: n_bytes.size],),
            head=zero,
            panel=panel,
            block=zero,
            n_bytes=n_bytes,
        )
        self.releases = releases[n_bytes.size :]
        return numbers

    def _lanes(self, unit: Unit) -> tuple[int, int]:
        design = self.accelerator
        return {
            Unit.SOFTMAX: (design.softmax_lanes, design.softmax_depth_cycles),
            Unit.LAYER_NORM: (design.layer_norm_lanes, design.layer_norm_depth_cycles),
            Unit.GELU: (design.gelu_lanes, design.gelu_depth_cycles),
            Unit.ADD: (design.add_lanes, design.add_depth_cycles),
        }[unit]

    def _block_heights(self, rows: int) -> Ints:
        return np.minimum(self.block_rows, rows - np.arange(0, rows, self.block_rows))

    def _read(self, name: str, reader_heads: int, head: Ints, width: int, last_column: Ints, block: Ints) -> Ints:
        return self.results[name].last_task(reader_heads, head, width, last_column, block)

    def _result(self, op: Op, n_heads: int, n_panels: int, panel_columns: int, n_blocks: int) -> None:
        """Note where the tasks of an op will be: the next ones to be appended."""
        self.results[op.name] = _Result(
            first=self.next_number,
            n_heads=n_heads,
            head_stride=n_panels * n_blocks,
            columns=output_shape(op)[2],
            panel_columns=panel_columns,
            n_blocks=n_blocks,
        )

    def _append(
        self,
        unit: Unit,
        *,
        occupancy: Ints,
        latency: Ints,
        dependencies: tuple[Ints, ...],
        head: Ints,
        panel: Ints,
        block: Ints,
        macs: Ints | None = None,
        n_bytes: Ints | None = None,
    ) -> Ints:
        size = occupancy.size
        zero = np.zeros(size, np.int64)
        turn = head + self.turn
        values = (
            zero + unit,
            occupancy,
            latency,
            zero + self.op_index,
            head,
            panel,
            block,
            zero if macs is None else macs,
            zero if n_bytes is None else n_bytes,
            zero + self.group,
            turn,
            zero + (unit != Unit.DMA),
        )
        for name, value in zip(_COLUMNS, values, strict=True):
            self.columns[name].append(value.astype(np.int64))
        padded = np.full((size, _MAX_DEPENDENCIES), NONE, np.int64)
        for slot, numbers in enumerate(dependencies):
            padded[:, slot] = numbers
        # A task that reads ports alone waits for the gate; all others wait for it through what they read.
        padded[:, -1] = np.where((padded < self.n_ports).all(axis=1), GATE, NONE)
        self.dependencies.append(padded)
        numbers = self.next_number + np.arange(size)
        self.next_number += size
        return numbers

    def finish(self, ops: tuple[Op, ...]) -> TaskProgram:
        """Return the program: tasks sorted into program order, dependencies renumbered."""
        table = {name: np.concatenate(parts) for name, parts in self.columns.items()}
        order = np.lexsort(
            [table[name] for name in ("block", "is_compute", "panel", "op", "turn", "group")]  # last key first
        )
        renumber = np.arange(self.next_number)
        renumber[self.n_ports + order] = self.n_ports + np.arange(order.size)
        padded = np.concatenate(self.dependencies)[order]
        used = padded != NONE
        last = self.results.get(ops[-1].name)
        if last is None:
            outputs = np.arange(1, 1 + self.n_blocks)  # an exit leaves the hidden state as it is
        else:
            block = np.arange(self.n_blocks)
            column = np.full_like(block, output_shape(ops[-1])[0] * output_shape(ops[-1])[2] - 1)
            outputs = last.last_task(1, np.zeros_like(block), 0, column, block)
        return TaskProgram(
            op_names=tuple(op.name for op in ops),
            n_blocks=self.n_blocks,
            n_ports=self.n_ports,
            unit=table["unit"][order],
            occupancy_cycles=table["occupancy"][order],
            latency_cycles=table["latency"][order],
            first_dependency=np.concatenate([[0], np.cumsum(used.sum(axis=1))]),
            dependency=renumber[padded[used]],
            exports=renumber[np.concatenate([outputs, self.releases])],
            decision=NONE if self.decision == NONE else int(renumber[self.decision]),
            op=table["op"][order],
            head=table["head"][order],
            panel=table["panel"][order],
            block=table["block"][order],
            macs=table["macs"][order],
            n_bytes=table["n_bytes"][order],
        )


_COLUMNS = (
    "unit",
    "occupancy",
    "latency",
    "op",
    "head",
    "panel",
    "block",
    "macs",
    "n_bytes",
    "group",
    "turn",
    "is_compute",
)
_MAX_DEPENDENCIES = 3  # two operands, and the gate


def _grid(n_heads: int, n_panels: int, n_blocks: int) -> tuple[Ints, Ints, Ints]:
    head, panel, block = np.indices((n_heads, n_panels, n_blocks)).reshape(3, -1)
    return head, panel, block
