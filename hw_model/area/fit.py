"""Whether a design fits a part, and the changes that would make it fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.area.estimate import ResourceEstimate, estimate
from hexit.hw_model.area.resources import KINDS, Kind, available
from hexit.hw_model.device import Device, list_devices, load_device
from hexit.hw_model.memory.activation_buffer import check_activations
from hexit.hw_model.memory.weight_buffer import place_weights
from hexit.quant.config import LEGAL_BITS
from hexit.quant.errors import DoesNotFit
from hexit.quant.workload import Workload


def check_fit(estimate: ResourceEstimate, device: Device) -> None:
    """Raise DoesNotFit where an estimate asks a part for more than it has.

    The message names every kind that is short, by how much, the largest users, and the changes, each tried
    out on its own, that would make the design fit: widths, sizes, other parts.
    """
    needed, has = estimate.total, available(device)
    if needed.fits(has):
        return
    lines = [_shortage(estimate, kind, device) for kind in KINDS if getattr(needed, kind) > getattr(has, kind)]
    levers = list(_levers(estimate, device))
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
        place_weights(workload, design)
        check_activations(workload, design)
    except DoesNotFit:
        return False
    head = tried.exit_head if tried.built_head else None
    return estimate(workload, design, device, tried.exit_decision, head).total.fits(available(device))


def _devices_by_size() -> list[str]:
    return sorted(list_devices(), key=lambda name: load_device(name).lut)
