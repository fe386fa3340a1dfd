"""The exit unit: every integer, width and bit of state of the hardware that decides to leave.

    (slot, layer, logits of one exit)  -->  exit unit  -->  (slot, exit flag, class, layer, confidence)

`ExitUnitSpec` adds to an `IntegerRule` (what is compared) the depth of the network, the layers that have an exit and
the number of sentences in flight, each in its slot of the state memory. Simulator, HLS kernel and RTL are made from
it; `decide_events` is its golden model, which they must equal bit for bit, and the only definition of an exit decision
on integers.

    state      starts afresh with the first exit of a sentence; layers without an exit neither read nor change it
    exit       at an exit where the rule holds, and always after the last layer
    class      the largest logit, the first of equals; 0 for regression
    confidence optional: |q_0 - q_1|, the exponential sum A (max p = 2^fraction_bits / A), or the run length

Counters saturate at the run length that they are compared with, which changes no decision. Not modelled here: cycles
and area (hw_model.exit_unit.timing), the head that makes the logits (quant.integer.head).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hexit.quant.arrays import Flags, Integers
from hexit.quant.errors import ConfigError
from hexit.quant.exits.constants import MAX_LOGIT_BITS, integer_form
from hexit.quant.exits.integer_rule import (
    DifferenceTest,
    EntropyTest,
    FixedLayer,
    IntegerRule,
    Limits,
    ProbabilityTest,
    SideRun,
    SmallStepRun,
    WinnerRun,
    exponential_sum,
    fires,
    run_lengths,
)
from hexit.quant.exits.published import Decision, decision_at, first_exit
from hexit.quant.exits.rules import ExitRule, FixedDepthExit, check_serves, format_rule
from hexit.quant.exits.table_format import TableFormat

MAX_LAYERS = 63  # layers; the mask of exits, bit 0 unused, then fits a 64-bit constant of C++
MAX_SLOTS = 64  # sentences in flight; the array has no use for more
MAX_CLASSES = 64  # classes; every logit is compared in parallel


@dataclass(frozen=True, slots=True, kw_only=True)
class StateField:
    """One field of the state that a sentence keeps between its exits: `count` words of `bits` bits."""

    name: str
    bits: int
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitUnitSpec:
    """One exit unit: what it compares, over which layers, for how many sentences at a time.

    `rule` is the rule as text, for people; `form` holds its integers. `evaluated_layers`: the layers that have an
    exit, in order, the last layer always among them. `n_slots`: sentences in flight. `confidence`: whether the integer
    that is compared leaves the unit too.
    """

    rule: str
    form: IntegerRule
    n_layers: int
    evaluated_layers: tuple[int, ...]
    n_slots: int = 1
    confidence: bool = False

    def __post_init__(self) -> None:
        """Reject layers, slots and classes that no unit can serve."""
        layers = self.evaluated_layers
        if not 1 <= self.n_layers <= MAX_LAYERS:
            requirement = f"must be 1..{MAX_LAYERS}"
            raise ConfigError("exit_unit.n_layers", self.n_layers, requirement, "Use a network with fewer layers")
        if not layers or list(layers) != sorted(set(layers)) or layers[0] < 1 or layers[-1] != self.n_layers:
            shown = ",".join(map(str, layers)) or "(none)"
            requirement = f"must be rising layers from 1 that end with the last one, {self.n_layers}"
            raise ConfigError("--exits", shown, requirement, f"Try --exits {self.n_layers // 2 or 1},{self.n_layers}")
        match self.form.confidence:
            case FixedLayer(layer=layer) if layer not in layers:
                requirement = "has no exit, but the rule leaves there"
                raise ConfigError("--exits", f"layer {layer}", requirement, f"Add {layer} to --exits")
            case FixedLayer(layer=layer) if self.confidence:
                requirement = f"always leaves after layer {layer}, whatever the logits, so there is no confidence"
                raise ConfigError("--confidence", self.rule, requirement, "Leave it out")
        if self.form.trend is not None and not 1 <= self.form.trend.run_length <= len(layers):
            requirement = f"must be 1..{len(layers)}, the number of exits"
            remedy = "Build the unit again: hexit hls"
            raise ConfigError("exit_unit.run_length", self.form.trend.run_length, requirement, remedy)
        match self.form.trend:
            case SideRun(limits=Limits(entries=())):
                raise ConfigError("exit_unit.limits", "(empty)", "must have entries", "Build the unit again: hexit hls")
        for where, value, most in (
            ("--interleave", self.n_slots, MAX_SLOTS),
            ("n_classes", self.n_classes, MAX_CLASSES),
        ):
            if not 1 <= value <= most:
                raise ConfigError(where, value, f"must be 1..{most}", "Choose another number")

    @property
    def n_classes(self) -> int:
        """Logits of an exit; 1 is a regression."""
        return self.form.n_classes

    @property
    def logit_bits(self) -> int:
        """Bits of a logit, two's complement."""
        return self.form.logit_bits

    @property
    def class_bits(self) -> int:
        """Bits of the class index."""
        return max(1, (self.n_classes - 1).bit_length())

    @property
    def layer_bits(self) -> int:
        """Bits of a layer number, which counts from 1."""
        return self.n_layers.bit_length()

    @property
    def slot_bits(self) -> int:
        """Bits of a slot number."""
        return max(1, (self.n_slots - 1).bit_length())

    @property
    def exit_mask(self) -> int:
        """The layers with an exit as a bit mask; bit l is layer l, bit 0 is not used."""
        return sum(1 << layer for layer in self.evaluated_layers)

    @property
    def first_exit_layer(self) -> int:
        """The first layer with an exit; at and before it a sentence's state starts afresh."""
        return self.evaluated_layers[0]

    @property
    def value_bits(self) -> int:
        """Bits of v, the signed number that a trend reads: q_0 - q_1, or the log-odds of class 0."""
        return self.form.value_bits

    @property
    def run_length(self) -> int:
        """What the run counter is compared with, and where it saturates; 0 without a trend."""
        return self.form.trend.run_length if self.form.trend is not None else 0

    @property
    def count_bits(self) -> int:
        """Bits of the run counter."""
        return self.run_length.bit_length()

    @property
    def sum_bits(self) -> int:
        """Bits of A, a sum of n_classes exponentials of at most 1 in steps of 2^-fraction_bits, unsigned."""
        return (self.n_classes << self.form.fraction_bits).bit_length()

    @property
    def confidence_bits(self) -> int:
        """Bits of the confidence, unsigned; 0 without one."""
        if not self.confidence:
            return 0
        match self.form.confidence:
            case DifferenceTest():
                return self.logit_bits
            case EntropyTest() | ProbabilityTest():
                return self.sum_bits
            case _:
                return self.count_bits

    @property
    def state_fields(self) -> tuple[StateField, ...]:
        """What one slot keeps between two exits of a sentence, in the order of the state word from bit 0."""
        kept: tuple[StateField, ...]
        match self.form.trend:
            case None:
                return ()
            case WinnerRun():
                kept = (StateField(name="winner", bits=self.class_bits),)
            case SmallStepRun():
                kept = (StateField(name="value", bits=self.logit_bits),)
            case SideRun(trend="bias_1"):
                kept = (StateField(name="side", bits=2),)
            case SideRun(trend="bias_2"):
                kept = (StateField(name="side", bits=2), StateField(name="value", bits=self.value_bits))
            case SideRun():
                window = StateField(name="distance", bits=self.value_bits - 1, count=self.run_length - 1)
                kept = (StateField(name="side", bits=2), *((window,) if window.count else ()))
        return (StateField(name="count", bits=self.count_bits), *kept)

    @property
    def state_bits(self) -> int:
        """Bits that one slot keeps."""
        return sum(field.bits * field.count for field in self.state_fields)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnitOutput:
    """The unit's output at every layer of every sentence, [n_layers, n_samples], as if none had left before.

    `confidence` is 0 everywhere where the spec has none.
    """

    exit: Flags
    winner: Integers
    confidence: Integers


