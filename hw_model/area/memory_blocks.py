"""On-chip memories: banks of words, made of blocks of a part, and how much of the blocks stays empty.

    words of a bank  = ceil(capacity / (banks x word bits)),   one word per bank and cycle
    blocks of a bank = least over the shapes of ceil(words / block words) x ceil(word bits / block bits)
    wasted           = 1 - capacity / bits of all blocks

The weight buffer has a bank per panel buffer, so that one is filled while another is read; a word is one weight for
every lane of the right operand. The activation buffer has a bank per operand, as attention reads both at once.
The capacity is the design's, not what a workload fills.

Shapes: 18 Kb block RAM 16k x 1 to 512 x 36, two of them a block of 36 Kb (32k x 1 to 512 x 72); UltraRAM 4k x 72.
Not modelled: the corner turn between results written along rows and operands read along columns, which takes a memory
per lane and more blocks (a run's `bank_use` counts them), memories made of LUTs, several memories in one block, blocks
that share a word over both ports.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.area.resources import NOTHING, Resources
from hexit.hw_model.array import SystolicArray
from hexit.hw_model.rounding import accumulator_bits, ceil_div, right_operand_bits
from hexit.quant.workload import MatMul, Workload

BRAM18_SHAPES = ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36))  # words x bits: UG473, UG573
URAM_SHAPE = (4096, 72)  # words x bits: UG573
BRAM18_BITS = max(words * bits for words, bits in BRAM18_SHAPES)  # 18,432: the shapes with parity bits
URAM_BITS = URAM_SHAPE[0] * URAM_SHAPE[1]  # 294,912


def bram18_blocks(depth: int, width_bits: int) -> int:
    """Return the 18 Kb blocks of a memory of `depth` words that reads one word of `width_bits` per cycle.

    The least over the block shapes of ceil(depth / words) x ceil(width / bits). Two 18 Kb halves make every
    shape of a 36 Kb block, up to 512 x 72, so these need no case of their own.

    >>> bram18_blocks(49152, 8), bram18_blocks(196608, 8)  # as Vitis HLS allots TMMA's two buffers
    (24, 96)
    """
    return min(ceil_div(depth, words) * ceil_div(width_bits, bits) for words, bits in BRAM18_SHAPES)


def uram_blocks(depth: int, width_bits: int) -> int:
    """Return the 288 Kb UltraRAMs, 4096 x 72 only, of a memory that reads one word of `width_bits` per cycle."""
    return ceil_div(depth, URAM_SHAPE[0]) * ceil_div(width_bits, URAM_SHAPE[1])


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


def split_banks(capacity_bits: int, n_banks: int, width_bits: int) -> tuple[Bank, ...]:
    """Return the equal banks of a buffer that delivers `n_banks` words of `width_bits` per cycle.

    More capacity never takes fewer blocks, nor does a bank that is split into several.

    >>> split_banks(1024 * 8192, 2, 256)
    (Bank(words=16384, width_bits=256), Bank(words=16384, width_bits=256))
    """
    return (Bank(words=ceil_div(capacity_bits, n_banks * width_bits), width_bits=width_bits),) * n_banks


def allocate(memories: Iterable[tuple[Bank, ...]], free: Resources) -> Iterator[Resources]:
    """Yield the blocks of each memory, every bank in the kind of which it takes the smaller share of what is left."""
    uram_left, bram18_left = free.uram, free.bram18
    for banks in memories:
        blocks = NOTHING
        for bank in banks:
            in_uram = bank.uram <= uram_left and bank.uram / uram_left < bank.bram18 / max(bram18_left, 1)
            bank_blocks = Resources(uram=bank.uram) if in_uram else Resources(bram18=bank.bram18)
            uram_left, bram18_left = uram_left - bank_blocks.uram, bram18_left - bank_blocks.bram18
            blocks += bank_blocks
        yield blocks


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
