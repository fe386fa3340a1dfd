"""The vendor's tools, played by stand-ins on the PATH that record how they were called and leave their reports."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from hexit.hls.tools.vendor import KERNEL, LOG, SCRIPT, TOOLS, find_tool, read_reports, run_vendor
from hexit.hw_model.area.resources import Resources
from hexit.quant.errors import ConfigError
from support.vendor_reports import csynth

NAME = "hexit_unit"
REPORTS = f"{NAME}_prj/solution1"

Install = Callable[..., None]


EXPORT = """<profile>
  <RunData><RUN_TYPE>synth</RUN_TYPE><VIVADO_VERSION>v.2023.2</VIVADO_VERSION></RunData>
  <TimingReport><TargetClockPeriod>5.000</TargetClockPeriod><AchievedClockPeriod>2.104</AchievedClockPeriod>
  </TimingReport>
  <AreaReport><Resources><BRAM>0</BRAM><CLB>0</CLB><DSP>0</DSP><FF>71</FF><LATCH>0</LATCH><LUT>58</LUT><SRL>0</SRL>
  <URAM>0</URAM></Resources></AreaReport>
  <RtlModules>
    <RtlModule CELL="inst" DEPTH="0" IS_TOP="1" TYPE="function" MODULENAME="hexit_unit" RTLNAME="hexit_unit">
      <Resources FF="71" LUT="58"/></RtlModule>
    <RtlModule CELL="inst/x" DEPTH="1" TYPE="function" MODULENAME="exit_unit_array_s" RTLNAME="hexit_unit_exit_unit">
      <Resources FF="31" LUT="28"/></RtlModule>
  </RtlModules>
</profile>
"""

COSIM = """
+----------+----------+-----------------------------------------------+-----------------------------------------------+
|          |          |                    Latency                    |                    Interval                   |
+   RTL    +  Status  +-----------------------------------------------+-----------------------------------------------+
|          |          |      min      |      avg      |      max      |      min      |      avg      |      max      |
+----------+----------+-----------------------------------------------+-----------------------------------------------+
|      VHDL|        NA|             NA|             NA|             NA|             NA|             NA|             NA|
|   Verilog|      Pass|              3|              4|              7|              1|              1|              2|
+----------+----------+-----------------------------------------------+-----------------------------------------------+
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """As much of a project as the vendor's flow looks at, at a place with a space in its name."""
    folder = tmp_path / "my unit" / "vitis"
    (folder / "firmware" / "weights").mkdir(parents=True)
    shutil.copy(str(resources.files("hls") / "templates" / SCRIPT), folder)
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


def synthesised(dsp: str = "DSP", **changes: str) -> dict[str, str]:
    return {f"{REPORTS}/syn/report/csynth.xml": csynth(NAME, dsp)} | {f"{REPORTS}/{k}": v for k, v in changes.items()}


@pytest.mark.parametrize(
    ("tool", "dsp", "arguments"),
    [
        ("vitis-run", "DSP", "--mode|hls|--tcl|build_hexit.tcl|"),
        ("vitis_hls", "DSP", "-f|build_hexit.tcl|"),
        ("vivado_hls", "DSP48E", "-f|build_hexit.tcl|"),
    ],
)
def test_each_tool_is_called_as_it_wants_and_its_report_is_read(
    tool: str, dsp: str, arguments: str, project: Path, install: Install, tmp_path: Path
) -> None:
    install(tool, synthesised(dsp), says="a lot\n")
    report = run_vendor(project, backend="vitis", has_head=False, steps=("csynth", "export"))
    call, steps, script = (tmp_path / "record").read_text().split("\n", 2)
    assert call == f"{tool}|{arguments}{project}"
    assert steps == "csynth export"
    assert script == (project / SCRIPT).read_text()
    assert (project / LOG).read_text() == "a lot\n"
    assert report.decision == report.whole
    assert report.head is None
    assert report.whole.resources == Resources(lut=90, ff=120, dsp=2, bram18=1, uram=0)
    assert (report.whole.latency_cycles, report.whole.initiation_interval_cycles) == (3, 1)
    assert (report.latency_min_cycles, report.interval_min_cycles) == (2, 1)
    assert report.whole.evidence == "vendor"
    assert report.whole.tool == ("Vivado HLS 2019.2.1" if dsp == "DSP48E" else "Vitis HLS 2023.2")
    assert (report.part, report.clock_period_ns, report.clock_estimate_ns) == ("xczu9eg-ffvb1156-2-e", 5.0, 3.251)
    assert not report.cosimulated


def test_the_backends_own_tool_comes_first_and_the_newest_before(install: Install) -> None:
    for name in ("vivado_hls", "vitis_hls", "vitis-run"):
        install(name)
        assert find_tool("vitis").name == name
        assert find_tool("vivado").name == "vivado_hls"


