"""The on-chip memories of a design as banks of words.

    words of a bank  = ceil(capacity / (banks x word bits)),   one word per bank and cycle

The weight buffer has a bank per panel buffer, so that one is filled while another is read; a word is one weight for
every lane of the right operand. The activation buffer has a bank per operand, as attention reads both at once.
The capacity is the design's, not what a workload fills.
"""

from __future__ import annotations

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.area.memory_blocks import Bank, split_banks
from hexit.hw_model.array import SystolicArray
from hexit.hw_model.rounding import ceil_div
from hexit.hw_model.widths import accumulator_bits, right_operand_bits
from hexit.quant.workload import MatMul, Workload


def operand_lanes(array: SystolicArray) -> tuple[int, int]:
    """Values of the left and of the right operand that all arrays take per cycle."""
    n = array.n_arrays * array.products_per_position
    if array.dataflow == "input_stationary":  # inputs are loaded into the columns, weights stream along the rows
        return array.columns * n, array.rows * n
    return array.rows * n, array.columns * n


def weight_banks(workload: Workload, accelerator: Accelerator) -> tuple[Bank, ...]:
    """Return the banks of the weight buffer."""
    _, right = operand_lanes(accelerator.array)
    n_banks, width_bits = accelerator.n_weight_buffers, right * workload.quant.weight_bits
    return split_banks(accelerator.weight_buffer_kib * 8192, n_banks, width_bits)


def activation_banks(workload: Workload, accelerator: Accelerator) -> tuple[Bank, ...]:
    """Return the banks of the activation buffer, of the left operand and of the right one."""
    left, right = operand_lanes(accelerator.array)
    widths = (left * workload.quant.activation_bits, right * right_operand_bits(workload))
    return tuple(bank for width in widths for bank in split_banks(accelerator.activation_buffer_kib * 4096, 1, width))


def partial_sum_banks(workload: Workload, array: SystolicArray) -> tuple[Bank, ...]:
    """Return a bank per array for the sums that wait for the next slice of k, a row of the array's columns per cycle.

    Weight stationary, a column panel's sums of all rows. Input stationary, those of the whole product, dealt to the
    arrays.
    """
    products = [op for op in workload.layer if isinstance(op, MatMul) and op.k > array.rows]
    if array.dataflow == "output_stationary" or not products:
        return ()
    if array.dataflow == "weight_stationary":
        n_words = max(op.m for op in products)
    else:
        n_words = max(ceil_div(op.n * ceil_div(op.m, array.columns), array.n_arrays) for op in products)
    return (Bank(words=n_words, width_bits=array.columns * accumulator_bits(workload)),) * array.n_arrays
