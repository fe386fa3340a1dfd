"""`hexit run`."""

from __future__ import annotations


def run() -> None:
    """Placeholder until the pipeline lands."""
