"""The model's cycles of matrix products against SCALE-Sim 3.0.0, run for real, and the time that both take.

    .venv/bin/python benchmarks/scale_sim.py                       # five minutes; the first time installs SCALE-Sim
    .venv/bin/python benchmarks/scale_sim.py --shapes 3 --layer-products ""
    .venv/bin/python benchmarks/scale_sim.py --json runs.json

Two sets, each with all three data flows: random products on random arrays, most of them not square, and products of
an ALBERT-base layer at 128 tokens on 32 x 32. SCALE-Sim's time is processor time without its start, measured in the
run; ours is the median of many evaluations of the same products, warm. Ends with status 1 where a count differs.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from hexit.hw_model.array import DATAFLOWS, product_cycles
from hexit.quant.config import QuantConfig
from hexit.quant.files import write_whole
from hexit.quant.records import to_json
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import MatMul, encoder_workload
from hexit.sim.published.scale_sim import ScaleSimJob, ScaleSimRun, install_scale_sim, run_scale_sim

LARGEST_SIZE = 256  # m, k and n of a random product
ARRAY_SIZES = (4, 32)
TOKENS = 128
N_REPEATS = 200
SUMS_OF_72 = {"output_stationary": 11_259_576, "weight_stationary": 18_413_496, "input_stationary": 11_591_352}


def random_jobs(n_shapes: int, random: np.random.Generator) -> list[ScaleSimJob]:
    """Random products on random arrays, each under every data flow."""
    drawn = []
    for _ in range(n_shapes):
        m, k, n = (int(size) for size in random.integers(1, LARGEST_SIZE + 1, 3))
        rows, columns = (int(size) for size in random.integers(ARRAY_SIZES[0], ARRAY_SIZES[1] + 1, 2))
        drawn += [ScaleSimJob(m=m, k=k, n=n, rows=rows, columns=columns, dataflow=flow) for flow in DATAFLOWS]
    return drawn


def layer_products() -> dict[str, MatMul]:
    """The products of one layer of ALBERT-base, by name."""
    layer = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), TOKENS).layer
    return {op.name: op for op in layer if isinstance(op, MatMul)}


def layer_jobs(names: Sequence[str]) -> list[ScaleSimJob]:
    products = [layer_products()[name] for name in names]
    return [
        ScaleSimJob(m=op.m, k=op.k, n=op.n, rows=32, columns=32, dataflow=flow) for op in products for flow in DATAFLOWS
    ]


def ours(jobs: Sequence[ScaleSimJob]) -> tuple[list[int], float]:
    """The model's cycles, and the median of the seconds that all of them take; no two jobs share anything."""
    products = [(job.m, job.k, job.n, job.array) for job in jobs]
    cycles, times = [], []
    for _ in range(N_REPEATS):
        started = time.perf_counter()
        cycles = [product_cycles(m, k, n, array).total for m, k, n, array in products]
        times.append(time.perf_counter() - started)
    return cycles, statistics.median(times)


def shown(n_jobs: float, n_different: float, theirs_s: float, ours_s: float) -> tuple[str, ...]:
    return f"{n_jobs:.0f}", f"{n_different:.0f}", f"{theirs_s:.1f}", f"{1e6 * ours_s:.1f}", f"{theirs_s / ours_s:,.0f}"


def albert_jobs() -> dict[str, list[ScaleSimJob]]:
    """The 72 products of ALBERT-base's linear layers, by data flow; all are evaluated, equal ones too."""
    linears = [name for name, op in layer_products().items() if op.weights] * 12
    return {flow: [job for job in layer_jobs(linears) if job.dataflow == flow] for flow in DATAFLOWS}


def main(
    shapes: Annotated[int, typer.Option(help="Random products, each under three data flows.")] = 40,
    layer: Annotated[
        str, typer.Option("--layer-products", help="Products of a layer, by name; ffn_out takes minutes.")
    ] = "query,ffn_in,scores,context",
    seed: int = 0,
    json_path: Annotated[Path | None, typer.Option("--json", help="File for every job, its cycles and time.")] = None,
) -> None:
    python = install_scale_sim()
    table = Table(title="hw_model.array and SCALE-Sim 3.0.0")
    for column in ("products", "jobs", "cycles differ", "SCALE-Sim s", "ours us", "ratio"):
        table.add_column(column, justify="left" if column == "products" else "right")
    sets = {"random": random_jobs(shapes, np.random.default_rng(seed))}
    if layer:
        sets["ALBERT-base"] = layer_jobs(layer.split(","))
    records, totals = [], np.zeros(4)
    for name, jobs in sets.items():
        runs: list[ScaleSimRun] = run_scale_sim(jobs, python)
        cycles, ours_s = ours(jobs)
        different = sum(run.cycles != count for run, count in zip(runs, cycles, strict=True))
        found = (len(jobs), different, sum(run.cpu_s for run in runs), ours_s)
        table.add_row(name, *shown(*found))
        totals += found
        records += [
            {**to_json(job), "scale_sim_cycles": run.cycles, "hexit_cycles": count, "scale_sim_cpu_s": run.cpu_s}
            for job, run, count in zip(jobs, runs, cycles, strict=True)
        ]
    console = Console(width=100)
    n_jobs, n_different, theirs_s, ours_s = totals.tolist()
    table.add_section()
    table.add_row("all", *shown(n_jobs, n_different, theirs_s, ours_s))
    console.print(table)
    for flow, jobs in albert_jobs().items():
        cycles, seconds = ours(jobs)
        total = sum(cycles)
        n_different += total != SUMS_OF_72[flow]
        console.print(
            f"{len(jobs)} products of ALBERT-base, {flow.replace('_', ' ')}: {total:,} cycles in {1e3 * seconds:.3f} ms"
            f" (SCALE-Sim: {SUMS_OF_72[flow]:,})"
        )
    if json_path is not None:
        document = {"schema": "hexit.scale_sim", "schema_version": 1, "scale_sim": "3.0.0", "jobs": records}
        write_whole(json_path, json.dumps(document, indent=1) + "\n")
    raise typer.Exit(code=int(n_different > 0))


if __name__ == "__main__":
    typer.run(main)
