"""A rule in integers: the record of what an exit unit compares, and each of its tests at every layer.

Two classes. Every test on probabilities is a test on the difference dq = q_0 - q_1 of the integer logits, because
p and H are monotone in |dq|:

    Hn < d, H < S, max p >= C   <=>   |dq| >= minimum        x > 1/2 + m   <=>   dq >= minimum
    ELBERT bias_1               <=>   a run of equal sides   bias_2   <=>   bias_1 and the same run of steps
    ELBERT bias_3               <=>   bias_1 and  max |dq| <= limits[min |dq|]  over the window

The last only while `limits` has an entry for every integer; sampled (shift > 0) it asks for more than the spread does.

More classes. Three small tables, indexed by integers at the logits' own scale; no exp, log or division. With
y_j = m - z_j, A = sum e^-y_j and B = sum y_j e^-y_j:

    H < h  <=>  A (ln A - h) + B < 0          max p >= C  <=>  C A <= 1
    u = z_0 - m' - ln A'  is the log-odds of class 0, m' and A' over the other classes; it replaces dq in ELBERT

Not here: where the constants come from (`quant.exits.constants`), and the decision (`quant.exits.unit`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from hexit.quant.arrays import Flags, Integers
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import Bias


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A function of a non-negative integer: entries[(x + 2^shift/2) >> shift], and 0 beyond the last entry."""

    shift: int
    entries: tuple[int, ...]

    def __post_init__(self) -> None:
        """Reject what no memory holds."""
        _check_entries(self.shift, self.entries)

    def read(self, x: Integers) -> Integers:
        """Return the function's value at each of `x`."""
        address = (x + ((1 << self.shift) >> 1)) >> self.shift
        return np.asarray(np.array([*self.entries, 0])[np.minimum(address, len(self.entries))])


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A bound on one integer by another: y <= entries[x >> shift], and no bound beyond the last entry, if any."""

    shift: int
    entries: tuple[int, ...]

    def __post_init__(self) -> None:
        """Reject what no memory holds."""
        _check_entries(self.shift, self.entries, least=0)

    def read(self, x: Integers) -> Integers:
        """Return the bound at each of `x`."""
        bounds = np.array([*self.entries, np.iinfo(np.int64).max])
        return np.asarray(bounds[np.minimum(x >> self.shift, len(self.entries))])


def _check_entries(shift: int, entries: tuple[int, ...], least: int = 1) -> None:
    if shift < 0 or len(entries) < least or min(entries, default=0) < 0:
        shown = f"shift {shift}, {len(entries)} entries, least {min(entries, default=0)}"
        requirement = "must have entries, none of them and no shift negative"
        raise ConfigError("exit unit table", shown, requirement, "Build the unit again: hexit hls")


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceTest:
    """Holds where |q_0 - q_1| >= minimum."""

    minimum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyTest:
    """Holds where A (ln A - threshold) + B < 0.

    A is a sum of `exponential` (2^-fraction_bits), B of `weighted` and ln A from `logarithm` of A - 1, both in units
    of `IntegerRule.nat_scale`, as is `threshold`.
    """

    threshold: int
    exponential: Table
    weighted: Table
    logarithm: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbabilityTest:
    """Holds where threshold * A <= 2^(2 fraction_bits), A a sum of `exponential`."""

    threshold: int
    exponential: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class WinnerRun:
    """Holds where the winning class has been the same for `run_length` layers; a tie goes to the first class."""

    run_length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallStepRun:
    """Holds after `run_length` steps in a row of |q_l - q_(l-1)| < minimum."""

    minimum: int
    run_length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOdds:
    """Tables for the log-odds of class 0 with more than two classes, in units of `IntegerRule.nat_scale`."""

    exponential: Table
    logarithm: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class SideRun:
    """Holds where v >= minimum, or v <= -minimum, in `run_length` layers in a row, and the trend holds.

    v is q_0 - q_1, or the log-odds of class 0 where `log_odds` is given. `bias_2`: v never steps back towards the
    middle in the run. `bias_3`: max |v| over the last `run_length` layers is within `limits` of min |v|.
    """

    minimum: int
    run_length: int
    trend: Bias
    limits: Limits | None
    log_odds: LogOdds | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedLayer:
    """Holds at one layer, counting from 1."""

    layer: int


Test = DifferenceTest | EntropyTest | ProbabilityTest | FixedLayer
Trend = WinnerRun | SmallStepRun | SideRun


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerRule:
    """A rule in the integers of its exit unit: exit where `confidence` or `trend` holds, or after the last layer.

    `scale`: real logit = scale * integer. `guard_bits`: natural-logarithm quantities are in steps of
    nat_scale = scale * 2^-guard_bits.
    """

    rule: str
    n_classes: int
    logit_bits: int
    scale: float
    fraction_bits: int
    guard_bits: int
    confidence: Test | None
    trend: Trend | None

    @property
    def nat_scale(self) -> float:
        """Step of logarithms, entropies and log-odds, in nats."""
        return math.ldexp(self.scale, -self.guard_bits)

    @property
    def value_bits(self) -> int:
        """Bits of v, the signed number that a `SideRun` reads: q_0 - q_1, or the log-odds of class 0."""
        match self.trend:
            case SideRun(log_odds=LogOdds(logarithm=logarithm)):
                return log_odds_bits(self.logit_bits, self.guard_bits, logarithm)
            case _:
                return self.logit_bits + 1

    @property
    def confidence_margin(self) -> float:
        """Distance of H (nats) or max p from its threshold beyond which `confidence` is right; 0 = always right.

        With n classes, r half a step of the values and w the address step of the exponential (0 if every integer has
        its entry), tables look at logits that are off by w/2 and then round:

            H: w ln n + (n - 1)(2 + ln n) r + error of ln + half a step of the threshold      max p: e^(w/2) - 1 + n r
        """
        n, r = self.n_classes, self._half_step
        match self.confidence:
            case EntropyTest(exponential=exponential, logarithm=logarithm):
                rounding = (n - 1) * (2 + math.log(n)) * r + self._log_error(logarithm) + self.nat_scale / 2
                return self._address_step(exponential) * math.log(n) + rounding
            case ProbabilityTest(exponential=exponential):
                return math.expm1(self._address_step(exponential) / 2) + n * r
            case _:
                return 0.0

    @property
    def log_odds_margin(self) -> float:
        """Largest error of the log-odds that `trend` reads, in nats; 0 with two classes.

        w/2 + (n - 2) r + error of ln, with the letters of `confidence_margin`.
        """
        match self.trend:
            case SideRun(log_odds=LogOdds(exponential=exponential, logarithm=logarithm)):
                rounding = (self.n_classes - 2) * self._half_step + self._log_error(logarithm)
                return self._address_step(exponential) / 2 + rounding
            case _:
                return 0.0

    @property
    def _half_step(self) -> float:
        return math.ldexp(0.5, -self.fraction_bits)

    def _address_step(self, exponential: Table) -> float:
        return math.ldexp(self.scale, exponential.shift) if exponential.shift else 0.0

    def _log_error(self, table: Table) -> float:
        """Error of ln A at A >= 1: half a step of the value, and half an address step at slope 1 or less."""
        address = math.ldexp(1.0, table.shift - self.fraction_bits) if table.shift else 0.0
        return (self.nat_scale + address) / 2


def fires(form: IntegerRule, logits: Integers, layers: Sequence[int] | None = None) -> Flags:
    """Return whether the rule holds at each layer, [n_layers, n_samples], as if no sample had left before.

    `layers`: the numbers of the layers that `logits` come from, all from 1 by default; trends count over these.
    """
    holds = np.zeros(logits.shape[:2], dtype=np.bool_)
    match form.confidence:
        case FixedLayer(layer=layer):
            numbers = np.arange(1, len(logits) + 1) if layers is None else np.asarray(layers)
            holds[numbers == layer] = True
        case DifferenceTest() | EntropyTest() | ProbabilityTest() as test:
            holds |= _confident(form, test, logits)
        case None:
            pass
        case _:
            assert_never(form.confidence)
    match form.trend:
        case WinnerRun() | SmallStepRun() as trend:
            holds |= run_lengths(trend, logits) >= trend.run_length
        case SideRun() as trend:
            holds |= _side_run(form, trend, logits)
        case None:
            pass
        case _:
            assert_never(form.trend)
    return holds


def exponential_sum(exponential: Table, logits: Integers) -> Integers:
    """Return A = sum_j e^-(m - z_j) of [..., n_classes], in steps of 2^-fraction_bits."""
    return np.asarray(exponential.read(logits.max(axis=-1, keepdims=True) - logits).sum(axis=-1))


def _confident(form: IntegerRule, test: DifferenceTest | EntropyTest | ProbabilityTest, q: Integers) -> Flags:
    match test:
        case DifferenceTest():
            return np.asarray(np.abs(q[..., 0] - q[..., 1]) >= test.minimum)
        case EntropyTest():
            below = q.max(axis=-1, keepdims=True) - q
            total, weighted = exponential_sum(test.exponential, q), test.weighted.read(below).sum(axis=-1)
            log = test.logarithm.read(total - (1 << form.fraction_bits))
            return np.asarray(total * (log - test.threshold) + (weighted << form.fraction_bits) < 0)
        case ProbabilityTest():
            return np.asarray(test.threshold * exponential_sum(test.exponential, q) <= 1 << 2 * form.fraction_bits)
        case _:
            assert_never(test)


def run_lengths(trend: WinnerRun | SmallStepRun, q: Integers) -> Integers:
    """Return the run that `trend` compares with its `run_length`, at each layer, [n_layers, n_samples]."""
    match trend:
        case WinnerRun():
            winner = q.argmax(axis=-1)
            return _run(np.asarray(winner[1:] == winner[:-1]), first=1)
        case SmallStepRun():
            return _run(np.abs(q[1:, :, 0] - q[:-1, :, 0]) < trend.minimum, first=0)
        case _:
            assert_never(trend)


def _run(holds: Flags, first: int) -> Integers:
    """Count, for every layer, how often `holds` (for layer 2 and on) held in a row; `first` is layer 1's count."""
    count = np.full((holds.shape[0] + 1, holds.shape[1]), first, dtype=np.int64)
    for index in range(1, len(count)):
        count[index] = np.where(holds[index - 1], count[index - 1] + 1, first)
    return count


