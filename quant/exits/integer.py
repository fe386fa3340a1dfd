"""Exit decisions in integers: what an exit unit computes, layer by layer, from integer logits and constants.

`integer_form` turns a rule into an `IntegerRule`: plain integers and tuples of integers, everything that hardware
has to be told. `evaluate` is the unit. Per sample it remembers at most the last v and side, a counter and, for
bias_3 alone, the window.

Two classes. Every test on probabilities is a test on the difference dq = q_0 - q_1 of the integer logits, because
p and H are monotone in |dq|. The constants are found by bisection *on the floating-point test itself*, so both
forms agree exactly, on every integer input, for every scale that a float32 can hold (then scale * q and differences
of it are exact in float64):

    Hn < d, H < S, max p >= C   <=>   |dq| >= minimum        x > 1/2 + m   <=>   dq >= minimum
    ELBERT bias_1               <=>   a run of equal sides   bias_2   <=>   bias_1 and the same run of steps
    ELBERT bias_3               <=>   bias_1 and  max |dq| <= limits[min |dq|]  over the window

More classes. Three small tables, indexed by integers at the logits' own scale; no exp, log or division. With
y_j = m - z_j, A = sum e^-y_j and B = sum y_j e^-y_j:

    H < h  <=>  A (ln A - h) + B < 0          max p >= C  <=>  C A <= 1
    u = z_0 - m' - ln A'  is the log-odds of class 0, m' and A' over the other classes; it replaces dq in ELBERT

The tables round, so decisions may differ from the floating-point form where a sample is within
`IntegerRule.confidence_margin` (or `log_odds_margin`) of a threshold, and nowhere else. The limits of bias_3 are
sampled if they do not fit their table; the unit then exits later than the equation, never earlier.

Not modelled: cycles and area, and the oracle, for which no unit can be built.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
from numpy.typing import ArrayLike

from hexit.quant.errors import ConfigError
from hexit.quant.exits.published import (
    Decision,
    Flags,
    Floats,
    Integers,
    checked_labels,
    decision_at,
    entropy,
    first_exit,
    normalized_entropy,
    softmax,
)
from hexit.quant.exits.rules import (
    Bias,
    ElbertExit,
    EntropyExit,
    ExitRule,
    FixedDepthExit,
    HardwareOrientedExit,
    MaximumProbabilityExit,
    NormalizedEntropyExit,
    OracleExit,
    PabeeExit,
    PabeeRegressionExit,
    check_serves,
)

MAX_LOGIT_BITS = 24  # bits; a difference times a float32 scale then fits the 53 bits of a float64


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFormat:
    """Size and resolution of the tables: at most 2^address_bits entries, values in steps of 2^-fraction_bits."""

    address_bits: int = 12
    fraction_bits: int = 16

    def __post_init__(self) -> None:
        """Reject tables that are useless or do not fit the arithmetic of `evaluate` (64 bits)."""
        for name, low, high in (("address_bits", 4, 16), ("fraction_bits", 4, 20)):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"table {name}", getattr(self, name), f"must be {low}..{high}", "The default is good")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A function of a non-negative integer: entries[(x + 2^shift/2) >> shift], and 0 beyond the last entry."""

    shift: int
    entries: tuple[int, ...]

    def __post_init__(self) -> None:
        """Reject what no memory holds."""
        _check_entries(self.shift, self.entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A bound on one integer by another: y <= entries[x >> shift], and no bound beyond the last entry, if any."""

    shift: int
    entries: tuple[int, ...]

    def __post_init__(self) -> None:
        """Reject what no memory holds."""
        _check_entries(self.shift, self.entries, least=0)


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
    """Holds where v >= minimum, or v <= -minimum, in `run_length` layers in a row, and the trend is as asked.

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
    """A rule as an exit unit knows it: exit where `confidence` or `trend` holds, or after the last layer.

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
                return _value_bits(self.logit_bits, self.guard_bits, logarithm)
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


def decide_integer(
    rule: ExitRule,
    logits: ArrayLike,
    scale: float,
    labels: ArrayLike | None = None,
    *,
    tables: TableFormat | None = None,
) -> Decision:
    """Return exit layer and prediction of every sample under `rule`, in integers.

    `logits` are integers of at most 24 bits, [n_layers, n_samples, n_classes]; a real logit is scale * integer.
    With two classes, and for every scale that a float32 can hold, this equals `decide` on the real logits. Raises
    ConfigError for a rule that cannot serve the logits.
    """
    q = _checked(logits)
    n_layers, n_samples, n_classes = q.shape
    check_serves(rule, n_layers, n_classes)
    if isinstance(rule, OracleExit):
        right = q.argmax(axis=-1) == checked_labels(labels, n_samples)
        right[0] |= ~right.any(axis=0)
        return decision_at(first_exit(right), q, scale)
    return evaluate(integer_form(rule, n_classes=n_classes, scale=scale, tables=tables), q)


def evaluate(form: IntegerRule, logits: ArrayLike) -> Decision:
    """Run the exit unit that `form` describes over integer logits [n_layers, n_samples, n_classes].

    This function is the definition of the unit: its integers are those of the hardware.
    """
    q = _checked(logits)
    limit = 1 << (form.logit_bits - 1)
    if q.min() < -limit or q.max() >= limit:
        worst = int(q.min() if q.min() < -limit else q.max())
        raise ConfigError("logits", worst, f"must fit {form.logit_bits} bits", "Use wider --logit-bits")
    return decision_at(first_exit(fires(form, q)), q, form.scale)


def fires(form: IntegerRule, logits: Integers, layers: Sequence[int] | None = None) -> Flags:
    """Return whether the test holds at each layer, [n_layers, n_samples], as if no sample had left before.

    `layers`: the numbers of the layers that `logits` come from, all from 1 by default; trends count over these.
    """
    held = np.zeros(logits.shape[:2], dtype=np.bool_)
    if form.confidence is not None:
        held |= _confident(form, form.confidence, logits, layers)
    if form.trend is not None:
        held |= _trending(form, form.trend, logits)
    return held


def exponential_sum(exponential: Table, logits: Integers) -> Integers:
    """Return A = sum_j e^-(m - z_j) of [..., n_classes], in steps of 2^-fraction_bits."""
    return np.asarray(_look_up(exponential, logits.max(axis=-1, keepdims=True) - logits).sum(axis=-1))


def _checked(logits: ArrayLike) -> Integers:
    q = np.asarray(logits)
    if q.ndim != 3 or 0 in q.shape:
        requirement = "must be n_layers x n_samples x n_classes, none of them 0"
        raise ConfigError("logits", "x".join(map(str, q.shape)), requirement, "Check the trace")
    if not np.issubdtype(q.dtype, np.integer):
        raise ConfigError("logits", str(q.dtype), "must be integers", "Use decide for real logits")
    return q.astype(np.int64)


def _confident(form: IntegerRule, test: Test, q: Integers, layers: Sequence[int] | None) -> Flags:
    match test:
        case DifferenceTest():
            return np.asarray(np.abs(q[..., 0] - q[..., 1]) >= test.minimum)
        case EntropyTest():
            below = q.max(axis=-1, keepdims=True) - q
            total = exponential_sum(test.exponential, q)
            weighted = _look_up(test.weighted, below).sum(axis=-1)
            log = _look_up(test.logarithm, total - (1 << form.fraction_bits))
            left = total * (log - test.threshold) + (weighted << form.fraction_bits)
            return np.asarray(left < 0)
        case ProbabilityTest():
            total = exponential_sum(test.exponential, q)
            return np.asarray(test.threshold * total <= 1 << 2 * form.fraction_bits)
        case FixedLayer():
            numbers = np.arange(1, len(q) + 1) if layers is None else np.asarray(layers)
            return np.repeat(numbers[:, None] == test.layer, q.shape[1], axis=1)
        case _:
            assert_never(test)


def _trending(form: IntegerRule, trend: Trend, q: Integers) -> Flags:
    match trend:
        case WinnerRun() | SmallStepRun():
            return np.asarray(run_lengths(trend, q) >= trend.run_length)
        case SideRun():
            return _side_run(form, trend, q)
        case _:
            assert_never(trend)


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
    fires: Flags = (side != 0) & (_run(keeps, first=1) >= trend.run_length)
    if trend.limits is not None:
        distance = np.abs(v)
        for index in range(trend.run_length - 1, len(q)):
            window = distance[index - trend.run_length + 1 : index + 1]
            fires[index] &= _within(trend.limits, window.min(axis=0), window.max(axis=0))
    return fires


def _within(limits: Limits, smallest: Integers, largest: Integers) -> Flags:
    address = smallest >> limits.shift
    entries = np.array([*limits.entries, np.iinfo(np.int64).max])
    return np.asarray(largest <= entries[np.minimum(address, len(limits.entries))])


def integer_log_odds(form: IntegerRule, tables: LogOdds, q: Integers) -> Integers:
    """Return the log-odds of class 0 of [..., n_classes], u = q_0 - m' - ln A', in units of `form.nat_scale`."""
    rest = q[..., 1:]
    most = rest.max(axis=-1)
    total = _look_up(tables.exponential, most[..., None] - rest).sum(axis=-1)
    log = _look_up(tables.logarithm, total - (1 << form.fraction_bits))
    return np.asarray(((q[..., 0] - most) << form.guard_bits) - log)


def _look_up(table: Table, x: Integers) -> Integers:
    entries = np.array([*table.entries, 0], dtype=np.int64)
    address = (x + ((1 << table.shift) >> 1)) >> table.shift
    return np.asarray(entries[np.minimum(address, len(table.entries))])


def integer_form(
    rule: ExitRule,
    *,
    n_classes: int,
    scale: float,
    logit_bits: int = MAX_LOGIT_BITS,
    tables: TableFormat | None = None,
) -> IntegerRule:
    """Return the integers with which an exit unit decides `rule` for logits of `logit_bits` bits at `scale`.

    Raises ConfigError for a scale outside 2^-20..2^8, a rule that cannot serve `n_classes`, and the oracle.
    """
    if not 2.0**-20 <= scale <= 2.0**8:
        raise ConfigError("logit scale", scale, "must be within 2^-20 .. 2^8", "Check the calibration")
    if not 4 <= logit_bits <= MAX_LOGIT_BITS:
        raise ConfigError("--logit-bits", logit_bits, f"must be 4..{MAX_LOGIT_BITS}", "Try --logit-bits 16")
    if isinstance(rule, OracleExit):
        remedy = "Use --rule hardware (two classes), elbert, pabee, entropy or max-probability"
        raise ConfigError("--rule", rule.name, "reads labels, so no exit unit can decide it", remedy)
    check_serves(rule, rule.layer if isinstance(rule, FixedDepthExit) else 1, n_classes)
    build = _Constants(n_classes=n_classes, scale=scale, logit_bits=logit_bits, format=tables or TableFormat())
    confidence, trend = build.tests(rule)
    return IntegerRule(
        rule=rule.name,
        n_classes=n_classes,
        logit_bits=logit_bits,
        scale=scale,
        fraction_bits=build.format.fraction_bits,
        guard_bits=build.guard_bits,
        confidence=confidence,
        trend=trend,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Constants:
    """Finds thresholds and fills tables for one kind of logits."""

    n_classes: int
    scale: float
    logit_bits: int
    format: TableFormat

    @property
    def guard_bits(self) -> int:
        """Bits below the logits' own step that logarithms need to be as fine as the tables' values."""
        if self.n_classes <= 2:
            return 0
        return max(0, math.ceil(math.log2(self.scale)) + self.format.fraction_bits)

    @property
    def nat_scale(self) -> float:
        return math.ldexp(self.scale, -self.guard_bits)

    @property
    def never(self) -> int:
        """A number that no difference of logits, and no log-odds, reaches."""
        if self.n_classes <= 2:
            return 1 << self.logit_bits
        return 1 << (_value_bits(self.logit_bits, self.guard_bits, self.logarithm(self.n_classes - 1)) - 1)

    def tests(self, rule: ExitRule) -> tuple[Test | None, Trend | None]:
        """Return the confidence test and the trend test of `rule`; either may be missing."""
        match rule:
            case HardwareOrientedExit():
                far = DifferenceTest(minimum=self.smallest(lambda q: q * self.scale > rule.threshold))
                run = SideRun(minimum=1, run_length=rule.run_length, trend="bias_1", limits=None, log_odds=None)
                return far, run
            case ElbertExit():
                nats = rule.threshold * math.log(self.n_classes)
                return self.sure(lambda z: normalized_entropy(z) < rule.threshold, nats), self.side_run(rule)
            case PabeeExit():
                return None, WinnerRun(run_length=rule.patience + 1)
            case PabeeRegressionExit():
                minimum = self.smallest(lambda q: q * self.scale >= rule.tolerance)
                return None, SmallStepRun(minimum=minimum, run_length=rule.patience)
            case NormalizedEntropyExit():
                nats = rule.threshold * math.log(self.n_classes)
                return self.sure(lambda z: normalized_entropy(z) <= rule.threshold, nats), None
            case EntropyExit():
                return self.sure(lambda z: entropy(z) < rule.threshold, rule.threshold), None
            case MaximumProbabilityExit():
                if self.n_classes == 2:
                    return self.pair_test(lambda z: softmax(z).max(axis=-1) >= rule.threshold), None
                threshold = round(math.ldexp(rule.threshold, self.format.fraction_bits))
                return ProbabilityTest(threshold=threshold, exponential=self.exponential()[0]), None
            case FixedDepthExit():
                return FixedLayer(layer=rule.layer), None
            case OracleExit():
                raise AssertionError("the oracle has no integer form")
            case _:
                assert_never(rule)

    def sure(self, holds: Callable[[Floats], Flags], nats: float) -> Test:
        """Return an entropy test: one compare with two classes, tables with more."""
        if self.n_classes == 2:
            return self.pair_test(holds)
        exponential, weighted = self.exponential()
        return EntropyTest(
            threshold=round(nats / self.nat_scale),
            exponential=exponential,
            weighted=weighted,
            logarithm=self.logarithm(self.n_classes),
        )

    def pair_test(self, holds: Callable[[Floats], Flags]) -> DifferenceTest:
        return DifferenceTest(minimum=self.smallest(lambda q: holds(self.pair(q))))

    def side_run(self, rule: ElbertExit) -> SideRun:
        log_odds = None
        if self.n_classes > 2:
            log_odds = LogOdds(exponential=self.exponential()[0], logarithm=self.logarithm(self.n_classes - 1))
        return SideRun(
            minimum=self.smallest(lambda v: self.likely(v) > 0.5 + rule.margin),
            run_length=rule.window,
            trend=rule.bias,
            limits=self.limits(rule.range_limit) if rule.bias == "bias_3" else None,
            log_odds=log_odds,
        )

    def limits(self, range_limit: float) -> Limits:
        """For |v| at the low end of each address: the largest |v| whose probability is at most range_limit more."""
        top = self.likely(np.array([self.never - 1]))
        n_addresses = self.smallest(lambda v: top - self.likely(v) <= range_limit)
        shift = max(0, (max(1, n_addresses) - 1).bit_length() - self.format.address_bits)
        low = np.arange(0, n_addresses, 1 << shift)
        base = self.likely(low)
        beyond = _bisect(lambda v: self.likely(v) - base > range_limit, self.never, len(low))
        return Limits(shift=shift, entries=tuple((beyond - 1).tolist()))

    def exponential(self) -> tuple[Table, Table]:
        """Return e^-y and y e^-y by integer distance from the largest logit, up to where both round to 0."""
        smallest = math.ldexp(1.0, -self.format.fraction_bits - 2)
        end = 1.0
        while end * math.exp(-end) >= smallest:
            end += 0.125
        last = min(math.ceil(end / self.scale), (1 << self.logit_bits) - 1)
        y, shift = self.addresses(last)
        values = y * self.scale
        e = np.exp(-values)
        exponential = _table(shift, np.ldexp(e, self.format.fraction_bits))
        return exponential, _table(shift, values * e / self.nat_scale)

    def logarithm(self, n_terms: int) -> Table:
        """Return ln A, by A - 1 in steps of 2^-fraction_bits, for a sum A of `n_terms` exponentials."""
        above, shift = self.addresses((n_terms - 1) << self.format.fraction_bits)
        return _table(shift, np.log1p(np.ldexp(above.astype(float), -self.format.fraction_bits)) / self.nat_scale)

    def addresses(self, last: int) -> tuple[Integers, int]:
        """Return the inputs 0..`last` that a table samples, and how far an input is shifted to address it."""
        shift = 0
        while (last + ((1 << shift) >> 1)) >> shift >= 1 << self.format.address_bits:
            shift += 1
        return np.arange(((last + ((1 << shift) >> 1)) >> shift) + 1) << shift, shift

    def pair(self, q: Integers) -> Floats:
        """Return real logits (nat_scale q, 0) of two classes."""
        real = np.zeros((*q.shape, 2))
        real[..., 0] = q * self.nat_scale
        return real

    def likely(self, v: Integers) -> Floats:
        """Return the probability of a class whose log-odds are nat_scale v."""
        return np.ascontiguousarray(softmax(self.pair(v))[..., 0])

    def smallest(self, holds: Callable[[Integers], Any]) -> int:
        return int(_bisect(holds, self.never, 1)[0])


def _value_bits(logit_bits: int, guard_bits: int, logarithm: Table) -> int:
    """Bits of (q_0 - m' << guard_bits) - ln A'; with fine scales or many classes the logarithm is the larger term."""
    largest = (((1 << logit_bits) - 1) << guard_bits) + (1 << max(logarithm.entries).bit_length()) - 1
    return largest.bit_length() + 1


def _table(shift: int, values: Floats) -> Table:
    return Table(shift=shift, entries=tuple(np.rint(values).astype(np.int64).tolist()))


def _bisect(holds: Callable[[Integers], Any], never: int, n: int) -> Integers:
    """Return, n times over, the smallest integer from 0 for which the monotone test `holds`; `never` if none does."""
    low, high = np.zeros(n, dtype=np.int64), np.full(n, never, dtype=np.int64)
    while (low < high).any():
        middle = (low + high) // 2
        found = holds(middle)
        low, high = np.where(found | (low >= high), low, middle + 1), np.where(found, middle, high)
    return low
