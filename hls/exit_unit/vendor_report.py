"""Cycles and area of an exit unit and its head from the reports of a vendor's HLS tool.

    csynth.xml, *_csynth.xml, *_cosim.rpt   -->   decision, head

Latency and interval are the top function's in cycles, the largest that the report has; area is the estimate of C
synthesis. Vivado HLS counts `DSP48E`, Vitis HLS `DSP`; block RAMs are 18 Kib.

In a project with a head the decision is the module of its kernel, and the head all the rest. A kernel that the tool
dissolved in its caller has no module: there is no split then.

Not covered: placement and routing, power, and warnings of the tools.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from hexit.hls.tools.vendor import LOG
from hexit.hw_model.area.resources import KINDS, Resources
from hexit.hw_model.exit_unit.build import BuiltPart
from hexit.quant.errors import ConfigError

KERNEL = "exit_unit"  # the C++ function that decides; a project's own name starts otherwise (hls.tools.naming)

_COSIM = re.compile(r"^\|\s*Verilog\|\s*Pass\|(.*)\|\s*$", re.M)


def read_reports(solution: Path, name: str, *, has_head: bool) -> tuple[BuiltPart | None, BuiltPart | None]:
    """Return decision and head of the project with top function `name`, whose reports lie in `solution`.

    Without a head the decision is the whole project. Where the tool dissolved the decision in its caller, it is None
    and the head is the whole project. Raises ConfigError for reports that are missing or damaged.
    """
    folder = solution / "syn" / "report"
    top_file = next((f for f in (folder / f"{name}_csynth.xml", folder / "csynth.xml") if f.is_file()), None)
    if top_file is None:
        raise _unreadable(folder / "csynth.xml", "was not written by C synthesis")
    top = _parse(top_file)
    whole = _built_part(top, top_file, _cosim_cycles(solution / "sim" / "report" / f"{name}_cosim.rpt"))
    clock_ns = _real(top, top_file, "PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod")

    def timed(part: BuiltPart) -> BuiltPart:
        return dataclasses.replace(part, tool=f"{part.tool}, critical path {clock_ns:g} ns")

    if not has_head:
        return timed(whole), None
    modules = sorted(folder.glob(f"{KERNEL}*_csynth.xml"), key=lambda path: (len(path.name), path.name))
    if not modules:
        return None, timed(whole)
    decision = _built_part(_parse(modules[0]), modules[0], None)  # longer names: loops inside it
    return timed(decision), timed(_rest(whole, decision))


def _built_part(report: Any, path: Path, cosim: tuple[int, int] | None) -> BuiltPart:
    """Cycles as C synthesis bounds them; where it cannot (undef), as the co-simulation saw them."""
    latency = "PerformanceEstimates/SummaryOfOverallLatency/"
    cycles = _cycles(report, latency + "Worst-caseLatency", cosim[0] if cosim else -1)
    interval = _cycles(report, latency + "Interval-max", cosim[1] if cosim else -1)
    if cycles < 0 or interval < 0:
        raise _unreadable(path, "has no latency in cycles, and there was no co-simulation to see it")
    area = report.find("AreaEstimates/Resources")
    dsp = "DSP48E" if area is not None and area.find("DSP48E") is not None else "DSP"
    return BuiltPart(
        latency_cycles=cycles,
        initiation_interval_cycles=max(1, interval),
        resources=_resources(area, path, dsp),
        evidence="vendor",
        tool=f"{'Vivado HLS' if dsp == 'DSP48E' else 'Vitis HLS'} {_text(report, path, 'ReportVersion/Version')}",
    )


def _rest(whole: BuiltPart, decision: BuiltPart) -> BuiltPart:
    """The head: what is not the decision. A negative rest, where logic was shared, is none."""
    rest = {kind: getattr(whole.resources, kind) - getattr(decision.resources, kind) for kind in KINDS}
    return dataclasses.replace(
        whole,
        latency_cycles=max(0, whole.latency_cycles - decision.latency_cycles),
        resources=Resources(**{kind: max(0, n) for kind, n in rest.items()}),
    )


def _cosim_cycles(path: Path) -> tuple[int, int] | None:
    """Largest latency and interval that the co-simulation of the Verilog saw; None where there was none."""
    if not path.is_file():
        return None
    row = _COSIM.search(path.read_text(encoding="utf-8", errors="replace"))
    numbers = [cell.strip() for cell in row[1].split("|")] if row else []
    if len(numbers) < 6 or not (numbers[2].isdigit() and numbers[5].isdigit()):
        raise _unreadable(path, "does not say that the co-simulation of the Verilog passed")
    return int(numbers[2]), int(numbers[5])


def _parse(path: Path) -> Any:
    try:
        return ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise _unreadable(path, f"is not XML ({error})") from None


def _text(report: Any, path: Path, tag: str) -> str:
    text = (report.findtext(tag) or "").strip()
    if not text:
        raise _unreadable(path, f"has no {tag}")
    return str(text)


def _real(report: Any, path: Path, tag: str) -> float:
    text = _text(report, path, tag)
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise _unreadable(path, f"has {tag} {text}, which is no number")
    return float(text)


def _cycles(report: Any, tag: str, otherwise: int) -> int:
    text = (report.findtext(tag) or "").strip()
    return int(text) if text.isdigit() else otherwise


def _resources(area: Any, path: Path, dsp: str) -> Resources:
    """The counts of an area report; UltraRAM may be missing, since not every family has it."""
    counts = {}
    for kind, tag in {"lut": "LUT", "ff": "FF", "dsp": dsp, "bram18": "BRAM_18K", "uram": "URAM"}.items():
        text = (area.findtext(tag) or "").strip() if area is not None else ""
        if not text.isdigit() and not (kind == "uram" and not text):
            raise _unreadable(path, f"has no count of {tag}")
        counts[kind] = int(text or 0)
    return Resources(**counts)


def _unreadable(path: Path, requirement: str) -> ConfigError:
    return ConfigError("--build", path.name, requirement, f"See {LOG} in the project's folder")
