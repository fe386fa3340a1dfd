"""Cycles of matrix products on a systolic array, operands already on chip.

Output stationary: the array holds rows x columns results while k operand pairs stream through; a product is cut
into folds of one array load each.

    n_folds = count ceil(m / rows) ceil(n / columns)
    overlap_folds:      cycles = n_folds (k + overhead) + rows + columns - 2
    not overlap_folds:  cycles = n_folds (k + overhead + rows + columns - 2)

With folds overlapped a fold streams in while the one before drains, so fill and drain are paid once. A fold at an
edge costs as much as a full one. Not modelled: bank conflicts, operands that come too late (the schedule's
business), packing that depends on the operand widths.
"""

from __future__ import annotations

from hw_model.accelerator import Accelerator, UnitCost
from quant.workload import MatMul


def ceil_div(numerator: int, denominator: int) -> int:
    """Return the quotient of two positive integers, rounded up."""
    return -(-numerator // denominator)


def fill_drain_cycles(accelerator: Accelerator) -> int:
    """Return the cycles in which the wavefront enters and leaves the array: rows + columns - 2."""
    return accelerator.array_rows + accelerator.array_columns - 2


def fold_cost(k: int, accelerator: Accelerator, n_folds: int = 1) -> UnitCost:
    """Return the cost of `n_folds` consecutive folds of depth k.

    Overlapped, the array is free for the next fold after k + overhead cycles per fold, and the last result is
    there fill and drain cycles later; otherwise the array stays busy until then.
    """
    fill_drain = fill_drain_cycles(accelerator)
    streaming = n_folds * (k + accelerator.fold_overhead_cycles)
    if accelerator.overlap_folds:
        return UnitCost(occupancy_cycles=streaming, latency_cycles=streaming + fill_drain)
    busy = streaming + n_folds * fill_drain
    return UnitCost(occupancy_cycles=busy, latency_cycles=busy)


def n_folds(op: MatMul, accelerator: Accelerator) -> int:
    """Return the folds of a product: count ceil(m / rows) ceil(n / columns)."""
    return op.count * ceil_div(op.m, accelerator.array_rows) * ceil_div(op.n, accelerator.array_columns)


def matmul_cycles(op: MatMul, accelerator: Accelerator) -> int:
    """Return the cycles from the first operand in to the last result out of a product, by the closed form above.

    >>> from hw_model.accelerator import load_design
    >>> from dataclasses import replace
    >>> small = replace(load_design("default"), array_rows=4, array_columns=4, fold_overhead_cycles=0)
    >>> matmul_cycles(MatMul(name="x", m=4, k=8, n=4, weights=False), small)
    14
    """
    return fold_cost(op.k, accelerator, n_folds(op, accelerator)).latency_cycles


def roofline_cycles(macs: int, accelerator: Accelerator) -> int:
    """Return the cycles that `macs` need if every MAC of the array works in every cycle."""
    return ceil_div(macs, accelerator.n_macs)
