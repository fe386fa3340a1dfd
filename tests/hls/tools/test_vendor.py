"""The vendor's tools, played by stand-ins on the PATH that record how they were called, and build_hexit.tcl itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hexit.hls.tools.template_files import fill, template
from hexit.hls.tools.vendor import LOG, SCRIPT, TOOLS, find_tool, run_vendor
from hexit.quant.errors import ConfigError

NAME = "hexit_unit"
SOLUTION = f"{NAME}_prj/solution1"

Install = Callable[..., None]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """As much of a project as the vendor's flow looks at, at a place with a space in its name."""
    folder = tmp_path / "my unit" / "vitis"
    (folder / "firmware" / "weights").mkdir(parents=True)
    (folder / SCRIPT).write_text(template(SCRIPT))
    (folder / "project.tcl").write_text(
        f'variable project_name\nset project_name "{NAME}"\nvariable backend\nset backend "vitis"\n'
        'variable part\nset part "xczu9eg-ffvb1156-2-e"\nvariable clock_period\nset clock_period 5\n'
        'variable clock_uncertainty\nset clock_uncertainty 27%\nvariable version\nset version "1.0.0"\n'
        "variable maximum_size\nset maximum_size 4096\n"
    )
    return folder


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a tool on the PATH: it records its call, leaves `reports` in its folder, says `says` and ends."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin")

    def stand_in(name: str, reports: dict[str, str] | None = None, says: str = "", status: int = 0) -> None:
        left = tmp_path / f"reports of {name}"
        for path, text in (reports or {}).items():
            (left / path).parent.mkdir(parents=True, exist_ok=True)
            (left / path).write_text(text)
        left.mkdir(exist_ok=True)
        (tmp_path / "says").write_text(says)
        program = programs / name
        program.write_text(
            f'#!/bin/sh\nrecord="{tmp_path}/record"\nprintf "%s|" {name} "$@" > "$record"\n'
            f'pwd >> "$record"\nprintf "%s\\n" "$HEXIT_STEPS" >> "$record"\ncat {SCRIPT} >> "$record"\n'
            f'cp -r "{left}/." .\ncat "{tmp_path}/says"\nexit {status}\n'
        )
        program.chmod(0o755)

    return stand_in


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("vitis-run", "--mode|hls|--tcl|build_hexit.tcl|"),
        ("vitis_hls", "-f|build_hexit.tcl|"),
        ("vivado_hls", "-f|build_hexit.tcl|"),
    ],
)
def test_each_tool_is_called_as_it_wants_and_leaves_its_reports(
    tool: str, arguments: str, project: Path, install: Install, tmp_path: Path
) -> None:
    install(tool, {f"{SOLUTION}/report": "of the tool"}, says="a lot\n")
    solution, name = run_vendor(project, "vitis")
    call, steps, script = (tmp_path / "record").read_text().split("\n", 2)
    assert call == f"{tool}|{arguments}{project}"
    assert steps == "csim csynth cosim export"
    assert script == (project / SCRIPT).read_text()
    assert (project / LOG).read_text() == "a lot\n"
    assert (solution, name) == (project / SOLUTION, NAME)
    assert (solution / "report").read_text() == "of the tool"


def test_the_backends_own_tool_comes_first_and_the_newest_before(install: Install) -> None:
    for name in ("vivado_hls", "vitis_hls", "vitis-run"):
        install(name)
        assert find_tool("vitis").name == name
        assert find_tool("vivado").name == "vivado_hls"


def test_without_a_tool_one_line_says_so_and_how_to_go_on(project: Path, install: Install) -> None:
    with pytest.raises(ConfigError, match=r"vitis-run, vitis_hls, vivado_hls: none of these is on the PATH\. Source"):
        run_vendor(project, "vitis")


@pytest.mark.parametrize(
    ("says", "status", "message"),
    [
        ("ERROR: [HLS 200-70] no license\nERROR: two\n", 1, r"vitis_hls: ERROR: \[HLS 200-70\] no license"),
        ("hexit: cosim failed: it differs\n", 1, "vitis_hls: hexit: cosim failed: it differs"),
        ("", 7, "vitis_hls: ended with status 7"),
    ],
)
def test_a_tool_that_fails_is_one_line(says: str, status: int, message: str, project: Path, install: Install) -> None:
    install("vitis_hls", says=says, status=status)
    with pytest.raises(ConfigError, match=message) as caught:
        run_vendor(project, "vitis")
    assert "\n" not in str(caught.value)
    assert LOG in str(caught.value)


def test_old_reports_do_not_pass_for_new_ones(project: Path, install: Install) -> None:
    (project / SOLUTION).mkdir(parents=True)
    (project / SOLUTION / "report").write_text("old")
    install("vitis_hls")
    solution, _ = run_vendor(project, "vitis")
    assert not (solution / "report").exists()


def test_a_tool_that_hangs_is_ended_with_all_that_it_started(project: Path, install: Install, tmp_path: Path) -> None:
    install("vitis_hls")
    (tmp_path / "bin" / "vitis_hls").write_text(f'#!/bin/sh\nsleep 60 & echo $! > "{tmp_path}/child"\nwait\n')
    with pytest.raises(ConfigError, match=r"vitis_hls: did not end within 0 s\. See .*log"):
        run_vendor(project, "vitis", timeout_s=0.4)
    child, deadline = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat"), time.monotonic() + 5
    while (gone := not child.exists() or child.read_text().split()[2] == "Z") is False and time.monotonic() < deadline:
        time.sleep(0.02)
    assert gone


