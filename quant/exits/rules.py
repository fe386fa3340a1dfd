"""The published exit rules as records: pure data, checked when built, written and read as one line of text.

A rule says when a sample may leave the encoder after layer l, given the logits z_1..z_l of the exits so far.
`RULES` names every rule; the record's class attributes and field metadata are all that a command line or a table
of rules needs. The last layer always exits, so that no rule has to say it.

Not here: what a rule computes in floating point (`quant.exits.published`) and in integers (`quant.exits.unit`), and
rules that look at hidden states instead of logits.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar, cast

from hexit.quant.errors import ConfigError
from hexit.quant.exits.rule_parameters import Parameter, ranged

Bias = Literal["bias_1", "bias_2", "bias_3"]
Rule = TypeVar("Rule", bound="_Rule")

# Fractions of the way from "certain" (0) to "anything goes" (1), eager first; entropy thresholds of a sweep.
_ENTROPY_GRID = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05, 0.02, 0.01, 0.001)
_PROBABILITY_GRID = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999, 1.0)
_DIFFERENCE_GRID = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0)
_NEVER_ENTROPY = 1e-9  # of ln K; a difference of 24 logits with two classes
_NEVER_DIFFERENCE = 1000.0  # logits; no exit head gets there
_MAX_RUN = 1000  # layers; anything above the number of layers switches a run test off


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What rules compare, as seen on labelled text: where a choice of settings takes its thresholds from.

    `layers` have an exit. The rest are quantiles over exits and sentences, rising, each once: |z_0 - z_1| (none unless
    there are two classes), H in nats and H/ln K, the probability of the winner, and |y_l - y_(l-1)| (none unless there
    is one real output).
    """

    layers: tuple[int, ...]
    n_classes: int
    difference: tuple[float, ...]
    entropy: tuple[float, ...]
    normalized_entropy: tuple[float, ...]
    probability: tuple[float, ...]
    step: tuple[float, ...]

    @property
    def any_entropy(self) -> float:
        """A threshold above every entropy, in nats."""
        return round(1.01 * math.log(self.n_classes), 3)

    @property
    def run_lengths(self) -> range:
        """Exits in a row that a trend may ask for; the last is longer than the exits are, so it switches a run off."""
        return range(2, len(self.layers) + 2)


