"""What happened when: every task of one sentence up to its exit, and its picture for Perfetto.

The trace is the Chrome trace-event format (JSON object form), which ui.perfetto.dev opens: one track per unit,
complete events ("X") in microseconds, flow events from each weight transfer to its first use and from the layer
over the exit head to the decision. Level ``op`` joins neighbouring tasks of one op on one unit, ``tile`` shows
every task. Times are rounded to nanoseconds, so neighbours still touch and never overlap.
Not modelled: several sentences in one picture.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from quant.errors import ConfigError
from sim.schedule import NONE, UNIT_NAMES, TaskProgram, Unit
from sim.stream import Ints, SentenceRun

Level = Literal["op", "tile"]
FlowKind = Literal["weights", "exit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One task on its unit: busy from `start_cycle` to `end_cycle`, result at `ready_cycle`.

    `layer` is 0 in the prologue. A squashed task ends, without a result, in the cycle of the decision.
    """

    unit: str
    op: str
    layer: int
    head: int
    panel: int
    block: int
    start_cycle: int
    end_cycle: int
    ready_cycle: int
    macs: int
    n_bytes: int
    squashed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """An arrow from one interval to another (indices into `Timeline.intervals`)."""

    kind: FlowKind
    source: int
    target: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """All intervals of one sentence, program order within each layer, with the arrows between them."""

    design: str
    clock_mhz: float
    exit_layer: int
    total_cycles: int
    intervals: tuple[Interval, ...]
    flows: tuple[Flow, ...]


def sentence_timeline(run: SentenceRun, exit_layer: int) -> Timeline:
    """Return the timeline of a sentence that exits after `exit_layer`, squashed work included.

    Raises ConfigError where `run` has no such exit.
    """
    program = run.program
    if not 1 <= exit_layer <= program.n_layers or run.decision_cycle[exit_layer - 1] == NONE:
        legal = (np.flatnonzero(run.decision_cycle != NONE) + 1).tolist()
        raise ConfigError("exit_layer", exit_layer, f"must be one of the exits {legal}", "Pick one of these")
    decision = int(run.decision_cycle[exit_layer - 1])
    intervals: list[Interval] = []
    flows: list[Flow] = []
    _append_group(intervals, flows, program.prologue, run.prologue_start, 0, decision, squashed=False)
    for layer in range(1, program.n_layers + 1):
        squashed = layer > exit_layer
        first = len(intervals)
        _append_group(intervals, flows, program.layer, run.layer_start[layer - 1], layer, decision, squashed=squashed)
        last = len(intervals)
        starts = run.exit_start[layer - 1]
        _append_group(intervals, flows, program.exit, starts, layer, decision, squashed=squashed)
        if not squashed and starts[0] != NONE:
            heads = [i for i in range(last, len(intervals)) if intervals[i].unit == UNIT_NAMES[Unit.HEAD]]
            blocks = first + program.layer.exports[: program.layer.n_blocks] - program.layer.n_ports
            ends = len(intervals) - 1
            steps = ((int(blocks[0]), heads[0]), (heads[-1], ends), (int(blocks[-1]), ends))
            flows.extend(Flow(kind="exit", source=source, target=target) for source, target in steps)
    return Timeline(
        design=program.accelerator.name,
        clock_mhz=program.accelerator.clock_mhz,
        exit_layer=exit_layer,
        total_cycles=decision,
        intervals=tuple(intervals),
        flows=tuple(flows),
    )


def _append_group(
    intervals: list[Interval],
    flows: list[Flow],
    program: TaskProgram,
    starts: Ints,
    layer: int,
    decision: int,
    *,
    squashed: bool,
) -> None:
    """Append the tasks of one program that began (before the decision, where squashed), and its weight arrows."""
    begun = (starts != NONE) & (starts < decision) if squashed else starts != NONE
    ends, readies = starts + program.occupancy_cycles, starts + program.latency_cycles
    if squashed:
        ends, readies = np.minimum(ends, decision), np.minimum(readies, decision)
    position = np.cumsum(begun) - 1 + len(intervals)
    columns = (
        program.unit,
        program.op,
        program.head,
        program.panel,
        program.block,
        starts,
        ends,
        readies,
        program.macs,
        program.n_bytes,
    )
    for unit, op, head, panel, block, start, end, ready, macs, n_bytes in zip(
        *(column[begun].tolist() for column in columns), strict=True
    ):
        intervals.append(
            Interval(
                unit=UNIT_NAMES[unit],
                op=program.op_names[op],
                layer=layer,
                head=head,
                panel=panel,
                block=block,
                start_cycle=start,
                end_cycle=end,
                ready_cycle=ready,
                macs=macs,
                n_bytes=n_bytes,
                squashed=squashed,
            )
        )
    for source, target in _first_uses(program):
        if begun[source] and begun[target]:
            flows.append(Flow(kind="weights", source=int(position[source]), target=int(position[target])))


