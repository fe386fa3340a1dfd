"""Cycles of everything that is not a matrix product: softmax, layer norm, GELU, sums, exit head, exit decision.

A vector unit takes `lanes` elements of one row per cycle, `passes` times over a row, in a pipeline of `depth`:

    occupancy = passes rows ceil(columns / lanes)        latency = occupancy + depth

The exit head is a small matrix-vector engine of `head_lanes` MACs per cycle, one output after the other:

    dense pass of n outputs over h inputs:  occupancy = n ceil(h / lanes),  latency = occupancy + depth
    mean pooling of r rows:                 occupancy = r ceil(h / lanes),  latency = occupancy + depth

Fixed-point units with an initiation interval of 1. Not modelled: floating-point accumulators (initiation
intervals of 4 to 8), rows that share a cycle where a row is shorter than the lanes.
"""

from __future__ import annotations

from typing import Literal, assert_never

from hw_model.accelerator import Accelerator, UnitCost
from hw_model.gemm import ceil_div
from quant.workload import Add, Embed, ExitHead, Gelu, LayerNorm, Softmax

SOFTMAX_PASSES = 3  # passes over a row: maximum; exponential and sum; scaling by the reciprocal
LAYER_NORM_PASSES = 2  # passes over a row: sum and sum of squares together; gain and shift

Criterion = Literal["fixed", "margin", "run", "probability", "entropy", "window"]


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
    per_output = ceil_div(op.hidden_size, accelerator.head_lanes)
    outputs = [op.pooled_rows] * (op.pooled_rows > 1) + [op.hidden_size] * op.pooler + [op.n_classes]
    latency = sum(n * per_output + accelerator.head_depth_cycles for n in outputs)
    return UnitCost(occupancy_cycles=sum(outputs) * per_output, latency_cycles=latency)


def exit_decision_cost(n_classes: int, criterion: Criterion) -> UnitCost:
    """Return the pipeline of the exit decision: one sentence per cycle, latency in stages of one cycle each.

    Every criterion registers its logits and writes exit flag and class (2 stages) and finds the largest of the
    K logits in a tree of ceil(log2 K) comparators. On top of that:

        fixed        compare the layer counter                                            1
        margin       subtract the two largest, compare with the threshold                 2
        run          compare with the last class, update and compare the counter          2
        window       as margin, then add to the running sum and compare                   4
        probability  exponential table, sum tree of ceil(log2 K), multiply, compare       3 + ceil(log2 K)
        entropy      exponential table, two sum trees side by side of ceil(log2 K), logarithm table,
                     multiply, subtract, compare                                          5 + ceil(log2 K)

    With two classes the probability and the entropy are monotone in the margin, so they cost what it costs.
    """
    tree = (n_classes - 1).bit_length()
    match criterion:
        case "fixed":
            stages = 1
        case "margin" | "run":
            stages = 2
        case "window":
            stages = 4
        case "probability":
            stages = 2 if n_classes <= 2 else 3 + tree
        case "entropy":
            stages = 2 if n_classes <= 2 else 5 + tree
        case _:
            assert_never(criterion)
    return UnitCost(occupancy_cycles=1, latency_cycles=2 + tree + stages)
