"""Integers rounded up: the quotient and the binary logarithm of the closed forms."""

from __future__ import annotations


def ceil_div(numerator: int, denominator: int) -> int:
    """Return the quotient of two positive integers, rounded up."""
    return -(-numerator // denominator)


def ceil_log2(n: int) -> int:
    """Return ceil(log2 n) of n >= 1: the levels of a tree over n values that takes two at a time."""
    return (n - 1).bit_length()
