"""Builds the tasks of a group of tiled ops, in program order, with everything that they wait for.

A dependency on a part of a result is one on its last task: within one op results come in program order. Numbers count
the ports first and then the tasks, op by op, the transfers of an op before its tiles. Program order is

    group, turn of the head, op, panel, transfers before what needs them, number

The heads of a run of per-head ops take turns, so that the array works on the next head's scores while a softmax runs;
a task has the turn of its head, or a later one that it reads (several arrays work on several heads at once).
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numba
import numpy as np

from hexit.quant.arrays import Integers
from hexit.sim.core.program import GATE, NONE, Unit
from hexit.sim.core.tiled_ops import INPUT

TASK_COLUMNS = ("unit", "occupancy_cycles", "latency_cycles", "op", "head", "panel", "block", "macs", "n_bytes")
_UNIT, _OCCUPANCY, _LATENCY, _OP, _HEAD, _PANEL, _BLOCK, _MACS, _BYTES = range(9)
_DMA, _DECISION = int(Unit.DMA), int(Unit.DECISION)  # ints: compiled functions take no enumerations from outside
_LEFT, _RIGHT, _TRANSFER, _N_SOURCES = 0, 1, 2, 3  # what a task waits for, in this order
_BEYOND = sys.maxsize  # a row behind those of every result

TiledOps = Any  # a record array of TILED_OP, or one record; numba alone reads its fields by name


class BuiltTasks(NamedTuple):
    """The tasks of a group in program order: `columns` [TASK_COLUMNS, tasks], the rest as `TaskProgram` has it.

    `transfer` are the places of the transfers in the program, in the order in which they were given.
    """

    columns: Integers
    first_dependency: Integers
    dependency: Integers
    exports: Integers
    decision: int
    transfer: Integers


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def build_tasks(ops: TiledOps, n_bytes: Integers, n_blocks: int, n_buffers: int, export: int) -> BuiltTasks:
    """Return the tasks of tiled ops, of which the first is the group's input of `n_blocks` row blocks.

    `n_bytes` are the transfers of all ops, whose cycles stay 0 here; they go through `n_buffers` weight buffers. The
    row blocks of the tiled op `export` leave the group.
    """
    n_ports = 1 + n_blocks + n_buffers
    first = first_numbers(ops, n_ports)
    n_tasks = first[ops.size] - n_ports
    columns = np.zeros((len(TASK_COLUMNS), n_tasks), np.int64)
    sources = np.full((n_tasks, _N_SOURCES), NONE, np.int64)
    transfer = np.empty(n_bytes.size, np.int64)
    released = np.arange(1 + n_blocks, n_ports)  # number after which each buffer is free; taken in turn
    n_transfers, n_panels, decision = 0, 0, NONE
    for index in range(1, ops.size):
        op = ops[index]
        for panel in range(op.n_transfers):
            task = first[index] - op.n_transfers + panel - n_ports
            columns[_UNIT, task], columns[_OP, task], columns[_BYTES, task] = _DMA, op.op, n_bytes[n_transfers]
            transfer[n_transfers] = task
            n_transfers += 1
            if op.gathers:
                columns[_BLOCK, task] = panel
            else:
                columns[_PANEL, task] = op.first_panel + panel
                sources[task, _LEFT] = released[n_panels % n_buffers]
                released[n_panels % n_buffers] = first[index] + last_use(op, panel)
                n_panels += 1
        add_tiles(ops, first, index, n_ports, columns, sources)
        add_cycles(op, first[index] - n_ports, columns)
        if op.unit == _DECISION:
            decision = first[index]
    exports = np.empty(n_blocks + n_buffers, np.int64)
    for block in range(n_blocks):
        last_column, last_row = ops[export].count * ops[export].columns - 1, (block + 1) * ops[INPUT].row_step - 1
        exports[block] = last_task(ops[export], first[export], 1, 0, 0, last_column, last_row)
    for buffer in range(n_buffers):
        exports[n_blocks + buffer] = released[(n_panels + buffer) % n_buffers]
    order = program_order(ops, first, n_ports, columns, sources)
    return in_program_order(order, n_ports, columns, sources, exports, decision, transfer)


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def first_numbers(ops: TiledOps, n_ports: int) -> Integers:
    """Return the number of the first task of each tiled op behind its transfers; that of the input is its port's."""
    first = np.empty(ops.size + 1, np.int64)
    first[INPUT] = 1
    number = n_ports
    for index in range(1, ops.size):
        first[index] = number + ops[index].n_transfers
        number = first[index] + ops[index].n_tasks
    first[ops.size] = number
    return first


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def last_use(op: TiledOps, panel: int) -> int:
    """Return the last task of an op that needs a panel."""
    return min((panel + 1) * op.inner_tiles, op.n_tasks) - 1


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def last_task(
    op: TiledOps, first: int, n_readers: int, reader: int, width: int, last_column: int, last_row: int
) -> int:
    """Return the number after which the rows and columns up to these are there for one of `n_readers` heads.

    One of several heads reads its own `width` columns of a joint result; a joint reader has the results of all heads
    side by side.
    """
    if op.count == 1:
        head, column = 0, reader * width + last_column
    elif n_readers > 1:
        head, column = reader, last_column
    else:
        head, column = last_column // op.columns, last_column % op.columns
    tiles = op.column_tiles * op.term_tiles * op.row_tiles
    if op.is_whole:
        tile = (head + 1) * tiles - 1
    else:
        panel, block = column // op.column_step, min(last_row // op.row_step, op.row_tiles - 1)
        tile = head * tiles + ((panel + 1) * op.term_tiles - 1) * op.row_tiles + block
    return first + tile // op.n_arrays


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def add_tiles(ops: TiledOps, first: Integers, index: int, n_ports: int, columns: Integers, sources: Integers) -> None:
    """Fill the tasks of one tiled op, tile by tile, but for the cycles of an array."""
    op, tile = ops[index], 0
    for head in range(op.count):
        for column_tile in range(op.column_tiles):
            first_column = column_tile * op.column_step
            last_column = min(first_column + op.column_step, op.columns) - 1
            for term_tile in range(op.term_tiles):
                first_term = term_tile * op.term_step
                last_term = min(first_term + op.term_step, op.terms) - 1
                for row_tile in range(op.row_tiles):
                    first_row = row_tile * op.row_step
                    last_row = min(first_row + op.row_step, op.rows) - 1
                    task = first[index] - n_ports + tile // op.n_arrays
                    if tile % op.n_arrays == 0:
                        begin_task(op, first[index], task, head, tile, columns, sources)
                    n_rows, n_columns = last_row - first_row + 1, last_column - first_column + 1
                    columns[_OCCUPANCY, task] += op.interval_cycles * n_rows * -(-n_columns // op.lanes)
                    columns[_MACS, task] += op.macs_each * n_rows * n_columns * (last_term - first_term + 1)
                    last = (last_row, last_column, last_term, _BEYOND)
                    if op.left_source != NONE:
                        source, column, row = op.left_source, last[op.left_column_axis], last[op.left_row_axis]
                        read = last_task(ops[source], first[source], op.count, head, op.left_width, column, row)
                        sources[task, _LEFT] = max(sources[task, _LEFT], read)
                    if op.right_source != NONE:
                        source, column, row = op.right_source, last[op.right_column_axis], last[op.right_row_axis]
                        read = last_task(ops[source], first[source], op.count, head, op.right_width, column, row)
                        sources[task, _RIGHT] = max(sources[task, _RIGHT], read)
                    tile += 1


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def begin_task(op: TiledOps, first: int, task: int, head: int, tile: int, columns: Integers, sources: Integers) -> None:
    """Fill what the first tile of a task says: where the task lies, and the transfer of its panel."""
    place = tile - head * op.column_tiles * op.term_tiles * op.row_tiles
    panel = place // op.inner_tiles // op.n_arrays
    columns[_UNIT, task], columns[_OP, task], columns[_HEAD, task] = op.unit, op.op, head
    columns[_PANEL, task] = op.first_panel + panel
    columns[_BLOCK, task] = place // op.n_arrays - panel * op.inner_tiles
    if op.n_transfers:
        needed = columns[_BLOCK, task] if op.gathers else panel
        sources[task, _TRANSFER] = first - op.n_transfers + needed


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def add_cycles(op: TiledOps, start: int, columns: Integers) -> None:
    """Add the rounds of the arrays and the words in and out to the tasks from `start` on, and fill the latencies."""
    tiles = op.column_tiles * op.term_tiles * op.row_tiles  # of one result
    n_folds = folds_until(op, op.count * tiles)
    begin = 0
    for task in range(op.n_tasks * (op.round_cycles > 0)):
        end = -(-folds_until(op, min((task + 1) * op.n_arrays, op.count * tiles)) // op.n_arrays)
        columns[_OCCUPANCY, start + task] += (end - begin) * op.round_cycles
        if op.finishing_cycles > op.round_cycles:
            for number in range(begin, end):
                fold = number * op.n_arrays
                n_others = min(fold + op.n_arrays, n_folds) - 1 - fold  # that run beside it
                if fold % op.finishing_period + n_others >= op.unfinished_folds:
                    columns[_OCCUPANCY, start + task] += op.finishing_cycles - op.round_cycles
        begin = end
    for head in range(op.count):
        columns[_OCCUPANCY, start + head * tiles // op.n_arrays] += op.staging_in_cycles
        columns[_OCCUPANCY, start + ((head + 1) * tiles - 1) // op.n_arrays] += op.staging_out_cycles
    for task in range(start, start + op.n_tasks):
        columns[_LATENCY, task] = columns[_OCCUPANCY, task] + op.depth_cycles


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def folds_until(op: TiledOps, n_tiles: int) -> int:
    """Return the folds in the first tiles of an op."""
    outer, inner = n_tiles // op.inner_tiles, n_tiles % op.inner_tiles
    return outer * op.inner_folds + min(inner * op.merged_folds, op.inner_folds)


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def program_order(ops: TiledOps, first: Integers, n_ports: int, columns: Integers, sources: Integers) -> Integers:
    """Return the tasks in program order."""
    n_tasks, n_ops, n_turns, n_panels = columns.shape[1], 1, 1, 0
    for index in range(1, ops.size):
        n_ops = max(n_ops, ops[index].op + 1)
        n_turns = max(n_turns, ops[index].delay + ops[index].count)
    turn, by_turn, by_panel = np.empty(n_tasks, np.int64), np.empty(n_tasks, np.int64), np.empty(n_tasks, np.int64)
    group, group_begin = -1, n_ports
    for index in range(1, ops.size):
        op = ops[index]
        if op.group != group:
            group, group_begin = op.group, first[index] - op.n_transfers
        for task in range(first[index] - op.n_transfers - n_ports, first[index] + op.n_tasks - n_ports):
            turn[task] = op.delay + columns[_HEAD, task]
            for slot in range(_N_SOURCES):
                if group_begin <= sources[task, slot] < n_ports + task:  # a transfer may wait for a later use
                    turn[task] = max(turn[task], turn[sources[task, slot] - n_ports])
            by_turn[task] = (group * n_turns + turn[task]) * n_ops + op.op
            by_panel[task] = 2 * (columns[_PANEL, task] + 1) + (columns[_UNIT, task] != _DMA)  # pooling has panel -1
            n_panels = max(n_panels, columns[_PANEL, task] + 1)
    order = stable_order(np.arange(n_tasks), by_panel, 2 * (n_panels + 1))
    return stable_order(order, by_turn, (group + 1) * n_turns * n_ops)


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def stable_order(before: Integers, key: Integers, n_keys: int) -> Integers:
    """Return items sorted by their keys below `n_keys`; those of one key stay in the order `before`."""
    place = np.zeros(n_keys + 1, np.int64)
    for item in before:
        place[key[item] + 1] += 1
    for number in range(n_keys):
        place[number + 1] += place[number]
    order = np.empty_like(before)
    for item in before:
        order[place[key[item]]] = item
        place[key[item]] += 1
    return order


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def in_program_order(
    order: Integers,
    n_ports: int,
    columns: Integers,
    sources: Integers,
    exports: Integers,
    decision: int,
    transfer: Integers,
) -> BuiltTasks:
    """Return the tasks in an order, everything numbered by it; a task that reads ports alone waits for the gate."""
    renumbered = np.arange(n_ports + order.size)
    for place in range(order.size):
        renumbered[n_ports + order[place]] = n_ports + place
    ordered = np.empty_like(columns)
    first_dependency = np.zeros(order.size + 1, np.int64)
    dependency = np.empty(order.size * _N_SOURCES + order.size, np.int64)
    n_dependencies = 0
    for place in range(order.size):
        task, reads_tasks = order[place], False
        for column in range(columns.shape[0]):
            ordered[column, place] = columns[column, task]
        for slot in range(_N_SOURCES):
            source = sources[task, slot]
            if source != NONE:
                dependency[n_dependencies] = renumbered[source]
                n_dependencies += 1
                reads_tasks |= source >= n_ports
        if not reads_tasks:
            dependency[n_dependencies] = GATE
            n_dependencies += 1
        first_dependency[place + 1] = n_dependencies
    if decision != NONE:
        decision = renumbered[decision]
    return BuiltTasks(
        ordered,
        first_dependency,
        dependency[:n_dependencies].copy(),
        renumbered[exports],
        decision,
        renumbered[n_ports + transfer] - n_ports,
    )
