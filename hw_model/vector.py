"""Cycles of everything that is not a matrix product: softmax, layer norm, GELU, sums, exit head.

A vector unit takes `lanes` elements of one row per cycle, `passes` times over a row, in a pipeline of `depth`:

    occupancy = passes rows ceil(columns / lanes)        latency = occupancy + depth

The exit head is a small matrix-vector engine of `head_lanes` MACs per cycle, one output after the other:

    dense pass of n outputs over h inputs:  occupancy = n ceil(h / lanes),  latency = occupancy + depth
    mean pooling of r rows:                 occupancy = r ceil(h / lanes),  latency = occupancy + depth

Fixed-point units with an initiation interval of 1. Not modelled: floating-point accumulators (initiation
intervals of 4 to 8), rows that share a cycle where a row is shorter than the lanes, the decision behind the head
(hw_model.exit_unit).
"""

from __future__ import annotations

from typing import assert_never

from hw_model.accelerator import Accelerator, UnitCost
from hw_model.array import ceil_div
from quant.workload import Add, Embed, ExitHead, Gelu, LayerNorm, Softmax

SOFTMAX_PASSES = 3  # passes over a row: maximum; exponential and sum; scaling by the reciprocal
LAYER_NORM_PASSES = 2  # passes over a row: sum and sum of squares together; gain and shift


def vector_cost(rows: int, columns: int, lanes: int, depth_cycles: int, passes: int = 1) -> UnitCost:
    """Return the cost of `passes` over rows x columns elements: passes rows ceil(columns / lanes), plus depth."""
    occupancy = passes * rows * ceil_div(columns, lanes)
    return UnitCost(occupancy_cycles=occupancy, latency_cycles=occupancy + depth_cycles)


def softmax_cost(op: Softmax, accelerator: Accelerator) -> UnitCost:
    """Return the cost of a whole softmax, every head: 3 count rows ceil(columns / lanes), plus depth."""
    return vector_cost(
        op.count * op.rows,
        op.columns,
        accelerator.softmax_lanes,
        accelerator.softmax_depth_cycles,
        SOFTMAX_PASSES,
    )


def layer_norm_cost(op: LayerNorm, accelerator: Accelerator) -> UnitCost:
    """Return the cost of a whole layer normalisation: 2 rows ceil(columns / lanes), plus depth."""
    return vector_cost(
        op.rows,
        op.columns,
        accelerator.layer_norm_lanes,
        accelerator.layer_norm_depth_cycles,
        LAYER_NORM_PASSES,
    )


def elementwise_cost(op: Gelu | Add | Embed, accelerator: Accelerator) -> UnitCost:
    """Return the cost of a whole element-wise op, taken tile by tile as the array delivers its results.

    A row of a tile is `array_columns` wide, so a row costs

        floor(columns / array_columns) ceil(array_columns / lanes) + ceil((columns mod array_columns) / lanes)

    cycles: ceil(columns / lanes) where lanes divides array_columns. An embedding sums n_tables - 1 times over
    whole rows on the adder.
    """
    match op:
        case Gelu():
            lanes, depth = accelerator.gelu_lanes, accelerator.gelu_depth_cycles
        case Add():
            lanes, depth = accelerator.add_lanes, accelerator.add_depth_cycles
        case Embed():
            lanes, depth = accelerator.add_lanes, accelerator.add_depth_cycles
            return vector_cost(op.rows, op.columns, lanes, depth, op.n_tables - 1)
        case _:
            assert_never(op)
    full, rest = divmod(op.columns, accelerator.array_columns)
    occupancy = op.rows * (full * ceil_div(accelerator.array_columns, lanes) + ceil_div(rest, lanes))
    return UnitCost(occupancy_cycles=occupancy, latency_cycles=occupancy + depth)


def exit_head_cost(op: ExitHead, accelerator: Accelerator) -> UnitCost:
    """Return the cost of a whole exit head: mean pooling if any, dense pass if any, classifier, in sequence."""
    return _head_passes(op, accelerator, [*_pooled(op), *[op.hidden_size] * op.pooler, op.n_classes])


def pooling_cost(op: ExitHead, accelerator: Accelerator) -> UnitCost:
    """Return the cost of the mean over the tokens alone, nothing where the first token is taken."""
    return _head_passes(op, accelerator, _pooled(op))


def _pooled(op: ExitHead) -> list[int]:
    return [op.pooled_rows] if op.pooled_rows > 1 else []


def _head_passes(op: ExitHead, accelerator: Accelerator, outputs: list[int]) -> UnitCost:
    occupancy = [n * ceil_div(op.hidden_size, accelerator.head_lanes) for n in outputs]
    latency = sum(cycles + accelerator.head_depth_cycles for cycles in occupancy)
    return UnitCost(occupancy_cycles=sum(occupancy), latency_cycles=latency)
