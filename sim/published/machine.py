"""When the stages of a machine work on which pack of rows, and the cycles of its regions, layer and network.

For stage s and pack p of a region, `busy` from hw_model.machine, s' the stages whose results s takes, s+ those that
take its:

    packs       start[s,p] = max(end[s,p-1] + handshake,  end[s',p],  start[s+, p - fifo_packs])
                end[s,p]   = start[s,p] + busy[s,p]
    streaming   start[s,p] = max(end[s,p-1] + handshake,  start[s',p] + first_result[s'],  start[s+, p - fifo_packs])
                end[s,p]   = max(start[s,p] + busy[s,p],  end[s',p] + first_result[s])
    sequential  every stage on all rows, one after the other

    region = start_cycles + last end;   layer = sum of its regions + extra cycles;   network = layers x layer

There is nothing but max and plus, so a faster stage or a deeper FIFO never makes a region slower. Not modelled:
stalls within a pack beyond `first_result_cycles`, memory traffic of one stage that slows down another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numba
import numpy as np

from hexit.hw_model.machine.description import Machine, Region, Stage
from hexit.hw_model.machine.op_cycles import OpCycles, machine_ops, op_cycles
from hexit.hw_model.memory.channel import MemoryChannel
from hexit.hw_model.rounding import ceil_div
from hexit.quant.arrays import Flags, Integers
from hexit.quant.errors import ConfigError
from hexit.quant.workload import Op, output_shape


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
class MachineCycles:
    """A machine's regions, one layer and the whole network."""

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


def _known(kind: str, name: str, known: Mapping[str, object]) -> str:
    if name not in known:
        raise ConfigError("expected.of", f"{kind} {name}", f"must be one of {', '.join(known)}", "Correct the name")
    return name


def machine_cycles(machine: Machine, channel: MemoryChannel | None = None) -> MachineCycles:
    """Return the cycles of a machine; without a channel off-chip memory never makes anything wait."""
    ops = machine_ops(machine)
    regions = tuple(_region_cycles(machine, region, ops, channel) for region in machine.regions)
    layer = machine.layer_extra_cycles
    parallel = 0  # cycles of the regions that run in parallel
    for region, cycles in zip(machine.regions, regions, strict=True):
        parallel = max(parallel, cycles.cycles)
        if not region.parallel_with_next:
            layer, parallel = layer + parallel, 0
    layer += parallel
    n_layers = 1 if machine.products else machine.network.encoder().n_layers
    return MachineCycles(regions=regions, layer_cycles=layer, network_cycles=n_layers * layer)


def _region_cycles(machine: Machine, region: Region, ops: dict[str, Op], channel: MemoryChannel | None) -> RegionCycles:
    names = [name for stage in region.stages for part in _inner(stage) for name in part.ops]
    for name in names:
        if name not in ops:
            raise ConfigError(f"{region.name}.ops", name, f"must be one of {', '.join(ops)}", "Name an op")
    heights = {output_shape(ops[name])[1] for name in names} or {machine.network.sequence_length}
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
    whole, last = ([_stage_ops(machine, stage, ops, height, channel) for stage in region.stages] for height in packs)
    stages = tuple(
        StageCycles(stage=stage.name, ops=done, pack_cycles=cycles, last_pack_cycles=last_cycles)
        for stage, (done, cycles), (_, last_cycles) in zip(region.stages, whole, last, strict=True)
    )
    return RegionCycles(
        region=region.name,
        stages=stages,
        n_packs=n_packs,
        interval_cycles=max(s.pack_cycles for s in stages) + region.handshake_cycles,
        cycles=_overlapped(region, busy_cycles(stages, n_packs)),
    )


def busy_cycles(stages: tuple[StageCycles, ...], n_packs: int) -> Integers:
    """Return the cycles of each stage for each pack, [stage, pack]."""
    return np.array([[stage.pack_cycles] * (n_packs - 1) + [stage.last_pack_cycles] for stage in stages], np.int64)


