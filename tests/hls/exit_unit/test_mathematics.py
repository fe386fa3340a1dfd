"""The mathematics of a unit in words: operations, tables as they are built, errors as the document lists them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hexit.hls.exit_unit.constants import constants, tables
from hexit.hls.exit_unit.mathematics import SAMPLED, mathematics_lines
from hexit.quant.exits.operations import rule_operations
from hexit.quant.exits.rules import RULES, parse_rule
from hexit.quant.exits.table_format import TableFormat
from hexit.quant.exits.unit import ExitUnitSpec, exit_unit_spec
from support.error_comparison import PartError
from support.error_tables import error_cells, error_text, table_error
from support.paths import ROOT

FINE = TableFormat(address_bits=16)  # an entry for every integer of 8 bits

DOCUMENT = (ROOT / "docs" / "exit_unit.md").read_text(encoding="utf-8")
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in DOCUMENT.partition("| rule | K | bits |")[2].splitlines()[2:]
    if line.startswith("|")
]
WHOLE_ROWS = [row for row in ROWS if row[4].replace(",", "").isdigit() and int(row[4].replace(",", "")) < 10**8]


def spec_of(rule: str, n_classes: int, **options: Any) -> ExitUnitSpec:
    given: dict[str, Any] = {"n_layers": 12, "scale": 2.0**-4, "logit_bits": 8, "tables": FINE}
    return exit_unit_spec(parse_rule(rule), n_classes=n_classes, **(given | options))


@pytest.mark.parametrize(
    "rule", ["entropy", "max-probability", "elbert:window=3", "elbert:window=3,bias=bias_3", "pabee"]
)
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_tables_and_state_are_those_of_the_hardware(rule: str, n_classes: int) -> None:
    spec = spec_of(rule, n_classes)
    operations, built = rule_operations(spec), constants(spec)
    assert [table.name for table in operations.tables] == list(tables(spec))
    for table in operations.tables:
        assert table.entries == built[f"{table.name.upper()}_ENTRIES"]
        assert table.bits == built[f"{table.name.upper()}_BITS"]
    assert operations.table_bits == sum(
        len(table.entries) * built[f"{n.upper()}_BITS"] for n, table in tables(spec).items()
    )
    assert operations.state_bits == spec.state_bits


def test_mathematics_in_words() -> None:
    lines = mathematics_lines(spec_of("elbert:window=4,bias=bias_3", 3))
    assert lines[0] == "the rule asks for exp, log, divide, multiply"
    assert lines[1].startswith(
        "confidence: exp: table (exponential 245 x 17 bits, weighted 245 x 15 bits): e^-y by the"
    )
    assert [line.partition(":")[0] for line in lines[-3:]] == ["confidence", "side", "limits"]
    assert mathematics_lines(spec_of("hardware", 2)) == (
        "the rule asks for no exp, log, division or product",
        "per event: subtractions 1, additions 1, comparisons 6, look-ups 0, products 0; bits of state per sentence 5",
        "confidence: as published",
        "side: as published",
    )


@pytest.mark.parametrize(
    ("rule", "n_classes", "lines"),
    [
        ("entropy", 2, ["confidence: as published"]),
        ("entropy", 3, [r"confidence: as published, but within \S+ nats of its threshold"]),
        ("max-probability", 3, [r"confidence: as published, but within \S+ in probability of its threshold"]),
        ("pabee-regression", 1, ["step: as published"]),
        ("pabee", 3, []),
        (
            "elbert:window=3,bias=bias_3,range_limit=0.01",
            2,
            ["confidence: as published", "side: as published", f"limits: {SAMPLED}"],
        ),
    ],
)
def test_the_margins_in_words_are_those_of_the_integers(rule: str, n_classes: int, lines: list[str]) -> None:
    spec = spec_of(rule, n_classes, logit_bits=16, scale=2.0**-12, tables=None)
    words = [line for line in mathematics_lines(spec) if "as published" in line or SAMPLED in line]
    assert len(words) == len(lines)
    assert all(re.fullmatch(line, word) for line, word in zip(lines, words, strict=True)), words
    measured: dict[str, PartError] = {part.part: part for part in table_error(spec, budget=1 << 12).parts}
    for word in words:
        name, _, text = word.partition(": ")
        bound = float(text.split()[4]) if "within" in text else 0.0
        assert text == SAMPLED or measured[name].worst <= bound * 1.05  # the bound is rounded to two digits


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "worst 0.00013 nats, proven 0.0005; 1,200 wrong of 34,000 inputs"),
        ({"exhaustive": False}, "worst 0.00013 nats, proven 0.0005; 1,200 wrong of a share of 34,000 inputs"),
        ({"n_wrong": 0}, "worst 0.00013 nats, proven 0.0005; over 34,000 inputs"),
        ({"n_wrong": 0, "worst": 0.0}, "exact over 34,000 inputs"),
        ({"n_wrong": 0, "worst": 0.0, "exhaustive": False}, "nothing wrong in a share of 34,000 inputs"),
    ],
)
def test_an_error_in_words(changes: dict[str, Any], text: str) -> None:
    known: dict[str, Any] = {"part": "confidence", "unit": "nats", "n_inputs": 34000, "n_wrong": 1200, "n_early": 7}
    known |= {"n_ties": 0, "worst": 0.000131, "bound": 0.0005, "exhaustive": True}
    assert error_text(PartError(**(known | changes))) == text


def test_the_document_has_a_row_for_every_rule_that_can_be_wrong() -> None:
    names = {name for name in RULES if name not in ("oracle", "pabee", "fixed-depth")}
    assert {row[0].partition(":")[0] for row in ROWS} == names
    assert len(WHOLE_ROWS) > len(ROWS) / 2


@pytest.mark.slow
@pytest.mark.parametrize("row", WHOLE_ROWS, ids=lambda row: " ".join(row[:4]))
def test_a_row_of_the_document_is_measured_again(row: tuple[str, ...]) -> None:
    n_classes, logit_bits = int(row[1]), int(row[2])
    spec = spec_of(row[0], n_classes, logit_bits=logit_bits, scale=2.0 ** (4 - logit_bits), tables=None)
    assert row[3:] in {error_cells(part) for part in table_error(spec).parts}
