from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from hexit.quant.data.scores import exit_scores, pearson
from hexit.quant.exits.rules import RULES, OracleExit
from hexit.quant.traces.store import silent
from hexit.sim.core.program import Unit
from hexit.sim.job.experiment import (
    decide_source,
    is_bound,
    score,
    sweep_rules,
)
from hexit.sim.job.outcome import Outcome, layer_breakdown
from hexit.sim.job.record import make_job
from hexit.sim.job.resolve import simulate
from hexit.sim.job.setup import TextSource
from support.command_line import Simulate
from support.paths import OWN_PROFILE, PUBLISHED_PROFILE

EAGER = {"rule": "hardware:threshold=1.2,run_length=2"}  # sentences leave after layers 1 and 2 of the tiny model
CERTAINTY = ("normalized-entropy", "entropy", "max-probability", "fixed-depth")


def same_stream(one: Outcome, other: Outcome) -> bool:
    results = one.with_exits.result, other.with_exits.result
    fields = (field.name for field in dataclasses.fields(results[0]))
    return all(np.array_equal(*(getattr(result, name) for result in results)) for name in fields)


# A published profile --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not PUBLISHED_PROFILE.is_file(), reason="the published entropies are not beside this checkout")
@pytest.mark.parametrize(("threshold", "mean_layer"), [(0.1, 5.70), (0.2, 4.54), (0.3, 3.81)])
def test_the_published_profile_leaves_at_the_published_mean_layers(threshold: float, mean_layer: float) -> None:
    outcome, _ = simulate(make_job(profile=str(PUBLISHED_PROFILE), threshold=threshold), silent)
    assert round(outcome.decisions.integer.mean_layer, 2) == mean_layer
    assert outcome.with_exits.result.n_sentences == 872


@pytest.mark.parametrize(("threshold", "total_layers"), [(0.1, 705), (0.3, 444)])
def test_a_profile_is_simulated_as_albert_base_at_128_tokens(threshold: float, total_layers: int) -> None:
    outcome, _ = simulate(make_job(profile=str(OWN_PROFILE), threshold=threshold), silent)
    assert outcome.decisions.integer.mean_layer == total_layers / 120
    assert outcome.with_exits.result.n_sentences == 120
    assert outcome.setup.sequence_length == 128
    assert outcome.design.workload.layer_macs == 931_135_488


def test_a_profile_has_exits_but_no_predictions(profile: str) -> None:
    outcome, reference = simulate(make_job(profile=profile), silent)
    assert reference is None
    assert outcome.decisions.floating is None
    assert set(outcome.decisions.integer.prediction.tolist()) == {-1}
    assert score(outcome.decisions.integer, outcome.source.trace) is None
    assert 1 < outcome.decisions.integer.mean_layer < 12


# Equalities -----------------------------------------------------------------------------------------------------------


def test_fixed_depth_at_the_last_layer_is_the_run_at_full_depth(simulated: Simulate) -> None:
    fixed = simulated(rule="fixed-depth", threshold=3)
    assert fixed.evaluated_layers == (3,)
    assert fixed.with_exits.result.latency_cycles.tolist() == fixed.full_depth.result.latency_cycles.tolist()
    assert fixed.with_exits.energy == fixed.full_depth.energy
    assert simulated(**EAGER).full_depth.result.macs == fixed.full_depth.result.macs


@pytest.mark.parametrize("layer", [1, 2])
def test_a_truncated_model_computes_its_own_exit_alone(layer: int, simulated: Simulate) -> None:
    outcome = simulated(rule="fixed-depth", threshold=layer)
    work = outcome.design.workload
    assert outcome.evaluated_layers == (layer, 3)
    assert outcome.with_exits.result.n_exits == 10
    assert outcome.with_exits.result.macs == 10 * (work.prologue_macs + layer * work.layer_macs + work.exit_macs)