def exit_unit_spec(
    rule: ExitRule,
    *,
    n_layers: int,
    n_classes: int,
    scale: float,
    logit_bits: int = MAX_LOGIT_BITS,
    evaluated_layers: tuple[int, ...] | None = None,
    n_slots: int = 1,
    confidence: bool = False,
    tables: TableFormat | None = None,
) -> ExitUnitSpec:
    """Return the exit unit of a rule for logits of `logit_bits` bits at `scale`; every constant is derived.

    `evaluated_layers`: the layers with an exit, all by default (for a fixed depth its own and the last). A run that is
    longer than the exits are is left out. Raises ConfigError for a rule that cannot be built.
    """
    check_serves(rule, n_layers, n_classes)
    if evaluated_layers is None:
        all_layers = tuple(range(1, n_layers + 1))
        evaluated_layers = tuple(sorted({rule.layer, n_layers})) if isinstance(rule, FixedDepthExit) else all_layers
    form = integer_form(rule, n_classes=n_classes, scale=scale, logit_bits=logit_bits, tables=tables)
    return ExitUnitSpec(
        rule=format_rule(rule),
        form=_without_idle_parts(form, n_layers, len(evaluated_layers)),
        n_layers=n_layers,
        evaluated_layers=evaluated_layers,
        n_slots=n_slots,
        confidence=confidence,
    )


