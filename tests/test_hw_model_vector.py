from __future__ import annotations

from dataclasses import replace

import pytest

from hw_model.accelerator import UnitCost, load_design
from hw_model.vector import (
    elementwise_cost,
    exit_head_cost,
    layer_norm_cost,
    pooling_cost,
    softmax_cost,
)
from quant.workload import Add, Embed, ExitHead, Gelu, LayerNorm, Softmax

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
    cost = softmax_cost(Softmax(name="s", rows=5, columns=9, count=2), DESIGN)
    assert cost == UnitCost(occupancy_cycles=3 * 2 * 5 * 3, latency_cycles=3 * 2 * 5 * 3 + 10)


def test_layer_norm_takes_two_passes() -> None:
    cost = layer_norm_cost(LayerNorm(name="n", rows=5, columns=9), DESIGN)
    assert cost == UnitCost(occupancy_cycles=2 * 5 * 3, latency_cycles=2 * 5 * 3 + 20)


def test_elementwise_ops_take_a_row_tile_by_tile() -> None:
    gelu = elementwise_cost(Gelu(name="g", rows=5, columns=18), DESIGN)
    assert gelu == UnitCost(occupancy_cycles=5 * (3 + 3 + 1), latency_cycles=5 * 7 + 5)
    add = elementwise_cost(Add(name="a", rows=5, columns=18), DESIGN)
    assert add == UnitCost(occupancy_cycles=5 * 3, latency_cycles=5 * 3 + 2)


def test_an_embedding_sums_all_tables_but_one() -> None:
    cost = elementwise_cost(Embed(name="e", rows=5, columns=18, n_tables=3), DESIGN)
    assert cost == UnitCost(occupancy_cycles=2 * 5 * 3, latency_cycles=2 * 5 * 3 + 2)


@pytest.mark.parametrize(
    ("pooler", "pooled_rows", "occupancy", "stages"),
    [(False, 1, 2 * 3, 1), (True, 1, (9 + 2) * 3, 2), (False, 6, (6 + 2) * 3, 2), (True, 6, (6 + 9 + 2) * 3, 3)],
)
def test_an_exit_head_runs_its_stages_one_after_the_other(
    pooler: bool, pooled_rows: int, occupancy: int, stages: int
) -> None:
    op = ExitHead(name="h", hidden_size=9, n_classes=2, pooler=pooler, pooled_rows=pooled_rows)
    assert exit_head_cost(op, DESIGN) == UnitCost(occupancy_cycles=occupancy, latency_cycles=occupancy + 7 * stages)


@pytest.mark.parametrize(("pooled_rows", "expected"), [(1, (0, 0)), (6, (6 * 3, 6 * 3 + 7))])
def test_pooling_is_what_a_head_does_first(pooled_rows: int, expected: tuple[int, int]) -> None:
    op = ExitHead(name="h", hidden_size=9, n_classes=2, pooler=True, pooled_rows=pooled_rows)
    assert pooling_cost(op, DESIGN) == UnitCost(occupancy_cycles=expected[0], latency_cycles=expected[1])
