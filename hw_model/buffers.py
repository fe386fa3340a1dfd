"""The on-chip buffers of a design as banks of real memory blocks, and how much of the blocks stays empty.

    words of a bank  = ceil(capacity / (banks x word bits)),   one word per bank and cycle
    blocks of a bank = least over the shapes of ceil(words / block words) x ceil(word bits / block bits)
    wasted           = 1 - capacity / bits of all blocks

The weight buffer has a bank per panel buffer, so that one is filled while another is read; a word is one weight for
every lane of the right operand. The activation buffer has a bank per operand, as attention reads both at once.
Shapes: 18 Kb block RAM 16k x 1 to 512 x 36, two of them a block of 36 Kb (32k x 1 to 512 x 72); UltraRAM 4k x 72.
The capacity is the design's, not what a workload fills.
Not modelled: memories made of LUTs, several banks in one block, blocks that share a word over both ports; the partial
sums of stationary weights or inputs, which `hw_model.resources` counts with the array.
"""

from __future__ import annotations

from dataclasses import dataclass

from hexit.hw_model.array import ceil_div
from hexit.hw_model.resources import (
    BRAM18_SHAPES,
    URAM_SHAPE,
    ResourceEstimate,
    Resources,
    bram18_blocks,
    operand_lanes,
    right_operand_bits,
    uram_blocks,
)

BRAM18_BITS = max(words * bits for words, bits in BRAM18_SHAPES)  # 18,432: the shapes with parity bits
URAM_BITS = URAM_SHAPE[0] * URAM_SHAPE[1]  # 294,912


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """A memory of `words` words of `width_bits` bits that delivers one word per cycle."""

    words: int
    width_bits: int

    @property
    def bram18(self) -> int:
        """Blocks of 18 Kb, if it is made of block RAM."""
        return bram18_blocks(self.words, self.width_bits)

    @property
    def uram(self) -> int:
        """Blocks of 288 Kb, if it is made of UltraRAM."""
        return uram_blocks(self.words, self.width_bits)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnChipBuffer:
    """One buffer of a design: its capacity, its banks, and the blocks in which the part holds them."""

    name: str
    capacity_bits: int
    banks: tuple[Bank, ...]
    blocks: Resources

    @property
    def wasted_fraction(self) -> float:
        """Share of the blocks' bits that is not capacity."""
        return 1 - self.capacity_bits / (self.blocks.bram18 * BRAM18_BITS + self.blocks.uram * URAM_BITS)


def split_banks(capacity_bits: int, n_banks: int, width_bits: int) -> tuple[Bank, ...]:
    """Return the equal banks of a buffer that delivers `n_banks` words of `width_bits` per cycle.

    More capacity never takes fewer blocks, nor does a bank that is split into several.

    >>> split_banks(1024 * 8192, 2, 256)
    (Bank(words=16384, width_bits=256), Bank(words=16384, width_bits=256))
    """
    return (Bank(words=ceil_div(capacity_bits, n_banks * width_bits), width_bits=width_bits),) * n_banks


def on_chip_buffers(estimate: ResourceEstimate) -> tuple[OnChipBuffer, ...]:
    """Return the weight buffer and the activation buffer (of each engine) of a design with the blocks they take."""
    design, quant = estimate.accelerator, estimate.workload.quant
    left, right = operand_lanes(design.array)
    weight_bits, activation_bits = design.weight_buffer_kib * 8192, design.activation_buffer_kib * 8192
    operand_bits = (left * quant.activation_bits, right * right_operand_bits(estimate.workload))
    return (
        OnChipBuffer(
            name="weight buffer",
            capacity_bits=weight_bits,
            banks=split_banks(weight_bits, design.n_weight_buffers, right * quant.weight_bits),
            blocks=estimate.weight_buffer,
        ),
        OnChipBuffer(
            name="activation buffer",
            capacity_bits=activation_bits,
            banks=tuple(bank for width in operand_bits for bank in split_banks(activation_bits // 2, 1, width)),
            blocks=estimate.activation_buffer,
        ),
    )
