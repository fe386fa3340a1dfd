"""What shares of the layers and places in the FIFOs do for a spatial pipeline: the table of docs/spatial.md.

    .venv/bin/python benchmarks/spatial.py --profile albert_sst2_dev_entropy.csv

The design albert-base-u280-spatial with other shares of the layers, in a closed loop: the exit layers that EdgeBERT's
published entropies of SST-2 dev give at 0.2 nats, repeated 100 times in random order. Prints Markdown.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from hexit.hw_model.design_files import load_design
from hexit.hw_model.device import load_device
from hexit.hw_model.memory.channel import device_channel
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.arrays import Floats, Integers
from hexit.quant.config import QuantConfig
from hexit.quant.exits.rules import parse_rule
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.traces.profile import load_profile, profile_trace
from hexit.quant.traces.replay import profile_decision
from hexit.quant.workload import encoder_workload
from hexit.sim.core.compile import compile_program
from hexit.sim.core.spatial import simulate_spatial
from hexit.sim.core.spatial_costs import SpatialCosts, spatial_costs
from hexit.sim.traffic.buffer_sizes import size_buffers

SHARES = ((6, 6), (3, 3, 3, 3), (1,) * 12, (3, 9), (2, 3, 7), (1, 2, 3, 6), (1, 1, 2, 8))
PLACES = (1, 2, 4)
THRESHOLD = 0.2  # nats
REPEATS = 100
SEED = 0
N_FULL = 100_000  # sentences without exits


def costs_of(shares: tuple[int, ...]) -> SpatialCosts:
    """Return the cycles of every engine of the design with these layers each."""
    design = replace(load_design("albert-base-u280-spatial"), n_engines=len(shares), engine_layers=shares)
    workload = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 128)
    decision = TaskCycles(occupancy_cycles=1, latency_cycles=2)
    program = compile_program(workload, design, device_channel(design, load_device(design.device)), decision)
    return spatial_costs(program, np.ones(12, np.bool_))


def row(shares: tuple[int, ...], leaves: Integers) -> str:
    """Return a line of the table."""
    costs, at_once = costs_of(shares), np.zeros_like(leaves)
    clock_hz = costs.program.accelerator.clock_mhz * 1e6

    def stream(places: int) -> tuple[float, Floats]:
        found = simulate_spatial([costs], leaves, at_once, fifo_sentences=places)
        return leaves.size / (found.total_cycles / clock_hz), found.busy_cycles / found.total_cycles

    sizes = size_buffers(simulate_spatial([costs], leaves, at_once), at_once)
    within = size_buffers(simulate_spatial([costs], leaves, at_once), at_once, loss_fraction=0.01)
    rates = ", ".join(f"{stream(places)[0]:.1f}" for places in PLACES)
    busy = ", ".join(f"{100 * share:.0f}" for share in stream(1)[1])
    never_full, _ = stream(leaves.size)
    name = ", ".join(map(str, shares)) if len(shares) < 12 else "12 engines of 1"
    return f"| {name} | {rates} | {never_full:.1f} | {within.fifo_sentences} | {sizes.reorder_results} | {busy} % |"


def main(profile: Annotated[Path, typer.Option(help="EdgeBERT's entropies of SST-2 dev (CSV).")]) -> None:
    """Print the table."""
    decided = profile_decision(parse_rule("entropy", THRESHOLD), profile_trace(load_profile(profile), 128))
    leaves = np.random.default_rng(SEED).permutation(np.tile(decided.exit_layer, REPEATS))
    print(f"mean exit layer {decided.mean_layer:.2f}, {leaves.size:,} sentences")
    print(
        "| layers per engine | sentences/s with 1, 2, 4 places | never full | places within 1 % | results that wait |",
        end="",
    )
    print(" busy, 1 place |\n|---|---|---:|---:|---:|---|")
    for shares in SHARES:
        print(row(shares, leaves))
    for shares in ((3, 3, 3, 3), (1,) * 12):
        full = simulate_spatial([costs_of(shares)], np.full(N_FULL, 12), np.zeros(N_FULL, np.int64))
        clock_hz = load_design("albert-base-u280-spatial").clock_mhz * 1e6
        print(f"without exits, {len(shares)} engines: {N_FULL / (full.total_cycles / clock_hz):.1f} sentences/s")


if __name__ == "__main__":
    typer.run(main)
