"""`hexit run`: the whole loop on real text, or on a published exit profile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hexit.sim.commands.parameters import Given, takes
from hexit.sim.job.record import OUTPUT, Job

LISTS = ("rules", "devices", "designs", "design-keys", "shapes", "options")
JOB = "Job file"


@takes(Job)
def run(
    options: Given[Job],
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of options by key (docs/job.md), such as the job.toml of an --out folder. Options on the "
            "command line win.",
            rich_help_panel=JOB,
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set one option by its key, e.g. stream.rate=900. May be repeated.",
            rich_help_panel=JOB,
        ),
    ] = None,
    listing: Annotated[
        str, typer.Option("--list", help=f"Show what there is and stop: {', '.join(LISTS)}.", rich_help_panel=OUTPUT)
    ] = "",
) -> None:
    """Classify sentences with a quantised early-exit model and simulate the FPGA that does it, to the cycle.

    Examples:

    `hexit run --bits 8`

    `hexit run --bits 4 --rule pabee --threshold 3 --device u250 --out runs/pabee`

    `hexit run --data glue/SST-2/dev.tsv --overlap speculate --design mine.toml --json`

    `hexit run --sentences 100000 --arrivals poisson:rate=200 --deadline-us 20000 --lengths exact --saturate`

    `hexit run --config runs/pabee/job.toml --set stream.rate=900 --out runs/loaded`
    """
    if listing:
        from hexit.sim.commands.listing import print_list

        print_list(listing, Console(highlight=False))
        return
    if config or assignments:
        from hexit.sim.job.job_file import merged_job

        _run(merged_job(config, assignments or (), options.named))
    else:
        _run(options.build())


def _run(job: Job) -> None:
    from hexit.sim.commands.progress import progress_bars
    from hexit.sim.export.folder import check_folder
    from hexit.sim.export.result import run as run_job
    from hexit.sim.report.screen import print_report

    folder = job.outputs.folder
    if folder is not None:
        check_folder(folder)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    with progress_bars(errors) as progress:
        result = run_job(job, progress=progress)
        if folder is not None:
            result.write(folder, progress=progress)
    report = result.report
    if report.data.n_truncated:
        errors.print(
            f"warning: {report.data.n_truncated} of {report.data.n_samples} sentences are longer than "
            f"{report.configuration.sequence_length} tokens and were cut; raise --seq-len",
            style="yellow",
        )
    if job.outputs.json:
        typer.echo(result.to_json(), nl=False)
        return
    print_report(report, Console(highlight=False))
    if folder is not None:
        Console(highlight=False, soft_wrap=True).print(f"written to {folder}")
