from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.design_files import load_design
from hexit.hw_model.memory.channel import MemoryChannel
from hexit.quant.config import QuantConfig
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import encoder_workload, op_macs
from hexit.sim.analysis.roofline import LAYERS, SENTENCES, roofline
from hexit.sim.analysis.timeline import sentence_timeline
from hexit.sim.core.compile import compile_program
from hexit.sim.core.lone_sentence import simulate_sentence
from hexit.sim.core.program import Program
from hexit.sim.plots.roofline import draw_roofline
from hexit.sim.plots.run import pictures_of
from support.command_line import Simulate
from support.outcomes import SPATIAL, STREAMED, drawn, marks, outcome
from support.strategies import DECISION, LAWS, exits_of, programs
from support.streams import stream_of


@pytest.mark.slow
@given(programs(), st.data())
@LAWS
def test_a_point_is_what_its_op_does_in_the_cycles_in_which_a_task_of_it_runs(
    program: Program, data: st.DataObject
) -> None:
    run, exit_layer = simulate_sentence(program), data.draw(st.integers(1, program.n_layers))
    timeline = sentence_timeline(run, exit_layer)
    kept = [interval for interval in timeline.intervals if not interval.squashed]
    running: dict[str, set[int]] = {}
    for interval in kept:
        running.setdefault(interval.op, set()).update(range(interval.start_cycle, interval.end_cycle))
    *ops, layers, _ = roofline(run, exit_layer, stream_of(program, [exit_layer])).points
    groups = (*program.workload.prologue, *program.workload.layer, *program.workload.exit)
    products = {op.name for op in groups if op_macs(op)}
    assert sorted(name for point in ops for name in point.names) == sorted(products)
    for point in ops:
        for name in point.names:
            mine = [interval for interval in kept if interval.op == name]
            assert point.macs == sum(interval.macs for interval in mine)
            assert point.n_bytes == sum(interval.n_bytes for interval in mine)
            assert point.cycles == len(running[name])
            assert point.unit == ("head" if name in program.exit.op_names else "array")
    inside = [interval for interval in kept if interval.layer > 0]
    assert (layers.names, layers.unit) == ((LAYERS,), "engine")
    assert layers.macs == sum(interval.macs for interval in inside)
    assert layers.n_bytes == sum(interval.n_bytes for interval in inside)
    assert layers.cycles == timeline.total_cycles - min(interval.start_cycle for interval in inside)


@given(programs(), st.data())
@LAWS
def test_no_point_lies_above_its_roof(program: Program, data: st.DataObject) -> None:
    leaves = data.draw(exits_of(program))
    stream = stream_of(program, leaves)
    found = roofline(simulate_sentence(program), leaves[0], stream)
    assert (found.array_macs, found.bytes_per_cycle) == (program.accelerator.n_macs, program.channel.bytes_per_cycle)
    assert found.head_macs <= program.accelerator.head_lanes
    for point in found.points:
        assert 0 < point.macs <= (1 + 1e-12) * found.roof(point) * point.cycles


def test_a_roof_is_the_lower_of_compute_and_memory() -> None:
    design = replace(load_design("default"), weight_placement="streamed")
    workload = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 128)
    channel = MemoryChannel(bytes_per_cycle=64.0, latency_cycles=20)
    program = compile_program(workload, design, channel, DECISION)
    found = roofline(simulate_sentence(program), 1, stream_of(program, [1]))
    points = {name: point for point in found.points for name in point.names}
    assert found.roof(points["scores"]) == 1024  # no bytes: 32 x 32 MACs alone
    assert found.roof(points["ffn_in"]) == 1024  # 128 MACs for each byte of 64 per cycle
    assert found.roof(points["head"]) == 64.0 * points["head"].macs_per_byte < 64  # a row meets each weight once
    assert np.isinf(points["scores"].macs_per_byte)
    assert found.roof(points[SENTENCES]) == found.roof(points[LAYERS]) == 1024 + 64
    several = replace(found, n_engines=3, bytes_per_cycle=math.inf)
    assert [several.roof(points[name]) for name in (SENTENCES, LAYERS, "ffn_in", "head")] == [3 * 1088, 1088, 1024, 64]


@pytest.mark.parametrize(
    "design",
    [{}, STREAMED, STREAMED | {"memory_efficiency_fraction": 0.01}, SPATIAL],
)
def test_the_picture_shows_every_point_where_it_is_and_its_share_of_the_roof(design: dict[str, Any]) -> None:
    found = outcome(**design)
    points = roofline(found.sentence.run, found.sentence.exit_layer, found.with_exits.result)
    left, strip, shares = drawn(draw_roofline, found).axes
    marked = [marks(axes) for axes in (left, strip, shares)]
    clock_mhz, inside = found.setup.design.clock_mhz, [point for point in points.points if not point.n_bytes]
    wanted = [(p.macs_per_byte, p.gmac_s(clock_mhz)) for p in points.points if p.n_bytes]
    assert marked[0] == wanted
    assert marked[1] == [(place, point.gmac_s(clock_mhz)) for place, point in enumerate(inside, 1)]
    assert marked[2] == [
        (100 * point.macs / point.cycles / points.roof(point), row) for row, point in enumerate(points.points)
    ]
    assert all(0 < share <= 100 + 1e-9 for share, _ in marked[2])
    roof = max(left.lines, key=lambda line: np.size(line.get_xdata()))
    gb_s = points.bytes_per_cycle * clock_mhz / 1000
    peak = points.n_engines * points.array_macs * clock_mhz / 1000
    x, y = (np.asarray(values) for values in roof.get_data())
    assert y.tolist() == pytest.approx([gb_s * x[0], peak, peak])
    assert x[1] == peak / gb_s


def test_the_roof_of_a_stage_is_that_of_its_own_arrays(simulated: Simulate) -> None:
    found = simulated(design="hls-bert-u280-opt6")
    points = roofline(found.sentence.run, found.sentence.exit_layer, found.with_exits.result)
    by_name = {name: point for point in points.points for name in point.names}
    assert [by_name[name].array_macs for name in ("query", "attention", "ffn_in", LAYERS)] == [512, 512, 1024, 4608]
    assert points.roof(by_name["ffn_in"]) == 1024
    assert all(point.macs <= (1 + 1e-12) * points.roof(point) * point.cycles for point in points.points)


def test_loop_nests_have_no_roofline(simulated: Simulate) -> None:
    assert "roofline" not in pictures_of(simulated(design="protea-u55c"))
