from __future__ import annotations

import inspect
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import hexit
from support.command_line import Hexit
from support.paths import ROOT

PUBLIC = {"ConfigError", "DoesNotFit", "Job", "Result", "__version__", "job", "load_job", "run"}


@pytest.fixture
def tiny(tiny_folders: dict[str, Path], tiny_tsv: Path, warm_cache: Path) -> dict[str, Any]:
    return {"model": str(tiny_folders["albert"]), "data": str(tiny_tsv), "cache_dir": warm_cache}


def test_the_public_names_are_these_and_say_what_they_are() -> None:
    assert set(hexit.__all__) == set(dir(hexit)) == PUBLIC
    assert hexit.__version__ == metadata.version("hexit")
    assert all(inspect.getdoc(getattr(hexit, name)) for name in PUBLIC - {"__version__"})
    with pytest.raises(AttributeError, match="no attribute 'walk'"):
        hexit.walk  # noqa: B018


@pytest.mark.slow
def test_a_result_is_the_report_of_the_command_line(tiny: dict[str, Any], run: Hexit, tmp_path: Path) -> None:
    result = hexit.run(bits=8, rule="pabee", threshold=1, **tiny)
    assert result.to_json() == run("--bits", 8, "--rule", "pabee", "--threshold", 1, "--json").out
    assert result.to_dict() == json.loads(result.to_json())
    assert hexit.run(result.job).to_json() == result.to_json()
    assert run("--bits", 8, "--rule", "pabee", "--threshold", 1, "--out", tmp_path / "b").code == 0
    result.write(tmp_path / "a")
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "ab"]
    assert files[0] == files[1]


def test_a_result_shows_itself_in_one_line(tiny: dict[str, Any]) -> None:
    shown = repr(hexit.run(rule="fixed-depth", threshold=2, **tiny))
    assert shown.startswith("Result(fixed-depth:layer=2: accuracy_fraction 0.")
    assert "mean layer 2.00" in shown
    assert "\n" not in shown


def test_a_sweep_is_a_list_of_flat_rows(tiny: dict[str, Any]) -> None:
    rows = [hexit.run(rule="entropy", threshold=step / 10, **tiny).row() for step in range(1, 7)]
    layers = [row["mean_layer"] for row in rows]
    assert layers == sorted(layers, reverse=True)
    assert all(set(row) == set(rows[0]) for row in rows)
    assert all(isinstance(value, int | float | str | None) for value in rows[0].values())


def test_a_job_or_options_but_not_both() -> None:
    with pytest.raises(hexit.ConfigError, match=r"job = \['bits'\]: is complete\. Give a job or options, not both"):
        hexit.run(hexit.job(), bits=8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quant", "hw_model", "sim", "hls", "hexit_run"])
def test_files_of_the_user_s_own_are_not_in_the_way(name: str, profile: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text("raise SystemExit('a module of the user was loaded')\n")
    code = f"import sys; sys.path.append({str(ROOT)!r}); import hexit; print(hexit.run(profile={profile!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Result(entropy:threshold=")


def test_python_m_hexit_is_the_command_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hexit", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "validate" in done.stdout
