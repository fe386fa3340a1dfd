"""Early exits: the rules, and the two functions that turn logits into (exit layer, prediction).

`decide` is the published floating-point form and `decide_integer` the form that an exit unit computes; with two
classes they agree on every integer input. See `quant.exits.rules`, `quant.exits.published` and `quant.exits.integer`.
"""

from __future__ import annotations

from hexit.quant.exits.integer import IntegerRule, TableFormat, decide_integer, evaluate, integer_form
from hexit.quant.exits.published import Decision, decide
from hexit.quant.exits.rules import (
    RULES,
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
    Parameter,
    check_serves,
    format_rule,
    parameters,
    parse_rule,
)

__all__ = [
    "RULES",
    "Decision",
    "ElbertExit",
    "EntropyExit",
    "ExitRule",
    "FixedDepthExit",
    "HardwareOrientedExit",
    "IntegerRule",
    "MaximumProbabilityExit",
    "NormalizedEntropyExit",
    "OracleExit",
    "PabeeExit",
    "PabeeRegressionExit",
    "Parameter",
    "TableFormat",
    "check_serves",
    "decide",
    "decide_integer",
    "evaluate",
    "format_rule",
    "integer_form",
    "parameters",
    "parse_rule",
]
