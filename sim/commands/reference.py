"""`hexit reference`: the float model at every exit, on a GPU where there is one."""

from __future__ import annotations

import typer
from rich.console import Console

from hexit.quant.errors import ConfigError
from hexit.sim.commands.parameters import Given, takes
from hexit.sim.job.record import ModelOptions
from hexit.sim.job.train_record import ReferenceJob


@takes(ReferenceJob)
def reference(options: Given[ReferenceJob]) -> None:
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
    from hexit.sim.job.resolve import default_length, load_inputs

    job = options.build()
    device = pick_compute(job.compute)
    check_folder(job.out.parent)
    with progress_bars(Console(stderr=True, highlight=False, soft_wrap=True)) as progress:
        store = Store(folder=cache_folder(job.cache_folder), progress=progress)
        card, texts = load_inputs(ModelOptions(checkpoint=job.model), job.data, store)
        length = default_length(job.sequence_length, card)
        if not 1 <= length <= card.shape.n_positions:
            requirement = f"must be 1..{card.shape.n_positions} (positions of the model)"
            raise ConfigError("--seq-len", length, requirement, f"Try --seq-len {default_length(None, card)}")
        record = evaluate_reference(
            load_checkpoint(card.folder),
            texts,
            max_length=length,
            compute=device,
            batch_size=job.batch_size,
            advance=progress(f"float model on {device}", len(texts)),
        ).record
    save_reference(record, job.out)
    shown = " ".join(f"{value:.4f}" for value in record.scores)
    typer.echo(f"{record.metric} by exit on {record.compute} ({record.processor}): {shown}")
    typer.echo(f"written to {job.out}")
