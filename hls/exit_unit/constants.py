"""The numbers that generated hardware needs, under the names that kernels and RTL share.

Each is derived from an `ExitUnitSpec`; a constant that a unit does not use is 0, or 1 where it is a width.
"""

from __future__ import annotations

from enum import IntEnum
from typing import assert_never

from hexit.quant.exits.integer_rule import (
    DifferenceTest,
    EntropyTest,
    FixedLayer,
    Limits,
    ProbabilityTest,
    SideRun,
    SmallStepRun,
    Table,
    WinnerRun,
)
from hexit.quant.exits.unit import ExitUnitSpec


class Test(IntEnum):
    """What a unit asks of one exit; the numbers are those of the generated code."""

    __test__ = False  # no test class, whatever pytest thinks

    NONE = 0
    DIFFERENCE = 1
    ENTROPY = 2
    PROBABILITY = 3
    FIXED_LAYER = 4


class Trend(IntEnum):
    """What a unit asks of several exits in a row."""

    NONE = 0
    WINNER_RUN = 1
    SMALL_STEP_RUN = 2
    SIDE_RUN = 3


def tables(spec: ExitUnitSpec) -> dict[str, Table | Limits]:
    """Return the tables of a unit by name: those of its confidence test, of its log-odds, of its window."""
    present: dict[str, Table | Limits | None] = {}
    match spec.form.confidence:
        case EntropyTest(exponential=exponential, weighted=weighted, logarithm=logarithm):
            present = {"exponential": exponential, "weighted": weighted, "logarithm": logarithm}
        case ProbabilityTest(exponential=exponential):
            present = {"exponential": exponential}
        case _:
            pass
    if isinstance(spec.form.trend, SideRun):
        odds = spec.form.trend.log_odds
        present |= {"odds_exponential": odds.exponential, "odds_logarithm": odds.logarithm} if odds else {}
        present["limits"] = spec.form.trend.limits
    return {name: table for name, table in present.items() if table is not None}


TABLE_NAMES = ("exponential", "weighted", "logarithm", "odds_exponential", "odds_logarithm", "limits")


def constants(spec: ExitUnitSpec) -> dict[str, int]:
    """Return every constant of a unit by name, in a fixed order.

    ``X_SHIFT``, ``X_ENTRIES`` and ``X_BITS`` describe table ``x`` (`tables`): its address shift, its length and the
    width of its unsigned entries.
    """
    values = {
        "N_CLASSES": spec.n_classes,
        "LOGIT_BITS": spec.logit_bits,
        "N_LAYERS": spec.n_layers,
        "N_SLOTS": spec.n_slots,
        "CLASS_BITS": spec.class_bits,
        "LAYER_BITS": spec.layer_bits,
        "SLOT_BITS": spec.slot_bits,
        "FIRST_EXIT_LAYER": spec.first_exit_layer,
        "EXIT_MASK": spec.exit_mask,
        "CONFIDENCE_BITS": spec.confidence_bits,
        "FRACTION_BITS": spec.form.fraction_bits,
        "GUARD_BITS": spec.form.guard_bits,
        "VALUE_BITS": spec.value_bits,
        "SUM_BITS": spec.sum_bits,
        "COUNT_BITS": max(1, spec.count_bits),
        "RUN_LENGTH": spec.run_length,
        "STATE_BITS": max(1, spec.state_bits),
    }
    values |= dict.fromkeys(("TEST", "MIN_DIFFERENCE", "FIXED_LAYER", "ENTROPY_THRESHOLD", "SUM_LIMIT"), 0)
    values |= dict.fromkeys(("TREND", "BIAS", "MIN_STEP", "MIN_SIDE"), 0)
    values |= {name: int(value) for name, value in (_test(spec) | _trend(spec)).items()}
    present = tables(spec)
    for name in TABLE_NAMES:
        table = present.get(name)
        values[f"{name.upper()}_SHIFT"] = table.shift if table else 0
        values[f"{name.upper()}_ENTRIES"] = len(table.entries) if table else 0
        values[f"{name.upper()}_BITS"] = max(1, max(table.entries).bit_length()) if table else 1
    return values


def _test(spec: ExitUnitSpec) -> dict[str, int]:
    match spec.form.confidence:
        case None:
            return {}
        case DifferenceTest(minimum=minimum):
            return {"TEST": Test.DIFFERENCE, "MIN_DIFFERENCE": minimum}
        case EntropyTest(threshold=threshold):
            return {"TEST": Test.ENTROPY, "ENTROPY_THRESHOLD": threshold}
        case ProbabilityTest(threshold=threshold):
            return {"TEST": Test.PROBABILITY, "SUM_LIMIT": _sum_limit(spec, threshold)}
        case FixedLayer(layer=layer):
            return {"TEST": Test.FIXED_LAYER, "FIXED_LAYER": layer}
        case _:
            assert_never(spec.form.confidence)


def _sum_limit(spec: ExitUnitSpec, threshold: int) -> int:
    """The largest sum A with threshold A <= 2^(2 fraction_bits): the product is not needed."""
    largest = spec.n_classes << spec.form.fraction_bits
    return min(largest, (1 << 2 * spec.form.fraction_bits) // threshold) if threshold else largest


def _trend(spec: ExitUnitSpec) -> dict[str, int]:
    match spec.form.trend:
        case None:
            return {}
        case WinnerRun():
            return {"TREND": Trend.WINNER_RUN}
        case SmallStepRun(minimum=minimum):
            return {"TREND": Trend.SMALL_STEP_RUN, "MIN_STEP": minimum}
        case SideRun(minimum=minimum, trend=bias):
            return {"TREND": Trend.SIDE_RUN, "MIN_SIDE": minimum, "BIAS": int(bias.removeprefix("bias_"))}
        case _:
            assert_never(spec.form.trend)
