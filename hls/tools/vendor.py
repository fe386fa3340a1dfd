"""The vendor's HLS tool on a project: run `build_hexit.tcl`, read the reports that it leaves.

    vitis-run (2024.1 and later), vitis_hls, vivado_hls   -->   csynth.xml, *_csynth.xml, export_syn.xml, *_cosim.rpt

Latency and interval are the top function's in cycles, the largest that the report has. Area is C synthesis' estimate,
or what Vivado's logic synthesis really took where the flow ran it (step `implement`). Vivado HLS counts `DSP48E`, Vitis
HLS `DSP`; block RAMs are 18 Kib in the estimate and in the export report.

In a project with a head the decision is the module of its kernel, and the head all the rest. A kernel that the tool
dissolved in its caller has no module: there is no split then.

Not covered: placement and routing, power, and warnings of the tools.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from hexit.hls.tools.process import run_group
from hexit.hw_model.area.resources import KINDS, Resources
from hexit.hw_model.exit_unit.build import BuiltPart
from hexit.quant.errors import ConfigError

STEPS = ("csim", "csynth", "cosim", "export", "implement")  # as in build_hexit.tcl
DEFAULT_STEPS = STEPS[:4]
TOOLS = {
    "vitis": ("vitis-run", "vitis_hls", "vivado_hls"),  # the backend's own tool first, newest first
    "vivado": ("vivado_hls", "vitis_hls", "vitis-run"),
}
KERNEL = "exit_unit"  # the C++ function that decides; a project's own name starts otherwise (hls.tools.naming)
SCRIPT = "build_hexit.tcl"
LOG = "build_hexit.log"
EXPORT_TAGS = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram18": "BRAM", "uram": "URAM"}
TIMEOUT_S = 6 * 3600.0  # co-simulation and logic synthesis of a large head

_FAILURE = re.compile(r"^(?:hexit: .* failed: .*|ERROR:.*)$", re.M)
_COSIM = re.compile(r"^\|\s*Verilog\|\s*Pass\|(.*)\|\s*$", re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorTool:
    """An HLS tool on the PATH."""

    name: str
    path: str

    @property
    def command(self) -> tuple[str, ...]:
        """How it runs the script, from the project's folder."""
        options = ("--mode", "hls", "--tcl", SCRIPT) if self.name == "vitis-run" else ("-f", SCRIPT)
        return (self.path, *options)


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorReport:
    """What the tool said of a project: the top function, its two parts where it tells them apart, and its clock.

    `decision` is the whole project where there is no head, and None where the tool dissolved the decision's kernel in
    its caller. `clock_estimate_ns`: the critical path, of logic synthesis where that ran.
    """

    whole: BuiltPart
    decision: BuiltPart | None
    head: BuiltPart | None
    part: str
    clock_period_ns: float
    clock_estimate_ns: float
    latency_min_cycles: int
    interval_min_cycles: int
    cosimulated: bool


def find_tool(backend: str) -> VendorTool:
    """Return the HLS tool on the PATH that fits a backend best; ConfigError where there is none."""
    for name in TOOLS[backend]:
        if path := shutil.which(name):
            return VendorTool(name=name, path=path)
    remedy = "Source the settings64.sh of Vitis or Vivado, or copy the project to where it is and run make build there"
    raise ConfigError("--build", ", ".join(TOOLS[backend]), "none of these is on the PATH", remedy)


def run_vendor(
    project_folder: Path,
    *,
    backend: str,
    has_head: bool,
    steps: Sequence[str] = DEFAULT_STEPS,
    timeout_s: float = TIMEOUT_S,
) -> VendorReport:
    """Run the vendor's flow on a project and return its report; the log lies in the project's folder.

    `has_head`: whether the project holds the head too; without it the decision is all there is. Raises ConfigError
    without a tool, where it fails or takes too long, and for reports that are missing or damaged.
    """
    _check_steps(steps)
    tool = find_tool(backend)
    name = project_name(project_folder)
    solution = project_folder / f"{name}_prj" / "solution1"
    shutil.rmtree(solution.parent, ignore_errors=True)  # old reports must not pass for new ones
    log = project_folder / LOG
    with log.open("wb") as output:
        environment = {"HEXIT_STEPS": " ".join(steps)}
        status = run_group(
            tool.command, cwd=project_folder, output=output, environment=environment, timeout_s=timeout_s
        )
    if status is None:
        raise ConfigError("--build", tool.name, f"did not end within {timeout_s:.0f} s", f"See {log}")
    if status:
        first = _FAILURE.search(log.read_text(encoding="utf-8", errors="replace"))
        raise ConfigError("--build", tool.name, first[0] if first else f"ended with status {status}", f"See {log}")
    return read_reports(solution, name, has_head=has_head)


