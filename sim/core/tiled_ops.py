"""Ops as grids of tiles: everything that the tasks of a group depend on, in integers.

An op makes `n_results` results of rows x columns, each a sum of terms (a product m x k x n has m rows, n columns and k
terms, everything else one term). Steps along the three axes cut it into tiles, which come in this order:

    for every result:  for every step of columns:  for every step of terms:  for every step of rows

`n_arrays` consecutive tiles make one task. No data flow has steps along all three axes, so this is the order of each of
them (`sim.core.tiles`); vector units go through the columns and rows of a result in the same way.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hexit.sim.core.program import NONE

INPUT = 0  # place of the group's input among the tiled ops
ROWS, COLUMNS, TERMS, EVERYTHING = range(4)  # axes of a tile; the last one is a row behind those of every result


class TiledOp(NamedTuple):
    """One op, or one pass of an exit head, as a grid of tiles.

    Order: `op` in its program, `unit`; the heads of a `group` of per-head ops take turns, `delay` turns late.
    Grid: size, step and tiles of every axis; tasks of all results. `inner_tiles` are those of the inner loop, a panel
    is `n_arrays` of these loops, counted from `first_panel`. `is_whole`: a result is there with its last tile.
    Operands: place of the tiled op that is read (NONE: no such operand), the columns of it that belong to one result,
    and the axes of a tile that tell its last column and row.
    `n_transfers` come first, one for each panel, or one for each step of rows (`gathers`).

    Cycles of a task, with its rounds of one fold on every array and its rows and columns on a vector unit:

        occupancy = rounds round + finishing rounds (finishing - round) + interval rows ceil(columns / lanes)
        latency   = occupancy + depth

    and `staging_in`, `staging_out` at the first and the last tile of a result. `merged_folds` make a tile, fewer the
    last one of the `inner_folds`; of every `finishing_period` folds the first `unfinished_folds` finish no result.
    A tile has `macs_each` multiply-accumulates for each of its rows x columns x terms.
    """

    op: int
    unit: int
    rows: int
    row_step: int
    row_tiles: int
    columns: int
    column_step: int
    column_tiles: int
    n_tasks: int
    inner_tiles: int
    terms: int = 1
    term_step: int = 1
    term_tiles: int = 1
    n_results: int = 1
    n_arrays: int = 1
    group: int = 0
    delay: int = 0
    first_panel: int = 0
    is_whole: int = 0
    left_source: int = NONE
    left_width: int = 0
    left_column_axis: int = COLUMNS
    left_row_axis: int = ROWS
    right_source: int = NONE
    right_width: int = 0
    right_column_axis: int = COLUMNS
    right_row_axis: int = ROWS
    n_transfers: int = 0
    gathers: int = 0
    interval_cycles: int = 0
    lanes: int = 1
    depth_cycles: int = 0
    round_cycles: int = 0
    finishing_cycles: int = 0
    finishing_period: int = 1
    unfinished_folds: int = 0
    inner_folds: int = 1
    merged_folds: int = 1
    staging_in_cycles: int = 0
    staging_out_cycles: int = 0
    macs_each: int = 0


TILED_OP = np.dtype([(name, np.int64) for name in TiledOp._fields])
