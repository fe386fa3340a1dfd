"""How far the tables of a confidence test may be from the published test, over more than two classes.

With p = softmax(-y) and <y> the mean of y under p,

    dH/dy_k = p_k (<y> - y_k)        d max p/dy_k = p_k max p

so that H falls, and max p grows, with the largest distance. For every set of the other distances (a prefix) the
published form flips once, at a place that bisection finds, and the integer form is constant over each address of its
tables: a prefix costs a bisection and the addresses around the flip. Those are all within `_SLACK` times the proven
bound, `IntegerRule.confidence_margin`; an error beyond would be missed, so tests evaluate narrow units in full.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hexit.quant.arrays import Flags, Floats, Integers
from hexit.quant.exits.constants import first_integer
from hexit.quant.exits.integer_rule import IntegerRule, Table, fires
from support.error_comparison import CHUNK, TIE, PartError, Surface, Tally, consecutive, multisets

_SLACK = 2.0
_ADDRESSES = 1 << 19  # at a time: some tens of megabytes


def confidence_error(form: IntegerRule, exponential: Table, surface: Surface, budget: int, seed: int) -> PartError:
    """Compare both forms on all inputs that continue a prefix: every prefix, or those of points on the surface."""
    n_values, size = 1 << form.logit_bits, form.n_classes - 2
    exhaustive = math.comb(n_values + size - 1, size) <= budget
    if exhaustive:
        prefixes = multisets(n_values, size)
    else:
        prefixes = _points_on(surface, form, max(1, budget // 64), np.random.default_rng(seed))
    alone = dataclasses.replace(form, trend=None)
    tally = Tally()
    for start in range(0, len(prefixes), CHUNK):
        bands = _bands(form, surface, prefixes[start : start + CHUNK])
        tally += _wrong_in(alone, exponential, surface, bands)
    n_inputs = int((n_values - prefixes[:, -1]).sum())
    return tally.part("confidence", surface.unit, n_inputs, form.confidence_margin, exhaustive)


def _points_on(surface: Surface, form: IntegerRule, n: int, random: np.random.Generator) -> Integers:
    """Return prefixes [n, K - 2] of points on the surface: random directions, each as far out as the threshold is.

    A direction's entropy falls, and its largest probability grows, with the distance from the origin.
    """
    n_values, approach = 1 << form.logit_bits, _approach(surface)
    direction = random.exponential(size=(n, form.n_classes - 1)) ** random.choice([0.25, 1.0, 4.0], size=(n, 1))
    direction /= direction.max(axis=1, keepdims=True)
    low, high = np.zeros((n, 1)), np.full((n, 1), (n_values - 1) * form.scale)
    for _ in range(form.logit_bits + 4):
        middle = (low + high) / 2
        y = middle * direction
        e = np.exp(-y)
        reached = approach(1 + e.sum(axis=1), (y * e).sum(axis=1))[:, None] > _level(surface)
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    distances = np.sort(np.rint(high * direction / form.scale).astype(np.int64), axis=1)
    return np.unique(distances[:, :-1], axis=0)


def _approach(surface: Surface) -> Callable[[Floats, Floats], Floats]:
    """The quantity from A = sum e^-y and B = sum y e^-y, with the sign that makes it grow towards the exit."""
    if surface.unit == "probability":
        return lambda total, weighted: 1 / total
    return lambda total, weighted: -(np.log(total) + weighted / total)


def _level(surface: Surface) -> float:
    return surface.threshold if surface.unit == "probability" else -surface.threshold


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Bands:
    """Prefixes [n, K - 2] and, of the largest distance, the ranges in which a decision may be wrong, each [n].

    From `enters` to `leaves` the quantity is near its threshold, from `before` to `after` it is a tie with it.
    """

    prefixes: Integers
    enters: Integers
    before: Integers
    after: Integers
    leaves: Integers


def _bands(form: IntegerRule, surface: Surface, prefixes: Integers) -> _Bands:
    approach, level = _approach(surface), _level(surface)
    real = prefixes * form.scale
    total = 1 + np.exp(-real).sum(axis=1)
    weighted = (real * np.exp(-real)).sum(axis=1)

    def passed(bar: float) -> Integers:
        def beyond(largest: Integers) -> Flags:
            y = largest * form.scale
            e = np.exp(-y)
            return np.asarray(approach(total + e, weighted + y * e) > bar)

        return first_integer(beyond, prefixes[:, -1], 1 << form.logit_bits)

    near = _SLACK * form.confidence_margin + TIE
    return _Bands(
        prefixes=prefixes,
        enters=passed(level - near),
        before=passed(level - TIE),
        after=passed(level + TIE),
        leaves=passed(level + near),
    )


def _wrong_in(form: IntegerRule, exponential: Table, surface: Surface, bands: _Bands) -> Tally:
    """Count wrong decisions in the bands, where the unit decides by address and the rule by side of its threshold."""
    n_entries, end = len(exponential.entries), 1 << form.logit_bits
    lowest = np.minimum(_address(exponential, bands.enters), n_entries)
    highest = np.minimum(_address(exponential, bands.leaves - 1), n_entries)
    n_addresses = np.where(bands.enters < bands.leaves, highest - lowest + 1, 0)
    tally = Tally(n_ties=int((bands.after - bands.before).sum()))
    for rows in np.split(np.arange(len(n_addresses)), _cuts(n_addresses)):
        row, address = np.repeat(rows, n_addresses[rows]), consecutive(lowest[rows], n_addresses[rows])
        start = np.maximum(bands.enters[row], _lowest(exponential, address))
        stop = np.where(address < n_entries, _lowest(exponential, address + 1), end)
        holds = fires(form, _logits(bands.prefixes[row], start))[0]
        start = np.where(holds, start, np.maximum(start, bands.after[row]))
        stop = np.minimum(np.minimum(stop, bands.leaves[row]), np.where(holds, bands.before[row], end))
        wrong = start < stop
        farthest = np.where(holds, start, stop - 1)[wrong]
        quantity = surface.quantity(_logits(bands.prefixes[row[wrong]], farthest)[0] * form.scale)
        tally += Tally(
            n_wrong=int((stop - start)[wrong].sum()),
            n_early=int((stop - start)[wrong & holds].sum()),
            worst=float(np.abs(quantity - surface.threshold).max(initial=0.0)),
        )
    return tally


def _cuts(count: Integers) -> Integers:
    """Return where to cut so that no piece holds much more than `_ADDRESSES`."""
    return np.asarray(np.flatnonzero(np.diff(np.cumsum(count) // _ADDRESSES)) + 1)


def _address(table: Table, x: Integers) -> Integers:
    return np.asarray((x + ((1 << table.shift) >> 1)) >> table.shift)


def _lowest(table: Table, address: Integers) -> Integers:
    """Return the smallest integer that reads the entry at `address`."""
    return np.asarray(np.maximum(0, (address << table.shift) - ((1 << table.shift) >> 1)))


def _logits(prefixes: Integers, largest: Integers) -> Integers:
    """Return logits [1, n, K] whose distances below the first are `prefixes` [n, K - 2] and `largest` [n]."""
    return np.asarray(-np.column_stack([np.zeros_like(largest), prefixes, largest])[None])
