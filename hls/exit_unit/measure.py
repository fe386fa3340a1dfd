"""Cycles and area of a generated folder from tools: Yosys on its RTL, a vendor's HLS on one of its projects."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from hexit.hls.exit_unit.rtl_project import TOP
from hexit.hls.exit_unit.vendor_report import read_reports
from hexit.hls.tools.vendor import run_vendor
from hexit.hls.tools.yosys import Family, synthesise
from hexit.hw_model.exit_unit.build import ExitUnitBuild

SEVEN_SERIES: Family = "xc7"  # also how part numbers of the family begin


def measured_by_yosys(folder: Path, build: ExitUnitBuild) -> ExitUnitBuild:
    """Return a build whose decision has the area that Yosys finds for its RTL.

    For UltraScale+, multipliers and block RAMs are those of 7-series, which Yosys maps more reliably.
    """
    synthesis = synthesise(folder / "rtl", SEVEN_SERIES, top=TOP)
    resources = synthesis.resources
    if not build.part.startswith(SEVEN_SERIES):
        synthesis = synthesise(folder / "rtl", "xcup", top=TOP)
        resources = dataclasses.replace(synthesis.resources, dsp=resources.dsp, bram18=resources.bram18)
    tool = f"{synthesis.tool}, {synthesis.logic_levels} logic levels"
    decision = dataclasses.replace(build.decision, resources=resources, evidence="synthesised", tool=tool)
    return dataclasses.replace(build, decision=decision)


def built_by_vendor(folder: Path, build: ExitUnitBuild, backend: str) -> ExitUnitBuild:
    """Return a build with cycles and area of the vendor's report on the project of `backend`.

    Where the tool dissolved the decision in its caller, the whole is the head's and the decision stays as it was.
    """
    solution, name = run_vendor(folder / backend, backend)
    decision, head = read_reports(solution, name, has_head=build.head is not None)
    return dataclasses.replace(build, decision=decision or build.decision, head=head)