def test_without_a_tool_one_line_says_so_and_how_to_go_on(project: Path, install: Install) -> None:
    with pytest.raises(ConfigError, match=r"vitis-run, vitis_hls, vivado_hls: none of these is on the PATH\. Source"):
        run_vendor(project, backend="vitis", has_head=False)


def test_the_area_of_logic_synthesis_replaces_the_estimate(project: Path, install: Install) -> None:
    for place in ("export_syn.xml", f"{NAME}_export.xml"):
        install("vitis_hls", synthesised(**{f"impl/report/verilog/{place}": EXPORT}))
        report = run_vendor(project, backend="vitis", has_head=False)
        assert report.whole.resources == Resources(lut=58, ff=71)
        assert report.clock_estimate_ns == 2.104
        assert report.whole.tool == "Vitis HLS 2023.2, area of Vivado 2023.2"
        shutil.rmtree(project.parents[1] / "reports of vitis_hls")


def test_the_decision_is_its_kernels_module_and_the_head_is_the_rest(project: Path, install: Install) -> None:
    whole = csynth(NAME, "DSP", latency="20", lut=500, n_dsp=12)
    kernel = csynth(f"{KERNEL}_array_s", "DSP", latency="3", lut=90, n_dsp=0)
    inner = csynth(f"{KERNEL}_array_Pipeline_SUM", "DSP", lut=1)
    reports = {"csynth": whole, f"{KERNEL}_array_s_csynth": kernel, f"{KERNEL}_array_Pipeline_SUM_csynth": inner}
    install("vitis_hls", {f"{REPORTS}/syn/report/{name}.xml": text for name, text in reports.items()})
    report = run_vendor(project, backend="vitis", has_head=True)
    assert report.decision is not None
    assert report.head is not None
    assert (report.decision.latency_cycles, report.head.latency_cycles) == (3, 17)
    assert report.decision.resources == Resources(lut=90, ff=120, bram18=1)
    assert report.head.resources == Resources(lut=410, dsp=12)
    assert report.decision.resources + report.head.resources == report.whole.resources


def test_logic_synthesis_splits_the_area_where_it_names_the_module(project: Path, install: Install) -> None:
    kernel = csynth(f"{KERNEL}_array_s", "DSP", latency="1", lut=90)
    changes = {f"syn/report/{KERNEL}_array_s_csynth.xml": kernel, "impl/report/verilog/export_syn.xml": EXPORT}
    install("vitis_hls", synthesised(**changes))
    report = run_vendor(project, backend="vitis", has_head=True)
    assert report.decision is not None
    assert report.head is not None
    assert (report.decision.resources, report.decision.latency_cycles) == (Resources(lut=28, ff=31), 1)
    assert (report.head.resources, report.head.latency_cycles) == (Resources(lut=30, ff=40), 2)


def test_a_kernel_dissolved_in_its_caller_leaves_no_split(project: Path, install: Install) -> None:
    install("vitis_hls", synthesised())
    report = run_vendor(project, backend="vitis", has_head=True)
    assert (report.decision, report.head) == (None, None)
    assert report.whole.resources.lut == 90


def test_cycles_that_synthesis_cannot_bound_are_those_of_the_co_simulation(project: Path, install: Install) -> None:
    unbounded = {f"{REPORTS}/syn/report/csynth.xml": csynth(NAME, "DSP", latency="undef")}
    install("vitis_hls", unbounded)
    with pytest.raises(ConfigError, match=r"csynth\.xml: has no latency in cycles"):
        run_vendor(project, backend="vitis", has_head=False)
    install("vitis_hls", unbounded | {f"{REPORTS}/sim/report/{NAME}_cosim.rpt": COSIM})
    report = run_vendor(project, backend="vitis", has_head=False)
    assert (report.whole.latency_cycles, report.whole.initiation_interval_cycles) == (7, 2)
    assert report.cosimulated


def test_families_without_ultra_ram_have_none(project: Path, install: Install) -> None:
    install("vivado_hls", {f"{REPORTS}/syn/report/csynth.xml": csynth(NAME, "DSP48E", uram="")})
    assert run_vendor(project, backend="vivado", has_head=False).whole.resources.uram == 0


