"""Builds the tasks of a group of tiled ops, in program order, with everything that they wait for.

A dependency on a part of a result is one on its last task: within one op results come in program order. Numbers count
the ports first and then the tasks, op by op, the transfers of an op before its tiles. Program order is

    group, turn of the head, op, panel, transfers before what needs them, number

The heads of a run of per-head ops take turns, so that the array works on the next head's scores while a softmax runs;
a task has the turn of its head, or a later one that it reads (several arrays work on several heads at once).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numba
import numpy as np

from hexit.quant.arrays import Integers
from hexit.sim.core.program import GATE, NONE, Unit
from hexit.sim.core.tiled_ops import INPUT, TILED_OP, TiledOp

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


class Space(NamedTuple):
    """Arrays that `fill` fills, made by its caller: every kind of array that compiled code makes takes it a while.

    By number, without the ports: `columns` [TASK_COLUMNS, tasks] and `sources` [tasks, _N_SOURCES]. `first`: number of
    the first task of each op behind its transfers, of the input its port's. `handed_on`: exports, then the decision.
    `order` [4, tasks] and `counts` are for sorting; `renumbered` leads from numbers to those in program order, in which
    `ordered`, `first_dependency` and `dependency` are.
    """

    first: Integers
    columns: Integers
    sources: Integers
    transfer: Integers
    handed_on: Integers
    order: Integers
    counts: Integers
    renumbered: Integers
    ordered: Integers
    first_dependency: Integers
    dependency: Integers


def build_tasks(ops: Sequence[TiledOp], n_bytes: Integers, n_buffers: int, export: int) -> BuiltTasks:
    """Return the tasks of tiled ops, of which the first is the group's input.

    `n_bytes` are the transfers of all ops, whose cycles stay 0 here; they go through `n_buffers` weight buffers. The
    row blocks of the tiled op `export` leave the group.
    """
    n_ports = 1 + ops[INPUT].row_tiles + n_buffers
    first, number = [1], n_ports
    for op in ops[1:]:
        first.append(number + op.n_transfers)
        number = first[-1] + op.n_tasks
    n_tasks, last = number - n_ports, ops[-1]
    n_turns = max(op.delay + op.n_results for op in ops)
    space = Space(
        first=np.array(first, np.int64),
        columns=np.zeros((len(TASK_COLUMNS), n_tasks), np.int64),
        sources=np.full((n_tasks, _N_SOURCES), NONE, np.int64),
        transfer=np.empty(n_bytes.size, np.int64),
        handed_on=np.empty(n_ports, np.int64),
        order=np.empty((4, n_tasks), np.int64),
        counts=np.zeros(1 + max(2 * n_tasks + 2, (last.group + 1) * n_turns * (last.op + 1)), np.int64),
        renumbered=np.arange(number),
        ordered=np.empty((len(TASK_COLUMNS), n_tasks), np.int64),
        first_dependency=np.zeros(n_tasks + 1, np.int64),
        dependency=np.empty(n_tasks * _N_SOURCES, np.int64),
    )
    records = np.fromiter(chain.from_iterable(ops), np.int64, len(ops) * len(TiledOp._fields)).view(TILED_OP)
    fill(records, n_bytes, n_ports, export, n_turns, space)
    return BuiltTasks(
        columns=space.ordered,
        first_dependency=space.first_dependency,
        dependency=space.dependency[: space.first_dependency[-1]].copy(),
        exports=space.handed_on[:-1],
        decision=int(space.handed_on[-1]),
        transfer=space.transfer,
    )


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def fill(ops: TiledOps, n_bytes: Integers, n_ports: int, export: int, n_turns: int, space: Space) -> None:
    """Fill the space with the tasks of tiled ops; see `build_tasks`."""
    first, columns, sources, handed_on = space.first, space.columns, space.sources, space.handed_on
    n_blocks, n_buffers = ops[INPUT].row_tiles, n_ports - 1 - ops[INPUT].row_tiles
    released = space.renumbered[1 + n_blocks : n_ports]  # numbers after which each buffer is free; taken in turn
    n_transfers, n_panels, decision = 0, 0, n_ports - 1
    handed_on[decision] = NONE
    for index in range(1, ops.size):
        op = ops[index]
        for panel in range(op.n_transfers):
            task = first[index] - op.n_transfers + panel - n_ports
            columns[_UNIT, task], columns[_OP, task], columns[_BYTES, task] = _DMA, op.op, n_bytes[n_transfers]
            space.transfer[n_transfers] = task
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
            handed_on[decision] = first[index]
    for block in range(n_blocks):
        last_column, last_row = ops[export].n_results * ops[export].columns - 1, (block + 1) * ops[INPUT].row_step - 1
        handed_on[block] = last_task(ops[export], first[export], 1, 0, 0, last_column, last_row)
    for buffer in range(n_buffers):
        handed_on[n_blocks + buffer] = released[(n_panels + buffer) % n_buffers]
    sort_tasks(ops, n_ports, n_turns, space)
    take_order(n_ports, space)


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def last_use(op: TiledOps, panel: int) -> int:
    """Return the last task of an op that needs a panel."""
    last: int = min((panel + 1) * op.inner_tiles, op.n_tasks) - 1
    return last


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def last_task(
    op: TiledOps, first: int, n_readers: int, reader: int, width: int, last_column: int, last_row: int
) -> int:
    """Return the number after which the rows and columns up to these are there for one of `n_readers` heads.

    One of several heads reads its own `width` columns of a joint result; a joint reader has the results of all heads
    side by side.
    """
    if op.n_results == 1:
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
    number: int = first + tile // op.n_arrays
    return number


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def add_tiles(ops: TiledOps, first: Integers, index: int, n_ports: int, columns: Integers, sources: Integers) -> None:
    """Fill the tasks of one tiled op, tile by tile, but for the cycles of an array."""
    op = ops[index]
    for head in range(op.n_results):
        for column_tile in range(op.column_tiles):
            before = (head * op.column_tiles + column_tile) * op.term_tiles * op.row_tiles  # tiles
            first_column = column_tile * op.column_step
            last_column = min(first_column + op.column_step, op.columns) - 1
            for term_tile in range(op.term_tiles):
                first_term = term_tile * op.term_step
                last_term = min(first_term + op.term_step, op.terms) - 1
                for row_tile in range(op.row_tiles):
                    first_row = row_tile * op.row_step
                    last_row = min(first_row + op.row_step, op.rows) - 1
                    tile = before + term_tile * op.row_tiles + row_tile
                    task = first[index] - n_ports + tile // op.n_arrays
                    if tile % op.n_arrays == 0:
                        begin_task(op, first[index], task, head, tile, columns, sources)
                    n_rows, n_columns = last_row - first_row + 1, last_column - first_column + 1
                    columns[_OCCUPANCY, task] += op.interval_cycles * n_rows * -(-n_columns // op.lanes)
                    columns[_MACS, task] += op.macs_each * n_rows * n_columns * (last_term - first_term + 1)
                    last = (last_row, last_column, last_term, _BEYOND)
                    if op.left_source != NONE:
                        source, column, row = op.left_source, last[op.left_column_axis], last[op.left_row_axis]
                        read = last_task(ops[source], first[source], op.n_results, head, op.left_width, column, row)
                        sources[task, _LEFT] = max(sources[task, _LEFT], read)
                    if op.right_source != NONE:
                        source, column, row = op.right_source, last[op.right_column_axis], last[op.right_row_axis]
                        read = last_task(ops[source], first[source], op.n_results, head, op.right_width, column, row)
                        sources[task, _RIGHT] = max(sources[task, _RIGHT], read)


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
    n_folds = folds_until(op, op.n_results * tiles)
    begin = 0
    for task in range(op.n_tasks * (op.round_cycles > 0)):
        end = -(-folds_until(op, min((task + 1) * op.n_arrays, op.n_results * tiles)) // op.n_arrays)
        columns[_OCCUPANCY, start + task] += (end - begin) * op.round_cycles
        if op.finishing_cycles > op.round_cycles:
            for number in range(begin, end):
                fold = number * op.n_arrays
                n_others = min(fold + op.n_arrays, n_folds) - 1 - fold  # that run beside it
                if fold % op.finishing_period + n_others >= op.unfinished_folds:
                    columns[_OCCUPANCY, start + task] += op.finishing_cycles - op.round_cycles
        begin = end
    for head in range(op.n_results):
        columns[_OCCUPANCY, start + head * tiles // op.n_arrays] += op.staging_in_cycles
        columns[_OCCUPANCY, start + ((head + 1) * tiles - 1) // op.n_arrays] += op.staging_out_cycles
    for task in range(start, start + op.n_tasks):
        columns[_LATENCY, task] = columns[_OCCUPANCY, task] + op.depth_cycles


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def folds_until(op: TiledOps, n_tiles: int) -> int:
    """Return the folds in the first tiles of an op."""
    outer, inner = n_tiles // op.inner_tiles, n_tiles % op.inner_tiles
    folds: int = outer * op.inner_folds + min(inner * op.merged_folds, op.inner_folds)
    return folds


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def sort_tasks(ops: TiledOps, n_ports: int, n_turns: int, space: Space) -> None:
    """Put the tasks in program order into the first row of `order`."""
    columns, sources = space.columns, space.sources
    order, by_panel, by_turn, turn = space.order[0], space.order[1], space.order[2], space.order[3]
    n_ops, group, group_begin = ops[ops.size - 1].op + 1, NONE, n_ports
    for index in range(1, ops.size):
        op, begin = ops[index], space.first[index] - ops[index].n_transfers
        if op.group != group:
            group, group_begin = op.group, begin
        for task in range(begin - n_ports, space.first[index] + op.n_tasks - n_ports):
            turn[task] = op.delay + columns[_HEAD, task]
            for slot in range(_N_SOURCES):
                if group_begin <= sources[task, slot] < n_ports + task:  # a transfer may wait for a later use
                    turn[task] = max(turn[task], turn[sources[task, slot] - n_ports])
            by_panel[task] = 2 * (columns[_PANEL, task] + 1) + (columns[_UNIT, task] != _DMA)  # pooling has panel -1
            by_turn[task] = (group * n_turns + turn[task]) * n_ops + op.op
            order[task] = task
    stable_sort(order, by_panel, space.counts, turn)
    stable_sort(order, by_turn, space.counts, turn)


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def stable_sort(order: Integers, key: Integers, counts: Integers, spare: Integers) -> None:
    """Sort `order` by the keys of its items, which are below those that `counts` has room for; `spare` is used up."""
    for place in range(counts.size):
        counts[place] = 0
    for place in range(order.size):
        counts[key[place] + 1] += 1
        spare[place] = order[place]
    for place in range(1, counts.size):
        counts[place] += counts[place - 1]
    for place in range(order.size):
        item = spare[place]
        order[counts[key[item]]] = item
        counts[key[item]] += 1


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def take_order(n_ports: int, space: Space) -> None:
    """Number everything in program order; a task that reads ports alone waits for the gate as well."""
    order, renumbered, n_dependencies = space.order[0], space.renumbered, 0
    for place in range(n_ports):
        renumbered[place] = place
    for place in range(order.size):
        renumbered[n_ports + order[place]] = n_ports + place
    for place in range(order.size):
        task, reads_tasks = order[place], False
        for column in range(space.columns.shape[0]):
            space.ordered[column, place] = space.columns[column, task]
        for slot in range(_N_SOURCES):
            source = space.sources[task, slot]
            if source != NONE:
                space.dependency[n_dependencies] = renumbered[source]
                n_dependencies += 1
                reads_tasks |= source >= n_ports
        if not reads_tasks:
            space.dependency[n_dependencies] = GATE
            n_dependencies += 1
        space.first_dependency[place + 1] = n_dependencies
    for place in range(space.handed_on.size):
        if space.handed_on[place] != NONE:
            space.handed_on[place] = renumbered[space.handed_on[place]]
    for place in range(space.transfer.size):
        space.transfer[place] = renumbered[n_ports + space.transfer[place]] - n_ports
