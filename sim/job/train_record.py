"""The options of `hexit train` and `hexit reference`, as records (see sim.job.record)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hexit.quant.options import Checked, option, section
from hexit.quant.training.plan import Stage, TrainingPlan
from hexit.sim.job.record import CACHE_FOLDER, MODEL, OUTPUT, TEXT, LabelledText


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainJob(Checked):
    """One training run: the plan and its one stage, or a recipe, the text, the machine, where the checkpoint goes."""

    data: str = option(
        help="Task to learn: GLUE-style folder (train.tsv, dev.tsv), tsv or jsonl file, or a "
        "`datasets` name such as glue:sst2.",
    )
    out: Path = option(help="Folder for the checkpoint. A stopped run resumes when its command is repeated.")
    recipe: str | None = option(
        None,
        help="Plan and stages from a file instead of from the options below: a shipped "
        "one by name (albert-sst2, minilm-teacher, ...) or FILE.toml. "
        "Options of the plan given beside it replace the file's.",
    )
    plan: TrainingPlan = section(TrainingPlan)
    stage: Stage = section(Stage)
    text_columns: tuple[str, ...] | None = option(
        None, flag="--text-column", panel=TEXT, help="Column(s) of text, if not found by name."
    )
    label_column: str | None = option(None, panel=TEXT, help="Column of labels, if not found by name.")
    limit: int = option(0, least=0, help="Use only the first N training samples; 0 means all.")
    compute: str = option("auto", help="auto (CUDA where there is one), cpu or cuda.")
    save_every_s: float = option(120.0, help="Seconds between two saved states.")
    calibration: str | None = option(
        None,
        help="Text (a sentence a line) that quantisation will calibrate on. Empty: "
        "256 training sentences, drawn by --seed.",
    )
    dtype: Literal["fp16", "fp32", "fp8"] = option(
        "fp16", help="Stored weights: fp16, fp32, or fp8 (word vectors in 8 bits, e4m3, the rest in fp16)."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceJob(Checked):
    """One evaluation of a float model at every exit."""

    out: Path = option(panel=OUTPUT, help="JSON file to write; `hexit run --reference` shows it.")
    model: str | None = option(None, panel=MODEL, help="Checkpoint: folder or hub name. Default: the shipped ALBERT.")
    compute: str = option("auto", panel=MODEL, help="auto (CUDA where there is one), cpu or cuda.")
    batch_size: int = option(64, least=1, panel=MODEL, help="Sentences per forward pass.")
    data: LabelledText = section(LabelledText, TEXT)
    sequence_length: int | None = option(
        None,
        flag="--seq-len",
        panel=TEXT,
        help="Tokens at which sentences are cut, as in `hexit run`. Default: 64.",
    )
    cache_folder: Path | None = option(None, panel=OUTPUT, **CACHE_FOLDER)
