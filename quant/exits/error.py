"""How far an exit unit may be from its rule: every comparison of the integers against the published one, measured.

`table_error` compares `quant.exits.integer` with `quant.exits.published` on scale * integers, over all inputs of the
unit or, where these are too many, over a seeded share of them (`PartError.exhaustive` says which). The inputs are

    two classes, regression   every difference of two integers, from -(2^b - 1) to 2^b - 1
    entropy, max p            every sorted set of distances y_1 <= .. <= y_(K-1) below the largest logit
    log-odds                  every sorted set of distances of the other classes below the largest of them
    limits of bias_3          every pair (smallest, largest) of |v| in a window

They are not evaluated one by one. With p = softmax(-y) and <y> the mean of y under p,

    dH/dy_k = p_k (<y> - y_k)        d max p/dy_k = p_k max p

so that H falls, and max p grows, with the largest distance. For every set of the other distances (a prefix) the
published form flips once, at a place that bisection finds, and the integer form is constant over each address of its
tables: a prefix costs a bisection and the addresses around the flip. Those are all within `_SLACK` times the proven
bound, `IntegerRule.confidence_margin`; an error beyond would be missed, so tests evaluate narrow units in full.

A quantity within 1e-12 of its threshold is a tie, which float64 decides by rounding: counted, not called wrong.

Not modelled: how often the wrong inputs occur (a trace says that), and errors of the logits themselves.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np

from hexit.quant.errors import ConfigError
from hexit.quant.exits.integer import (
    DifferenceTest,
    EntropyTest,
    FixedLayer,
    IntegerRule,
    Limits,
    LogOdds,
    ProbabilityTest,
    SideRun,
    SmallStepRun,
    Table,
    WinnerRun,
    fires,
    integer_log_odds,
)
from hexit.quant.exits.published import Flags, Floats, Integers, decide, entropy, log_odds, softmax
from hexit.quant.exits.rules import (
    ElbertExit,
    EntropyExit,
    ExitRule,
    HardwareOrientedExit,
    MaximumProbabilityExit,
    NormalizedEntropyExit,
    PabeeRegressionExit,
    parse_rule,
)
from hexit.quant.exits.unit import ExitUnitSpec

Part = Literal["confidence", "side", "step", "log-odds", "limits"]
Unit = Literal["nats", "probability", "logits"]

BUDGET = 1 << 18  # inputs or prefixes of inputs: about a second

_TIE = 1e-12  # nats, probability or logits
_SLACK = 2.0
_CHUNK = 1 << 15
_OFF = 1000  # layers; the longest run that a rule takes, never reached here
_FAR = 1000.0  # logits; the largest threshold that a rule takes
_ADDRESSES = 1 << 19  # at a time: some tens of megabytes
_NEVER_SURE = 5e-324  # the smallest threshold of an entropy
_NATS_OF_A_SAMPLE = 20.0  # farther below the largest logit a class adds less than 1e-8 to any sum


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
class TableError:
    """All comparisons of a unit; none where it only compares classes or layers for equality."""

    parts: tuple[PartError, ...]

    @property
    def n_wrong(self) -> int:
        """Inputs that some part decides differently than the published rule."""
        return sum(part.n_wrong for part in self.parts)

    @property
    def exhaustive(self) -> bool:
        """Whether every part was measured over its whole range."""
        return all(part.exhaustive for part in self.parts)

    @property
    def exact(self) -> bool:
        """Whether every decision is the published one, over the whole range."""
        return self.exhaustive and not any(part.n_wrong or part.worst for part in self.parts)


def table_error(spec: ExitUnitSpec, *, budget: int = BUDGET, seed: int = 0) -> TableError:
    """Return how far the decisions of `spec` may be from its published rule.

    `budget` bounds the inputs (two classes), or the prefixes of inputs (more), that are visited; of a range beyond it a
    share drawn with `seed` is. Milliseconds to two seconds with the default. Raises ConfigError for a spec whose
    integers are not those of its rule's kind.
    """
    rule, form = parse_rule(spec.rule), spec.form
    parts: list[PartError] = []
    match form.confidence:
        case DifferenceTest(minimum=minimum):
            integer = dataclasses.replace(form, trend=None)
            parts.append(_difference_error("confidence", _one_exit(rule), integer, minimum, budget))
        case EntropyTest(exponential=exponential) | ProbabilityTest(exponential=exponential):
            parts.append(_confidence_error(form, exponential, _surface(rule, form.n_classes), budget, seed))
        case FixedLayer() | None:
            pass
        case _:
            assert_never(form.confidence)
    match form.trend:
        case SideRun():
            parts += _side_run_errors(rule, form, form.trend, budget, seed)
        case SmallStepRun(minimum=minimum):
            step = _one_layer(form, SmallStepRun(minimum=minimum, run_length=1))
            parts.append(_difference_error("step", _one_step(rule), step, minimum, budget))
        case WinnerRun() | None:
            pass
        case _:
            assert_never(form.trend)
    return TableError(parts=tuple(parts))


def _side_run_errors(rule: ExitRule, form: IntegerRule, trend: SideRun, budget: int, seed: int) -> Iterator[PartError]:
    minimum = trend.minimum
    if trend.log_odds is None:
        side = _one_layer(form, SideRun(minimum=minimum, run_length=1, trend="bias_1", limits=None, log_odds=None))
        yield _difference_error("side", _one_side(rule), side, minimum, budget)
    else:
        yield from _log_odds_errors(form, trend.log_odds, minimum, _elbert(rule), budget, seed)
    if trend.limits is not None:
        yield _limits_error(form, trend.limits, minimum, _elbert(rule), budget, seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tally:
    """Wrong inputs so far."""

    n_wrong: int = 0
    n_early: int = 0
    n_ties: int = 0
    worst: float = 0.0

    def __add__(self, other: _Tally) -> _Tally:
        return _Tally(
            n_wrong=self.n_wrong + other.n_wrong,
            n_early=self.n_early + other.n_early,
            n_ties=self.n_ties + other.n_ties,
            worst=max(self.worst, other.worst),
        )

    def part(self, part: Part, unit: Unit, n_inputs: int, bound: float, exhaustive: bool) -> PartError:
        return PartError(
            part=part,
            unit=unit,
            n_inputs=n_inputs,
            n_wrong=self.n_wrong,
            n_early=self.n_early,
            n_ties=self.n_ties,
            worst=self.worst,
            bound=bound,
            exhaustive=exhaustive,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Surface:
    """Where a published test changes: `quantity` of real logits [..., K] against `threshold`."""

    unit: Unit
    quantity: Callable[[Floats], Floats]
    threshold: float


def _surface(rule: ExitRule, n_classes: int) -> _Surface:
    """The surface of a rule's test on one exit."""
    match rule:
        case HardwareOrientedExit():
            return _Surface(unit="logits", quantity=_span, threshold=rule.threshold)
        case ElbertExit() | NormalizedEntropyExit():
            return _Surface(unit="nats", quantity=entropy, threshold=rule.threshold * math.log(n_classes))
        case EntropyExit():
            return _Surface(unit="nats", quantity=entropy, threshold=rule.threshold)
        case MaximumProbabilityExit():
            return _Surface(unit="probability", quantity=_largest_probability, threshold=rule.threshold)
        case _:
            raise _foreign(rule)


