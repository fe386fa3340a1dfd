from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import FoldTiming, SystolicArray
from hexit.hw_model.design_files import load_design
from hexit.hw_model.design_keys import END, TABLES, with_key_tables
from hexit.hw_model.evidence import Expected, Network, Product
from hexit.hw_model.loops import Loop
from hexit.hw_model.stages import Region, Stage
from support.command_line import hexit
from support.paths import ROOT

PAGE = (ROOT / "docs" / "design_file.md").read_text(encoding="utf-8")
RECORDS = (
    Accelerator,
    FoldTiming,
    SystolicArray,
    Loop,
    Expected,
    Network,
    Product,
    Region,
    Stage,
)


@pytest.mark.parametrize("record", RECORDS)
def test_every_key_of_a_file_is_explained(record: Any) -> None:
    words = {one: meanings for one, meanings in TABLES.values()}
    assert list(words[record]) == [field.name for field in fields(record)]


def test_the_tables_of_the_page_are_made_from_the_records() -> None:
    assert with_key_tables(PAGE) == PAGE
    assert PAGE.count(END) == len(TABLES)


@pytest.mark.parametrize("number", [2, 3])
def test_the_examples_on_the_page_run(number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = PAGE.split("```toml\n")[number].split("```")[0]
    mine = tmp_path / "mine.toml"
    mine.write_text(example)
    shown = hexit(capsys, "validate", mine, "--stages")
    assert shown.code == 0
    assert "whole region" in shown.out


def test_five_lines_are_a_design(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(PAGE.split("```toml\n")[1].split("```")[0])
    design = load_design(str(mine))
    assert len(mine.read_text().splitlines()) == 5
    assert (design.softmax_lanes, design.head_lanes) == (32, 32)
    assert (design.weight_buffer_kib, design.activation_buffer_kib) == (738, 369)  # of 288 x 2.25 + 64 x 36 KiB
