"""Every rule's exit unit, proven: each implementation gives the golden answers to over a million events, bit for bit.

    .venv/bin/python benchmarks/exit_unit_proof.py                      # the RTL in Verilator, minutes on one core
    .venv/bin/python benchmarks/exit_unit_proof.py --with vitis --with vivado  # C simulation through hls4ml instead
    .venv/bin/python benchmarks/exit_unit_proof.py --events 500 --with rtl     # a share

The units: every rule that can be built (ELBERT with each of its biases) x 1, 2, 3 and 10 classes where the rule serves
them x logits of 8, 12 and 16 bits. Slots, layers with an exit and the confidence output change from unit to unit.
Half of the sentences are real: logits of the shipped model for the shipped reviews, at the unit's width; with more than
two classes those of several sentences side by side. The other events are those of hls.exit_unit.vectors.proof_logits:
random walks, both sides of every threshold, the ends of the range.
Prints a line per unit and implementation with its events and differences; ends with status 1 where anything differs.
"""

from __future__ import annotations

import functools
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from hexit.hls.exit_unit.hls4ml_model import Backend, Interface, hls_model, predict_events
from hexit.hls.exit_unit.vectors import EventStream, proof_events
from hexit.quant.arrays import Floats, Integers
from hexit.quant.data.tasks import load_texts
from hexit.quant.errors import ConfigError
from hexit.quant.exits.integer_rule import FixedLayer
from hexit.quant.exits.rules import (
    RULES,
    Bias,
    ElbertExit,
    ExitRule,
    OracleExit,
    PabeeExit,
    PabeeRegressionExit,
    check_serves,
)
from hexit.quant.exits.unit import ExitUnitSpec, exit_unit_spec
from hexit.quant.hub import DEFAULT_DATA, DEFAULT_MODEL
from hexit.quant.traces.store import Store, cache_folder

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.rtl_exit_unit import build_rtl, one_stream

N_LAYERS = 12
N_CLASSES = (1, 2, 3, 10)  # 1 is a regression
LOGIT_BITS = (8, 12, 16)
LARGEST_LOGIT = 16.0  # real
N_SLOTS = (1, 3, 16)
EVALUATED_LAYERS = (None, (2, 3, 4, 5, 8, 12), (1, 3, 6, 9, 10, 12))
EVENTS_PER_UNIT = 13_000

