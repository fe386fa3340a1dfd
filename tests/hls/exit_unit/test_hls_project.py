"""Generated HLS projects: whole, the same every time, at home anywhere, and proven by g++ alone."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hexit.hls.exit_unit.hls_project
from hexit.hls.exit_unit.constants import constants
from hexit.hls.exit_unit.hls_project import write_hls_project
from hexit.hls.exit_unit.readme import project_readme
from hexit.hls.exit_unit.simulation import simulate_hls_project
from hexit.hls.exit_unit.vectors import EventStream, answer, proof_events
from hexit.hls.tools.folder import new_folder
from hexit.hls.tools.template_files import template
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import parse_rule
from hexit.quant.exits.unit import ExitUnitSpec, exit_unit_spec
from hexit.quant.integer.head import HeadScales, IntegerDense, IntegerHead, head_logits, integer_head
from support.paths import ROOT

HOSTILE = 'class\'"; $(touch x)`id`\\\n*/ #error "x" /* ] ; exec sh ; \t%{été} myproject'
N_EVENTS = 2000

pytestmark = pytest.mark.skipif(not (shutil.which("g++") and shutil.which("make")), reason="needs g++ and make")


def unit(rule: str = "hardware", n_classes: int = 2) -> ExitUnitSpec:
    """A unit of six layers for three sentences in flight, 12-bit logits, under a rule's name that ends comments."""
    found = exit_unit_spec(
        parse_rule(rule), n_layers=6, n_classes=n_classes, scale=2.0**-6, logit_bits=12, n_slots=3, confidence=True
    )
    return dataclasses.replace(found, rule=f"{rule}\n*/ \\")


