"""Programs are those of the straightforward compiler (tests/support/oracles_compile.py), entry by entry."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hexit.sim.core.compile
import support.oracles_compile
from hexit.hw_model.accelerator import Accelerator, PlacementPolicy
from hexit.hw_model.array import DATAFLOWS, Dataflow, FoldTiming
from hexit.hw_model.design_files import list_designs, load_design
from hexit.hw_model.device import load_device
from hexit.hw_model.memory.channel import MemoryChannel, Requests, device_channel
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.config import QuantConfig
from hexit.quant.errors import DoesNotFit
from hexit.quant.shapes import ALBERT_BASE, SHAPES
from hexit.quant.workload import Embed, ExitHead, Gelu, LayerNorm, MatMul, Op, Softmax, Workload, encoder_workload
from hexit.sim.core.compile import compile_ops, compile_program
from hexit.sim.core.program import TaskProgram
from support.examples import examples
from support.op_programs import INT8, product
from support.oracles_compile import assert_same_tasks, naive_ops, naive_program
from support.strategies import DECISION, channels, designs, in_every_data_flow, workloads

DEFAULT = load_design("default")
CHANNEL = MemoryChannel(bytes_per_cycle=16.0, latency_cycles=30)
SMALL = encoder_workload(  # several of everything on the default design's arrays
    replace(ALBERT_BASE, n_layers=4, hidden_size=96, n_heads=3, ffn_size=160, embedding_size=64), INT8, 48
)
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


@pytest.mark.slow
@given(workloads(), designs(), channels() | requesting_channels(), built_heads(), st.integers(0, 9))
@examples(150)
def test_a_program_is_that_of_the_straightforward_compiler(
    workload: Workload, design: Accelerator, channel: MemoryChannel, head: TaskCycles | None, wait: int
) -> None:
    decision = TaskCycles(occupancy_cycles=1, latency_cycles=1 + wait)
    program = compile_program(workload, design, channel, decision, head)
    expected = naive_program(workload, design, channel, decision, head)
    assert program.placement == expected.placement
    for tasks, same in zip(program.groups, expected.groups, strict=True):
        assert_same_tasks(tasks, same)


@pytest.mark.slow
@given(workloads(), designs(), channels(), st.integers(1, 5), st.booleans())
@examples(40)
def test_merged_folds_are_those_of_the_straightforward_compiler(
    workload: Workload, design: Accelerator, channel: MemoryChannel, merged: int, streamed: bool
) -> None:
    """However many folds make a tile, for every data flow, with results that queue for the lanes."""
    rows = workload.sequence_length
    for flow in in_every_data_flow(replace(design, requantisation_lanes=1)):
        given: dict[str, Any] = {"rows": rows, "streamed": streamed, "merged": merged}
        ours = compile_ops(workload.layer, workload.quant, flow, channel, **given)
        assert_same_tasks(ours, naive_ops(workload.layer, workload.quant, flow, channel, **given))


@pytest.mark.slow
@given(SIZE, SIZE, SIZE, st.integers(1, 4), designs(), st.integers(1, 4), st.booleans(), channels())
@examples(60)
def test_chains_of_ops_are_those_of_the_straightforward_compiler(
    m: int, k: int, n: int, count: int, design: Accelerator, merged: int, streamed: bool, channel: MemoryChannel
) -> None:
    """Heads that read heads, joint results and each other's transposes; every op as the last one of its group."""
    ops: tuple[Op, ...] = (
        Embed(name="embed", rows=m, columns=k, n_tables=2),
        MatMul(name="joint", m=m, k=k, n=count * n, weights=True, inputs=("embed",)),
        product(m, k, n, count),
        Softmax(name="soft", rows=m, columns=n, count=count, inputs=("x",)),
        MatMul(name="q", m=m, k=n, n=m, count=count, weights=False, transposed=True, inputs=("joint", "soft")),
        Softmax(name="again", rows=m, columns=m, count=count, inputs=("q",)),
        MatMul(name="v", m=m, k=m, n=n, count=count, weights=False, inputs=("again", "joint")),
        MatMul(name="out", m=m, k=count * n, n=n, weights=True, inputs=("v",)),
        Gelu(name="gelu", rows=m, columns=n, inputs=("out",)),
        LayerNorm(name="norm", rows=m, columns=n, inputs=("gelu",)),
        ExitHead(name="head", hidden_size=n, n_classes=3, pooler=streamed, pooled_rows=m, inputs=("norm",)),
    )
    for last in range(1, len(ops) + 1):
        given: dict[str, Any] = {"rows": m, "streamed": streamed, "merged": merged}
        ours = compile_ops(ops[:last], INT8, design, channel, **given)
        assert_same_tasks(ours, naive_ops(ops[:last], INT8, design, channel, **given))