def _inner(stage: Stage) -> tuple[Stage, ...]:
    return (stage,) if stage.heads is None else stage.heads.stages


def _stage_ops(
    machine: Machine, stage: Stage, ops: dict[str, Op], rows: int | None, channel: MemoryChannel | None
) -> tuple[tuple[OpCycles, ...], int]:
    """The ops of a stage on a pack of `rows` (each on its own where None), and the cycles of the stage."""
    if stage.heads is None:
        chosen: list[Op | None] = [ops[name] for name in stage.ops]
        done = tuple(op_cycles(machine, stage, op, rows, channel) for op in chosen or [None])
        return done, sum(op.total for op in done)
    region = stage.heads
    per_head = [
        tuple(op_cycles(machine, part, ops[name], rows, channel, one_head=True) for name in part.ops)
        for part in region.stages
    ]
    n_heads = max(output_shape(ops[name])[0] for part in region.stages for name in part.ops)
    turns = ceil_div(n_heads, stage.n_parallel_heads)
    busy = np.array([[sum(op.total for op in done)] * turns for done in per_head], np.int64)
    return tuple(op for done in per_head for op in done), _overlapped(region, busy) + stage.call_cycles


def _overlapped(region: Region, busy: Integers) -> int:
    """Cycles of a region whose stages are `busy` [stage, pack] cycles."""
    return int(region_times(region, busy)[1].max(initial=0)) + region.start_cycles


def region_times(region: Region, busy: Integers) -> tuple[Integers, Integers]:
    """Return start and end [stage, pack] of a region whose stages are `busy` [stage, pack] cycles."""
    if region.overlap == "sequential":
        end = np.cumsum(busy.T).reshape(busy.T.shape).T  # pack by pack, in each of them stage by stage
        return end - busy, end
    first_result, before = stage_links(region)
    streams = region.overlap == "streaming"
    start, end = pack_times(busy, first_result, before, region.handshake_cycles, region.fifo_packs, streams)
    return start, end


def stage_links(region: Region) -> tuple[Integers, Flags]:
    """First-result cycles by stage, and before[s, t]: stage t takes results of stage s, which stands earlier."""
    position = {stage.name: index for index, stage in enumerate(region.stages)}
    before = np.zeros((len(position), len(position)), np.bool_)
    for index, stage in enumerate(region.stages):
        sources = stage.after if stage.after is not None else [s.name for s in region.stages[max(0, index - 1) : index]]
        for source in sources:
            if position.get(source, index) >= index:
                earlier = ", ".join(list(position)[:index]) or "(none)"
                raise ConfigError(f"{stage.name}.after", source, f"must be one of {earlier}", "Order the stages")
            before[position[source], index] = True
    return np.array([stage.first_result_cycles for stage in region.stages], np.int64), before


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def pack_times(
    busy: Integers, first_result: Integers, before: Flags, handshake: int, fifo_packs: int, streams: bool
) -> tuple[Integers, Integers]:
    """Return start and end [stage, pack] by the recurrence of this module; `busy` is [stage, pack]."""
    n_stages, n_packs = busy.shape
    start, end = np.zeros_like(busy), np.zeros_like(busy)
    for pack in range(n_packs):
        for stage in range(n_stages):
            begin = end[stage, pack - 1] + handshake if pack else 0
            least_end = 0
            for other in range(n_stages):
                if before[other, stage]:
                    ready = start[other, pack] + first_result[other] if streams else end[other, pack]
                    begin = max(begin, ready)
                    if streams:
                        least_end = max(least_end, end[other, pack] + first_result[stage])
                elif before[stage, other] and pack >= fifo_packs:
                    begin = max(begin, start[other, pack - fifo_packs])
            start[stage, pack] = begin
            end[stage, pack] = max(begin + busy[stage, pack], least_end)
    return start, end
