"""Cycles of everything that is not a matrix product: softmax, layer norm, GELU, sums, exit head.

A vector unit goes over a row in one or several passes. A pass takes `lanes` elements of one row every
`initiation interval` cycles, in a pipeline of `depth` behind the last pass:

    occupancy = (sum of the passes' intervals) rows ceil(columns / lanes)        latency = occupancy + depth

`VECTOR_PRESETS` are the passes: fixed-point units take lanes every cycle; floating-point ones in HLS wait for the
adder whose sum the next element needs, or share their operators between cycles.

The exit head is a small matrix-vector engine of `head_lanes` MACs per cycle, one output after the other:

    dense pass of n outputs over h inputs:  occupancy = n ceil(h / lanes),  latency = occupancy + depth
    mean pooling of r rows:                 occupancy = r ceil(h / lanes),  latency = occupancy + depth

Not modelled: rows that share a cycle where a row is shorter than the lanes, a depth for each pass of its own, the
decision behind the head (hw_model.exit_unit.timing).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from hexit.hw_model.accelerator import Accelerator, VectorPreset
from hexit.hw_model.rounding import ceil_div
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.workload import Add, Embed, ExitHead, Gelu, LayerNorm, Softmax


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorPasses:
    """Initiation intervals (cycles) of the passes of each unit over a row, in order."""

    softmax: tuple[int, ...]
    layer_norm: tuple[int, ...]
    gelu: tuple[int, ...]
    add: tuple[int, ...]


VECTOR_PRESETS: dict[VectorPreset, VectorPasses] = {
    # softmax: maximum; exponential and sum; scaling. Layer norm: sum and sum of squares; gain and shift
    "fixed_point": VectorPasses(softmax=(1, 1, 1), layer_norm=(1, 1), gelu=(1,), add=(1,)),
    # Vitis HLS 2022.1 reports of Crazy-James26/HeteroCL_Transformer (U280). Softmax: exponential and sum at 4 (the
    # adder), no maximum, scaling at 1. Layer norm: mean and variance at 4 (the adder), scaling at 1. GELU: 8, shared
    "float_hls": VectorPasses(softmax=(4, 1), layer_norm=(4, 1), gelu=(8,), add=(1,)),
}


def vector_passes(accelerator: Accelerator) -> VectorPasses:
    """Return the passes of a design's vector units."""
    return VECTOR_PRESETS[accelerator.vector_preset]


def vector_cycles(rows: int, columns: int, lanes: int, depth_cycles: int, passes: tuple[int, ...] = (1,)) -> TaskCycles:
    """Return the cost of `passes` over rows x columns elements: sum(passes) rows ceil(columns / lanes), plus depth."""
    occupancy = sum(passes) * rows * ceil_div(columns, lanes)
    return TaskCycles(occupancy_cycles=occupancy, latency_cycles=occupancy + depth_cycles)


def softmax_cycles(op: Softmax, accelerator: Accelerator) -> TaskCycles:
    """Return the cost of a whole softmax, every head: sum(passes) count rows ceil(columns / lanes), plus depth."""
    return vector_cycles(
        op.count * op.rows,
        op.columns,
        accelerator.softmax_lanes,
        accelerator.softmax_depth_cycles,
        vector_passes(accelerator).softmax,
    )


def layer_norm_cycles(op: LayerNorm, accelerator: Accelerator) -> TaskCycles:
    """Return the cost of a whole layer normalisation: sum(passes) rows ceil(columns / lanes), plus depth."""
    return vector_cycles(
        op.rows,
        op.columns,
        accelerator.layer_norm_lanes,
        accelerator.layer_norm_depth_cycles,
        vector_passes(accelerator).layer_norm,
    )


def elementwise_cycles(op: Gelu | Add | Embed, accelerator: Accelerator) -> TaskCycles:
    """Return the cost of a whole element-wise op, taken tile by tile as the array delivers its results.

    A row of a tile is `array_columns` wide, so a row costs

        floor(columns / array_columns) ceil(array_columns / lanes) + ceil((columns mod array_columns) / lanes)

    times the initiation interval: ceil(columns / lanes) where lanes divides array_columns. An embedding sums
    n_tables - 1 times over whole rows on the adder, in whole numbers at an interval of 1.
    """
    passes = vector_passes(accelerator)
    match op:
        case Gelu():
            lanes, depth, interval = accelerator.gelu_lanes, accelerator.gelu_depth_cycles, sum(passes.gelu)
        case Add():
            lanes, depth, interval = accelerator.add_lanes, accelerator.add_depth_cycles, sum(passes.add)
        case Embed():
            lanes, depth = accelerator.add_lanes, accelerator.add_depth_cycles
            return vector_cycles(op.rows, op.columns, lanes, depth, (1,) * (op.n_tables - 1))
        case _:
            assert_never(op)
    full, rest = divmod(op.columns, accelerator.array_columns)
    occupancy = interval * op.rows * (full * ceil_div(accelerator.array_columns, lanes) + ceil_div(rest, lanes))
    return TaskCycles(occupancy_cycles=occupancy, latency_cycles=occupancy + depth)


def exit_head_cycles(op: ExitHead, accelerator: Accelerator) -> TaskCycles:
    """Return the cost of a whole exit head: mean pooling if any, dense pass if any, classifier, in sequence."""
    return _head_passes(op, accelerator, [*_pooled(op), *[op.hidden_size] * op.pooler, op.n_classes])


def pooling_cycles(op: ExitHead, accelerator: Accelerator) -> TaskCycles:
    """Return the cost of the mean over the tokens alone, nothing where the first token is taken."""
    return _head_passes(op, accelerator, _pooled(op))


def _pooled(op: ExitHead) -> list[int]:
    return [op.pooled_rows] if op.pooled_rows > 1 else []


def _head_passes(op: ExitHead, accelerator: Accelerator, outputs: list[int]) -> TaskCycles:
    occupancy = [n * ceil_div(op.hidden_size, accelerator.head_lanes) for n in outputs]
    latency = sum(cycles + accelerator.head_depth_cycles for cycles in occupancy)
    return TaskCycles(occupancy_cycles=sum(occupancy), latency_cycles=latency)
