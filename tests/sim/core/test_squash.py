from __future__ import annotations

import numpy as np

from hexit.sim.core.program import NONE, TaskProgram, Unit
from hexit.sim.core.squash import squashed_work

NOTHING = np.zeros(2, np.int64)
TRANSFER_AND_TILE = TaskProgram(
    op_names=("weights", "product"),
    n_blocks=1,
    n_ports=2,
    unit=np.array([Unit.DMA, Unit.ARRAY]),
    occupancy_cycles=np.array([0, 8]),
    latency_cycles=np.array([0, 9]),
    first_dependency=np.array([0, 0, 0]),
    dependency=np.zeros(0, np.int64),
    exports=np.array([1]),
    decision=NONE,
    op=np.array([0, 1]),
    head=NOTHING,
    panel=NOTHING,
    block=NOTHING,
    macs=np.array([0, 100]),
    n_bytes=np.array([7, 0]),
)


def squashed(start: list[list[int]], cuts: list[int], times: list[int] | None = None) -> tuple[int, int, int, int]:
    """Array cycles, cycles of the product, MACs, bytes."""
    counts = None if times is None else np.array(times)
    work = squashed_work(TRANSFER_AND_TILE, np.array(start), np.array(cuts), counts)
    assert work.cycles.sum() == work.cycles[Unit.ARRAY]
    assert work.op_cycles[0] == 0
    return int(work.cycles[Unit.ARRAY]), int(work.op_cycles[1]), work.macs, work.n_bytes


def test_what_begins_in_the_cycle_of_the_cut_has_not_begun() -> None:
    assert squashed([[5, 5]], [5]) == (0, 0, 0, 0)
    assert squashed([[5, 5]], [6]) == (1, 1, 12, 7)  # a transfer of no cycles is over at once
    assert squashed([[5, 5]], [13]) == squashed([[5, 5]], [99]) == (8, 8, 100, 7)


def test_products_are_rounded_down_for_every_task_and_every_cut() -> None:
    assert squashed([[NONE, 0], [NONE, 2]], [3]) == (3 + 1, 3 + 1, 37 + 12, 0)
    assert squashed([[NONE, 0]], [1, 3, 2]) == (6, 6, 12 + 37 + 25, 0)
    assert squashed([[NONE, 2]], [1, 4, 3]) == (3, 3, 25 + 12, 0)  # in any order of the cuts


def test_a_cut_counts_as_often_as_it_happened() -> None:
    assert squashed([[0, 0]], [3, 1], [2, 5]) == (2 * 3 + 5, 2 * 3 + 5, 2 * 37 + 5 * 12, 49)


def test_nothing_is_squashed_where_nothing_had_begun() -> None:
    assert squashed([[NONE, NONE]], [9]) == (0, 0, 0, 0)
    assert squashed([[0, 0]], []) == (0, 0, 0, 0)
