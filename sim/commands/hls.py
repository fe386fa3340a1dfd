"""`hexit hls`: the hardware of an exit decision, as HLS projects and RTL, with the proof that all of them agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from hexit.quant.errors import ConfigError
from hexit.quant.records import to_json
from hexit.sim.commands.parameters import Given, takes
from hexit.sim.job.hls_record import HlsJob
from hexit.sim.job.record import OUTPUT

if TYPE_CHECKING:
    from hexit.hls.exit_unit.generate import UnitRequest
    from hexit.hls.exit_unit.summary import UnitSummary
    from hexit.sim.job.hls_resolve import ResolvedUnit
    from hexit.sim.job.selection import Choice


@takes(HlsJob)
def hls(
    options: Given[HlsJob],
    check: Annotated[
        Path | None,
        typer.Option(help="Instead: rebuild and prove an existing folder, and stop.", rich_help_panel=OUTPUT),
    ] = None,
) -> None:
    """Write the exit unit of a model and a rule as hls4ml projects and SystemVerilog, with test vectors of real text.

    Examples:

    `hexit hls --out build/unit`

    `hexit hls --rule elbert:threshold=0.2,window=4 --interleave 2 --out build/elbert`

    `hexit hls --check build/unit`

    `hexit run --exit-unit build/unit/exit_unit.json`
    """
    if check is not None:
        _check(check, as_json=bool(options.named.get("json")))
        return
    from hexit.hls.exit_unit.screen import print_summary
    from hexit.sim.report.verdicts import choice_lines

    job = options.build()
    folder = job.outputs.folder
    if folder is None:
        raise ConfigError("--out", "(missing)", "is required", "Try --out build/exit_unit")
    summary, choice = _generate(job, folder)
    if job.outputs.json:
        typer.echo(json.dumps(to_json(summary), indent=2))
        return
    print_summary(summary, Console(highlight=False))
    if choice is not None:
        Console(highlight=False, soft_wrap=True).print(choice_lines(choice))
    Console(highlight=False, soft_wrap=True).print(f"written to {folder}; prove it: hexit hls --check {folder}")


def _check(folder: Path, *, as_json: bool) -> None:
    from hexit.hls.exit_unit.check import check_unit_folder
    from hexit.hls.exit_unit.screen import print_checks
    from hexit.sim.commands.progress import progress_bars

    with progress_bars(Console(stderr=True, highlight=False, soft_wrap=True)) as progress:
        results = check_unit_folder(folder, progress)
    if as_json:
        typer.echo(json.dumps([to_json(result) for result in results], indent=2))
    else:
        print_checks(results, Console(highlight=False))
    if any(result.status == "failed" for result in results):
        raise typer.Exit(1)


def _generate(job: HlsJob, folder: Path) -> tuple[UnitSummary, Choice | None]:
    from hexit.hls.exit_unit.generate import MARK, generate, record_build, unit_stream
    from hexit.hls.exit_unit.measure import built_by_vendor, measured_by_yosys
    from hexit.hls.tools.folder import check_target
    from hexit.hls.tools.vendor import find_tool
    from hexit.hls.tools.yosys import yosys_command
    from hexit.sim.commands.progress import progress_bars
    from hexit.sim.job.hls_resolve import resolve_unit
    from hexit.sim.plots.exit_unit import draw_unit

    check_target(folder, MARK)
    if job.project.build:  # a missing tool is reported before anything slow is done
        find_tool(job.backends[0])
    if job.project.synthesise:
        yosys_command()
    with progress_bars(Console(stderr=True, highlight=False, soft_wrap=True)) as progress:
        unit = resolve_unit(job, progress)
        request = _request(job, unit)
        built = generate(request, folder, progress, lambda inside: draw_unit(unit.spec, inside))
        if job.project.synthesise:
            advance = progress("synthesise with Yosys", 1)
            built = measured_by_yosys(folder, built)
            advance(1)
        if job.project.build:
            advance = progress("build with the vendor's tool", 1)
            built = built_by_vendor(folder, built, job.backends[0])
            advance(1)
        return record_build(request, built, unit_stream(request).n_events, folder), unit.choice


def _request(job: HlsJob, unit: ResolvedUnit) -> UnitRequest:
    from hexit.hls.exit_unit.generate import UnitRequest

    return UnitRequest(
        spec=unit.spec,
        trace_logits=unit.trace.logits,
        device=unit.device,
        part=job.part.part or unit.device.part,
        clock_period_ns=job.part.clock_period_ns,
        name=job.project.name or f"{unit.card.name}_{unit.spec.form.rule}".replace("-", "_"),
        backends=job.backends,
        interface=job.project.interface,
        head=unit.head,
        head_inputs=unit.head_inputs,
        reuse_factor=job.project.reuse_factor or unit.card.shape.hidden_size,
        n_vectors=job.project.vectors,
        seed=job.seed,
    )
