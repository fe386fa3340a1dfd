"""Progress of slow work on a terminal: a bar each, nothing where output is not a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich import progress as bars
from rich.console import Console

from hexit.quant.traces.store import Progress


@contextlib.contextmanager
def progress_bars(console: Console) -> Iterator[Progress]:
    """Give a function that opens a bar: (title, total) -> advance(n_done)."""
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:

        def progress(title: str, n_total: int) -> Callable[[int], None]:
            task = shown.add_task(title, total=n_total)
            return lambda n_done: shown.advance(task, n_done)

        yield progress
