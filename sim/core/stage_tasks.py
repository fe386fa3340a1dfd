"""Lowers the stages of a design to the flat task program that the recurrence runs: packs of tokens through stages.

For stage s and pack p of a region, `busy` from hw_model.machine, s' the stages whose results s takes, s+ those that
take its:

    packs       start[s,p] = max(end[s,p-1] + handshake,  end[s',p],  start[s+, p - fifo_packs])
                end[s,p]   = start[s,p] + busy[s,p]
    streaming   start[s,p] = max(end[s,p-1] + handshake,  start[s',p] + first_result[s'],  start[s+, p - fifo_packs])
                end[s,p]   = max(start[s,p] + busy[s,p],  end[s',p] + first_result[s])
    sequential  every stage on all rows, one after the other

    region = start_cycles + last end;   layer = sum of its regions + extra cycles

A stage is a unit. The tasks of a pack on it are, in this order,

    take    no cycles: the pack is taken out of the FIFO, which is what the stage in front may wait for
    work    busy cycles, and the handshake where nothing comes behind
    last    streaming only, on a unit of its own: the last result on its way through the stage's pipeline
    end     streaming only: the stage is done when its own work is and the last result is through

A layer is one call: `begin` of a region waits for the one before, `return` for all, both on the unit ``call``, so that
the next layer, of this sentence or of another one, begins when this call has returned. Weights that do not stay on chip
are one transfer per call, the next layer's while this one runs (two buffers), and the call does not return without it.

Not modelled: stalls within a pack beyond `first_result_cycles`, memory traffic of one stage that slows down another
one, calls that overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hexit.hw_model.stages import Region
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.arrays import Flags, Integers
from hexit.quant.errors import ConfigError
from hexit.sim.core.program import CALL, GATE, NONE, TaskProgram, Unit

MAX_TASKS = 4_000_000  # of one layer: some 0.4 GB
_N_PORTS = 2  # the gate and the whole hidden state
_TAKE, _WORK, _LAST, _END = range(4)
_COLUMNS = ("unit", "occupancy_cycles", "latency_cycles", "op", "block", "macs", "n_bytes")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionWork:
    """A region with what its stages do for each pack, [stage, pack]: cycles, MACs and off-chip bytes."""

    region: Region
    busy_cycles: Integers
    macs: Integers
    n_bytes: Integers

    @property
    def n_tasks_per_pack(self) -> int:
        """Tasks of one pack on one stage."""
        return {"sequential": 1, "packs": 2, "streaming": 4}[self.region.overlap]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionTasks:
    """Where a region is in the program: its `begin`, and the tasks that take and end each pack, [stage, pack]."""

    begin: int
    take: Integers
    end: Integers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageProgram:
    """The program of one call of a layer, and the numbers (ports, then tasks) of each region's tasks in it."""

    tasks: TaskProgram
    regions: tuple[RegionTasks, ...]


