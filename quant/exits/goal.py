"""What the settings of an exit rule are chosen for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A largest drop of the score, or a least speed-up in layers; the other one is None."""

    max_drop: float | None
    speedup: float | None
