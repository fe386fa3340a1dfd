"""The measured table errors: equal to an enumeration of narrow units, within what is proven, and blind to nothing."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest

from hexit.quant.arrays import Floats, Integers
from hexit.quant.errors import ConfigError
from hexit.quant.exits.integer_rule import DifferenceTest, IntegerRule, SideRun, SmallStepRun, fires, integer_log_odds
from hexit.quant.exits.published import decide, entropy, first_exit, log_odds, softmax
from hexit.quant.exits.rules import ElbertExit, MaximumProbabilityExit, parse_rule
from hexit.quant.exits.table_format import TableFormat
from hexit.quant.exits.unit import ExitUnitSpec, exit_unit_spec
from support.error_comparison import PartError
from support.error_tables import table_error

TWO_CLASSES = [
    "hardware",
    "elbert:window=2",
    "elbert:window=2,bias=bias_2,margin=0.2",
    "elbert:window=2,bias=bias_3,range_limit=0.3",
    "normalized-entropy",
    "entropy",
    "max-probability",
    "entropy:threshold=1e-6",
    "max-probability:threshold=0.999999",
]
MORE_CLASSES = ["entropy:threshold=0.7", "normalized-entropy:threshold=0.4", "max-probability:threshold=0.7"]
COARSE = TableFormat(address_bits=4, fraction_bits=6)


def spec_of(rule: str, n_classes: int, logit_bits: int, **options: Any) -> ExitUnitSpec:
    given = {"n_layers": 4, "scale": 2.0 ** (4 - logit_bits)} | options
    return exit_unit_spec(parse_rule(rule), n_classes=n_classes, logit_bits=logit_bits, **given)


def part_of(spec: ExitUnitSpec, name: str, **options: int) -> PartError:
    (part,) = (part for part in table_error(spec, **options).parts if part.part == name)
    return part


def at_one_exit(logits: Integers) -> Integers:
    """Logits [n, K] as two equal layers, so that who leaves after the first does so by its test."""
    return np.stack([logits, logits])


def exit_layers(form: IntegerRule, logits: Integers) -> Integers:
    return first_exit(fires(form, logits))


@pytest.mark.slow
@pytest.mark.parametrize("logit_bits", [4, 8, 16])
@pytest.mark.parametrize("scale", [2.0**-9, float(np.float32(0.1)), 1.0])
@pytest.mark.parametrize("rule", TWO_CLASSES)
def test_two_classes_are_exact_on_every_difference(rule: str, scale: float, logit_bits: int) -> None:
    error = table_error(spec_of(rule, 2, logit_bits, scale=scale))
    decisions = [part for part in error.parts if part.part != "limits"]
    assert {part.n_inputs for part in decisions} == {2 ** (logit_bits + 1) - 1}
    assert all(part.exhaustive and part.n_wrong == 0 and part.bound == 0 for part in decisions)
    assert all(part.n_early == 0 for part in error.parts)


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule", ["pabee-regression:patience=1,tolerance=0.3", "hardware", "entropy", "elbert:window=2"]
)
@pytest.mark.parametrize("off_by", [-1, 1])
@pytest.mark.parametrize("logit_bits", [8, 16, 24])
def test_a_constant_that_is_off_by_one_is_found_on_both_sides(rule: str, off_by: int, logit_bits: int) -> None:
    spec = spec_of(rule, 1 if "regression" in rule else 2, logit_bits, scale=max(12 * 2.0**-logit_bits, 2.0**-20))
    form = spec.form
    match (form.confidence, form.trend):
        case DifferenceTest(minimum=minimum), _:
            wrong = dataclasses.replace(form, confidence=DifferenceTest(minimum=minimum + off_by))
        case _, SmallStepRun(minimum=minimum, run_length=run_length):
            wrong = dataclasses.replace(form, trend=SmallStepRun(minimum=minimum + off_by, run_length=run_length))
    measured = table_error(dataclasses.replace(spec, form=wrong)).parts[0]
    stricter = (off_by > 0) == (measured.part == "confidence")
    assert (measured.n_wrong, measured.n_early) == (2, 0 if stricter else 2)
    assert 0 < measured.worst <= form.scale
    assert table_error(spec).exact


@pytest.mark.parametrize("rule", MORE_CLASSES)
@pytest.mark.parametrize(("n_classes", "logit_bits"), [(3, 6), (4, 5), (5, 4)])
@pytest.mark.parametrize("tables", [COARSE, TableFormat(address_bits=7, fraction_bits=5), TableFormat()])
def test_confidence_error_is_that_of_an_enumeration(
    rule: str, n_classes: int, logit_bits: int, tables: TableFormat
) -> None:
    spec = spec_of(rule, n_classes, logit_bits, scale=2.0 ** (4 - logit_bits) * 0.9, tables=tables)
    distances = np.array(list(itertools.combinations_with_replacement(range(1 << logit_bits), n_classes - 1)))
    q = at_one_exit(-np.column_stack([np.zeros(len(distances), dtype=int), distances]))
    published = decide(parse_rule(rule), q * spec.form.scale).exit_layer
    unit = exit_layers(spec.form, half(q, logit_bits))
    wrong = published != unit

    measured = part_of(spec, "confidence")

    assert measured.exhaustive
    assert (measured.n_inputs, measured.n_wrong) == (len(distances), wrong.sum())
    assert measured.n_early == (wrong & (unit == 1)).sum()
    assert measured.worst == pytest.approx(
        away(rule, n_classes, q[0] * spec.form.scale)[wrong].max(initial=0.0), abs=1e-12
    )
    assert measured.worst <= measured.bound
    if tables == COARSE:
        assert measured.n_wrong > 0


def half(q: Integers, logit_bits: int) -> Integers:
    """The same distances with the largest logit at the upper end of its range."""
    return q + (1 << (logit_bits - 1)) - 1


def away(rule: str, n_classes: int, real: Floats) -> Floats:
    parsed = parse_rule(rule)
    if isinstance(parsed, MaximumProbabilityExit):
        return np.asarray(np.abs(softmax(real).max(axis=-1) - parsed.threshold))
    nats = getattr(parsed, "threshold") * (np.log(n_classes) if rule.startswith("normalized") else 1.0)  # noqa: B009
    return np.asarray(np.abs(entropy(real) - nats))


AT_THE_END = 1 / (1 + math.exp(-2.749)) - 0.5  # five steps of 0.55: of 4 bits, many sets of distances leave no room


@pytest.mark.parametrize(("bits", "margin"), [(5, 0.0), (5, 0.2), (5, 0.45), (4, AT_THE_END)])
@pytest.mark.parametrize("tables", [COARSE, TableFormat(address_bits=7, fraction_bits=4)])
def test_log_odds_and_sides_are_those_of_an_enumeration(bits: int, margin: float, tables: TableFormat) -> None:
    rule = ElbertExit(threshold=1e-300, window=1, margin=margin)
    spec = exit_unit_spec(rule, n_layers=2, n_classes=3, scale=0.55, logit_bits=bits, tables=tables)
    q = np.array(list(itertools.product(range(-(1 << (bits - 1)), 1 << (bits - 1)), repeat=3)))
    most = q[:, 1:].max(axis=1)
    _, first = np.unique(np.column_stack([q[:, 0] - most, most - q[:, 1:].min(axis=1)]), axis=0, return_index=True)
    q = q[first]  # one of each set that looks alike
    assert isinstance(spec.form.trend, SideRun)
    assert spec.form.trend.log_odds is not None
    integer = integer_log_odds(spec.form, spec.form.trend.log_odds, q) * spec.form.nat_scale
    real = log_odds(q * 0.55)
    form = dataclasses.replace(spec.form, confidence=None)
    unit, published = exit_layers(form, at_one_exit(q)), decide(rule, at_one_exit(q) * 0.55).exit_layer
    wrong = unit != published
    distance = np.abs(np.abs(real) - np.log((0.5 + margin) / (0.5 - margin)))

    odds, side = part_of(spec, "log-odds"), part_of(spec, "side")

    assert odds.worst == pytest.approx(np.abs(integer - real).max(), rel=1e-9)
    assert odds.worst <= odds.bound
    assert (odds.n_inputs, side.n_inputs) == (1 << bits, len(q))
    assert (side.n_wrong, side.n_early) == (wrong.sum(), (wrong & (unit == 1)).sum())
    assert side.worst == pytest.approx(distance[wrong].max(initial=0.0), rel=1e-9)
    assert side.worst <= odds.worst


@pytest.mark.parametrize("range_limit", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("address_bits", [4, 5, 12])
def test_limits_error_is_that_of_an_enumeration(range_limit: float, address_bits: int) -> None:
    rule = ElbertExit(threshold=1e-300, window=2, bias="bias_3", margin=0.1, range_limit=range_limit)
    tables = TableFormat(address_bits=address_bits)
    spec = exit_unit_spec(rule, n_layers=3, n_classes=2, scale=2.0**-4, logit_bits=7, tables=tables)
    assert isinstance(spec.form.trend, SideRun)
    pairs = np.array(list(itertools.combinations_with_replacement(range(spec.form.trend.minimum, 128), 2)))
    first = pairs // 2
    q = np.stack([first, first - pairs], axis=-1).transpose(1, 0, 2)[[0, 1, 1]]
    form = dataclasses.replace(spec.form, confidence=None)
    unit, published = exit_layers(form, q) == 2, decide(rule, q * 2.0**-4).exit_layer == 2

    measured = part_of(spec, "limits")

    assert measured.exhaustive
    assert (measured.n_inputs, measured.n_wrong, measured.n_early) == (len(pairs), (unit != published).sum(), 0)
    assert not (unit & ~published).any()
    assert measured.worst <= measured.bound
    assert (measured.n_wrong == 0) == (address_bits == 12 or measured.bound == 0)


@pytest.mark.slow
@pytest.mark.parametrize("rule", [*MORE_CLASSES, "elbert:window=2,bias=bias_3,margin=0.1"])
@pytest.mark.parametrize(("n_classes", "logit_bits", "exhaustive"), [(3, 8, True), (3, 16, True), (10, 12, False)])
@pytest.mark.parametrize("tables", [TableFormat(), TableFormat(address_bits=8, fraction_bits=12)])
def test_what_is_measured_is_within_what_is_proven(
    rule: str, n_classes: int, logit_bits: int, exhaustive: bool, tables: TableFormat
) -> None:
    error = table_error(spec_of(rule, n_classes, logit_bits, tables=tables), budget=1 << 16)
    assert all(part.worst <= part.bound for part in error.parts)
    assert part_of_kind(error.parts, "confidence").exhaustive == exhaustive
    if logit_bits > 8:
        assert part_of_kind(error.parts, "confidence").worst > error.parts[0].bound / 40  # neither is idle


def part_of_kind(parts: tuple[PartError, ...], name: str) -> PartError:
    return next(part for part in parts if part.part == name)


@pytest.mark.parametrize("rule", MORE_CLASSES)
def test_a_share_finds_errors_like_those_of_the_whole(rule: str) -> None:
    spec = spec_of(rule, 4, 7, tables=TableFormat(address_bits=6, fraction_bits=8))
    whole, share = part_of(spec, "confidence"), part_of(spec, "confidence", budget=8000)
    assert (whole.exhaustive, share.exhaustive) == (True, False)
    assert share.n_inputs < whole.n_inputs
    assert whole.worst / 3 <= share.worst <= whole.worst
    assert share == part_of(spec, "confidence", budget=8000, seed=0) != part_of(spec, "confidence", budget=8000, seed=1)


def test_rules_that_compare_only_classes_or_layers_have_no_error() -> None:
    for rule in ("pabee:patience=2", "fixed-depth:layer=2"):
        error = table_error(spec_of(rule, 3, 12))
        assert error.parts == ()
        assert error.exact


def test_integers_of_another_rule_are_refused() -> None:
    for rule, n_classes in (("hardware", 2), ("entropy", 3)):
        spec = dataclasses.replace(spec_of(rule, n_classes, 8), rule="pabee:patience=2")
        with pytest.raises(ConfigError, match="does not compare what the unit compares"):
            table_error(spec)
