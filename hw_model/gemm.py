"""Cycles of matrix products on a design's arrays: the closed forms of hw_model.array, op by op.

A fold at an edge costs as much as a full one. Not modelled: bank conflicts, operands that come too late (the
schedule's business).
"""

from __future__ import annotations

from hw_model.accelerator import Accelerator, UnitCost
from hw_model.array import ceil_div, product_cycles, product_folds
from quant.workload import MatMul


def fold_cost(streamed: int, accelerator: Accelerator, n_folds: int = 1) -> UnitCost:
    """Return the cost of `n_folds` consecutive folds through which `streamed` values go each.

    Overlapped, the array is free for the next fold while the last results are on their way; otherwise it stays busy
    until they are out.
    """
    array = accelerator.array
    fold, size = array.fold, (array.rows, array.columns)
    load, fill, drain, control = (form.cycles(*size) for form in (fold.load, fold.fill, fold.drain, fold.control))
    one = streamed + control + (0 if fold.overlap_folds else fill + drain)
    one = max(one, load) if fold.weight_load_overlap else one + load
    behind = fold.depth_cycles + (fill + drain if fold.overlap_folds else 0) + (load if fold.weight_load_overlap else 0)
    return UnitCost(occupancy_cycles=n_folds * one, latency_cycles=n_folds * one + behind)


def n_folds(op: MatMul, accelerator: Accelerator) -> int:
    """Return the folds of a product, all arrays together."""
    return product_folds(op.m, op.k, op.n, accelerator.array, op.count).n_folds


def matmul_cycles(op: MatMul, accelerator: Accelerator) -> int:
    """Return the cycles from the first operand in to the last result out of a product, by hw_model.array.

    >>> from hw_model.accelerator import load_design
    >>> from dataclasses import replace
    >>> small = replace(load_design("default"), array_rows=4, array_columns=4, fold_overhead_cycles=0)
    >>> matmul_cycles(MatMul(name="x", m=4, k=8, n=4, weights=False), small)
    14
    """
    return product_cycles(op.m, op.k, op.n, accelerator.array, op.count).total


def roofline_cycles(macs: int, accelerator: Accelerator) -> int:
    """Return the cycles that `macs` need if every MAC of the array works in every cycle."""
    return ceil_div(macs, accelerator.n_macs)
