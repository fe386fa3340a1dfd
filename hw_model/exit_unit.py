"""Which pipeline of the exit-decision unit a rule needs.

With two classes every rule on entropy or probability is one compare of the logit difference, see quant.exit_integer.
"""

from __future__ import annotations

from typing import assert_never

from hw_model.vector import Criterion
from quant.exit_rules import (
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
)


def criterion_of(rule: ExitRule) -> Criterion:
    """Return the criterion whose pipeline evaluates a rule; the oracle, a bound, is charged as a fixed depth."""
    match rule:
        case HardwareOrientedExit():
            return "margin"
        case PabeeExit() | PabeeRegressionExit():
            return "run"
        case ElbertExit(bias="bias_1"):
            return "entropy"
        case ElbertExit():
            return "window"
        case EntropyExit() | NormalizedEntropyExit():
            return "entropy"
        case MaximumProbabilityExit():
            return "probability"
        case FixedDepthExit() | OracleExit():
            return "fixed"
        case _:
            assert_never(rule)