def test_macs_are_those_of_the_workload(simulated: Simulate) -> None:
    outcome = simulated(**EAGER)
    work, n_layers = outcome.design.workload, int(outcome.decisions.integer.exit_layer.sum())
    assert set(outcome.decisions.integer.exit_layer.tolist()) == {1, 2}
    assert outcome.with_exits.result.macs == 10 * work.prologue_macs + n_layers * (work.layer_macs + work.exit_macs)
    assert outcome.full_depth.result.macs == 10 * (work.prologue_macs + 3 * work.layer_macs + work.exit_macs)


def test_a_stalling_stream_takes_the_sum_of_its_sentences(simulated: Simulate) -> None:
    outcome = simulated(**EAGER)
    latencies = outcome.sentence.table.latency_cycles[outcome.decisions.integer.exit_layer - 1].tolist()
    assert outcome.with_exits.result.latency_cycles.tolist() == latencies
    assert outcome.with_exits.result.total_cycles == sum(latencies)
    assert np.diff(outcome.sentence.table.latency_cycles).min() > 0


def test_energy_parts_sum_and_the_static_part_is_power_times_time(simulated: Simulate) -> None:
    outcome = simulated(**EAGER)
    parts = dataclasses.asdict(outcome.with_exits.energy)
    assert sum(parts.values()) == pytest.approx(outcome.with_exits.energy.total_uj, rel=1e-12)
    assert min(parts.values()) >= 0
    seconds = outcome.with_exits.result.total_cycles / 200e6
    static_uj = outcome.setup.device.static_power_mw * 1e3 * seconds
    assert outcome.with_exits.energy.static_uj == pytest.approx(static_uj, rel=1e-12)


def test_the_cost_of_a_layer_does_not_depend_on_the_rule(simulated: Simulate) -> None:
    outcome, fixed = simulated(), simulated(rule="fixed-depth:layer=1")
    cycles = outcome.sentence.last_layer_cycles
    assert cycles == int(np.diff(outcome.sentence.table.latency_cycles)[-1])
    assert cycles - fixed.sentence.last_layer_cycles == 1  # a margin takes one pipeline stage more than a counter
    busy = layer_breakdown(outcome)
    assert busy["array"] == outcome.design.program.layer.busy_cycles()[Unit.ARRAY]
    assert max(busy.values()) <= cycles


# Exit overlaps --------------------------------------------------------------------------------------------------------


def test_overlaps_change_when_things_happen_and_nothing_else(simulated: Simulate) -> None:
    stall, speculate = (simulated(**EAGER, overlap=overlap) for overlap in ("stall", "speculate"))
    interleave = simulated(**EAGER, batch=4)
    for other in (speculate, interleave):
        assert other.decisions.integer.exit_layer.tolist() == stall.decisions.integer.exit_layer.tolist()
        assert other.with_exits.result.macs == stall.with_exits.result.macs
        assert other.with_exits.result.total_cycles <= stall.with_exits.result.total_cycles
    assert (speculate.with_exits.result.latency_cycles <= stall.with_exits.result.latency_cycles).all()
    assert speculate.with_exits.result.wasted_cycles.sum() > 0
    assert stall.with_exits.result.wasted_cycles.sum() == interleave.with_exits.result.wasted_cycles.sum() == 0
    assert interleave.with_exits.result.latency_cycles.mean() >= stall.with_exits.result.latency_cycles.mean()
    assert speculate.with_exits.energy.wasted_uj > 0 == stall.with_exits.energy.wasted_uj


@pytest.mark.parametrize("options", [{}, {"overlap": "speculate"}, {"batch": 2}, {"batch": 5, "design": "default"}])
def test_utilisation_is_a_share_of_the_time(options: dict[str, Any], simulated: Simulate) -> None:
    shares = simulated(**EAGER, **options).with_exits.result.utilisation_fraction
    assert shares.shape == (len(Unit),)
    assert ((shares >= 0) & (shares <= 1)).all()
    assert shares[Unit.ARRAY] > 0


def test_a_batch_of_one_is_no_batch(simulated: Simulate) -> None:
    assert same_stream(simulated(**EAGER, batch=1), simulated(**EAGER))


# Rules ----------------------------------------------------------------------------------------------------------------