class _Builder:
    """Tasks and dependencies as they are appended, in program order; numbers count the ports first."""

    def __init__(self) -> None:
        self.n_tasks = 0
        self.columns: dict[str, list[Integers]] = {name: [] for name in _COLUMNS}
        self.readers: list[Integers] = []
        self.sources: list[Integers] = []

    def append(self, count: int, **columns: Integers | int) -> Integers:
        """Append tasks and return their numbers."""
        for name in _COLUMNS:
            self.columns[name].append(np.broadcast_to(np.asarray(columns.get(name, 0), np.int64).reshape(-1), (count,)))
        numbers = _N_PORTS + self.n_tasks + np.arange(count)
        self.n_tasks += count
        return numbers

    def depend(self, readers: Integers | int, sources: Integers | int) -> None:
        """Let each reader wait for its source; one of the two may be a single task."""
        left, right = np.broadcast_arrays(np.asarray(readers).reshape(-1), np.asarray(sources).reshape(-1))
        self.readers.append(left)
        self.sources.append(right)

    def program(self, stage_names: tuple[str, ...], n_units: int, returned: int) -> TaskProgram:
        """Return the program, dependencies sorted by the task that reads."""
        readers, sources = np.concatenate(self.readers) - _N_PORTS, np.concatenate(self.sources)
        order = np.argsort(readers, kind="stable")
        columns = {name: np.concatenate(parts) for name, parts in self.columns.items()}
        nothing = np.zeros(self.n_tasks, np.int64)
        return TaskProgram(
            op_names=(*stage_names, "call", "weights"),
            n_blocks=1,
            n_ports=_N_PORTS,
            first_dependency=np.concatenate([[0], np.cumsum(np.bincount(readers, minlength=self.n_tasks))]),
            dependency=sources[order],
            exports=np.array([returned]),
            decision=NONE,
            head=nothing,
            panel=nothing,
            n_units=n_units,
            **columns,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightTransfer:
    """The weights of a layer on their way from off-chip memory."""

    n_bytes: int
    cycles: TaskCycles


def compile_regions(
    regions: Sequence[RegionWork], extra_cycles: int = 0, weights: WeightTransfer | None = None
) -> StageProgram:
    """Return the program of one call of these regions, with `extra_cycles` before it returns.

    `weights`: the transfer of the next call's, None where they stay on chip.

    Raises ConfigError where there are more packs than a program holds, and for stages that take what comes later.
    """
    names = tuple(stage.name for work in regions for stage in work.region.stages)
    builder = _Builder()
    before: Integers = np.arange(_N_PORTS)  # what the next region waits for
    beside: list[Integers] = []  # ends of regions that run in parallel with it
    loaded: Integers = np.zeros(0, np.int64)
    placed: list[RegionTasks] = []
    first_stage = 0
    for work in regions:
        _check_size(work)
        begin = int(_append_control(builder, len(names), before, work.region.start_cycles, 0)[0])
        if weights is not None and not placed:
            loaded = _append_transfer(builder, len(names) + 1, begin, weights)
        place = _append_region(builder, work, begin, first_stage, len(names))
        placed.append(place)
        beside.append(place.end[:, -1])
        first_stage += len(work.region.stages)
        if not work.region.parallel_with_next:
            before, beside = np.concatenate(beside), []
    everything = np.concatenate([before, *beside, loaded])
    returned = int(_append_control(builder, len(names), everything, extra_cycles, extra_cycles)[0])
    return StageProgram(
        tasks=builder.program(names, CALL + 1 + 2 * len(names), returned),
        regions=tuple(placed),
    )


def _check_size(work: RegionWork) -> None:
    n_tasks = work.n_tasks_per_pack * work.busy_cycles.size
    if n_tasks > MAX_TASKS:
        requirement = f"makes {n_tasks} tasks of {work.busy_cycles.shape[1]} packs, at most {MAX_TASKS} fit"
        raise ConfigError(f"{work.region.name}.pack_rows", work.region.pack_rows, requirement, "Use larger packs")


def _append_control(builder: _Builder, op: int, sources: Integers, latency: int, occupancy: int) -> Integers:
    """Append a task of the unit that calls the layer."""
    number = builder.append(1, unit=CALL, occupancy_cycles=occupancy, latency_cycles=latency, op=op)
    builder.depend(number, sources)
    return number


def _append_transfer(builder: _Builder, op: int, begin: int, weights: WeightTransfer) -> Integers:
    """Append the transfer of the next call's weights, which begins with this call."""
    number = builder.append(
        1,
        unit=int(Unit.DMA),
        occupancy_cycles=weights.cycles.occupancy_cycles,
        latency_cycles=weights.cycles.latency_cycles,
        op=op,
        n_bytes=weights.n_bytes,
    )
    builder.depend(number, begin)
    return number


def _append_region(builder: _Builder, work: RegionWork, begin: int, first_stage: int, n_stages: int) -> RegionTasks:
    """Append the tasks of a region, pack by pack, in each of them stage by stage."""
    region, kinds = work.region, work.n_tasks_per_pack
    shape = (work.busy_cycles.shape[1], work.busy_cycles.shape[0], kinds)  # [pack, stage, kind]
    columns = {name: np.zeros(shape, np.int64) for name in _COLUMNS}
    work_kind = 0 if kinds == 1 else _WORK
    busy = work.busy_cycles.T
    columns["unit"] += (CALL + 1 + first_stage + np.arange(shape[1]))[:, None]
    columns["op"] += (first_stage + np.arange(shape[1]))[:, None]
    columns["block"] += np.arange(shape[0])[:, None, None]
    for name, values in (("macs", work.macs.T), ("n_bytes", work.n_bytes.T)):
        columns[name][:, :, work_kind] = values
    columns["occupancy_cycles"][:, :, work_kind] = busy
    columns["latency_cycles"][:, :, work_kind] = busy
    first_result = np.array([stage.first_result_cycles for stage in region.stages], np.int64)
    if kinds == 2:
        columns["occupancy_cycles"][:, :, _WORK] += region.handshake_cycles
        columns["latency_cycles"][:, :, _WORK] = busy
    elif kinds == 4:
        columns["unit"][:, :, _LAST] += n_stages
        columns["latency_cycles"][:, :, _WORK] = first_result
        columns["latency_cycles"][:, :, _LAST] = np.where(stage_links(region).any(axis=0), first_result, 0)
        columns["occupancy_cycles"][:, :, _END] = region.handshake_cycles
    n_tasks = shape[0] * shape[1] * shape[2]
    numbers = builder.append(n_tasks, **{name: values.reshape(-1) for name, values in columns.items()}).reshape(shape)
    if kinds == 1:
        in_order = numbers.reshape(-1)
        builder.depend(in_order, np.concatenate([[begin], in_order[:-1]]))
        return RegionTasks(begin=begin, take=numbers[:, :, 0].T, end=numbers[:, :, 0].T)
    return _link(builder, region, numbers, begin)


def _link(builder: _Builder, region: Region, numbers: Integers, begin: int) -> RegionTasks:
    """Append the dependencies between stages that work at the same time, by the recurrence of this module."""
    n_packs, n_stages, kinds = numbers.shape
    before = stage_links(region)
    take, work, end = numbers[:, :, _TAKE], numbers[:, :, _WORK], numbers[:, :, kinds - 1]
    builder.depend(work.reshape(-1), take.reshape(-1))
    for stage in range(n_stages):
        sources = np.flatnonzero(before[:, stage])
        if not sources.size:
            builder.depend(take[:, stage], begin)
        for source in sources:
            builder.depend(take[:, stage], work[:, source])  # streaming: its latency is that of the first result
        for reader in np.flatnonzero(before[stage]):
            if n_packs > region.fifo_packs:
                builder.depend(take[region.fifo_packs :, stage], take[: -region.fifo_packs, reader])
        if kinds == 4:
            last = numbers[:, stage, _LAST]
            builder.depend(end[:, stage], last)
            for source in sources:
                builder.depend(last, end[:, source])
            if not sources.size:
                builder.depend(last, GATE)
    return RegionTasks(begin=begin, take=take.T, end=end.T)


def stage_links(region: Region) -> Flags:
    """Return before[s, t]: stage t takes results of stage s, which stands earlier; ConfigError where it does not."""
    position = {stage.name: index for index, stage in enumerate(region.stages)}
    before = np.zeros((len(position), len(position)), np.bool_)
    for index, stage in enumerate(region.stages):
        sources = stage.after if stage.after is not None else [s.name for s in region.stages[max(0, index - 1) : index]]
        for source in sources:
            if position.get(source, index) >= index:
                earlier = ", ".join(list(position)[:index]) or "(none)"
                raise ConfigError(f"{stage.name}.after", source, f"must be one of {earlier}", "Order the stages")
            before[position[source], index] = True
    return before
