"""The operations of each rule, counted by hand, fates of exp, log and division; and the rules no unit can serve."""

from __future__ import annotations

from typing import Any

import pytest

from hexit.quant.errors import ConfigError
from hexit.quant.exits.operations import OperationCount, RuleOperations, rule_operations
from hexit.quant.exits.rules import RULES, parse_rule
from hexit.quant.exits.table_format import TableFormat
from hexit.quant.exits.unit import ExitUnitSpec, exit_unit_spec

ENTROPIES = ("elbert", "normalized-entropy", "entropy")
FINE, ROUNDED = TableFormat(address_bits=16), TableFormat(address_bits=8)  # at 8 bits: an entry per integer, or not


def spec_of(rule: str, n_classes: int, **options: Any) -> ExitUnitSpec:
    given: dict[str, Any] = {"n_layers": 12, "scale": 2.0**-4, "logit_bits": 8, "tables": FINE}
    return exit_unit_spec(parse_rule(rule), n_classes=n_classes, **(given | options))


def operations_of(rule: str, n_classes: int, **options: Any) -> RuleOperations:
    return rule_operations(spec_of(rule, n_classes, **options))


@pytest.mark.parametrize(
    ("rule", "n_classes", "tables", "subtractions", "additions", "comparisons", "look_ups", "multiplications"),
    [
        ("hardware", 2, FINE, 1, 1, 6, 0, 0),  # q_0 - q_1 | count | +-, side +-, side, count
        ("hardware:run_length=13", 2, FINE, 1, 0, 2, 0, 0),  # no run ends within 12 layers
        ("pabee", 2, FINE, 1, 1, 2, 0, 0),
        ("pabee", 10, FINE, 0, 1, 11, 0, 0),  # 9 for the largest, class, count
        ("pabee-regression", 1, FINE, 1, 1, 3, 0, 0),
        ("fixed-depth", 3, FINE, 0, 0, 2, 0, 0),
        ("entropy", 2, FINE, 1, 0, 2, 0, 0),
        ("normalized-entropy", 2, FINE, 1, 0, 2, 0, 0),
        ("max-probability", 2, FINE, 1, 0, 2, 0, 0),
        ("max-probability", 3, FINE, 3, 2, 3, 3, 0),  # m - q | A | largest, A | e^-y
        ("max-probability", 3, ROUNDED, 3, 2, 3, 3, 0),  # at 8 bits 256 addresses reach every integer
        ("max-probability", 3, TableFormat(address_bits=7), 3, 5, 3, 3, 0),  # and 128 do not: addresses are rounded
        ("max-probability", 10, FINE, 10, 9, 10, 10, 0),
        ("entropy", 3, FINE, 5, 6, 2, 7, 1),  # m - q, A - 1, ln A - h | A, B, sum, address | largest | e, ye, ln | A
        ("entropy", 10, FINE, 12, 20, 9, 21, 1),
        ("elbert:window=4", 2, FINE, 1, 1, 6, 0, 0),
        ("elbert:window=4,bias=bias_2", 2, FINE, 1, 1, 7, 0, 0),
        ("elbert:window=4,bias=bias_3", 2, FINE, 1, 1, 13, 1, 0),  # smallest and largest of 4, limit
        ("elbert:window=4", 3, FINE, 10, 9, 7, 10, 1),  # and m' - q, A' - 1, q_0 - m', - ln A' | A', address | m'
    ],
)
def test_operations_of_an_event(
    rule: str,
    n_classes: int,
    tables: TableFormat,
    subtractions: int,
    additions: int,
    comparisons: int,
    look_ups: int,
    multiplications: int,
) -> None:
    expected = OperationCount(
        subtractions=subtractions,
        additions=additions,
        comparisons=comparisons,
        look_ups=look_ups,
        multiplications=multiplications,
    )
    assert operations_of(rule, n_classes, tables=tables).count == expected


