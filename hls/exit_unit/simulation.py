"""The test benches of generated projects, run: C simulation of an HLS project by g++ alone, RTL by Verilator.

    simulate_hls_project   make csim in DIR/vitis or DIR/vivado: its golden vectors through its own code
    simulate_rtl_project   Verilator on DIR/rtl: the vectors beside it through the RTL

Both benches print "hexit: 500 events, 0 different", and a line of the first event that differs. Not covered: the
vendor's C simulation and co-simulation, which are steps of its flow (hls.tools.vendor).
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hexit.hls.exit_unit.rtl_project import TOP
from hexit.hls.tools.process import run_group
from hexit.hls.tools.verilator import compile_model
from hexit.quant.errors import ConfigError

HLS_TIMEOUT_S = 1800.0  # a head of 768 inputs compiles in minutes
RTL_TIMEOUT_S = 3600.0

_SUMMARY = re.compile(r"^hexit: (\d+) events, (\d+) different", re.M)
_DIFFERENCE = re.compile(r"^hexit: (event .*)$", re.M)
_ERROR = re.compile(r"^.*(?:[Ee]rror:|ERROR|Error \d|undefined reference).*$|^hexit: .*$", re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationResult:
    """What a test bench reported; `first_difference` is empty where every decision is the golden one."""

    n_events: int
    n_different: int
    first_difference: str


def simulate_hls_project(folder: Path, timeout_s: float = HLS_TIMEOUT_S) -> SimulationResult:
    """Run `make csim` in a generated HLS project.

    Raises ConfigError for a folder that is no project, without make or g++, and where the code does not compile or
    its program ends without a result.
    """
    if not (folder / "tb" / "test_bench.cpp").is_file():
        remedy = "Write one with hexit hls --out DIR; it is DIR/vitis or DIR/vivado"
        raise ConfigError("project", str(folder), "is not an HLS project with a test bench", remedy)
    for tool in ("make", "g++"):
        if shutil.which(tool) is None:
            raise ConfigError(
                tool, "(not found)", "C simulation needs it", "Install it, on Debian: apt install g++ make"
            )
    return _run_bench(["make", "--no-print-directory", "csim"], folder, "make csim", "it by hand", timeout_s)


def simulate_rtl_project(folder: Path, *, cache: Path | None = None) -> SimulationResult:
    """Run the test bench of a generated `rtl` folder over the vectors beside it; the folder is only read.

    `cache`: as for hls.tools.verilator.compile_model. Raises ConfigError without Verilator or g++, for a folder that is
    no project, and where the bench ends without a result.
    """
    bench = folder / "test_bench.cpp"
    if not bench.is_file():
        remedy = "Write one with hexit hls --out DIR; it is DIR/rtl"
        raise ConfigError("rtl", str(folder), "is not a folder of RTL with a test bench", remedy)
    with tempfile.TemporaryDirectory(prefix="hexit_rtl_") as work:
        program = compile_model(folder, Path(work), bench, top=TOP, cache=cache)
        return _run_bench([str(program)], folder, "rtl", "make sim there", RTL_TIMEOUT_S)


def _run_bench(command: Sequence[str], folder: Path, where: str, by_hand: str, timeout_s: float) -> SimulationResult:
    """Run a test bench and read what it printed; `where` and `by_hand` are for an error, its option and its remedy."""
    with tempfile.TemporaryFile() as output:
        status = run_group(
            command,
            cwd=folder,
            output=output,
            environment={"LC_ALL": "C", "MAKEFLAGS": ""},  # messages that `_ERROR` knows; no options of a make above
            timeout_s=timeout_s,
        )
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    if status is None:
        requirement = f"did not end within {timeout_s:.0f} s"
        raise ConfigError(where, str(folder), requirement, f"Run {by_hand} to see where it stands")
    summary = _SUMMARY.search(text)
    if summary is None or (status == 0) != (summary[2] == "0"):
        error = _ERROR.search(text)
        requirement = error[0].strip() if error else f"ended with status {status} and no answer"
        remedy = f"Run {by_hand} to see all of its output"
        raise ConfigError(where, str(folder), requirement.removeprefix("hexit: "), remedy)
    difference = _DIFFERENCE.search(text)
    return SimulationResult(
        n_events=int(summary[1]), n_different=int(summary[2]), first_difference=difference[1] if difference else ""
    )
