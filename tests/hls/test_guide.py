"""The guide's Python runs as far as the tools go: without the vendor's, `build` says which one is missing."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from support.paths import ROOT

GUIDE = (ROOT / "docs" / "hls.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_an_hls4ml_users_three_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, re.S)
    head, build = code.rstrip().rsplit("\n", 1)
    assert build.startswith("model.build(")
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "guide.py"
    script.write_text(head)
    names = runpy.run_path(str(script))
    assert names["decisions"].astype(int).tolist() == [[0, 0, 0, 1, 0], [0, 1, 0, 2, 0]]
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Exception, match="vitis-run"):  # hls4ml raises a plain Exception
        names["model"].build(csim=False)
