from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.design_files import load_design
from hexit.hw_model.memory.channel import MemoryChannel
from hexit.quant.config import QuantConfig
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import encoder_workload
from hexit.sim.analysis.timeline import PANELS, sentence_timeline
from hexit.sim.core.compile import compile_program
from hexit.sim.core.lone_sentence import simulate_sentence
from hexit.sim.core.program import UNIT_NAMES, Program
from hexit.sim.core.sentence import SentenceRun
from hexit.sim.export.perfetto import Level, chrome_trace, chrome_trace_json
from support.strategies import DECISION, LAWS, programs


def albert_run() -> SentenceRun:
    workload = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 64)
    channel = MemoryChannel(bytes_per_cycle=64.0, latency_cycles=20)
    program = compile_program(workload, load_design("default"), channel, DECISION)
    return simulate_sentence(program)


@given(programs(), st.sampled_from(get_args(Level)))
@LAWS
def test_a_trace_shows_all_work_on_one_track_per_unit(program: Program, level: Level) -> None:
    timeline = sentence_timeline(simulate_sentence(program), program.n_layers)
    events = chrome_trace(timeline, level)["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert list(names.values()) == list(UNIT_NAMES)
    slices = [e for e in events if e["ph"] == "X"]
    assert sum(e["args"]["n_tasks"] for e in slices) == len(timeline.intervals)
    assert sum(e["args"]["macs"] for e in slices) == sum(i.macs for i in timeline.intervals)
    for track in names:
        nanoseconds = [(round(e["ts"] * 1000), round(e["dur"] * 1000)) for e in slices if e["tid"] == track]
        assert all(start + duration <= later for (start, duration), (later, _) in pairwise(nanoseconds))
    starts = {e["id"]: e["ts"] for e in events if e["ph"] == "s"}
    ends = {e["id"]: e["ts"] for e in events if e["ph"] == "f"}
    assert starts.keys() == ends.keys()
    assert all(starts[number] <= ends[number] for number in starts)


def test_a_trace_is_deterministic_and_ops_are_fewer_than_tiles() -> None:
    timeline = sentence_timeline(albert_run(), 2)
    again = sentence_timeline(albert_run(), 2)
    assert timeline == again
    ops, tiles = chrome_trace_json(timeline), chrome_trace_json(timeline, "tile")
    assert ops == chrome_trace_json(again)
    assert tiles.count('"ph":"X"') == len(timeline.intervals) > 5 * ops.count('"ph":"X"')
    assert json.loads(ops)["otherData"] == {
        "design": "default",
        "clock_mhz": 200.0,
        "exit_layer": 2,
        "total_cycles": timeline.total_cycles,
        "level": "op",
    }
    last = max((e for e in json.loads(tiles)["traceEvents"] if e["ph"] == "X"), key=lambda e: e["args"]["ready_cycle"])
    assert (last["name"], last["args"]["ready_cycle"]) == ("decision", timeline.total_cycles)


@given(programs(), st.sampled_from(get_args(Level)))
@LAWS
def test_events_are_in_order_and_arrows_begin_and_end_inside_a_slice(program: Program, level: Level) -> None:
    timeline = sentence_timeline(simulate_sentence(program), program.n_layers)
    events = json.loads(chrome_trace_json(timeline, level))["traceEvents"]
    times = [event["ts"] for event in events if event["ph"] != "M"]
    assert times == sorted(times)
    assert all(event["ph"] == "M" for event in events[: len(events) - len(times)])
    slices = [(e["tid"], e["ts"], e["ts"] + e["dur"]) for e in events if e["ph"] == "X"]
    for event in events:
        if event["ph"] in "sf":
            assert any(t == event["tid"] and first <= event["ts"] <= last + 1e-9 for t, first, last in slices)


@given(programs(), st.sampled_from(get_args(Level)))
@LAWS
def test_counter_tracks_are_the_levels_of_the_timeline_within_their_capacity(program: Program, level: Level) -> None:
    timeline = sentence_timeline(simulate_sentence(program), program.n_layers)
    events = json.loads(chrome_trace_json(timeline, level))["traceEvents"]
    tracks: dict[str, list[tuple[int, int]]] = {}
    for event in events:
        if event["ph"] == "C":
            tracks.setdefault(event["name"], []).append((round(event["ts"] * 1000), event["args"]["level"]))
    assert tracks.keys() == {counter.name for counter in timeline.counters}
    for counter in timeline.counters:
        changes = zip(counter.cycles, counter.levels, strict=True)
        wanted = {0: 0} | {5 * cycle: level for cycle, level in changes}  # a cycle is 5 ns
        assert tracks[counter.name] == list(wanted.items())
        assert all(level >= 0 for _, level in tracks[counter.name])
    assert all(0 <= level <= program.accelerator.n_weight_buffers for _, level in tracks.get(PANELS, []))


@given(programs(), st.sampled_from(get_args(Level)))
@LAWS
def test_engines_behind_each_other_are_processes(program: Program, level: Level) -> None:
    design = replace(program.accelerator, mapping="spatial", n_engines=program.n_layers)
    run = simulate_sentence(compile_program(program.workload, design, program.channel, DECISION))
    events = chrome_trace(sentence_timeline(run, program.n_layers), level)["traceEvents"]
    names = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    several = design.n_engines > 1
    assert names == {
        1 + g: f"hexit {design.name}{f', engine {1 + g}' if several else ''}" for g in range(design.n_engines)
    }
    assert {event["pid"] for event in events if event["ph"] == "X"} == set(names)
