"""The numbers that generated hardware needs, under the names that kernels and RTL share.

Each is derived from an `ExitUnitSpec`; a constant that a unit does not use is 0, or 1 where it is a width.
"""

from __future__ import annotations

from enum import IntEnum
from typing import assert_never

from hexit.quant.exits.integer import (
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
    found: dict[str, Table | Limits] = {}
    match spec.form.confidence:
        case EntropyTest(exponential=exponential, weighted=weighted, logarithm=logarithm):
            found |= {"exponential": exponential, "weighted": weighted, "logarithm": logarithm}
        case ProbabilityTest(exponential=exponential):
            found["exponential"] = exponential
        case _:
            pass
    match spec.form.trend:
        case SideRun(log_odds=log_odds, limits=limits):
            if log_odds is not None:
                found |= {"odds_exponential": log_odds.exponential, "odds_logarithm": log_odds.logarithm}
            if limits is not None:
                found["limits"] = limits
        case _:
            pass
    return found


TABLE_NAMES = ("exponential", "weighted", "logarithm", "odds_exponential", "odds_logarithm", "limits")


def constants(spec: ExitUnitSpec) -> dict[str, int]:
    """Return every constant of a unit by name, in a fixed order.

    ``X_SHIFT``, ``X_ENTRIES`` and ``X_BITS`` describe table ``x`` (`tables`): its address shift, its length and the
    width of its unsigned entries.
    """
    form = spec.form
    found = {
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
        "FRACTION_BITS": form.fraction_bits,
        "GUARD_BITS": form.guard_bits,
        "VALUE_BITS": spec.value_bits,
        "SUM_BITS": spec.sum_bits,
        "COUNT_BITS": max(1, spec.count_bits),
        "RUN_LENGTH": spec.run_length,
        "STATE_BITS": max(1, spec.state_bits),
    }
    found |= _test(spec) | _trend(spec)
    present = tables(spec)
    for name in TABLE_NAMES:
        table = present.get(name)
        found[f"{name.upper()}_SHIFT"] = table.shift if table else 0
        found[f"{name.upper()}_ENTRIES"] = len(table.entries) if table else 0
        found[f"{name.upper()}_BITS"] = max(1, max(table.entries).bit_length()) if table else 1
    return found


def _test(spec: ExitUnitSpec) -> dict[str, int]:
    found = {"TEST": Test.NONE, "MIN_DIFFERENCE": 0, "FIXED_LAYER": 0, "ENTROPY_THRESHOLD": 0, "SUM_LIMIT": 0}
    match spec.form.confidence:
        case None:
            return {key: int(value) for key, value in found.items()}
        case DifferenceTest(minimum=minimum):
            found |= {"TEST": Test.DIFFERENCE, "MIN_DIFFERENCE": minimum}
        case EntropyTest(threshold=threshold):
            found |= {"TEST": Test.ENTROPY, "ENTROPY_THRESHOLD": threshold}
        case ProbabilityTest(threshold=threshold):
            found |= {"TEST": Test.PROBABILITY, "SUM_LIMIT": sum_limit(spec, threshold)}
        case FixedLayer(layer=layer):
            found |= {"TEST": Test.FIXED_LAYER, "FIXED_LAYER": layer}
        case _:
            assert_never(spec.form.confidence)
    return {key: int(value) for key, value in found.items()}


def sum_limit(spec: ExitUnitSpec, threshold: int) -> int:
    """Return the largest sum A with threshold A <= 2^(2 fraction_bits): the product is not needed."""
    largest = spec.n_classes << spec.form.fraction_bits
    return min(largest, (1 << 2 * spec.form.fraction_bits) // threshold) if threshold else largest


def _trend(spec: ExitUnitSpec) -> dict[str, int]:
    found = {"TREND": Trend.NONE, "BIAS": 0, "MIN_STEP": 0, "MIN_SIDE": 0}
    match spec.form.trend:
        case None:
            pass
        case WinnerRun():
            found |= {"TREND": Trend.WINNER_RUN}
        case SmallStepRun(minimum=minimum):
            found |= {"TREND": Trend.SMALL_STEP_RUN, "MIN_STEP": minimum}
        case SideRun(minimum=minimum, trend=bias):
            found |= {"TREND": Trend.SIDE_RUN, "MIN_SIDE": minimum, "BIAS": int(bias.removeprefix("bias_"))}
        case _:
            assert_never(spec.form.trend)
    return {key: int(value) for key, value in found.items()}
