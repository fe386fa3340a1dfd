"""One run of the whole loop: sentences -> integer logits -> exits -> cycles, energy, area.

    Request --resolve--> Setup --evaluate--> Outcome --report--> tables, JSON, pictures

`Setup` is everything that decides the result (records only); `Outcome` adds the arrays that pictures and tables
are drawn from. Two sources of exits share the rest: a model on text, and a published profile of entropies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.area.estimate import ResourceEstimate, estimate
from hexit.hw_model.area.fit import check_fit
from hexit.hw_model.area.units import pooling_resources
from hexit.hw_model.device import Device
from hexit.hw_model.energy import EnergyBreakdown, energy_model, energy_uj
from hexit.hw_model.exit_unit.build import ExitUnitBuild
from hexit.hw_model.memory.channel import device_channel
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.arrays import Integers
from hexit.quant.config import EncoderShape, QuantConfig
from hexit.quant.data.scores import pearson
from hexit.quant.data.tasks import TextSet
from hexit.quant.errors import ConfigError
from hexit.quant.exits.published import Decision
from hexit.quant.exits.rules import RULES, ExitRule, OracleExit, check_serves
from hexit.quant.exits.unit import ExitUnitSpec, unit_decision
from hexit.quant.traces.profile import Profile, profile_trace
from hexit.quant.traces.replay import profile_decision, published_decision, trace_unit
from hexit.quant.traces.store import Calibration, ModelCard, Store
from hexit.quant.traces.trace import ExitTrace
from hexit.quant.workload import Workload, encoder_workload
from hexit.sim.core.compile import compile_program
from hexit.sim.core.lone_sentence import ExitTable, lone_sentence, simulate_sentence
from hexit.sim.core.program import Program, Unit
from hexit.sim.core.sentence import SentenceRun
from hexit.sim.core.stream import StreamResult
from hexit.sim.core.stream_work import stream_work
from hexit.sim.job.built_unit import check_build, check_scale
from hexit.sim.job.exit_path import (
    ExitPath,
    decision_part,
    head_part,
    nominal_scale,
    unit_spec,
)
from hexit.sim.traffic.arrivals import arrival_cycles
from hexit.sim.traffic.lengths import compile_lengths, hardware_lengths
from hexit.sim.traffic.load import StreamLoad, StreamSetup
from hexit.sim.traffic.saturation import Saturation


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What is simulated: network shape, widths, rule, design and part; the stream; the exit unit, if one was built."""

    shape: EncoderShape
    quant: QuantConfig
    rule: ExitRule
    design: Accelerator
    device: Device
    sequence_length: int
    seed: int
    exit_unit: ExitUnitBuild | None = None
    stream: StreamSetup = StreamSetup()  # noqa: RUF009 - frozen


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextSource:
    """Exits of a model on sentences: the quantised trace, and the float model's at the same exits."""

    card: ModelCard
    texts: TextSet
    calibration: Calibration
    float_trace: ExitTrace
    trace: ExitTrace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProfileSource:
    """Exits of a published profile; nobody knows its predictions."""

    profile: Profile
    trace: ExitTrace


Source = TextSource | ProfileSource


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RulePoint:
    """One setting of one rule on the recorded logits; `score` is None where there are no labels."""

    rule: ExitRule
    mean_layer: float
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CheckedDesign:
    """A design that fits its part and its workload, compiled."""

    workload: Workload
    exit_path: ExitPath
    resources: ResourceEstimate
    program: Program


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """Everything that a report shows, as arrays and records.

    `stream` is the run with exits, `full` the same sentences and arrivals on the same design without any early exit;
    `drawn` says which sentence of the data each of the stream is. `programs` are those of the lengths of the stream,
    `program` that of the longest length, `sentence` and `table` a lone sentence of it through all layers, and its cost
    by exit layer.
    """

    setup: Setup
    source: Source
    decision: Decision
    float_decision: Decision | None
    workload: Workload
    exit_path: ExitPath
    program: Program
    sentence: SentenceRun
    table: ExitTable
    programs: tuple[Program, ...]
    drawn: Integers
    stream: StreamResult
    full: StreamResult
    saturation: Saturation | None
    energy: EnergyBreakdown
    full_energy: EnergyBreakdown
    resources: ResourceEstimate

    @property
    def evaluated_layers(self) -> tuple[int, ...]:
        """Layers whose exits are evaluated."""
        return self.exit_path.spec.evaluated_layers


def text_source(
    store: Store, card: ModelCard, texts: TextSet, quant: QuantConfig, calibration: Calibration, sequence_length: int
) -> TextSource:
    """Record, or find in the cache, what both models say about the sentences."""
    return TextSource(
        card=card,
        texts=texts,
        calibration=calibration,
        float_trace=store.float_trace(card, texts, sequence_length),
        trace=store.quantised_trace(card, texts, quant, calibration, sequence_length),
    )


def profile_source(profile: Profile, sequence_length: int) -> ProfileSource:
    """Turn a published profile into logit distances that the integer exit units read."""
    return ProfileSource(profile=profile, trace=profile_trace(profile, sequence_length))


