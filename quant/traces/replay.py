"""Exit decisions on a trace, without the network: by the exit unit on its integers, by the published rule on its reals.

A published profile has the certainty of every exit, but not the class that won: `profile_decision` admits only rules
for which that is enough.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from hexit.quant.errors import ConfigError
from hexit.quant.exits.constants import MAX_LOGIT_BITS
from hexit.quant.exits.published import Decision, decide
from hexit.quant.exits.rules import (
    ElbertExit,
    EntropyExit,
    ExitRule,
    FixedDepthExit,
    HardwareOrientedExit,
    MaximumProbabilityExit,
    NormalizedEntropyExit,
)
from hexit.quant.exits.unit import ExitUnitSpec, exit_unit_spec, unit_decision
from hexit.quant.traces.trace import UNLABELLED, ExitTrace


def trace_unit(rule: ExitRule, trace: ExitTrace) -> ExitUnitSpec:
    """Return the unit that a rule needs for recorded logits; ConfigError for a rule that cannot serve them."""
    return exit_unit_spec(
        rule, n_layers=trace.n_layers, n_classes=trace.n_classes, scale=trace.scale, logit_bits=logit_bits(trace)
    )


def logit_bits(trace: ExitTrace) -> int:
    """Return the bits of the recorded logits: those of the quantised network, else the most that a unit reads."""
    return trace.origin.quant.logit_bits if trace.origin.quant is not None else MAX_LOGIT_BITS


def published_decision(rule: ExitRule, trace: ExitTrace, evaluated_layers: tuple[int, ...] | None = None) -> Decision:
    """Return the decision of the published rule on real logits; it sees the exits of `evaluated_layers`, or all."""
    labels = trace.labels if trace.labelled else None
    if evaluated_layers is None or isinstance(rule, FixedDepthExit):
        return decide(rule, trace.real_logits, labels)
    layers = np.array(evaluated_layers)
    decision = decide(rule, trace.real_logits[layers - 1], labels)
    return dataclasses.replace(decision, exit_layer=layers[decision.exit_layer - 1])


def profile_decision(rule: ExitRule, trace: ExitTrace) -> Decision:
    """Return the decision of the rule's unit on the trace of a published profile; every prediction is -1.

    Raises ConfigError for a rule that follows the winning class, which a profile does not tell.
    """
    if not _needs_certainty_alone(rule, trace.n_layers):
        remedy = "Use --rule entropy, normalized-entropy, max-probability or fixed-depth"
        raise ConfigError("--rule", rule.name, "follows the winning class, which a profile does not tell", remedy)
    decision = unit_decision(trace_unit(rule, trace), trace.logits)
    return dataclasses.replace(decision, prediction=np.full(trace.n_samples, UNLABELLED, dtype=np.int64))


def _needs_certainty_alone(rule: ExitRule, n_layers: int) -> bool:
    match rule:
        case EntropyExit() | NormalizedEntropyExit() | MaximumProbabilityExit() | FixedDepthExit():
            return True
        case HardwareOrientedExit(run_length=n_in_a_row) | ElbertExit(window=n_in_a_row):
            return n_in_a_row >= n_layers
        case _:
            return False
