"""What it gives that resident sentences pass through streamed weights together, and what it costs.

    .venv/bin/python benchmarks/weight_sharing.py --profile PROFILE.csv

Side by side, `--overlap interleave` alone and with `--share-weights`, 8 bits, 2 to 16 resident sentences: sentences per
second and p99 latency of a closed loop, p99 latency under Poisson arrivals at 30 and 80 % of what is reached without
sharing, off-chip megabytes per sentence, and the KiB of activations that the residents need. Exits are those of the
entropy rule on a profile of a 12-layer network (our reviews without `--profile`), drawn with replacement. Buffers are
as large as the residents need; the last column says whether the part then holds the design. A port of the U280 is a
memory channel (`memory_channels`), one of the ZCU102 an AXI port of 128 bits (`memory_port_bits`); "on chip" is the
design as it ships.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.area.estimate import check_fit, estimate
from hexit.hw_model.design_files import load_design
from hexit.hw_model.device import load_device
from hexit.hw_model.memory.buffers import activation_bytes, place_weights
from hexit.hw_model.memory.channel import device_channel
from hexit.hw_model.rounding import ceil_div
from hexit.quant.arrays import Integers
from hexit.quant.config import EncoderShape, QuantConfig
from hexit.quant.errors import DoesNotFit
from hexit.quant.shapes import ALBERT_BASE, BERT_BASE
from hexit.quant.traces.store import silent
from hexit.quant.workload import Workload, encoder_workload
from hexit.sim.core.compile import compile_program
from hexit.sim.core.lone_sentence import lone_sentence
from hexit.sim.core.stream import StreamResult, simulate_stream
from hexit.sim.job.outcome import Outcome
from hexit.sim.job.record import make_job
from hexit.sim.job.resolve import simulate
from hexit.sim.traffic.arrivals import PoissonArrivals, arrival_cycles

OWN_PROFILE = Path(__file__).parents[1] / "tests" / "data" / "reviews_entropy.csv"
RESIDENTS = (2, 4, 8, 16)
N_SENTENCES = 20_000
LOADS = (0.3, 0.8)  # of what is reached without sharing
SEED = 0
PORTS: dict[str, dict[str, dict[str, Any]]] = {
    "albert-base-u280": {"1 port": {"memory_channels": 1}, "4 ports": {"memory_channels": 4}},
    "albert-base-zcu102": {"1 port": {"memory_port_bits": 128}, "4 ports": {}},
}
COLUMNS = (
    *("residents", "sentences/s", "gain", "p99, ms", *(f"p99 at {100 * load:.0f} % load, ms" for load in LOADS)),
    *("MB/sentence", "activations, KiB", "fits"),
)
GROUPED = replace(ALBERT_BASE, n_layer_groups=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One design under one stream of sentences."""

    per_s: float
    p99_ms: float
    loaded_p99_ms: tuple[float, ...]
    megabytes: float
    activation_kib: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A network at a length on a design with some of its ports."""

    title: str
    shape: EncoderShape
    n_tokens: int
    design: Accelerator


def cases() -> Iterator[Case]:
    """Yield what the table has a block for."""
    for n_tokens in (128, 32):
        for name, ports in PORTS.items():
            for port, keys in ports.items():
                design = replace(load_design(name), weight_placement="streamed", **keys)
                title = f"albert-base, {n_tokens} tokens, {name}, {port}"
                yield Case(title=title, shape=ALBERT_BASE, n_tokens=n_tokens, design=design)
    narrow = replace(load_design("albert-base-zcu102"), weight_placement="streamed", memory_port_bits=128)
    for title, shape in (("albert-base with 3 groups of layers", GROUPED), ("bert-base", BERT_BASE)):
        yield Case(title=f"{title}, 32 tokens, {narrow.name}, 1 port", shape=shape, n_tokens=32, design=narrow)
    shipped = load_design("albert-base-u280")
    title = f"albert-base, 32 tokens, {shipped.name}, weights on chip"
    yield Case(title=title, shape=ALBERT_BASE, n_tokens=32, design=shipped)


def sized(design: Accelerator, workload: Workload) -> Accelerator:
    """Return the design with buffers as large as its sentences and, where these are streamed, its panels need."""
    if design.weight_placement == "streamed":
        panels = design.n_weight_buffers * place_weights(workload, design).panel_bytes
        design = replace(design, weight_buffer_kib=ceil_div(panels, 1024))
    return replace(design, activation_buffer_kib=ceil_div(activation_bytes(workload, design), 1024))


def fits(design: Accelerator, workload: Workload, exits: Outcome) -> str:
    """Return whether the design's part holds it, and what is missing if not."""
    device = load_device(design.device)
    try:
        check_fit(estimate(workload, design, device, exits.design.exit_path.decision.resources), device)
    except DoesNotFit as error:
        return f"no: {str(error).split(',')[0]}"
    return "yes"


