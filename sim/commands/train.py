"""`hexit train`: joint training of all exits, from a checkpoint or from nothing, with or without a teacher."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import progress as bars
from rich.console import Console

from hexit.quant.training.plan import Recipe
from hexit.sim.commands.parameters import Given, takes
from hexit.sim.job.recipe_file import load_recipe
from hexit.sim.job.train_record import TrainJob

if TYPE_CHECKING:
    from hexit.quant.data.tasks import TextSet
    from hexit.quant.training.loop import Watchers
    from hexit.quant.training.state import EpochResult

LOG_EVERY_S = 60.0  # a log file gets a line a minute, a terminal a moving bar


@takes(TrainJob)
def train(options: Given[TrainJob]) -> None:
    """Train an exit after every layer of ALBERT or BERT.

    Examples:

    `hexit train --data glue/SST-2 --model albert-base-v2 --out runs/albert --loss pabee`

    `hexit train --data glue/SST-2 --out runs/small --hidden-size 256 --teacher runs/teacher`

    `hexit train --data glue/SST-2 --recipe albert-sst2 --teacher runs/teacher --out runs/albert`
    """
    from hexit.quant.data.tasks import load_texts, read_lines
    from hexit.quant.network.compute import pick_compute
    from hexit.quant.training.loop import train as run_training

    job = options.build()
    recipe = load_recipe(job.recipe, options.named) if job.recipe else Recipe(plan=job.plan, stages=(job.stage,))
    device = pick_compute(job.compute)
    calibration = read_lines(job.calibration) if job.calibration else ()
    columns: dict[str, Any] = {"text_columns": job.text_columns or (), "label_column": job.label_column or ""}
    training_set = load_texts(job.data, split="train", **columns)
    if job.limit:
        training_set = training_set.subset(range(min(job.limit, len(training_set))))
    dev_set = _dev_set(job.data, training_set.label_names, columns)
    console = Console(highlight=False, soft_wrap=True)
    with _watchers(console) as watchers:
        run_training(
            recipe,
            training_set,
            dev_set,
            job.out,
            device=device,
            save_every_s=job.save_every_s,
            storage=job.dtype,
            calibration=calibration,
            watchers=watchers,
        )
    console.print(f"checkpoint: {job.out}")


@contextlib.contextmanager
def _watchers(console: Console) -> Iterator[Watchers]:
    """Give callbacks that move a bar on a terminal and write lines elsewhere."""
    from hexit.quant.training.loop import Watchers

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[note]}"),
        bars.TimeElapsedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=console, disable=not console.is_terminal) as shown:
        current, last_line = shown.add_task("start", total=None, note=""), time.monotonic()

        def advance(n_done: int, note: str) -> None:
            nonlocal last_line
            shown.update(current, advance=n_done, note=note)
            if not console.is_terminal and time.monotonic() - last_line > LOG_EVERY_S:
                task = next(task for task in shown.tasks if task.id == current)
                console.print(f"{task.description}: {task.completed:.0f}/{task.total:.0f} {note}")
                last_line = time.monotonic()

        def begin(title: str, n_total: int) -> None:
            nonlocal current
            shown.remove_task(current)
            current = shown.add_task(title, total=n_total, note="")

        def report(result: EpochResult) -> None:
            scores = " ".join(f"{score:.3f}" for score in result.dev_scores)
            shown.console.print(
                f"{result.stage}, epoch {result.epoch}: loss {result.mean_loss:.4f}, {result.wall_s:.0f} s"
                + (f", dev score by exit: {scores}" if scores else "")
            )

        yield Watchers(begin=begin, advance=advance, epoch=report)


def _dev_set(data: str, label_names: tuple[str, ...], columns: dict[str, Any]) -> TextSet | None:
    from hexit.quant.data.tasks import load_texts

    folder = Path(os.path.expanduser(data))
    if folder.is_file() or (folder.is_dir() and not any(folder.glob("dev.*"))):
        return None
    return load_texts(data, split="dev", label_names=label_names, **columns)
