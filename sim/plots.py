"""Pictures (placeholder until drawn)."""

from __future__ import annotations

from pathlib import Path

from quant.store import Stage
from sim.experiment import Outcome
from sim.report import Report


def draw_all(outcome: Outcome, report: Report, folder: Path, stage: Stage) -> None:
    """Draw nothing yet."""
