"""What `hexit hls` shows: the unit with its cycles and area, and which machines of a folder gave the golden answers."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hexit.hls.exit_unit.check import CheckResult
from hexit.hls.exit_unit.summary import UnitSummary

STYLES = {"passed": "green", "failed": "bold red", "not run": "yellow"}


def print_summary(summary: UnitSummary, console: Console) -> None:
    """Print one table: what the unit decides, how fast, how large on the part, and how exact."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in summary.lines():
        table.add_row(name, Text(value))
    console.print(table)
    areas = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    header, *lines = summary.area_lines()
    for title in header[:-1]:
        areas.add_column(title, no_wrap=True)
    for line in lines:
        areas.add_row(*line[:-1])
    console.print(areas)
    for part, *_, evidence in lines:
        console.print(Text(f"{part} {header[-1]}: {evidence}", style="dim"))


def print_checks(results: Sequence[CheckResult], console: Console) -> None:
    """Print a line per machine."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("machine", "result", "events", ""):
        table.add_column(title, overflow="fold")
    for result in results:
        events = f"{result.n_events:,}" if result.n_events else ""
        table.add_row(result.machine, Text(result.status, style=STYLES[result.status]), events, result.message)
    console.print(table)
