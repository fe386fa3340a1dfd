"""The length in tokens that the hardware works on, sentence by sentence.

    padded            every sentence at the run's sequence length
    exact             each at its own number of tokens
    buckets:16,32     padded to the next of these; beyond the last to the run's sequence length

Every length is a `Program` of its own, compiled once. Exits and predictions do not depend on it: padding is masked.
Not modelled: several short sentences packed into one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from hexit.quant.arrays import Integers
from hexit.quant.errors import ConfigError
from hexit.sim.core.program import Program

FLAG = "--lengths"
KINDS = ("padded", "exact", "buckets")


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthPolicy:
    """`bucket_tokens`: the lengths to which sentences are padded, rising; None means each its own."""

    bucket_tokens: tuple[int, ...] | None = ()


PADDED = LengthPolicy()
EXACT = LengthPolicy(bucket_tokens=None)


def parse_lengths(text: str) -> LengthPolicy:
    """Return the policy that a text names; ConfigError for one that names none.

    >>> parse_lengths("buckets:16,32")
    LengthPolicy(bucket_tokens=(16, 32))
    """
    name, colon, rest = text.partition(":")
    if name not in KINDS or (name != "buckets" and colon):
        raise ConfigError(FLAG, text, "must be padded, exact or buckets:N,N", "Try buckets:16,32")
    if name != "buckets":
        return PADDED if name == "padded" else EXACT
    try:
        tokens = tuple(int(part) for part in rest.split(","))
    except ValueError:
        tokens = ()
    if not tokens or tokens[0] < 1 or any(b <= a for a, b in pairwise(tokens)):
        raise ConfigError(FLAG, text, "needs rising numbers of tokens", "Try buckets:16,32")
    return LengthPolicy(bucket_tokens=tokens)


def format_lengths(policy: LengthPolicy) -> str:
    """Return the text that `parse_lengths` reads."""
    if policy.bucket_tokens is None:
        return "exact"
    return f"buckets:{','.join(map(str, policy.bucket_tokens))}" if policy.bucket_tokens else "padded"


def hardware_lengths(policy: LengthPolicy, n_tokens: npt.ArrayLike, sequence_length: int) -> Integers:
    """Return the tokens that the hardware works on [n] of sentences with `n_tokens` [n], cut at `sequence_length`.

    Raises ConfigError for a bucket that no sentence could need.
    """
    tokens = np.minimum(np.asarray(n_tokens, dtype=np.int64), sequence_length)
    if policy.bucket_tokens is None:
        return np.asarray(tokens)
    too_long = [bucket for bucket in policy.bucket_tokens if bucket > sequence_length]
    if too_long:
        requirement = f"is longer than the {sequence_length} tokens to which sentences are cut"
        raise ConfigError(FLAG, f"{too_long[0]}", requirement, "Leave it out, or raise --seq-len")
    buckets = np.array([*policy.bucket_tokens, sequence_length])
    return np.asarray(buckets[np.searchsorted(buckets, tokens)], dtype=np.int64)


def compile_lengths(compiled: Callable[[int], Program], lengths: Integers) -> tuple[tuple[Program, ...], Integers]:
    """Return a program of each distinct length, from the shortest on, and the index of each sentence's one [n]."""
    distinct, index = np.unique(lengths, return_inverse=True)
    return tuple(compiled(int(length)) for length in distinct), np.asarray(index, dtype=np.int64)