Settings = tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """What all rules share: names for people, checking, a sweep over the principal parameter, settings to choose from.

    A rule exits where a test of one exit holds or a trend over exits does, each with parameters of its own, so that
    the first exit of two settings together is the earlier one of each alone.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    equation: ClassVar[str]
    principal: ClassVar[str | None]  # the field that --threshold sets

    def __post_init__(self) -> None:
        """Reject values outside the legal range of their field."""
        for parameter in parameters(type(self)):
            parameter.check(f"--rule {self.name} {parameter.name}", getattr(self, parameter.name))

    def sweep(self: Rule, n_layers: int, n_classes: int) -> tuple[Rule, ...]:
        """Return settings of this rule from the most eager to never, for curves of accuracy against speed.

        Parameters outside the sweep keep their value, except that a run test is switched off at the far end.
        """
        settings = self._grid(n_layers, n_classes)
        return tuple(dataclasses.replace(self, **setting) for setting in settings)

    def _grid(self, n_layers: int, n_classes: int) -> Iterator[dict[str, Any]]:
        raise NotImplementedError

    def choices(self, observed: Observed) -> tuple[Settings, Settings]:
        """Return the settings of the test and those of the trend that a choice looks at, in all combinations.

        The slowest combination leaves no sentence early, as far as the rule allows. {} stands for no parameters.
        """
        known = {parameter.name: parameter for parameter in parameters(type(self))}
        both = (self._test_choices(observed), self._trend_choices(observed))
        test, trend = (
            tuple(one for one in found if all(known[name].legal_value(value) for name, value in one.items()))
            for found in both
        )
        return test, trend

    def _test_choices(self, observed: Observed) -> Iterator[dict[str, Any]]:
        yield {}

    def _trend_choices(self, observed: Observed) -> Iterator[dict[str, Any]]:
        yield {}


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareOrientedExit(_Rule):
    """Two classes: exit when the logits are far apart, or their order has been the same for long enough.

    A tie (z_0 = z_1) has no order and restarts the run. This is ELBERT with bias_1, margin 0 and K = 2, its
    entropy test turned into a difference: threshold = ln(p/(1-p)) at the p above 1/2 where Hn(p) = d.
    The defaults are ELBERT's own: its d = 0.1 is a difference of 4.33, its window of 8 in 24 layers one of 4 in 12.
    """

    name: ClassVar[str] = "hardware"
    title: ClassVar[str] = "Hardware-oriented exit: logit difference or run of equal signs"
    source: ClassVar[str] = (
        "ELBERT (arXiv 2107.00175) reduced to two classes, in the spirit of Li et al., ISVLSI 2022 "
        "(doi 10.1109/ISVLSI54635.2022.00092), whose circuit is not published"
    )
    equation: ClassVar[str] = "|z_0 - z_1| > threshold, or sign(z_0 - z_1) equal and not 0 in run_length layers"
    principal: ClassVar[str | None] = "threshold"

    threshold: float = ranged(4.33, 0.0, _NEVER_DIFFERENCE, "real logit difference above which a sample exits")
    run_length: int = ranged(4, 1, _MAX_RUN, "layers in a row with the same winner; above the depth = off")

    def _grid(self, n_layers: int, n_classes: int) -> Iterator[dict[str, Any]]:
        yield from ({"threshold": threshold} for threshold in _DIFFERENCE_GRID)
        yield {"threshold": _DIFFERENCE_GRID[-1], "run_length": n_layers + 1}
        yield {"threshold": _NEVER_DIFFERENCE, "run_length": n_layers + 1}

    def _test_choices(self, observed: Observed) -> Iterator[dict[str, Any]]:
        return ({"threshold": threshold} for threshold in (0.0, *observed.difference, _NEVER_DIFFERENCE))

    def _trend_choices(self, observed: Observed) -> Iterator[dict[str, Any]]:
        return ({"run_length": length} for length in observed.run_lengths)


@dataclass(frozen=True, slots=True, kw_only=True)
class ElbertExit(_Rule):
    """Confidence window: exit when sure now (stage 1), or when class 0 shows a trend over a window (stage 2).

    Stage 2 looks at x = p(class 0) in the last `window` layers. bias_1: all x > 1/2 + margin, or all
    x < 1/2 - margin. bias_2: the first x is on a side and the window runs away from the middle without turning
    back. bias_3: the window is wholly on a side and max x - min x <= range_limit. With more than two classes
    stage 2 means class 0 against the rest, as in the published code.
    """

    name: ClassVar[str] = "elbert"
    title: ClassVar[str] = "ELBERT: normalised entropy, then a confidence window"
    source: ClassVar[str] = "Xie, Lu, Wang, Wang, ICASSP 2021 (arXiv 2107.00175)"
    equation: ClassVar[str] = "H(p)/ln K < threshold, or (layer >= window and the bias test on p[0] of the window)"
    principal: ClassVar[str | None] = "threshold"

    threshold: float = ranged(0.4, 0.0, 1.0, "normalised entropy below which a sample exits", low_open=True)
    window: int = ranged(8, 1, _MAX_RUN, "layers that stage 2 looks at; above the depth = stage 1 only")
    bias: Bias = dataclasses.field(default="bias_1", metadata={"help": "kind of trend that stage 2 asks for"})
    margin: float = ranged(0.0, 0.0, 0.5, "distance from 1/2 that p[0] must keep", high_open=True)
    range_limit: float = ranged(0.1, 0.0, 1.0, "bias_3: largest spread of p[0] in the window", low_open=True)

    def _grid(self, n_layers: int, n_classes: int) -> Iterator[dict[str, Any]]:
        yield {"threshold": 1.0}
        yield from ({"threshold": threshold} for threshold in _ENTROPY_GRID)
        yield {"threshold": _ENTROPY_GRID[-1], "window": n_layers + 1}
        yield {"threshold": _NEVER_ENTROPY, "window": n_layers + 1}

    def _test_choices(self, observed: Observed) -> Iterator[dict[str, Any]]:
        return ({"threshold": threshold} for threshold in (_NEVER_ENTROPY, *observed.normalized_entropy, 1.0))

    def _trend_choices(self, observed: Observed) -> Iterator[dict[str, Any]]:
        return ({"window": length} for length in observed.run_lengths)


@dataclass(frozen=True, slots=True, kw_only=True)
class PabeeExit(_Rule):
    """Patience: exit when the predicted class has stayed the same `patience` times in a row."""

    name: ClassVar[str] = "pabee"
    title: ClassVar[str] = "PABEE: patience on the predicted class"
    source: ClassVar[str] = "Zhou et al., NeurIPS 2020 (arXiv 2006.04152)"
    equation: ClassVar[str] = "argmax z_l = argmax z_(l-1), patience times in a row"
    principal: ClassVar[str | None] = "patience"

    patience: int = ranged(6, 1, _MAX_RUN, "equal predictions in a row; earliest exit is layer patience + 1")

    def _grid(self, n_layers: int, n_classes: int) -> Iterator[dict[str, Any]]:
        return ({"patience": patience} for patience in range(1, max(2, n_layers)))

    def _trend_choices(self, observed: Observed) -> Iterator[dict[str, Any]]:
        return ({"patience": length - 1} for length in observed.run_lengths)


@dataclass(frozen=True, slots=True, kw_only=True)
class PabeeRegressionExit(_Rule):
    """Patience for one real output: exit when it has moved by less than `tolerance` `patience` times in a row."""

    name: ClassVar[str] = "pabee-regression"
    title: ClassVar[str] = "PABEE for regression: patience on a value that settles"
    source: ClassVar[str] = "Zhou et al., NeurIPS 2020 (arXiv 2006.04152)"
    equation: ClassVar[str] = "|y_l - y_(l-1)| < tolerance, patience times in a row"
    principal: ClassVar[str | None] = "patience"

    patience: int = ranged(6, 1, _MAX_RUN, "small steps in a row; earliest exit is layer patience + 1")
    tolerance: float = ranged(0.1, 0.0, 1000.0, "step of the output that counts as small", low_open=True)

    def _grid(self, n_layers: int, n_classes: int) -> Iterator[dict[str, Any]]:
        return ({"patience": patience} for patience in range(1, max(2, n_layers)))

    def _trend_choices(self, observed: Observed) -> Iterator[dict[str, Any]]:
        for length in observed.run_lengths:
            yield from ({"patience": length - 1, "tolerance": tolerance} for tolerance in observed.step)


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalizedEntropyExit(_Rule):
    """FastBERT: exit when the entropy, as a fraction of the largest possible, is at most `threshold`."""

    name: ClassVar[str] = "normalized-entropy"
    title: ClassVar[str] = "FastBERT: normalised entropy ('Speed')"
    source: ClassVar[str] = "Liu et al., ACL 2020 (FastBERT)"
    equation: ClassVar[str] = "H(p)/ln K <= threshold"
    principal: ClassVar[str | None] = "threshold"

    threshold: float = ranged(0.5, 0.0, 1.0, "normalised entropy up to which a sample exits; 0 = never")

    def _grid(self, n_layers: int, n_classes: int) -> Iterator[dict[str, Any]]:
        return ({"threshold": threshold} for threshold in (1.0, *_ENTROPY_GRID, 0.0))

    def _test_choices(self, observed: Observed) -> Iterator[dict[str, Any]]:
        return ({"threshold": threshold} for threshold in (0.0, *observed.normalized_entropy, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyExit(_Rule):
    """DeeBERT: exit when the entropy in nats is below `threshold` (also RomeBERT and EdgeBERT).

    The official program differs twice. Saturated logits (about 100) make its entropy NaN, and the sentence stays;
    here it exits. And it tests the ramp of the last layer too, which no training stage touches, before the final
    classifier; here the last exit is the final classifier, and always answers.
    """

    name: ClassVar[str] = "entropy"
    title: ClassVar[str] = "DeeBERT: entropy in nats"
    source: ClassVar[str] = "Xin et al., ACL 2020 (DeeBERT)"
    equation: ClassVar[str] = "H(p) < threshold, natural logarithm"
    principal: ClassVar[str | None] = "threshold"

    threshold: float = ranged(0.2, 0.0, 10.0, "entropy in nats below which a sample exits; at most ln K is useful")

    def _grid(self, n_layers: int, n_classes: int) -> Iterator[dict[str, Any]]:
        most = math.log(max(2, n_classes))
        return ({"threshold": most * fraction} for fraction in (1.01, *_ENTROPY_GRID, 0.0))

    def _test_choices(self, observed: Observed) -> Iterator[dict[str, Any]]:
        return ({"threshold": threshold} for threshold in (0.0, *observed.entropy, observed.any_entropy))


@dataclass(frozen=True, slots=True, kw_only=True)
class MaximumProbabilityExit(_Rule):
    """Exit when the most probable class has at least probability `threshold`."""

    name: ClassVar[str] = "max-probability"
    title: ClassVar[str] = "Maximum probability"
    source: ClassVar[str] = "Biggs, Bouganis, Constantinides, FCCM 2023 (ATHEENA, arXiv 2304.08400)"
    equation: ClassVar[str] = "max p >= threshold"
    principal: ClassVar[str | None] = "threshold"

    threshold: float = ranged(0.9, 0.0, 1.0, "probability of the winner from which a sample exits")

    def _grid(self, n_layers: int, n_classes: int) -> Iterator[dict[str, Any]]:
        least = 1 / max(2, n_classes)
        return ({"threshold": least + (1 - least) * fraction} for fraction in _PROBABILITY_GRID)

    def _test_choices(self, observed: Observed) -> Iterator[dict[str, Any]]:
        return ({"threshold": threshold} for threshold in (0.0, *observed.probability, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedDepthExit(_Rule):
    """Bound: every sample leaves after the same layer, as in a truncated or distilled model."""

    name: ClassVar[str] = "fixed-depth"
    title: ClassVar[str] = "Fixed depth (bound): a truncated model"
    source: ClassVar[str] = "no publication: the baseline that an exit rule has to beat"
    equation: ClassVar[str] = "layer = constant"
    principal: ClassVar[str | None] = "layer"

    layer: int = ranged(6, 1, _MAX_RUN, "layer after which every sample exits, from 1")

    def _grid(self, n_layers: int, n_classes: int) -> Iterator[dict[str, Any]]:
        return ({"layer": layer} for layer in range(1, n_layers + 1))

    def _test_choices(self, observed: Observed) -> Iterator[dict[str, Any]]:
        return ({"layer": layer} for layer in observed.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleExit(_Rule):
    """Bound: exit at the first layer that is right by the labels; layer 1 where no layer is."""

    name: ClassVar[str] = "oracle"
    title: ClassVar[str] = "Oracle (bound): the first exit that is right"
    source: ClassVar[str] = "no publication: no rule on the same exits is more accurate, nor faster at its accuracy"
    equation: ClassVar[str] = "argmax z_l = label; layer 1 where no exit is right"
    principal: ClassVar[str | None] = None

    def _grid(self, n_layers: int, n_classes: int) -> Iterator[dict[str, Any]]:
        yield {}


ExitRule = (
    HardwareOrientedExit
    | ElbertExit
    | PabeeExit
    | PabeeRegressionExit
    | NormalizedEntropyExit
    | EntropyExit
    | MaximumProbabilityExit
    | FixedDepthExit
    | OracleExit
)

RULES: dict[str, type[ExitRule]] = {kind.name: kind for kind in typing.get_args(ExitRule)}


def parameters(kind: type[_Rule]) -> tuple[Parameter, ...]:
    """Return the parameters of a rule in the order of its fields."""
    hints = typing.get_type_hints(kind)
    result = []
    for field in dataclasses.fields(kind):
        hint, default, extra = hints[field.name], cast(Any, field.default), dict(field.metadata)
        if typing.get_origin(hint) is Literal:
            extra["choices"] = typing.get_args(hint)
        spelled: Literal["float", "int", "choice"] = (
            "choice" if "choices" in extra else "int" if hint is int else "float"
        )
        result.append(Parameter(name=field.name, kind=spelled, default=default, **extra))
    return tuple(result)


def parse_rule(text: str, threshold: float | None = None) -> ExitRule:
    """Return the rule that ``NAME`` or ``NAME:field=value,field=value`` spells.

    `threshold` (the command line's --threshold) sets the rule's principal parameter, whatever its name.
    Raises ConfigError for an unknown rule or field, a value outside its range, and a parameter given twice.

    >>> parse_rule("pabee", threshold=3)
    PabeeExit(patience=3)
    """
    name, _, rest = text.partition(":")
    kind = RULES.get(name.strip())
    if kind is None:
        raise ConfigError("--rule", name, "is not a known rule", f"Known rules: {', '.join(RULES)}")
    known = {parameter.name: parameter for parameter in parameters(kind)}
    values: dict[str, Any] = {}
    for item in filter(str.strip, rest.split(",")):
        key, equals, value = (part.strip() for part in item.partition("="))
        field = key.replace("-", "_")
        where = f"--rule {kind.name} {key}"
        if field not in known:
            takes = f"takes {', '.join(known)}" if known else "takes no parameters"
            raise ConfigError(where, value or "(no value)", "is not a parameter of this rule", f"{kind.name} {takes}")
        if not equals:
            raise ConfigError(where, "(no value)", "needs a value", f"Write {key}={known[field].default}")
        if field in values:
            raise ConfigError(where, value, "is given twice", "Keep one of them")
        values[field] = known[field].read(where, value)
    if threshold is not None:
        values |= _principal_value(kind, known, values, threshold)
    return kind(**values)


def _principal_value(
    kind: type[ExitRule], known: dict[str, Parameter], values: dict[str, Any], threshold: float
) -> dict[str, Any]:
    if kind.principal is None:
        raise ConfigError("--threshold", threshold, f"means nothing to the rule {kind.name}", "Leave it out")
    if kind.principal in values:
        remedy = f"Give --threshold or {kind.principal}= in --rule, not both"
        raise ConfigError("--threshold", threshold, f"sets {kind.principal} of {kind.name} a second time", remedy)
    parameter = known[kind.principal]
    value = int(threshold) if parameter.kind == "int" and float(threshold).is_integer() else threshold
    where = "--threshold" if kind.principal == "threshold" else f"--threshold ({kind.principal} of {kind.name})"
    parameter.check(where, value)
    return {kind.principal: value}


def format_rule(rule: ExitRule) -> str:
    """Return the one line of text that `parse_rule` turns back into `rule`.

    >>> format_rule(HardwareOrientedExit())
    'hardware:threshold=4.33,run_length=4'
    """
    items = []
    for parameter in parameters(type(rule)):
        value = getattr(rule, parameter.name)
        items.append(f"{parameter.name}={float(value)!r}" if parameter.kind == "float" else f"{parameter.name}={value}")
    return f"{rule.name}:{','.join(items)}" if items else rule.name


def check_serves(rule: ExitRule, n_layers: int, n_classes: int) -> None:
    """Raise ConfigError where a rule cannot work on exits of `n_classes` outputs, saying why and what can.

    One output means regression.
    """
    match rule:
        case FixedDepthExit(layer=layer) if layer > n_layers:
            where, value = "--rule fixed-depth layer", str(layer)
            why, what = f"the model has {n_layers} layers", f"Use a layer from 1 to {n_layers}"
        case FixedDepthExit():
            return
        case PabeeRegressionExit() if n_classes != 1:
            where, value = "--rule", rule.name
            why, what = f"needs one real output, but the exits have {n_classes} classes", "Use --rule pabee"
        case PabeeRegressionExit():
            return
        case _ if n_classes == 1:
            where, value = "--rule", rule.name
            why = "needs classes, but the exits have one real output (regression)"
            what = "Use --rule pabee-regression or fixed-depth"
        case HardwareOrientedExit() if n_classes != 2:
            where, value = "--rule", rule.name
            why = f"reads the difference of two logits, but there are {n_classes} classes"
            what = "Use --rule elbert, pabee, entropy or max-probability"
        case _:
            return
    raise ConfigError(where, value, why, what)
