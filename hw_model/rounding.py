"""Integers of the closed forms: rounded quotients and logarithms, and the bits of what an array multiplies and sums."""

from __future__ import annotations

from hexit.quant.workload import MatMul, Workload


def ceil_div(numerator: int, denominator: int) -> int:
    """Return the quotient of two positive integers, rounded up."""
    return -(-numerator // denominator)


def ceil_log2(n: int) -> int:
    """Return ceil(log2 n) of n >= 1: the levels of a tree over n values that takes two at a time."""
    return (n - 1).bit_length()


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
