"""Cycles of one task on a pipelined unit, what every closed form of an op returns."""

from __future__ import annotations

from dataclasses import dataclass

from hexit.quant.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCycles:
    """One task keeps its unit busy for `occupancy_cycles`; its result is there `latency_cycles` after the start."""

    occupancy_cycles: int
    latency_cycles: int

    def __post_init__(self) -> None:
        """Reject negative times and results that are ready before the unit is done."""
        if not 0 <= self.occupancy_cycles <= self.latency_cycles:
            raise ConfigError(
                "task.latency_cycles",
                self.latency_cycles,
                f"must be at least occupancy_cycles {self.occupancy_cycles}, and both at least 0",
                "Correct the unit's cycles",
            )
