"""`hexit reference`."""

from __future__ import annotations


def reference() -> None:
    """Placeholder until the pipeline lands."""
