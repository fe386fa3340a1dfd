"""What an op does, whenever it runs: multiply-accumulates by operand width, vector elements, buffer traffic.

On chip, with rows x columns of the array:

    product, output stationary    reads  count (m k ceil(n / columns) + k n ceil(m / rows)),  writes  count m n
    weight stationary             reads  count (m k ceil(n / columns) + k n),                 writes  as above
    input stationary              reads  count (m k + k n ceil(m / columns)),                 writes  as above
    partial sums of the last two  reads and writes  count m n (ceil(k / rows) - 1) each, as wide as a sum
    vector op                     reads  passes x rows x columns per input,  writes  rows x columns
    exit head                     reads  its weights once and its input once per pass,  writes  its outputs

Off-chip bytes are not counted here: they depend on the placement of the weights (hw_model.memory.buffers).
A product that a loop nest of a stage makes reads each operand once. Not modelled: operand reuse beyond one fold or
between arrays, row buffers of vector units.
"""

from __future__ import annotations

from typing import assert_never

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.energy import EnergyCounts, MacCount
from hexit.hw_model.rounding import ceil_div, sum_bits
from hexit.hw_model.vector import vector_passes
from hexit.quant.config import QuantConfig
from hexit.quant.workload import (
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
            left, right, partial_sums = product_traffic(op, accelerator)
            return EnergyCounts(
                macs=(MacCount(activation_bits=activation, weight_bits=right_bits, n=op_macs(op)),),
                vector_elements=outputs,  # requantisation of every result
                on_chip_bytes=packed_bytes(left + outputs, activation)
                + packed_bytes(right, right_bits)
                + packed_bytes(partial_sums, sum_bits(activation, right_bits, op.k, quant.bias_bits)),
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
            reads, elements = len(vector_passes(accelerator).softmax) * outputs, outputs
        case LayerNorm():
            reads, elements = len(vector_passes(accelerator).layer_norm) * outputs, outputs
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


def product_traffic(op: MatMul, accelerator: Accelerator) -> tuple[int, int, int]:
    """Return the left operands read, right operands read, and partial sums read or written by a product."""
    array = accelerator.array_of(op.name)
    if array is None:  # a loop nest: each operand once
        return op.count * op.m * op.k, op.count * op.k * op.n, 0
    rows, columns = array.rows, array.fold_columns
    match array.dataflow:
        case "output_stationary":
            left_reads, right_reads, n_slices = ceil_div(op.n, columns), ceil_div(op.m, rows), 1
        case "weight_stationary":
            left_reads, right_reads, n_slices = ceil_div(op.n, columns), 1, ceil_div(op.k, rows)
        case "input_stationary":
            left_reads, right_reads, n_slices = 1, ceil_div(op.m, columns), ceil_div(op.k, rows)
    left, right = op.count * op.m * op.k * left_reads, op.count * op.k * op.n * right_reads
    return left, right, op.count * op.m * op.n * 2 * (n_slices - 1)


def group_work(ops: tuple[Op, ...], quant: QuantConfig, accelerator: Accelerator) -> EnergyCounts:
    """Return the work of one execution of a group of ops, off-chip bytes left out."""
    return sum((op_work(op, quant, accelerator) for op in ops), EnergyCounts())