def project_name(project_folder: Path) -> str:
    """Return the name of a project's top function, from hls4ml's project.tcl."""
    remedy = "Write the project again: hexit hls --out DIR"
    try:
        text = (project_folder / "project.tcl").read_text(encoding="utf-8")
    except (OSError, ValueError):
        raise ConfigError("--build", str(project_folder), "has no project.tcl", remedy) from None
    found = re.search(r'^set project_name "(\w+)"$', text, re.M)
    if found is None or not (project_folder / SCRIPT).is_file():
        raise ConfigError("--build", str(project_folder), "is not an HLS project of ours", remedy)
    return found[1]


def read_reports(solution: Path, name: str, *, has_head: bool) -> VendorReport:
    """Return what the reports in `solution` say of top function `name`; see `run_vendor`."""
    folder = solution / "syn" / "report"
    top_file = next((f for f in (folder / f"{name}_csynth.xml", folder / "csynth.xml") if f.is_file()), None)
    if top_file is None:
        raise _unreadable(folder / "csynth.xml", "was not written by C synthesis")
    top = _parse(top_file)
    cosim = _cosim_cycles(solution / "sim" / "report" / f"{name}_cosim.rpt")
    estimated = whole = _built_part(top, top_file, cosim)
    decision = _decision_module(folder) if has_head else None
    clock_ns = _real(top, top_file, "PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod")
    if (export := _export_report(solution)) is not None:
        measured = _parse(export)
        clock_ns = _real(measured, export, "TimingReport/AchievedClockPeriod")
        whole = _measured(measured, export, estimated)
        decision = _measured_module(measured, export, decision) if decision else None
    latency = "PerformanceEstimates/SummaryOfOverallLatency/"
    return VendorReport(
        whole=whole,
        decision=decision if has_head else whole,
        head=_rest(whole, decision) if decision else None,
        part=_text(top, top_file, "UserAssignments/Part"),
        clock_period_ns=_real(top, top_file, "UserAssignments/TargetClockPeriod"),
        clock_estimate_ns=clock_ns,
        latency_min_cycles=_cycles(top, latency + "Best-caseLatency", whole.latency_cycles),
        interval_min_cycles=max(1, _cycles(top, latency + "Interval-min", whole.initiation_interval_cycles)),
        cosimulated=cosim is not None,
    )


def _check_steps(steps: Sequence[str]) -> None:
    if unknown := [step for step in steps if step not in STEPS]:
        raise ConfigError("--steps", " ".join(unknown), f"is not among {' '.join(STEPS)}", "Correct it")
    if "csynth" not in steps:
        raise ConfigError("--steps", " ".join(steps), "has no csynth, and the reports are its own", "Add csynth")


def _built_part(report: Any, path: Path, cosim: tuple[int, int] | None) -> BuiltPart:
    """Cycles as C synthesis bounds them; where it cannot (undef), as the co-simulation saw them."""
    latency = "PerformanceEstimates/SummaryOfOverallLatency/"
    cycles = _cycles(report, latency + "Worst-caseLatency", cosim[0] if cosim else -1)
    interval = _cycles(report, latency + "Interval-max", cosim[1] if cosim else -1)
    if cycles < 0 or interval < 0:
        raise _unreadable(path, "has no latency in cycles, and there was no co-simulation to see it")
    area = report.find("AreaEstimates/Resources")
    dsp = "DSP48E" if area is not None and area.find("DSP48E") is not None else "DSP"
    version = _text(report, path, "ReportVersion/Version")
    resources = _resources(area, path, EXPORT_TAGS | {"dsp": dsp, "bram18": "BRAM_18K"})
    return BuiltPart(
        latency_cycles=cycles,
        initiation_interval_cycles=max(1, interval),
        resources=resources,
        evidence="vendor",
        tool=f"{'Vivado HLS' if dsp == 'DSP48E' else 'Vitis HLS'} {version}",
    )


