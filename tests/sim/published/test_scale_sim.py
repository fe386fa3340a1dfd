"""SCALE-Sim is asked as its parser wants it; a stand-in answers (benchmarks/scale_sim.py runs it for real)."""

from __future__ import annotations

import configparser
import sys
from pathlib import Path

import pytest

from hexit.hw_model.array import DATAFLOWS, product_cycles
from hexit.quant.errors import ConfigError
from hexit.sim.published.scale_sim import (
    ScaleSimJob,
    ScaleSimRun,
    environment_python,
    install_scale_sim,
    is_installed,
    run_scale_sim,
)
from hexit.sim.published.validation import SCALE_SIM_JOBS, scale_sim_design, validate_design

JOB = ScaleSimJob(m=1, k=1, n=2, rows=4, columns=4, dataflow="output_stationary")

# Answers -c SCRIPT TIMES FOLDER... with m + 10 n + 100 k + 1000 ArrayHeight, and keeps what it was asked.
STAND_IN = """#!{python}
import configparser, json, pathlib, shutil, sys
if "import scalesim.scale_sim" == sys.argv[2]:
    sys.exit({installed})
if {fails}:
    sys.exit("Traceback\\nTypeError: only 0-dimensional arrays")
times, *folders = map(pathlib.Path, sys.argv[3:])
for folder in folders:
    config = configparser.ConfigParser()
    config.read(folder / "array.cfg")
    name, m, n, k = (folder / "gemm.csv").read_text().splitlines()[1].split(",")[:4]
    rows = config["architecture_presets"]["ArrayHeight"]
    cycles = int(m) + 10 * int(n) + 100 * int(k) + 1000 * int(rows)
    report = folder / "run" / "COMPUTE_REPORT.csv"
    report.parent.mkdir()
    header = "LayerID, Total Cycles (incl. prefetch), Total Cycles, Stall Cycles,"
    report.write_text(header + "\\n0, 1.0, %d.0, 0,\\n" % cycles)
    shutil.copytree(folder, pathlib.Path({kept!r}) / folder.name)
times.write_text(json.dumps([0.5 + number for number in range(len(folders))]))
"""


def stand_in(folder: Path, *, installed: bool = True, fails: bool = False) -> Path:
    """A script that stands in for the interpreter of SCALE-Sim's environment."""
    python = folder / "python"
    kept = str(folder / "kept")
    python.write_text(
        STAND_IN.format(python=sys.executable, installed=int(not installed), fails=fails, kept=kept), encoding="utf-8"
    )
    python.chmod(0o755)
    return python


def test_every_job_is_asked_for_and_read_back(tmp_path: Path) -> None:
    jobs = [ScaleSimJob(m=3, k=5, n=7, rows=4, columns=6, dataflow=flow) for flow in DATAFLOWS]
    runs = run_scale_sim(jobs, stand_in(tmp_path))
    assert runs == [ScaleSimRun(cycles=4573, cpu_s=0.5 + number) for number in range(3)]
    for number, flow in enumerate(("os", "ws", "is")):
        config = configparser.ConfigParser()
        config.read(tmp_path / "kept" / str(number) / "array.cfg")
        array = config["architecture_presets"]
        assert (array["ArrayHeight"], array["ArrayWidth"], array["Dataflow"]) == ("4", "6", flow)
        assert config["run_presets"]["InterfaceBandwidth"] == "CALC"
        layout = (tmp_path / "kept" / str(number) / "layout.csv").read_text().splitlines()
        assert [line.count(",") for line in layout] == [21, 21]  # 21 columns, each with its comma


def test_a_job_knows_what_the_model_says_of_it() -> None:
    job = ScaleSimJob(m=128, k=768, n=768, rows=32, columns=32, dataflow="weight_stationary")
    assert product_cycles(job.m, job.k, job.n, job.array).total == 127_871


def test_without_scale_sim_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEXIT_CACHE", str(tmp_path))
    assert environment_python().is_relative_to(tmp_path)
    remedy = r"has no SCALE-Sim 3\.0\.0\. Run benchmarks/scale_sim\.py, which installs it\.$"
    with pytest.raises(ConfigError, match=remedy):
        run_scale_sim([JOB])
    with pytest.raises(ConfigError, match=remedy):
        run_scale_sim([JOB], stand_in(tmp_path, installed=False))


def test_a_run_that_fails_says_why(tmp_path: Path) -> None:
    said = r"fails \(TypeError: only 0-dimensional arrays\)\. Install scalesim==3\.0\.0 numpy<2\.3 "
    with pytest.raises(ConfigError, match=said):
        run_scale_sim([JOB], stand_in(tmp_path, fails=True))


def test_an_environment_that_is_there_is_used_and_one_that_is_not_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = environment_python(tmp_path)
    python.parent.mkdir(parents=True)
    stand_in(python.parent)
    assert is_installed(python)
    assert install_scale_sim(tmp_path) == python

    python.unlink()
    monkeypatch.setattr("sys.executable", str(tmp_path / "no_such_python"))
    assert not is_installed(python)
    with pytest.raises(ConfigError, match="cannot be installed"):
        install_scale_sim(tmp_path)


def test_the_answers_are_a_machine_whose_figures_are_checked(tmp_path: Path) -> None:
    jobs = [JOB, ScaleSimJob(m=9, k=5, n=7, rows=4, columns=6, dataflow="weight_stationary")]
    wrong = validate_design(scale_sim_design(jobs, run_scale_sim(jobs, stand_in(tmp_path))))
    assert [row.published for row in wrong.rows] == [4121, 4579]
    assert not any(row.holds for row in wrong.rows)
    right = [ScaleSimRun(cycles=product_cycles(j.m, j.k, j.n, j.array).total, cpu_s=1.0) for j in jobs]
    assert all(row.error_fraction == 0 for row in validate_design(scale_sim_design(jobs, right)).rows)
    assert {job.dataflow for job in SCALE_SIM_JOBS} == set(DATAFLOWS)
