"""From the options of `hexit hls` to a unit: the spec, the logits of real sentences, the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hexit.hw_model.device import Device, load_device
from hexit.quant.arrays import Integers
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import ExitRule, parse_rule
from hexit.quant.exits.table_format import TableFormat
from hexit.quant.exits.unit import ExitUnitSpec, exit_unit_spec
from hexit.quant.integer.head import IntegerHead
from hexit.quant.traces.store import ModelCard, Progress, Store, cache_folder, calibration_of
from hexit.quant.traces.trace import ExitTrace
from hexit.sim.job.hls_record import HlsJob
from hexit.sim.job.resolve import default_length, default_rule, load_inputs, quantisation
from hexit.sim.job.selection import Choice, choose_rule, chooses, undecided

HEAD_SENTENCES = 32  # sentences whose pooled states become test vectors: C simulation takes some milliseconds for each


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResolvedUnit:
    """A unit and what it is proven on: the logits of every exit for every sentence, and the head that made them.

    `head_inputs` [n_layers, n, hidden_size] are the head's integers for the first sentences; None without a head.
    `choice` says how the settings of the rule were found; None where they were typed.
    """

    spec: ExitUnitSpec
    card: ModelCard
    device: Device
    trace: ExitTrace
    head: IntegerHead | None
    head_inputs: Integers | None
    choice: Choice | None


def resolve_unit(job: HlsJob, progress: Progress) -> ResolvedUnit:
    """Return the unit of a job; the quantised model runs if its logits are not in the cache."""
    named = job.rule.name
    rule = parse_rule(named, job.rule.threshold) if named else None  # a wrong one fails before models load
    quant, device = quantisation(job.quantisation), load_device(job.part.device)
    tables = TableFormat(address_bits=job.unit.table_address_bits, fraction_bits=job.unit.table_fraction_bits)
    store = Store(folder=cache_folder(job.outputs.cache_folder), progress=progress)
    card, texts = load_inputs(job.model, job.data, store, job.seed)
    shape, length = card.shape, default_length(job.part.sequence_length, card)
    rule = rule or default_rule(shape, job.rule.threshold)
    layers = _layers_with_exit(job.unit.exits or "")

    def unit(rule: ExitRule, scale: float) -> ExitUnitSpec:
        return exit_unit_spec(
            rule,
            n_layers=shape.n_layers,
            n_classes=shape.n_classes,
            scale=scale,
            logit_bits=quant.logit_bits,
            evaluated_layers=layers,
            n_slots=job.part.interleave,
            confidence=job.unit.confidence,
            tables=tables,
        )

    unit(
        undecided(rule, shape.n_layers) if chooses(rule, job.rule) else rule, 1.0
    )  # what does not depend on the logits fails before the model runs
    if job.project.head:
        _check_head(card, quant.weight_bits)
    calibration = calibration_of(card, job.quantisation.calibration or "")
    choice = choose_rule(
        rule,
        job.rule,
        store=store,
        card=card,
        evaluated=texts,
        quant=quant,
        calibration=calibration,
        sequence_length=length,
        layers=layers,
    )
    rule = choice.rule if choice is not None else rule
    trace = store.quantised_trace(card, texts, quant, calibration, length)
    head: IntegerHead | None = None
    head_inputs: Integers | None = None
    if job.project.head:
        head = store.heads(card, quant, calibration, length)[0]
        run_of_heads = store.head_run(card, texts, quant, calibration, length, n_sentences=HEAD_SENTENCES)
        head_inputs = run_of_heads.inputs.astype(np.int64)
    return ResolvedUnit(
        spec=unit(rule, trace.scale),
        card=card,
        device=device,
        trace=trace,
        head=head,
        head_inputs=head_inputs,
        choice=choice,
    )


def _layers_with_exit(text: str) -> tuple[int, ...] | None:
    if not text:
        return None
    try:
        return tuple(int(item) for item in text.split(","))
    except ValueError:
        remedy = "Try --exits 2,4,6,12"
        raise ConfigError("--exits", text, "must be layer numbers with commas between", remedy) from None


def _check_head(card: ModelCard, weight_bits: int) -> None:
    if not card.shape.shared_head:
        requirement = f"has a head for each of its {card.shape.n_layers} exits, and a project holds the weights of one"
        raise ConfigError("--head", card.name, requirement, "Leave --head out: the unit then takes logits")
    if weight_bits > 8:
        requirement = "weights are wider than the 8 bits that a head is built with"
        raise ConfigError("--head", f"--weight-bits {weight_bits}", requirement, "Use --weight-bits 8 or fewer")
