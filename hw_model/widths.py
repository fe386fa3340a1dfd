"""Bits of what the array multiplies and sums, from the workload's integers."""

from __future__ import annotations

from hexit.hw_model.rounding import ceil_log2
from hexit.quant.workload import MatMul, Workload


def sum_bits(activation_bits: int, right_bits: int, k: int, bias_bits: int) -> int:
    """Return the width of a sum of k products: activation + right operand + ceil(log2 k), or the bias if wider."""
    return max(activation_bits + right_bits + ceil_log2(k), bias_bits)


def right_operand_bits(workload: Workload) -> int:
    """Bits of the array's right operand: weights, or activations in the two products of attention."""
    attention = any(isinstance(op, MatMul) and not op.weights for op in workload.layer)
    quant = workload.quant
    return max(quant.weight_bits, quant.activation_bits) if attention else quant.weight_bits


def accumulator_bits(workload: Workload) -> int:
    """Bits of a sum: activation + right operand + ceil(log2(longest product)), or the bias if that is wider."""
    longest = max(op.k for op in workload.layer if isinstance(op, MatMul))
    return sum_bits(workload.quant.activation_bits, right_operand_bits(workload), longest, workload.quant.bias_bits)
