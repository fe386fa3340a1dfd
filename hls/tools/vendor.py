"""The vendor's HLS tool on a project: vitis-run (2024.1 and later), vitis_hls or vivado_hls runs `build_hexit.tcl`.

Not covered: what the reports say (hls.exit_unit.vendor_report).
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from hexit.hls.tools.process import run_group
from hexit.quant.errors import ConfigError

STEPS = "csim csynth cosim export"  # as in build_hexit.tcl
TOOLS = {
    "vitis": ("vitis-run", "vitis_hls", "vivado_hls"),  # the backend's own tool first, newest first
    "vivado": ("vivado_hls", "vitis_hls", "vitis-run"),
}
SCRIPT = "build_hexit.tcl"
LOG = "build_hexit.log"
TIMEOUT_S = 6 * 3600.0  # co-simulation of a large head

_FAILURE = re.compile(r"^(?:hexit: .* failed: .*|ERROR:.*)$", re.M)


def find_tool(backend: str) -> Path:
    """Return the HLS tool on the PATH that fits a backend best; ConfigError where there is none."""
    for name in TOOLS[backend]:
        if path := shutil.which(name):
            return Path(path)
    remedy = "Source the settings64.sh of Vitis or Vivado, or copy the project to where it is and run make build there"
    raise ConfigError("--build", ", ".join(TOOLS[backend]), "none of these is on the PATH", remedy)


def run_vendor(project_folder: Path, backend: str, timeout_s: float = TIMEOUT_S) -> tuple[Path, str]:
    """Run the vendor's flow on a project; return the folder of its solution and the name of its top function.

    The log lies in the project's folder. Raises ConfigError without a tool, and where it fails or takes too long.
    """
    tool = find_tool(backend)
    name = project_name(project_folder)
    solution = project_folder / f"{name}_prj" / "solution1"
    shutil.rmtree(solution.parent, ignore_errors=True)  # old reports must not pass for new ones
    options = ("--mode", "hls", "--tcl") if tool.name == "vitis-run" else ("-f",)
    log = project_folder / LOG
    with log.open("wb") as output:
        status = run_group(
            [str(tool), *options, SCRIPT],
            cwd=project_folder,
            output=output,
            environment={"HEXIT_STEPS": STEPS},
            timeout_s=timeout_s,
        )
    if status is None:
        raise ConfigError("--build", tool.name, f"did not end within {timeout_s:.0f} s", f"See {log}")
    if status:
        first = _FAILURE.search(log.read_text(encoding="utf-8", errors="replace"))
        raise ConfigError("--build", tool.name, first[0] if first else f"ended with status {status}", f"See {log}")
    return solution, name


def project_name(project_folder: Path) -> str:
    """Return the name of a project's top function, from hls4ml's project.tcl."""
    remedy = "Write the project again: hexit hls --out DIR"
    try:
        text = (project_folder / "project.tcl").read_text(encoding="utf-8")
    except (OSError, ValueError):
        raise ConfigError("--build", str(project_folder), "has no project.tcl", remedy) from None
    name = re.search(r'^set project_name "(\w+)"$', text, re.M)
    if name is None or not (project_folder / SCRIPT).is_file():
        raise ConfigError("--build", str(project_folder), "is not an HLS project of ours", remedy)
    return name[1]
