"""From a published rule to the integers of its exit unit: thresholds by bisection, tables by rounding.

Two classes: the constants are found by bisection *on the floating-point test itself*, so that both forms agree
exactly, on every integer input, for every float32 scale within 2^-20 .. 2^8 (then scale * q and differences of it are
exact in float64; `integer_form` refuses other scales). ELBERT's bias_3 is the exception: exact while its limits have
an entry for every integer, 14 bits with the defaults at a range of +-8. Beyond, they are sampled: the unit exits later
than the equation where a window's spread is close to the limit, never earlier (docs/exit_unit.md counts how often).

More classes: the tables round, so decisions may differ from the floating-point form where a sample is within
`IntegerRule.confidence_margin` (or `log_odds_margin`) of a threshold, and nowhere else but for the sampled limits.

Not modelled: the oracle, for which no unit can be built.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from hexit.quant.arrays import Flags, Floats, Integers
from hexit.quant.errors import ConfigError
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
    Table,
    Test,
    Trend,
    WinnerRun,
    log_odds_bits,
)
from hexit.quant.exits.published import entropy, normalized_entropy, softmax
from hexit.quant.exits.rules import (
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
from hexit.quant.exits.table_format import TableFormat

MAX_LOGIT_BITS = 24  # bits; a difference times a float32 scale then fits the 53 bits of a float64


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
        return 1 << (log_odds_bits(self.logit_bits, self.guard_bits, self.logarithm(self.n_classes - 1)) - 1)

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
        beyond = first_integer(lambda v: self.likely(v) - base > range_limit, np.zeros_like(low), self.never)
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

    def smallest(self, holds: Callable[[Integers], Flags]) -> int:
        return int(first_integer(holds, np.zeros(1, dtype=np.int64), self.never)[0])


def _table(shift: int, values: Floats) -> Table:
    return Table(shift=shift, entries=tuple(np.rint(values).astype(np.int64).tolist()))


def first_integer(holds: Callable[[Integers], Flags], low: Integers, high: int) -> Integers:
    """Return the smallest integers from `low` on for which the monotone test `holds`; `high` where none below does."""
    low, high_ends = low.copy(), np.full(low.shape, high, dtype=np.int64)
    while (low < high_ends).any():
        middle = (low + high_ends) // 2
        reached = holds(middle)
        low = np.where(reached | (low >= high_ends), low, middle + 1)
        high_ends = np.where(reached, middle, high_ends)
    return low