@pytest.mark.parametrize("name", list_designs())
def test_programs_of_whole_networks_are_those_of_the_straightforward_compiler(name: str) -> None:
    design = load_design(name)
    channel = device_channel(design, load_device(design.device))
    n_fitting = 0
    for shape, bits, length in itertools.product(SHAPES.values(), (4, 8), (33, 128)):
        workload = encoder_workload(shape, QuantConfig.uniform(bits), length)
        try:
            program = compile_program(workload, design, channel, DECISION)
        except DoesNotFit:
            continue
        n_fitting += 1
        for ours, theirs in zip(program.groups, naive_program(workload, design, channel, DECISION).groups, strict=True):
            assert_same_tasks(ours, theirs)
    assert n_fitting > 0


@pytest.mark.parametrize("n_arrays", [1, 3])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_a_program_that_is_too_long_is_that_of_the_straightforward_compiler(
    monkeypatch: pytest.MonkeyPatch, dataflow: Dataflow, n_arrays: int
) -> None:
    monkeypatch.setattr(hexit.sim.core.compile, "MAX_TASKS", 700)
    monkeypatch.setattr(support.oracles_compile, "MAX_TASKS", 700)
    design = replace(DEFAULT, dataflow=dataflow, n_arrays=n_arrays)
    workload = encoder_workload(ALBERT_BASE, INT8, 128)
    program = compile_program(workload, design, CHANNEL, DECISION)
    for ours, theirs in zip(program.groups, naive_program(workload, design, CHANNEL, DECISION).groups, strict=True):
        assert_same_tasks(ours, theirs)


CHANGES: dict[str, dict[str, Any]] = {  # a design that differs from SMALL in every one of its keys, one at a time
    "name": {"name": "another"},
    "device": {"device": "u280"},
    "clock_mhz": {"clock_mhz": 100.0},
    "array_rows": {"array_rows": 5},
    "array_columns": {"array_columns": 3},
    "n_arrays": {"n_arrays": 2},
    "products_per_position": {"products_per_position": 2},
    "dataflow": {"dataflow": "weight_stationary"},
    "overlap_folds": {"overlap_folds": False},
    "fold_overhead_cycles": {"fold_overhead_cycles": 1},
    "array_preset": {"array_preset": "hls_dataflow", "fold_overhead_cycles": 0},
    "fold": {"fold": FoldTiming(depth_cycles=3), "fold_overhead_cycles": 0},
    "macs_per_dsp": {"macs_per_dsp": 2},
    "softmax_lanes": {"softmax_lanes": 2},
    "layer_norm_lanes": {"layer_norm_lanes": 2},
    "gelu_lanes": {"gelu_lanes": 2},
    "add_lanes": {"add_lanes": 2},
    "head_lanes": {"head_lanes": 2},
    "softmax_depth_cycles": {"softmax_depth_cycles": 1},
    "layer_norm_depth_cycles": {"layer_norm_depth_cycles": 1},
    "gelu_depth_cycles": {"gelu_depth_cycles": 1},
    "add_depth_cycles": {"add_depth_cycles": 1},
    "head_depth_cycles": {"head_depth_cycles": 1},
    "vector_preset": {"vector_preset": "float_hls"},
    "requantisation_lanes": {"requantisation_lanes": 1},
    "requantisation_depth_cycles": {"requantisation_depth_cycles": 2},
    "control_lut": {"control_lut": 1},
    "control_ff": {"control_ff": 1},
    "weight_buffer_kib": {"weight_buffer_kib": 1000},
    "activation_buffer_kib": {"activation_buffer_kib": 1000},
    "weight_placement": {"weight_placement": "streamed"},
    "n_weight_buffers": {"n_weight_buffers": 3},
    "memory_efficiency_fraction": {"memory_efficiency_fraction": 0.5},
    "memory_latency_ns": {"memory_latency_ns": 1000.0},
    "memory_channels": {"memory_channels": 1},
    "memory_port_bits": {"memory_port_bits": 32},
    "memory_burst_beats": {"memory_burst_beats": 2},
    "memory_outstanding": {"memory_outstanding": 1},
    "mapping": {"mapping": "spatial", "n_engines": 2},
    "n_engines": {"mapping": "spatial", "n_engines": 3},
    "engine_layers": {"mapping": "spatial", "n_engines": 2, "engine_layers": (1, 3)},
    "fifo_sentences": {"fifo_sentences": 2},
    "result_order": {"result_order": "in_order"},
    "exit_overlap": {"exit_overlap": "speculate"},
    "n_interleaved": {"exit_overlap": "interleave", "n_interleaved": 2},
    "share_weights": {"exit_overlap": "interleave", "n_interleaved": 2, "share_weights": True},
}


