"""`hexit reference`: the float model at every exit, on a GPU where there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hexit.quant.errors import ConfigError
from hexit.sim.commands.common_options import DATA, MODEL, OUTPUT, CacheDir, LabelColumn, Split, TextColumns


def reference(
    out: Annotated[
        Path, typer.Option(help="JSON file to write; `hexit run --reference` shows it.", rich_help_panel=OUTPUT)
    ],
    model: Annotated[
        str, typer.Option(help="Checkpoint: folder or hub name. Default: the shipped ALBERT.", rich_help_panel=MODEL)
    ] = "",
    compute: Annotated[
        str, typer.Option(help="auto (CUDA where there is one), cpu or cuda.", rich_help_panel=MODEL)
    ] = "auto",
    batch_size: Annotated[int, typer.Option(help="Sentences per forward pass.", rich_help_panel=MODEL)] = 64,
    data: Annotated[
        str, typer.Option(help="As in `hexit run`. Default: the shipped reviews.", rich_help_panel=DATA)
    ] = "",
    split: Split = "dev",
    text_column: TextColumns = None,
    label_column: LabelColumn = "",
    seq_len: Annotated[
        int | None,
        typer.Option(help="Tokens at which sentences are cut, as in `hexit run`. Default: 64.", rich_help_panel=DATA),
    ] = None,
    cache_dir: CacheDir = None,
) -> None:
    """Evaluate the float model at every exit: the accuracy that every quantised run is held against.

    Example:

    `hexit reference --data glue/SST-2/dev.tsv --out reference.json`
    """
    from hexit.quant.network.checkpoint import load_checkpoint
    from hexit.quant.network.compute import pick_compute
    from hexit.quant.traces.reference import evaluate_reference, save_reference
    from hexit.quant.traces.store import Store, cache_folder
    from hexit.sim.commands.progress import progress_bars
    from hexit.sim.export.folder import check_folder
    from hexit.sim.job.options import RunOptions, default_length, load_inputs

    if batch_size < 1:
        raise ConfigError("--batch-size", batch_size, "must be at least 1", "Try --batch-size 64")
    device = pick_compute(compute)
    check_folder(out.parent)
    options = RunOptions(model=model, data=data, split=split, text_column=text_column, label_column=label_column)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with progress_bars(console) as progress:
        card, texts = load_inputs(options, Store(folder=cache_folder(cache_dir), progress=progress))
        length = default_length(seq_len, card)
        if not 1 <= length <= card.shape.n_positions:
            requirement = f"must be 1..{card.shape.n_positions} (positions of the model)"
            raise ConfigError("--seq-len", length, requirement, f"Try --seq-len {default_length(None, card)}")
        record = evaluate_reference(
            load_checkpoint(card.folder),
            texts,
            max_length=length,
            compute=device,
            batch_size=batch_size,
            progress=progress(f"float model on {device}", len(texts)),
        ).record
    save_reference(record, out)
    shown = " ".join(f"{value:.4f}" for value in record.scores)
    typer.echo(f"{record.metric} by exit on {record.compute} ({record.processor}): {shown}")
    typer.echo(f"written to {out}")
