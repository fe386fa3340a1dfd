"""What a design takes on a part, unit by unit; whether it fits, and the changes that would make it fit.

Widths come from the workload's integers, sizes from the design, block shapes and DSP ports (hw_model.packing) from the
data sheets. `n_engines` engines are as many copies of everything but the memory port. The exit unit's area is the
caller's: it depends on the rule (hw_model.exit_unit.area).

Not modelled: placement and routing, what a card's shell takes away, memories small enough for LUTs. The
exit heads' weights are part of the weight buffer.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.area.memory_blocks import (
    BRAM18_BITS,
    URAM_BITS,
    Bank,
    activation_banks,
    allocate,
    partial_sum_banks,
    weight_banks,
)
from hexit.hw_model.area.resources import KINDS, NOTHING, Kind, Resources, available
from hexit.hw_model.area.stage_units import engine_view, products_per_dsp_of, requantisation_lanes
from hexit.hw_model.area.units import (
    ArrayBasis,
    array_basis,
    array_resources,
    dma_resources,
    exit_head_resources,
    operand_widths,
    partial_sum_adders,
    requantisation_resources,
    vector_resources,
)
from hexit.hw_model.design_files import list_designs, load_design
from hexit.hw_model.device import Device, list_devices, load_device
from hexit.hw_model.memory.buffers import check_activations, place_weights
from hexit.hw_model.packing import products_per_dsp
from hexit.hw_model.rounding import right_operand_bits
from hexit.quant.config import LEGAL_BITS
from hexit.quant.errors import DoesNotFit
from hexit.quant.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceEstimate:
    """What each unit of a design takes on one part, with the configuration that it belongs to.

    The fields are those of one engine, `parts` and `total` of the whole design; the memory port serves all engines.
    `n_products_per_dsp` is what the widths really allow, at most the design's macs_per_dsp; `array_basis` says whether
    the array is one that was measured; `built_head` that the exit head is not the design's own lanes.
    """

    workload: Workload
    accelerator: Accelerator
    device: Device
    n_products_per_dsp: int
    array_basis: ArrayBasis
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
    @functools.lru_cache(maxsize=16)  # noqa: B019 - frozen, and every check asks for it
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
    if accelerator.regions:
        return _of_stages(workload, accelerator, device, exit_unit, built_head)
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
        array_basis=array_basis(array),
        systolic_array=array_resources(array, operand_widths(workload), n_products, device.family)
        + partial_sum_adders(workload, array)
        + partial_sums,
        requantisation=requantisation_resources(workload, requantisation_lanes(accelerator)),
        **vector_resources(accelerator, quant.activation_bits),
        exit_head=exit_head_resources(workload, accelerator) if built_head is None else built_head,
        built_head=built_head is not None,
        exit_decision=exit_unit,
        weight_buffer=weight_buffer,
        activation_buffer=activation_buffer,
        dma_control=dma_resources(accelerator, device),
    )


def _of_stages(
    workload: Workload,
    accelerator: Accelerator,
    device: Device,
    exit_unit: Resources,
    built_head: Resources | None,
) -> ResourceEstimate:
    """The estimate of a design with stages; see hw_model.area.stage_units."""
    quant, arrays = workload.quant, accelerator.built_arrays
    right = right_operand_bits(workload)
    packed = {
        array: products_per_dsp(
            quant.activation_bits,
            right,
            device.dsp_primitive,
            at_most=products_per_dsp_of(array, accelerator.macs_per_dsp),
        )
        for array in set(arrays)
    }
    view = engine_view(accelerator, arrays[0]) if arrays else None
    banks = (
        weight_banks(workload, view) if view is not None and accelerator.weight_buffer_kib else (),
        activation_banks(workload, view) if view is not None and accelerator.activation_buffer_kib else (),
    )
    weight_buffer, activation_buffer = allocate(banks, Resources(bram18=device.bram18, uram=device.uram))
    return ResourceEstimate(
        workload=workload,
        accelerator=accelerator,
        device=device,
        n_products_per_dsp=max(packed.values(), default=1),
        array_basis="calibrated" if "calibrated" in {array_basis(array) for array in arrays} else "measured",
        systolic_array=sum(
            (array_resources(array, operand_widths(workload), packed[array], device.family) for array in arrays),
            NOTHING,
        ),
        requantisation=requantisation_resources(workload, requantisation_lanes(accelerator)),
        **vector_resources(accelerator, quant.activation_bits),
        exit_head=exit_head_resources(workload, accelerator) if built_head is None else built_head,
        built_head=built_head is not None,
        exit_decision=exit_unit,
        weight_buffer=weight_buffer,
        activation_buffer=activation_buffer,
        dma_control=dma_resources(accelerator, device),
    )


def check_fit(estimate: ResourceEstimate, device: Device) -> None:
    """Raise DoesNotFit where an estimate asks a part for more than it has.

    The message names every kind that is short, by how much, the largest users, and the changes, each tried
    out on its own, that would make the design fit: widths, sizes, a shipped design of the part, other parts.
    """
    needed, has = estimate.total, available(device)
    if needed.fits(has):
        return
    lines = [_shortage(estimate, kind, device) for kind in KINDS if getattr(needed, kind) > getattr(has, kind)]
    levers = list(_levers(estimate, device))
    shipped = [one for one in map(load_design, list_designs()) if one.device == device.name]
    levers += [f"--design {one.name}" for one in shipped if _retry(estimate, device, one)][:1]
    devices = [name for name in _devices_by_size() if _retry(estimate, load_device(name))]
    levers += [f"--device {' or '.join(devices[:2])}"] if devices else []
    remedy = f"Try {', or '.join(levers)}." if levers else "No single change is enough: lower several sizes together."
    lines.append(remedy)
    raise DoesNotFit("\n".join(lines))


def _shortage(estimate: ResourceEstimate, kind: Kind, device: Device) -> str:
    needed, has = getattr(estimate.total, kind), getattr(available(device), kind)
    ratio = f" ({needed / has:.{1 if needed / has >= 1.05 else 2}f}x)" if has else ""
    users = sorted(estimate.parts.items(), key=lambda item: -getattr(item[1], kind))[:2]
    largest = ", ".join(f"{name} {getattr(part, kind)}" for name, part in users if getattr(part, kind))
    return f"n_{kind} {needed} needed, {has} on {device.name}{ratio}. Largest: {largest}."


def _levers(estimate: ResourceEstimate, device: Device) -> Iterator[str]:
    """Yield the changes of one input that make the design fit, the mildest value of each."""
    design, quant = estimate.accelerator, estimate.workload.quant
    for value in (2, 4):
        if value > design.macs_per_dsp and _retry(estimate, device, replace(design, macs_per_dsp=value)):
            yield f"macs_per_dsp = {value} in --design"
            break
    for bits in sorted(LEGAL_BITS, reverse=True):
        smaller = replace(estimate.workload, quant=replace(quant, weight_bits=bits, activation_bits=bits))
        if bits < max(quant.weight_bits, quant.activation_bits) and _retry(estimate, device, workload=smaller):
            yield f"--bits {bits}"
            break
    for key in ("weight_buffer_kib", "activation_buffer_kib", "array_rows", "array_columns", "n_arrays", "n_engines"):
        for value in (getattr(design, key) >> halvings for halvings in (1, 2, 3)):
            if value and _retry(estimate, device, _resized(design, key, value)):
                yield f"{key} = {value} in --design"
                break


def _resized(design: Accelerator, key: str, value: int) -> Accelerator:
    changes: dict[str, Any] = {key: value} | ({"engine_layers": None} if key == "n_engines" else {})
    return replace(design, **changes)


def _retry(
    tried: ResourceEstimate, device: Device, design: Accelerator | None = None, workload: Workload | None = None
) -> bool:
    """Whether the design would fit after a change, and its buffers still hold what they must."""
    workload, design = workload or tried.workload, design or tried.accelerator
    try:
        if not design.regions:
            place_weights(workload, design)
            check_activations(workload, design)
    except DoesNotFit:
        return False
    head = tried.exit_head if tried.built_head else None
    return estimate(workload, design, device, tried.exit_decision, head).total.fits(available(device))


def _devices_by_size() -> list[str]:
    return sorted(list_devices(), key=lambda name: load_device(name).lut)


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
    if design.regions:
        return ()
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
