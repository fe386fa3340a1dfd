"""Small random encoders, designs and memories, and the settings of every law."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import DATAFLOWS, PRESETS, CycleForm, FoldTiming
from hexit.hw_model.memory.channel import MemoryChannel
from hexit.hw_model.task_cycles import TaskCycles
from hexit.hw_model.vector import VECTOR_PRESETS
from hexit.quant.config import EncoderShape, QuantConfig
from hexit.quant.workload import Workload, encoder_workload
from hexit.sim.core.compile import compile_program
from hexit.sim.core.program import Program
from support.examples import examples

DECISION = TaskCycles(occupancy_cycles=1, latency_cycles=2)  # two logits, one compare
LAWS = examples(40)


@st.composite
def shapes(draw: st.DrawFn) -> EncoderShape:
    n_heads, head_size = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    hidden_size = n_heads * head_size
    n_layers, factorised = draw(st.integers(1, 4)), draw(st.booleans())
    return EncoderShape(
        n_layers=n_layers,
        hidden_size=hidden_size,
        n_heads=n_heads,
        ffn_size=draw(st.integers(1, 16)),
        embedding_size=draw(st.integers(1, 6)) if factorised else hidden_size,
        vocabulary_size=20,
        n_positions=16,
        n_token_types=2,
        n_layer_groups=draw(st.sampled_from([n for n in range(1, n_layers + 1) if n_layers % n == 0])),
        factorised_embedding=factorised,
        n_classes=draw(st.integers(1, 5)),
        pooler=draw(st.booleans()),
        pooling=draw(st.sampled_from(["first", "mean"])),
        shared_head=draw(st.booleans()),
    )


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    quant = QuantConfig(
        weight_bits=draw(st.sampled_from([2, 3, 4, 8, 16])), activation_bits=draw(st.sampled_from([4, 8, 16]))
    )
    return encoder_workload(draw(shapes()), quant, draw(st.integers(1, 9)))


def forms() -> st.SearchStrategy[CycleForm]:
    counts = st.integers(0, 2)
    return st.builds(CycleForm, rows=counts, columns=counts, constant=st.integers(-2, 3))


def fold_timings() -> st.SearchStrategy[FoldTiming]:
    return st.builds(
        FoldTiming,
        load=forms(),
        fill=forms(),
        drain=forms(),
        control=forms(),
        overlap_folds=st.booleans(),
        weight_load_overlap=st.booleans(),
        depth_cycles=st.integers(0, 4),
        stages_operands=st.booleans(),
        counts_from_zero=st.booleans(),
    )


@st.composite
def array_keys(draw: st.DrawFn) -> dict[str, Any]:
    """Keys of a design's arrays: a data flow, several arrays, and one of the three ways to tell what a fold costs."""
    dataflow = draw(st.sampled_from(DATAFLOWS))
    told: dict[str, Any] = draw(
        st.sampled_from(
            [
                {"fold_overhead_cycles": draw(st.integers(0, 3)), "overlap_folds": draw(st.booleans())},
                {"array_preset": draw(st.sampled_from([name for name in PRESETS if dataflow in PRESETS[name]]))},
                {"fold": draw(fold_timings())},
            ]
        )
    )
    dot_products = draw(st.integers(1, 3)) if dataflow == "output_stationary" else 1
    return {"dataflow": dataflow, "n_arrays": draw(st.integers(1, 4)), "products_per_position": dot_products, **told}


@st.composite
def designs(draw: st.DrawFn) -> Accelerator:
    def upto(largest: int, smallest: int = 1) -> int:
        return draw(st.integers(smallest, largest))

    return Accelerator(
        name="random",
        device="zcu102",
        clock_mhz=200.0,
        array_rows=upto(5),
        array_columns=upto(5),
        softmax_lanes=upto(6),
        layer_norm_lanes=upto(6),
        gelu_lanes=upto(6),
        add_lanes=upto(6),
        head_lanes=upto(6),
        softmax_depth_cycles=upto(5, 0),
        layer_norm_depth_cycles=upto(5, 0),
        gelu_depth_cycles=upto(5, 0),
        add_depth_cycles=upto(5, 0),
        head_depth_cycles=upto(5, 0),
        vector_preset=draw(st.sampled_from(list(VECTOR_PRESETS))),
        requantisation_lanes=draw(st.none() | st.integers(1, 6)),
        requantisation_depth_cycles=upto(4, 0),
        weight_buffer_kib=64,
        activation_buffer_kib=64,
        weight_placement=draw(st.sampled_from(["auto", "streamed"])),
        n_weight_buffers=upto(3),
        exit_overlap=draw(st.sampled_from(["stall", "speculate"])),
        **draw(array_keys()),
    )


def in_every_data_flow(design: Accelerator) -> list[Accelerator]:
    """The same arrays with each data flow; without a preset, which is that of one, and without dot products."""
    return [replace(design, dataflow=flow, array_preset=None, products_per_position=1) for flow in DATAFLOWS]


@st.composite
def channels(draw: st.DrawFn) -> MemoryChannel:
    return MemoryChannel(
        bytes_per_cycle=draw(st.sampled_from([0.5, 1.0, 3.3, 16.0, 64.0])), latency_cycles=draw(st.integers(0, 20))
    )


@st.composite
def programs(draw: st.DrawFn) -> Program:
    workload = draw(workloads())
    decision = TaskCycles(occupancy_cycles=1, latency_cycles=draw(st.integers(1, 20)))
    return compile_program(workload, draw(designs()), draw(channels()), decision)


@st.composite
def exits_of(draw: st.DrawFn, program: Program) -> list[int]:
    return draw(st.lists(st.integers(1, program.n_layers), min_size=1, max_size=6))
