"""C simulation of a project that `hls.exit_unit.project` wrote: its golden vectors through its own code, g++ alone.

Not covered: the vendor's C simulation, which is a step of its flow (hls.tools.vendor), and the RTL.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from hexit.hls.tools.process import run_group
from hexit.quant.errors import ConfigError

TIMEOUT_S = 1800.0  # a head of 768 inputs compiles in minutes

_SUMMARY = re.compile(r"^hexit: (\d+) events, (\d+) different", re.M)
_ERROR = re.compile(r"^.*(?:error:|ERROR|Error \d|undefined reference).*$|^hexit: .*$", re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class CsimResult:
    """One run of a project's test bench, compilation included; `first_difference` is empty where nothing differs."""

    n_events: int
    n_different: int
    first_difference: str
    seconds: float


def run_csim(project_folder: Path, timeout_s: float = TIMEOUT_S) -> CsimResult:
    """Run `make csim` in a project's folder and return what its test bench said.

    Raises ConfigError for a folder that is no project, without make or g++, and where the code does not compile or
    its program ends without an answer.
    """
    if not (project_folder / "tb" / "test_bench.cpp").is_file():
        remedy = "Write one with hexit hls --out DIR; it is DIR/vitis or DIR/vivado"
        raise ConfigError("project", str(project_folder), "is not an HLS project with a test bench", remedy)
    for tool in ("make", "g++"):
        if shutil.which(tool) is None:
            remedy = "Install it, on Debian: apt install g++ make"
            raise ConfigError(tool, "(not found)", "C simulation needs it", remedy)
    start = time.monotonic()
    with tempfile.TemporaryFile() as output:
        status = run_group(
            ["make", "--no-print-directory", "csim"],
            cwd=project_folder,
            output=output,
            environment={"LC_ALL": "C", "MAKEFLAGS": ""},  # messages that `_ERROR` knows; no options of a make above
            timeout_s=timeout_s,
        )
        output.seek(0)
        said = output.read().decode("utf-8", "replace")
    if status is None:
        rule = f"did not end within {timeout_s:.0f} s"
        raise ConfigError("make csim", str(project_folder), rule, "Run it by hand to see where it stands")
    summary = _SUMMARY.search(said)
    if summary is None or (status == 0) != (summary[2] == "0"):
        first = _ERROR.search(said)
        rule = first[0].strip() if first else f"ended with status {status} and no answer"
        raise ConfigError("make csim", str(project_folder), rule, "Run it by hand to see all of its output")
    difference = re.search(r"^hexit: (event .*)$", said, re.M)
    return CsimResult(
        n_events=int(summary[1]),
        n_different=int(summary[2]),
        first_difference=difference[1] if difference else "",
        seconds=time.monotonic() - start,
    )
