"""One layer of a machine as a Chrome trace (JSON object form), which ui.perfetto.dev opens.

One process per region, in it a track per stage with a slice per pack of rows, and a counter per pair of neighbours: the
packs that the one has begun and the other not yet, at most `fifo_packs`. Times are microseconds of the machine's clock,
without waits for memory. Not shown: heads that pass through a stage, layers after the first, loops within a stage.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from hexit.hw_model.machine.description import Machine, Region
from hexit.quant.arrays import Integers
from hexit.sim.core.levels import count_open
from hexit.sim.published.machine import MachineCycles, RegionCycles, busy_cycles, region_times, stage_links

Event = dict[str, Any]


def machine_trace_json(machine: Machine, cycles: MachineCycles) -> str:
    """Return the trace of one layer as text, the same for equal machines."""
    events: list[Event] = []
    begin = parallel = 0
    for number, (region, region_cycles) in enumerate(zip(machine.regions, cycles.regions, strict=True), start=1):
        events += _region_events(region, region_cycles, number, begin, machine.clock_mhz)
        parallel = max(parallel, region_cycles.cycles)
        if not region.parallel_with_next:
            begin, parallel = begin + parallel, 0
    trace = {"displayTimeUnit": "ns", "otherData": {"machine": machine.name, "clock_mhz": machine.clock_mhz}}
    return json.dumps(trace | {"traceEvents": events}, separators=(",", ":"), allow_nan=False) + "\n"


def _region_events(region: Region, cycles: RegionCycles, process: int, begin: int, clock_mhz: float) -> Iterator[Event]:
    start, end = (begin + region.start_cycles + times for times in _times(region, cycles))
    yield {"ph": "M", "pid": process, "tid": 0, "name": "process_name", "args": {"name": region.name}}
    for track, stage in enumerate(region.stages):
        yield {"ph": "M", "pid": process, "tid": track + 1, "name": "thread_name", "args": {"name": stage.name}}
        for pack in range(cycles.n_packs):
            first, last = int(start[track, pack]), int(end[track, pack])
            yield {
                "ph": "X",
                "pid": process,
                "tid": track + 1,
                "name": f"pack {pack + 1}",
                "ts": first / clock_mhz,
                "dur": (last - first) / clock_mhz,
                "args": {"start_cycle": first, "end_cycle": last},
            }
    if region.overlap != "sequential":
        for before, after in np.argwhere(stage_links(region)[1]).tolist():
            levels = count_open(start[before], start[after])
            name = f"packs from {region.stages[before].name} to {region.stages[after].name}"
            for cycle, level in zip(levels.cycle.tolist(), levels.level.tolist(), strict=True):
                yield {"ph": "C", "pid": process, "name": name, "ts": cycle / clock_mhz, "args": {"packs": level}}


def _times(region: Region, cycles: RegionCycles) -> tuple[Integers, Integers]:
    return region_times(region, busy_cycles(cycles.stages, cycles.n_packs))