def _without_idle_parts(form: IntegerRule, n_layers: int, n_exits: int) -> IntegerRule:
    """Drop a run that no sentence completes, and limits that nothing breaks; without a test, leave at the end."""
    longest = n_exits - 1 if isinstance(form.trend, SmallStepRun) else n_exits
    if form.trend is not None and form.trend.run_length > longest:
        form = dataclasses.replace(form, trend=None)
    match form.trend:
        case SideRun(minimum=minimum, limits=Limits(shift=shift, entries=entries)) if len(entries) << shift <= minimum:
            form = dataclasses.replace(form, trend=dataclasses.replace(form.trend, trend="bias_1", limits=None))
    if form.trend is None and form.confidence is None:
        form = dataclasses.replace(form, confidence=FixedLayer(layer=n_layers))
    return form


def decide_events(spec: ExitUnitSpec, logits: NDArray[np.integer]) -> UnitOutput:
    """Return the unit's output for integer logits [n_layers, n_samples, n_classes]; this is its definition.

    The order in which slots take turns changes nothing, so sentences are computed side by side. Raises ConfigError
    for logits of another shape, or that are no integers of `logit_bits`.
    """
    q = _checked(spec, logits)
    exits = np.array(spec.evaluated_layers) - 1
    leaves = np.zeros(q.shape[:2], dtype=np.bool_)
    leaves[exits] = fires(spec.form, q[exits], spec.evaluated_layers)
    leaves[-1] = True
    return UnitOutput(exit=leaves, winner=q.argmax(axis=-1), confidence=_confidence(spec, q, exits))


def unit_decision(spec: ExitUnitSpec, logits: Integers) -> Decision:
    """Return exit layer and prediction of every sentence, at its first exit of `decide_events`."""
    return decision_at(first_exit(decide_events(spec, logits).exit), logits, spec.form.scale)


def _checked(spec: ExitUnitSpec, logits: NDArray[np.integer]) -> Integers:
    if not np.issubdtype(logits.dtype, np.integer):
        raise ConfigError("logits", str(logits.dtype), "must be integers", "Use decide for real logits")
    q = logits.astype(np.int64, copy=False)
    if q.ndim != 3 or q.shape[0] != spec.n_layers or q.shape[2] != spec.n_classes:
        shown = "x".join(map(str, q.shape))
        requirement = f"must be {spec.n_layers} layers x samples x {spec.n_classes} classes"
        raise ConfigError("logits", shown, requirement, "Check the trace")
    limit = 1 << (spec.logit_bits - 1)
    if q.size and (q.min() < -limit or q.max() >= limit):
        worst = int(q.min() if q.min() < -limit else q.max())
        raise ConfigError("logits", worst, f"must fit {spec.logit_bits} bits", "Use wider --logit-bits")
    return q


def _confidence(spec: ExitUnitSpec, q: Integers, exits: Integers) -> Integers:
    """The integer that is compared; a run length is 0 at layers without an exit."""
    confidence = np.zeros(q.shape[:2], dtype=np.int64)
    if not spec.confidence:
        return confidence
    match spec.form.confidence:
        case DifferenceTest():
            return np.asarray(np.abs(q[..., 0] - q[..., 1]))
        case EntropyTest(exponential=exponential) | ProbabilityTest(exponential=exponential):
            return exponential_sum(exponential, q)
        case _:
            trend = spec.form.trend
            if isinstance(trend, WinnerRun | SmallStepRun):
                confidence[exits] = np.minimum(run_lengths(trend, q[exits]), trend.run_length)
            return confidence
