"""Options that several commands share, and the titles of the groups in which `--help` shows options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MODEL = "Model and bits"
DATA = "Text"
RULE = "Exit rule"
HARDWARE = "Hardware"
OUTPUT = "Output"

Split = Annotated[str, typer.Option(help="Split of a folder or data set.", rich_help_panel=DATA)]
TextColumns = Annotated[
    list[str] | None, typer.Option(help="Column(s) of text, if not found by name.", rich_help_panel=DATA)
]
LabelColumn = Annotated[str, typer.Option(help="Column of labels, if not found by name.", rich_help_panel=DATA)]
CacheDir = Annotated[
    Path | None,
    typer.Option(
        help="Where recorded logits are kept. Default: HEXIT_CACHE, or the system's cache folder.",
        rich_help_panel=OUTPUT,
    ),
]
