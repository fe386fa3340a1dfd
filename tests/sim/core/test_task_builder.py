"""Programs are those of the straightforward compiler (tests/support/oracles_compile.py), entry by entry."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hexit.sim.core.compile
import support.oracles_compile
from hexit.hw_model.accelerator import Accelerator, list_designs, load_design
from hexit.hw_model.array import DATAFLOWS, Dataflow
from hexit.hw_model.device import load_device
from hexit.hw_model.memory.channel import MemoryChannel, Requests, device_channel
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.config import QuantConfig
from hexit.quant.errors import DoesNotFit
from hexit.quant.shapes import ALBERT_BASE, SHAPES
from hexit.quant.workload import ExitHead, Gelu, LayerNorm, MatMul, Op, Softmax, Workload, encoder_workload
from hexit.sim.core.compile import compile_ops, compile_program
from support.examples import examples
from support.op_programs import INT8, product
from support.oracles_compile import assert_same_tasks, naive_ops, naive_program
from support.strategies import DECISION, channels, designs, in_every_data_flow, workloads

DEFAULT = load_design("default")
SIZE = st.integers(1, 12)


@st.composite
def requesting_channels(draw: st.DrawFn) -> MemoryChannel:
    """Channels whose requests count, beside those of `channels`."""
    latency = draw(st.integers(0, 20))
    requests = Requests(
        burst_bytes=draw(st.integers(1, 64)),
        n_outstanding=draw(st.integers(1, 4)),
        data_bytes_per_cycle=draw(st.sampled_from([0.3, 1.0, 3.3, 16.0])),
    )
    rate = requests.bytes_per_cycle(latency)
    return MemoryChannel(bytes_per_cycle=rate, latency_cycles=latency, requests=requests)


def built_heads() -> st.SearchStrategy[TaskCycles | None]:
    return st.none() | st.builds(
        lambda busy, more: TaskCycles(occupancy_cycles=busy, latency_cycles=busy + more),
        st.integers(0, 9),
        st.integers(0, 30),
    )


@given(workloads(), designs(), channels() | requesting_channels(), built_heads(), st.integers(0, 9))
@examples(300)
def test_a_program_is_that_of_the_straightforward_compiler(
    workload: Workload, design: Accelerator, channel: MemoryChannel, head: TaskCycles | None, wait: int
) -> None:
    decision = TaskCycles(occupancy_cycles=1, latency_cycles=1 + wait)
    program = compile_program(workload, design, channel, decision, head)
    expected = naive_program(workload, design, channel, decision, head)
    assert program.placement == expected.placement
    for tasks, same in zip(program.groups, expected.groups, strict=True):
        assert_same_tasks(tasks, same)


@given(workloads(), designs(), channels(), st.integers(1, 5), st.booleans())
@examples(100)
def test_merged_folds_are_those_of_the_straightforward_compiler(
    workload: Workload, design: Accelerator, channel: MemoryChannel, merged: int, streamed: bool
) -> None:
    """However many folds make a tile, for every data flow, with results that queue for the lanes."""
    rows = workload.sequence_length
    for flow in in_every_data_flow(replace(design, requantisation_lanes=1)):
        given = {"rows": rows, "streamed": streamed, "merged": merged}
        ours = compile_ops(workload.layer, workload.quant, flow, channel, **given)
        assert_same_tasks(ours, naive_ops(workload.layer, workload.quant, flow, channel, **given))


@given(SIZE, SIZE, SIZE, st.integers(1, 4), designs(), st.integers(1, 4), st.booleans(), channels())
@examples(200)
def test_chains_of_ops_are_those_of_the_straightforward_compiler(
    m: int, k: int, n: int, count: int, design: Accelerator, merged: int, streamed: bool, channel: MemoryChannel
) -> None:
    """Heads that read heads, joint results and each other's transposes; readers narrower than what they read."""
    heads: tuple[Op, ...] = (
        MatMul(name="joint", m=m, k=k, n=count * n, weights=True),
        product(m, k, n, count),
        Softmax(name="soft", rows=m, columns=n, count=count, inputs=("x",)),
        MatMul(name="q", m=m, k=n, n=m, count=count, weights=False, transposed=True, inputs=("joint", "soft")),
        Softmax(name="again", rows=m, columns=m, count=count, inputs=("q",)),
        MatMul(name="v", m=m, k=m, n=n, count=count, weights=False, inputs=("again", "joint")),
        MatMul(name="out", m=m, k=count * n, n=n, weights=True, inputs=("v",)),
        LayerNorm(name="norm", rows=m, columns=n, inputs=("out",)),
    )
    for last in range(1, len(heads) + 1):
        given = {"rows": m, "streamed": streamed, "merged": merged}
        ours = compile_ops(heads[:last], INT8, design, channel, **given)
        assert_same_tasks(ours, naive_ops(heads[:last], INT8, design, channel, **given))
