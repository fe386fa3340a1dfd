"""What an op does, whenever it runs: multiply-accumulates by operand width, vector elements, buffer traffic.

On chip, with output-stationary tiles (rows x columns of the array, column panels outer):

    product      reads   count (m k ceil(n / columns) + k n ceil(m / rows)),  writes  count m n
    vector op    reads   passes x rows x columns per input,  writes  rows x columns
    exit head    reads   its weights once and its input once per pass,  writes  its outputs

Off-chip bytes are not here: whether weights are streamed is the schedule's to say.
Not modelled: partial sums (they stay in the array), operand reuse beyond one fold, row buffers of vector units.
"""

from __future__ import annotations

from typing import assert_never

from hw_model.accelerator import Accelerator
from hw_model.array import ceil_div
from hw_model.energy import EnergyCounts, MacCount
from hw_model.vector import LAYER_NORM_PASSES, SOFTMAX_PASSES
from quant.config import QuantConfig
from quant.workload import (
    Add,
    Embed,
    ExitDecision,
    ExitHead,
    Gelu,
    LayerNorm,
    MatMul,
    Op,
    Softmax,
    n_weights,
    op_macs,
    output_shape,
    packed_bytes,
)


def op_work(op: Op, quant: QuantConfig, accelerator: Accelerator) -> EnergyCounts:
    """Return the work of one execution of an op, off-chip bytes left out."""
    count, rows, columns = output_shape(op)
    outputs = count * rows * columns
    activation, weight = quant.activation_bits, quant.weight_bits
    match op:
        case MatMul():
            right_bits = weight if op.weights else activation
            left = op.count * op.m * op.k * ceil_div(op.n, accelerator.array_columns)
            right = op.count * op.k * op.n * ceil_div(op.m, accelerator.array_rows)
            return EnergyCounts(
                macs=(MacCount(activation_bits=activation, weight_bits=right_bits, n=op_macs(op)),),
                vector_elements=outputs,  # requantisation of every result
                on_chip_bytes=packed_bytes(left + outputs, activation) + packed_bytes(right, right_bits),
            )
        case ExitHead():
            inputs = op.hidden_size * (op.pooled_rows + (op.pooled_rows > 1) + op.pooler)
            results = op.hidden_size * op.pooler + op.n_classes
            return EnergyCounts(
                macs=(MacCount(activation_bits=activation, weight_bits=weight, n=op_macs(op)),),
                vector_elements=results,
                on_chip_bytes=packed_bytes(inputs + results, activation) + packed_bytes(n_weights(op), weight),
            )
        case Softmax():
            reads, elements = SOFTMAX_PASSES * outputs, outputs
        case LayerNorm():
            reads, elements = LAYER_NORM_PASSES * outputs, outputs
        case Gelu():
            reads, elements = outputs, outputs
        case Add():
            reads, elements = len(op.inputs) * outputs, outputs
        case Embed():
            reads, elements = op.n_tables * outputs, (op.n_tables - 1) * outputs
        case ExitDecision():
            return EnergyCounts()  # a handful of gates for a handful of cycles
        case _:
            assert_never(op)
    return EnergyCounts(vector_elements=elements, on_chip_bytes=packed_bytes(reads + outputs, activation))


def group_work(ops: tuple[Op, ...], quant: QuantConfig, accelerator: Accelerator) -> EnergyCounts:
    """Return the work of one execution of a group of ops, off-chip bytes left out."""
    return sum((op_work(op, quant, accelerator) for op in ops), EnergyCounts())
