"""The integers that stand for a tensor: x = scale (n - zero_point), lowest <= n <= highest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GridKind = Literal["signed", "unsigned", "offset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerGrid:
    """The values scale (n - zero_point) of all n of `bits` bits, two's complement where `signed`.

    Signed grids reach from -2^(bits - 1) to 2^(bits - 1) - 1, as Brevitas' do. A zero point, an integer so that zero
    stays exact, is only used where products with weights read the tensor. It costs them nothing: with weights w and
    bias b in integers, sum_i w_i (n_i - z) + b = sum_i w_i n_i + (b - z sum_i w_i), another bias. Operands keep their
    width too: n - 2^(bits - 1) and z - 2^(bits - 1) are two's complement and the same values.
    """

    scale: float
    bits: int
    signed: bool
    zero_point: int = 0

    @property
    def lowest(self) -> int:
        """Smallest n."""
        return lowest_integer(self.bits, signed=self.signed)

    @property
    def highest(self) -> int:
        """Largest n."""
        return self.lowest + (1 << self.bits) - 1


def lowest_integer(bits: int, *, signed: bool) -> int:
    """Return -2^(bits - 1) where `signed`, else 0."""
    return -(1 << (bits - 1)) if signed else 0
