"""Progress of slow stages on a terminal: a bar each, nothing where output is not a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hexit.quant.traces.store import Stage


@contextlib.contextmanager
def stages(console: Console) -> Iterator[Stage]:
    """Give a function that opens a bar: (title, total) -> advance(n_done)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        def stage(title: str, n_total: int) -> Callable[[int], None]:
            task = progress.add_task(title, total=n_total)
            return lambda n_done: progress.advance(task, n_done)

        yield stage
