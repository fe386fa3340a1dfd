"""One layer of a design's stages as a Chrome trace (JSON object form), which ui.perfetto.dev opens.

One process per region, in it a track per stage with a slice per pack of rows, and a counter per pair of neighbours: the
packs that the one has begun and the other not yet, at most `fifo_packs`. Times are microseconds of the design's clock,
without waits for memory. Not shown: heads that pass through a stage, layers after the first, loops within a stage.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.stages import Region
from hexit.quant.arrays import Integers
from hexit.sim.core.levels import count_open
from hexit.sim.core.recurrence import run_alone
from hexit.sim.core.stage_cycles import published_program
from hexit.sim.core.stage_tasks import stage_links

Event = dict[str, Any]


def stage_trace_json(design: Accelerator) -> str:
    """Return the trace of one layer as text, the same for equal designs."""
    program = published_program(design).program
    start, time = run_alone(program.tasks)
    events: list[Event] = []
    for number, (region, place) in enumerate(zip(design.regions, program.regions, strict=True), start=1):
        begins = start[place.take - program.tasks.n_ports]
        events += _region_events(region, begins, time[place.end], number, design.clock_mhz)
    trace = {"displayTimeUnit": "ns", "otherData": {"design": design.name, "clock_mhz": design.clock_mhz}}
    return json.dumps(trace | {"traceEvents": events}, separators=(",", ":"), allow_nan=False) + "\n"


def _region_events(region: Region, start: Integers, end: Integers, process: int, clock_mhz: float) -> Iterator[Event]:
    yield {"ph": "M", "pid": process, "tid": 0, "name": "process_name", "args": {"name": region.name}}
    for track, stage in enumerate(region.stages):
        yield {"ph": "M", "pid": process, "tid": track + 1, "name": "thread_name", "args": {"name": stage.name}}
        for pack in range(start.shape[1]):
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
        for before, after in np.argwhere(stage_links(region)).tolist():
            levels = count_open(start[before], start[after])
            name = f"packs from {region.stages[before].name} to {region.stages[after].name}"
            for cycle, level in zip(levels.cycle.tolist(), levels.level.tolist(), strict=True):
                yield {"ph": "C", "pid": process, "name": name, "ts": cycle / clock_mhz, "args": {"packs": level}}
