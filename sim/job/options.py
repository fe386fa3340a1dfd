"""What a user asked of `hexit run`, and how it becomes a `Setup`, a `Source` and an `Outcome`.

Everything cheap is checked before anything slow is done.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hexit.hw_model.accelerator import Accelerator, ExitOverlap, load_design
from hexit.hw_model.device import Device, load_device
from hexit.hw_model.exit_unit.build import ExitUnitBuild, load_build
from hexit.quant.config import EncoderShape, QuantConfig, check_bits
from hexit.quant.data.tasks import TextSet, load_texts
from hexit.quant.errors import ConfigError
from hexit.quant.exits.facade import ExitRule, parse_rule
from hexit.quant.hub import DEFAULT_DATA, DEFAULT_MODEL
from hexit.quant.traces.profile import Profile, load_profile
from hexit.quant.traces.reference import Reference, load_reference
from hexit.quant.traces.store import ModelCard, Progress, Store, cache_folder, calibration_of
from hexit.quant.workload import SHAPES
from hexit.sim.core.queueing import DROP_POLICIES, AdmissionPolicy
from hexit.sim.job.built_unit import built_rule
from hexit.sim.job.experiment import (
    Outcome,
    Setup,
    check_design,
    check_stream,
    evaluate,
    profile_source,
    text_source,
)
from hexit.sim.traffic.arrivals import parse_arrivals
from hexit.sim.traffic.lengths import parse_lengths
from hexit.sim.traffic.load import StreamSetup

DEFAULT_RULES = {1: "pabee-regression", 2: "hardware"}  # by number of classes; the cheapest unit that can serve it
MANY_CLASSES_RULE = "max-probability"
PROFILE_RULE = "entropy"  # a profile tells entropies, so that is the rule it is for
DEFAULT_LENGTH = 64  # tokens; longer than 99 % of SST-2 and of the shipped reviews
TEXT_ONLY = {"model", "calibration", "data", "split", "text_column", "label_column", "limit", "reference", "exit_unit"}
PROFILE_ONLY = {"profile_columns", "shape"}
PROFILE_LENGTH = 128  # tokens; the sequence length of the published ALBERT and BERT runs on GLUE


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The options of `hexit run` by name; empty text and None mean the default."""

    model: str = ""
    bits: int = 8
    weight_bits: int | None = None
    activation_bits: int | None = None
    logit_bits: int = 16
    po2: bool = False
    calibration: str = ""
    data: str = ""
    split: str = "dev"
    text_column: Sequence[str] | None = None
    label_column: str = ""
    limit: int = 0
    seed: int = 0
    profile: str = ""
    profile_columns: str = "1-11"
    shape: str = "albert-base"
    rule: str = ""
    threshold: float | None = None
    device: str = ""
    design: str = "default"
    clock_mhz: float | None = None
    seq_len: int | None = None
    overlap: str = ""
    batch: int | None = None
    arrivals: str = "closed"
    queue: int | None = None
    deadline_us: float | None = None
    drop: str = ""
    sentences: int = 0
    lengths: str = "padded"
    saturate: bool = False
    exit_unit: str = ""
    reference: str = ""
    trace_level: str = "op"
    cache_dir: Path | None = None

    def __post_init__(self) -> None:
        """Check what no record checks."""
        check_choice("--trace-level", self.trace_level, ("op", "tile"))
        check_choice("--overlap", self.overlap, ("", "stall", "speculate", "interleave"))
        for flag, value in (("--limit", self.limit), ("--seed", self.seed)):
            if value < 0:
                raise ConfigError(flag, value, "must not be negative", f"Try {flag} 0")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise ConfigError("--threshold", self.threshold, "must be a finite number", "Try --threshold 2")
        self._check_profile()

    def _check_profile(self) -> None:
        unused = PROFILE_ONLY if not self.profile else TEXT_ONLY
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in unused and value and value != field.default:
                requirement = "means nothing with --profile" if self.profile else "means nothing without --profile"
                raise ConfigError(f"--{field.name.replace('_', '-')}", value, requirement, "Leave it out")


def check_choice(flag: str, value: str, choices: Sequence[str]) -> None:
    """Raise ConfigError unless `value` is one of `choices`."""
    if value not in choices:
        names = [choice for choice in choices if choice]
        raise ConfigError(flag, value, f"must be one of {', '.join(names)}", f"Try {flag} {names[0]}")


def simulate(options: RunOptions, progress: Progress) -> tuple[Outcome, Reference | None]:
    """Run the loop that the options describe; return the outcome and the reference to show beside it."""
    reference = load_reference(Path(options.reference)) if options.reference else None
    build = load_build(Path(options.exit_unit)) if options.exit_unit else None
    rule = _asked_rule(options, build)  # a wrong one fails before models load
    stream = stream_setup(options)
    quant = quantisation(options)
    store = Store(folder=cache_folder(options.cache_dir), progress=progress)
    if options.profile:
        length = PROFILE_LENGTH if options.seq_len is None else options.seq_len
        shape, profile = _profile(options)
        setup = _setup(options, shape, quant, rule or parse_rule(PROFILE_RULE, options.threshold), length, stream)
        check_design(setup)
        check_stream(setup, profile.n_samples)
        return evaluate(setup, profile_source(profile, length)), None
    card, texts = load_inputs(options, store)
    rule = rule or parse_rule(DEFAULT_RULES.get(card.shape.n_classes, MANY_CLASSES_RULE), options.threshold)
    setup = _setup(options, card.shape, quant, rule, default_length(options.seq_len, card), stream, build)
    check_design(setup)
    check_stream(setup, len(texts.texts))
    calibration = calibration_of(card, options.calibration)
    if reference is not None:
        _check_reference(reference, card, texts, setup.sequence_length)
    source = text_source(store, card, texts, quant, calibration, setup.sequence_length)
    return evaluate(setup, source), reference


