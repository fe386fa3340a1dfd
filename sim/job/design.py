"""The design of a run, checked against its part and its network, and compiled.

The size of an exit unit's tables, and whether a window can break its limits, depend on the scale of the logits. Before
the logits are known the design is checked with a nominal scale, so that what cannot work fails early; afterwards with
theirs, and what was compiled is kept unless the decision then takes other cycles.
"""

from __future__ import annotations

from dataclasses import dataclass

from hexit.hw_model.area.estimate import ResourceEstimate, estimate
from hexit.hw_model.area.fit import check_fit
from hexit.hw_model.area.units import pooling_resources
from hexit.hw_model.memory.channel import device_channel
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.exits.rules import check_serves
from hexit.quant.workload import Workload, encoder_workload
from hexit.sim.core.compile import compile_program
from hexit.sim.core.program import Program
from hexit.sim.job.built_unit import check_build
from hexit.sim.job.exit_path import ExitPath, decision_part, head_part, nominal_scale, unit_spec
from hexit.sim.job.setup import Setup


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
    )
