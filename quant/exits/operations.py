"""The operations of one exit unit: those that its rule's equation has, what became of them, and those of an event.

A published rule on probabilities needs an exponential per class, a division, and, for an entropy, a logarithm and
products. `rule_operations` derives from an `ExitUnitSpec` which of them were removed by an identity, which a table
replaces and which stay, and counts the integer operations of one event.

Counted is what `quant.exits.unit.decide_events` computes from logits and state. Signs, shifts, absolute values and
selections are wires or part of an adder and are not counted, nor are comparisons of the layer's number.

Not modelled: how the operations share logic (hw_model.exit_unit.area) or cycles (hw_model.exit_unit.timing).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, assert_never

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
    WinnerRun,
)
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
    parse_rule,
)
from hexit.quant.exits.unit import ExitUnitSpec

Operation = Literal["exp", "log", "divide", "multiply"]
Fate = Literal["removed", "table", "multiplier"]

_MONOTONE = "H and max p are monotone in |z_0 - z_1|, so that their threshold is a constant difference of logits"
_SIDE = "p_0 is monotone in z_0 - z_1: 1/2 + m is the difference ln((1/2 + m)/(1/2 - m)), and both rise together"
_ODDS = "p_0 is monotone in its log-odds u = z_0 - m' - ln A': 1/2 + m is u = ln((1/2 + m)/(1/2 - m))"
_SPREAD = "p is monotone in |v|: max p - min p <= r where max |v| is at most the entry for min |v|"
_EXPONENTIAL = "e^-y by the integer distance y below the largest logit"
_ENTROPY = "H = ln A + B/A and A > 0, so that H < h where A (ln A - h) + B < 0; ln K is part of h"
_PRODUCT = "one product, A (ln A - h); the products p ln p are entries of a table"
_PROBABILITY = "max p = 1/A, so that max p >= C where A <= 1/C, a constant"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSize:
    """One table: `entries` words of `bits` bits, unsigned."""

    name: str
    entries: int
    bits: int

    @property
    def total_bits(self) -> int:
        """Bits of memory."""
        return self.entries * self.bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """What became of operations of the published rule in one part of the unit, and by which identity or table.

    `fate`: removed exactly, replaced by `tables`, or still a multiplier.
    """

    part: Literal["confidence", "trend"]
    operations: tuple[Operation, ...]
    fate: Fate
    how: str
    tables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationCount:
    """Integer operations of one event."""

    subtractions: int = 0
    additions: int = 0
    comparisons: int = 0
    look_ups: int = 0
    multiplications: int = 0

    def __add__(self, other: OperationCount) -> OperationCount:
        """Return the operations of two parts that share none."""
        names = [field.name for field in dataclasses.fields(self)]
        return OperationCount(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOperations:
    """The operations of one exit unit: those of its published rule, what became of each, and those of an event."""

    rule: str
    n_classes: int
    published: tuple[Operation, ...]
    treatments: tuple[Treatment, ...]
    tables: tuple[TableSize, ...]
    count: OperationCount
    state_bits: int

    @property
    def table_bits(self) -> int:
        """Bits of all tables."""
        return sum(table.total_bits for table in self.tables)


def rule_operations(spec: ExitUnitSpec) -> RuleOperations:
    """Return the operations of `spec`, derived from its integers."""
    form, published = spec.form, published_operations(parse_rule(spec.rule))
    return RuleOperations(
        rule=spec.rule,
        n_classes=spec.n_classes,
        published=published,
        treatments=(*_treated_in_test(form, published), *_treated_in_trend(form, published)),
        tables=_tables(form),
        count=_winner_count(form.n_classes) + _test_count(form) + _trend_count(form),
        state_bits=spec.state_bits,
    )


def published_operations(rule: ExitRule) -> tuple[Operation, ...]:
    """Return the operations beyond adding and comparing that the equation of a rule has."""
    match rule:
        case ElbertExit() | NormalizedEntropyExit() | EntropyExit():
            return ("exp", "log", "divide", "multiply")
        case MaximumProbabilityExit():
            return ("exp", "divide")
        case HardwareOrientedExit() | PabeeExit() | PabeeRegressionExit() | FixedDepthExit() | OracleExit():
            return ()
        case _:
            assert_never(rule)


def _treated_in_test(form: IntegerRule, published: tuple[Operation, ...]) -> tuple[Treatment, ...]:
    match form.confidence:
        case DifferenceTest() if published:
            return (Treatment(part="confidence", operations=published, fate="removed", how=_MONOTONE),)
        case DifferenceTest() | FixedLayer() | None:
            return ()
        case EntropyTest():
            terms = f"{_EXPONENTIAL}, and y e^-y"
            return (
                _tabled("confidence", ("exp",), terms, "exponential", "weighted"),
                _tabled("confidence", ("log",), "ln A by A - 1, A = sum e^-y", "logarithm"),
                Treatment(part="confidence", operations=("divide",), fate="removed", how=_ENTROPY),
                Treatment(part="confidence", operations=("multiply",), fate="multiplier", how=_PRODUCT),
            )
        case ProbabilityTest():
            return (
                _tabled("confidence", ("exp",), _EXPONENTIAL, "exponential"),
                Treatment(part="confidence", operations=("divide",), fate="removed", how=_PROBABILITY),
            )
        case _:
            assert_never(form.confidence)


def _treated_in_trend(form: IntegerRule, published: tuple[Operation, ...]) -> tuple[Treatment, ...]:
    match form.trend:
        case SideRun(log_odds=None, limits=limits) if published:
            side = Treatment(part="trend", operations=("exp", "divide"), fate="removed", how=_SIDE)
            return (side, *_treated_by(limits))
        case SideRun(limits=limits) if published:
            return (
                _tabled(
                    "trend", ("exp",), "e^-y by the integer distance y below the largest other", "odds_exponential"
                ),
                _tabled("trend", ("log",), "ln A', which only the log-odds need, by A' - 1", "odds_logarithm"),
                Treatment(part="trend", operations=("divide",), fate="removed", how=_ODDS),
                *_treated_by(limits),
            )
        case SideRun() | WinnerRun() | SmallStepRun() | None:
            return ()
        case _:
            assert_never(form.trend)


def _treated_by(limits: Limits | None) -> tuple[Treatment, ...]:
    return () if limits is None else (_tabled("trend", ("exp", "divide"), _SPREAD, "limits"),)


def _tabled(
    part: Literal["confidence", "trend"], operations: tuple[Operation, ...], how: str, *tables: str
) -> Treatment:
    return Treatment(part=part, operations=operations, fate="table", how=how, tables=tables)


def _tables(form: IntegerRule) -> tuple[TableSize, ...]:
    tables: dict[str, Table | Limits] = {}
    match form.confidence:
        case EntropyTest(exponential=exponential, weighted=weighted, logarithm=logarithm):
            tables |= {"exponential": exponential, "weighted": weighted, "logarithm": logarithm}
        case ProbabilityTest(exponential=exponential):
            tables |= {"exponential": exponential}
        case DifferenceTest() | FixedLayer() | None:
            pass
        case _:
            assert_never(form.confidence)
    match form.trend:
        case SideRun(log_odds=log_odds, limits=limits):
            if log_odds is not None:
                tables |= {"odds_exponential": log_odds.exponential, "odds_logarithm": log_odds.logarithm}
            if limits is not None:
                tables |= {"limits": limits}
        case WinnerRun() | SmallStepRun() | None:
            pass
        case _:
            assert_never(form.trend)
    return tuple(
        TableSize(name=name, entries=len(table.entries), bits=max(1, max(table.entries).bit_length()))
        for name, table in tables.items()
    )


def _winner_count(n_classes: int) -> OperationCount:
    """With two classes the sign of the difference is the class; a regression has none."""
    if n_classes == 2:
        return OperationCount(subtractions=1)
    return OperationCount(comparisons=n_classes - 1)


def _test_count(form: IntegerRule) -> OperationCount:
    n = form.n_classes
    match form.confidence:
        case DifferenceTest():
            return OperationCount(comparisons=2)
        case EntropyTest(exponential=exponential, logarithm=logarithm):
            summed = OperationCount(subtractions=n, additions=2 * (n - 1), look_ups=2 * n)
            product = OperationCount(subtractions=2, additions=1, look_ups=1, multiplications=1)
            return summed + product + _rounded(exponential, n) + _rounded(logarithm, 1)
        case ProbabilityTest(exponential=exponential):
            summed = OperationCount(subtractions=n, additions=n - 1, look_ups=n, comparisons=1)
            return summed + _rounded(exponential, n)
        case FixedLayer() | None:
            return OperationCount()
        case _:
            assert_never(form.confidence)


def _trend_count(form: IntegerRule) -> OperationCount:
    """Every trend adds to its counter and compares it; the difference of two classes is that of the winner."""
    counter = OperationCount(additions=1, comparisons=1)
    match form.trend:
        case None:
            return OperationCount()
        case WinnerRun():
            return counter + OperationCount(comparisons=1)
        case SmallStepRun():
            return counter + OperationCount(subtractions=1, comparisons=2)
        case SideRun(run_length=run_length, trend=bias, limits=limits, log_odds=log_odds):
            total = counter + OperationCount(comparisons=4 if bias == "bias_2" else 3)
            if limits is not None:
                total += OperationCount(comparisons=2 * (run_length - 1) + 1, look_ups=1)
            return total if log_odds is None else total + _log_odds_count(form.n_classes, log_odds)
        case _:
            assert_never(form.trend)


def _log_odds_count(n_classes: int, log_odds: LogOdds) -> OperationCount:
    others = n_classes - 1
    summed = OperationCount(comparisons=others - 1, subtractions=others, additions=others - 1, look_ups=others)
    odds = OperationCount(subtractions=3, look_ups=1)  # A' - 1, q_0 - m', and ln A' from that
    return summed + odds + _rounded(log_odds.exponential, others) + _rounded(log_odds.logarithm, 1)


def _rounded(table: Table, n_look_ups: int) -> OperationCount:
    """The additions that round an address; none where every integer has its entry."""
    return OperationCount(additions=n_look_ups if table.shift else 0)