def write(folder: Path, spec: ExitUnitSpec | None = None, **changes: Any) -> None:
    spec = spec or unit()
    given: dict[str, Any] = {
        "backend": "vitis",
        "interface": "stream",
        "part": "xczu9eg-ffvb1156-2-e",
        "clock_period_ns": 5.0,
        "name": HOSTILE,
    }
    given |= {"stream": proof_events(spec, N_EVENTS, seed=1)} if "stream" not in changes else {}
    write_hls_project(spec, folder, **(given | changes))


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project made and run under hostile names, and then moved: tests must leave it as it is."""
    made = tmp_path_factory.mktemp("made") / "it's a $HOME"
    write(made)
    moved = tmp_path_factory.mktemp("moved") / 'some "other" place'
    shutil.copytree(made, moved)
    shutil.rmtree(made)
    return moved


@pytest.mark.slow
def test_a_project_with_hostile_names_passes_where_it_was_copied_to(project: Path) -> None:
    result = simulate_hls_project(project)
    assert (result.n_events, result.n_different, result.first_difference) == (N_EVENTS, 0, "")


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "interface", "rule"), [("vivado", "parallel", "entropy:threshold=0.3")])
def test_the_other_backend_and_interface_pass_too(backend: str, interface: str, rule: str, tmp_path: Path) -> None:
    write(tmp_path / "p", unit(rule, n_classes=3), backend=backend, interface=interface, name="module")
    assert simulate_hls_project(tmp_path / "p").n_different == 0


def test_two_runs_give_the_same_files_and_none_knows_where_it_is(
    project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "again")
    assert capfd.readouterr() == ("", "")
    found = files_of(tmp_path / "again")
    made_by_running = {name for name in files_of(project) if name.startswith("obj/")}
    assert found == {name: text for name, text in files_of(project).items() if name not in made_by_running}
    places = (str(ROOT).encode(), str(tmp_path).encode(), b"made0", str(Path.home()).encode() + b"/")
    assert [name for name, text in found.items() if any(place in text for place in places)] == []
    write(tmp_path / "again", name="another")
    assert files_of(tmp_path / "again") != found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("decisions.txt", lambda line: re.sub(r"^(\d+) (\d)", lambda m: f"{m[1]} {1 - int(m[2])}", line), "exit is "),
        ("decisions.txt", lambda line: f"{line}1", "confidence is "),
        ("events.txt", lambda line: re.sub(r"-?\d+$", "5000", line), "an input does not fit its port"),
    ],
)
def test_a_changed_vector_fails_and_is_named(file: str, change: Any, message: str, project: Path) -> None:
    path = project / "golden" / file
    lines = path.read_text().splitlines()
    changed = [*lines[:6], change(lines[6]), *lines[7:]]
    try:
        path.write_text("\n".join(changed) + "\n")
        result = simulate_hls_project(project)
        assert result.n_different >= 1
        slot, layer = (project / "golden" / "events.txt").read_text().splitlines()[6].split()[:2]
        assert result.first_difference.startswith(f"event 7 (slot {slot}, layer {layer}): {message}")
        make = subprocess.run(["make", "csim"], cwd=project, capture_output=True, check=False)
        assert make.returncode
    finally:
        path.write_text("\n".join(lines) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("decisions.txt", lambda whole: whole[: whole.index("\n") + 1], r"decisions\.txt ends after 1 lines"),
        ("decisions.txt", lambda whole: f"{whole}0 0 0 1 0\n", rf"decisions\.txt goes on after {N_EVENTS} lines"),
        ("events.txt", lambda whole: "", r"decisions\.txt goes on after 0 lines"),
        ("events.txt", lambda whole: "0 1 two\n", r"events\.txt has a line that is not 4 integers: 0 1 two"),
        ("events.txt", lambda whole: "0 1 2 3 4\n", r"events\.txt has a line that is not 4 integers: 0 1 2 3 4"),
    ],
)
def test_damaged_vector_files_are_no_proof(file: str, change: Any, message: str, project: Path) -> None:
    path = project / "golden" / file
    whole = path.read_text()
    try:
        path.write_text(change(whole))
        with pytest.raises(ConfigError, match=message):
            simulate_hls_project(project)
    finally:
        path.write_text(whole)


@pytest.mark.slow
def test_a_project_that_does_not_compile_says_where(project: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(project, broken)
    (source,) = (broken / "firmware").glob("*.cpp")
    source.write_text(f"{source.read_text()}\nint x = y;\n")
    with pytest.raises(ConfigError, match=rf"{source.name}:\d+:\d+: error: .*y.* was not declared") as caught:
        simulate_hls_project(broken)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="did not end within 0 s"):
        simulate_hls_project(broken, timeout_s=0.05)
    with pytest.raises(ConfigError, match="is not an HLS project"):
        simulate_hls_project(tmp_path)


@pytest.mark.parametrize("missing", ["make", "g++"])
def test_a_missing_tool_is_named(missing: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in {"make", "g++"} - {missing}:
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=rf"{re.escape(missing)} = \(not found\).*apt install"):
        simulate_hls_project(project)


def test_nothing_half_written_is_ever_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, seen = tmp_path / "unit", []

    def stop(stream: EventStream) -> str:
        seen.append([str(path) for path in folder.rglob("*")])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(hexit.hls.exit_unit.hls_project, "decisions_text", stop)
        with pytest.raises(KeyboardInterrupt):
            write(folder)
        assert seen == [[]]
        assert list(tmp_path.iterdir()) == []
    write(folder, name="first")
    before = files_of(folder)
    (folder / "note.txt").write_text("of the user")
    with monkeypatch.context() as patched:
        patched.setattr(hexit.hls.exit_unit.hls_project, "decisions_text", stop)
        with pytest.raises(KeyboardInterrupt):
            write(folder, name="second")
    assert files_of(folder) == before | {"note.txt": b"of the user"}
    write(folder, name="second")
    assert list(tmp_path.iterdir()) == [folder]
    assert (folder / "firmware" / "hexit_second.cpp").is_file()
    assert not (folder / "note.txt").exists()


def test_a_folder_is_moved_to_its_place_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "unit"
    for text in ("first", "second"):
        with new_folder(folder, "mark") as made:
            (made / "mark").write_text(text)
            place = made.stat().st_ino
        assert folder.stat().st_ino == place
        assert files_of(tmp_path) == {"unit/mark": text.encode()}


def test_other_peoples_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty and was not made by hexit"):
        write(tmp_path)
    with pytest.raises(ConfigError, match="is not a folder"):
        write(tmp_path / "file")
    with pytest.raises(ConfigError, match="cannot be written"):
        write(tmp_path / "file" / "below")
    assert files_of(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"part": 'x"; exec sh'}, "is no part number"),
        ({"part": ""}, "is no part number"),
        ({"clock_period_ns": float("nan")}, "must be more than 0 ns"),
        ({"clock_period_ns": 0.0}, "must be more than 0 ns"),
        ({"backend": "quartus"}, "must be vitis or vivado"),
        ({"interface": "wires"}, "must be parallel or stream"),
        ({"stream": proof_events(unit("entropy", n_classes=3), 5, seed=1)}, "must be events of 2 logits"),
    ],
)
def test_what_no_tool_could_read_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        write(tmp_path / "unit", **changes)
    assert list(tmp_path.iterdir()) == []


def small_head(hidden: int, spec: ExitUnitSpec) -> IntegerHead:
    random = np.random.default_rng(0)

    def dense(n_out: int) -> IntegerDense:
        weights, bias = random.integers(-7, 8, (n_out, hidden)), random.integers(-200, 200, n_out)
        return IntegerDense(weights=weights, bias=bias, weight_bits=4, input_bits=8)

    scales = HeadScales(
        inputs=2.0**-4,
        pooler_weights=np.full(hidden, 2.0**-3),
        features=2.0**-7,
        classifier_weights=np.full(spec.n_classes, 2.0**-3),
        logits=2.0**-9,
    )
    return integer_head(
        pooler=dense(hidden), classifier=dense(spec.n_classes), scales=scales, logit_bits=spec.logit_bits
    )


@pytest.mark.slow
def test_a_project_with_a_head_starts_from_its_inputs(tmp_path: Path) -> None:
    spec, hidden, n_events = unit("elbert:threshold=0.2,window=3"), 8, 60
    head = small_head(hidden, spec)
    inputs = np.random.default_rng(1).integers(-128, 128, (n_events, hidden)) // 3
    place = np.arange(n_events)
    stream = answer(spec, place // 6 % 3, place % 6 + 1, head_logits(head, inputs))
    assert 0 < stream.exit.mean() < 1
    with pytest.raises(ConfigError, match="head inputs = none: must be 60x8"):
        write(tmp_path / "p", spec, stream=stream, head=head)
    write(tmp_path / "p", spec, stream=stream, head=head, head_inputs=inputs, reuse_factor=2)
    result = simulate_hls_project(tmp_path / "p")
    assert (result.n_events, result.n_different) == (n_events, 0)


@pytest.mark.slow
def test_hls4ml_alone_opens_a_project_as_the_readme_says(project: Path, tmp_path: Path) -> None:
    """The README's own lines, with a stand-in for the vendor's tool, where hexit cannot be imported."""
    folder = tmp_path / "project"
    shutil.copytree(project, folder)
    (name,) = re.findall(r'set project_name "(\w+)"', (folder / "project.tcl").read_text())
    report = (
        "<profile><UserAssignments><TargetClockPeriod>5.00</TargetClockPeriod></UserAssignments><PerformanceEstimates>"
        "<SummaryOfTimingAnalysis><EstimatedClockPeriod>3.1</EstimatedClockPeriod></SummaryOfTimingAnalysis>"
        "<SummaryOfOverallLatency><Best-caseLatency>3</Best-caseLatency><Worst-caseLatency>3</Worst-caseLatency>"
        "<Interval-min>1</Interval-min><Interval-max>1</Interval-max></SummaryOfOverallLatency></PerformanceEstimates>"
        "<AreaEstimates><Resources><LUT>77</LUT></Resources><AvailableResources/></AreaEstimates></profile>"
    )
    solution = f"{name}_prj/solution1/syn/report"
    tool = tmp_path / "bin" / "vitis-run"
    tool.parent.mkdir()
    tool.write_text(
        f"#!/bin/sh\nmkdir -p {solution}\necho '{report}' > {solution}/{name}_csynth.xml\n"
        f"echo '<project><solutions><solution name=\"solution1\"/></solutions></project>' > {name}_prj/hls.app\n"
    )
    tool.chmod(0o755)
    lines = re.search(r"```python\n(.*?)```", template("README.md"), re.S)
    assert lines is not None
    script = lines[1].replace("model.build(", "report = model.build(")
    check = (
        "import sys\nassert not any(m.split('.')[0] in ('hls', 'quant', 'torch') for m in sys.modules)\n"
        "assert (decisions == np.loadtxt('golden/decisions.txt')).all() and len(decisions) > 1000\n"
        "assert report['CSynthesisReport']['LUT'] == '77'\n"
    )
    environment = os.environ | {"PATH": f"{tool.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": ""}
    ran = subprocess.run(
        [sys.executable, "-c", script + check],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_readme_shows_texts_and_obeys_nothing_in_them() -> None:
    spec = unit()
    text = project_readme(
        name=HOSTILE,
        facts=[("rule", HOSTILE), ("latency", "3 cycles")],
        area=[("part", "LUT", "known by"), ("decision", "58 (0.02 %)", "<b>Yosys</b> | 0.70")],
        constants=constants(spec),
        backends=("vitis", "vivado"),
        interface="stream",
        part="xczu9eg-ffvb1156-2-e",
        clock_period_ns=5.0,
        n_events=12_345,
    )
    assert "@@" not in text
    assert "<b>" not in text
    assert "\n*/ #error" not in text
    assert "| decision | 58 (0.02 %) | &lt;b&gt;Yosys&lt;/b&gt; \\| 0.70 |" in text
    assert "| `MIN_DIFFERENCE` | 278 |" in text
    assert "| class | out | 1 | the largest logit, the first of equals |" in text
    assert "make -C vivado csim" in text
    assert "12,345 events" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    assert set(cells) == {3, 4, 5}
