from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hexit.hw_model.design_files import load_design
from hexit.hw_model.evidence import Expected
from hexit.sim.plots.validation import draw_validation
from hexit.sim.published.validation import validate, validate_design
from support.command_line import hexit

VALIDATION = validate()
ROWS = [(found.design, row) for found in VALIDATION.designs for row in found.rows if row.unit != "mW"]


def test_every_figure_is_a_point_in_cycles() -> None:
    left, _ = draw_validation(VALIDATION).axes
    drawn = np.concatenate([line.get_xydata() for line in left.lines[1:]])
    cycles_per = [design.clock_mhz * 1000 if row.unit == "ms" else 1 for design, row in ROWS]
    wanted = [(row.published * n, row.predicted * n) for (_, row), n in zip(ROWS, cycles_per, strict=True)]
    for point, expected in zip(sorted(map(tuple, drawn.tolist())), sorted(wanted), strict=True):
        assert point == pytest.approx(expected)


def test_errors_are_those_of_the_figures_that_differ_with_their_tolerance() -> None:
    _, right = draw_validation(VALIDATION).axes
    differing = [row for _, row in ROWS if row.error_fraction]
    points = [line for line in right.lines if line.get_marker() == "o"]
    assert [np.asarray(line.get_xdata()).item(0) for line in points] == [100 * row.error_fraction for row in differing]
    assert [line.get_markerfacecolor() == "white" for line in points] == [row.role == "fit" for row in differing]
    bars = [np.asarray(line.get_xdata()).item(1) for line in right.lines if line.get_linewidth() == 5]
    assert bars == [100 * row.tolerance_fraction for row in differing]


def test_a_miss_stands_out() -> None:
    known = load_design("scale-sim-os")
    wrong = validate_design(replace(known, expected=(Expected(of="op qkvo", cycles=70_000),)))
    _, right = draw_validation(replace(VALIDATION, designs=(wrong,))).axes
    assert [line.get_color() for line in right.lines if line.get_marker() == "o"] == ["#D55E00"]


def test_the_folder_has_the_numbers_and_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = hexit(capsys, "validate", "--json", "--out", tmp_path / "v").out
    assert (tmp_path / "v" / "validation.json").read_text() == told
    written = {path.name for path in (tmp_path / "v").iterdir()}
    assert written == {"validation.json", "validation.png", "validation.svg"}
    mine = tmp_path / "mine.toml"
    mine.write_text('based_on = "tmma-kv260"\n')
    assert hexit(capsys, "validate", mine, "--out", tmp_path / "w").code == 0
    assert {path.name for path in (tmp_path / "w").iterdir()} == {"validation.json", "mine.trace.json"}
    assert json.loads((tmp_path / "w" / "validation.json").read_text())["designs"][0]["rows"] == []
