"""The on-chip buffers of a design as banks in real memory blocks, and how much of the blocks stays empty.

wasted = 1 - capacity / bits of all blocks
"""

from __future__ import annotations

from dataclasses import dataclass

from hexit.hw_model.area.banks import activation_banks, weight_banks
from hexit.hw_model.area.estimate import ResourceEstimate
from hexit.hw_model.area.memory_blocks import BRAM18_BITS, URAM_BITS, Bank
from hexit.hw_model.area.resources import Resources


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


def on_chip_buffers(estimate: ResourceEstimate) -> tuple[OnChipBuffer, ...]:
    """Return the weight buffer and the activation buffer (of each engine) of a design with the blocks they take."""
    design, workload = estimate.accelerator, estimate.workload
    return (
        OnChipBuffer(
            name="weight buffer",
            capacity_bits=design.weight_buffer_kib * 8192,
            banks=weight_banks(workload, design),
            blocks=estimate.weight_buffer,
        ),
        OnChipBuffer(
            name="activation buffer",
            capacity_bits=design.activation_buffer_kib * 8192,
            banks=activation_banks(workload, design),
            blocks=estimate.activation_buffer,
        ),
    )
