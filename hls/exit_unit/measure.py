"""Cycles and area of a generated folder from tools: Yosys on its RTL, a vendor's HLS on one of its projects."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from hexit.hls.exit_unit.rtl_project import TOP
from hexit.hls.tools.vendor import run_vendor
from hexit.hls.tools.yosys import Family, synthesise
from hexit.hw_model.exit_unit.build import BuiltPart, ExitUnitBuild

SEVEN_SERIES: Family = "xc7"  # also how part numbers of the family begin


def measured_by_yosys(folder: Path, build: ExitUnitBuild) -> ExitUnitBuild:
    """Return a build whose decision has the area that Yosys finds for its RTL.

    For UltraScale+, multipliers and block RAMs are those of 7-series, which Yosys maps more reliably.
    """
    found = synthesise(folder / "rtl", SEVEN_SERIES, top=TOP)
    resources = found.resources
    if not build.part.startswith(SEVEN_SERIES):
        found = synthesise(folder / "rtl", "xcup", top=TOP)
        resources = dataclasses.replace(found.resources, dsp=resources.dsp, bram18=resources.bram18)
    tool = f"{found.tool} {found.version}, {found.logic_levels} logic levels"
    decision = dataclasses.replace(build.decision, resources=resources, evidence="synthesised", tool=tool)
    return dataclasses.replace(build, decision=decision)


def built_by_vendor(folder: Path, build: ExitUnitBuild, backend: str) -> ExitUnitBuild:
    """Return a build with cycles and area of the vendor's report on the project of `backend`.

    Where the tool dissolved the decision in its caller, the whole is the head's and the decision stays as it was.
    """
    report = run_vendor(folder / backend, backend=backend, has_head=build.head is not None)
    clock = f", critical path {report.clock_estimate_ns:g} ns"

    def timed(part: BuiltPart) -> BuiltPart:
        return dataclasses.replace(part, tool=part.tool + clock)

    if build.head is None:
        return dataclasses.replace(build, decision=timed(report.whole))
    decision = timed(report.decision) if report.decision is not None else build.decision
    return dataclasses.replace(build, decision=decision, head=timed(report.head or report.whole))
