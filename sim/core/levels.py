"""How many things are there at a time, from the intervals in which each of them is there.

    level(t) = number of intervals with begin <= t < end

Everything is whole cycles and exact; an interval that ends when another begins leaves the level as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hexit.quant.arrays import Integers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Levels:
    """A step function: `level[i]` from `cycle[i]` up to `cycle[i + 1]`, 0 before the first; the last level is 0."""

    cycle: Integers
    level: Integers

    def integral(self, at: Integers) -> Integers:
        """Return the sum of the level over all cycles before each cycle of `at`."""
        if not self.cycle.size:
            return np.zeros_like(at)
        before = np.concatenate([[0], np.cumsum(self.level[:-1] * np.diff(self.cycle))])
        index = np.searchsorted(self.cycle, at, side="right") - 1
        inside = before[index] + self.level[index] * (at - self.cycle[index])
        return np.where(index < 0, 0, inside)

    def maxima(self, edges: Integers) -> Integers:
        """Return the highest level in each of the windows [edges[i], edges[i + 1])."""
        level = np.concatenate([[0], self.level])
        first = np.searchsorted(self.cycle, edges[:-1], side="right")
        after = np.searchsorted(self.cycle, edges[1:], side="left") + 1
        bounds = np.stack([first, after], axis=1).reshape(-1)
        return np.maximum.reduceat(np.concatenate([level, [0]]), bounds)[::2]


def count_open(begin: Integers, end: Integers) -> Levels:
    """Return how many intervals [begin, end) are open over time; empty ones never are."""
    cycle, place = np.unique(np.concatenate([begin, end]), return_inverse=True)
    change = np.bincount(place[: begin.size], minlength=cycle.size) - np.bincount(
        place[begin.size :], minlength=cycle.size
    )
    changes = change != 0
    return Levels(cycle=cycle[changes], level=np.cumsum(change[changes]))
