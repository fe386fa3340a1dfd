"""A deliberately naive vector unit: it takes the groups of elements of a whole op one after the other."""

from __future__ import annotations

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.vector import VECTOR_PRESETS
from hexit.quant.workload import Add, ExitHead, Gelu, LayerNorm, Softmax


def stepped_vector_cycles(op: Softmax | LayerNorm | Gelu | Add, design: Accelerator) -> int:
    """Cycles from the first element in to the last result out; element-wise ops come in the array's tiles."""
    passes, now = VECTOR_PRESETS[design.vector_preset], 0
    match op:
        case Softmax():
            intervals, lanes, depth = passes.softmax, design.softmax_lanes, design.softmax_depth_cycles
        case LayerNorm():
            intervals, lanes, depth = passes.layer_norm, design.layer_norm_lanes, design.layer_norm_depth_cycles
        case Gelu():
            intervals, lanes, depth = passes.gelu, design.gelu_lanes, design.gelu_depth_cycles
        case Add():
            intervals, lanes, depth = passes.add, design.add_lanes, design.add_depth_cycles
    width = design.array_columns if isinstance(op, Gelu | Add) else op.columns
    for _ in range(op.rows * (op.count if isinstance(op, Softmax) else 1)):
        for first in range(0, op.columns, width):
            for interval in intervals:
                for _ in range(first, min(first + width, op.columns), lanes):
                    now += interval
    return now + depth


def stepped_head_cycles(op: ExitHead, design: Accelerator) -> int:
    """Cycles of a whole exit head: pooled rows, outputs of the pooler, classes, one output after the other."""
    now = 0
    for outputs in (op.pooled_rows * (op.pooled_rows > 1), op.hidden_size * op.pooler, op.n_classes):
        for _ in range(outputs):
            for _ in range(0, op.hidden_size, design.head_lanes):
                now += 1
        now += design.head_depth_cycles * (outputs > 0)
    return now