@pytest.mark.parametrize("key", CHANGES)
@pytest.mark.parametrize("placement", ["auto", "streamed"])
def test_what_designs_share_is_right_for_each_of_them(key: str, placement: PlacementPolicy) -> None:
    """A program is remembered for one design, then asked for another that differs in one key."""
    first = replace(DEFAULT, weight_placement=placement)
    second = replace(first, **CHANGES[key])
    assert key == "weight_placement" or getattr(second, key) != getattr(first, key)
    for design in (first, second, first):
        channel = device_channel(design, load_device(design.device))
        program = compile_program(SMALL, design, channel, DECISION)
        for ours, theirs in zip(program.groups, naive_program(SMALL, design, channel, DECISION).groups, strict=True):
            assert_same_tasks(ours, theirs)


def test_every_key_of_a_design_is_changed() -> None:
    names = [field.name for field in fields(Accelerator)]
    first = names.index("regions")  # from there on they are of stages, which have programs of their own, or of papers
    assert list(CHANGES) == names[:first]


def test_designs_that_differ_in_clock_rule_or_exits_share_their_tasks() -> None:
    """Streamed transfers take other cycles at another clock, everything else is the same memory."""
    slow = replace(DEFAULT, clock_mhz=50.0, exit_overlap="speculate", memory_outstanding=4)
    programs = [
        compile_program(SMALL, design, device_channel(design, load_device(design.device)), decision)
        for design, decision in ((DEFAULT, DECISION), (slow, TaskCycles(occupancy_cycles=1, latency_cycles=9)))
    ]
    for name in ("unit", "first_dependency", "dependency", "exports", "op", "panel", "macs", "n_bytes"):
        assert np.shares_memory(*(getattr(program.layer, name) for program in programs))
        assert not getattr(programs[0].layer, name).flags.writeable
    first, second = (program.prologue.latency_cycles.tolist() for program in programs)
    assert first != second
    assert programs[0].exit.latency_cycles[-1] != programs[1].exit.latency_cycles[-1]


def test_a_long_program_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    def layer() -> TaskProgram:
        return compile_program(SMALL, DEFAULT, CHANNEL, DECISION).layer

    assert np.shares_memory(layer().unit, layer().unit)
    monkeypatch.setattr(hexit.sim.core.compile, "MAX_SHARED_TASKS", 1)
    first, second = layer(), layer()
    assert not np.shares_memory(first.unit, second.unit)
    assert_same_tasks(first, second)
