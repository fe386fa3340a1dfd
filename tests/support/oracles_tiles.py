"""The straightforward cut of a matrix product into tasks: every tile and every fold as an entry of an array.

A product m x k x n is a loop over folds, and a tile is what `merged` consecutive folds of the inner loop cover:

    data flow            outer loop               inner loop               results are there
    output stationary    panels of n (columns)    blocks of m (rows)       after their tile
    weight stationary    panels of n (columns)    slices of k (rows)       all rows of a panel after its last slice
    input stationary     slices of k (rows)       blocks of m (columns)    all columns of a block after its last slice

Folds are dealt to the arrays in this order, one product of `count` after the other, so a task is one tile for each
of `n_arrays` arrays, and the arrays go through its folds in rounds of one fold each:

    rounds = ceil(folds up to its end / n_arrays) - ceil(folds up to its begin / n_arrays)

which adds up to the closed form, ceil(all folds / n_arrays). Streamed weights come in panels of `n_arrays` outer steps,
so no task needs two of them.
Not modelled: other loop orders, arrays that work on different products of a layer at the same time.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import Dataflow, SystolicArray, product_cycles
from hexit.hw_model.gemm import fold_cycles
from hexit.hw_model.rounding import ceil_div
from hexit.quant.arrays import Flags, Integers
from hexit.quant.workload import MatMul

Axis = Literal["m", "n", "k"]

LOOPS: dict[Dataflow, tuple[Axis, Axis]] = {  # outer, inner; values of the third axis stream through a fold
    "output_stationary": ("n", "m"),
    "weight_stationary": ("n", "k"),
    "input_stationary": ("k", "m"),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProductTasks:
    """The tasks of one product in order, and what the tiles of each need.

    Per tile: product (`head`), the last row, column and k that it reads or makes, MACs. Per task: cycles, the number of
    its first tile's product, panel and place within the panel. `first_tile` is the tile at which each task begins.
    `finished` is the task after which results are there, [product, column panel, row block] with panels of
    `panel_columns` and blocks of `block_rows`; `last_of_panel` the last task that needs a streamed panel.
    """

    head: Integers
    last_row: Integers
    last_column: Integers
    last_k: Integers
    first_tile: Integers
    occupancy_cycles: Integers
    latency_cycles: Integers
    macs: Integers
    task_head: Integers
    panel: Integers
    block: Integers
    last_of_panel: Integers
    finished: Integers
    panel_columns: int
    block_rows: int


def n_tiles(op: MatMul, accelerator: Accelerator, merged: int) -> int:
    """Return the tiles of a product, all arrays together, with `merged` folds of the inner loop in each."""
    outer, inner = _loop_folds(op, accelerator.array)
    return op.count * outer * ceil_div(inner, merged)


def n_inner_folds(op: MatMul, accelerator: Accelerator) -> int:
    """Return the folds of the inner loop of a product, the most that a tile can cover."""
    return _loop_folds(op, accelerator.array)[1]


def cut_product(op: MatMul, accelerator: Accelerator, merged: int) -> ProductTasks:
    """Return the tasks of a product, each covering `merged` folds of the inner loop on every array."""
    array = accelerator.array
    outer_axis, inner_axis = LOOPS[array.dataflow]
    n_outer, n_inner = _loop_folds(op, array)
    n_chunks = ceil_div(n_inner, merged)
    head, outer, chunk = (index.reshape(-1) for index in np.indices((op.count, n_outer, n_chunks)))
    sizes: dict[Axis, int] = {"m": op.m, "n": op.n, "k": op.k}
    steps = _fold_steps(array)
    first: dict[Axis, Integers] = {axis: np.zeros_like(head) for axis in sizes}
    last: dict[Axis, Integers] = {axis: np.full_like(head, size - 1) for axis, size in sizes.items()}
    for axis, index, step in ((outer_axis, outer, steps[outer_axis]), (inner_axis, chunk, steps[inner_axis] * merged)):
        first[axis] = index * step
        last[axis] = np.minimum(first[axis] + step, sizes[axis]) - 1
    extent = {axis: last[axis] - first[axis] + 1 for axis in sizes}

    first_tile = np.arange(0, head.size, array.n_arrays)
    rounds_end = -(-np.cumsum(-(-extent[inner_axis] // steps[inner_axis])) // array.n_arrays)
    end = rounds_end[np.append(first_tile[1:], head.size) - 1]
    begin = np.append(0, end[:-1])
    closed_form = product_cycles(op.m, op.k, op.n, array, op.count)
    plain, finishing = (fold_cycles(closed_form.folds.streamed, accelerator, 1, n) for n in (0, 1))
    occupancy = (end - begin) * plain.occupancy_cycles
    if finishing.occupancy_cycles > plain.occupancy_cycles:
        finishing_until = np.append(0, np.cumsum(_finishing_rounds(op, array)))
        n_finishing = finishing_until[end] - finishing_until[begin]
        occupancy = occupancy + n_finishing * (finishing.occupancy_cycles - plain.occupancy_cycles)

    task = (np.arange(head.size) // array.n_arrays).reshape(op.count, n_outer, n_chunks)
    if array.fold.stages_operands:
        words_out = ceil_div(op.m * op.n, array.columns)
        np.add.at(occupancy, task[:, 0, 0], closed_form.staging // op.count - words_out)
        np.add.at(occupancy, task[:, -1, -1], words_out)
    panel = (outer // array.n_arrays)[first_tile]
    place = outer[first_tile] * n_chunks + chunk[first_tile] - panel * array.n_arrays * n_chunks
    finished, panel_columns, block_rows = _finished(task, array, merged)
    return ProductTasks(
        head=head,
        last_row=last["m"],
        last_column=last["n"],
        last_k=last["k"],
        first_tile=first_tile,
        occupancy_cycles=occupancy,
        latency_cycles=occupancy + plain.latency_cycles - plain.occupancy_cycles,
        macs=np.add.reduceat(extent["m"] * extent["n"] * extent["k"], first_tile),
        task_head=head[first_tile],
        panel=panel,
        block=place // array.n_arrays,
        last_of_panel=np.minimum(np.arange(1, ceil_div(n_outer, array.n_arrays) + 1) * n_chunks, first_tile.size) - 1,
        finished=finished,
        panel_columns=panel_columns,
        block_rows=block_rows,
    )


def _fold_steps(array: SystolicArray) -> dict[Axis, int]:
    """How far a fold reaches along each axis that it holds."""
    rows = array.rows if array.dataflow == "output_stationary" else array.fold_columns
    return {"m": rows, "n": array.fold_columns, "k": array.rows}


def _loop_folds(op: MatMul, array: SystolicArray) -> tuple[int, int]:
    sizes: dict[Axis, int] = {"m": op.m, "n": op.n, "k": op.k}
    steps = _fold_steps(array)
    outer, inner = LOOPS[array.dataflow]
    return ceil_div(sizes[outer], steps[outer]), ceil_div(sizes[inner], steps[inner])


def _finishing_rounds(op: MatMul, array: SystolicArray) -> Flags:
    """Whether results are finished in a round, for all rounds of a product."""
    n_outer, n_inner = _loop_folds(op, array)
    _, outer, inner = (index.reshape(-1) for index in np.indices((op.count, n_outer, n_inner)))
    match array.dataflow:
        case "output_stationary":
            finishes = np.ones(outer.size, bool)
        case "weight_stationary":
            finishes = inner == n_inner - 1
        case "input_stationary":
            finishes = outer == n_outer - 1
    return np.logical_or.reduceat(finishes, np.arange(0, outer.size, array.n_arrays))


def _finished(task: Integers, array: SystolicArray, merged: int) -> tuple[Integers, int, int]:
    """Return the task that finishes [product, column panel, row block], columns of a panel and rows of a block."""
    if array.fold.stages_operands:  # results are read out when all are there
        return task[:, -1:, -1:], sys.maxsize, sys.maxsize
    match array.dataflow:
        case "output_stationary":
            return task, array.fold_columns, array.rows * merged
        case "weight_stationary":
            return task[:, :, -1:], array.fold_columns, sys.maxsize
        case "input_stationary":
            return task[:, -1:, :], sys.maxsize, array.fold_columns * merged
