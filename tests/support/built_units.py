"""Exit units as if `hexit hls` had built them for a run."""

from __future__ import annotations

import dataclasses
from typing import Any

from hexit.hw_model.area.resources import Resources
from hexit.hw_model.exit_unit.build import BuiltPart, ExitUnitBuild
from hexit.sim.job.outcome import Outcome


def part(latency_cycles: int, interval_cycles: int = 1) -> BuiltPart:
    return BuiltPart(
        latency_cycles=latency_cycles,
        initiation_interval_cycles=interval_cycles,
        resources=Resources(lut=1000 + latency_cycles, ff=2000, dsp=3, bram18=1),
        evidence="vendor",
        tool="Vitis HLS 2024.1",
    )


def build_of(outcome: Outcome, *, latency_cycles: int = 2, head: BuiltPart | None = None, **spec: Any) -> ExitUnitBuild:
    """The unit of a run with `latency_cycles`, its spec changed as `spec` says."""
    return ExitUnitBuild(
        spec=dataclasses.replace(outcome.design.exit_path.spec, **spec),
        decision=part(latency_cycles),
        head=head,
        part="xczu9eg-ffvb1156-2-e",
        clock_period_ns=5.0,
    )
