"""The model's cycles of matrix products against SystemVerilog arrays in Verilator, which really compute them.

    .venv/bin/python benchmarks/array_rtl.py                  # 1,536 random products on 48 arrays, two minutes
    .venv/bin/python benchmarks/array_rtl.py --products 4800

Each array is a random size and data flow with every overlap that it can have, one or two products on a multiplier;
every third has a random number of idle cycles before a fold. Compared are every result with numpy's, and the cycles of
every product with hw_model.array.
Ends with status 1 where anything differs.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.rtl_array import RtlArray, build_array, model_cycles, random_products

LARGEST_ARRAY = 12  # rows and columns
LARGEST_SIZE = 60  # m, k and n
VARIANTS: tuple[tuple[Literal["output_stationary", "weight_stationary"], bool, bool], ...] = (
    ("output_stationary", False, False),
    ("output_stationary", True, False),
    ("weight_stationary", False, False),
    ("weight_stationary", False, True),
    ("weight_stationary", True, False),
    ("weight_stationary", True, True),
)


def draw_arrays(random: np.random.Generator, n_each: int) -> list[list[RtlArray]]:
    """`n_each` arrays of every variant."""
    return [
        [
            RtlArray(
                dataflow=dataflow,
                rows=int(random.integers(1, LARGEST_ARRAY + 1)),
                columns=int(random.integers(1, LARGEST_ARRAY + 1)),
                columns_per_dsp=int(random.integers(1, 3)),
                overlap_folds=overlap_folds,
                overlap_load=overlap_load,
                control_cycles=0 if number % 3 else int(random.integers(1, 8)),
            )
            for number in range(n_each)
        ]
        for dataflow, overlap_folds, overlap_load in VARIANTS
    ]


def compare(array: RtlArray, n_products: int, random: np.random.Generator, folder: Path) -> tuple[int, int, int]:
    """Results that differ from numpy's, counts of cycles that differ from the model's, cycles in all."""
    products = random_products(random, n_products, (LARGEST_SIZE,) * 3)
    results, cycles = build_array(array, folder).run(products)
    wrong = sum(
        int(np.count_nonzero(result != left @ right)) for (left, right), result in zip(products, results, strict=True)
    )
    late = sum(found != told for found, told in zip(cycles, model_cycles(products, array.model), strict=True))
    return wrong, late, sum(cycles)


def main(
    products: Annotated[int, typer.Option(help="Products in all.")] = 1536,
    arrays: Annotated[int, typer.Option(help="Arrays of each of the six variants.")] = 8,
    seed: int = 0,
) -> None:
    random = np.random.default_rng(seed)
    started = time.perf_counter()
    table = Table(title="hw_model.array and SystemVerilog in Verilator, random products on random arrays")
    for column in ("data flow", "folds", "loads", "arrays", "products", "cycles", "values differ", "cycles differ"):
        table.add_column(column, justify="left" if column in {"data flow", "folds", "loads"} else "right")
    each = -(-products // (arrays * len(VARIANTS)))
    totals = np.zeros(4, np.int64)
    for (dataflow, overlap_folds, overlap_load), group in zip(VARIANTS, draw_arrays(random, arrays), strict=True):
        found = np.zeros(3, np.int64)
        for array in group:
            with tempfile.TemporaryDirectory() as folder:
                found += compare(array, each, random, Path(folder))
        overlapped = ("overlap" if overlap_folds else "one by one", "overlap" if overlap_load else "one by one")
        wrong, late, cycles = found.tolist()
        n_products = each * len(group)
        shown = (len(group), f"{n_products:,}", f"{cycles:,}", f"{wrong:,}", f"{late:,}")
        loads = overlapped[1] if dataflow == "weight_stationary" else ""
        table.add_row(dataflow.replace("_", " "), overlapped[0], loads, *map(str, shown))
        totals += (n_products, cycles, wrong, late)
    n_products, cycles, wrong, late = totals.tolist()
    console = Console(width=120)
    console.print(table)
    console.print(
        f"{n_products:,} products, {cycles:,} cycles simulated: {wrong} values and {late} counts of cycles differ; "
        f"{time.perf_counter() - started:.0f} s"
    )
    raise typer.Exit(code=int(wrong + late > 0))


if __name__ == "__main__":
    typer.run(main)