def _side_run(form: IntegerRule, trend: SideRun, q: Integers) -> Flags:
    v = q[..., 0] - q[..., 1] if trend.log_odds is None else integer_log_odds(form, trend.log_odds, q)
    side = np.where(v >= trend.minimum, 1, np.where(v <= -trend.minimum, -1, 0))
    keeps = side[1:] == side[:-1]
    if trend.trend == "bias_2":
        keeps &= side[1:] * (v[1:] - v[:-1]) >= 0
    holds: Flags = (side != 0) & (_run(keeps, first=1) >= trend.run_length)
    if trend.limits is not None:
        distance = np.abs(v)
        for index in range(trend.run_length - 1, len(q)):
            window = distance[index - trend.run_length + 1 : index + 1]
            holds[index] &= window.max(axis=0) <= trend.limits.read(window.min(axis=0))
    return holds


def integer_log_odds(form: IntegerRule, tables: LogOdds, q: Integers) -> Integers:
    """Return the log-odds of class 0 of [..., n_classes], u = q_0 - m' - ln A', in units of `form.nat_scale`."""
    rest = q[..., 1:]
    most = rest.max(axis=-1)
    total = exponential_sum(tables.exponential, rest)
    log = tables.logarithm.read(total - (1 << form.fraction_bits))
    return np.asarray(((q[..., 0] - most) << form.guard_bits) - log)


def log_odds_bits(logit_bits: int, guard_bits: int, logarithm: Table) -> int:
    """Bits of (q_0 - m' << guard_bits) - ln A'; with fine scales or many classes the logarithm is the larger term."""
    largest = (((1 << logit_bits) - 1) << guard_bits) + (1 << max(logarithm.entries).bit_length()) - 1
    return largest.bit_length() + 1
