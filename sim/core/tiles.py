"""Cuts a matrix product into the tiles of the arrays, for every data flow and number of arrays.

A product m x k x n is a loop over folds, and a tile is what `merged` consecutive folds of the inner loop cover:

    data flow            outer loop               inner loop               results are there
    output stationary    panels of n (columns)    blocks of m (rows)       after their tile
    weight stationary    panels of n (columns)    slices of k (terms)      all rows of a panel after its last slice
    input stationary     slices of k (terms)      blocks of m (rows)       all columns of a block after its last slice

Folds are dealt to the arrays in this order, one product of `count` after the other, so a task is one tile for each
of `n_arrays` arrays, and the arrays go through its folds in rounds of one fold each:

    rounds = ceil(folds up to its end / n_arrays) - ceil(folds up to its begin / n_arrays)

which adds up to the closed form, ceil(all folds / n_arrays). Streamed weights come in panels of `n_arrays` outer steps,
so no task needs two of them.
Not modelled: other loop orders, arrays that work on different products of a layer at the same time.
"""

from __future__ import annotations

import functools
from typing import Literal

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import Dataflow, SystolicArray, product_folds, staging_cycles
from hexit.hw_model.gemm import fold_cycles, requantisation_cycles
from hexit.hw_model.rounding import ceil_div
from hexit.quant.workload import MatMul
from hexit.sim.core.program import NONE, Unit
from hexit.sim.core.tiled_ops import TiledOp

Axis = Literal["m", "n", "k"]

LOOPS: dict[Dataflow, tuple[Axis, Axis]] = {  # outer, inner; values of the third axis stream through a fold
    "output_stationary": ("n", "m"),
    "weight_stationary": ("n", "k"),
    "input_stationary": ("k", "m"),
}


def n_tiles(op: MatMul, array: SystolicArray, merged: int) -> int:
    """Return the tiles of a product, all arrays together, with `merged` folds of the inner loop in each."""
    outer, inner = _loop_folds(op, array)
    return op.count * outer * ceil_div(inner, merged)


def n_inner_folds(op: MatMul, array: SystolicArray) -> int:
    """Return the folds of the inner loop of a product, the most that a tile can cover."""
    return _loop_folds(op, array)[1]


@functools.lru_cache(maxsize=1024)  # the same for every product of these sizes on these arrays
def tiled_product(m: int, k: int, n: int, count: int, accelerator: Accelerator, merged: int) -> TiledOp:
    """Return `count` products m x k x n as a grid of tiles, each covering `merged` folds of the inner loop.

    Its place in a program, operands and transfers are the caller's.
    """
    array = accelerator.array
    outer, inner = LOOPS[array.dataflow]
    sizes: dict[Axis, int] = {"m": m, "n": n, "k": k}
    steps = _fold_steps(array)
    folds: dict[Axis, int] = {"m": 1, "n": 1, "k": 1}
    tiles, step = folds.copy(), sizes.copy()  # the third axis is not cut
    for axis, n_merged in ((outer, 1), (inner, merged)):
        step[axis] = steps[axis] * n_merged
        folds[axis] = ceil_div(sizes[axis], steps[axis])
        tiles[axis] = ceil_div(folds[axis], n_merged)
    streamed = product_folds(m, k, n, array).streamed
    fold = fold_cycles(streamed, accelerator, 1, n_finishing=0)
    staged = array.fold.stages_operands  # results are read out when all are there
    words_out = ceil_div(m * n, array.columns) if staged else 0
    return TiledOp(
        op=NONE,
        unit=int(Unit.ARRAY),
        rows=m,
        row_step=step["m"],
        row_tiles=tiles["m"],
        columns=n,
        column_step=step["n"],
        column_tiles=tiles["n"],
        terms=k,
        term_step=step["k"],
        term_tiles=tiles["k"],
        n_tasks=ceil_div(count * tiles[outer] * tiles[inner], array.n_arrays),
        inner_tiles=tiles[inner],
        n_results=count,
        n_arrays=array.n_arrays,
        is_whole=int(staged),
        round_cycles=fold.occupancy_cycles,
        finishing_cycles=max(fold.occupancy_cycles, requantisation_cycles(streamed, accelerator)),
        finishing_period=folds["m"] * folds["k"],
        unfinished_folds=folds["m"] * (folds["k"] - 1),
        inner_folds=folds[inner],
        merged_folds=merged,
        depth_cycles=fold.latency_cycles - fold.occupancy_cycles,
        staging_in_cycles=staging_cycles(m, k, n, array) - words_out if staged else 0,
        staging_out_cycles=words_out,
        macs_each=1,
    )


def _fold_steps(array: SystolicArray) -> dict[Axis, int]:
    """How far a fold reaches along each axis that it holds."""
    rows = array.rows if array.dataflow == "output_stationary" else array.fold_columns
    return {"m": rows, "n": array.fold_columns, "k": array.rows}


def _loop_folds(op: MatMul, array: SystolicArray) -> tuple[int, int]:
    outer, inner = LOOPS[array.dataflow]
    sizes: dict[Axis, int] = {"m": op.m, "n": op.n, "k": op.k}
    steps = _fold_steps(array)
    return ceil_div(sizes[outer], steps[outer]), ceil_div(sizes[inner], steps[inner])