Implementation = Callable[[ExitUnitSpec, EventStream, Path], Integers]  # decisions [n, 5], as of an EventStream


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One unit of the proof, with the name that the table gives it."""

    name: str
    spec: ExitUnitSpec


def rules() -> Iterator[tuple[str, ExitRule]]:
    """Every rule that can be built, with runs that sentences do complete."""
    for name, kind in RULES.items():
        if kind is OracleExit:
            continue
        if kind is ElbertExit:
            for bias in get_args(Bias):
                yield f"{name} {bias}", ElbertExit(bias=bias, window=3, margin=0.05, range_limit=0.2)
        elif kind in (PabeeExit, PabeeRegressionExit):
            yield name, kind(patience=3)
        else:
            yield name, kind()


def units() -> Iterator[Unit]:
    """The units in a fixed order; slots, layers and confidence take turns, so that each value meets each rule."""
    number = 0
    for (name, rule), n_classes, logit_bits in itertools.product(rules(), N_CLASSES, LOGIT_BITS):
        try:
            check_serves(rule, N_LAYERS, n_classes)
        except ConfigError:
            continue
        fixed = rule.name == "fixed-depth"
        spec = exit_unit_spec(
            rule,
            n_layers=N_LAYERS,
            n_classes=n_classes,
            scale=LARGEST_LOGIT / 2 ** (logit_bits - 1),
            logit_bits=logit_bits,
            n_slots=N_SLOTS[(number + number // 3) % 3],
            evaluated_layers=None if fixed else EVALUATED_LAYERS[number // 3 % 3],
            confidence=number % 2 == 1 and not fixed,
        )
        assert fixed or not isinstance(spec.form.confidence, FixedLayer)
        yield Unit(name=f"{name}, {n_classes} x {logit_bits} bits", spec=spec)
        number += 1


@functools.cache
def real_logits() -> Floats:
    """Logits of the shipped model in floating point, [12 layers, 440 reviews, 2 classes]; recorded in the cache."""
    store = Store(folder=cache_folder(None))
    card = store.card(str(DEFAULT_MODEL))
    texts = load_texts(str(DEFAULT_DATA), split="dev", label_names=card.label_names)
    return store.float_trace(card, texts, 64).real_logits


def trace_of(spec: ExitUnitSpec) -> Integers:
    """Return real logits as the integers of a unit, [12 layers, 440, n_classes]."""
    n_sentences = -(-spec.n_classes // 2)
    beside = [np.roll(real_logits(), sentence, axis=1) for sentence in range(n_sentences)]
    integers = np.rint(np.concatenate(beside, axis=2)[..., : spec.n_classes] / spec.form.scale)
    limit = 1 << (spec.logit_bits - 1)
    return np.asarray(np.clip(integers, -limit, limit - 1), dtype=np.int64)


def rtl(spec: ExitUnitSpec, events: EventStream, folder: Path) -> Integers:
    """SystemVerilog in Verilator; ends with an error where it loses or doubles an event."""
    return build_rtl(spec, folder).run(events, one_stream(events))[0]


def hls4ml(backend: Backend, interface: Interface) -> Implementation:
    """The HLS kernel as a layer of hls4ml, compiled by g++ with the vendor's types."""

    def predict(spec: ExitUnitSpec, events: EventStream, folder: Path) -> Integers:
        model = hls_model(
            spec,
            folder,
            backend=backend,
            interface=interface,
            part="xcu250-figd2104-2L-e",
            clock_period_ns=4.0,
            project_name="exit_unit",
        )
        model.compile()
        return predict_events(model, events)

    return predict


IMPLEMENTATIONS: dict[str, Implementation] = {
    "rtl": rtl,
    "vitis": hls4ml("vitis", "parallel"),
    "vivado": hls4ml("vivado", "parallel"),
    "vitis-stream": hls4ml("vitis", "stream"),
    "vivado-stream": hls4ml("vivado", "stream"),
}


def differences(implementation: Implementation, unit: Unit, events: EventStream) -> int:
    """Events whose decision is not that of the golden model."""
    with tempfile.TemporaryDirectory(prefix="hexit_proof_") as name:
        decisions = implementation(unit.spec, events, Path(name) / "unit")
    return int((decisions != events.decisions).any(axis=1).sum())


def main(
    events: Annotated[int, typer.Option(min=1, help="of each unit")] = EVENTS_PER_UNIT,
    also: Annotated[list[str] | None, typer.Option("--with", help=f"among {', '.join(IMPLEMENTATIONS)}")] = None,
    seed: int = 0,
) -> None:
    chosen = also or ["rtl"]
    unknown = set(chosen) - set(IMPLEMENTATIONS)
    if unknown:
        raise typer.BadParameter(f"unknown: {', '.join(sorted(unknown))}", param_hint="--with")
    console, started = Console(), time.perf_counter()
    table = Table("unit", "slots", "exits", "events", *(f"{name}: differences" for name in chosen))
    totals = dict.fromkeys(chosen, 0)
    n_events = n_units = 0
    for unit in units():
        stream = proof_events(unit.spec, events, seed + n_units, trace_of(unit.spec))
        counts = {name: differences(IMPLEMENTATIONS[name], unit, stream) for name in chosen}
        for name, count in counts.items():
            totals[name] += count
        n_events, n_units = n_events + stream.n_events, n_units + 1
        exits = len(unit.spec.evaluated_layers)
        table.add_row(unit.name, str(unit.spec.n_slots), str(exits), str(stream.n_events), *map(str, counts.values()))
    table.add_section()
    table.add_row(f"{n_units} units", "", "", f"{n_events:,}", *map(str, totals.values()))
    console.print(table)
    console.print(f"{time.perf_counter() - started:.0f} s")
    if any(totals.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
