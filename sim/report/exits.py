"""What the report says of the exits: how good, where, and by which unit."""

from __future__ import annotations

from typing import Any

from hexit.hw_model.area.resources import KINDS, available
from hexit.hw_model.exit_unit.build import BuiltPart
from hexit.quant.data.scores import exit_scores, metric_of
from hexit.quant.traces.reference import Reference
from hexit.quant.traces.trace import ExitTrace
from hexit.sim.job.experiment import exit_histogram, is_bound, score
from hexit.sim.job.outcome import Outcome
from hexit.sim.job.setup import ProfileSource
from hexit.sim.report.record import AccuracyReport, AreaShare, ExitPartReport, ExitReport, ExitUnitReport

SUFFICIENT = 0.01  # score; one point of accuracy


def accuracy_report(outcome: Outcome, reference: Reference | None) -> AccuracyReport:
    """Return the scores of both models, by exit and with the rule's exits."""
    source, floating = outcome.source, outcome.decisions.floating
    metric = metric_of(source.trace.n_classes)
    if isinstance(source, ProfileSource):
        nothing: dict[str, Any] = dict.fromkeys(
            ("float", "quantised", "with_exits", "float_with_exits", "float_by_exit", "quantised_by_exit")
        )
        return AccuracyReport(metric=metric, reference=reference, **nothing)
    by_float, by_integer = (
        exit_scores(trace.logits, trace.labels) if trace.labelled else None
        for trace in (source.float_trace, source.trace)
    )
    return AccuracyReport(
        metric=metric,
        float=by_float[-1] if by_float else None,
        quantised=by_integer[-1] if by_integer else None,
        with_exits=score(outcome.decisions.integer, source.trace),
        float_with_exits=score(floating, source.trace) if floating else None,
        float_by_exit=by_float,
        quantised_by_exit=by_integer,
        reference=reference,
    )


def exit_report(outcome: Outcome) -> ExitReport:
    """Return where sentences leave, and what a network without early exits would need."""
    integer, floating = outcome.decisions.integer, outcome.decisions.floating
    same = floating.exit_layer == integer.exit_layer if floating else None
    return ExitReport(
        mean_layer=integer.mean_layer,
        histogram=exit_histogram(integer, outcome.setup.shape.n_layers),
        sufficient_layer=_sufficient_layer(outcome.source.trace),
        agree_with_float_fraction=float(same.mean()) if same is not None else None,
        is_bound=is_bound(outcome.setup.rule),
    )


def _sufficient_layer(trace: ExitTrace) -> int | None:
    if not trace.labelled:
        return None
    alone = exit_scores(trace.logits, trace.labels)
    return next(layer for layer, value in enumerate(alone, 1) if value >= alone[-1] - SUFFICIENT)


def exit_unit_report(outcome: Outcome) -> ExitUnitReport:
    """Return the unit that decides and the head in front of it, with cycles, area and where these come from."""
    build, path = outcome.setup.exit_unit, outcome.design.exit_path
    return ExitUnitReport(
        built=build is not None,
        part=build.part if build is not None else None,
        clock_period_ns=build.clock_period_ns if build is not None else None,
        evaluated_layers=path.spec.evaluated_layers,
        logit_bits=path.spec.logit_bits,
        n_slots=path.spec.n_slots,
        state_bits=path.spec.state_bits,
        head=_exit_part_report(outcome, path.head),
        decision=_exit_part_report(outcome, path.decision),
    )


def _exit_part_report(outcome: Outcome, part: BuiltPart) -> ExitPartReport:
    design, device = outcome.design.resources.total, available(outcome.setup.device)
    stream = outcome.with_exits.result
    area = {}
    for kind in KINDS:
        used, of_design, of_device = (getattr(whole, kind) for whole in (part.resources, design, device))
        area[str(kind)] = AreaShare(
            used=used,
            design_fraction=used / of_design if of_design else None,
            device_fraction=used / of_device if of_device else None,
        )
    return ExitPartReport(
        latency_cycles=part.latency_cycles,
        initiation_interval_cycles=part.initiation_interval_cycles,
        layer_fraction=part.latency_cycles / outcome.sentence.last_layer_cycles,
        sentence_fraction=part.latency_cycles * stream.n_exits / int((stream.finish_cycle - stream.start_cycle).sum()),
        area=area,
        evidence=part.evidence,
        tool=part.tool,
    )