def _foreign(rule: ExitRule) -> ConfigError:
    return ConfigError("exit_unit.rule", rule.name, "does not compare what the unit compares", "Build the unit again")


def _elbert(rule: ExitRule) -> ElbertExit:
    if not isinstance(rule, ElbertExit):
        raise _foreign(rule)
    return rule


def _span(real: Floats) -> Floats:
    return np.asarray(np.abs(real[..., 0] - real[..., 1]))


def _largest_probability(real: Floats) -> Floats:
    return np.asarray(softmax(real).max(axis=-1))


def _odds_limit(rule: ElbertExit) -> float:
    """The log-odds beyond which class 0 is on a side: x > 1/2 + margin."""
    return math.log((0.5 + rule.margin) / (0.5 - rule.margin))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Published:
    """A rule whose only test is on the differences of two numbers, put in turn as the `layout` says."""

    rule: ExitRule
    surface: _Surface
    layout: Literal["classes of a layer", "layers of a class"] = "classes of a layer"

    def place(self, pair: Integers) -> Integers:
        """Return pairs [n, 2] as logits [n_layers, n, n_classes]."""
        return pair[None] if self.layout == "classes of a layer" else pair.T[..., None]

    def leaves(self, real: Floats) -> Flags:
        """Return whether the rule leaves after the last of the layers; a copy of it is added, where all leave."""
        return np.asarray(decide(self.rule, np.concatenate([real, real[-1:]])).exit_layer == len(real))


