"""The mathematics of an exit unit as text: its operations, and how far it may be from its published rule."""

from __future__ import annotations

from typing import assert_never

from hexit.quant.exits.integer_rule import (
    DifferenceTest,
    EntropyTest,
    FixedLayer,
    IntegerRule,
    ProbabilityTest,
    SideRun,
    SmallStepRun,
    WinnerRun,
)
from hexit.quant.exits.operations import rule_operations
from hexit.quant.exits.unit import ExitUnitSpec

SAMPLED = "sampled: the unit leaves later than the equation where they differ, never earlier"


def mathematics_lines(spec: ExitUnitSpec) -> tuple[str, ...]:
    """Return the operations of a unit and the bounds of its error in lines of text for people."""
    operations = rule_operations(spec)
    sizes = {table.name: f"{table.name} {table.entries:,} x {table.bits} bits" for table in operations.tables}
    lines = [f"the rule asks for {', '.join(operations.published) or 'no exp, log, division or product'}"]
    for item in operations.treatments:
        what = "removed exactly" if item.fate == "removed" else item.fate
        named = f" ({', '.join(sizes[name] for name in item.tables)})" if item.tables else ""
        lines.append(f"{item.part}: {', '.join(item.operations)}: {what}{named}: {item.how}")
    n = operations.count
    lines.append(
        f"per event: subtractions {n.subtractions}, additions {n.additions}, comparisons {n.comparisons}, "
        f"look-ups {n.look_ups}, products {n.multiplications}; bits of state per sentence {operations.state_bits}"
    )
    return (*lines, *_error_lines(spec.form))


def _error_lines(form: IntegerRule) -> list[str]:
    """How far each comparison may be from the published one: the proven margins of the integers (docs/exit_unit.md)."""
    lines = []
    match form.confidence:
        case DifferenceTest() | EntropyTest():
            lines.append(f"confidence: {_margin(form.confidence_margin, 'nats')}")
        case ProbabilityTest():
            lines.append(f"confidence: {_margin(form.confidence_margin, 'in probability')}")
        case FixedLayer() | None:
            pass
        case _:
            assert_never(form.confidence)
    match form.trend:
        case SideRun(limits=limits):
            lines.append(f"side: {_margin(form.log_odds_margin, 'nats')}")
            lines += [f"limits: {SAMPLED}"] if limits is not None and limits.shift else []
        case SmallStepRun():
            lines.append(f"step: {_margin(0.0, '')}")
        case WinnerRun() | None:
            pass
        case _:
            assert_never(form.trend)
    return lines


def _margin(margin: float, unit: str) -> str:
    return f"as published, but within {margin:.2g} {unit} of its threshold" if margin else "as published"
