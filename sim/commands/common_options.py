"""Options that several commands share, and the titles of the groups in which `--help` shows options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MODEL = "Model and bits"
DATA = "Text"
RULE = "Exit rule"
HARDWARE = "Hardware"
STREAM = "Stream"
OUTPUT = "Output"

Model = Annotated[
    str,
    typer.Option(
        help="Checkpoint: folder or hub name with ALBERT or BERT in safetensors. Default: the "
        "shipped 12-layer ALBERT, trained by us on SST-2.",
        rich_help_panel=MODEL,
    ),
]
Bits = Annotated[int, typer.Option(help="Width of weights and activations: 2..8 or 16.", rich_help_panel=MODEL)]
WeightBits = Annotated[int | None, typer.Option(help="Width of the weights alone.", rich_help_panel=MODEL)]
ActivationBits = Annotated[int | None, typer.Option(help="Width of everything between linears.", rich_help_panel=MODEL)]
LogitBits = Annotated[
    int, typer.Option(help="Width of the logits that the exit unit reads: 4..24.", rich_help_panel=MODEL)
]
PowerOfTwo = Annotated[
    bool, typer.Option("--po2", help="Power-of-two scales: rescaling becomes a shift.", rich_help_panel=MODEL)
]
CalibrationText = Annotated[
    str,
    typer.Option(
        help="Text (a sentence a line) that sets activation ranges. Default: the text beside the weights.",
        rich_help_panel=MODEL,
    ),
]
Data = Annotated[
    str,
    typer.Option(
        help="Labelled sentences: tsv or jsonl file, GLUE folder, or a `datasets` name such as "
        "glue:sst2. Default: the shipped reviews.",
        rich_help_panel=DATA,
    ),
]
Limit = Annotated[
    int, typer.Option(help="Draw only N sentences at random (by --seed); 0 takes all.", rich_help_panel=DATA)
]
Seed = Annotated[
    int,
    typer.Option(help="Decides what --limit, --sentences and --arrivals draw, and nothing else.", rich_help_panel=DATA),
]
Rule = Annotated[
    str,
    typer.Option(
        help="Exit rule with parameters, e.g. `elbert:threshold=0.3,window=8`; see --list rules. "
        "Default: hardware for two classes, max-probability for more, pabee-regression for none; entropy with "
        "--profile.",
        rich_help_panel=RULE,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(help="The rule's main parameter (patience for pabee, layer for fixed-depth).", rich_help_panel=RULE),
]
SequenceLength = Annotated[
    int | None,
    typer.Option(
        help="Tokens that the hardware pads every sentence to; longer ones are cut. Default: 64 (with --profile: 128).",
        rich_help_panel=HARDWARE,
    ),
]
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
