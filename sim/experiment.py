"""One run of the whole loop: sentences -> integer logits -> exits -> cycles, energy, area.

    Request --resolve--> Setup --evaluate--> Outcome --report--> tables, JSON, pictures

`Setup` is everything that decides the result (records only); `Outcome` adds the arrays that pictures and tables
are drawn from. Two sources of exits share the rest: a model on text, and a published profile of entropies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw_model.accelerator import Accelerator
from hw_model.device import Device
from hw_model.energy import EnergyBreakdown, energy_model, energy_uj
from hw_model.exit_unit import criterion_of
from hw_model.memory import memory_channel
from hw_model.resources import ResourceEstimate, check_fit, estimate
from hw_model.vector import exit_decision_cost
from quant.config import EncoderShape, QuantConfig
from quant.errors import ConfigError
from quant.exits import RULES, Decision, ExitRule, FixedDepthExit, OracleExit, check_serves, decide, decide_integer
from quant.profile import Profile, decide_profile, profile_trace
from quant.scores import pearson
from quant.store import Calibration, ModelCard, Store
from quant.tasks import TextSet
from quant.trace import ExitTrace
from quant.workload import Workload, encoder_workload
from sim.schedule import Program, Unit, compile_program
from sim.stream import (
    ExitTable,
    SentenceRun,
    StreamResult,
    exit_table,
    simulate_sentence,
    simulate_stream,
    stream_work,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What is simulated: network shape, widths, rule, design and part."""

    shape: EncoderShape
    quant: QuantConfig
    rule: ExitRule
    design: Accelerator
    device: Device
    sequence_length: int
    seed: int


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
class Outcome:
    """Everything that a report shows, as arrays and records.

    `stream` is the run with exits, `full` the same sentences on the same design without any early exit;
    `table` is the cost of a lone sentence by exit layer.
    """

    setup: Setup
    source: Source
    decision: Decision
    float_decision: Decision | None
    workload: Workload
    program: Program
    sentence: SentenceRun
    table: ExitTable
    stream: StreamResult
    full: StreamResult
    energy: EnergyBreakdown
    full_energy: EnergyBreakdown
    resources: ResourceEstimate

    @property
    def exit_layers(self) -> tuple[int, ...]:
        """Layers whose exits are evaluated."""
        return evaluated_exits(self.setup.rule, self.setup.shape.n_layers)


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


def evaluated_exits(rule: ExitRule, n_layers: int) -> tuple[int, ...]:
    """Return the layers whose exit is computed: all, but only its own one for a fixed depth."""
    if isinstance(rule, FixedDepthExit):
        return tuple(sorted({min(rule.layer, n_layers), n_layers}))
    return tuple(range(1, n_layers + 1))


def check_design(setup: Setup) -> tuple[Workload, ResourceEstimate, Program]:
    """Compile the workload for the design; raise DoesNotFit or ConfigError before anything slow is done."""
    check_serves(setup.rule, setup.shape.n_layers, setup.shape.n_classes)
    workload = encoder_workload(setup.shape, setup.quant, setup.sequence_length)
    resources = estimate(workload, setup.design, setup.device)
    check_fit(resources, setup.device)
    channel = memory_channel(setup.design, setup.device.memory_bandwidth_gb_s, setup.device.memory_latency_ns)
    unit = exit_decision_cost(setup.shape.n_classes, criterion_of(setup.rule))
    return workload, resources, compile_program(workload, setup.design, channel, unit)


def evaluate(setup: Setup, source: Source) -> Outcome:
    """Decide every sentence's exit and run the stream of sentences with and without early exits."""
    workload, resources, program = check_design(setup)
    decision, float_decision = decide_source(setup.rule, source)
    exits = evaluated_exits(setup.rule, setup.shape.n_layers)
    stream = simulate_stream(program, decision.exit_layer, exit_layers=exits)
    last = np.full(source.trace.n_samples, setup.shape.n_layers)
    full = simulate_stream(program, last, exit_layers=(setup.shape.n_layers,))
    return Outcome(
        setup=setup,
        source=source,
        decision=decision,
        float_decision=float_decision,
        workload=workload,
        program=program,
        sentence=simulate_sentence(program, exits),
        table=exit_table(program, exits),
        stream=stream,
        full=full,
        energy=stream_energy(program, setup.device, stream),
        full_energy=stream_energy(program, setup.device, full),
        resources=resources,
    )


def decide_source(rule: ExitRule, source: Source) -> tuple[Decision, Decision | None]:
    """Return the integer decisions, and those of the float rule on the float model where there is one."""
    match source:
        case ProfileSource(profile=profile):
            return decide_profile(rule, profile), None
        case TextSource(trace=trace, float_trace=reference):
            labels = trace.labels if trace.labelled else None
            integer = decide_integer(rule, trace.logits, trace.scale, labels)
            return integer, decide(rule, reference.real_logits, labels)


def stream_energy(program: Program, device: Device, stream: StreamResult) -> EnergyBreakdown:
    """Return the energy of a whole stream: useful and squashed work, off-chip traffic, static power over its time."""
    useful, wasted = stream_work(program, stream)
    duration_us = stream.total_cycles / program.accelerator.clock_mhz
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
                for decision in [decide_source(rule, source)[0]]
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
