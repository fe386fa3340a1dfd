"""How many products of narrow operands one DSP slice makes, by the data sheets' rules.

A slice multiplies a wide by a narrow signed port (DSP48E2 27 x 18, UG579; DSP48E1 25 x 18, UG479). Operands that lie
`stride` bits apart in a port make products that lie as far apart in the result:

    two products    (w1 2^s + w0) a                        s = activation + weight + 2 guard bits       WP486, 8 x 8
    four products   (w1 2^2s + w0) (a1 2^s + a0)           s = activation + weight + 3 guard bits       WP521, 4 x 4

and fit where both ports hold them, with a bit more than the highest operand: the least one beside a negative one needs
it. A product reaches into its neighbour only by its sign, which the neighbour gets
back as the bit below its own field. Guard bits let a few products of a field be summed before the sums are taken apart
(`n_sums`).
Not modelled: pre-adders that save the packing logic, products that overlap and are corrected, arithmetic in LUTs.
"""

from __future__ import annotations

from dataclasses import dataclass

from hexit.hw_model.device import DspPrimitive

DSP_PORTS_BITS: dict[DspPrimitive, tuple[int, int]] = {
    "DSP48E1": (25, 18),  # signed multiplier ports: UG479
    "DSP48E2": (27, 18),  # signed multiplier ports: UG579
}
PAIR_GUARD_BITS = 2  # bits beyond two products: WP486 (18 bits apart for 8 x 8)
QUAD_GUARD_BITS = 3  # bits beyond four products: WP521 (11 bits apart for 4 x 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """Signed operands of one slice: activation i shifted by i stride bits, weight j by j n_activations stride bits.

    Product (i, j) lies at bit (i + j n_activations) stride_bits of the result.
    """

    n_activations: int
    n_weights: int
    stride_bits: int

    @property
    def n_products(self) -> int:
        """Products per cycle of one slice."""
        return self.n_activations * self.n_weights

    def port_bits(self, activation_bits: int, weight_bits: int) -> tuple[int, int]:
        """Return the bits that the weights take of the wide port, and the activations of the narrow one."""
        shifts = (
            (self.n_weights - 1) * self.n_activations * self.stride_bits,
            (self.n_activations - 1) * self.stride_bits,
        )
        wide, narrow = (s + bits + (s > 0) for s, bits in zip(shifts, (weight_bits, activation_bits), strict=True))
        return wide, narrow

    def n_sums(self, activation_bits: int, weight_bits: int) -> int:
        """Return how many products a field may sum before it must be taken apart: (2^(s-1) - 1) / 2^(a+w-2)."""
        return ((1 << (self.stride_bits - 1)) - 1) >> (activation_bits + weight_bits - 2)


def dsp_packing(activation_bits: int, weight_bits: int, primitive: DspPrimitive, at_most: int) -> Packing:
    """Return the packing with the most products, `at_most` that many, that the ports of a slice hold.

    >>> dsp_packing(4, 4, "DSP48E2", at_most=4)
    Packing(n_activations=2, n_weights=2, stride_bits=11)
    """
    width = activation_bits + weight_bits
    wide_bits, narrow_bits = DSP_PORTS_BITS[primitive]
    for packing in (
        Packing(n_activations=2, n_weights=2, stride_bits=width + QUAD_GUARD_BITS),
        Packing(n_activations=1, n_weights=2, stride_bits=width + PAIR_GUARD_BITS),
    ):
        wide, narrow = packing.port_bits(activation_bits, weight_bits)
        if packing.n_products <= at_most and wide <= wide_bits and narrow <= narrow_bits:
            return packing
    return Packing(n_activations=1, n_weights=1, stride_bits=width)


def products_per_dsp(activation_bits: int, weight_bits: int, primitive: DspPrimitive, at_most: int) -> int:
    """Return how many products of these widths one DSP slice makes a cycle: 1, 2 or 4, `at_most` that many.

    >>> products_per_dsp(8, 8, "DSP48E2", 4), products_per_dsp(8, 8, "DSP48E1", 4), products_per_dsp(8, 4, "DSP48E1", 4)
    (2, 1, 2)
    """
    return dsp_packing(activation_bits, weight_bits, primitive, at_most).n_products


def most_products_per_dsp(activation_bits: int, weight_bits: int, at_most: int) -> int:
    """Return `products_per_dsp` on the slice, of all that are known, that makes the most."""
    return max(products_per_dsp(activation_bits, weight_bits, primitive, at_most) for primitive in DSP_PORTS_BITS)
