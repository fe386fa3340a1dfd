"""Accuracy and exits of models on data sets at several bit widths, one table.

    .venv/bin/python benchmarks/accuracy.py --model quant/assets/albert-sst2 --data ../shared/data/glue/SST-2 --bits 8

`--model`, `--data` and `--bits` may be repeated; defaults are the shipped model, the shipped reviews and 16, 8, 4.
Every row is a `hexit run` in this process; logits are taken from the cache where they are there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from hexit.quant.hub import DEFAULT_DATA, DEFAULT_MODEL
from hexit.sim.commands.progress import progress_bars
from hexit.sim.job.record import make_job
from hexit.sim.job.resolve import simulate
from hexit.sim.report.build import build_report


def main(
    model: Annotated[list[str], typer.Option()] = [str(DEFAULT_MODEL)],  # noqa: B006 - typer reads defaults once
    data: Annotated[list[str], typer.Option()] = [str(DEFAULT_DATA)],  # noqa: B006
    bits: Annotated[list[int], typer.Option()] = [16, 8, 4],  # noqa: B006
    rule: str = "",
    threshold: float | None = None,
) -> None:
    columns = (
        "model",
        "data",
        "bits",
        "float",
        "quantised",
        "float exits",
        "quantised exits",
        "mean layer",
        "speed-up",
    )
    table = Table(*columns, title="accuracy at full depth and with exits")
    with progress_bars(Console(stderr=True)) as progress:
        for name in model:
            for source in data:
                for width in bits:
                    options = make_job(model=name, data=source, bits=width, rule=rule, threshold=threshold)
                    report = build_report(*simulate(options, progress))
                    found = report.accuracy
                    values = (found.float, found.quantised, found.float_with_exits, found.with_exits)
                    table.add_row(Path(name).name, report.data.name, str(width),
                                  *(f"{value:.4f}" for value in values if value is not None),
                                  f"{report.exits.mean_layer:.2f}", f"{report.speedup.layer:.2f}x")  # fmt: skip
    Console(highlight=False).print(table)


if __name__ == "__main__":
    typer.run(main)