@pytest.mark.parametrize(
    ("reports", "says", "status", "message"),
    [
        ({}, "ERROR: [HLS 200-70] no license\nERROR: two\n", 1, r"vitis_hls: ERROR: \[HLS 200-70\] no license"),
        ({}, "hexit: cosim failed: it differs\n", 1, "vitis_hls: hexit: cosim failed: it differs"),
        ({}, "", 7, "vitis_hls: ended with status 7"),
        ({}, "", 0, r"csynth\.xml: was not written by C synthesis"),
        ({"syn/report/csynth.xml": "<profile"}, "", 0, r"csynth\.xml: is not XML"),
        ({"syn/report/csynth.xml": "<profile/>"}, "", 0, r"csynth\.xml: has no latency in cycles"),
        (
            {"syn/report/csynth.xml": csynth(NAME, "DSP").replace("<LUT>90<", "<LUT>many<")},
            "",
            0,
            r"csynth\.xml: has no count of LUT",
        ),
        (
            {"syn/report/csynth.xml": csynth(NAME, "DSP").replace("3.251", "soon")},
            "",
            0,
            r"csynth\.xml: has .*EstimatedClockPeriod soon, which is no number",
        ),
        (
            {
                "syn/report/csynth.xml": csynth(NAME, "DSP"),
                f"sim/report/{NAME}_cosim.rpt": COSIM.replace("Pass", "Fail"),
            },
            "",
            0,
            r"cosim\.rpt: does not say that the co-simulation of the Verilog passed",
        ),
    ],
)
def test_what_goes_wrong_is_one_line(
    reports: dict[str, str], says: str, status: int, message: str, project: Path, install: Install
) -> None:
    install("vitis_hls", {f"{REPORTS}/{path}": text for path, text in reports.items()}, says=says, status=status)
    with pytest.raises(ConfigError, match=message) as caught:
        run_vendor(project, backend="vitis", has_head=False)
    assert "\n" not in str(caught.value)
    assert LOG in str(caught.value)


def test_old_reports_do_not_pass_for_new_ones(project: Path, install: Install) -> None:
    for path, text in synthesised().items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(text)
    install("vitis_hls")
    with pytest.raises(ConfigError, match="was not written by C synthesis"):
        run_vendor(project, backend="vitis", has_head=False)


def test_a_tool_that_hangs_is_ended_with_all_that_it_started(project: Path, install: Install, tmp_path: Path) -> None:
    install("vitis_hls")
    (tmp_path / "bin" / "vitis_hls").write_text(f'#!/bin/sh\nsleep 60 & echo $! > "{tmp_path}/child"\nwait\n')
    with pytest.raises(ConfigError, match=r"vitis_hls: did not end within 0 s\. See .*log"):
        run_vendor(project, backend="vitis", has_head=False, timeout_s=0.4)
    child, deadline = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat"), time.monotonic() + 5
    while (gone := not child.exists() or child.read_text().split()[2] == "Z") is False and time.monotonic() < deadline:
        time.sleep(0.02)
    assert gone


@pytest.mark.parametrize(
    ("steps", "message"),
    [(("csynth", "place"), "place: is not among csim csynth cosim export implement"), (("csim",), "has no csynth")],
)
def test_steps_must_exist_and_make_the_report(steps: tuple[str, ...], message: str, project: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        run_vendor(project, backend="vitis", has_head=False, steps=steps)


def test_a_folder_that_is_no_project_is_refused(tmp_path: Path, install: Install) -> None:
    install("vitis_hls")
    with pytest.raises(ConfigError, match=r"has no project\.tcl"):
        run_vendor(tmp_path, backend="vitis", has_head=False)
    (tmp_path / "project.tcl").write_text('set project_name "x]; exec id"\n')
    with pytest.raises(ConfigError, match="is not an HLS project of ours"):
        run_vendor(tmp_path, backend="vitis", has_head=False)


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
    status, said, calls = run_script(project, None)
    assert status == 0, said
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
    status, said, calls = run_script(project, steps)
    assert status == 0, said
    assert [call for call in calls if re.match("csim|csynth|cosim|export", call)] == commands


def test_the_script_knows_its_steps(project: Path) -> None:
    status, said, calls = run_script(project, "csynth place")
    assert (status, calls) == (2, [])
    assert 'HEXIT_STEPS has "place"' in said


def test_the_script_does_without_a_setting_that_a_tool_lacks(project: Path) -> None:
    lacks = 'proc config_array_partition args {error "unknown option -maximum_size"}\nrename config_compile {}\n'
    status, said, calls = run_script(project, None, lacks)
    assert status == 0, said
    assert "hexit: left out: config_array_partition -maximum_size 4096 (unknown option -maximum_size)" in said
    assert calls[-1].startswith("export_design")


def test_the_script_stops_at_the_step_that_fails(project: Path) -> None:
    status, said, calls = run_script(project, None, 'proc csynth_design args {error "no such part"}\n')
    assert status == 1
    assert "hexit: csynth failed: no such part" in said
    assert calls[-1] == "csim_design"


@pytest.mark.parametrize("backend", TOOLS)
def test_make_build_takes_the_first_tool_that_is_there(
    backend: str, project: Path, install: Install, tmp_path: Path
) -> None:
    template = (resources.files("hls") / "templates" / "Makefile").read_text()
    (project / "Makefile").write_text(template.replace("@@{tools}", " ".join(TOOLS[backend])))

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


def test_reports_are_read_from_the_name_of_the_top_function_too(tmp_path: Path) -> None:
    folder = tmp_path / "syn" / "report"
    folder.mkdir(parents=True)
    (folder / f"{NAME}_csynth.xml").write_text(csynth(NAME, "DSP"))
    assert read_reports(tmp_path, NAME, has_head=False).whole.latency_cycles == 3
