"""Compiles a workload and a design into flat programs of tasks, once per group of ops.

A task is one tile of array results, one chunk of a vector unit, or one off-chip transfer. Tasks of one unit run
in program order; everything else is a dependency:

    product     one task per tile of every array (sim.core.tiles); a tile needs the rows and the slice of its left
    operand
                and the columns and slice of its right one (loaded weights, or a part of another result) that it reads
    per head    the heads of a run of per-head ops take turns, ops behind a softmax one head later, so that the
                array works on the next head's scores while a softmax runs
    GELU, add   per tile;   softmax   per head and row block;   layer norm   per row block
    weights     if streamed: one transfer per panel, which waits until the panel `n_weight_buffers` transfers
                earlier has been used for the last time
    exit head   needs every row block it pools; the decision needs the head and the whole layer

A program has ports through which the outside enters: [gate, row blocks of the input, releases of the weight
buffers]. Its `exports` are the ports of the next program. Tasks that depend on ports alone also wait for the gate.
A dependency on a region of a result is one on its last task: within one op results come in program order.

Not modelled: loop orders other than the data flow's, reads that free a panel before its last result is out.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import IntEnum
from typing import assert_never

import numpy as np
import numpy.typing as npt

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.memory.activation_buffer import check_activations
from hexit.hw_model.memory.channel import MemoryChannel, engine_channel
from hexit.hw_model.memory.transfers import gather_cycles, transfer_cycles
from hexit.hw_model.memory.weight_buffer import WeightPlacement, place_weights, streamed_panels
from hexit.hw_model.packing import most_products_per_dsp
from hexit.hw_model.rounding import ceil_div
from hexit.hw_model.task_cycles import TaskCycles
from hexit.hw_model.vector import vector_passes
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
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
    Workload,
    output_shape,
    packed_bytes,
)
from hexit.sim.core.tiles import cut_product, n_inner_folds, n_tiles

Ints = npt.NDArray[np.int64]

MAX_TASKS = 250_000  # tasks of one program; beyond it folds are merged into larger tiles, totals unchanged
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
        resident_bytes = self.accelerator.n_engines * self.placement.resident_bytes
        return transfer_cycles(resident_bytes, self.channel).latency_cycles


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
    quant = workload.quant
    if accelerator.macs_per_dsp > 1:
        _check_packing(quant, accelerator)
    check_activations(workload, accelerator)
    placement = place_weights(workload, accelerator)
    rows = workload.sequence_length
    merged = _merged_folds(workload.layer, accelerator)
    compiled = [
        compile_ops(
            ops,
            quant,
            accelerator,
            engine_channel(channel, accelerator.n_engines),
            rows=rows,
            streamed=streamed,
            decision=decision,
            head=head,
            merged=merged,
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
    decision: TaskCycles | None = None,
    head: TaskCycles | None = None,
    merged: int | None = None,
) -> TaskProgram:
    """Compile one group of ops whose input has `rows` rows; `streamed` says where its stored weights come from.

    `merged` folds make one tile, as many as the length of the program asks for where it is None.
    """
    builder = _Builder(
        quant=quant,
        accelerator=accelerator,
        channel=channel,
        merged=merged or _merged_folds(ops, accelerator),
        rows=rows,
        streamed=streamed,
        decision=decision or TaskCycles(occupancy_cycles=1, latency_cycles=1),
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Result:
    """Where a result is: the number of the task that finishes it, [head, column panel, row block]."""

    tasks: Ints
    columns: int = sys.maxsize
    panel_columns: int = sys.maxsize
    block_rows: int = sys.maxsize

    def last_task(self, reader_heads: int, head: Ints, width: int, last_column: Ints, last_row: Ints) -> Ints:
        """Number of the last task of the region up to `last_column` of a head's `width` columns, up to `last_row`."""
        n_heads, _, n_blocks = self.tasks.shape
        if reader_heads > 1 and n_heads > 1:
            own_head, column = head, last_column
        elif n_heads > 1:
            own_head, column = np.divmod(last_column, self.columns)
        else:
            own_head, column = np.zeros_like(head), head * width + last_column
        block = np.minimum(last_row // self.block_rows, n_blocks - 1)
        tasks: Ints = self.tasks[own_head, column // self.panel_columns, block]
        return tasks


class _Builder:
    """Collects the tasks of one group, op by op; `finish` puts them in program order."""

    def __init__(
        self,
        *,
        quant: QuantConfig,
        accelerator: Accelerator,
        channel: MemoryChannel,
        merged: int,
        rows: int,
        streamed: bool,
        decision: TaskCycles,
        head: TaskCycles | None,
    ) -> None:
        self.quant, self.accelerator, self.channel = quant, accelerator, channel
        self.merged, self.streamed, self.decision_cycles, self.head_cycles = merged, streamed, decision, head
        self.block_rows = merged * accelerator.array_rows
        self.passes = vector_passes(accelerator)
        self.n_blocks = ceil_div(rows, self.block_rows)
        self.n_ports = 1 + self.n_blocks + accelerator.n_weight_buffers
        input_ports = np.arange(1, 1 + self.n_blocks).reshape(1, 1, -1)
        self.results = {GROUP_INPUT: _Result(tasks=input_ports, block_rows=self.block_rows)}
        self.releases: Ints = np.arange(1 + self.n_blocks, self.n_ports)
        self.next_number = self.n_ports
        self.decision = NONE
        self.columns: dict[str, list[Ints]] = {name: [] for name in _COLUMNS}
        self.dependencies: list[Ints] = []
        self.op_index = -1
        self.group = self.turn = 0
        self.group_turns: list[Ints] = []  # of the tasks of this group

    def add(self, op: Op, group: int, turn: int) -> None:
        """Append the tasks of one op; `turn` delays its heads against the others of its group."""
        self.op_index += 1
        if group != self.group:
            self.group_turns = []
        self.group, self.turn = group, turn
        match op:
            case MatMul():
                self._matmul(op)
            case Softmax():
                self._rowwise(op, Unit.SOFTMAX, op.count, self.passes.softmax)
            case LayerNorm():
                self._rowwise(op, Unit.LAYER_NORM, 1, self.passes.layer_norm)
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
        cut = cut_product(op, self.accelerator, self.merged)
        left = self._read(op.inputs[0], op.count, cut.head, op.k, cut.last_k, cut.last_row)
        if op.weights and self.streamed:
            first_task = self.next_number + cut.last_of_panel.size
            right = self._load(op, first_task + cut.last_of_panel)[cut.panel]
        elif op.weights:
            right = np.full_like(cut.panel, NONE)
        elif op.transposed:
            right = self._read(op.inputs[1], op.count, cut.head, op.k, cut.last_k, cut.last_column)
        else:
            right = self._read(op.inputs[1], op.count, cut.head, op.n, cut.last_column, cut.last_k)
        self.results[op.name] = _Result(
            tasks=self.next_number + cut.finished,
            columns=op.n,
            panel_columns=cut.panel_columns,
            block_rows=cut.block_rows,
        )
        self._append(
            Unit.ARRAY,
            occupancy=cut.occupancy_cycles,
            latency=cut.latency_cycles,
            dependencies=(
                np.maximum.reduceat(left, cut.first_tile),
                right if op.weights else np.maximum.reduceat(right, cut.first_tile),
            ),
            head=cut.task_head,
            panel=cut.panel,
            block=cut.block,
            macs=cut.macs,
        )

    def _rowwise(self, op: Softmax | LayerNorm, unit: Unit, count: int, passes: tuple[int, ...]) -> None:
        lanes, depth = self._lanes(unit)
        heights = self._block_heights(op.rows)
        head, panel, block = _grid(count, 1, heights.size)
        last_column, last_row = np.full_like(head, op.columns - 1), self._last_rows(heights)[block]
        source = self._read(op.inputs[0], count, head, op.columns, last_column, last_row)
        parameters = np.full_like(head, NONE)
        if self.streamed and isinstance(op, LayerNorm):
            last_use = np.array([self.next_number + 1 + heights.size - 1])
            parameters = self._load(op, last_use)[panel]
        self._result(op, count, 1, sys.maxsize, heights.size)
        occupancy = sum(passes) * heights[block] * ceil_div(op.columns, lanes)
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
        unit, passes = (Unit.GELU, self.passes.gelu) if isinstance(op, Gelu) else (Unit.ADD, self.passes.add)
        lanes, depth = self._lanes(unit)
        panel_columns = self.accelerator.array_columns
        heights = self._block_heights(op.rows)
        head, panel, block = _grid(1, ceil_div(op.columns, panel_columns), heights.size)
        last_column = np.minimum((panel + 1) * panel_columns, op.columns) - 1
        width = last_column - panel * panel_columns + 1
        last_row = self._last_rows(heights)[block]
        sources = tuple(self._read(name, 1, head, op.columns, last_column, last_row) for name in op.inputs)
        self._result(op, 1, ceil_div(op.columns, panel_columns), panel_columns, heights.size)
        occupancy = sum(passes) * heights[block] * -(-width // lanes)
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
        costs = [gather_cycles(int(height) * op.n_tables, row_bytes, self.channel) for height in heights]
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
        last_column = np.full_like(head, op.hidden_size - 1)
        source = self._read(op.inputs[0], 1, head, op.hidden_size, last_column, self._last_rows(heights))
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
        if self.head_cycles is not None:
            self._built_head(op, self.head_cycles, source[-1:])
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
        self.results[op.name] = _Result(tasks=outputs[-1:].reshape(1, 1, 1))

    def _built_head(self, op: ExitHead, cost: TaskCycles, source: Ints) -> None:
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
        self.results[op.name] = _Result(tasks=outputs.reshape(1, 1, 1))

    def _exit_decision(self, op: ExitDecision) -> None:
        zero = np.zeros(1, np.int64)
        everything = np.full(1, sys.maxsize)
        dependencies = tuple(self._read(name, 1, zero, 0, zero, everything) for name in op.inputs)
        numbers = self._append(
            Unit.DECISION,
            occupancy=np.array([self.decision_cycles.occupancy_cycles]),
            latency=np.array([self.decision_cycles.latency_cycles]),
            dependencies=dependencies,
            head=zero,
            panel=zero,
            block=zero,
        )
        self.decision = int(numbers[0])

    def _load(self, op: Op, last_uses: Ints) -> Ints:
        """Append one transfer per panel of an op's parameters; a transfer waits for the release of its buffer."""
        n_bytes = np.array(streamed_panels(op, self.quant, self.accelerator))
        costs = [transfer_cycles(int(size), self.channel) for size in n_bytes]
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

    def _last_rows(self, heights: Ints) -> Ints:
        return np.cumsum(heights) - 1

    def _read(self, name: str, reader_heads: int, head: Ints, width: int, last_column: Ints, last_row: Ints) -> Ints:
        return self.results[name].last_task(reader_heads, head, width, last_column, last_row)

    def _result(self, op: Op, n_heads: int, n_panels: int, panel_columns: int, n_blocks: int) -> None:
        """Note where a vector unit's tasks will be: the next ones to be appended."""
        size = n_heads * n_panels * n_blocks
        self.results[op.name] = _Result(
            tasks=(self.next_number + np.arange(size)).reshape(n_heads, n_panels, n_blocks),
            columns=output_shape(op)[2],
            panel_columns=panel_columns,
            block_rows=self.block_rows,
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
        """Append tasks of one unit, in the order in which the unit takes them within a turn and a panel."""
        size = occupancy.size
        zero = np.zeros(size, np.int64)
        padded = np.full((size, _MAX_DEPENDENCIES), NONE, np.int64)
        for slot, numbers in enumerate(dependencies):
            padded[:, slot] = numbers
        # A task that reads ports alone waits for the gate; all others wait for it through what they read.
        padded[:, -1] = np.where((padded < self.n_ports).all(axis=1), GATE, NONE)
        turn = self._turns(head, padded)
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
        self.dependencies.append(padded)
        self.group_turns.append(turn)
        numbers = self.next_number + np.arange(size)
        self.next_number += size
        return numbers

    def _turns(self, head: Ints, dependencies: Ints) -> Ints:
        """Turns of tasks: that of their head, or of what they read (several arrays work on several heads at once)."""
        turn: Ints = head + self.turn
        if self.group_turns:
            known = np.concatenate(self.group_turns)
            source = dependencies - (self.next_number - known.size)
            in_group = (source >= 0) & (source < known.size)
            turn = np.maximum(turn, np.where(in_group, known[source * in_group], 0).max(axis=1))
        return turn

    def finish(self, ops: tuple[Op, ...]) -> TaskProgram:
        """Return the program: tasks sorted into program order, dependencies renumbered."""
        table = {name: np.concatenate(parts) for name, parts in self.columns.items()}
        keys = ("is_compute", "panel", "op", "turn", "group")  # last key first; equals stay in the order of appending
        order = np.lexsort([table[name] for name in keys])
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
            outputs = last.last_task(1, np.zeros_like(block), 0, column, (block + 1) * self.block_rows - 1)
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
