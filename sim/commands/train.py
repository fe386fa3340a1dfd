"""`hexit train`: joint training of all exits, from a checkpoint or from nothing, with or without a teacher."""

from __future__ import annotations

import inspect
import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hexit.quant.errors import ConfigError
from hexit.sim.commands.common_options import LabelColumn, TextColumns

LOG_EVERY_S = 60.0  # a log file gets a line a minute, a terminal a moving bar
LOSSES = "elbert (learnt weights), pabee (weights by layer number), equal, last"


def train(
    data: Annotated[
        str,
        typer.Option(
            help="Task to learn: GLUE-style folder (train.tsv, dev.tsv), tsv or jsonl file, or a "
            "`datasets` name such as glue:sst2."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the checkpoint. A stopped run resumes when its command is repeated.")
    ],
    model: Annotated[
        str,
        typer.Option(
            help="Checkpoint to start from: folder or hub name. Empty: a new ALBERT of the sizes "
            "below, with its own word-piece vocabulary."
        ),
    ] = "",
    hidden_size: Annotated[int, typer.Option(help="New model: columns of the hidden state.")] = 256,
    n_layers: Annotated[int, typer.Option(help="New model: layers, all sharing one set of weights.")] = 12,
    n_heads: Annotated[int, typer.Option(help="New model: attention heads.")] = 4,
    embedding_size: Annotated[int, typer.Option(help="New model: columns of the factorised embedding.")] = 128,
    vocabulary_size: Annotated[int, typer.Option(help="New model: word pieces.")] = 8000,
    pooler: Annotated[bool, typer.Option(help="Exit head has a linear + tanh before its classifier.")] = True,
    pooling: Annotated[str, typer.Option(help="What an exit reads: first (token) or mean (of all tokens).")] = "first",
    shared_head: Annotated[
        bool, typer.Option(help="One exit head for all layers (ELBERT) or one per layer (PABEE).")
    ] = True,
    loss: Annotated[str, typer.Option(help=f"Joint loss over the exits: {LOSSES}.")] = "elbert",
    epochs: Annotated[int, typer.Option(help="Passes over the training set.")] = 3,
    batch_size: Annotated[int, typer.Option(help="Sentences per step.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Peak rate of the encoder (AdamW).")] = 3e-5,
    head_learning_rate: Annotated[float, typer.Option(help="Peak rate of the exit heads.")] = 3e-4,
    warmup_fraction: Annotated[float, typer.Option(help="Part of all steps before the peak.")] = 0.06,
    weight_decay: Annotated[float, typer.Option(help="AdamW weight decay.")] = 0.01,
    max_length: Annotated[int, typer.Option(help="Tokens at which a sentence is cut.")] = 128,
    teacher: Annotated[str, typer.Option(help="Trained checkpoint whose last exit labels every sentence softly.")] = "",
    distill_fraction: Annotated[float, typer.Option(help="Share of the teacher in the loss.")] = 0.9,
    temperature: Annotated[float, typer.Option(help="Softmax temperature of the distillation.")] = 2.0,
    unlabelled: Annotated[
        str, typer.Option(help="Json lines (.xz allowed) of reviews; the teacher labels their sentences.")
    ] = "",
    unlabelled_per_epoch: Annotated[int, typer.Option(help="Sentences of --unlabelled drawn for each epoch.")] = 0,
    precision: Annotated[
        str, typer.Option(help="fp32, or bf16 (about 2x faster where the processor has it).")
    ] = "fp32",
    seed: Annotated[int, typer.Option(help="Decides initial weights, order and dropout.")] = 0,
    text_column: TextColumns = None,
    label_column: LabelColumn = "",
    limit: Annotated[int, typer.Option(help="Use only the first N training samples; 0 means all.")] = 0,
    compute: Annotated[str, typer.Option(help="auto (CUDA where there is one), cpu or cuda.")] = "auto",
    save_every_s: Annotated[float, typer.Option(help="Seconds between two saved states.")] = 120.0,
    calibration: Annotated[
        str,
        typer.Option(
            help="Text (a sentence a line) that quantisation will calibrate on. Empty: "
            "256 training sentences, drawn by --seed."
        ),
    ] = "",
    dtype: Annotated[str, typer.Option(help="Stored weights: fp16 or fp32.")] = "fp16",
) -> None:
    """Train an exit after every layer of ALBERT or BERT.

    Examples:

    `hexit train --data glue/SST-2 --model albert-base-v2 --out runs/albert --loss pabee`

    `hexit train --data glue/SST-2 --out runs/small --hidden-size 256 --teacher runs/teacher`
    """
    given = dict(locals())
    from hexit.quant.data.tasks import load_texts, read_lines
    from hexit.quant.network.compute import pick_compute
    from hexit.quant.records import from_json
    from hexit.quant.training.loop import EpochResult, TrainingPlan, Watchers
    from hexit.quant.training.loop import train as run_training

    keys = inspect.signature(TrainingPlan).parameters
    plan = from_json(TrainingPlan, {key: given[key] for key in keys}, "hexit train")
    if dtype not in {"fp16", "fp32"}:
        raise ConfigError("--dtype", dtype, "must be fp16 or fp32", "Try --dtype fp16")
    if limit < 0:
        raise ConfigError("--limit", limit, "must not be negative", "Try --limit 0")
    device = pick_compute(compute)
    calibration_lines = read_lines(calibration) if calibration else ()
    columns: dict[str, Any] = {"text_columns": tuple(text_column or ()), "label_column": label_column}
    training_set = load_texts(data, split="train", **columns)
    if limit:
        training_set = training_set.subset(range(min(limit, len(training_set))))
    dev_set = _dev_set(data, training_set.label_names, columns)
    console = Console(highlight=False, soft_wrap=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        current = progress.add_task("start", total=None, note="")

        last_line = time.monotonic()

        def advance(n_done: int, note: str) -> None:
            nonlocal last_line
            progress.update(current, advance=n_done, note=note)
            if not console.is_terminal and time.monotonic() - last_line > LOG_EVERY_S:
                task = next(task for task in progress.tasks if task.id == current)
                console.print(f"{task.description}: {task.completed:.0f}/{task.total:.0f} {note}")
                last_line = time.monotonic()

        def stage(title: str, n_total: int) -> None:
            nonlocal current
            progress.remove_task(current)
            current = progress.add_task(title, total=n_total, note="")

        def report(result: EpochResult) -> None:
            scores = " ".join(f"{score:.3f}" for score in result.dev_scores)
            progress.console.print(
                f"epoch {result.epoch}: loss {result.mean_loss:.4f}, {result.wall_s:.0f} s"
                + (f", dev score by exit: {scores}" if scores else "")
            )

        watchers = Watchers(stage=stage, advance=advance, epoch=report)
        run_training(
            plan,
            training_set,
            dev_set,
            out,
            device=device,
            save_every_s=save_every_s,
            half=dtype == "fp16",
            calibration=calibration_lines,
            watchers=watchers,
        )
    console.print(f"checkpoint: {out}")


def _dev_set(data: str, label_names: tuple[str, ...], columns: dict[str, Any]) -> Any:
    from hexit.quant.data.tasks import load_texts

    folder = Path(os.path.expanduser(data))
    if folder.is_file() or (folder.is_dir() and not any(folder.glob("dev.*"))):
        return None
    return load_texts(data, split="dev", label_names=label_names, **columns)
