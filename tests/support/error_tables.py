"""How far an exit unit may be from its rule: every comparison of the integers against the published one, measured.

`table_error` compares `quant.exits.integer_rule` with `quant.exits.published` on scale * integers, over all inputs of
the unit or, where these are too many, over a seeded share of them (`PartError.exhaustive`). The inputs are

    two classes, regression   every difference of two integers, from -(2^b - 1) to 2^b - 1
    entropy, max p            every sorted set of distances y_1 <= .. <= y_(K-1) below the largest logit
    log-odds                  every sorted set of distances of the other classes below the largest of them
    limits of bias_3          every pair (smallest, largest) of |v| in a window

They are not evaluated one by one: both forms are monotone along the last of these numbers. A quantity within 1e-12 of
its threshold is a tie, which float64 decides by rounding: counted, not called wrong.

Not modelled: how often the wrong inputs occur (a trace shows that), and errors of the logits themselves.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np

from hexit.quant.arrays import Flags, Floats, Integers
from hexit.quant.exits.constants import first_integer
from hexit.quant.exits.integer_rule import (
    DifferenceTest,
    EntropyTest,
    FixedLayer,
    IntegerRule,
    Limits,
    LogOdds,
    ProbabilityTest,
    SideRun,
    SmallStepRun,
    WinnerRun,
    fires,
    integer_log_odds,
)
from hexit.quant.exits.published import decide, log_odds, softmax
from hexit.quant.exits.rules import ElbertExit, ExitRule, HardwareOrientedExit, PabeeRegressionExit, parse_rule
from hexit.quant.exits.unit import ExitUnitSpec
from support.error_comparison import (
    CHUNK,
    TIE,
    Part,
    PartError,
    Surface,
    Tally,
    foreign,
    multisets,
    span,
    surface_of,
)
from support.error_confidence import confidence_error

BUDGET = 1 << 18  # inputs or prefixes of inputs: about a second

_OFF = 1000  # layers; the longest run that a rule takes, never reached here
_FAR = 1000.0  # logits; the largest threshold that a rule takes
_NEVER_SURE = 5e-324  # the smallest threshold of an entropy
_NATS_OF_A_SAMPLE = 20.0  # farther below the largest logit a class adds less than 1e-8 to any sum


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
            parts.append(confidence_error(form, exponential, surface_of(rule, form.n_classes), budget, seed))
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


def _elbert(rule: ExitRule) -> ElbertExit:
    if not isinstance(rule, ElbertExit):
        raise foreign(rule)
    return rule


def _odds_limit(rule: ElbertExit) -> float:
    """The log-odds beyond which class 0 is on a side: x > 1/2 + margin."""
    return math.log((0.5 + rule.margin) / (0.5 - rule.margin))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Published:
    """A rule whose only test is on the differences of two numbers, arranged by `layout`."""

    rule: ExitRule
    surface: Surface
    layout: Literal["classes of a layer", "layers of a class"] = "classes of a layer"

    def place(self, pair: Integers) -> Integers:
        """Return pairs [n, 2] as logits [n_layers, n, n_classes]."""
        return pair[None] if self.layout == "classes of a layer" else pair.T[..., None]

    def leaves(self, real: Floats) -> Flags:
        """Return whether the rule leaves after the last of the layers; a copy of it is added, where all leave."""
        return np.asarray(decide(self.rule, np.concatenate([real, real[-1:]])).exit_layer == len(real))


def _one_exit(rule: ExitRule) -> _Published:
    surface = surface_of(rule, 2)
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
            return _Published(rule=alone, surface=Surface(unit="logits", quantity=span, threshold=0.0))
        case _:
            elbert = _elbert(rule)
            alone = dataclasses.replace(elbert, threshold=_NEVER_SURE, window=1, bias="bias_1")
            return _Published(rule=alone, surface=Surface(unit="nats", quantity=span, threshold=_odds_limit(elbert)))


def _one_step(rule: ExitRule) -> _Published:
    if not isinstance(rule, PabeeRegressionExit):
        raise foreign(rule)
    surface = Surface(unit="logits", quantity=span, threshold=rule.tolerance)
    return _Published(rule=dataclasses.replace(rule, patience=1), surface=surface, layout="layers of a class")


def _one_layer(form: IntegerRule, trend: SideRun | SmallStepRun) -> IntegerRule:
    return dataclasses.replace(form, confidence=None, trend=trend)


def _difference_error(part: Part, published: _Published, integer: IntegerRule, minimum: int, budget: int) -> PartError:
    """Compare both forms on every difference, or near `minimum`, 0 and the ends where these are too many.

    Both depend on its absolute value alone and are monotone in that, so the neighbours of a flip stand for the rest.
    """
    largest = (1 << integer.logit_bits) - 1
    tally = Tally()
    for difference in _differences(largest, minimum, budget):
        first = difference // 2
        pair = np.stack([first, first - difference], axis=-1)
        q = published.place(pair)
        holds, leaves = fires(integer, q)[-1], published.leaves(np.asarray(q * integer.scale, dtype=np.float64))
        distance = np.abs(published.surface.quantity(pair * integer.scale) - published.surface.threshold)
        ties = distance <= TIE
        wrong = (holds != leaves) & ~ties
        tally += Tally(
            n_wrong=int(wrong.sum()),
            n_early=int((wrong & holds).sum()),
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
        yield from (np.arange(start, min(start + CHUNK, high)) for start in range(low, high, CHUNK))


def _log_odds_errors(
    form: IntegerRule, tables: LogOdds, minimum: int, rule: ElbertExit, budget: int, seed: int
) -> tuple[PartError, PartError]:
    """Measure the log-odds themselves, and the sides that they put a layer on."""
    n_values, size = 1 << form.logit_bits, form.n_classes - 2
    exhaustive = math.comb(n_values + size - 1, size) <= budget
    if exhaustive:
        distances = multisets(n_values, size)
    else:
        random = np.random.default_rng(seed)
        reach = random.uniform(0, _NATS_OF_A_SAMPLE, (max(1, budget // 64), 1)) * random.uniform(size=(1, size))
        distances = np.sort(np.minimum(np.rint(reach / form.scale).astype(np.int64), n_values - 1), axis=1)
    worst, sides = 0.0, Tally()
    for start in range(0, len(distances), CHUNK):
        chunk = distances[start : start + CHUNK]
        q = np.column_stack([np.zeros((len(chunk), 2), dtype=np.int64), -chunk])  # class 0 level with the largest other
        integer, real = integer_log_odds(form, tables, q), log_odds(q * form.scale)
        worst = max(worst, float(np.abs(integer * form.nat_scale - real).max()))
        limit = _odds_limit(rule)
        sides += _beyond(form, minimum, limit, integer, real, n_values - 1 - chunk[:, -1])
        sides += _beyond(form, minimum, limit, -integer, -real, np.full(len(chunk), n_values - 1))
    n_sides = int((2 * n_values - 1 - distances[:, -1]).sum())
    return (
        Tally(worst=worst).part("log-odds", "nats", len(distances), form.log_odds_margin, exhaustive),
        sides.part("side", "nats", n_sides, form.log_odds_margin, exhaustive),
    )


def _beyond(form: IntegerRule, minimum: int, limit: float, integer: Integers, real: Floats, most: Integers) -> Tally:
    """Compare (d << guard_bits) + integer >= minimum with d * scale + real > limit, for all integers d up to `most`."""

    def bounded(first: Floats | Integers) -> Integers:
        return np.asarray(np.minimum(first, most + 1), dtype=np.int64)

    unit_first = bounded(-((integer - minimum) >> form.guard_bits))
    before = bounded(np.floor((limit - real - TIE) / form.scale) + 1)
    after = bounded(np.floor((limit - real + TIE) / form.scale) + 1)
    early, late = np.maximum(before - unit_first, 0), np.maximum(unit_first - after, 0)
    farthest = np.where(early > 0, unit_first, unit_first - 1) * form.scale + real
    return Tally(
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
    tally = Tally()
    for start in range(0, len(smallest), CHUNK):
        chunk = smallest[start : start + CHUNK]
        base = _probability(form, chunk)

        def spread(largest: Integers, base: Floats = base) -> Floats:
            return np.asarray(_probability(form, largest) - base)

        unit_first = np.clip(entries[chunk >> limits.shift] + 1, chunk, top + 1)  # the first that the unit refuses
        before = first_integer(lambda w: spread(w) > rule.range_limit - TIE, chunk, top + 1)
        after = first_integer(lambda w: spread(w) > rule.range_limit + TIE, chunk, top + 1)
        early, late = np.maximum(unit_first - after, 0), np.maximum(before - unit_first, 0)
        farthest = spread(np.where(early > 0, unit_first - 1, unit_first))
        tally += Tally(
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


def error_text(part: PartError) -> str:
    """Return an error in one line: the worst measured, what is proven, and over how many inputs."""
    over = f"{part.n_inputs:,} inputs" if part.exhaustive else f"a share of {part.n_inputs:,} inputs"
    if part.n_wrong == 0 and part.worst == 0.0:
        return f"exact over {over}" if part.exhaustive else f"nothing wrong in {over}"
    wrong = f"{part.n_wrong:,} wrong of {over}" if part.n_wrong else f"over {over}"
    return f"worst {part.worst:.2g} {part.unit}, proven {part.bound:.2g}; {wrong}"


def error_cells(part: PartError) -> tuple[str, ...]:
    """Return an error as cells of a table: what is compared, inputs, wrong, early, worst, proven."""
    return (
        part.part,
        f"{part.n_inputs:,}" if part.exhaustive else f"{part.n_inputs:,} of more",
        f"{part.n_wrong:,}",
        f"{part.n_early:,}",
        f"{part.worst:.2g} {part.unit}" if part.worst else "0",
        f"{part.bound:.2g}",
    )
