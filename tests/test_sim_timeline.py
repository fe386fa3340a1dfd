from __future__ import annotations

import json
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import DECISION, LAWS, programs

from hw_model.accelerator import load_design
from hw_model.memory import MemoryChannel
from quant.config import QuantConfig
from quant.errors import ConfigError
from quant.records import from_json, to_json
from quant.workload import ALBERT_BASE, encoder_workload
from sim.schedule import UNIT_NAMES, Program, compile_program
from sim.stream import SentenceRun, exit_table, simulate_sentence
from sim.timeline import Level, Timeline, chrome_trace, chrome_trace_json, sentence_timeline


def albert_run() -> SentenceRun:
    workload = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 64)
    channel = MemoryChannel(bytes_per_cycle=64.0, latency_cycles=20)
    program = compile_program(workload, load_design("default"), channel, DECISION)
    return simulate_sentence(program)


@given(programs(), st.data())
@LAWS
def test_intervals_on_a_unit_never_overlap_and_add_up(program: Program, data: st.DataObject) -> None:
    exit_layer = data.draw(st.integers(1, program.n_layers))
    timeline = sentence_timeline(simulate_sentence(program), exit_layer)
    table = exit_table(program)
    for unit, name in enumerate(UNIT_NAMES):
        mine = [i for i in timeline.intervals if i.unit == name]
        assert all(before.end_cycle <= after.start_cycle for before, after in pairwise(mine))
        kept = sum(i.end_cycle - i.start_cycle for i in mine if not i.squashed)
        lost = sum(i.end_cycle - i.start_cycle for i in mine if i.squashed)
        assert kept == table.busy_cycles[exit_layer - 1, unit]
        assert lost == table.wasted_cycles[exit_layer - 1, unit]
    assert all(0 <= i.start_cycle <= i.end_cycle <= i.ready_cycle <= timeline.total_cycles for i in timeline.intervals)
    assert sum(i.macs for i in timeline.intervals if not i.squashed) == table.macs[exit_layer - 1]
    assert sum(i.n_bytes for i in timeline.intervals if not i.squashed) == table.off_chip_bytes[exit_layer - 1]
    assert (
        max(i.ready_cycle for i in timeline.intervals) == timeline.total_cycles == table.latency_cycles[exit_layer - 1]
    )


@given(programs(), st.data())
@LAWS
def test_an_arrow_starts_at_a_result_and_ends_where_it_is_used(program: Program, data: st.DataObject) -> None:
    exit_layer = data.draw(st.integers(1, program.n_layers))
    timeline = sentence_timeline(simulate_sentence(program), exit_layer)
    for flow in timeline.flows:
        source, target = timeline.intervals[flow.source], timeline.intervals[flow.target]
        assert target.squashed or source.ready_cycle <= target.start_cycle
        assert (source.unit == "dma") == (flow.kind == "weights")
    decisions = [i for i in timeline.intervals if i.unit == "decision" and not i.squashed]
    assert len(decisions) == exit_layer
    assert sum(flow.kind == "exit" for flow in timeline.flows) == 3 * exit_layer


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
    assert len(tiles) > 5 * len(ops)
    assert json.loads(ops)["otherData"] == {
        "design": "default",
        "clock_mhz": 200.0,
        "exit_layer": 2,
        "total_cycles": timeline.total_cycles,
        "level": "op",
    }
    last = max((e for e in json.loads(tiles)["traceEvents"] if e["ph"] == "X"), key=lambda e: e["args"]["ready_cycle"])
    assert (last["name"], last["args"]["ready_cycle"]) == ("decision", timeline.total_cycles)


def test_a_timeline_survives_json() -> None:
    timeline = sentence_timeline(albert_run(), 1)
    assert from_json(Timeline, to_json(timeline)) == timeline


@pytest.mark.parametrize("exit_layer", [0, 13])
def test_an_exit_that_does_not_exist_has_no_timeline(exit_layer: int) -> None:
    with pytest.raises(ConfigError, match=rf"exit_layer = {exit_layer}: must be one of the exits"):
        sentence_timeline(albert_run(), exit_layer)
