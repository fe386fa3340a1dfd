"""Closed forms of a whole product on a design, the second way to the cycles that the schedule simulates."""

from __future__ import annotations

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import Folds, product_cycles, product_folds
from hexit.hw_model.gemm import fold_cycles
from hexit.hw_model.rounding import ceil_div
from hexit.quant.workload import MatMul


def n_folds(op: MatMul, accelerator: Accelerator) -> int:
    """Return the folds of a product, all arrays together."""
    return _folds(op, accelerator).n_folds


def matmul_cycles(op: MatMul, accelerator: Accelerator) -> int:
    """Return the cycles from the first operand in to the last result out of a product.

    hexit.hw_model.array's count, plus what its finishing rounds wait for the requantisation lanes.

    >>> from hexit.hw_model.accelerator import load_design
    >>> from dataclasses import replace
    >>> small = replace(load_design("default"), array_rows=4, array_columns=4, fold_overhead_cycles=0)
    >>> matmul_cycles(MatMul(name="x", m=4, k=8, n=4, weights=False), small)
    14
    """
    streamed = _folds(op, accelerator).streamed
    plain, finishing = (fold_cycles(streamed, accelerator, 1, n).occupancy_cycles for n in (0, 1))
    return (
        product_cycles(op.m, op.k, op.n, accelerator.array, op.count).total
        + n_finishing_rounds(op, accelerator) * (finishing - plain)
        + accelerator.requantisation_depth_cycles
    )


def n_finishing_rounds(op: MatMul, accelerator: Accelerator) -> int:
    """Return the rounds, one fold on every array, in which results of a product are finished.

    Weight stationary, every ceil(k / rows)-th fold finishes. Input stationary, the folds of a product come slice by
    slice of k, and those of the last slice finish.
    """
    array, folds = accelerator.array, _folds(op, accelerator)
    if array.dataflow == "output_stationary":
        return folds.n_serial_folds
    n_slices = ceil_div(op.k, array.rows)
    if array.dataflow == "weight_stationary":
        return min(folds.n_serial_folds, folds.n_folds // n_slices)
    n_rounds, counted = 0, -1  # rounds up to this one are counted
    for product in range(op.count):
        last_fold = (product + 1) * (folds.n_folds // op.count) - 1
        first_fold = last_fold + 1 - ceil_div(op.m, array.fold_columns)
        first_round, last_round = max(first_fold // array.n_arrays, counted + 1), last_fold // array.n_arrays
        n_rounds, counted = n_rounds + last_round - first_round + 1, last_round
    return n_rounds


def _folds(op: MatMul, accelerator: Accelerator) -> Folds:
    return product_folds(op.m, op.k, op.n, accelerator.array, op.count)
