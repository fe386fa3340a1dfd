"""Tables of what a tool measured (`measured/*.json`): a list of records of one kind, one per line, read and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from hexit.quant.errors import ConfigError
from hexit.quant.files import write_whole
from hexit.quant.records import from_json, to_json

Row = TypeVar("Row")


def read_rows(kind: type[Row], path: Path, *, where: str, written_by: str) -> tuple[Row, ...]:
    """Return the rows of a table; ConfigError, naming the command that writes it, where it is missing or damaged."""
    remedy = f"Write it again: {written_by}"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(where, str(path), f"cannot be read ({error})", remedy) from None
    if not isinstance(rows, list):
        raise ConfigError(where, str(path), "must be a list of rows", remedy)
    return tuple(from_json(kind, row, where) for row in rows)


def save_rows(rows: tuple[object, ...], path: Path) -> None:
    """Write rows, one per line; equal rows give equal bytes."""
    lines = ",\n".join(json.dumps(to_json(row), allow_nan=False) for row in rows)
    write_whole(path, f"[\n{lines}\n]\n", where=path.name)
