from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import FoldTiming, SystolicArray
from hexit.hw_model.machine.description import Expected, Machine, MachineMemory, Network, Product, Region, Stage
from hexit.hw_model.machine.loops import Loop
from support.command_line import hexit
from support.paths import ROOT

PAGE = (ROOT / "docs" / "design_file.md").read_text(encoding="utf-8")
RECORDS = (
    Accelerator,
    FoldTiming,
    SystolicArray,
    Loop,
    Expected,
    Machine,
    MachineMemory,
    Network,
    Product,
    Region,
    Stage,
)


@pytest.mark.parametrize("record", RECORDS)
def test_every_key_of_a_file_is_explained(record: Any) -> None:
    told = set(re.findall(r"[a-z][a-z0-9_]+|\b[mkn]\b", PAGE))
    assert {field.name for field in fields(record)} <= told


@pytest.mark.parametrize("number", [1, 2])
def test_the_examples_on_the_page_run(number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = PAGE.split("```toml\n")[number].split("```")[0]
    mine = tmp_path / "mine.toml"
    mine.write_text(example)
    shown = hexit(capsys, "validate", mine, "--stages")
    assert shown.code == 0
    assert "whole region" in shown.out
