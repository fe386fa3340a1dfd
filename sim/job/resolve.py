"""From a job to what is simulated: a `Setup`, a `Source`, and the reference to show beside the result.

Everything cheap is checked before anything slow is done.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from hexit.hw_model.accelerator import Accelerator, ExitOverlap
from hexit.hw_model.design_files import load_design
from hexit.hw_model.device import Device, load_device
from hexit.hw_model.exit_unit.build import ExitUnitBuild, load_build
from hexit.quant.config import EncoderShape, QuantConfig, check_bits
from hexit.quant.data.tasks import TextSet, load_texts
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import ExitRule, parse_rule
from hexit.quant.hub import DEFAULT_DATA, DEFAULT_MODEL
from hexit.quant.shapes import SHAPES
from hexit.quant.traces.profile import Profile, load_profile
from hexit.quant.traces.reference import Reference, find_reference, load_reference
from hexit.quant.traces.store import ModelCard, Progress, Store, cache_folder, calibration_of
from hexit.sim.core.queueing import AdmissionPolicy
from hexit.sim.core.stage_program import check_network
from hexit.sim.job.built_unit import built_rule
from hexit.sim.job.design import check_design
from hexit.sim.job.experiment import evaluate
from hexit.sim.job.outcome import Outcome
from hexit.sim.job.record import (
    DataOptions,
    DesignOptions,
    Job,
    LabelledText,
    ModelOptions,
    ProfileOptions,
    QuantisationOptions,
    RuleOptions,
    StreamOptions,
)
from hexit.sim.job.selection import choose_rule, chooses, undecided
from hexit.sim.job.setup import Setup, check_stream, profile_source, text_source
from hexit.sim.traffic.arrivals import parse_arrivals
from hexit.sim.traffic.lengths import parse_lengths
from hexit.sim.traffic.load import StreamSetup

DEFAULT_RULES = {1: "pabee-regression", 2: "hardware"}  # by number of classes; the cheapest unit that can serve it
MANY_CLASSES_RULE = "max-probability"
PROFILE_RULE = "entropy"  # a profile holds entropies, so that is the rule it is for
DEFAULT_LENGTH = 64  # tokens; longer than 99 % of SST-2 and of the shipped reviews
PROFILE_LENGTH = 128  # tokens; the sequence length of the published ALBERT and BERT runs on GLUE


def simulate(job: Job, progress: Progress) -> tuple[Outcome, Reference | None]:
    """Run the job; return the outcome and the reference to show beside it."""
    named = job.outputs.reference
    reference = load_reference(Path(named)) if named else None
    build = load_build(Path(job.design.exit_unit)) if job.design.exit_unit else None
    rule = _given_rule(job.rule, build)  # a wrong one fails before models load
    stream, quant = stream_setup(job.stream), quantisation(job.quantisation)
    if job.profile.path:
        return _simulate_profile(job, job.profile.path, quant, rule, stream), None
    store = Store(folder=cache_folder(job.outputs.cache_folder), progress=progress)
    card, texts = load_inputs(job.model, job.data, store, job.seed)
    rule = rule or default_rule(card.shape, job.rule.threshold)
    length = default_length(job.design.sequence_length, card)
    is_chosen = build is None and chooses(rule, job.rule)
    stand_in = undecided(rule, card.shape.n_layers) if is_chosen else rule
    setup = _setup(job, card.shape, quant, stand_in, length, stream, build)
    nominal = check_design(setup)
    check_stream(setup, len(texts.texts))
    calibration = calibration_of(card, job.quantisation.calibration or "")
    if reference is not None:
        _check_reference(reference, card, texts, length)
    else:
        reference = find_reference(Path(card.folder), card.content_hash, texts.content_hash, length)
    choice = None
    if is_chosen:
        choice = choose_rule(
            rule,
            job.rule,
            store=store,
            card=card,
            evaluated=texts,
            quant=quant,
            calibration=calibration,
            sequence_length=length,
        )
    setup = dataclasses.replace(setup, rule=choice.rule) if choice is not None else setup
    source = text_source(store, card, texts, quant, calibration, length)
    return evaluate(setup, source, nominal, choice), reference


def _simulate_profile(job: Job, path: str, quant: QuantConfig, rule: ExitRule | None, stream: StreamSetup) -> Outcome:
    length = PROFILE_LENGTH if job.design.sequence_length is None else job.design.sequence_length
    shape, profile = _profile(path, job.profile)
    rule = rule or parse_rule(PROFILE_RULE, job.rule.threshold)
    setup = _setup(job, shape, quant, rule, length, stream)
    nominal = check_design(setup)
    check_stream(setup, profile.n_samples)
    return evaluate(setup, profile_source(profile, length), nominal)


def _given_rule(options: RuleOptions, build: ExitUnitBuild | None) -> ExitRule | None:
    if build is not None:
        if options.asked is not None:
            flag, value = options.asked
            requirement = "is for settings that are chosen, but the unit of --exit-unit has its own"
            raise ConfigError(flag, value, requirement, "Leave one out")
        return built_rule(build, options.name or "", options.threshold)
    return parse_rule(options.name, options.threshold) if options.name else None


def default_rule(shape: EncoderShape, threshold: float | None) -> ExitRule:
    """Return the rule of a run that names none: the cheapest unit that can serve so many classes."""
    return parse_rule(DEFAULT_RULES.get(shape.n_classes, MANY_CLASSES_RULE), threshold)


def quantisation(options: QuantisationOptions) -> QuantConfig:
    """Return the bit widths: the one dial, and the finer ones where they are given."""
    check_bits("--bits", options.bits)
    return QuantConfig(
        weight_bits=options.bits if options.weight_bits is None else options.weight_bits,
        activation_bits=options.bits if options.activation_bits is None else options.activation_bits,
        logit_bits=options.logit_bits,
        power_of_two=options.power_of_two,
    )


def stream_setup(options: StreamOptions) -> StreamSetup:
    """Return how sentences come; a queue that is full drops sentences, unless --drop says otherwise."""
    return StreamSetup(
        arrivals=parse_arrivals(options.arrivals, options.rate),
        admission=AdmissionPolicy(
            n_places=options.queue,
            deadline_us=options.deadline_us,
            drop=options.drop or ("never" if options.queue is None else "full"),
        ),
        lengths=parse_lengths(options.lengths),
        n_sentences=options.sentences,
        saturates=options.saturate,
    )


def load_inputs(model: ModelOptions, data: LabelledText, store: Store, seed: int = 0) -> tuple[ModelCard, TextSet]:
    """Return the checkpoint's card and the sentences, labels checked against its classes."""
    card = store.card(model.checkpoint or str(DEFAULT_MODEL))
    texts = load_texts(
        data.source or str(DEFAULT_DATA),
        split=data.split,
        label_names=card.label_names,
        text_columns=data.text_columns or (),
        label_column=data.label_column or "",
    )
    return card, texts.sample(data.limit, seed) if isinstance(data, DataOptions) else texts