def _asked_rule(options: RunOptions, build: ExitUnitBuild | None) -> ExitRule | None:
    if build is not None:
        return built_rule(build, options.rule, options.threshold)
    return parse_rule(options.rule, options.threshold) if options.rule else None


def quantisation(options: RunOptions) -> QuantConfig:
    """Return the bit widths: the one dial, and the finer ones where they are given."""
    check_bits("--bits", options.bits)
    return QuantConfig(
        weight_bits=options.bits if options.weight_bits is None else options.weight_bits,
        activation_bits=options.bits if options.activation_bits is None else options.activation_bits,
        logit_bits=options.logit_bits,
        power_of_two=options.po2,
    )


def stream_setup(options: RunOptions) -> StreamSetup:
    """Return how sentences come; a queue of so many places drops who finds it full, unless --drop says otherwise."""
    drop = options.drop or ("never" if options.queue is None else "full")
    check_choice("--drop", drop, DROP_POLICIES)
    policy = next(policy for policy in DROP_POLICIES if policy == drop)
    return StreamSetup(
        arrivals=parse_arrivals(options.arrivals),
        admission=AdmissionPolicy(n_places=options.queue, deadline_us=options.deadline_us, drop=policy),
        lengths=parse_lengths(options.lengths),
        n_sentences=options.sentences,
        saturates=options.saturate,
    )


def load_inputs(options: RunOptions, store: Store) -> tuple[ModelCard, TextSet]:
    """Return the checkpoint's card and the sentences, labels checked against its classes."""
    card = store.card(options.model or str(DEFAULT_MODEL))
    texts = load_texts(
        options.data or str(DEFAULT_DATA),
        split=options.split,
        label_names=card.label_names,
        text_columns=tuple(options.text_column or ()),
        label_column=options.label_column,
    )
    return card, texts.sample(options.limit, options.seed)


def default_length(seq_len: int | None, card: ModelCard) -> int:
    """Return the sequence length: the chosen one, else the default as far as the model's positions go."""
    return seq_len if seq_len is not None else min(DEFAULT_LENGTH, card.shape.n_positions)


def _profile(options: RunOptions) -> tuple[EncoderShape, Profile]:
    check_choice("--shape", options.shape, tuple(SHAPES))
    shape = SHAPES[options.shape]
    profile = load_profile(Path(options.profile), options.profile_columns)
    if profile.n_layers != shape.n_layers:
        requirement = f"has {profile.n_layers} columns, {options.shape} has {shape.n_layers} layers"
        raise ConfigError("--profile", options.profile, requirement, "Name its network with --shape")
    return shape, profile


def _setup(
    options: RunOptions,
    shape: EncoderShape,
    quant: QuantConfig,
    rule: ExitRule,
    length: int,
    stream: StreamSetup,
    build: ExitUnitBuild | None = None,
) -> Setup:
    device = load_device(options.device) if options.device else None
    design = _design(options, device)
    return Setup(
        shape=shape,
        quant=quant,
        rule=rule,
        design=design,
        device=device or load_device(design.device),
        sequence_length=length,
        seed=options.seed,
        exit_unit=build,
        stream=stream,
    )


def _design(options: RunOptions, device: Device | None) -> Accelerator:
    design = load_design(options.design)
    if device is not None:
        design = dataclasses.replace(design, device=device.name)
    if options.clock_mhz is not None:
        design = dataclasses.replace(design, clock_mhz=options.clock_mhz)
    if options.batch is not None:
        if options.batch < 1:
            raise ConfigError("--batch", options.batch, "must be at least 1", "Try --batch 1")
        if options.batch > 1 and options.overlap not in {"", "interleave"}:
            requirement = f"keeps several sentences resident, --overlap {options.overlap} only one"
            raise ConfigError("--batch", options.batch, requirement, "Use --overlap interleave, or --batch 1")
    n_resident = options.batch or (max(2, design.n_interleaved) if options.overlap == "interleave" else None)
    if n_resident is not None and n_resident > 1:
        return dataclasses.replace(design, exit_overlap="interleave", n_interleaved=n_resident)
    if options.overlap == "interleave":
        raise ConfigError("--overlap", "interleave", "needs at least two resident sentences", "Add --batch 2")
    if options.overlap in {"stall", "speculate"} or options.batch == 1:
        speculates = (options.overlap or design.exit_overlap) == "speculate"
        overlap: ExitOverlap = "speculate" if speculates else "stall"
        return dataclasses.replace(design, exit_overlap=overlap, n_interleaved=1)
    return design


def _check_reference(reference: Reference, card: ModelCard, texts: TextSet, length: int) -> None:
    for name, found, wanted in (
        ("checkpoint", reference.checkpoint_hash, card.content_hash),
        ("data", reference.data_hash, texts.content_hash),
        ("max_length", reference.max_length, length),
    ):
        if found != wanted:
            shown = str(found)[:12]
            requirement = f"is of another {name} than this run ({str(wanted)[:12]})"
            raise ConfigError("--reference", shown, requirement, "Make it again: hexit reference")
