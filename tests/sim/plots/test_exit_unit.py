"""Pictures of exit units: every stage has its box, every event its row; equal units give equal bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hexit.hw_model.exit_unit.area import exit_unit_resources
from hexit.hw_model.exit_unit.timing import unit_timing
from hexit.quant.exits.rules import parse_rule
from hexit.quant.exits.unit import ExitUnitSpec, exit_unit_spec
from hexit.sim.plots.exit_unit import draw_area, draw_pipeline, draw_unit, rule_areas

CASES = (
    ("hardware", 2, 1),
    ("elbert:bias=bias_3,window=4", 3, 8),
    ("max-probability", 10, 1),
    ("pabee-regression", 1, 2),
)


def spec_of(rule: str, n_classes: int, n_slots: int) -> ExitUnitSpec:
    return exit_unit_spec(
        parse_rule(rule), n_layers=12, n_classes=n_classes, scale=2.0**-12, logit_bits=16, n_slots=n_slots
    )


@pytest.mark.parametrize(("rule", "n_classes", "n_slots"), CASES)
def test_every_stage_has_a_box_and_the_run_ends_when_the_model_says(rule: str, n_classes: int, n_slots: int) -> None:
    spec = spec_of(rule, n_classes, n_slots)
    timing = unit_timing(spec)
    blocks, run = draw_pipeline(spec, timing).axes
    names = [text.get_text() for text in blocks.texts]
    for number, stage in enumerate(timing.stages, 1):
        assert f"{number}  {stage.replace('_', ' ')}" in names
    assert any("state in" in name for name in names) == bool(spec.state_bits)
    assert len(run.get_yticks()) == 6
    assert len(run.patches) == 6 * timing.latency_cycles


def test_an_event_that_waits_for_its_state_is_hatched() -> None:
    memory, registers = spec_of("elbert:bias=bias_3,window=4", 3, 8), spec_of("pabee", 3, 2)
    hatched = [
        any(p.get_hatch() for p in draw_pipeline(s, unit_timing(s)).axes[1].patches) for s in (memory, registers)
    ]
    assert hatched == [True, False]


def test_areas_are_those_of_the_model_and_the_chosen_rule_stands_out() -> None:
    spec = spec_of("hardware", 2, 1)
    areas, caption = rule_areas(spec)
    assert areas["hardware threshold=4.33, run_length=4"] == exit_unit_resources(spec)[0]
    assert len(areas) == 9  # seven rules for two classes, ELBERT in its three kinds
    assert caption == "Exit units for 2 classes, 16-bit logits (measured)"
    other = exit_unit_spec(parse_rule("hardware"), n_layers=12, n_classes=2, scale=2.0**-11.5, logit_bits=16)
    assert rule_areas(other)[1].endswith("(fitted, measured)")  # a run of winners has no threshold to depend on it
    assert rule_areas(spec_of("pabee-regression", 1, 1))[1].startswith("Exit units for 1 class, ")
    (axes,) = draw_area(areas, "hardware threshold=4.33, run_length=4", caption).axes
    widths = sorted(round(bar.get_width()) for bar in axes.patches)  # type: ignore[attr-defined]
    assert widths == sorted([a.lut for a in areas.values()] + [a.ff for a in areas.values()])
    assert len({label.get_color() for label in axes.get_yticklabels()}) == 2


@pytest.mark.slow
def test_equal_units_give_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        draw_unit(spec_of("entropy", 3, 1), tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["area.png", "area.svg", "pipeline.png", "pipeline.svg"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)
