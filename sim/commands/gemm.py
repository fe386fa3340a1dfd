"""`hexit gemm`: the cycles of one matrix product on an array, part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from hexit.sim.commands.common_options import OUTPUT
from hexit.sim.commands.table import plain_table

if TYPE_CHECKING:
    from hexit.sim.analysis.gemm import GemmAnswer

ARRAY = "Array"
FOLDS = "What a fold costs"


def gemm(
    m: Annotated[int | None, typer.Argument(help="Rows of the left operand and of the result.")] = None,
    k: Annotated[int | None, typer.Argument(help="Columns of the left, rows of the right operand.")] = None,
    n: Annotated[int | None, typer.Argument(help="Columns of the right operand and of the result.")] = None,
    count: Annotated[int, typer.Option(help="Equal products, one after the other, say heads.")] = 1,
    array: Annotated[str, typer.Option(help="ROWSxCOLUMNS of one array.", rich_help_panel=ARRAY)] = "32x32",
    dataflow: Annotated[
        str,
        typer.Option(
            help="What stands still: os (results), ws (weights) or is (inputs). Default: the preset's, else os.",
            rich_help_panel=ARRAY,
        ),
    ] = "",
    arrays: Annotated[int, typer.Option(help="Equal arrays that share the folds.", rich_help_panel=ARRAY)] = 1,
    products_per_position: Annotated[
        int, typer.Option(help="Multipliers of a dot-product position; os only.", rich_help_panel=ARRAY)
    ] = 1,
    columns_per_dsp: Annotated[
        int,
        typer.Option(help="Columns of results or weights that share a column of packed DSPs.", rich_help_panel=ARRAY),
    ] = 1,
    clock_mhz: Annotated[float, typer.Option(help="Clock, for the time.", rich_help_panel=ARRAY)] = 200.0,
    preset: Annotated[
        str,
        typer.Option(
            help="Counts of a known tool or machine; see --list presets. Default: our own RTL, folds overlapped.",
            rich_help_panel=FOLDS,
        ),
    ] = "",
    load: Annotated[
        str,
        typer.Option(
            metavar="A,B,C",
            help="Cycles that bring the stationary operand in: A rows + B columns + C, of the array.",
            rich_help_panel=FOLDS,
        ),
    ] = "",
    fill: Annotated[
        str,
        typer.Option(metavar="A,B,C", help="Cycles of the wavefront, e.g. 1,1,-2.", rich_help_panel=FOLDS),
    ] = "",
    drain: Annotated[
        str,
        typer.Option(metavar="A,B,C", help="Cycles in which the last results leave.", rich_help_panel=FOLDS),
    ] = "",
    control: Annotated[
        str, typer.Option(metavar="A,B,C", help="Idle cycles between two folds.", rich_help_panel=FOLDS)
    ] = "",
    overlap_folds: Annotated[
        bool | None,
        typer.Option(
            "--overlap-folds/--separate-folds",
            help="Whether a fold hides the last one's fill and drain.",
            rich_help_panel=FOLDS,
        ),
    ] = None,
    weight_load_overlap: Annotated[
        bool | None,
        typer.Option(
            "--weight-load-overlap/--separate-loads",
            help="Whether the next operand comes while one streams.",
            rich_help_panel=FOLDS,
        ),
    ] = None,
    depth: Annotated[
        int | None, typer.Option(help="Cycles once per product: registers, start.", rich_help_panel=FOLDS)
    ] = None,
    list_what: Annotated[
        str, typer.Option("--list", help="presets: print them and stop.", rich_help_panel=OUTPUT)
    ] = "",
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
    given = dict(locals())
    import json
    from dataclasses import fields

    from hexit.quant.errors import ConfigError
    from hexit.quant.records import to_json
    from hexit.sim.analysis.gemm import GemmOptions, answer

    screen = Console(highlight=False)
    if list_what:
        if list_what != "presets":
            raise ConfigError("--list", list_what, "must be presets", "Try --list presets")
        screen.print(*_presets(), sep="\n")
        return
    missing = [name.upper() for name in "mkn" if given[name] is None]
    if missing:
        raise ConfigError(" ".join(missing), "(missing)", "is required", "Try hexit gemm 128 768 768")
    told = answer(GemmOptions(**{field.name: given[field.name] for field in fields(GemmOptions)}))
    if json_output:
        typer.echo(json.dumps(to_json(told), indent=2, allow_nan=False))
        return
    _print_answer(told, screen)


def _print_answer(told: GemmAnswer, screen: Console) -> None:
    array = told.array
    size = f"{array.rows} x {array.columns}"
    size = f"{array.n_arrays} arrays of {size}" if array.n_arrays > 1 else f"an array of {size}"
    product = f"{told.m:,} x {told.k:,} x {told.n:,}"
    product = f"{told.count} products {product}" if told.count > 1 else product
    screen.print(f"[bold]{product}[/bold] on {size}, {array.dataflow.replace('_', ' ')}, {told.timing}", soft_wrap=True)
    table = plain_table("part", "# cycles", "# share")
    for name, cycles in _shown_parts(told).items():
        table.add_row(name, f"{cycles:,}", f"{cycles / told.elapsed_cycles:.1%}" if cycles > 0 else "")
    table.add_section()
    table.add_row("[bold]total[/bold]", f"[bold]{told.total_cycles:,}[/bold]", "")
    table.add_row("ideal, every multiplier busy", f"{told.ideal_cycles:,}", "")
    screen.print(table)
    screen.print(
        f"utilisation {told.utilisation_fraction:.1%} of {array.n_macs:,} MAC/cycle; "
        f"{told.time_us:,.3f} us at {told.clock_mhz:g} MHz",
        soft_wrap=True,
    )
    screen.print(told.folds_formula, told.cycles_formula, sep="\n", soft_wrap=True)
    screen.print(f"checked against: {told.checked_against}", style="dim", soft_wrap=True)


def _shown_parts(told: GemmAnswer) -> dict[str, int]:
    """The parts that are not 0, in words."""
    parts = told.parts
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
