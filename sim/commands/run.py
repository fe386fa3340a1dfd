"""`hexit run`: the whole loop on real text, or on a published exit profile."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hexit.sim.commands.common_options import (
    DATA,
    HARDWARE,
    OUTPUT,
    STREAM,
    ActivationBits,
    Bits,
    CacheDir,
    CalibrationText,
    Data,
    LabelColumn,
    Limit,
    LogitBits,
    Model,
    PowerOfTwo,
    Rule,
    Seed,
    SequenceLength,
    Split,
    TextColumns,
    Threshold,
    WeightBits,
)

LISTS = ("rules", "devices", "designs", "shapes")


def run(
    model: Model = "",
    bits: Bits = 8,
    weight_bits: WeightBits = None,
    activation_bits: ActivationBits = None,
    logit_bits: LogitBits = 16,
    po2: PowerOfTwo = False,
    calibration: CalibrationText = "",
    data: Data = "",
    split: Split = "dev",
    text_column: TextColumns = None,
    label_column: LabelColumn = "",
    limit: Limit = 0,
    seed: Seed = 0,
    profile: Annotated[
        str,
        typer.Option(
            help="Instead of model and text: csv of per-layer entropies (nats) of a published two-class model.",
            rich_help_panel=DATA,
        ),
    ] = "",
    profile_columns: Annotated[str, typer.Option(help="Usable columns of the profile.", rich_help_panel=DATA)] = "1-11",
    shape: Annotated[
        str, typer.Option(help="Network that the profile came from; see --list shapes.", rich_help_panel=DATA)
    ] = "albert-base",
    rule: Rule = "",
    threshold: Threshold = None,
    device: Annotated[
        str,
        typer.Option(
            help="FPGA part or board; see --list devices. Default: the design's own.", rich_help_panel=HARDWARE
        ),
    ] = "",
    design: Annotated[
        str,
        typer.Option(
            help="Accelerator: a name of --list designs, or a FILE.toml with the same keys.", rich_help_panel=HARDWARE
        ),
    ] = "default",
    clock_mhz: Annotated[
        float | None, typer.Option(help="Clock instead of the design's.", rich_help_panel=HARDWARE)
    ] = None,
    seq_len: SequenceLength = None,
    overlap: Annotated[
        str,
        typer.Option(
            help="While an exit decides: stall (wait), speculate (start the next layer, squash it "
            "on an exit), interleave (others work).",
            rich_help_panel=HARDWARE,
        ),
    ] = "",
    batch: Annotated[
        int | None,
        typer.Option(
            help="Sentences resident at a time; above 1 means --overlap interleave.", rich_help_panel=HARDWARE
        ),
    ] = None,
    arrivals: Annotated[
        str,
        typer.Option(
            help="When sentences come: closed (as the design takes them), fixed:rate=R, poisson:rate=R, "
            "bursts:rate=R,size=B (sentences/s), file:PATH (microseconds).",
            rich_help_panel=STREAM,
        ),
    ] = "closed",
    queue: Annotated[
        int | None,
        typer.Option(help="Places where sentences wait; 0: none. Default: no limit.", rich_help_panel=STREAM),
    ] = None,
    deadline_us: Annotated[
        float | None,
        typer.Option(help="Latest decision after the arrival, in microseconds.", rich_help_panel=STREAM),
    ] = None,
    drop: Annotated[
        str,
        typer.Option(
            help="Who is dropped: never, full (who finds no place), late (also who cannot start before its deadline). "
            "Default: full with --queue, else never.",
            rich_help_panel=STREAM,
        ),
    ] = "",
    sentences: Annotated[
        int,
        typer.Option(
            help="Stream of N sentences drawn from the data with replacement (by --seed); 0: the data once.",
            rich_help_panel=STREAM,
        ),
    ] = 0,
    lengths: Annotated[
        str,
        typer.Option(
            help="Tokens that the hardware works on: padded (to --seq-len), exact, buckets:16,32 (to the next).",
            rich_help_panel=STREAM,
        ),
    ] = "padded",
    saturate: Annotated[
        bool,
        typer.Option(
            "--saturate",
            help="Search the highest rate that is sustained (Poisson in a closed loop).",
            rich_help_panel=STREAM,
        ),
    ] = False,
    exit_unit: Annotated[
        str,
        typer.Option(
            help="exit_unit.json of `hexit hls`: the unit that was built decides, with its cycles and its area, and "
            "names the rule.",
            rich_help_panel=HARDWARE,
        ),
    ] = "",
    reference: Annotated[
        str, typer.Option(help="JSON of `hexit reference` to show beside the result.", rich_help_panel=OUTPUT)
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for report.json, sentences.csv, pictures and timelines.", rich_help_panel=OUTPUT),
    ] = None,
    trace_level: Annotated[
        str, typer.Option(help="Detail of the Perfetto timeline: op or tile.", rich_help_panel=OUTPUT)
    ] = "op",
    json_output: Annotated[
        bool, typer.Option("--json", help="Print report.json instead of the screen.", rich_help_panel=OUTPUT)
    ] = False,
    cache_dir: CacheDir = None,
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
    """
    given = dict(locals())
    if listing:
        from hexit.sim.commands.listing import print_list

        print_list(listing, Console(highlight=False))
        return
    from hexit.sim.commands.progress import progress_bars
    from hexit.sim.export.folder import check_folder, write_outputs
    from hexit.sim.job.options import RunOptions, simulate
    from hexit.sim.report.record import build_report, report_json
    from hexit.sim.report.screen import print_report

    options = RunOptions(**{field.name: given[field.name] for field in dataclasses.fields(RunOptions)})
    if out is not None:
        check_folder(out)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    with progress_bars(errors) as progress:
        outcome, known = simulate(options, progress)
        report = build_report(outcome, known)
        if out is not None:
            write_outputs(outcome, report, out, "tile" if trace_level == "tile" else "op", progress)
    if report.data.n_truncated:
        errors.print(
            f"warning: {report.data.n_truncated} of {report.data.n_samples} sentences are longer than "
            f"{report.configuration.sequence_length} tokens and were cut; raise --seq-len",
            style="yellow",
        )
    if json_output:
        typer.echo(report_json(report), nl=False)
        return
    print_report(report, Console(highlight=False))
    if out is not None:
        Console(highlight=False, soft_wrap=True).print(f"written to {out}")
