"""The exit unit's definition: agrees with the integer rule, survives JSON, ignores layers without an exit."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.quant.arrays import Integers
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import RULES, ElbertExit, FixedDepthExit, HardwareOrientedExit, PabeeExit, parse_rule
from hexit.quant.exits.unit import ExitUnitSpec, decide_events, exit_unit_spec, unit_decision
from hexit.quant.records import from_json, to_json

N_LAYERS = 6
BUILDABLE = [name for name in RULES if name != "oracle"]
SPELLED = [
    *(name for name in BUILDABLE if name != "elbert"),
    *(f"elbert:bias={bias},window=3,range_limit=0.2" for bias in ("bias_1", "bias_2", "bias_3")),
]


def classes(rule: str) -> tuple[int, ...]:
    return {"pabee-regression": (1,), "hardware": (2,), "fixed-depth": (1, 2, 3)}.get(rule.partition(":")[0], (2, 3))


def spec_of(rule: str, n_classes: int, **options: object) -> ExitUnitSpec:
    given: dict[str, object] = {"n_layers": N_LAYERS, "n_classes": n_classes, "scale": 2.0**-6, "logit_bits": 10}
    parsed = parse_rule(rule) if ":" in rule or not hasattr(parse_rule(rule), "patience") else parse_rule(rule, 2)
    return exit_unit_spec(parsed, **(given | options))  # type: ignore[arg-type]


def walks(seed: int, n_classes: int, n: int = 64) -> Integers:
    steps = np.random.default_rng(seed).integers(-60, 61, (N_LAYERS, n, n_classes))
    return np.asarray(np.clip(steps.cumsum(axis=0) // 8 * 8, -512, 511))


EVERY = [(rule, k) for rule in SPELLED for k in classes(rule)]


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "n_classes"), EVERY)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_sentence_leaves_at_its_first_exit_with_the_class_there(rule: str, n_classes: int, seed: int) -> None:
    spec, logits = spec_of(rule, n_classes), walks(seed, n_classes)
    output, decision = decide_events(spec, logits), unit_decision(spec, logits)
    first, samples = output.exit.argmax(axis=0), np.arange(logits.shape[1])
    assert (first + 1).tolist() == decision.exit_layer.tolist()
    predicted = output.winner[first, samples] if n_classes > 1 else logits[first, samples, 0] * spec.form.scale
    assert decision.prediction.tolist() == predicted.tolist()


@pytest.mark.parametrize(("rule", "n_classes"), EVERY)
def test_a_spec_survives_json(rule: str, n_classes: int) -> None:
    spec = spec_of(rule, n_classes, n_slots=3)
    assert from_json(ExitUnitSpec, json.loads(json.dumps(to_json(spec)))) == spec


@pytest.mark.parametrize(("rule", "n_classes"), [case for case in EVERY if case[0] != "fixed-depth"])
def test_layers_without_an_exit_are_as_if_they_did_not_exist(rule: str, n_classes: int) -> None:
    exits = (2, 3, 5, 6)
    logits = walks(1, n_classes)
    output = decide_events(spec_of(rule, n_classes, evaluated_layers=exits), logits)
    index = np.array(exits) - 1
    shorter = decide_events(spec_of(rule, n_classes, n_layers=len(exits)), logits[index])
    assert (output.exit[index] == shorter.exit).all()
    assert not np.delete(output.exit, index, axis=0).any()


def test_confidence_is_what_is_compared() -> None:
    logits = walks(2, 2)
    hardware = decide_events(spec_of("hardware", 2, confidence=True), logits)
    assert (hardware.confidence == abs(logits[..., 0] - logits[..., 1])).all()
    patience = spec_of("pabee", 2, confidence=True)
    output = decide_events(patience, logits)
    assert output.confidence.max() == patience.run_length == 3
    assert (output.exit[:-1] == (output.confidence[:-1] >= 3)).all()
    many = spec_of("max-probability:threshold=0.6", 3, confidence=True)
    logits = walks(3, 3)
    output = decide_events(many, logits)
    real = np.exp(logits * many.form.scale)
    most = real.max(axis=-1) / real.sum(axis=-1)
    step = 3 * 2.0**-many.form.fraction_bits  # three rounded entries
    assert np.abs(2.0**many.form.fraction_bits / output.confidence - most).max() < step


def test_every_number_of_a_unit_fits_the_width_that_the_spec_gives_it() -> None:
    low, high = -512, 511
    corners = np.array([[[low, high]], [[high, low]], [[low, low]], [[high, high]], [[0, -1]], [[low, high]]])
    for rule in ("hardware", "max-probability", "pabee"):
        spec = spec_of(rule, 2, confidence=True)
        output = decide_events(spec, corners)
        assert output.confidence.max() < 1 << spec.confidence_bits
        assert N_LAYERS.bit_length() <= spec.layer_bits
    widest = spec_of("max-probability", 3, confidence=True)
    assert decide_events(widest, np.zeros((N_LAYERS, 1, 3), int)).confidence.max() < 1 << widest.sum_bits


def test_a_run_that_no_sentence_completes_costs_nothing() -> None:
    assert spec_of("hardware:run_length=7", 2).form.trend is None
    assert spec_of("hardware:run_length=6", 2).form.trend is not None
    assert spec_of("hardware:run_length=7", 2).state_bits == 0
    never = exit_unit_spec(PabeeExit(patience=99), n_layers=4, n_classes=2, scale=1.0)
    output = decide_events(never, np.zeros((4, 1, 2), int))
    assert output.exit[:, 0].tolist() == [False, False, False, True]


def test_state_of_a_window_is_the_run_and_the_distances_before() -> None:
    spec = spec_of("elbert:bias=bias_3,window=4,range_limit=0.2", 2)
    assert [(f.name, f.bits, f.count) for f in spec.state_fields] == [
        ("count", 3, 1),
        ("side", 2, 1),
        ("distance", 10, 3),
    ]
    assert spec.state_bits == 3 + 2 + 30
    assert spec_of("hardware", 2).state_bits == 3 + 2


def test_fixed_depth_has_two_exits_of_its_own() -> None:
    assert spec_of("fixed-depth:layer=4", 2).evaluated_layers == (4, 6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluated_layers": (1, 2)}, "--exits = 1,2: must be rising layers from 1 that end with the last one, 6."),
        ({"evaluated_layers": (3, 2, 6)}, "--exits = 3,2,6: must be rising"),
        ({"evaluated_layers": ()}, "--exits = (none): must be rising"),
        ({"n_slots": 0}, "--interleave = 0: must be 1..64."),
        ({"n_slots": 65}, "--interleave = 65: must be 1..64."),
    ],
)
def test_units_that_cannot_be_are_refused_in_one_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        dataclasses.replace(spec_of("hardware", 2), **changes)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)


def test_wrong_logits_and_rules_are_refused() -> None:
    spec = spec_of("hardware", 2)
    with pytest.raises(ConfigError, match="must fit 10 bits"):
        decide_events(spec, np.full((N_LAYERS, 1, 2), 512))
    with pytest.raises(ConfigError, match=r"logits = float64: must be integers"):
        decide_events(spec, np.zeros((N_LAYERS, 1, 2)))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="must be 6 layers x samples x 2 classes"):
        decide_events(spec, np.zeros((3, 1, 2), int))
    with pytest.raises(ConfigError, match="has no exit, but the rule leaves there"):
        exit_unit_spec(FixedDepthExit(layer=3), n_layers=6, n_classes=2, scale=1.0, evaluated_layers=(2, 6))
    with pytest.raises(ConfigError, match="no confidence"):
        exit_unit_spec(FixedDepthExit(layer=3), n_layers=6, n_classes=2, scale=1.0, confidence=True)
    with pytest.raises(ConfigError, match="two logits"):
        exit_unit_spec(HardwareOrientedExit(), n_layers=6, n_classes=3, scale=1.0)
    text = to_json(exit_unit_spec(ElbertExit(), n_layers=12, n_classes=2, scale=1.0))
    text["form"]["trend"]["kind"] = "Nothing"
    with pytest.raises(ConfigError, match="must be one of WinnerRun, SmallStepRun, SideRun"):
        from_json(ExitUnitSpec, text)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("trend", "run_length"), 0, "exit_unit.run_length = 0: must be 1..6"),
        (("trend", "run_length"), 7, "exit_unit.run_length = 7: must be 1..6"),
        (("trend", "limits", "entries"), [], "exit_unit.limits = (empty): must have entries"),
        (("trend", "limits", "entries"), [3, -1], "exit unit table = shift 0, 2 entries, least -1"),
        (("trend", "limits", "shift"), -1, "exit unit table = shift -1"),
    ],
)
def test_a_changed_file_is_refused(path: tuple[str, ...], value: object, message: str) -> None:
    text = to_json(spec_of("elbert:bias=bias_3,window=3,range_limit=0.2", 2))
    place = text["form"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ConfigError) as caught:
        from_json(ExitUnitSpec, text)
    assert str(caught.value).startswith(message)
