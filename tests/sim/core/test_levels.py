from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hexit.sim.core.levels import count_open
from support.strategies import LAWS

SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), max_size=12)


@given(SPANS, st.lists(st.integers(0, 50), min_size=2, max_size=8, unique=True))
@LAWS
def test_levels_are_the_open_intervals_counted_cycle_by_cycle(spans: list[tuple[int, int]], edges: list[int]) -> None:
    begin = np.array([first for first, _ in spans], np.int64)
    end = np.array([first + length for first, length in spans], np.int64)
    counted = [sum(first <= cycle < last for first, last in zip(begin, end, strict=True)) for cycle in range(50)]
    levels = count_open(begin, end)
    shown = [0] * 50
    for cycle, level in zip(levels.cycle.tolist(), levels.level.tolist(), strict=True):
        shown[cycle:] = [level] * (50 - cycle)
    assert shown == counted
    assert (np.diff(levels.level, prepend=0) != 0).all()  # an entry is a change
    windows = np.array(sorted(edges))
    assert levels.integral(windows).tolist() == [sum(counted[:edge]) for edge in windows]
    assert levels.maxima(windows).tolist() == [max(counted[first:last]) for first, last in pairwise(windows)]


def test_the_change_of_tenants_is_no_change_of_level() -> None:
    levels = count_open(np.array([0, 5]), np.array([5, 9]))
    assert (levels.cycle.tolist(), levels.level.tolist()) == ([0, 9], [1, 0])