def test_the_sweep_has_every_rule_that_can_serve(simulated: Simulate, regression: dict[str, str], profile: str) -> None:
    classes = simulated()
    real = simulated(**regression)
    replayed, _ = simulate(make_job(profile=profile), silent)
    for outcome, rules in (
        (classes, tuple(name for name in RULES if name != "pabee-regression")),
        (real, ("pabee-regression", "fixed-depth")),
        (replayed, CERTAINTY),
    ):
        curves = sweep_rules(outcome.source, outcome.setup.rule)
        assert tuple(curves) == rules
        n_layers = outcome.setup.shape.n_layers
        for name, points in curves.items():
            assert points
            assert all(1 <= point.mean_layer <= n_layers for point in points), name
            assert all((point.score is None) == (outcome is replayed) for point in points), name
        assert [point.mean_layer for point in curves["fixed-depth"]] == list(range(1, n_layers + 1))


def test_a_point_of_the_sweep_is_what_the_rule_does(simulated: Simulate) -> None:
    outcome = simulated(rule="elbert:window=2")
    curves = sweep_rules(outcome.source, outcome.setup.rule)
    for point in (curves["elbert"][3], curves["pabee"][0]):
        decision = decide_source(point.rule, outcome.source)
        assert point.mean_layer == decision.mean_layer
        assert point.score == score(decision, outcome.source.trace)
    assert "window=2" in str(curves["elbert"][0].rule)  # the chosen rule keeps its other parameters


def test_no_rule_is_better_than_the_oracle(simulated: Simulate) -> None:
    curves = sweep_rules(simulated().source, OracleExit())
    best = curves["oracle"][0].score
    assert best is not None
    assert all(point.score is not None and point.score <= best for points in curves.values() for point in points)
    assert [name for name, kind in RULES.items() if is_bound(kind())] == ["oracle"]


@pytest.mark.parametrize(
    ("rule", "layers"),
    [("hardware", (1, 2, 3)), ("fixed-depth:layer=2", (2, 3)), ("fixed-depth:layer=3", (3,)), ("oracle", (1, 2, 3))],
)
def test_a_fixed_depth_alone_evaluates_fewer_exits(rule: str, layers: tuple[int, ...], simulated: Simulate) -> None:
    assert simulated(rule=rule).evaluated_layers == layers


# Scores ---------------------------------------------------------------------------------------------------------------


def test_regression_is_scored_by_correlation(simulated: Simulate, regression: dict[str, str]) -> None:
    outcome = simulated(**regression)
    assert isinstance(outcome.source, TextSource)
    trace = outcome.source.trace
    by_hand = np.corrcoef(outcome.decisions.integer.prediction, trace.labels)[0, 1]
    assert score(outcome.decisions.integer, trace) == pytest.approx(by_hand, abs=1e-12)
    assert exit_scores(trace.logits, trace.labels)[-1] == pytest.approx(
        np.corrcoef(trace.logits[-1, :, 0], trace.labels)[0, 1], abs=1e-12
    )
    single = simulated(**regression, limit=1)
    assert score(single.decisions.integer, single.source.trace) == 0.0


def test_classes_are_scored_by_accuracy(simulated: Simulate) -> None:
    outcome = simulated(**EAGER)
    trace = outcome.source.trace
    hits = [p == label for p, label in zip(outcome.decisions.integer.prediction, trace.labels, strict=True)]
    assert score(outcome.decisions.integer, trace) == sum(hits) / 10


@pytest.mark.parametrize(
    ("predictions", "labels", "expected"),
    [([1, 2, 3], [2, 4, 6], 1.0), ([1, 2, 3], [3, 2, 1], -1.0), ([1, 1, 1], [1, 2, 3], 0.0), ([1], [2], 0.0)],
)
def test_a_correlation_with_something_constant_is_none_at_all(
    predictions: list[int], labels: list[int], expected: float
) -> None:
    assert pearson(np.array(predictions), np.array(labels)) == pytest.approx(expected, abs=1e-12)
