"""Cycles of matrix products on a design's arrays: the closed forms of hw_model.array, op by op, with requantisation.

A fold at an edge costs as much as a full one. Results leave an array through `requantisation_lanes`, and a fold that
finishes results keeps it busy until the last one is in the lanes:

    finishing fold:  occupancy = max(cycles of the fold, ceil(results / lanes)),  result `requantisation_depth` later

Every output-stationary fold finishes rows x columns results. Where an operand stands still, partial sums stay on chip
and the last slice of k alone finishes columns x T results, T values streamed. With several arrays a round, one fold on
each, takes as long as its slowest fold.
Not modelled: bank conflicts, operands that come too late (the schedule's business).
"""

from __future__ import annotations

from hexit.hw_model.accelerator import Accelerator, UnitCost
from hexit.hw_model.array import Folds, ceil_div, fold_interval, product_cycles, product_folds
from hexit.quant.workload import MatMul


def fold_cost(streamed: int, accelerator: Accelerator, n_folds: int = 1, n_finishing: int | None = None) -> UnitCost:
    """Return the cost of `n_folds` consecutive folds through which `streamed` values go each.

    `n_finishing` of them finish results, all where it is None. Overlapped, the array is free for the next fold while
    the last results are on their way, unless that fold waits for its operand or for the port of the results; otherwise
    it stays busy until they are out.
    """
    interval, behind = fold_interval(streamed, accelerator.array)
    finishing = max(interval, requantisation_cycles(streamed, accelerator))
    n_last = n_folds if n_finishing is None else n_finishing
    occupancy = (n_folds - n_last) * interval + n_last * finishing
    return UnitCost(
        occupancy_cycles=occupancy, latency_cycles=occupancy + behind + accelerator.requantisation_depth_cycles
    )


def requantisation_cycles(streamed: int, accelerator: Accelerator) -> int:
    """Return the cycles in which the results of a finishing fold enter the lanes, 0 without a limit."""
    array, lanes = accelerator.array, accelerator.requantisation_lanes
    rows = array.rows if array.dataflow == "output_stationary" else streamed
    return 0 if lanes is None else ceil_div(rows * array.fold_columns, lanes)


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
    plain, finishing = (fold_cost(streamed, accelerator, 1, n).occupancy_cycles for n in (0, 1))
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


def roofline_cycles(macs: int, accelerator: Accelerator) -> int:
    """Return the cycles that `macs` need if every MAC of the array works in every cycle."""
    return ceil_div(macs, accelerator.n_macs)


def _folds(op: MatMul, accelerator: Accelerator) -> Folds:
    return product_folds(op.m, op.k, op.n, accelerator.array, op.count)