def _measured(report: Any, path: Path, estimated: BuiltPart) -> BuiltPart:
    """The whole project with the area of logic synthesis."""
    return dataclasses.replace(
        estimated,
        resources=_resources(report.find("AreaReport/Resources"), path, EXPORT_TAGS),
        tool=f"{estimated.tool}, area of Vivado {_vivado_version(report, path)}",
    )


def _decision_module(folder: Path) -> BuiltPart | None:
    """The kernel of the decision, or None where it has no module of its own."""
    modules = sorted(folder.glob(f"{KERNEL}*_csynth.xml"), key=lambda path: (len(path.name), path.name))
    return _built_part(_parse(modules[0]), modules[0], None) if modules else None  # longer names: loops inside it


def _measured_module(report: Any, path: Path, estimated: BuiltPart) -> BuiltPart | None:
    """The decision with the area of logic synthesis, or None where that does not tell modules apart (Vivado HLS)."""
    for module in report.iterfind("RtlModules/RtlModule"):  # from the outside to the inside
        if module.get("MODULENAME", "").startswith(KERNEL) and (area := module.find("Resources")) is not None:
            found = {kind: area.get(tag, "0") for kind, tag in EXPORT_TAGS.items()}
            if not all(count.isdigit() for count in found.values()):
                raise _unreadable(path, f"has no counts for {module.get('MODULENAME')}")
            tool = f"{estimated.tool}, area of Vivado {_vivado_version(report, path)}"
            resources = Resources(**{kind: int(count) for kind, count in found.items()})
            return dataclasses.replace(estimated, resources=resources, tool=tool)
    return None


def _vivado_version(report: Any, path: Path) -> str:
    return _text(report, path, "RunData/VIVADO_VERSION").removeprefix("v.")


def _rest(whole: BuiltPart, decision: BuiltPart) -> BuiltPart:
    """The head: what is not the decision. A negative rest, where logic was shared, is none."""
    rest = {kind: getattr(whole.resources, kind) - getattr(decision.resources, kind) for kind in KINDS}
    return dataclasses.replace(
        whole,
        latency_cycles=max(0, whole.latency_cycles - decision.latency_cycles),
        resources=Resources(**{kind: max(0, n) for kind, n in rest.items()}),
    )


def _export_report(solution: Path) -> Path | None:
    """The area report of logic synthesis: Vitis HLS calls it export_syn.xml, Vivado HLS <name>_export.xml."""
    folder = solution / "impl" / "report" / "verilog"
    return next((path for pattern in ("export_syn.xml", "*_export.xml") for path in sorted(folder.glob(pattern))), None)


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
    found = report.findtext(tag)
    if not found or not found.strip():
        raise _unreadable(path, f"has no {tag}")
    return str(found).strip()


def _real(report: Any, path: Path, tag: str) -> float:
    text = _text(report, path, tag)
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise _unreadable(path, f"has {tag} {text}, which is no number")
    return float(text)


def _cycles(report: Any, tag: str, otherwise: int) -> int:
    text = (report.findtext(tag) or "").strip()
    return int(text) if text.isdigit() else otherwise


def _resources(area: Any, path: Path, names: dict[str, str]) -> Resources:
    """The counts of an area report; UltraRAM may be missing, since not every family has it."""
    found = {}
    for kind, tag in names.items():
        text = (area.findtext(tag) or "").strip() if area is not None else ""
        if not text.isdigit() and not (kind == "uram" and not text):
            raise _unreadable(path, f"has no count of {tag}")
        found[kind] = int(text or 0)
    return Resources(**found)


def _unreadable(path: Path, rule: str) -> ConfigError:
    return ConfigError("--build", path.name, rule, f"See {LOG} in the project's folder")
