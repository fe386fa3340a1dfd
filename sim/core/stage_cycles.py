"""Cycles of a design's stages, regions and layer, read off the task program that a run executes too.

One call of the layer runs from cycle 0 with every unit idle; `RegionCycles` and `StageCycles` are what is asked of it.
Heads that pass through a stage are a small program of their own, whose length is the stage's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.device import Device, load_device
from hexit.hw_model.evidence import Network
from hexit.hw_model.machine.op_cycles import LayerOps, OpCycles, network_ops, op_cycles, product_ops
from hexit.hw_model.memory.channel import UNLIMITED, MemoryChannel, transfer_cycles
from hexit.hw_model.rounding import ceil_div
from hexit.hw_model.stages import Region, Stage
from hexit.quant.arrays import Integers
from hexit.quant.errors import ConfigError
from hexit.quant.workload import Op, Workload, group_vector_bytes, group_weight_bytes, output_shape
from hexit.sim.core.recurrence import run_alone
from hexit.sim.core.stage_tasks import RegionWork, StageProgram, WeightTransfer, compile_regions


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCycles:
    """One stage: its ops on a whole pack (one head, if heads pass through), cycles of a whole and of the last pack."""

    stage: str
    ops: tuple[OpCycles, ...]
    pack_cycles: int
    last_pack_cycles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionCycles:
    """One region: packs, the interval of its slowest stage, and the cycles of all packs."""

    region: str
    stages: tuple[StageCycles, ...]
    n_packs: int
    interval_cycles: int
    cycles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignCycles:
    """A design's regions, one layer and the whole network, alone and without exits."""

    regions: tuple[RegionCycles, ...]
    layer_cycles: int
    network_cycles: int

    def stage(self, name: str) -> StageCycles:
        """Return a stage by name."""
        stages = {stage.stage: stage for region in self.regions for stage in region.stages}
        return stages[_known("stage", name, stages)]

    def region(self, name: str) -> RegionCycles:
        """Return a region by name."""
        regions = {region.region: region for region in self.regions}
        return regions[_known("region", name, regions)]

    def op(self, name: str) -> OpCycles:
        """Return an op by name."""
        ops = {op.op: op for region in self.regions for stage in region.stages for op in stage.ops}
        return ops[_known("op", name, ops)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledStages:
    """The program of one call of a design's layer, with the cycles and the work that it was made of."""

    program: StageProgram
    work: tuple[RegionWork, ...]
    stages: tuple[tuple[StageCycles, ...], ...]


def _known(kind: str, name: str, known: Mapping[str, object]) -> str:
    if name not in known:
        raise ConfigError("expected.of", f"{kind} {name}", f"must be one of {', '.join(known)}", "Correct the name")
    return name


def published_ops(design: Accelerator) -> LayerOps:
    """Return what a design was published with: its own products, else a layer of its network."""
    if design.products:
        return product_ops(design, design.products)
    return network_ops(design, (design.network or Network()).workload())


def published_program(design: Accelerator, channel: MemoryChannel | None = None) -> CompiledStages:
    """Return the program of what a design was published with, with the transfer of a layer's weights."""
    if design.products:
        return compile_stages(design, published_ops(design), channel)
    workload = (design.network or Network()).workload()
    return compile_layer(design, workload, channel, streamed=weights_are_streamed(design, workload))


def compile_layer(
    design: Accelerator, workload: Workload, channel: MemoryChannel | None, *, streamed: bool
) -> CompiledStages:
    """Return the program of one call of a design's stages on a layer of a network.

    `streamed`: with the transfer of its weights (`weights_are_streamed`).
    """
    weights = None
    if streamed:
        n_bytes = group_weight_bytes(workload.layer, workload.quant) + group_vector_bytes(
            workload.layer, workload.quant
        )
        weights = WeightTransfer(n_bytes=n_bytes, cycles=transfer_cycles(n_bytes, channel or UNLIMITED))
    return compile_stages(design, network_ops(design, workload), channel, weights)


def weights_are_streamed(design: Accelerator, workload: Workload, device: Device | None = None) -> bool:
    """Whether a layer's weights come from off-chip memory for every call.

    Not where loops of the stages move them. Else as `weight_placement` says; ``auto`` streams them where those of all
    layers do not fit the weight buffer, or the part's whole memory on chip where the design tells of no such buffer,
    and without a part. `device`: the part, that of the design where absent.
    """
    if any(loop.off_chip_bytes for loop in design.loops.values()) or design.weight_placement == "on_chip":
        return False
    if design.weight_placement == "streamed" or not (device or design.device):
        return True
    n_bytes = workload.n_stored_layers * group_weight_bytes(workload.layer, workload.quant)
    return n_bytes > 1024 * (design.weight_buffer_kib or (device or load_device(design.device)).on_chip_kib)


def design_cycles(design: Accelerator, channel: MemoryChannel | None = None) -> DesignCycles:
    """Return the cycles of a design with what it was published with; without a channel no memory makes it wait."""
    compiled = published_program(design, channel)
    start, time = run_alone(compiled.program.tasks)
    n_ports = compiled.program.tasks.n_ports
    regions = tuple(
        RegionCycles(
            region=work.region.name,
            stages=stages,
            n_packs=work.busy_cycles.shape[1],
            interval_cycles=max(stage.pack_cycles for stage in stages) + work.region.handshake_cycles,
            cycles=int(time[place.end].max() - start[place.begin - n_ports]),
        )
        for work, stages, place in zip(compiled.work, compiled.stages, compiled.program.regions, strict=True)
    )
    layer_cycles = int(time[compiled.program.tasks.exports[0]])
    n_layers = 1 if design.products else (design.network or Network()).encoder().n_layers
    return DesignCycles(regions=regions, layer_cycles=layer_cycles, network_cycles=n_layers * layer_cycles)


def compile_stages(
    design: Accelerator, layer: LayerOps, channel: MemoryChannel | None, weights: WeightTransfer | None = None
) -> CompiledStages:
    """Return the program of one call of a design's stages on a layer's ops.

    Raises ConfigError for ops that the layer does not have, and packs of ops of unequal heights.
    """
    parts = [_region_work(design, region, layer, channel) for region in design.regions]
    work = tuple(work for work, _ in parts)
    return CompiledStages(
        program=compile_regions(work, design.layer_extra_cycles, weights),
        work=work,
        stages=tuple(stages for _, stages in parts),
    )


def _region_work(
    design: Accelerator, region: Region, layer: LayerOps, channel: MemoryChannel | None
) -> tuple[RegionWork, tuple[StageCycles, ...]]:
    names = [name for stage in region.stages for name in stage.executed_ops]
    for name in names:
        if name not in layer.ops:
            raise ConfigError(f"{region.name}.ops", name, f"must be one of {', '.join(layer.ops)}", "Name an op")
    heights = {output_shape(layer.ops[name])[1] for name in names} or {layer.rows}
    if region.pack_rows is None:  # every op on all of its own rows
        n_packs = 1
        packs: list[int | None] = [None, None]
    else:
        rows = max(heights)
        if heights != {rows}:
            requirement = f"needs ops of one number of rows, not {sorted(heights)}"
            raise ConfigError(f"{region.name}.pack_rows", region.pack_rows, requirement, "Leave pack_rows out")
        n_packs = ceil_div(rows, region.pack_rows)
        packs = [min(region.pack_rows, rows), rows - (n_packs - 1) * region.pack_rows]
    whole, last = ([_stage_ops(design, stage, layer, height, channel) for stage in region.stages] for height in packs)
    stages = tuple(
        StageCycles(stage=stage.name, ops=ops, pack_cycles=cycles, last_pack_cycles=last_cycles)
        for stage, (ops, cycles), (_, last_cycles) in zip(region.stages, whole, last, strict=True)
    )

    def by_pack(of_pack: list[int], of_last: list[int]) -> Integers:
        return np.array([[one] * (n_packs - 1) + [end] for one, end in zip(of_pack, of_last, strict=True)], np.int64)

    work = RegionWork(
        region=region,
        busy_cycles=by_pack([cycles for _, cycles in whole], [cycles for _, cycles in last]),
        macs=by_pack(*([sum(op.macs for op in ops) for ops, _ in pack] for pack in (whole, last))),
        n_bytes=by_pack(*([sum(op.n_bytes for op in ops) for ops, _ in pack] for pack in (whole, last))),
    )
    return work, stages


def _stage_ops(
    design: Accelerator, stage: Stage, layer: LayerOps, rows: int | None, channel: MemoryChannel | None
) -> tuple[tuple[OpCycles, ...], int]:
    """The ops of a stage on a pack of `rows` (each on its own where None), and the cycles of the stage."""
    if stage.heads is None:
        chosen: list[Op | None] = [layer.ops[name] for name in stage.ops]
        done = tuple(op_cycles(design, stage, layer, op, rows, channel) for op in chosen or [None])
        return done, sum(op.total for op in done)
    region = stage.heads
    per_head = [
        tuple(op_cycles(design, part, layer, layer.ops[name], rows, channel, one_head=True) for name in part.ops)
        for part in region.stages
    ]
    n_heads = max(output_shape(layer.ops[name])[0] for part in region.stages for name in part.ops)
    turns = ceil_div(n_heads, stage.n_parallel_heads)
    busy = np.array([[sum(op.total for op in done)] * turns for done in per_head], np.int64)
    work = RegionWork(region=region, busy_cycles=busy, macs=np.zeros_like(busy), n_bytes=np.zeros_like(busy))
    inside = compile_regions([work]).tasks
    cycles = int(run_alone(inside)[1][inside.exports[0]])
    return tuple(op for done in per_head for op in done), cycles + stage.call_cycles
