"""How often the drop that was allowed on a selection text holds on fresh text, for several margins, one table.

    .venv/bin/python benchmarks/choice.py                                            # simulated logits, known depth
    .venv/bin/python benchmarks/choice.py --model runs/x --data glue/SST-2 --split train --limit 8000   # yours

Settings are chosen on some sentences drawn from the pool and judged on the others. The last row is learn-then-test:
settings from the slowest on, up to the first one that fails.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from hexit.quant.arrays import Integers
from hexit.quant.config import QuantConfig
from hexit.quant.exits.goal import Goal
from hexit.quant.exits.rules import parse_rule
from hexit.quant.exits.unit import unit_decision
from hexit.quant.traces.choice import Searched, choose, drops, search
from hexit.quant.traces.replay import trace_unit
from hexit.quant.traces.store import Store, cache_folder, calibration_of
from hexit.quant.traces.trace import ExitTrace
from hexit.sim.commands.progress import progress_bars
from hexit.sim.job.record import DEFAULT_MAX_DROP, DataOptions, ModelOptions
from hexit.sim.job.resolve import default_length, load_inputs

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from support.deep_logits import deep_trace

POOL = 40_000  # simulated sentences
JUDGES = 20_000  # of them at most judge; a drop of 0.01 is then known to 0.002


def some(trace: ExitTrace, samples: Integers) -> ExitTrace:
    """Return the trace of some of its sentences."""
    return dataclasses.replace(
        trace, logits=trace.logits[:, samples], labels=trace.labels[samples], lengths=trace.lengths[samples]
    )


def first_failure(searched: Searched, max_drop: float) -> int:
    """Return the setting before the first that fails, from the slowest on."""
    drop, _ = drops(searched)
    slow_first = np.argsort(-searched.mean_layer, kind="stable")
    failing = np.flatnonzero(drop[slow_first] > max_drop)
    return int(slow_first[max(0, failing[0] - 1) if failing.size else -1])


def judged(pool: ExitTrace, rule: str, n_sentences: int, n_repeats: int, max_drop: float) -> dict[str, Integers]:
    """Return mean layer and true drop of each repetition, by what was demanded."""
    found: dict[str, list[tuple[float, float]]] = {}
    random, goal = np.random.default_rng(0), Goal(max_drop=max_drop, speedup=None)
    for _ in range(n_repeats):
        order = random.permutation(pool.n_samples)
        searched = search(parse_rule(rule), some(pool, order[:n_sentences]))
        fresh = some(pool, order[n_sentences : n_sentences + JUDGES])
        rows = {f"drop + {margin:g} errors": choose(searched, goal, margin) for margin in (0.0, 0.5, 1.0, 1.645)}
        for name, row in (rows | {"up to the first failure": first_failure(searched, max_drop)}).items():
            decision = unit_decision(trace_unit(searched.setting(row), fresh), fresh.logits)
            full = np.mean(fresh.logits[-1].argmax(axis=1) == fresh.labels)
            drop = float(full - np.mean(decision.prediction == fresh.labels))
            found.setdefault(name, []).append((decision.mean_layer, drop))
    return {name: np.array(values) for name, values in found.items()}


def recorded(model: str, data: str, split: str, limit: int) -> ExitTrace:
    """Return the integer logits of a model at 8 bits on labelled text."""
    with progress_bars(Console(stderr=True)) as progress:
        store = Store(folder=cache_folder(None), progress=progress)
        options = DataOptions(source=data, split=split, limit=limit)
        card, texts = load_inputs(ModelOptions(checkpoint=model or None), options, store)
        length = default_length(None, card)
        return store.quantised_trace(card, texts, QuantConfig.uniform(8), calibration_of(card, ""), length)


def main(
    model: str = "",
    data: str = "",
    split: str = "dev",
    limit: int = 0,
    rule: str = "hardware",
    sentences: Annotated[list[int], typer.Option()] = [256, 768, 2000],  # noqa: B006 - typer reads defaults once
    repeats: int = 100,
    max_drop: float = DEFAULT_MAX_DROP,
) -> None:
    pool = recorded(model, data, split, limit) if data else deep_trace(POOL, 0)
    alone = [f"{np.mean(layer.argmax(axis=1) == pool.labels):.3f}" for layer in pool.logits]
    table = Table(
        "demanded", "sentences", "mean layer", "true drop", f"at most {max_drop:g}", f"at most {2 * max_drop:g}"
    )
    for n_sentences in sentences:
        for name, values in judged(pool, rule, n_sentences, repeats, max_drop).items():
            layer, drop = values.T
            shares = (f"{100 * np.mean(drop <= most):.0f} %" for most in (max_drop, 2 * max_drop))
            table.add_row(name, str(n_sentences), f"{layer.mean():.2f}", f"{drop.mean():.4f}", *shares)
    console = Console(highlight=False)
    console.print(f"accuracy by exit: {' '.join(alone)}")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
