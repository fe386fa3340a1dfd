"""`hexit validate`: published accelerators recomputed, or a design of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from hexit.sim.commands.table import plain_table
from hexit.sim.job.record import OUTPUT

if TYPE_CHECKING:
    from hexit.sim.published.validation import DesignValidation, Validation

MISSED = 1  # exit code: a figure lies outside the tolerance that its file states


def validate(
    designs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DESIGN]...",
            help="Published designs by name, or FILE.toml of your own (docs/design_file.md). Default: all published.",
        ),
    ] = None,
    stages: Annotated[
        bool, typer.Option("--stages", help="Also the cycles of every region and stage.", rich_help_panel=OUTPUT)
    ] = False,
    scale_sim: Annotated[
        str,
        typer.Option(
            metavar="PYTHON",
            help="Also run SCALE-Sim 3.0.0 in the environment of this interpreter; `auto`: the one that "
            "benchmarks/scale_sim.py has installed.",
            rich_help_panel=OUTPUT,
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for validation.json, its picture (PNG and SVG), and for each named design a timeline of its "
            "stages for Perfetto.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(help="Also write all rows into this Markdown page, below its heading.", rich_help_panel=OUTPUT),
    ] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of tables.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Predict what published accelerators take, and show it next to what was measured or reported.

    Exit code 1 says that a figure lies outside its tolerance.

    Examples:

    `hexit validate`

    `hexit validate hls-bert-u280-opt5 --stages`

    `hexit validate my_accelerator.toml --stages --json`
    """
    console = Console(highlight=False)
    validation, text = _recompute(tuple(designs or ()), scale_sim, out, page)
    if json_output:
        typer.echo(text)
    else:
        for result in validation.designs:
            _print_design(result, console, stages=stages)
        _print_summary(validation, console)
    if validation.misses:
        raise typer.Exit(MISSED)


def _recompute(designs: tuple[str, ...], scale_sim: str, out: Path | None, page: Path | None) -> tuple[Validation, str]:
    """Return the validation and its JSON text; write the page and the folder where they are wanted."""
    import json

    from hexit.quant.files import write_whole
    from hexit.quant.records import to_json
    from hexit.sim.commands.progress import progress_bars
    from hexit.sim.export.folder import check_folder
    from hexit.sim.plots.validation import write_validation
    from hexit.sim.published.scale_sim import environment_python
    from hexit.sim.published.trace import stage_trace_json
    from hexit.sim.published.validation import markdown, page_heading, validate, write_page

    heading = None if page is None else page_heading(page)
    if out is not None:
        check_folder(out)
    python = environment_python() if scale_sim == "auto" else Path(scale_sim) if scale_sim else None
    with progress_bars(Console(stderr=True, highlight=False, soft_wrap=True)) as progress:
        advance = progress("designs", 1)
        validation = validate(designs, python)
        advance(1)
    if page is not None and heading is not None:
        write_page(page, markdown(validation, heading))
    text = json.dumps(to_json(validation), indent=2, allow_nan=False)
    if out is not None:
        write_validation(validation, text, out)
        for name, result in zip(designs, validation.designs, strict=False):  # SCALE-Sim comes last, unnamed
            write_whole(out / f"{Path(name).stem}.trace.json", stage_trace_json(result.design))
    return validation, text


def _print_design(result: DesignValidation, console: Console, *, stages: bool) -> None:
    from hexit.sim.published.validation import error_text, value_text

    console.print(f"[bold]{escape(result.design.name)}[/bold]: {escape(result.design.title)}", soft_wrap=True)
    if result.rows:
        table = plain_table("figure", "# predicted", "# published", "unit", "# error", "# within", "role")
        for row in result.rows:
            table.add_row(
                row.of + (", with memory" if row.with_memory else ""),
                value_text(row.predicted, row.unit),
                value_text(row.published, row.unit),
                row.unit,
                error_text(row),
                "exact" if row.tolerance_fraction == 0 else f"{row.tolerance_fraction:.4g}",
                row.role if row.holds else f"[red]{row.role}, missed[/red]",
            )
        console.print(table)
    if stages or not result.rows:
        _print_stages(result, console)
    console.print(f"[dim]configured: {escape(result.design.configured)}[/dim]\n", soft_wrap=True)


def _print_stages(result: DesignValidation, console: Console) -> None:
    from hexit.sim.published.validation import value_text

    table = plain_table("region", "stage", "# packs", "# cycles per pack", "# busy")
    for region in result.cycles.regions:
        for index, one in enumerate(region.stages):
            busy = (region.n_packs - 1) * one.pack_cycles + one.last_pack_cycles
            share = f"{busy / region.cycles:.1%}" if region.cycles else ""
            name, packs = (region.region, str(region.n_packs)) if index == 0 else ("", "")
            table.add_row(name, one.stage, packs, value_text(one.pack_cycles, "cycles"), share)
        table.add_row("", "[bold]whole region[/bold]", "", f"[bold]{region.cycles:,}[/bold]", "")
    console.print(table)
    network = result.cycles.network_cycles
    milliseconds = network / result.design.clock_mhz / 1000
    whole = "all products" if result.design.products else f"layer {result.cycles.layer_cycles:,} cycles; network"
    console.print(
        f"{whole} {network:,} cycles = {milliseconds:.3f} ms at {result.design.clock_mhz:g} MHz, "
        "memory never waited for",
        soft_wrap=True,
    )
    if result.cycles_with_memory is not None:
        with_memory = result.cycles_with_memory.network_cycles
        console.print(
            f"with memory {with_memory:,} cycles = {with_memory / result.design.clock_mhz / 1000:.3f} ms",
            soft_wrap=True,
        )


def _print_summary(validation: Validation, console: Console) -> None:
    from hexit.sim.published.trust import trust, trust_text

    rows = [row for result in validation.designs for row in result.rows]
    if not rows:
        return
    console.print(
        f"{len(rows)} figures of {len(validation.designs)} designs, {len(validation.misses)} out of tolerance: "
        f"{trust_text(trust(validation))}",
        soft_wrap=True,
    )
