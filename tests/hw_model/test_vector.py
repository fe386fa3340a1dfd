from __future__ import annotations

from dataclasses import replace

import pytest

from hexit.hw_model.accelerator import VectorPreset, load_design
from hexit.hw_model.task_cycles import TaskCycles
from hexit.hw_model.vector import (
    VECTOR_PRESETS,
    elementwise_cycles,
    exit_head_cycles,
    layer_norm_cycles,
    pooling_cycles,
    softmax_cycles,
)
from hexit.quant.workload import Add, Embed, ExitHead, Gelu, LayerNorm, Softmax

DESIGN = replace(
    load_design("default"),
    array_columns=8,
    softmax_lanes=4,
    layer_norm_lanes=4,
    gelu_lanes=3,
    add_lanes=8,
    head_lanes=4,
    softmax_depth_cycles=10,
    layer_norm_depth_cycles=20,
    gelu_depth_cycles=5,
    add_depth_cycles=2,
    head_depth_cycles=7,
)


def test_softmax_takes_three_passes_over_every_row_of_every_head() -> None:
    cost = softmax_cycles(Softmax(name="s", rows=5, columns=9, count=2), DESIGN)
    assert cost == TaskCycles(occupancy_cycles=3 * 2 * 5 * 3, latency_cycles=3 * 2 * 5 * 3 + 10)


def test_layer_norm_takes_two_passes() -> None:
    cost = layer_norm_cycles(LayerNorm(name="n", rows=5, columns=9), DESIGN)
    assert cost == TaskCycles(occupancy_cycles=2 * 5 * 3, latency_cycles=2 * 5 * 3 + 20)


def test_floating_point_units_take_their_synthesised_cycles() -> None:
    """HeteroCL_Transformer, U280, csynth, 16 tokens in 16 lanes; what is beyond the loops' trips is depth."""
    reported = replace(
        DESIGN,
        vector_preset="float_hls",
        array_columns=16,
        softmax_lanes=16,
        layer_norm_lanes=16,
        gelu_lanes=16,
        add_lanes=16,
        softmax_depth_cycles=65,  # 18 to clear the sums, 19 and 18 of the two loops, 10 around
        layer_norm_depth_cycles=160,  # 18 to clear the sums, 11 and 56 of the two loops, 75 for mean, variance and root
        gelu_depth_cycles=38,
        add_depth_cycles=10,
    )
    assert softmax_cycles(Softmax(name="s", rows=16, columns=512), reported).latency_cycles == 2_625
    assert layer_norm_cycles(LayerNorm(name="n", rows=16, columns=768), reported).latency_cycles == 4_000
    assert elementwise_cycles(Gelu(name="g", rows=16, columns=3072), reported).latency_cycles == 24_614
    assert elementwise_cycles(Add(name="a", rows=16, columns=768), reported).latency_cycles == 778


@pytest.mark.parametrize("preset", VECTOR_PRESETS)
def test_a_pass_takes_its_initiation_interval_per_cycle_of_lanes(preset: VectorPreset) -> None:
    design = replace(DESIGN, vector_preset=preset)
    passes = VECTOR_PRESETS[preset]
    assert softmax_cycles(Softmax(name="s", rows=5, columns=9), design).occupancy_cycles == sum(passes.softmax) * 15
    assert (
        layer_norm_cycles(LayerNorm(name="n", rows=5, columns=9), design).occupancy_cycles
        == sum(passes.layer_norm) * 15
    )
    assert elementwise_cycles(Gelu(name="g", rows=5, columns=8), design).occupancy_cycles == sum(passes.gelu) * 15
    embed = Embed(name="e", rows=5, columns=18, n_tables=3)
    assert elementwise_cycles(embed, design) == elementwise_cycles(embed, DESIGN)  # integers in every preset


def test_elementwise_ops_take_a_row_tile_by_tile() -> None:
    gelu = elementwise_cycles(Gelu(name="g", rows=5, columns=18), DESIGN)
    assert gelu == TaskCycles(occupancy_cycles=5 * (3 + 3 + 1), latency_cycles=5 * 7 + 5)
    add = elementwise_cycles(Add(name="a", rows=5, columns=18), DESIGN)
    assert add == TaskCycles(occupancy_cycles=5 * 3, latency_cycles=5 * 3 + 2)


def test_an_embedding_sums_all_tables_but_one() -> None:
    cost = elementwise_cycles(Embed(name="e", rows=5, columns=18, n_tables=3), DESIGN)
    assert cost == TaskCycles(occupancy_cycles=2 * 5 * 3, latency_cycles=2 * 5 * 3 + 2)


@pytest.mark.parametrize(
    ("pooler", "pooled_rows", "occupancy", "stages"),
    [(False, 1, 2 * 3, 1), (True, 1, (9 + 2) * 3, 2), (False, 6, (6 + 2) * 3, 2), (True, 6, (6 + 9 + 2) * 3, 3)],
)
def test_an_exit_head_runs_its_stages_one_after_the_other(
    pooler: bool, pooled_rows: int, occupancy: int, stages: int
) -> None:
    op = ExitHead(name="h", hidden_size=9, n_classes=2, pooler=pooler, pooled_rows=pooled_rows)
    assert exit_head_cycles(op, DESIGN) == TaskCycles(occupancy_cycles=occupancy, latency_cycles=occupancy + 7 * stages)


@pytest.mark.parametrize(("pooled_rows", "expected"), [(1, (0, 0)), (6, (6 * 3, 6 * 3 + 7))])
def test_pooling_is_what_a_head_does_first(pooled_rows: int, expected: tuple[int, int]) -> None:
    op = ExitHead(name="h", hidden_size=9, n_classes=2, pooler=True, pooled_rows=pooled_rows)
    assert pooling_cycles(op, DESIGN) == TaskCycles(occupancy_cycles=expected[0], latency_cycles=expected[1])
