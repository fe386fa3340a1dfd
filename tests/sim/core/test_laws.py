"""Laws of whole streams, under every policy: stall, speculate, interleave, and spatial pipelines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.gemm import roofline_cycles
from hexit.hw_model.memory.channel import MemoryChannel
from hexit.quant.errors import DoesNotFit
from hexit.quant.workload import Workload
from hexit.sim.core.compile import compile_program
from hexit.sim.core.program import Program
from hexit.sim.core.queueing import SERVED
from support.strategies import DECISION, LAWS, channels, designs, exits_of, workloads
from support.streams import stream_of, table_of


@st.composite
def policies(draw: st.DrawFn, n_layers: int) -> dict[str, Any]:
    mapping = draw(st.sampled_from(["temporal", "spatial"]))
    if mapping == "temporal":
        overlap = draw(st.sampled_from(["stall", "speculate", "interleave"]))
        return {"exit_overlap": overlap, "n_interleaved": draw(st.integers(2, 3)) if overlap == "interleave" else 1}
    return {
        "mapping": "spatial",
        "n_engines": draw(st.integers(1, n_layers)),
        "fifo_sentences": draw(st.integers(1, 3)),
        "result_order": draw(st.sampled_from(["as_finished", "in_order"])),
        "exit_overlap": draw(st.sampled_from(["stall", "speculate"])),
    }


@st.composite
def streams(draw: st.DrawFn) -> tuple[Program, list[int], list[int] | None]:
    """A program under any policy, exits, and arrivals (None: a closed loop)."""
    workload = draw(workloads())
    design = replace(draw(designs()), **draw(policies(workload.shape.n_layers)))
    program = compiled(workload, design, draw(channels()))
    leaves = draw(exits_of(program))
    gaps = draw(st.none() | st.lists(st.integers(0, 3000), min_size=len(leaves), max_size=len(leaves)))
    return program, leaves, None if gaps is None else np.cumsum(gaps).tolist()


def compiled(workload: Workload, design: Accelerator, channel: MemoryChannel) -> Program:
    try:
        return compile_program(workload, design, channel, DECISION)
    except DoesNotFit:
        assume(False)
        raise


@pytest.mark.slow
@given(streams())
@LAWS
def test_nothing_is_negative_and_nobody_is_served_before_he_comes(
    stream: tuple[Program, list[int], list[int] | None],
) -> None:
    program, leaves, arrivals = stream
    found = stream_of(program, leaves, arrivals)
    assert (found.verdict == SERVED).all()
    assert (found.arrival_cycle <= found.start_cycle).all()
    assert (found.start_cycle < found.finish_cycle).all()
    assert (found.latency_cycles == found.finish_cycle - found.arrival_cycle).all()
    assert min(found.busy_cycles.min(), found.wasted_cycles.min(), found.wasted_macs, found.wasted_bytes) >= 0


@given(streams())
@LAWS
def test_no_stream_beats_the_rooflines_and_units_work_one_thing_at_a_time(
    stream: tuple[Program, list[int], list[int] | None],
) -> None:
    program, leaves, arrivals = stream
    found = stream_of(program, leaves, arrivals)
    engines, workload = program.accelerator.n_engines, program.workload
    on_arrays = len(leaves) * workload.prologue_macs + sum(leaves) * workload.layer_macs
    assert found.total_cycles * engines >= (roofline_cycles(on_arrays, program.accelerator) or 0)
    assert (found.busy_cycles + found.wasted_cycles <= found.total_cycles * engines).all()
    assert found.total_cycles >= found.off_chip_bytes / program.channel.bytes_per_cycle


@given(streams())
@LAWS
def test_work_is_that_of_the_sentences_whatever_the_policy(
    stream: tuple[Program, list[int], list[int] | None],
) -> None:
    program, leaves, arrivals = stream
    found = stream_of(program, leaves, arrivals)
    assert found.macs == sum(program.workload.sentence_macs(layer) for layer in leaves)
    groups = (program.prologue, program.layer, program.exit)
    times = (len(leaves), sum(leaves), sum(leaves))
    assert found.off_chip_bytes == sum(n * int(g.n_bytes.sum()) for g, n in zip(groups, times, strict=True))


@given(streams(), st.floats(1.0, 8.0))
@LAWS
def test_more_bandwidth_is_never_slower_in_a_closed_loop(
    stream: tuple[Program, list[int], list[int] | None], factor: float
) -> None:
    program, leaves, _ = stream
    wide = replace(program.channel, bytes_per_cycle=program.channel.bytes_per_cycle * factor)
    faster = compile_program(program.workload, program.accelerator, wide, DECISION)
    assert (stream_of(faster, leaves).finish_cycle <= stream_of(program, leaves).finish_cycle).all()


@given(workloads(), designs(), channels())
@LAWS
def test_speculation_is_never_slower_than_stalling_for_a_lone_sentence(
    workload: Workload, design: Accelerator, channel: MemoryChannel
) -> None:
    stalls, speculates = (
        table_of(compiled(workload, replace(design, exit_overlap=overlap), channel))
        for overlap in ("stall", "speculate")
    )
    assert (speculates.latency_cycles <= stalls.latency_cycles).all()
    assert (stalls.wasted_cycles == 0).all()
