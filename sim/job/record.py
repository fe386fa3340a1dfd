"""The job: everything that decides one run of `hexit run`, as one record.

    Job --resolve--> Setup, Source --evaluate--> Outcome --report--> Report

An option's name, type, default, legal values and help stand here and nowhere else: the command line, job files
(sim.job.job_file), docs/job.md and the Python call are made from this record.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hexit.hw_model.accelerator import ExitOverlap
from hexit.quant.errors import ConfigError
from hexit.quant.exits.goal import Goal
from hexit.quant.options import Checked, build, option, options_of, section
from hexit.sim.core.policies import DropPolicy

MODEL = "Model and bits"
TEXT = "Text"
RULE = "Exit rule"
HARDWARE = "Hardware"
STREAM = "Stream"
OUTPUT = "Output"

COMMAND = "hexit run"
DEFAULT_MAX_DROP = 0.01  # accuracy fraction; one point


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions(Checked):
    """The network."""

    checkpoint: str | None = option(
        None,
        flag="--model",
        help="Checkpoint: folder or hub name with ALBERT or BERT in safetensors. Default: the "
        "shipped 12-layer ALBERT, trained by us on SST-2.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisationOptions(Checked):
    """The widths of its integers."""

    bits: int = option(8, help="Width of weights and activations: 2..8 or 16.")
    weight_bits: int | None = option(None, help="Width of the weights alone.")
    activation_bits: int | None = option(None, help="Width of everything between linears.")
    logit_bits: int = option(16, help="Width of the logits that the exit unit reads: 4..24.")
    power_of_two: bool = option(False, flag="--po2", help="Power-of-two scales: rescaling becomes a shift.")
    calibration: str | None = option(
        None, help="Text (a sentence a line) that sets activation ranges. Default: the text beside the weights."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledText(Checked):
    """Labelled sentences, and how they are read."""

    source: str | None = option(
        None,
        flag="--data",
        help="Labelled sentences: tsv or jsonl file, GLUE folder, or a `datasets` name such as "
        "glue:sst2. Default: the shipped reviews.",
    )
    split: str = option("dev", help="Split of a folder or data set.")
    text_columns: tuple[str, ...] | None = option(
        None, flag="--text-column", help="Column(s) of text, if not found by name."
    )
    label_column: str | None = option(None, help="Column of labels, if not found by name.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions(LabelledText):
    """Labelled sentences, or some of them."""

    limit: int = option(0, least=0, help="Draw only N sentences at random (by --seed); 0 takes all.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileOptions(Checked):
    """A published exit profile instead of a model and text."""

    path: str | None = option(
        None,
        flag="--profile",
        help="Instead of model and text: csv of per-layer entropies (nats) of a published two-class model.",
    )
    columns: str = option("1-11", flag="--profile-columns", help="Usable columns of the profile.")
    shape: str = option("albert-base", help="Network that the profile came from; see --list shapes.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOptions(Checked):
    """The exit rule."""

    name: str | None = option(
        None,
        flag="--rule",
        help="Exit rule with parameters, e.g. `elbert:threshold=0.3,window=8`; see --list rules. "
        "Default: hardware for two classes, max-probability for more, pabee-regression for none; entropy with "
        "--profile. Without parameters its settings are chosen (--max-drop, --speedup), with --profile they are fixed.",
    )
    threshold: float | None = option(
        None, help="The rule's main parameter (patience for pabee, layer for fixed-depth)."
    )
    max_drop: float | None = option(
        None,
        least=0,
        help="Choose the rule's settings: the fewest layers that cost at most this much accuracy on the selection "
        "text. Default: 0.01 where neither --threshold nor parameters in --rule are given.",
    )
    speedup: float | None = option(
        None,
        least=1,
        help="Choose the rule's settings: the most accurate ones that leave N times earlier on average.",
    )
    selection: str | None = option(
        None,
        help="Labelled sentences that settings are chosen on: tsv or jsonl file, GLUE folder. Default: selection.tsv "
        "beside the weights, else the calibration text with the network's own answers at full depth.",
    )

    def __post_init__(self) -> None:
        """Check each option, that a rule can compare with the threshold, and that settings are typed or chosen."""
        Checked.__post_init__(self)
        for flag, value, example in (
            ("--threshold", self.threshold, 2),
            ("--max-drop", self.max_drop, DEFAULT_MAX_DROP),
            ("--speedup", self.speedup, 2),
        ):
            if value is not None and not math.isfinite(value):
                raise ConfigError(flag, value, "must be a finite number", f"Try {flag} {example}")
        if self.max_drop is not None and self.max_drop > 1:
            raise ConfigError("--max-drop", self.max_drop, "is a fraction, at most 1", "One percent is --max-drop 0.01")
        if self.max_drop is not None and self.speedup is not None:
            requirement = "is another goal than --max-drop, and settings are chosen for one"
            raise ConfigError("--speedup", self.speedup, requirement, "Give one of the two")
        if self.typed is not None and self.asked is not None:
            flag, value = self.asked
            raise ConfigError(
                flag, value, f"is for settings that are chosen, but {self.typed} gives them", "Leave one out"
            )

    @property
    def typed(self) -> str | None:
        """The option that gives settings of the rule; None where they are to be chosen."""
        if self.threshold is not None:
            return f"--threshold {self.threshold:g}"
        return f"--rule {self.name}" if self.name and self.name.partition(":")[2].strip() else None

    @property
    def asked(self) -> tuple[str, Any] | None:
        """The first option that asks for a choice, and its value."""
        options = (("--max-drop", self.max_drop), ("--speedup", self.speedup), ("--selection", self.selection))
        return next(((flag, value) for flag, value in options if value is not None), None)

    @property
    def goal(self) -> Goal | None:
        """What settings are chosen for; None where they are typed."""
        if self.typed is not None:
            return None
        max_drop = DEFAULT_MAX_DROP if self.max_drop is None and self.speedup is None else self.max_drop
        return Goal(max_drop=max_drop, speedup=self.speedup)


SEQUENCE_LENGTH: Any = {
    "flag": "--seq-len",
    "help": "Tokens that the hardware pads every sentence to; longer ones are cut. Default: 64 (with --profile: 128).",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignOptions(Checked):
    """The accelerator, and what a run changes of it."""

    name: str = option(
        "default",
        flag="--design",
        help="Accelerator: a name of --list designs, or a FILE.toml with the same keys.",
    )
    clock_mhz: float | None = option(None, help="Clock instead of the design's.")
    sequence_length: int | None = option(None, **SEQUENCE_LENGTH)
    overlap: ExitOverlap | None = option(
        None,
        help="While an exit decides: stall (wait), speculate (start the next layer, squash it "
        "on an exit), interleave (others work).",
    )
    batch: int | None = option(None, least=1, help="Sentences resident at a time; above 1 means --overlap interleave.")
    share_weights: bool = option(
        False,
        help="Resident sentences pass through each streamed weight panel together, whatever layers they are at; with "
        "--overlap interleave.",
    )
    exit_unit: str | None = option(
        None,
        help="exit_unit.json of `hexit hls`: the unit that was built decides, with its cycles and its area, and "
        "names the rule.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions(Checked):
    """How sentences come, and which of them are served."""

    arrivals: str = option(
        "closed",
        help="When sentences come: closed (as the design takes them), fixed:rate=R, poisson:rate=R, "
        "bursts:rate=R,size=B (sentences/s), file:PATH (microseconds).",
    )
    rate: float | None = option(
        None, help="Sentences/s, instead of the rate in --arrivals; Poisson where these are closed."
    )
    queue: int | None = option(None, help="Places where sentences wait; 0: none. Default: no limit.")
    deadline_us: float | None = option(None, help="Latest decision after the arrival, in microseconds.")
    drop: DropPolicy | None = option(
        None,
        help="Who is dropped: never, full (a sentence that finds the queue full), late (also one that cannot start "
        "before its deadline). Default: full with --queue, else never.",
    )
    sentences: int = option(
        0, help="Stream of N sentences drawn from the data with replacement (by --seed); 0: the data once."
    )
    lengths: str = option(
        "padded",
        help="Tokens that the hardware works on: padded (to --seq-len), exact, buckets:16,32 (to the next).",
    )
    saturate: bool = option(False, help="Search the highest rate that is sustained (Poisson in a closed loop).")


CACHE_FOLDER: Any = {
    "flag": "--cache-dir",
    "local": True,
    "help": "Where recorded logits are kept. Default: HEXIT_CACHE, or the system's cache folder.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions(Checked):
    """What is shown and written."""

    reference: str | None = option(
        None,
        help="JSON of `hexit reference` to show beside the result. Default: the one that lies in "
        "`references` beside the weights and is of these weights, sentences and length.",
    )
    folder: Path | None = option(
        None, flag="--out", local=True, help="Folder for report.json, sentences.csv, pictures and timelines."
    )
    trace_level: Literal["op", "tile"] = option("op", help="Detail of the Perfetto timeline: op or tile.")
    json: bool = option(False, local=True, help="Print report.json instead of the screen.")
    cache_folder: Path | None = option(None, **CACHE_FOLDER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Checked):
    """One run: model, text (or a profile), widths, rule, accelerator, stream, outputs. None means the default."""

    model: ModelOptions = section(ModelOptions, MODEL)
    quantisation: QuantisationOptions = section(QuantisationOptions, MODEL)
    data: DataOptions = section(DataOptions, TEXT)
    seed: int = option(
        0,
        least=0,
        panel=TEXT,
        help="Decides what --limit, --sentences and --arrivals draw, and nothing else.",
    )
    profile: ProfileOptions = section(ProfileOptions, TEXT)
    rule: RuleOptions = section(RuleOptions, RULE)
    device: str | None = option(
        None, panel=HARDWARE, help="FPGA part or board; see --list devices. Default: the design's own."
    )
    design: DesignOptions = section(DesignOptions, HARDWARE)
    stream: StreamOptions = section(StreamOptions, STREAM)
    outputs: OutputOptions = section(OutputOptions, OUTPUT)

    def __post_init__(self) -> None:
        """Check each option, and that none is given that means nothing."""
        Checked.__post_init__(self)
        profiled = self.profile.path is not None
        for one in options_of(Job):
            value = value_of(self, one.key)
            if value != one.default and _of_text(one.key, one.name) is profiled and _of_one_source(one.key, one.name):
                with_or_without = "with" if profiled else "without"
                requirement = f"means nothing {with_or_without} --profile"
                raise ConfigError(one.flag, value, requirement, "Leave it out")

    def __repr__(self) -> str:
        """Show what differs from the defaults."""
        return f"Job({', '.join(f'{name}={value!r}' for name, value in given(self).items())})"


def _of_text(key: str, name: str) -> bool:
    """Whether an option is about a model and text."""
    return key.startswith(("model.", "data.")) or name in {
        "calibration",
        "reference",
        "exit_unit",
        "max_drop",
        "speedup",
        "selection",
    }


def _of_one_source(key: str, name: str) -> bool:
    """Whether an option is about one of the two sources of exits."""
    return _of_text(key, name) or key in {"profile.columns", "profile.shape"}


def value_of(record: Any, key: str) -> Any:
    """Return the value under a key with dots."""
    for part in key.split("."):
        record = getattr(record, part)
    return record


def given(job: Job) -> dict[str, Any]:
    """Return the options that differ from their defaults, by name."""
    return {one.name: value for one in options_of(Job) for value in [value_of(job, one.key)] if value != one.default}


def make_job(**options: Any) -> Job:
    """Return the job with these options by name, defaults elsewhere.

    Raises ConfigError for an unknown name, a value of another type, and one that is not legal.

    >>> make_job(bits=4, rule="pabee", threshold=3)
    Job(bits=4, rule='pabee', threshold=3.0)
    """
    return build(Job, options, COMMAND)
