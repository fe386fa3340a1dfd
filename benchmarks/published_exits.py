"""What would exits have given published accelerators? Their own network and length, with exits behind every layer.

    .venv/bin/python benchmarks/published_exits.py --profile albert_sst2_dev_entropy.csv

For every published design that runs a network of twelve layers (`hexit run --list designs`): its full-depth latency as
published and by this model, and the mean and 99th percentile with exits, for two sources of exit layers:

* the shipped model on the shipped reviews, its rule and settings chosen to lose at most a point (`hexit run`);
* EdgeBERT's entropies of ALBERT-base on SST-2 dev at the threshold of its script for a loss of a point, where the file
  of `--profile` is there (without it these columns are left out, and the output says so).

Sentences come one after the other (closed loop); `stall`, `speculate` and two sentences that take turns. Exit head of
`head_lanes` products per cycle on the first token or the mean of all, as the network has it; the decision is that of
the shipped rule. Prints a table in Markdown.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from hexit.hw_model.accelerator import Accelerator, ExitOverlap
from hexit.hw_model.design_files import list_published, load_design
from hexit.hw_model.device import load_device
from hexit.hw_model.machine.op_cycles import missing_products
from hexit.hw_model.memory.channel import device_channel
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.arrays import Integers
from hexit.quant.exits.rules import parse_rule
from hexit.quant.traces.profile import load_profile, profile_trace
from hexit.quant.traces.replay import profile_decision
from hexit.quant.traces.store import silent
from hexit.sim.core.compile import compile_program
from hexit.sim.core.lone_sentence import lone_sentence
from hexit.sim.core.stream import StreamResult, simulate_stream
from hexit.sim.job.record import make_job
from hexit.sim.job.resolve import simulate

EDGEBERT_THRESHOLD = 0.23  # nats; SST-2 script of harvard-acc/EdgeBERT, the first of three (0.23, 0.28, 0.46)
OVERLAPS: tuple[tuple[ExitOverlap, int], ...] = (("stall", 1), ("speculate", 1), ("interleave", 2))


def runs(design: Accelerator, exit_layer: Integers, decision: TaskCycles) -> dict[str, StreamResult]:
    """Return the stream of sentences under every overlap on the design's own network, and without exits (`full`)."""
    assert design.network is not None
    workload = design.network.workload()
    channel = device_channel(design, load_device(design.device))
    found: dict[str, StreamResult] = {}
    for overlap, n_interleaved in OVERLAPS:
        changed = replace(design, exit_overlap=overlap, n_interleaved=n_interleaved)
        program = compile_program(workload, changed, channel, decision)
        found[overlap] = simulate_stream([lone_sentence(program)], exit_layer)
    program = compile_program(workload, replace(design, exit_overlap="stall", n_interleaved=1), channel, decision)
    last = program.n_layers
    found["full"] = simulate_stream([lone_sentence(program, (last,))], np.full_like(exit_layer, last))
    return found


def published_ms(design: Accelerator) -> str:
    """Return the published full-depth latency: of the network, or of so many layers of the report."""
    by_name = {one.of: one for one in design.expected if one.power_mw is None}
    milliseconds = {
        name: one.time_ms if one.time_ms is not None else (one.cycles or 0) / design.clock_mhz / 1000
        for name, one in by_name.items()
        if name in ("network", "layer")
    }
    if "network" in milliseconds:
        return f"{milliseconds['network']:.2f}"
    return f"{12 * milliseconds['layer']:.2f} (12 x layer)"


def columns(design: Accelerator, exit_layer: Integers, decision: TaskCycles) -> list[str]:
    """Return full depth, then mean and gain of every overlap, the tail, and the throughput of two in turns."""
    found = runs(design, exit_layer, decision)
    ms = {name: result.served_latency_cycles / design.clock_mhz / 1000 for name, result in found.items()}
    full = float(ms["full"].mean())
    one_by_one = [
        f"{float(ms[name].mean()):.2f} ({full / float(ms[name].mean()):.2f}x)" for name in ("stall", "speculate")
    ]
    tail = float(np.percentile(ms["stall"], 99, method="higher"))
    turns = found["full"].total_cycles / found["interleave"].total_cycles
    return [f"{full:.2f}", *one_by_one, f"{tail:.2f}", f"{turns:.2f}x"]


def main(
    profile: Annotated[Path | None, typer.Option(help="EdgeBERT's entropies of SST-2 dev (CSV).")] = None,
) -> None:
    """Print the table."""
    outcome, _ = simulate(make_job(), silent)
    decision = outcome.design.exit_path.decision.cycles
    shipped = outcome.decisions.integer
    sources = {f"shipped model, mean layer {shipped.mean_layer:.2f} of 12": shipped.exit_layer}
    if profile is not None and profile.is_file():
        rule = parse_rule("entropy", EDGEBERT_THRESHOLD)
        decided = profile_decision(rule, profile_trace(load_profile(profile), 128))
        sources[f"EdgeBERT at {EDGEBERT_THRESHOLD} nats, mean layer {decided.mean_layer:.2f} of 12"] = (
            decided.exit_layer
        )
    else:
        print("EdgeBERT's exits: skipped, no --profile")
    designs = [load_design(name) for name in list_published()]
    for title, exit_layer in sources.items():
        print(f"\n{title}\n")
        print("| design | tokens | published (ms) | model | stall | speculate | p99, stall | throughput, 2 in turns |")
        print("|---|---|---|---|---|---|---|---|")
        for design in designs:
            if design.network is None or design.network.encoder().n_layers != 12 or not design.device:
                continue
            if missing_products(design, design.network.workload()) or "footprint" in design.name:
                continue  # a block; another layout of opt5 and opt6
            cells = [design.name, str(design.network.sequence_length), published_ms(design)]
            print("| " + " | ".join([*cells, *columns(design, exit_layer, decision)]) + " |")


if __name__ == "__main__":
    typer.run(main)