def check_design(setup: Setup, logit_scale: float | None = None) -> CheckedDesign:
    """Compile the workload for the design; raise DoesNotFit or ConfigError before anything slow is done.

    The size of an exit unit's tables, and whether a window can break its limits, depend on the scale of the logits:
    without `logit_scale` the design is checked with a nominal one, and has to be again when the logits are known.
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
    return CheckedDesign(
        workload=workload,
        exit_path=ExitPath(spec=spec, head=head_part(workload, design, build, resources.exit_head), decision=decision),
        resources=resources,
        program=_compiled(setup, decision.cycles, setup.sequence_length),
    )


def _compiled(setup: Setup, decision: TaskCycles, length: int) -> Program:
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


def check_stream(setup: Setup, n_samples: int) -> None:
    """Raise ConfigError for arrivals that do not fit the data, and buckets that no sentence could need."""
    stream = setup.stream
    arrival_cycles(stream.arrivals, stream.n_sentences or n_samples, setup.design.clock_mhz, setup.seed)
    hardware_lengths(stream.lengths, [setup.sequence_length], setup.sequence_length)


def evaluate(setup: Setup, source: Source) -> Outcome:
    """Decide every sentence's exit and run the stream of sentences with and without early exits."""
    checked = check_design(setup, source.trace.scale if isinstance(source, TextSource) else None)
    spec, program = checked.exit_path.spec, checked.program
    if setup.exit_unit is not None:
        check_scale(setup.exit_unit, source.trace.scale)
    decision, float_decision = decide_source(setup.rule, source, spec), None
    if isinstance(source, TextSource):
        float_decision = published_decision(setup.rule, source.float_trace, spec.evaluated_layers)
    lengths = hardware_lengths(setup.stream.lengths, source.trace.lengths, setup.sequence_length)
    programs, index = compile_lengths(
        lambda length: (
            program if length == setup.sequence_length else _compiled(setup, checked.exit_path.decision.cycles, length)
        ),
        lengths,
    )
    load = StreamLoad(setup=setup.stream, program_index=index, clock_mhz=setup.design.clock_mhz, seed=setup.seed)
    sentences = [lone_sentence(program, spec.evaluated_layers) for program in programs]
    longest = lone_sentence(program, spec.evaluated_layers)
    last = setup.shape.n_layers
    stream = load.run(decision.exit_layer, sentences)
    full = load.run(np.full(source.trace.n_samples, last), [lone_sentence(program, (last,)) for program in programs])
    searched = load.search(decision.exit_layer, sentences) if setup.stream.saturates else None
    return Outcome(
        setup=setup,
        source=source,
        decision=decision,
        float_decision=float_decision,
        workload=checked.workload,
        exit_path=checked.exit_path,
        program=program,
        sentence=longest.run,
        table=longest.table,
        programs=programs,
        drawn=load.drawn,
        stream=stream,
        full=full,
        saturation=searched,
        energy=stream_energy(programs, setup.device, stream),
        full_energy=stream_energy(programs, setup.device, full),
        resources=checked.resources,
    )


def decide_source(rule: ExitRule, source: Source, unit: ExitUnitSpec | None = None) -> Decision:
    """Return the integer decisions of `unit`, of the rule's own unit without.

    A profile has a unit of its own scale, and the oracle none: their decisions do not depend on `unit`.
    """
    match source:
        case ProfileSource(trace=trace):
            return profile_decision(rule, trace)
        case TextSource(trace=trace):
            if isinstance(rule, OracleExit):
                return published_decision(rule, trace)
            return unit_decision(unit or trace_unit(rule, trace), trace.logits)


def stream_energy(programs: tuple[Program, ...], device: Device, stream: StreamResult) -> EnergyBreakdown:
    """Return the energy of a whole stream: useful and squashed work, off-chip traffic, static power over its time."""
    useful, wasted = stream_work(programs, stream)
    duration_us = stream.total_cycles / programs[0].accelerator.clock_mhz
    return energy_uj(energy_model(device), useful, duration_us, wasted=wasted)


def score(decision: Decision, trace: ExitTrace) -> float | None:
    """Return the accuracy fraction (Pearson correlation for regression) of decisions, None without labels."""
    if not trace.labelled:
        return None
    if trace.n_classes == 1:
        return pearson(decision.prediction, trace.labels)
    return float(np.mean(decision.prediction == trace.labels))


def sweep_rules(source: Source, chosen: ExitRule) -> dict[str, tuple[RulePoint, ...]]:
    """Return accuracy and mean layer of every rule that can serve the source, over its grid of settings.

    The chosen rule keeps its other parameters; rules that cannot serve the task are left out.
    """
    curves: dict[str, tuple[RulePoint, ...]] = {}
    trace = source.trace
    for name, kind in RULES.items():
        base = chosen if isinstance(chosen, kind) else kind()
        settings = base.sweep(trace.n_layers, trace.n_classes)
        try:
            check_serves(settings[0], trace.n_layers, trace.n_classes)
            points = [
                RulePoint(rule=rule, mean_layer=decision.mean_layer, score=score(decision, trace))
                for rule in settings
                for decision in [decide_source(rule, source)]
            ]
        except ConfigError:  # regression rules on classes, the oracle without labels
            continue
        curves[name] = tuple(points)
    return curves


def layer_breakdown(outcome: Outcome) -> dict[str, int]:
    """Return the cycles in which each unit works on one layer and its exit, by unit name; units overlap."""
    busy = outcome.program.layer.busy_cycles() + outcome.program.exit.busy_cycles()
    return {unit.name.lower(): int(busy[unit]) for unit in Unit if busy[unit]}


def last_layer_cycles(program: Program) -> int:
    """Return the cycles that the last layer and its exit add to a lone sentence that asks every exit."""
    return int(np.diff(simulate_sentence(program).decision_cycle, prepend=0)[-1])


def is_bound(rule: ExitRule) -> bool:
    """Whether a rule is a bound that no hardware can build (the oracle)."""
    return isinstance(rule, OracleExit)


def shown_exit(outcome: Outcome) -> int:
    """Return the exit layer of the sentence that pictures show: the median one."""
    leaves = sorted(outcome.decision.exit_layer.tolist())
    return int(leaves[len(leaves) // 2])