def measure(
    design: Accelerator, workload: Workload, exits: Outcome, drawn: Integers, capacity_per_s: float | None = None
) -> Figures:
    """Run the sentences in a closed loop, and at LOADS of a rate, without one of what the closed loop reaches."""
    decision = exits.design.exit_path.decision.cycles
    program = compile_program(workload, design, device_channel(design, load_device(design.device)), decision)
    sentences = [lone_sentence(program, exits.evaluated_layers)]
    leaves = exits.decisions.integer.exit_layer[drawn]

    def p99_ms(found: StreamResult) -> float:
        return float(np.percentile(found.latency_cycles, 99)) / design.clock_mhz / 1000

    closed = simulate_stream(sentences, leaves)
    per_s = closed.n_served / closed.total_cycles * design.clock_mhz * 1e6
    streams = [PoissonArrivals(rate_per_s=load * (capacity_per_s or per_s)) for load in LOADS]
    arrivals = [arrival_cycles(stream, drawn.size, design.clock_mhz, SEED) for stream in streams]
    return Figures(
        per_s=per_s,
        p99_ms=p99_ms(closed),
        loaded_p99_ms=tuple(p99_ms(simulate_stream(sentences, leaves, times)) for times in arrivals),
        megabytes=closed.off_chip_bytes / closed.n_served / 1e6,
        activation_kib=design.activation_buffer_kib,
    )


def row(case: Case, n: int, exits: Outcome, drawn: Integers) -> str:
    """Return one line of the table: without sharing / with it."""
    workload = encoder_workload(case.shape, QuantConfig.uniform(8), case.n_tokens)
    plain = sized(replace(case.design, exit_overlap="interleave", n_interleaved=n), workload)
    shared = sized(replace(plain, share_weights=True), workload)
    apart = measure(plain, workload, exits, drawn)
    together = measure(shared, workload, exits, drawn, apart.per_s)
    cells = (
        str(n),
        f"{apart.per_s:.1f} / {together.per_s:.1f}",
        f"{together.per_s / apart.per_s:.2f}",
        f"{apart.p99_ms:.1f} / {together.p99_ms:.1f}",
        *(f"{one:.1f} / {other:.1f}" for one, other in zip(apart.loaded_p99_ms, together.loaded_p99_ms, strict=True)),
        f"{apart.megabytes:.1f} / {together.megabytes:.1f}",
        f"{apart.activation_kib} / {together.activation_kib}",
        fits(shared, workload, exits),
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default=str(OWN_PROFILE), help="csv of entropies of a 12-layer network")
    parser.add_argument("--threshold", type=float, default=0.2, help="of the entropy rule, nats")
    given = parser.parse_args()
    job = make_job(profile=given.profile, threshold=given.threshold, shape="albert-base", design="albert-base-zcu102")
    exits, _ = simulate(job, silent)
    leaves = exits.decisions.integer.exit_layer
    drawn = np.random.default_rng(SEED).integers(0, leaves.size, N_SENTENCES)
    print(f"{N_SENTENCES} sentences of {Path(given.profile).name}, {job.rule.threshold} nats, "
          f"mean exit layer {leaves[drawn].mean():.2f}; without sharing / with it")  # fmt: skip
    for case in cases():
        print(f"\n{case.title}\n")
        print(f"| {' | '.join(COLUMNS)} |")
        print("|" + "---|" * len(COLUMNS))
        for n in RESIDENTS:
            print(row(case, n, exits, drawn), flush=True)


if __name__ == "__main__":
    main()
