"""One comparison of an exit unit with its published rule: what is counted, and where the published test changes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hexit.quant.arrays import Floats, Integers
from hexit.quant.errors import ConfigError
from hexit.quant.exits.published import entropy, softmax
from hexit.quant.exits.rules import (
    ElbertExit,
    EntropyExit,
    ExitRule,
    HardwareOrientedExit,
    MaximumProbabilityExit,
    NormalizedEntropyExit,
)

Part = Literal["confidence", "side", "step", "log-odds", "limits"]
Unit = Literal["nats", "probability", "logits"]

TIE = 1e-12  # nats, probability or logits
CHUNK = 1 << 15  # inputs, or prefixes of inputs, at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class PartError:
    """One comparison of the unit against the published one.

    `n_wrong` of `n_inputs` are decided differently, `n_early` of these so that the unit's test holds and the rule's
    does not; `n_ties` inputs are set aside. `worst`: the largest error of the log-odds, or else the largest distance of
    the published quantity from its threshold among the wrong inputs; `bound`: what is proven about it.
    """

    part: Part
    unit: Unit
    n_inputs: int
    n_wrong: int
    n_early: int
    n_ties: int
    worst: float
    bound: float
    exhaustive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Wrong inputs so far."""

    n_wrong: int = 0
    n_early: int = 0
    n_ties: int = 0
    worst: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            n_wrong=self.n_wrong + other.n_wrong,
            n_early=self.n_early + other.n_early,
            n_ties=self.n_ties + other.n_ties,
            worst=max(self.worst, other.worst),
        )

    def part(self, part: Part, unit: Unit, n_inputs: int, bound: float, exhaustive: bool) -> PartError:
        """Return the error of a whole part, `n_inputs` compared."""
        counts = dataclasses.asdict(self)
        return PartError(part=part, unit=unit, n_inputs=n_inputs, bound=bound, exhaustive=exhaustive, **counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """Where a published test changes: `quantity` of real logits [..., K] against `threshold`."""

    unit: Unit
    quantity: Callable[[Floats], Floats]
    threshold: float


def surface_of(rule: ExitRule, n_classes: int) -> Surface:
    """Return the surface of a rule's test on one exit; ConfigError for a rule without one."""
    match rule:
        case HardwareOrientedExit():
            return Surface(unit="logits", quantity=span, threshold=rule.threshold)
        case ElbertExit() | NormalizedEntropyExit():
            return Surface(unit="nats", quantity=entropy, threshold=rule.threshold * math.log(n_classes))
        case EntropyExit():
            return Surface(unit="nats", quantity=entropy, threshold=rule.threshold)
        case MaximumProbabilityExit():
            return Surface(unit="probability", quantity=_largest_probability, threshold=rule.threshold)
        case _:
            raise foreign(rule)


def foreign(rule: ExitRule) -> ConfigError:
    """Return the error of a rule whose integers are those of another one."""
    return ConfigError("exit_unit.rule", rule.name, "does not compare what the unit compares", "Build the unit again")


def span(real: Floats) -> Floats:
    """Return |z_0 - z_1|."""
    return np.asarray(np.abs(real[..., 0] - real[..., 1]))


def _largest_probability(real: Floats) -> Floats:
    return np.asarray(softmax(real).max(axis=-1))


def multisets(n_values: int, size: int) -> Integers:
    """Return every sorted choice of `size` of the integers below `n_values`, equal ones allowed, [n, size]."""
    rows = np.arange(n_values, dtype=np.int64)[:, None]
    for _ in range(size - 1):
        last = rows[:, -1]
        next_one = consecutive(last, n_values - last)
        rows = np.column_stack([np.repeat(rows, n_values - last, axis=0), next_one])
    return rows


def consecutive(first: Integers, count: Integers) -> Integers:
    """Return first[0], first[0] + 1, .. (count[0] of them), first[1], .. in one row."""
    before = np.cumsum(count) - count
    return np.asarray(np.arange(count.sum()) + np.repeat(first - before, count))
