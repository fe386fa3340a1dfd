"""The design of a run, checked against its part and its network, and compiled.

The size of an exit unit's tables, and whether a window can break its limits, depend on the scale of the logits. Before
the logits are known the design is checked with a nominal scale, so that what cannot work fails early; afterwards with
theirs, and what was compiled is kept unless the decision then takes other cycles.

The unit of a run is one `ExitUnitSpec`: its integers decide, its layers are those whose exits are computed, its
pipeline and area are those of the design. The oracle has no unit: it is charged as the one of a fixed depth that
computes every exit.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.area.clock import check_clock
from hexit.hw_model.area.estimate import ResourceEstimate, check_fit, estimate
from hexit.hw_model.area.resources import Resources
from hexit.hw_model.area.units import pooling_resources
from hexit.hw_model.exit_unit.build import BuiltPart, ExitUnitBuild, modelled_decision
from hexit.hw_model.memory.channel import device_channel
from hexit.hw_model.task_cycles import TaskCycles
from hexit.hw_model.vector import exit_head_cycles, pooling_cycles
from hexit.quant.config import EncoderShape, QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import ExitRule, FixedDepthExit, OracleExit, check_serves
from hexit.quant.exits.unit import MAX_SLOTS, ExitUnitSpec, exit_unit_spec
from hexit.quant.workload import ExitHead, Workload, encoder_workload
from hexit.sim.core.compile import compile_program
from hexit.sim.core.program import Program
from hexit.sim.job.built_unit import check_build
from hexit.sim.job.setup import Setup

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


@functools.lru_cache(maxsize=256)  # the same for every design with as many resident sentences
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CheckedDesign:
    """A design that fits its part and its workload: `program` for the setup's sequence length, `programs` for the
    lengths of its stream, from the shortest on."""

    workload: Workload
    exit_path: ExitPath
    resources: ResourceEstimate
    program: Program
    programs: tuple[Program, ...]


def check_design(setup: Setup, logit_scale: float | None = None, nominal: CheckedDesign | None = None) -> CheckedDesign:
    """Compile the workload for the design; raise DoesNotFit or ConfigError before anything slow is done.

    Without `logit_scale` a nominal one stands for it. `nominal`: the design as checked without, whose program is kept
    if the decision takes the same cycles.
    """
    check_serves(setup.rule, setup.shape.n_layers, setup.shape.n_classes)
    build, design = setup.exit_unit, setup.design
    workload = encoder_workload(setup.shape, setup.quant, setup.sequence_length)
    if build is None:
        scale = nominal_scale(setup.quant.logit_bits) if logit_scale is None else logit_scale
        spec = unit_spec(setup.rule, setup.shape, setup.quant, scale, design.n_interleaved)
    else:
        check_build(build, setup.shape, setup.quant, design)
        spec = build.spec
    decision = decision_part(spec, build)
    built_head = build.head if build is not None else None
    head_area = built_head.resources + pooling_resources(workload, design) if built_head is not None else None
    resources = estimate(workload, design, setup.device, decision.resources, head_area)
    check_fit(resources, setup.device)
    check_clock(design.clock_mhz, setup.device, resources.total)
    if nominal is not None and nominal.exit_path.decision.cycles == decision.cycles:
        program = nominal.program
    else:
        program = compile_length(setup, decision.cycles, setup.sequence_length)
    return CheckedDesign(
        workload=workload,
        exit_path=ExitPath(spec=spec, head=head_part(workload, design, build, resources.exit_head), decision=decision),
        resources=resources,
        program=program,
        programs=(program,),
    )


def compile_length(setup: Setup, decision: TaskCycles, length: int) -> Program:
    """Compile the network for sentences of `length` tokens on the setup's design."""
    build, design = setup.exit_unit, setup.design
    built_head = build.head if build is not None else None
    return compile_program(
        encoder_workload(setup.shape, setup.quant, length),
        design,
        device_channel(design, setup.device),
        decision,
        built_head.cycles if built_head is not None else None,
        setup.device,
    )
