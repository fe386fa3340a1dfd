"""What lies between a layer and its decision: exit head and exit unit, as modelled or as built.

The unit of a run is one `ExitUnitSpec`: its integers decide, its layers are those whose exits are computed, its
pipeline and area are those of the design. The logit scale comes with the recorded logits; before that, a design is
checked with `nominal_scale`. The oracle has no unit: it is charged as the one of a fixed depth that computes every
exit.

Not here: when the parts work (sim.core.recurrence), streams of events through the unit (sim.analysis.exit_events).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.area.resources import Resources
from hexit.hw_model.exit_unit.build import BuiltPart, ExitUnitBuild, modelled_decision
from hexit.hw_model.vector import exit_head_cycles, pooling_cycles
from hexit.quant.config import EncoderShape, QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import ExitRule, FixedDepthExit, OracleExit
from hexit.quant.exits.unit import MAX_SLOTS, ExitUnitSpec, exit_unit_spec
from hexit.quant.workload import ExitHead, Workload

NOMINAL_RANGE = 16  # logits, either way; heads of trained models stay within it


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitPath:
    """The exit unit of a run, and cycles and area of it and of the head in front of it, pooling included."""

    spec: ExitUnitSpec
    head: BuiltPart
    decision: BuiltPart


def nominal_scale(logit_bits: int) -> float:
    """Return the scale of logits within +-NOMINAL_RANGE, for a unit whose logits have not been recorded yet."""
    return math.ldexp(NOMINAL_RANGE, 1 - logit_bits)


def unit_spec(rule: ExitRule, shape: EncoderShape, quant: QuantConfig, scale: float, n_slots: int) -> ExitUnitSpec:
    """Return the unit that a rule needs on this network; raise ConfigError for a rule that cannot serve it."""
    if n_slots > MAX_SLOTS:
        raise ConfigError("--batch", n_slots, f"must be at most {MAX_SLOTS}, the states of an exit unit", "Use fewer")
    layers = None
    if isinstance(rule, OracleExit):
        rule, layers = FixedDepthExit(layer=shape.n_layers), tuple(range(1, shape.n_layers + 1))
    return exit_unit_spec(
        rule,
        n_layers=shape.n_layers,
        n_classes=shape.n_classes,
        scale=scale,
        logit_bits=quant.logit_bits,
        evaluated_layers=layers,
        n_slots=n_slots,
    )


def decision_part(spec: ExitUnitSpec, build: ExitUnitBuild | None) -> BuiltPart:
    """Return cycles and area of the unit: as built, else as modelled."""
    return build.decision if build is not None else modelled_decision(spec)


def head_part(workload: Workload, design: Accelerator, build: ExitUnitBuild | None, resources: Resources) -> BuiltPart:
    """Return cycles and area of the whole head: pooling on the design's lanes, the rest as built, else there too.

    `resources`: what the head takes in the design. Transfers of streamed weights are not among the cycles.
    """
    op = next(op for op in workload.exit if isinstance(op, ExitHead))
    if build is not None and build.head is not None:
        pooling = pooling_cycles(op, design).latency_cycles
        return dataclasses.replace(build.head, latency_cycles=pooling + build.head.latency_cycles, resources=resources)
    cost = exit_head_cycles(op, design)
    return BuiltPart(
        latency_cycles=cost.latency_cycles,
        initiation_interval_cycles=cost.occupancy_cycles,
        resources=resources,
        evidence="modelled",
        tool="formula",
    )
