"""Stages of the exit unit follow from what its integers compare; the state is in registers while that is small."""

from __future__ import annotations

import pytest

from hexit.hw_model.exit_unit.timing import MAX_REGISTER_STATE_BITS, ExitUnitTiming, unit_timing
from hexit.quant.exits.rules import parse_rule
from hexit.quant.exits.unit import ExitUnitSpec, exit_unit_spec

SOFTMAX_3 = ("argmax_1", "argmax_2", "distance", "exponential", "sum_1", "sum_2")
WINDOW_5 = ("state", "window_1", "window_2", "window_3", "limit")
ENTROPY_3 = (*SOFTMAX_3, "logarithm", "excess", "product")


def unit(rule: str, n_classes: int, n_slots: int = 1, n_layers: int = 12) -> ExitUnitSpec:
    return exit_unit_spec(parse_rule(rule), n_layers=n_layers, n_classes=n_classes, scale=2.0**-11, n_slots=n_slots)


@pytest.mark.parametrize(
    ("rule", "n_classes", "stages"),
    [
        ("hardware", 2, ("difference", "decision")),
        ("entropy", 2, ("difference", "decision")),
        ("max-probability", 2, ("difference", "decision")),
        ("elbert:bias=bias_2", 2, ("difference", "decision")),
        ("pabee", 2, ("difference", "decision")),
        ("pabee", 3, ("argmax_1", "argmax_2", "decision")),
        ("pabee-regression", 1, ("logits", "decision")),
        ("fixed-depth", 1, ("decision",)),
        ("fixed-depth", 2, ("decision",)),
        ("fixed-depth", 3, ("argmax_1", "decision")),
        ("max-probability", 3, (*SOFTMAX_3, "decision")),
        ("entropy", 3, (*ENTROPY_3, "decision")),
        ("elbert:bias=bias_1", 3, (*ENTROPY_3, "decision")),
        ("elbert:bias=bias_3,window=5", 2, ("difference", *WINDOW_5, "decision")),
        ("elbert:bias=bias_3,window=1", 3, (*ENTROPY_3, "state", "limit", "decision")),
    ],
)
def test_stages_are_what_is_compared(rule: str, n_classes: int, stages: tuple[str, ...]) -> None:
    timing = unit_timing(unit(rule, n_classes))
    assert timing.stages == stages
    assert (timing.latency_cycles, timing.initiation_interval_cycles) == (len(stages), 1)


@pytest.mark.parametrize(
    ("n_classes", "latency_cycles"), [(4, 7), (5, 9), (8, 9), (9, 11), (10, 11), (16, 11), (17, 13)]
)
def test_each_doubling_of_the_classes_costs_a_level_of_both_trees(n_classes: int, latency_cycles: int) -> None:
    assert unit_timing(unit("max-probability", n_classes)).latency_cycles == latency_cycles


@pytest.mark.parametrize(("n_classes", "levels"), [(3, 2), (5, 3), (6, 4), (10, 5)])
def test_class_0_joins_the_tree_last_where_the_others_are_compared_with_it(n_classes: int, levels: int) -> None:
    stages = unit_timing(unit("elbert:bias=bias_1", n_classes)).stages
    assert sum(stage.startswith("argmax") for stage in stages) == levels


@pytest.mark.parametrize(
    ("rule", "n_classes", "updated_into"),
    [("hardware", 2, "decision"), ("pabee", 10, "decision"), ("elbert:bias=bias_3", 3, "state")],
)
def test_the_state_is_updated_between_its_stage_and_the_next(rule: str, n_classes: int, updated_into: str) -> None:
    timing = unit_timing(unit(rule, n_classes))
    assert timing.stages[timing.state_stage] == updated_into  # stage numbers count from 1


def test_a_unit_without_state_has_no_stage_for_it() -> None:
    for rule in ("max-probability", "fixed-depth", "hardware:run_length=99"):
        assert unit_timing(unit(rule, 2)) == ExitUnitTiming(
            stages=unit_timing(unit(rule, 2, n_slots=64)).stages, state_stage=0, state_cycles=1
        )


@pytest.mark.parametrize(
    ("rule", "n_slots", "state_cycles"),
    [("hardware", 51, 1), ("hardware", 52, 2), ("elbert:bias=bias_3,window=12", 1, 1), ("elbert:bias=bias_3", 2, 2)],
)
def test_state_moves_to_a_memory_where_registers_would_need_wide_multiplexers(
    rule: str, n_slots: int, state_cycles: int
) -> None:
    spec = unit(rule, 2, n_slots)
    assert unit_timing(spec).state_cycles == state_cycles
    assert (n_slots > 1 and n_slots * spec.state_bits > MAX_REGISTER_STATE_BITS) == (state_cycles == 2)