@pytest.mark.parametrize("name", [name for name in RULES if name not in ("oracle", "pabee-regression")])
def test_two_classes_need_no_table_and_no_multiplier(name: str) -> None:
    operations = operations_of(name, 2)
    assert operations.tables == ()
    assert operations.count.multiplications == operations.count.look_ups == 0
    assert {item.fate for item in operations.treatments} <= {"removed"}
    assert {operation for item in operations.treatments for operation in item.operations} == set(operations.published)


@pytest.mark.parametrize("name", [name for name in RULES if name not in ("oracle", "pabee-regression", "hardware")])
@pytest.mark.parametrize("bias", ["bias_1", "bias_3"])
def test_more_classes_need_tables_for_exp_and_log_never_a_division(name: str, bias: str) -> None:
    operations = operations_of(f"elbert:bias={bias},window=3" if name == "elbert" else name, 3)
    fates = {(operation, item.fate) for item in operations.treatments for operation in item.operations}
    assert {operation for operation, _ in fates} == set(operations.published)
    assert ("exp", "removed") not in fates
    assert ("divide", "multiplier") not in fates
    assert operations.count.multiplications == (name in ENTROPIES)
    named = {table for item in operations.treatments for table in item.tables}
    assert named == {table.name for table in operations.tables}
    assert all(item.how and (item.fate == "table") == bool(item.tables) for item in operations.treatments)


@pytest.mark.parametrize(
    ("rule", "n_classes", "options", "message"),
    [
        (
            "hardware",
            3,
            {},
            "--rule = hardware: reads the difference of two logits, but there are 3 classes. "
            "Use --rule elbert, pabee, entropy or max-probability.",
        ),
        (
            "oracle",
            2,
            {},
            "--rule = oracle: reads labels, so no exit unit can decide it. "
            "Use --rule hardware (two classes), elbert, pabee, entropy or max-probability.",
        ),
        (
            "entropy",
            1,
            {},
            "--rule = entropy: needs classes, but the exits have one real output (regression). "
            "Use --rule pabee-regression or fixed-depth.",
        ),
        (
            "pabee-regression",
            2,
            {},
            "--rule = pabee-regression: needs one real output, but the exits have 2 classes. Use --rule pabee.",
        ),
        (
            "fixed-depth:layer=3",
            2,
            {"evaluated_layers": (2, 12)},
            "--exits = layer 3: has no exit, but the rule leaves there. Add 3 to --exits.",
        ),
        (
            "fixed-depth:layer=13",
            2,
            {},
            "--rule fixed-depth layer = 13: the model has 12 layers. Use a layer from 1 to 12.",
        ),
        (
            "fixed-depth:layer=3",
            2,
            {"confidence": True},
            "--confidence = fixed-depth:layer=3: always leaves after layer 3, whatever the logits, so there is no "
            "confidence. Leave it out.",
        ),
        (
            "pabee:patience=6",
            2,
            {"confidence": True, "evaluated_layers": (6, 12)},
            "--confidence = pabee:patience=6: always leaves after layer 12, whatever the logits, so there is no "
            "confidence. Leave it out.",
        ),
        ("pabee", 65, {}, "n_classes = 65: must be 1..64. Choose another number."),
        ("entropy", 3, {"logit_bits": 25}, "--logit-bits = 25: must be 4..24. Try --logit-bits 16."),
        ("entropy", 3, {"scale": 1e-9}, "logit scale = 1e-09: must be within 2^-20 .. 2^8. Check the calibration."),
        (
            "entropy",
            3,
            {"evaluated_layers": (4, 8)},
            "--exits = 4,8: must be rising layers from 1 that end with the last one, 12. Try --exits 6,12.",
        ),
    ],
)
def test_a_unit_that_cannot_be_built_says_why_and_what_can(
    rule: str, n_classes: int, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        spec_of(rule, n_classes, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize("bias", ["bias_1", "bias_2", "bias_3"])
def test_a_three_class_elbert_window_can_be_built(bias: str) -> None:
    assert spec_of(f"elbert:bias={bias},window=3", 3).form.trend is not None
