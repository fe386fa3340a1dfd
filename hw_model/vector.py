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
from typing import TypeVar, assert_never

from hexit.hw_model.accelerator import Accelerator, VectorPreset
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.arrays import Integers
from hexit.quant.workload import Add, Embed, ExitHead, Gelu, LayerNorm, Softmax

Count = TypeVar("Count", int, Integers)
VectorOp = Softmax | LayerNorm | Gelu | Add | Embed


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


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorUnit:
    """The unit that an op runs on: lanes, cycles of its pipeline, initiation intervals of all passes together."""

    lanes: int
    depth_cycles: int
    interval_cycles: int

    def occupancy_cycles(self, rows: Count, columns: Count | int) -> Count:
        """Return the cycles of rows x columns elements: intervals x rows x ceil(columns / lanes).

        Element-wise ops come tile by tile, so that their rows are at most `array_columns` wide.
        """
        return self.interval_cycles * rows * -(-columns // self.lanes)


def vector_unit(op: VectorOp | ExitHead, accelerator: Accelerator) -> VectorUnit:
    """Return the unit of a design on which an op runs.

    An embedding sums n_tables - 1 times over its rows on the adder, in whole numbers at an interval of 1. A head makes
    one output (or pools one row) over all inputs after the other.
    """
    design, passes = accelerator, vector_passes(accelerator)
    match op:
        case Softmax():
            lanes, depth, intervals = design.softmax_lanes, design.softmax_depth_cycles, sum(passes.softmax)
        case LayerNorm():
            lanes, depth, intervals = design.layer_norm_lanes, design.layer_norm_depth_cycles, sum(passes.layer_norm)
        case Gelu():
            lanes, depth, intervals = design.gelu_lanes, design.gelu_depth_cycles, sum(passes.gelu)
        case Add():
            lanes, depth, intervals = design.add_lanes, design.add_depth_cycles, sum(passes.add)
        case Embed():
            lanes, depth, intervals = design.add_lanes, design.add_depth_cycles, op.n_tables - 1
        case ExitHead():
            lanes, depth, intervals = design.head_lanes, design.head_depth_cycles, 1
        case _:
            assert_never(op)
    return VectorUnit(lanes=lanes, depth_cycles=depth, interval_cycles=intervals)


def dense_outputs(op: ExitHead) -> list[int]:
    """Return the outputs of the dense passes of a head, in order: the pooler's if any, the classifier's."""
    return [op.hidden_size] * op.pooler + [op.n_classes]


def exit_head_cycles(op: ExitHead, accelerator: Accelerator) -> TaskCycles:
    """Return the cycles of a whole exit head: mean pooling if any, dense pass if any, classifier, in sequence."""
    return _head_passes(op, accelerator, [*_pooled(op), *dense_outputs(op)])


def pooling_cycles(op: ExitHead, accelerator: Accelerator) -> TaskCycles:
    """Return the cycles of the mean over the tokens alone, nothing where the first token is taken."""
    return _head_passes(op, accelerator, _pooled(op))


def _pooled(op: ExitHead) -> list[int]:
    return [op.pooled_rows] if op.pooled_rows > 1 else []


def _head_passes(op: ExitHead, accelerator: Accelerator, outputs: list[int]) -> TaskCycles:
    unit = vector_unit(op, accelerator)
    occupancy = sum(unit.occupancy_cycles(n, op.hidden_size) for n in outputs)
    return TaskCycles(occupancy_cycles=occupancy, latency_cycles=occupancy + len(outputs) * unit.depth_cycles)