def _first_uses(program: TaskProgram) -> list[tuple[int, int]]:
    """Pairs (transfer, first task that reads it)."""
    reader = np.repeat(np.arange(program.n_tasks), np.diff(program.first_dependency))
    source = program.dependency - program.n_ports
    is_load = (source >= 0) & (program.unit[np.maximum(source, 0)] == Unit.DMA)
    loads, first = np.unique(source[is_load], return_index=True)
    return list(zip(loads.tolist(), reader[is_load][first].tolist(), strict=True))


def chrome_trace(timeline: Timeline, level: Level = "op") -> dict[str, Any]:
    """Return the timeline as a Chrome trace (JSON object form)."""
    tracks = {name: track for track, name in enumerate(UNIT_NAMES, start=1)}
    events: list[dict[str, Any]] = [
        {"ph": "M", "pid": 1, "tid": 0, "name": "process_name", "args": {"name": f"hexit {timeline.design}"}}
    ]
    for name, track in tracks.items():
        events.append({"ph": "M", "pid": 1, "tid": track, "name": "thread_name", "args": {"name": name}})
        events.append({"ph": "M", "pid": 1, "tid": track, "name": "thread_sort_index", "args": {"sort_index": track}})

    slices, slice_of = _slices(timeline, level)

    def nanoseconds(cycle: int) -> int:
        return round(cycle * 1000 / timeline.clock_mhz)

    def microseconds(first_cycle: int, last_cycle: int) -> tuple[float, float]:
        start = nanoseconds(first_cycle)
        return start / 1000, (nanoseconds(last_cycle) - start) / 1000

    for members in slices:
        first, last = members[0], members[-1]
        start_us, duration_us = microseconds(first.start_cycle, last.end_cycle)
        arguments: dict[str, Any] = {
            "layer": first.layer,
            "start_cycle": first.start_cycle,
            "end_cycle": last.end_cycle,
            "ready_cycle": last.ready_cycle,
            "n_tasks": len(members),
            "macs": sum(member.macs for member in members),
            "bytes": sum(member.n_bytes for member in members),
        }
        if level == "tile":
            arguments |= {"head": first.head, "panel": first.panel, "block": first.block}
        event = {
            "ph": "X",
            "pid": 1,
            "tid": tracks[first.unit],
            "name": first.op,
            "ts": start_us,
            "dur": duration_us,
            "cat": "squashed" if first.squashed else f"layer {first.layer}",
            "args": arguments,
        }
        events.append(event)

    arrows: dict[tuple[str, int, int], Flow] = {}  # one per pair of slices: the first
    for flow in timeline.flows:
        arrows.setdefault((flow.kind, slice_of[flow.source], slice_of[flow.target]), flow)
    for number, flow in enumerate(arrows.values(), start=1):
        for phase, end in (("s", timeline.intervals[flow.source]), ("f", timeline.intervals[flow.target])):
            event = {
                "ph": phase,
                "pid": 1,
                "tid": tracks[end.unit],
                "name": flow.kind,
                "cat": flow.kind,
                "id": number,
                "ts": nanoseconds(end.start_cycle) / 1000,
            }
            events.append(event | ({"bp": "e"} if phase == "f" else {}))
    return {
        "displayTimeUnit": "ns",
        "otherData": {
            "design": timeline.design,
            "clock_mhz": timeline.clock_mhz,
            "exit_layer": timeline.exit_layer,
            "total_cycles": timeline.total_cycles,
            "level": level,
        },
        "traceEvents": events,
    }


def chrome_trace_json(timeline: Timeline, level: Level = "op") -> str:
    """Return the Chrome trace as text, byte-identical for equal timelines."""
    return json.dumps(chrome_trace(timeline, level), sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"


def _slices(timeline: Timeline, level: Level) -> tuple[list[list[Interval]], list[int]]:
    """Intervals joined into slices, and the slice of each interval."""
    slices: list[list[Interval]] = []
    slice_of = [0] * len(timeline.intervals)
    current: dict[str, int] = {}
    for index, interval in enumerate(timeline.intervals):
        at = current.get(interval.unit)
        previous = None if at is None else slices[at][-1]
        joins = previous is not None and (previous.op, previous.layer) == (interval.op, interval.layer)
        if level == "op" and joins and at is not None:
            slices[at].append(interval)
        else:
            at = len(slices)
            slices.append([interval])
            current[interval.unit] = at
        slice_of[index] = at
    return slices, slice_of