def _one_exit(rule: ExitRule) -> _Published:
    surface = _surface(rule, 2)
    match rule:
        case HardwareOrientedExit():
            return _Published(rule=dataclasses.replace(rule, run_length=_OFF), surface=surface)
        case ElbertExit():
            return _Published(rule=dataclasses.replace(rule, window=_OFF), surface=surface)
        case _:
            return _Published(rule=rule, surface=surface)


def _one_side(rule: ExitRule) -> _Published:
    match rule:
        case HardwareOrientedExit():
            alone: ExitRule = dataclasses.replace(rule, threshold=_FAR, run_length=1)
            return _Published(rule=alone, surface=_Surface(unit="logits", quantity=_span, threshold=0.0))
        case _:
            elbert = _elbert(rule)
            alone = dataclasses.replace(elbert, threshold=_NEVER_SURE, window=1, bias="bias_1")
            return _Published(rule=alone, surface=_Surface(unit="nats", quantity=_span, threshold=_odds_limit(elbert)))


def _one_step(rule: ExitRule) -> _Published:
    if not isinstance(rule, PabeeRegressionExit):
        raise _foreign(rule)
    surface = _Surface(unit="logits", quantity=_span, threshold=rule.tolerance)
    return _Published(rule=dataclasses.replace(rule, patience=1), surface=surface, layout="layers of a class")


def _one_layer(form: IntegerRule, trend: SideRun | SmallStepRun) -> IntegerRule:
    return dataclasses.replace(form, confidence=None, trend=trend)


def _difference_error(part: Part, published: _Published, integer: IntegerRule, minimum: int, budget: int) -> PartError:
    """Compare both forms on every difference, or near `minimum`, 0 and the ends where these are too many.

    Both depend on its absolute value alone and are monotone in that, so the neighbours of a flip stand for the rest.
    """
    largest = (1 << integer.logit_bits) - 1
    tally = _Tally()
    for difference in _differences(largest, minimum, budget):
        first = difference // 2
        pair = np.stack([first, first - difference], axis=-1)
        q = published.place(pair)
        says, leaves = fires(integer, q)[-1], published.leaves(np.asarray(q * integer.scale, dtype=np.float64))
        distance = np.abs(published.surface.quantity(pair * integer.scale) - published.surface.threshold)
        ties = distance <= _TIE
        wrong = (says != leaves) & ~ties
        tally += _Tally(
            n_wrong=int(wrong.sum()),
            n_early=int((wrong & says).sum()),
            n_ties=int(ties.sum()),
            worst=float(distance[wrong].max(initial=0.0)),
        )
    return tally.part(part, published.surface.unit, 2 * largest + 1, bound=0.0, exhaustive=True)