def test_a_folder_that_is_no_project_is_refused(tmp_path: Path, install: Install) -> None:
    install("vitis_hls")
    with pytest.raises(ConfigError, match=r"has no project\.tcl"):
        run_vendor(tmp_path, "vitis")
    (tmp_path / "project.tcl").write_text('set project_name "x]; exec id"\n')
    with pytest.raises(ConfigError, match="is not an HLS project of ours"):
        run_vendor(tmp_path, "vitis")


def interpreter() -> list[str]:
    """A real Tcl; skips where the machine has none."""
    if found := shutil.which("tclsh"):
        return [found]
    if subprocess.run([sys.executable, "-c", "import tkinter"], capture_output=True, check=False).returncode:
        pytest.skip("needs a Tcl interpreter: tclsh, or Python with tkinter")
    return [sys.executable, "-c", "import sys, tkinter; tkinter.Tcl().evalfile(sys.argv[1])"]


FLOW = """open_project open_solution set_top add_files set_part create_clock set_clock_uncertainty config_compile
config_array_partition config_schedule csim_design csynth_design cosim_design export_design"""


def run_script(project: Path, steps: str | None, more: str = "") -> tuple[int, str, list[str]]:
    """Run build_hexit.tcl with the vendor's commands as procedures; status, output and the commands in order."""
    stub = project.parent / "tool.tcl"
    stub.write_text(
        f"set calls [open {{{project.parent}/calls}} w]\nfconfigure $calls -buffering line\n"
        f"foreach name {{{FLOW}}} {{\n"
        '  proc $name args [string map [list NAME $name] {puts $::calls [string trim "NAME $args"]}]\n}\n'
        f"{more}\nsource {{{project / SCRIPT}}}\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "HEXIT_STEPS"} | (
        {"HEXIT_STEPS": steps} if steps else {}
    )
    ran = subprocess.run(
        [*interpreter(), str(stub)], capture_output=True, text=True, env=environment, cwd="/", timeout=60, check=False
    )
    return ran.returncode, ran.stdout + ran.stderr, (project.parent / "calls").read_text().splitlines()


def test_the_script_takes_the_steps_in_order(project: Path) -> None:
    status, output, calls = run_script(project, None)
    assert status == 0, output
    assert calls == [
        "open_project -reset hexit_unit_prj",
        "set_top hexit_unit",
        "add_files firmware/hexit_unit.cpp -cflags -std=c++0x",
        "add_files -tb tb/test_bench.cpp -cflags -std=c++0x",
        "add_files -tb golden",
        "add_files -tb firmware/weights",
        "open_solution -reset solution1",
        "set_part xczu9eg-ffvb1156-2-e",
        "create_clock -period 5 -name default",
        "set_clock_uncertainty 27% default",
        "config_array_partition -maximum_size 4096",
        "config_compile -name_max_length 80",
        "config_schedule -enable_dsp_full_reg=false",
        "csim_design",
        "csynth_design",
        "cosim_design -rtl verilog -argv 1000",
        "export_design -format ip_catalog -version 1.0.0",
    ]


@pytest.mark.parametrize(
    ("steps", "commands"),
    [
        ("csynth", ["csynth_design"]),
        ("  csim \n csynth", ["csim_design", "csynth_design"]),
        (
            "csynth implement",
            ["csynth_design", "export_design -flow syn -rtl verilog -format ip_catalog -version 1.0.0"],
        ),
    ],
)
def test_the_script_takes_the_steps_that_were_asked_for(steps: str, commands: list[str], project: Path) -> None:
    status, output, calls = run_script(project, steps)
    assert status == 0, output
    assert [call for call in calls if re.match("csim|csynth|cosim|export", call)] == commands


def test_the_script_knows_its_steps(project: Path) -> None:
    status, output, calls = run_script(project, "csynth place")
    assert (status, calls) == (2, [])
    assert 'HEXIT_STEPS has "place"' in output


def test_the_script_does_without_a_setting_that_a_tool_lacks(project: Path) -> None:
    lacks = 'proc config_array_partition args {error "unknown option -maximum_size"}\nrename config_compile {}\n'
    status, output, calls = run_script(project, None, lacks)
    assert status == 0, output
    assert "hexit: left out: config_array_partition -maximum_size 4096 (unknown option -maximum_size)" in output
    assert calls[-1].startswith("export_design")


def test_the_script_stops_at_the_step_that_fails(project: Path) -> None:
    status, output, calls = run_script(project, None, 'proc csynth_design args {error "no such part"}\n')
    assert status == 1
    assert "hexit: csynth failed: no such part" in output
    assert calls[-1] == "csim_design"


@pytest.mark.parametrize("backend", TOOLS)
def test_make_build_takes_the_first_tool_that_is_there(
    backend: str, project: Path, install: Install, tmp_path: Path
) -> None:
    (project / "Makefile").write_text(fill("Makefile", tools=" ".join(TOOLS[backend])))

    def make(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["make", *words], cwd=project, capture_output=True, text=True, check=False)

    none = make("build")
    assert none.returncode
    assert f"none of {' '.join(TOOLS[backend])} is on the PATH" in none.stderr
    for name in reversed(TOOLS[backend]):
        install(name)
        assert make("build", "STEPS=csynth").returncode == 0
        call, steps, _ = (tmp_path / "record").read_text().split("\n", 2)
        options = "--mode|hls|--tcl|build_hexit.tcl|" if name == "vitis-run" else "-f|build_hexit.tcl|"
        assert (call, steps) == (f"{name}|{options}{project}", "csynth")
    install(TOOLS[backend][0], status=3)
    assert make("build").returncode
