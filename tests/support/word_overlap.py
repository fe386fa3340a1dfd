"""When two texts are too alike to lie in two sets: the overlap of their words."""

from __future__ import annotations

import re


def words(sentence: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", sentence.lower()))


def too_alike(a: frozenset[str], b: frozenset[str]) -> bool:
    """Whether two word sets share more than 0.6 of their words (Jaccard); a duplicate has overlap 1."""
    return len(a & b) > 0.6 * len(a | b)
