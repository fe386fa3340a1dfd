"""SCALE-Sim 3.0.0 run for real, in an environment of its own: its cycles of matrix products, to compare ours with.

SCALE-Sim needs older numpy, numba and pandas than hexit, so it is installed into a virtual environment in the cache
folder and runs there as another process. One array and one layer per run, bandwidth calculated, no traces. Its cycles
are the column "Total Cycles", the index of the last cycle counted from 0, without its DRAM prefetch.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hexit.hw_model.array import SHORT_DATAFLOWS, ArrayPreset, Dataflow, SystolicArray, fold_preset
from hexit.quant.errors import ConfigError
from hexit.quant.traces.store import cache_folder

VERSION = "3.0.0"
# Newer ones are installed without complaint, and then every run ends with a TypeError.
REQUIREMENTS = (f"scalesim=={VERSION}", "numpy<2.3", "numba<0.62", "pandas<3")
TIMEOUT_S = 24 * 3600.0
PRESETS: dict[Dataflow, ArrayPreset] = {
    "output_stationary": "scalesim_os",
    "weight_stationary": "scalesim_ws",
    "input_stationary": "scalesim_is",
}

_SHORT = {dataflow: short for short, dataflow in SHORT_DATAFLOWS.items()}
_PRODUCT = "product"
_CONFIG = """[general]
run_name = run
[architecture_presets]
ArrayHeight: {rows}
ArrayWidth: {columns}
IfmapSramSzkB: 512
FilterSramSzkB: 512
OfmapSramSzkB: 256
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Dataflow: {dataflow}
Bandwidth: 10
ReadRequestBuffer: 512
WriteRequestBuffer: 512
[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: 10
IfmapSRAMBankNum: 10
IfmapSRAMBankPort: 2
FilterCustomLayout: False
FilterSRAMBankBandwidth: 10
FilterSRAMBankNum: 10
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport: false
SparseRep: ellpack_block
OptimizedMapping: false
BlockSize: 8
RandomNumberGeneratorSeed: 40
[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""
_TOPOLOGY = f"Layer, M, N, K,\n{_PRODUCT}, {{m}}, {{n}}, {{k}},\n"
_LAYOUT = "Layer," + "layout," * 20 + f"\n{_PRODUCT}," + "1," * 20 + "\n"  # must be there, and is not used
_SCRIPT = """
import json, sys, time
from pathlib import Path
from scalesim.scale_sim import scalesim

seconds = []
for folder in map(Path, sys.argv[2:]):
    started = time.process_time()
    simulator = scalesim(save_disk_space=True, verbose=False, config=str(folder / "array.cfg"),
                         topology=str(folder / "gemm.csv"), layout=str(folder / "layout.csv"), input_type_gemm=True)
    simulator.run_scale(top_path=str(folder))
    seconds.append(time.process_time() - started)
Path(sys.argv[1]).write_text(json.dumps(seconds))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleSimJob:
    """One product m x k x n on one array."""

    m: int
    k: int
    n: int
    rows: int
    columns: int
    dataflow: Dataflow

    @property
    def array(self) -> SystolicArray:
        """The array with SCALE-Sim's timing, as hw_model.array has it."""
        fold = fold_preset(PRESETS[self.dataflow], self.dataflow)
        return SystolicArray(rows=self.rows, columns=self.columns, dataflow=self.dataflow, fold=fold)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleSimRun:
    """Cycles that SCALE-Sim counts for one job, and the processor time that it took, its start not included."""

    cycles: int
    cpu_s: float


def environment_python(cache: Path | None = None) -> Path:
    """Return where the interpreter of SCALE-Sim's environment is or would be."""
    return cache_folder(cache) / f"scale_sim-{VERSION}" / "bin" / "python"


def is_installed(python: Path) -> bool:
    """Return whether an interpreter can load SCALE-Sim."""
    if not python.is_file():
        return False
    return subprocess.run([python, "-c", "import scalesim.scale_sim"], capture_output=True, check=False).returncode == 0


def install_scale_sim(cache: Path | None = None) -> Path:
    """Return the interpreter of SCALE-Sim's environment, which is made where it is not there yet.

    Raises ConfigError where pip cannot install it.
    """
    python = environment_python(cache)
    if is_installed(python):
        return python
    folder = python.parents[1]
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS],
    ):
        try:
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            failure = "" if ran.returncode == 0 else ran.stderr.strip() or ran.stdout.strip() or "no reason given"
        except OSError as error:
            failure = str(error.strerror)
        if failure:
            requirement = f"cannot be installed ({failure.splitlines()[-1]})"
            raise ConfigError("scale-sim", str(folder), requirement, "See whether pip reaches PyPI")
    return python


def run_scale_sim(jobs: Sequence[ScaleSimJob], python: Path | None = None) -> list[ScaleSimRun]:
    """Return cycles and time of every job, all run in one process of the interpreter `python`.

    Without `python` the environment in the cache folder is used. Seconds for a product of some hundred rows, minutes
    for those of a BERT. Raises ConfigError where SCALE-Sim is not installed or fails.
    """
    python = python or environment_python()
    if not is_installed(python):
        remedy = "Run benchmarks/scale_sim.py, which installs it"
        raise ConfigError("scale-sim", str(python), f"has no SCALE-Sim {VERSION}", remedy)
    with tempfile.TemporaryDirectory(prefix="hexit_scale_sim_") as name:
        folders = [Path(name) / str(number) for number in range(len(jobs))]
        for job, folder in zip(jobs, folders, strict=True):
            folder.mkdir()
            config = _CONFIG.format(rows=job.rows, columns=job.columns, dataflow=_SHORT[job.dataflow])
            (folder / "array.cfg").write_text(config, encoding="utf-8")
            (folder / "gemm.csv").write_text(_TOPOLOGY.format(m=job.m, k=job.k, n=job.n), encoding="utf-8")
            (folder / "layout.csv").write_text(_LAYOUT, encoding="utf-8")
        times = Path(name) / "times.json"
        command = [str(python), "-c", _SCRIPT, str(times), *map(str, folders)]
        ran = subprocess.run(command, cwd=name, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
        if ran.returncode or not times.is_file():
            failure = (ran.stderr.strip() or "no reason given").splitlines()[-1]
            raise ConfigError("scale-sim", str(python), f"fails ({failure})", f"Install {' '.join(REQUIREMENTS)}")
        seconds = json.loads(times.read_text(encoding="utf-8"))
        cycles = [_total_cycles(folder / "run" / "COMPUTE_REPORT.csv") for folder in folders]
    return [ScaleSimRun(cycles=count, cpu_s=spent) for count, spent in zip(cycles, seconds, strict=True)]


def _total_cycles(report: Path) -> int:
    with report.open(encoding="utf-8", newline="") as file:
        header, row = list(csv.reader(file, skipinitialspace=True))[:2]
    return int(float(row[header.index("Total Cycles")]))
