"""Builds the SystemVerilog arrays of tests/support/rtl with Verilator and runs products on them.

What an array of some parameters must take is `RtlArray.model`: the timing that the headers of gemm_os.sv and gemm_ws.sv
state, as hw_model.array describes timings.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from hexit.hls.tools.verilator import compile_model, verilate
from hexit.hw_model.array import RTL_FOLDS, CycleForm, SystolicArray, product_cycles
from hexit.quant.arrays import Integers

RTL = Path(__file__).parent / "rtl"
BENCH = RTL / "gemm_bench.cpp"
TIMEOUT_S = 600.0

Product = tuple[Integers, Integers]  # A [m, k] and B [k, n]


@dataclass(frozen=True, slots=True, kw_only=True)
class RtlArray:
    """The parameters of one array; `overlap_load` needs weight_stationary."""

    dataflow: Literal["output_stationary", "weight_stationary"]
    rows: int
    columns: int
    columns_per_dsp: int = 1
    overlap_folds: bool = False
    overlap_load: bool = False
    control_cycles: int = 0
    data_bits: int = 8
    acc_bits: int = 32

    @property
    def stationary_weights(self) -> bool:
        return self.dataflow == "weight_stationary"

    @property
    def top(self) -> str:
        return "gemm_ws" if self.stationary_weights else "gemm_os"

    @property
    def options(self) -> tuple[str, ...]:
        """Words for Verilator: a value for every parameter."""
        values = {
            "ROWS": self.rows,
            "COLUMNS": self.columns,
            "LANES": self.columns_per_dsp,
            "DATA_BITS": self.data_bits,
            "ACC_BITS": self.acc_bits,
            "OVERLAP_FOLDS": int(self.overlap_folds),
            "CONTROL_CYCLES": self.control_cycles,
        } | ({"OVERLAP_LOAD": int(self.overlap_load)} if self.stationary_weights else {})
        return tuple(f"-G{name}={value}" for name, value in values.items())

    @property
    def model(self) -> SystolicArray:
        return SystolicArray(
            rows=self.rows,
            columns=self.columns,
            columns_per_dsp=self.columns_per_dsp,
            dataflow=self.dataflow,
            fold=replace(
                RTL_FOLDS[self.dataflow],
                control=CycleForm(constant=self.control_cycles),
                overlap_folds=self.overlap_folds,
                weight_load_overlap=self.overlap_load,
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RtlProgram:
    """The compiled simulator of one array."""

    array: RtlArray
    program: Path

    def run(self, products: Sequence[Product]) -> tuple[list[Integers], list[int]]:
        """Return the result [m, n] and the cycles of every product, run one after the other without a reset."""
        with tempfile.TemporaryDirectory(prefix="hexit_array_") as name:
            questions, answers = Path(name) / "products", Path(name) / "results"
            with questions.open("wb") as file:
                for part in ([len(products)], *(part for left, right in products for part in self._words(left, right))):
                    np.ascontiguousarray(part, dtype="<i4").tofile(file)
            command = [str(self.program), str(self.array.data_bits), str(questions), str(answers)]
            ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
            assert ran.returncode == 0, ran.stderr
            words = np.fromfile(answers, dtype="<i4").astype(np.int64)
        results, cycles, place = [], [], 0
        for left, right in products:
            m, n = left.shape[0], right.shape[1]
            cycles.append(int(words[place]))
            results.append(words[place + 1 : place + 1 + m * n].reshape(m, n))
            place += 1 + m * n
        assert place == words.size
        return results, cycles

    def _words(self, left: Integers, right: Integers) -> tuple[Integers | list[int], ...]:
        x = left if self.array.stationary_weights else left.T  # a row of x enters the array in each cycle
        streamed_size, down_size = x.shape
        n = right.shape[1]
        return [down_size, n, streamed_size, *x.shape, *right.shape, left.shape[0], n], x, right


def build_array(array: RtlArray, work: Path, cache: Path | None = None) -> RtlProgram:
    """Compile the simulator of an array in the folder `work`."""
    options = (*array.options, "--prefix", "Vgemm")
    return RtlProgram(array=array, program=compile_model(RTL, work, BENCH, top=array.top, options=options, cache=cache))


def remarks(array: RtlArray) -> str:
    """Return what Verilator says against an array: nothing, for one that can be built."""
    return verilate(RTL, top=array.top, options=["--lint-only", "-Wall", *array.options]).stderr


def model_cycles(products: Sequence[Product], array: SystolicArray) -> list[int]:
    """Return what hw_model.array says of every product."""
    sizes = [(left.shape[0], left.shape[1], right.shape[1]) for left, right in products]
    return [product_cycles(m, k, n, array).total for m, k, n in sizes]


def random_products(
    random: np.random.Generator, n_products: int, largest: Sequence[int], data_bits: int = 8
) -> list[Product]:
    """Draw products of sizes 1 to `largest` (m, k, n), every value of the width possible."""
    low, high = -(1 << (data_bits - 1)), 1 << (data_bits - 1)
    sizes = [[int(random.integers(1, bound + 1)) for bound in largest] for _ in range(n_products)]
    return [
        (random.integers(low, high, (m, k), dtype=np.int64), random.integers(low, high, (k, n), dtype=np.int64))
        for m, k, n in sizes
    ]
