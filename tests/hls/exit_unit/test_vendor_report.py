"""Reports in the vendors' formats: cycles and area of decision and head, and one line for each that is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from hexit.hls.exit_unit.vendor_report import KERNEL, read_reports
from hexit.hls.tools.vendor import LOG
from hexit.hw_model.area.resources import Resources
from hexit.hw_model.exit_unit.build import BuiltPart
from hexit.quant.errors import ConfigError
from support.vendor_reports import csynth

NAME = "hexit_unit"
CSYNTH = "syn/report/csynth.xml"
COSIM = f"sim/report/{NAME}_cosim.rpt"

COSIM_REPORT = """
+----------+----------+-----------------------------------------------+-----------------------------------------------+
|          |          |                    Latency                    |                    Interval                   |
+   RTL    +  Status  +-----------------------------------------------+-----------------------------------------------+
|          |          |      min      |      avg      |      max      |      min      |      avg      |      max      |
+----------+----------+-----------------------------------------------+-----------------------------------------------+
|      VHDL|        NA|             NA|             NA|             NA|             NA|             NA|             NA|
|   Verilog|      Pass|              3|              4|              7|              1|              1|              2|
+----------+----------+-----------------------------------------------+-----------------------------------------------+
"""


def read(solution: Path, reports: dict[str, str], *, has_head: bool = False) -> tuple[BuiltPart | None, ...]:
    for path, text in reports.items():
        (solution / path).parent.mkdir(parents=True, exist_ok=True)
        (solution / path).write_text(text)
    return read_reports(solution, NAME, has_head=has_head)


@pytest.mark.parametrize(("dsp", "tool"), [("DSP", "Vitis HLS 2023.2"), ("DSP48E", "Vivado HLS 2019.2.1")])
@pytest.mark.parametrize("file", [CSYNTH, f"syn/report/{NAME}_csynth.xml"])
def test_without_a_head_the_decision_is_the_whole_project(dsp: str, tool: str, file: str, tmp_path: Path) -> None:
    expected = BuiltPart(
        latency_cycles=3,
        initiation_interval_cycles=1,
        resources=Resources(lut=90, ff=120, dsp=2, bram18=1, uram=0),
        evidence="vendor",
        tool=f"{tool}, critical path 3.251 ns",
    )
    assert read(tmp_path, {file: csynth(NAME, dsp)}) == (expected, None)


def test_the_decision_is_its_kernels_module_and_the_head_is_the_rest(tmp_path: Path) -> None:
    reports = {
        "csynth": csynth(NAME, "DSP", latency="20", lut=500, n_dsp=12),
        f"{KERNEL}_array_s_csynth": csynth(f"{KERNEL}_array_s", "DSP", latency="3", lut=90, n_dsp=0),
        f"{KERNEL}_array_Pipeline_SUM_csynth": csynth(f"{KERNEL}_array_Pipeline_SUM", "DSP", lut=1),
    }
    files = {f"syn/report/{name}.xml": text for name, text in reports.items()}
    decision, head = read(tmp_path, files, has_head=True)
    assert decision is not None
    assert head is not None
    assert (decision.latency_cycles, head.latency_cycles) == (3, 17)
    assert decision.resources == Resources(lut=90, ff=120, bram18=1)
    assert head.resources == Resources(lut=410, dsp=12)
    assert decision.resources + head.resources == Resources(lut=500, ff=120, dsp=12, bram18=1)


def test_a_kernel_dissolved_in_its_caller_leaves_no_split(tmp_path: Path) -> None:
    decision, whole = read(tmp_path, {CSYNTH: csynth(NAME, "DSP")}, has_head=True)
    assert decision is None
    assert whole is not None
    assert whole.resources.lut == 90


def test_cycles_that_synthesis_cannot_bound_are_those_of_the_co_simulation(tmp_path: Path) -> None:
    unbounded = {CSYNTH: csynth(NAME, "DSP", latency="undef")}
    with pytest.raises(ConfigError, match=r"csynth\.xml: has no latency in cycles"):
        read(tmp_path, unbounded)
    decision, _ = read(tmp_path, unbounded | {COSIM: COSIM_REPORT})
    assert decision is not None
    assert (decision.latency_cycles, decision.initiation_interval_cycles) == (7, 2)


def test_families_without_ultra_ram_have_none(tmp_path: Path) -> None:
    decision, _ = read(tmp_path, {CSYNTH: csynth(NAME, "DSP48E", uram="")})
    assert decision is not None
    assert decision.resources.uram == 0


GOOD = csynth(NAME, "DSP")
DAMAGED: list[tuple[dict[str, str], str]] = [
    ({}, r"csynth\.xml: was not written by C synthesis"),
    ({CSYNTH: "<profile"}, r"csynth\.xml: is not XML"),
    ({CSYNTH: "<profile/>"}, r"csynth\.xml: has no latency in cycles"),
    ({CSYNTH: GOOD.replace("<LUT>90<", "<LUT>many<")}, r"csynth\.xml: has no count of LUT"),
    (
        {CSYNTH: GOOD.replace("3.251", "soon")},
        r"csynth\.xml: has .*EstimatedClockPeriod soon, which is no number",
    ),
    (
        {CSYNTH: GOOD, COSIM: COSIM_REPORT.replace("Pass", "Fail")},
        r"cosim\.rpt: does not say that the co-simulation of the Verilog passed",
    ),
]


@pytest.mark.parametrize(("reports", "message"), DAMAGED)
def test_a_damaged_report_is_one_line(reports: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read(tmp_path, reports)
    assert "\n" not in str(caught.value)
    assert LOG in str(caught.value)
