from __future__ import annotations

from dataclasses import replace

import pytest

from hexit.hw_model.design_files import load_design
from hexit.hw_model.gemm import fold_cycles
from hexit.hw_model.task_cycles import TaskCycles

BARE = replace(load_design("default"), array_rows=4, array_columns=4)


@pytest.mark.parametrize(("overlap", "cycles"), [(True, 2 * (8 + 3) + 6 + 4), (False, 2 * (8 + 3 + 6 + 4))])
def test_overhead_is_paid_by_every_fold(overlap: bool, cycles: int) -> None:
    design = replace(BARE, overlap_folds=overlap, fold_overhead_cycles=3)
    assert fold_cycles(8, design, 2).latency_cycles == cycles


def test_results_that_queue_for_the_lanes_hold_the_array() -> None:
    """16 results of a 4 x 4 fold through 2 lanes: 8 cycles where k takes 5, then wavefront, way out and 3 stages."""
    design = replace(BARE, requantisation_lanes=2, requantisation_depth_cycles=3)
    assert fold_cycles(5, design, 2) == TaskCycles(occupancy_cycles=16, latency_cycles=16 + 6 + 4 + 3)
