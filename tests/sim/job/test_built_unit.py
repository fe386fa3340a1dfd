"""`hexit run --exit-unit`: the unit that was built decides, with its cycles and area, or says why it does not fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hexit.hw_model.exit_unit.build import ExitUnitBuild, save_build
from hexit.quant.errors import ConfigError
from hexit.quant.exits.integer_rule import DifferenceTest
from hexit.quant.exits.rules import format_rule
from hexit.quant.exits.unit import decide_events
from hexit.sim.job.outcome import Outcome
from hexit.sim.report.build import build_report
from support.built_units import build_of, part
from support.command_line import Simulate

EAGER = {"rule": "hardware:threshold=1.2,run_length=2"}  # sentences leave after layers 1 and 2 of the tiny model
RunBuilt = Callable[..., Outcome]


@pytest.fixture
def run_built(simulated: Simulate, tmp_path: Path) -> RunBuilt:
    def run(build: ExitUnitBuild, **options: Any) -> Outcome:
        save_build(build, tmp_path / "exit_unit.json")
        return simulated(exit_unit=str(tmp_path / "exit_unit.json"), **options)

    return run


def test_a_unit_as_modelled_runs_as_modelled(simulated: Simulate, run_built: RunBuilt) -> None:
    modelled = simulated(**EAGER)
    path = modelled.design.exit_path
    built = run_built(dataclasses.replace(build_of(modelled), decision=path.decision))
    assert format_rule(built.setup.rule) == "hardware:threshold=1.2,run_length=2"  # the file names the rule
    assert built.design.exit_path == path
    assert built.design.resources == modelled.design.resources
    assert built.decisions.integer.exit_layer.tolist() == modelled.decisions.integer.exit_layer.tolist()
    assert built.with_exits.result.latency_cycles.tolist() == modelled.with_exits.result.latency_cycles.tolist()
    assert built.full_depth.result.total_cycles == modelled.full_depth.result.total_cycles


def test_every_exit_takes_the_cycles_that_were_built(simulated: Simulate, run_built: RunBuilt) -> None:
    modelled = simulated(**EAGER)
    built = run_built(build_of(modelled, latency_cycles=102))
    longer = built.with_exits.result.latency_cycles - modelled.with_exits.result.latency_cycles
    assert longer.tolist() == [100 * layer for layer in modelled.decisions.integer.exit_layer]
    assert built.design.resources.exit_decision.lut == 1102


def test_the_integers_of_the_file_decide(simulated: Simulate, run_built: RunBuilt) -> None:
    """A threshold between the logits of the sentences, which no rule of ours would have put there."""
    modelled = simulated(**EAGER)
    logits = modelled.source.trace.logits.astype(np.int64)
    far = int(np.median(np.abs(logits[0, :, 0] - logits[0, :, 1])))
    form = dataclasses.replace(modelled.design.exit_path.spec.form, confidence=DifferenceTest(minimum=far), trend=None)
    build = build_of(modelled, form=form)
    built = run_built(build)
    leaves = built.decisions.integer.exit_layer
    assert leaves.tolist() == (1 + decide_events(build.spec, logits).exit.argmax(axis=0)).tolist()
    assert 0 < (leaves == 1).sum() < 10
    assert leaves.tolist() != modelled.decisions.integer.exit_layer.tolist()


def test_an_exit_that_is_switched_off_is_not_computed(simulated: Simulate, run_built: RunBuilt) -> None:
    built = run_built(build_of(simulated(**EAGER), evaluated_layers=(2, 3)))
    assert built.evaluated_layers == (2, 3)
    assert build_report(built).latency_us.by_exit[0] is None
    assert set(built.decisions.integer.exit_layer.tolist()) <= {2, 3}
    assert built.decisions.floating is not None
    assert set(built.decisions.floating.exit_layer.tolist()) <= {2, 3}
    assert built.with_exits.result.n_exits == (built.decisions.integer.exit_layer - 1).sum()


@pytest.mark.parametrize(("latency", "interval"), [(900, 1), (40, 900), (0, 1)])
def test_a_built_head_works_instead_of_the_design_s_lanes(
    latency: int, interval: int, simulated: Simulate, run_built: RunBuilt
) -> None:
    modelled = simulated(**EAGER)
    built = run_built(build_of(modelled, head=part(latency, interval)))
    shorter = modelled.design.exit_path.head.latency_cycles - latency
    assert modelled.sentence.last_layer_cycles - built.sentence.last_layer_cycles == shorter
    assert built.design.resources.exit_head == part(latency).resources
    assert built.with_exits.result.macs == modelled.with_exits.result.macs
    assert built.design.program.exit.n_tasks == 2


def test_the_report_says_what_was_built_and_its_shares(simulated: Simulate, run_built: RunBuilt) -> None:
    outcome = run_built(build_of(simulated(**EAGER), latency_cycles=50, head=part(700)), rule="")
    report = build_report(outcome)
    unit = report.exit_unit
    assert (unit.built, unit.part, unit.clock_period_ns) == (True, "xczu9eg-ffvb1156-2-e", 5.0)
    assert (unit.decision.evidence, unit.decision.tool) == ("vendor", "Vitis HLS 2024.1")
    assert unit.decision.layer_fraction == 50 / report.layer_cycles
    exits, cycles = int(outcome.decisions.integer.exit_layer.sum()), int(outcome.with_exits.result.latency_cycles.sum())
    assert unit.head.sentence_fraction == pytest.approx(700 * exits / cycles)
    lut = unit.decision.area["lut"]
    assert (lut.used, lut.design_fraction) == (1050, 1050 / report.resources["lut"].used)
    assert lut.device_fraction == 1050 / report.resources["lut"].available
    assert unit.decision.area["uram"].device_fraction is None
    assert report.resource_parts["exit_decision"]["lut"] == 1050
    assert len(report.hashes["exit_unit"]) == 64


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"rule": "hardware:threshold=2.5"},
            "--rule = hardware:threshold=2.5,run_length=4: is not the rule that the unit of --exit-unit decides, "
            "hardware:threshold=1.2,run_length=2. Leave --rule out, or build the unit again: hexit hls --rule "
            "'hardware:threshold=2.5,run_length=4'.",
        ),
        ({"rule": "entropy"}, "--rule = entropy:threshold=0.2: is not the rule that the unit of --exit-unit decides"),
        (
            {"max_drop": 0.02},
            "--max-drop = 0.02: is for settings that are chosen, but the unit of --exit-unit has its own. Leave one "
            "out.",
        ),
        ({"threshold": 2.0}, "--threshold = hardware:threshold=2.0,run_length=2: is not the rule that"),
        ({"logit_bits": 12}, "--exit-unit = logits of 16 bits: the run makes logits of 12. Use --logit-bits 16, or"),
        ({"batch": 2}, "--exit-unit = state of 1 sentences: the run keeps 2 in flight. Use --batch 1, or build"),
        ({"clock_mhz": 250}, "--exit-unit = clock period of 5 ns: the design runs at 250 MHz. Use --clock-mhz 200, or"),
        ({"po2": True}, "--exit-unit = logit scale"),
    ],
)
def test_a_unit_of_something_else_is_refused_in_one_line(
    options: dict[str, Any], said: str, simulated: Simulate, run_built: RunBuilt
) -> None:
    build = build_of(simulated(**EAGER))
    with pytest.raises(ConfigError) as caught:
        run_built(build, **options)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_unit_of_another_network_is_refused(simulated: Simulate, run_built: RunBuilt, regression: Any) -> None:
    build = build_of(simulated(**EAGER))
    deeper = dataclasses.replace(build.spec, n_layers=4, evaluated_layers=(1, 4))
    with pytest.raises(ConfigError, match=r"--exit-unit = 4 layers: the model has 3\. Build the unit again: hexit hls"):
        run_built(dataclasses.replace(build, spec=deeper))
    with pytest.raises(ConfigError, match="but the exits have one real output"):
        run_built(build, **{name: regression[name] for name in ("model", "data")})
    fixed = build_of(simulated(rule="fixed-depth:layer=2"))
    with pytest.raises(ConfigError, match="--exit-unit = 2 classes: the model has 1"):
        run_built(fixed, **{name: regression[name] for name in ("model", "data")})


@pytest.mark.parametrize("options", [EAGER, {"threshold": 1.2}, {"rule": "hardware"}])
def test_the_same_rule_may_be_said_again(options: dict[str, Any], simulated: Simulate, run_built: RunBuilt) -> None:
    assert run_built(build_of(simulated(**EAGER)), **options).decisions.integer.mean_layer < 3
