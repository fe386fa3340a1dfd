"""What a design takes on a part, unit by unit.

Widths come from the workload's integers, sizes from the design, block shapes and DSP ports (hw_model.packing) from the
data sheets. `n_engines` engines are as many copies of everything but the memory port. The exit unit's area is the
caller's: it depends on the rule (hw_model.exit_unit.area).

Not modelled: placement, routing and clock speed, what a card's shell takes away, memories small enough for LUTs. The
exit heads' weights are part of the weight buffer.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.area.banks import activation_banks, partial_sum_banks, weight_banks
from hexit.hw_model.area.memory_blocks import allocate
from hexit.hw_model.area.resources import NOTHING, Resources
from hexit.hw_model.area.units import (
    array_resources,
    dma_resources,
    exit_head_resources,
    requantisation_resources,
    vector_resources,
)
from hexit.hw_model.device import Device
from hexit.hw_model.packing import products_per_dsp
from hexit.hw_model.widths import right_operand_bits
from hexit.quant.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceEstimate:
    """What each unit of a design takes on one part, with the configuration that it belongs to.

    The fields are those of one engine, `parts` and `total` of the whole design; the memory port serves all engines.
    `n_products_per_dsp` is what the widths really allow, at most the design's macs_per_dsp; `built_head` says that the
    exit head is not the design's own lanes.
    """

    workload: Workload
    accelerator: Accelerator
    device: Device
    n_products_per_dsp: int
    built_head: bool
    systolic_array: Resources
    requantisation: Resources
    softmax: Resources
    layer_norm: Resources
    gelu: Resources
    residual_add: Resources
    exit_head: Resources
    exit_decision: Resources
    weight_buffer: Resources
    activation_buffer: Resources
    dma_control: Resources

    @property
    def parts(self) -> dict[str, Resources]:
        """The units of all engines by name, in the order of the record."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {
            name: value if name == "dma_control" else value * self.accelerator.n_engines
            for name, value in values
            if isinstance(value, Resources)
        }

    @property
    def total(self) -> Resources:
        """All units together."""
        return sum(self.parts.values(), start=Resources())


def estimate(
    workload: Workload,
    accelerator: Accelerator,
    device: Device,
    exit_unit: Resources = NOTHING,
    built_head: Resources | None = None,
) -> ResourceEstimate:
    """Return what a design takes on a part to run a workload; nothing is checked, see `check_fit`.

    `exit_unit`: what the unit that decides takes (`hw_model.exit_unit.area`); it depends on the rule, not on the
    workload. `built_head`: what an exit head takes that was built, pooling included; without it the design's head
    lanes count. The array multiplies activations by weights and activations by activations, so its right operand is as
    wide as the wider of the two, and its sums are as wide as the longest product (or the bias) needs.
    """
    quant, array, n_engines = workload.quant, accelerator.array, accelerator.n_engines
    n_products = products_per_dsp(
        quant.activation_bits, right_operand_bits(workload), device.dsp_primitive, at_most=accelerator.macs_per_dsp
    )
    memories = (
        weight_banks(workload, accelerator),
        activation_banks(workload, accelerator),
        partial_sum_banks(workload, array),
    )
    share = Resources(bram18=device.bram18 // n_engines, uram=device.uram // n_engines)
    weight_buffer, activation_buffer, partial_sums = allocate(memories, share)
    return ResourceEstimate(
        workload=workload,
        accelerator=accelerator,
        device=device,
        n_products_per_dsp=n_products,
        systolic_array=array_resources(workload, array, n_products) + partial_sums,
        requantisation=requantisation_resources(workload, accelerator),
        **vector_resources(accelerator, quant.activation_bits),
        exit_head=exit_head_resources(workload, accelerator) if built_head is None else built_head,
        built_head=built_head is not None,
        exit_decision=exit_unit,
        weight_buffer=weight_buffer,
        activation_buffer=activation_buffer,
        dma_control=dma_resources(accelerator, device),
    )