def _differences(largest: int, minimum: int, budget: int) -> Iterator[Integers]:
    if 2 * largest < budget:
        ranges = [(-largest, largest + 1)]
    else:
        around = max(1, budget // 10)
        flip = min(minimum, largest)
        ends = {
            (max(-largest, at - around), min(largest, at + around) + 1) for at in (-largest, -flip, 0, flip, largest)
        }
        ranges = sorted(ends)
    for low, high in ranges:
        yield from (np.arange(start, min(start + _CHUNK, high)) for start in range(low, high, _CHUNK))


def _confidence_error(form: IntegerRule, exponential: Table, surface: _Surface, budget: int, seed: int) -> PartError:
    """Compare both forms on all inputs that continue a prefix: every prefix, or those of points on the surface."""
    n_values, size = 1 << form.logit_bits, form.n_classes - 2
    exhaustive = math.comb(n_values + size - 1, size) <= budget
    if exhaustive:
        prefixes = _multisets(n_values, size)
    else:
        prefixes = _points_on(surface, form, max(1, budget // 64), np.random.default_rng(seed))
    alone = dataclasses.replace(form, trend=None)
    tally = _Tally()
    for start in range(0, len(prefixes), _CHUNK):
        bands = _bands(form, surface, prefixes[start : start + _CHUNK])
        tally += _wrong_in(alone, exponential, surface, bands)
    n_inputs = int((n_values - prefixes[:, -1]).sum())
    return tally.part("confidence", surface.unit, n_inputs, form.confidence_margin, exhaustive)


def _multisets(n_values: int, size: int) -> Integers:
    """Return every sorted choice of `size` of the integers below `n_values`, equal ones allowed, [n, size]."""
    rows = np.arange(n_values, dtype=np.int64)[:, None]
    for _ in range(size - 1):
        last = rows[:, -1]
        next_one = _runs(last, n_values - last)
        rows = np.column_stack([np.repeat(rows, n_values - last, axis=0), next_one])
    return rows


def _runs(first: Integers, count: Integers) -> Integers:
    """Return first[0], first[0] + 1, .. (count[0] of them), first[1], .. one behind the other."""
    before = np.cumsum(count) - count
    return np.asarray(np.arange(count.sum()) + np.repeat(first - before, count))


def _points_on(surface: _Surface, form: IntegerRule, n: int, random: np.random.Generator) -> Integers:
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


def _approach(surface: _Surface) -> Callable[[Floats, Floats], Floats]:
    """The quantity from A = sum e^-y and B = sum y e^-y, with the sign that makes it grow towards the exit."""
    if surface.unit == "probability":
        return lambda total, weighted: 1 / total
    return lambda total, weighted: -(np.log(total) + weighted / total)


def _level(surface: _Surface) -> float:
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


def _bands(form: IntegerRule, surface: _Surface, prefixes: Integers) -> _Bands:
    approach, level = _approach(surface), _level(surface)
    real = prefixes * form.scale
    total = 1 + np.exp(-real).sum(axis=1)
    weighted = (real * np.exp(-real)).sum(axis=1)

    def passed(bar: float) -> Integers:
        def beyond(largest: Integers) -> Flags:
            y = largest * form.scale
            e = np.exp(-y)
            return np.asarray(approach(total + e, weighted + y * e) > bar)

        return _first(beyond, prefixes[:, -1], 1 << form.logit_bits)

    near = _SLACK * form.confidence_margin + _TIE
    return _Bands(
        prefixes=prefixes,
        enters=passed(level - near),
        before=passed(level - _TIE),
        after=passed(level + _TIE),
        leaves=passed(level + near),
    )


def _wrong_in(form: IntegerRule, exponential: Table, surface: _Surface, bands: _Bands) -> _Tally:
    """Count wrong decisions in the bands, where the unit says one thing per address and the rule one per side."""
    n_entries, end = len(exponential.entries), 1 << form.logit_bits
    lowest = np.minimum(_address(exponential, bands.enters), n_entries)
    highest = np.minimum(_address(exponential, bands.leaves - 1), n_entries)
    n_addresses = np.where(bands.enters < bands.leaves, highest - lowest + 1, 0)
    tally = _Tally(n_ties=int((bands.after - bands.before).sum()))
    for rows in np.split(np.arange(len(n_addresses)), _cuts(n_addresses)):
        row, address = np.repeat(rows, n_addresses[rows]), _runs(lowest[rows], n_addresses[rows])
        start = np.maximum(bands.enters[row], _lowest(exponential, address))
        stop = np.where(address < n_entries, _lowest(exponential, address + 1), end)
        says = fires(form, _logits(bands.prefixes[row], start))[0]
        start = np.where(says, start, np.maximum(start, bands.after[row]))
        stop = np.minimum(np.minimum(stop, bands.leaves[row]), np.where(says, bands.before[row], end))
        wrong = start < stop
        farthest = np.where(says, start, stop - 1)[wrong]
        quantity = surface.quantity(_logits(bands.prefixes[row[wrong]], farthest)[0] * form.scale)
        tally += _Tally(
            n_wrong=int((stop - start)[wrong].sum()),
            n_early=int((stop - start)[wrong & says].sum()),
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


def _first(holds: Callable[[Integers], Flags], low: Integers, high: int) -> Integers:
    """Return the smallest integers from `low` [n] for which the monotone test `holds`; `high` where none below does."""
    low, top = low.copy(), np.full(len(low), high, dtype=np.int64)
    while (low < top).any():
        middle = (low + top) // 2
        found = holds(middle)
        low, top = np.where(found | (low >= top), low, middle + 1), np.where(found, middle, top)
    return low


def _log_odds_errors(
    form: IntegerRule, tables: LogOdds, minimum: int, rule: ElbertExit, budget: int, seed: int
) -> tuple[PartError, PartError]:
    """Measure the log-odds themselves, and the sides that they put a layer on."""
    n_values, size = 1 << form.logit_bits, form.n_classes - 2
    exhaustive = math.comb(n_values + size - 1, size) <= budget
    if exhaustive:
        distances = _multisets(n_values, size)
    else:
        random = np.random.default_rng(seed)
        reach = random.uniform(0, _NATS_OF_A_SAMPLE, (max(1, budget // 64), 1)) * random.uniform(size=(1, size))
        distances = np.sort(np.minimum(np.rint(reach / form.scale).astype(np.int64), n_values - 1), axis=1)
    worst, sides = 0.0, _Tally()
    for start in range(0, len(distances), _CHUNK):
        chunk = distances[start : start + _CHUNK]
        q = np.column_stack([np.zeros((len(chunk), 2), dtype=np.int64), -chunk])  # class 0 level with the largest other
        integer, real = integer_log_odds(form, tables, q), log_odds(q * form.scale)
        worst = max(worst, float(np.abs(integer * form.nat_scale - real).max()))
        limit = _odds_limit(rule)
        sides += _beyond(form, minimum, limit, integer, real, n_values - 1 - chunk[:, -1])
        sides += _beyond(form, minimum, limit, -integer, -real, np.full(len(chunk), n_values - 1))
    n_sides = int((2 * n_values - 1 - distances[:, -1]).sum())
    return (
        _Tally(worst=worst).part("log-odds", "nats", len(distances), form.log_odds_margin, exhaustive),
        sides.part("side", "nats", n_sides, form.log_odds_margin, exhaustive),
    )


def _beyond(form: IntegerRule, minimum: int, limit: float, integer: Integers, real: Floats, most: Integers) -> _Tally:
    """Compare (d << guard_bits) + integer >= minimum with d * scale + real > limit, for all integers d up to `most`."""

    def bounded(first: Floats | Integers) -> Integers:
        return np.asarray(np.minimum(first, most + 1), dtype=np.int64)

    says = bounded(-((integer - minimum) >> form.guard_bits))
    before = bounded(np.floor((limit - real - _TIE) / form.scale) + 1)
    after = bounded(np.floor((limit - real + _TIE) / form.scale) + 1)
    early, late = np.maximum(before - says, 0), np.maximum(says - after, 0)
    farthest = np.where(early > 0, says, says - 1) * form.scale + real
    return _Tally(
        n_wrong=int((early + late).sum()),
        n_early=int(early.sum()),
        n_ties=int((after - before).sum()),
        worst=float(np.abs(farthest - limit)[early + late > 0].max(initial=0.0)),
    )


def _limits_error(
    form: IntegerRule, limits: Limits, minimum: int, rule: ElbertExit, budget: int, seed: int
) -> PartError:
    """Compare max |v| <= limits[min |v|] with p(max |v|) - p(min |v|) <= range_limit, given v.

    An entry serves 2^shift values of min |v| and is right for the lowest; p rises by at most 1/4 per nat, hence the
    bound. Beyond the last entry both forms allow everything.
    """
    top = (1 << (form.value_bits - 1)) - 1
    beyond = len(limits.entries) << limits.shift
    exhaustive = beyond - minimum <= budget
    if exhaustive:
        smallest = np.arange(minimum, beyond)
    else:
        smallest = np.unique(np.random.default_rng(seed).integers(minimum, beyond, budget // 64))
    entries = np.array(limits.entries, dtype=np.int64)
    tally = _Tally()
    for start in range(0, len(smallest), _CHUNK):
        chunk = smallest[start : start + _CHUNK]
        base = _probability(form, chunk)

        def spread(largest: Integers, base: Floats = base) -> Floats:
            return np.asarray(_probability(form, largest) - base)

        says = np.clip(entries[chunk >> limits.shift] + 1, chunk, top + 1)  # the first that the unit refuses
        before = _first(lambda w: spread(w) > rule.range_limit - _TIE, chunk, top + 1)
        after = _first(lambda w: spread(w) > rule.range_limit + _TIE, chunk, top + 1)
        early, late = np.maximum(says - after, 0), np.maximum(before - says, 0)
        farthest = spread(np.where(early > 0, says - 1, says))
        tally += _Tally(
            n_wrong=int((early + late).sum()),
            n_early=int(early.sum()),
            n_ties=int((after - before).sum()),
            worst=float(np.abs(farthest - rule.range_limit)[early + late > 0].max(initial=0.0)),
        )
    n_inputs = (top + 1 - minimum) * (top + 2 - minimum) // 2 if exhaustive else int((top + 1 - smallest).sum())
    bound = ((1 << limits.shift) - 1) * form.nat_scale / 4
    return tally.part("limits", "probability", n_inputs, bound, exhaustive)


def _probability(form: IntegerRule, v: Integers) -> Floats:
    """Probability of a class whose log-odds are v."""
    real = np.zeros((len(v), 2))
    real[:, 0] = v * form.nat_scale
    return np.ascontiguousarray(softmax(real)[:, 0])
