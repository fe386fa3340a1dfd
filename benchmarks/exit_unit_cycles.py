"""The simulator's cycles of the exit unit against its RTL in Verilator, on random streams with back-pressure.

    .venv/bin/python benchmarks/exit_unit_cycles.py                  # 12,000 streams, a minute on one core
    .venv/bin/python benchmarks/exit_unit_cycles.py --streams 120

A stream is a few sentences whose (sentence, layer) events come late or at once, to a consumer that pauses or does not.
Compared are, of every event, the cycles in which it is accepted, first at the output and taken, and the decision
itself. Ends with status 1 where anything differs.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from hexit.hw_model.exit_unit.timing import unit_timing
from hexit.quant.exits.rules import parse_rule
from hexit.quant.exits.unit import ExitUnitSpec, exit_unit_spec
from hexit.sim.analysis.exit_events import event_cycles

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.rtl_exit_unit import build_rtl, timed_streams

UNITS = (  # rule, classes, slots: pipelines of 1 to 20 stages, state in registers and in a memory
    ("fixed-depth", 2, 4),
    ("pabee-regression:patience=3", 1, 4),
    ("hardware", 2, 1),
    ("hardware", 2, 4),
    ("pabee", 3, 4),
    ("max-probability", 10, 1),
    ("entropy", 10, 2),
    ("elbert", 3, 8),
    ("elbert:bias=bias_2,window=3", 2, 16),
    ("elbert:bias=bias_3,window=8,range_limit=0.2", 2, 2),
    ("elbert:bias=bias_3,window=8,range_limit=0.2", 2, 4),
    ("elbert:bias=bias_3,window=8,range_limit=0.2", 10, 8),
)
PARTS = ("accepted", "visible", "taken")


def compare(spec: ExitUnitSpec, n_streams: int, seed: int, folder: Path) -> tuple[int, int, int]:
    """Events, cycles that differ, decisions that differ."""
    golden, streams = timed_streams(spec, n_streams, seed)
    decisions, cycles = build_rtl(spec, folder).run(golden, streams)
    model = event_cycles(unit_timing(spec), streams)
    late = sum(int(np.count_nonzero(getattr(cycles, part) != getattr(model, part))) for part in PARTS)
    return golden.n_events, late, int((decisions != golden.decisions).any(axis=1).sum())


def main(streams: Annotated[int, typer.Option(help="Streams in all.")] = 12_000, seed: int = 0) -> None:
    table = Table(title="simulator and Verilator, random (sentence, layer) streams with back-pressure")
    for column in ("rule", "classes", "slots", "stages", "state", "streams", "events", "cycles differ", "exits differ"):
        table.add_column(column, justify="left" if column == "rule" else "right")
    started = time.perf_counter()
    totals = np.zeros(4, np.int64)
    each = -(-streams // len(UNITS))
    for number, (rule, n_classes, n_slots) in enumerate(UNITS):
        spec = exit_unit_spec(
            parse_rule(rule), n_layers=12, n_classes=n_classes, scale=2.0**-11, logit_bits=16, n_slots=n_slots
        )
        timing = unit_timing(spec)
        with tempfile.TemporaryDirectory() as folder:
            counts = compare(spec, each, seed + number, Path(folder))
        state = "" if not spec.state_bits else "registers" if timing.state_cycles == 1 else "memory"
        cells = (rule, n_classes, n_slots, timing.latency_cycles, state, each, *(f"{count:,}" for count in counts))
        table.add_row(*map(str, cells))
        totals += (each, *counts)
    console = Console(width=140)
    console.print(table)
    n_streams, events, late, wrong = totals.tolist()
    console.print(
        f"{n_streams:,} streams, {events:,} events, {len(PARTS)} cycles each: {late} cycles and {wrong} decisions "
        f"differ; {time.perf_counter() - started:.0f} s"
    )
    raise typer.Exit(code=int(late + wrong > 0))


if __name__ == "__main__":
    typer.run(main)
