"""What a user asked of `hexit hls`, and how it becomes a unit: the spec, the logits of real sentences, the head."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from hexit.hw_model.device import Device, load_device
from hexit.quant.errors import ConfigError
from hexit.quant.exits.facade import parse_rule
from hexit.quant.exits.integer import TableFormat
from hexit.quant.exits.unit import ExitUnitSpec, exit_unit_spec
from hexit.quant.integer.head import IntegerHead, Integers
from hexit.quant.traces.store import ModelCard, Progress, Store, cache_folder, calibration_of
from hexit.quant.traces.trace import ExitTrace
from hexit.sim.job.options import (
    DEFAULT_RULES,
    MANY_CLASSES_RULE,
    RunOptions,
    check_choice,
    default_length,
    load_inputs,
    quantisation,
)

Backend = Literal["vitis", "vivado"]
Interface = Literal["stream", "parallel"]
BACKENDS: dict[str, tuple[Backend, ...]] = {
    "both": ("vitis", "vivado"),
    "vitis": ("vitis",),
    "vivado": ("vivado",),
}
MAX_VECTORS = 1_000_000  # random events of one project; its files then take some 30 MB
HEAD_SENTENCES = 32  # sentences whose pooled states become test vectors: C simulation takes some milliseconds for each


@dataclass(frozen=True, slots=True, kw_only=True)
class HlsOptions:
    """The options of `hexit hls` that `hexit run` does not have; `run` holds those that they share."""

    run: RunOptions
    exits: str = ""
    confidence: bool = False
    table_address_bits: int = TableFormat().address_bits
    table_fraction_bits: int = TableFormat().fraction_bits
    interleave: int = 1
    device: str = "zcu102"
    part: str = ""
    clock_period: float = 5.0
    head: bool = False
    reuse_factor: int | None = None
    backend: str = "both"
    interface: Interface = "stream"
    name: str = ""
    vectors: int = 4096

    def __post_init__(self) -> None:
        """Check what no record checks."""
        check_choice("--backend", self.backend, tuple(BACKENDS))
        check_choice("--interface", self.interface, get_args(Interface))
        if not (math.isfinite(self.clock_period) and 0.5 <= self.clock_period <= 100):
            raise ConfigError("--clock-period", self.clock_period, "must be 0.5..100 ns", "Try --clock-period 5")
        if self.reuse_factor is not None and not 1 <= self.reuse_factor <= 1 << 20:
            raise ConfigError("--reuse-factor", self.reuse_factor, f"must be 1..{1 << 20}", "Try --reuse-factor 64")
        if not 0 <= self.vectors <= MAX_VECTORS:
            raise ConfigError("--vectors", self.vectors, f"must be 0..{MAX_VECTORS}", "Try --vectors 4096")

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The HLS tools that projects are written for."""
        return BACKENDS[self.backend]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResolvedUnit:
    """A unit and what it is proven on: the logits of every exit for every sentence, and the head that made them.

    `head_inputs` [n_layers, n, hidden_size] are the head's integers for the first sentences; None without a head.
    """

    spec: ExitUnitSpec
    card: ModelCard
    device: Device
    trace: ExitTrace
    head: IntegerHead | None
    head_inputs: Integers | None


def resolve(options: HlsOptions, progress: Progress) -> ResolvedUnit:
    """Return the unit that the options describe; the quantised model runs if its logits are not in the cache."""
    run = options.run
    rule = parse_rule(run.rule, run.threshold) if run.rule else None  # a wrong one fails before models load
    quant, device = quantisation(run), load_device(options.device)
    tables = TableFormat(address_bits=options.table_address_bits, fraction_bits=options.table_fraction_bits)
    store = Store(folder=cache_folder(run.cache_dir), progress=progress)
    card, texts = load_inputs(run, store)
    shape, length = card.shape, default_length(run.seq_len, card)
    rule = rule or parse_rule(DEFAULT_RULES.get(shape.n_classes, MANY_CLASSES_RULE), run.threshold)

    def unit(scale: float) -> ExitUnitSpec:
        return exit_unit_spec(
            rule,
            n_layers=shape.n_layers,
            n_classes=shape.n_classes,
            scale=scale,
            logit_bits=quant.logit_bits,
            evaluated_layers=_exit_layers(options.exits),
            n_slots=options.interleave,
            confidence=options.confidence,
            tables=tables,
        )

    unit(1.0)  # what does not depend on the logits fails before the model runs
    if options.head:
        _check_head(card, quant.weight_bits)
    calibration = calibration_of(card, run.calibration)
    trace = store.quantised_trace(card, texts, quant, calibration, length)
    head: IntegerHead | None = None
    head_inputs: Integers | None = None
    if options.head:
        head = store.heads(card, quant, calibration, length)[0]
        run_of_heads = store.head_run(card, texts, quant, calibration, length, n_sentences=HEAD_SENTENCES)
        head_inputs = run_of_heads.inputs.astype(np.int64)
    return ResolvedUnit(
        spec=unit(trace.scale), card=card, device=device, trace=trace, head=head, head_inputs=head_inputs
    )


def _exit_layers(text: str) -> tuple[int, ...] | None:
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
