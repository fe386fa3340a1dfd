"""The table that commands and catalogues print: names on the left, numbers on the right, long words folded."""

from __future__ import annotations

from rich import box
from rich.table import Table


def plain_table(*columns: str) -> Table:
    """Return an empty table; "# " before a name marks a column of numbers, which like the first one is never folded."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for index, column in enumerate(columns):
        name = column.removeprefix("# ")
        is_number = name != column
        table.add_column(
            name, justify="right" if is_number else "left", overflow="fold", no_wrap=index == 0 or is_number
        )
    return table