def default_length(sequence_length: int | None, card: ModelCard) -> int:
    """Return the sequence length: the chosen one, else the default as far as the model's positions go."""
    return sequence_length if sequence_length is not None else min(DEFAULT_LENGTH, card.shape.n_positions)


def _profile(path: str, options: ProfileOptions) -> tuple[EncoderShape, Profile]:
    if options.shape not in SHAPES:
        requirement = f"must be one of {', '.join(SHAPES)}"
        raise ConfigError("--shape", options.shape, requirement, f"Try --shape {next(iter(SHAPES))}")
    shape, profile = SHAPES[options.shape], load_profile(Path(path), options.columns)
    if profile.n_layers != shape.n_layers:
        requirement = f"has {profile.n_layers} columns, {options.shape} has {shape.n_layers} layers"
        raise ConfigError("--profile", path, requirement, "Name its network with --shape")
    return shape, profile


def _setup(
    job: Job,
    shape: EncoderShape,
    quant: QuantConfig,
    rule: ExitRule,
    length: int,
    stream: StreamSetup,
    build: ExitUnitBuild | None = None,
) -> Setup:
    device = load_device(job.device) if job.device else None
    design = _design(job.design, device)
    check_network(design)
    return Setup(
        shape=shape,
        quant=quant,
        rule=rule,
        design=design,
        device=device or _part(design),
        sequence_length=length,
        seed=job.seed,
        exit_unit=build,
        stream=stream,
    )


def _part(design: Accelerator) -> Device:
    if not design.device:
        raise ConfigError("design.device", "(none)", f"is not told by {design.name}", "Add --device NAME")
    return load_device(design.device)


def _design(options: DesignOptions, device: Device | None) -> Accelerator:
    design = _overlapped(options, device)
    if not options.share_weights:
        return design
    if design.regions or design.mapping == "spatial":
        requirement = f"is for one engine, {design.name} has {'stages' if design.regions else 'several'}"
        raise ConfigError("--share-weights", True, requirement, "Leave it out")
    if design.exit_overlap != "interleave":
        requirement = f"is for several resident sentences, exit_overlap {design.exit_overlap} has one"
        raise ConfigError("--share-weights", True, requirement, "Add --overlap interleave --batch 4")
    return dataclasses.replace(design, share_weights=True)


def _overlapped(options: DesignOptions, device: Device | None) -> Accelerator:
    design = load_design(options.name)
    if device is not None:
        design = dataclasses.replace(design, device=device.name)
    if options.clock_mhz is not None:
        design = dataclasses.replace(design, clock_mhz=options.clock_mhz)
    if options.batch is not None and options.batch > 1 and options.overlap not in {None, "interleave"}:
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
        return dataclasses.replace(design, exit_overlap=overlap, n_interleaved=1, share_weights=False)
    return design


def _check_reference(reference: Reference, card: ModelCard, texts: TextSet, length: int) -> None:
    for name, given, expected in (
        ("checkpoint", reference.checkpoint_hash, card.content_hash),
        ("data", reference.data_hash, texts.content_hash),
        ("max_length", reference.max_length, length),
    ):
        if given != expected:
            requirement = f"is of another {name} than this run ({str(expected)[:12]})"
            raise ConfigError("--reference", str(given)[:12], requirement, "Make it again: hexit reference")
