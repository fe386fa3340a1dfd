"""How many examples a property test tries: see the profiles in tests/conftest.py."""

from __future__ import annotations

from hypothesis import settings

USUAL = 100  # hypothesis' own number


def examples(n: int) -> settings:
    """Return settings of `n` examples with the usual profile, and in proportion with another."""
    return settings(max_examples=n * settings().max_examples // USUAL)
