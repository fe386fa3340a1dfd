"""`hexit run`: the whole loop on real text, or on a published exit profile."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sim.common_options import DATA, HARDWARE, MODEL, OUTPUT, RULE, CacheDir, LabelColumn, Split, TextColumns

LISTS = ("rules", "devices", "designs", "shapes")


def run(
    model: Annotated[
        str,
        typer.Option(
            help="Checkpoint: folder or hub name with ALBERT or BERT in safetensors. Default: the "
            "shipped 12-layer ALBERT, trained by us on SST-2.",
            rich_help_panel=MODEL,
        ),
    ] = "",
    bits: Annotated[int, typer.Option(help="Width of weights and activations: 2..8 or 16.", rich_help_panel=MODEL)] = 8,
    weight_bits: Annotated[int | None, typer.Option(help="Width of the weights alone.", rich_help_panel=MODEL)] = None,
    activation_bits: Annotated[
        int | None, typer.Option(help="Width of everything between linears.", rich_help_panel=MODEL)
    ] = None,
    logit_bits: Annotated[
        int, typer.Option(help="Width of the logits that the exit unit reads: 4..24.", rich_help_panel=MODEL)
    ] = 16,
    po2: Annotated[
        bool, typer.Option("--po2", help="Power-of-two scales: rescaling becomes a shift.", rich_help_panel=MODEL)
    ] = False,
    calibration: Annotated[
        str,
        typer.Option(
            help="Text (a sentence a line) that sets activation ranges. Default: the text beside the weights.",
            rich_help_panel=MODEL,
        ),
    ] = "",
    data: Annotated[
        str,
        typer.Option(
            help="Labelled sentences: tsv or jsonl file, GLUE folder, or a `datasets` name such as "
            "glue:sst2. Default: the shipped reviews.",
            rich_help_panel=DATA,
        ),
    ] = "",
    split: Split = "dev",
    text_column: TextColumns = None,
    label_column: LabelColumn = "",
    limit: Annotated[
        int, typer.Option(help="Draw only N sentences at random (by --seed); 0 takes all.", rich_help_panel=DATA)
    ] = 0,
    seed: Annotated[
        int, typer.Option(help="Decides which sentences --limit draws, and nothing else.", rich_help_panel=DATA)
    ] = 0,
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
    rule: Annotated[
        str,
        typer.Option(
            help="Exit rule with parameters, e.g. `elbert:threshold=0.3,window=8`; see --list rules. "
            "Default: hardware for two classes, max-probability for more, pabee-regression for none; entropy with "
            "--profile.",
            rich_help_panel=RULE,
        ),
    ] = "",
    threshold: Annotated[
        float | None,
        typer.Option(
            help="The rule's main parameter (patience for pabee, layer for fixed-depth).", rich_help_panel=RULE
        ),
    ] = None,
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
    seq_len: Annotated[
        int | None,
        typer.Option(
            help="Tokens that the hardware pads every sentence to; longer ones are cut. "
            "Default: 64 (with --profile: 128).",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
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
    """
    given = dict(locals())
    if listing:
        from sim.listing import print_list

        print_list(listing, Console(highlight=False))
        return
    from sim.options import RunOptions, simulate
    from sim.output import check_folder, write_outputs
    from sim.progress import stages
    from sim.report import build_report, report_json
    from sim.screen import print_report

    options = RunOptions(**{field.name: given[field.name] for field in dataclasses.fields(RunOptions)})
    if out is not None:
        check_folder(out)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    with stages(errors) as stage:
        outcome, known = simulate(options, stage)
        report = build_report(outcome, known)
        if out is not None:
            write_outputs(outcome, report, out, "tile" if trace_level == "tile" else "op", stage)
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
