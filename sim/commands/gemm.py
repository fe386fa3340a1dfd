"""`hexit gemm`: the cycles of one matrix product on an array, part by part."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from hexit.quant.errors import ConfigError
from hexit.quant.records import to_json
from hexit.sim.analysis.gemm import GemmAnswer, GemmOptions, answer
from hexit.sim.commands.parameters import Given, takes
from hexit.sim.commands.table import plain_table
from hexit.sim.job.record import OUTPUT


@takes(GemmOptions)
def gemm(
    options: Given[GemmOptions],
    listing: Annotated[str, typer.Option("--list", help="presets: print them and stop.", rich_help_panel=OUTPUT)] = "",
    json_output: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of tables.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Count the cycles of one product M x K x N on a systolic array, operands already on chip.

    An array takes the product in folds that fill it once. A fold streams T values and costs load, fill, drain and
    control besides; which of these are hidden is what tools and machines differ in.

    Examples:

    `hexit gemm 128 768 768`

    `hexit gemm 128 768 768 --array 32x16 --preset scalesim_ws`

    `hexit gemm 16 64 512 --array 16x16 --preset hls_dataflow --control 0,0,7`

    `hexit gemm 128 64 128 --count 12 --arrays 3 --dataflow ws --weight-load-overlap --json`
    """
    screen = Console(highlight=False)
    if listing:
        if listing != "presets":
            raise ConfigError("--list", listing, "must be presets", "Try --list presets")
        screen.print(*_presets(), sep="\n")
        return
    result = answer(options.build())
    if json_output:
        typer.echo(json.dumps(to_json(result), indent=2, allow_nan=False))
        return
    _print_answer(result, screen)


def _print_answer(result: GemmAnswer, screen: Console) -> None:
    array = result.array
    size = f"{array.rows} x {array.columns}"
    size = f"{array.n_arrays} arrays of {size}" if array.n_arrays > 1 else f"an array of {size}"
    product = f"{result.m:,} x {result.k:,} x {result.n:,}"
    product = f"{result.count} products {product}" if result.count > 1 else product
    flow = array.dataflow.replace("_", " ")
    screen.print(f"[bold]{product}[/bold] on {size}, {flow}, {result.timing}", soft_wrap=True)
    table = plain_table("part", "# cycles", "# share")
    for name, cycles in _shown_parts(result).items():
        table.add_row(name, f"{cycles:,}", f"{cycles / result.elapsed_cycles:.1%}" if cycles > 0 else "")
    table.add_section()
    table.add_row("[bold]total[/bold]", f"[bold]{result.total_cycles:,}[/bold]", "")
    table.add_row("ideal, every multiplier busy", f"{result.ideal_cycles:,}", "")
    screen.print(table)
    screen.print(
        f"utilisation {result.utilisation_fraction:.1%} of {array.n_macs:,} MAC/cycle; "
        f"{result.time_us:,.3f} us at {result.clock_mhz:g} MHz",
        soft_wrap=True,
    )
    screen.print(result.folds_formula, result.cycles_formula, sep="\n", soft_wrap=True)
    screen.print(f"checked against: {result.checked_against}", style="dim", soft_wrap=True)


def _shown_parts(result: GemmAnswer) -> dict[str, int]:
    """The parts that are not 0, in words."""
    parts = result.parts
    named = {
        "streaming": parts.streaming_cycles,
        "load of the stationary operand": parts.load_cycles,
        "fill": parts.fill_cycles,
        "drain": parts.drain_cycles,
        "control": parts.control_cycles,
        "waiting for load or drain": parts.waiting_cycles,
        "depth": parts.depth_cycles,
        "staging of operands and results": parts.staging_cycles,
        "counted from 0": parts.index_offset_cycles,
    }
    return {name: cycles for name, cycles in named.items() if cycles}


def _presets() -> tuple[Table, Table]:
    from hexit.hw_model.array import PRESETS, SHORT_DATAFLOWS
    from hexit.sim.analysis.gemm import form_text, source

    short = {dataflow: name for name, dataflow in SHORT_DATAFLOWS.items()}
    costs = plain_table("preset", "flow", "load", "fill", "drain", "control", "# once", "folds")
    sources = plain_table("preset", "flow", "checked against")
    for preset, timings in PRESETS.items():
        for dataflow, fold in timings.items():
            forms = (form_text(form) for form in (fold.load, fold.fill, fold.drain, fold.control))
            once = f"{fold.depth_cycles - fold.counts_from_zero}" + (" + staging" if fold.stages_operands else "")
            folds = "overlap" if fold.overlap_folds else "separate"
            costs.add_row(preset, short[dataflow], *forms, once, folds)
            sources.add_row(preset, short[dataflow], source(preset, dataflow))
    costs.caption = "cycles; R rows, C columns of one array; once: for each product"
    return costs, sources
