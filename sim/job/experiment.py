"""One run of the whole loop: sentences -> integer logits -> exits -> cycles, energy, area.

    Setup, Source --evaluate--> Outcome --build_report--> Report --> screen, JSON, pictures

`evaluate` computes everything once: what comes behind it divides, sums and draws. What only the files of `--out` show
(a sweep of all rules, a timeline, a roofline) is `picture_data`, computed once where they are written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hexit.hw_model.device import Device
from hexit.hw_model.energy import EnergyBreakdown, energy_model, energy_uj
from hexit.quant.arrays import Integers
from hexit.quant.data.scores import pearson
from hexit.quant.errors import ConfigError
from hexit.quant.exits.published import Decision
from hexit.quant.exits.rules import RULES, ExitRule, OracleExit, check_serves
from hexit.quant.exits.unit import ExitUnitSpec, unit_decision
from hexit.quant.traces.replay import profile_decision, published_decision, trace_unit
from hexit.quant.traces.trace import ExitTrace
from hexit.sim.analysis.bank_use import bank_use
from hexit.sim.analysis.comparison import compare
from hexit.sim.analysis.roofline import Roofline, roofline
from hexit.sim.analysis.stalls import kernel_and_transfers, stall_breakdown
from hexit.sim.analysis.timeline import Timeline, sentence_timeline
from hexit.sim.core.lone_sentence import LoneSentence, lone_sentence, simulate_sentence
from hexit.sim.core.program import NONE, Program
from hexit.sim.core.sentence import SentenceRun
from hexit.sim.core.stream import StreamResult, stream_work
from hexit.sim.job.built_unit import check_scale
from hexit.sim.job.design import CheckedDesign, check_design, compile_length
from hexit.sim.job.outcome import Decisions, Outcome, SentenceAnalysis, SimulatedStream
from hexit.sim.job.selection import Choice
from hexit.sim.job.setup import ProfileSource, Setup, Source, TextSource
from hexit.sim.published.trust import published_trust
from hexit.sim.traffic.arrivals import ClosedLoop
from hexit.sim.traffic.buffer_sizes import BufferSizes, size_buffers
from hexit.sim.traffic.lengths import compile_lengths, hardware_lengths
from hexit.sim.traffic.load import StreamLoad


def evaluate(
    setup: Setup, source: Source, nominal: CheckedDesign | None = None, choice: Choice | None = None
) -> Outcome:
    """Decide every sentence's exit and run the stream of sentences with and without early exits.

    `nominal`: the setup's design as it was checked before the logits were known. `choice`: how the settings of its rule
    were found, if they were not typed.
    """
    design = check_design(setup, source.trace.scale if isinstance(source, TextSource) else None, nominal)
    if setup.exit_unit is not None:
        check_scale(setup.exit_unit, source.trace.scale)
    layers, last = design.exit_path.spec.evaluated_layers, setup.shape.n_layers
    integer, floating = decide_source(setup.rule, source, design.exit_path.spec), None
    if isinstance(source, TextSource):
        floating = published_decision(setup.rule, source.float_trace, layers)
    programs, index = _programs(setup, source, design)
    design = dataclasses.replace(design, programs=programs)
    sentences = [lone_sentence(program, layers) for program in programs]
    full = sentences if layers == (last,) else [lone_sentence(program, (last,)) for program in programs]
    load = StreamLoad(setup=setup.stream, program_index=index, clock_mhz=setup.design.clock_mhz, seed=setup.seed)
    stream = load.run(integer.exit_layer, sentences)
    full_stream = load.run(np.full_like(integer.exit_layer, last), full)
    return Outcome(
        setup=setup,
        source=source,
        decisions=Decisions(integer=integer, floating=floating),
        design=design,
        sentence=_analysed(design.program, layers, sentences, median_exit(integer)),
        drawn=load.drawn,
        with_exits=SimulatedStream(result=stream, energy=stream_energy(programs, setup.device, stream)),
        full_depth=SimulatedStream(result=full_stream, energy=stream_energy(programs, setup.device, full_stream)),
        saturation=load.search(integer.exit_layer, sentences) if setup.stream.saturates else None,
        buffers=_buffers(stream, isinstance(setup.stream.arrivals, ClosedLoop)),
        comparison=compare(integer, source.trace) if isinstance(source, TextSource) else None,
        choice=choice,
        trust=published_trust(),
    )


def _programs(setup: Setup, source: Source, design: CheckedDesign) -> tuple[tuple[Program, ...], Integers]:
    """Compile the lengths of the stream but for the one that is compiled; return which one each sentence needs."""
    decision = design.exit_path.decision.cycles
    return compile_lengths(
        lambda length: design.program if length == setup.sequence_length else compile_length(setup, decision, length),
        hardware_lengths(setup.stream.lengths, source.trace.lengths, setup.sequence_length),
    )


def median_exit(decision: Decision) -> int:
    """Return the exit layer of the sentence that report and pictures show alone on the design: the median one."""
    return int(np.sort(decision.exit_layer)[decision.exit_layer.size // 2])


def _analysed(
    program: Program, layers: tuple[int, ...], sentences: Sequence[LoneSentence], exit_layer: int
) -> SentenceAnalysis:
    """Analyse the lone sentence of a program, which is run only if it is not among `sentences`."""
    ready = [sentence for sentence in sentences if sentence.run.program is program]
    sentence = ready[0] if ready else lone_sentence(program, layers)
    return SentenceAnalysis(
        run=sentence.run,
        table=sentence.table,
        exit_layer=exit_layer,
        stalls=stall_breakdown(sentence.run, exit_layer),
        kernel=kernel_and_transfers(sentence.run, exit_layer),
        bank_use=bank_use(sentence.run, exit_layer),
        last_layer_cycles=_last_layer_cycles(sentence.run),
    )


def _last_layer_cycles(run: SentenceRun) -> int:
    """Return the cycles that the last layer and its exit add to a lone sentence that computes every exit."""
    every_exit = run if (run.decision_cycle != NONE).all() else simulate_sentence(run.program)
    return int(np.diff(every_exit.decision_cycle, prepend=0)[-1])


def _buffers(stream: StreamResult, closed: bool) -> BufferSizes | None:
    """Size the buffers of a spatial pipeline for a stream that drops nothing; a closed loop is all there at once."""
    if stream.spatial is None or not stream.served.all():
        return None
    return size_buffers(stream.spatial, np.zeros_like(stream.arrival_cycle) if closed else stream.arrival_cycle)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RulePoint:
    """One setting of one rule on the recorded logits; `score` is None where there are no labels.

    `histogram[k - 1]` sentences left after layer k.
    """

    rule: ExitRule
    mean_layer: float
    histogram: tuple[int, ...]
    score: float | None


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


def exit_histogram(decision: Decision, n_layers: int) -> tuple[int, ...]:
    """Return how many sentences leave after each of the layers 1..n_layers."""
    return tuple(np.bincount(decision.exit_layer, minlength=n_layers + 1)[1:].tolist())


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
                RulePoint(
                    rule=rule,
                    mean_layer=decision.mean_layer,
                    histogram=exit_histogram(decision, trace.n_layers),
                    score=score(decision, trace),
                )
                for rule in settings
                for decision in [decide_source(rule, source)]
            ]
        except ConfigError:  # regression rules on classes, the oracle without labels
            continue
        curves[name] = tuple(points)
    return curves


def is_bound(rule: ExitRule) -> bool:
    """Whether a rule is a bound that no hardware can build (the oracle)."""
    return isinstance(rule, OracleExit)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureData:
    """`curves`: settings of every rule, by its name. `timeline` and `roofline` are those of `Outcome.sentence`."""

    curves: dict[str, tuple[RulePoint, ...]]
    timeline: Timeline
    roofline: Roofline


def picture_data(outcome: Outcome) -> PictureData:
    """Compute what the pictures and timelines of a run need beside its outcome."""
    sentence = outcome.sentence
    return PictureData(
        curves=sweep_rules(outcome.source, outcome.setup.rule),
        timeline=sentence_timeline(sentence.run, sentence.exit_layer),
        roofline=roofline(sentence.run, sentence.exit_layer, outcome.with_exits.result),
    )
