from __future__ import annotations

from dataclasses import replace

import pytest

from hexit.hw_model.accelerator import Accelerator, VectorPreset
from hexit.hw_model.design_files import load_design
from hexit.hw_model.task_cycles import TaskCycles
from hexit.hw_model.vector import VECTOR_PRESETS, VectorOp, exit_head_cycles, pooling_cycles, vector_unit
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


def latency_cycles(op: VectorOp, design: Accelerator) -> int:
    """Cycles of all rows of an op, whole rows at a time."""
    unit = vector_unit(op, design)
    return unit.occupancy_cycles(op.rows, op.columns) + unit.depth_cycles


def test_softmax_takes_three_passes_over_a_row() -> None:
    assert latency_cycles(Softmax(name="s", rows=5, columns=9, count=2), DESIGN) == 3 * 5 * 3 + 10  # of each head


def test_layer_norm_takes_two_passes() -> None:
    assert latency_cycles(LayerNorm(name="n", rows=5, columns=9), DESIGN) == 2 * 5 * 3 + 20


def test_gelu_and_sums_take_one() -> None:
    assert latency_cycles(Gelu(name="g", rows=5, columns=8), DESIGN) == 5 * 3 + 5
    assert latency_cycles(Add(name="a", rows=5, columns=8), DESIGN) == 5 * 1 + 2


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
    assert latency_cycles(Softmax(name="s", rows=16, columns=512), reported) == 2_625
    assert latency_cycles(LayerNorm(name="n", rows=16, columns=768), reported) == 4_000
    assert latency_cycles(Gelu(name="g", rows=16, columns=3072), reported) == 24_614
    assert latency_cycles(Add(name="a", rows=16, columns=768), reported) == 778


@pytest.mark.parametrize("preset", VECTOR_PRESETS)
def test_a_pass_takes_its_initiation_interval_per_cycle_of_lanes(preset: VectorPreset) -> None:
    design, passes = replace(DESIGN, vector_preset=preset), VECTOR_PRESETS[preset]
    for op, intervals in (
        (Softmax(name="s", rows=5, columns=9), passes.softmax),
        (LayerNorm(name="n", rows=5, columns=9), passes.layer_norm),
        (Gelu(name="g", rows=5, columns=8), passes.gelu),
    ):
        assert vector_unit(op, design).occupancy_cycles(op.rows, op.columns) == sum(intervals) * 15
    embed = Embed(name="e", rows=5, columns=18, n_tables=3)
    assert vector_unit(embed, design) == vector_unit(embed, DESIGN)  # integers in every preset


def test_an_embedding_sums_all_tables_but_one() -> None:
    assert latency_cycles(Embed(name="e", rows=5, columns=18, n_tables=3), DESIGN) == 2 * 5 * 3 + 2


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
