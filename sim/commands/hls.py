"""`hexit hls`: the hardware of an exit decision, as HLS projects and RTL, with the proof that all of them agree."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from hexit.quant.errors import ConfigError
from hexit.quant.exits.integer import TableFormat
from hexit.quant.records import to_json
from hexit.sim.commands.common_options import (
    DATA,
    HARDWARE,
    OUTPUT,
    RULE,
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
    SequenceLength,
    Split,
    TextColumns,
    Threshold,
    WeightBits,
)

PROJECT = "Project"


def hls(
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to make; replaced as a whole if it is one of ours.", rich_help_panel=OUTPUT),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(help="Instead: rebuild and prove an existing folder, and stop.", rich_help_panel=OUTPUT),
    ] = None,
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
    seed: Annotated[
        int, typer.Option(help="Decides the drawn sentences and the random test vectors.", rich_help_panel=DATA)
    ] = 0,
    seq_len: SequenceLength = None,
    rule: Rule = "",
    threshold: Threshold = None,
    exits: Annotated[
        str,
        typer.Option(
            help="Layers with an exit, e.g. 2,4,6,12. Default: all (fixed-depth: its own and the last).",
            rich_help_panel=RULE,
        ),
    ] = "",
    confidence: Annotated[
        bool, typer.Option("--confidence", help="The unit also puts out the integer it compares.", rich_help_panel=RULE)
    ] = False,
    table_address_bits: Annotated[
        int,
        typer.Option(
            help="Three or more classes: at most 2^N entries a table. 10 takes a quarter of the memory.",
            rich_help_panel=RULE,
        ),
    ] = TableFormat().address_bits,
    table_fraction_bits: Annotated[
        int, typer.Option(help="Three or more classes: table values in steps of 2^-N.", rich_help_panel=RULE)
    ] = TableFormat().fraction_bits,
    interleave: Annotated[
        int, typer.Option(help="Sentences in flight, each with its own state.", rich_help_panel=HARDWARE)
    ] = 1,
    device: Annotated[
        str,
        typer.Option(
            help="Board or part that shares are taken of; see `hexit run --list devices`.", rich_help_panel=HARDWARE
        ),
    ] = "zcu102",
    part: Annotated[
        str, typer.Option(help="Part number for the tools. Default: the device's.", rich_help_panel=HARDWARE)
    ] = "",
    clock_period: Annotated[float, typer.Option(help="Target clock period in ns.", rich_help_panel=HARDWARE)] = 5.0,
    head: Annotated[
        bool,
        typer.Option(
            "--head",
            help="Pooler and classifier in the same HLS project; without it the unit is fed with logits.",
            rich_help_panel=PROJECT,
        ),
    ] = False,
    reuse_factor: Annotated[
        int | None,
        typer.Option(
            help="With --head: products that share a multiplier. Default: the hidden size.", rich_help_panel=PROJECT
        ),
    ] = None,
    backend: Annotated[
        str, typer.Option(help="both, vitis or vivado: whose HLS project is written.", rich_help_panel=PROJECT)
    ] = "both",
    interface: Annotated[
        str, typer.Option(help="stream (AXI-Stream) or parallel (plain ports).", rich_help_panel=PROJECT)
    ] = "stream",
    name: Annotated[
        str, typer.Option(help="Name of the projects. Default: from model and rule.", rich_help_panel=PROJECT)
    ] = "",
    vectors: Annotated[
        int,
        typer.Option(
            help="Test vectors besides those of the data: random and at the thresholds.", rich_help_panel=PROJECT
        ),
    ] = 4096,
    synthesise: Annotated[
        bool, typer.Option("--synthesise", help="Measure the area with Yosys now.", rich_help_panel=PROJECT)
    ] = False,
    build: Annotated[
        bool,
        typer.Option(
            "--build",
            help="Run the vendor's HLS tool and take cycles and area from its report.",
            rich_help_panel=PROJECT,
        ),
    ] = False,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON.", rich_help_panel=OUTPUT)
    ] = False,
    cache_dir: CacheDir = None,
) -> None:
    """Write the exit unit of a model and a rule as hls4ml projects and SystemVerilog, with test vectors of real text.

    Examples:

    `hexit hls --out build/unit`

    `hexit hls --rule elbert:threshold=0.2,window=4 --interleave 2 --out build/elbert`

    `hexit hls --check build/unit`

    `hexit run --exit-unit build/unit/exit_unit.json`
    """
    given = dict(locals())
    from hexit.hls.exit_unit.check import check_unit_folder
    from hexit.hls.exit_unit.generate import MARK, UnitRequest, generate, record_build, unit_stream
    from hexit.hls.exit_unit.measure import built_by_vendor, measured_by_yosys
    from hexit.hls.exit_unit.screen import print_checks, print_summary
    from hexit.hls.tools.folder import check_target
    from hexit.hls.tools.vendor import find_tool
    from hexit.hls.tools.yosys import yosys_command
    from hexit.sim.commands.progress import progress_bars
    from hexit.sim.job.hls_options import HlsOptions, resolve
    from hexit.sim.job.options import RunOptions
    from hexit.sim.plots.exit_unit import draw_unit

    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    screen = Console(highlight=False)
    if check is not None:
        with progress_bars(errors) as progress:
            results = check_unit_folder(check, progress)
        if json_output:
            typer.echo(json.dumps([to_json(result) for result in results], indent=2))
        else:
            print_checks(results, screen)
        if any(result.status == "failed" for result in results):
            raise typer.Exit(1)
        return
    if out is None:
        raise ConfigError("--out", "(missing)", "is required", "Try --out build/exit_unit")
    shared = {field.name: given[field.name] for field in fields(RunOptions) if field.name in given}
    own = {field.name: given[field.name] for field in fields(HlsOptions) if field.name != "run"}
    options = HlsOptions(run=RunOptions(**(shared | {"device": ""})), **own)
    check_target(out, MARK)
    if build:  # a missing tool is told before anything slow is done
        find_tool(options.backends[0])
    if synthesise:
        yosys_command()
    with progress_bars(errors) as progress:
        unit = resolve(options, progress)
        request = UnitRequest(
            spec=unit.spec,
            trace_logits=unit.trace.logits.astype(np.int64),
            device=unit.device,
            part=part or unit.device.part,
            clock_period_ns=clock_period,
            name=name or f"{unit.card.name}_{unit.spec.form.rule}".replace("-", "_"),
            backends=options.backends,
            interface=options.interface,
            head=unit.head,
            head_inputs=unit.head_inputs,
            reuse_factor=options.reuse_factor or unit.card.shape.hidden_size,
            n_vectors=vectors,
            seed=seed,
        )
        built = generate(request, out, progress, lambda folder: draw_unit(unit.spec, folder))
        if synthesise:
            done = progress("synthesise with Yosys", 1)
            built = measured_by_yosys(out, built)
            done(1)
        if build:
            done = progress("build with the vendor's tool", 1)
            built = built_by_vendor(out, built, options.backends[0])
            done(1)
        summary = record_build(request, built, unit_stream(request).n_events, out)
    if json_output:
        typer.echo(json.dumps(to_json(summary), indent=2))
        return
    print_summary(summary, screen)
    Console(highlight=False, soft_wrap=True).print(f"written to {out}; prove it: hexit hls --check {out}")
