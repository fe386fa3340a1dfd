"""The review sentences shipped in quant/assets/reviews.tsv keep the promises of their README."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations

import pytest

from support.paths import ROOT
from support.word_overlap import too_alike, words

ASSETS = ROOT / "quant" / "assets"
KINDS = {"blunt", "mild", "negation", "contrast", "concession", "comparison", "irony", "mixed_detail"}


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return (ASSETS / "reviews.tsv").read_bytes().decode("utf-8").removesuffix("\n").split("\n")


@pytest.fixture(scope="module")
def rows(lines: list[str]) -> list[tuple[str, str, str]]:
    return [(sentence, label, kind) for sentence, label, kind in (line.split("\t") for line in lines[1:])]


def test_header_names_the_three_columns(lines: list[str]) -> None:
    assert lines[0] == "sentence\tlabel\tkind"


def test_there_are_at_least_400_rows_and_the_classes_are_equal(rows: list[tuple[str, str, str]]) -> None:
    n_by_label = Counter(label for _, label, _ in rows)
    assert len(rows) >= 400
    assert n_by_label == {"0": len(rows) // 2, "1": len(rows) // 2}


def test_each_kind_holds_both_classes(rows: list[tuple[str, str, str]]) -> None:
    assert {(kind, label) for _, label, kind in rows} == {(kind, label) for kind in KINDS for label in "01"}


def test_readme_states_the_counts_of_each_kind(rows: list[tuple[str, str, str]]) -> None:
    n = Counter((kind, label) for _, label, kind in rows)
    readme = (ASSETS / "README.md").read_text("utf-8")
    stated = {
        kind: (int(negative), int(positive), int(both))
        for kind, negative, positive, both in re.findall(
            r"^\| `(\w+)` \|.*\| (\d+) \| (\d+) \| (\d+) \|$", readme, re.MULTILINE
        )
        if kind in KINDS
    }
    assert stated == {kind: (n[kind, "0"], n[kind, "1"], n[kind, "0"] + n[kind, "1"]) for kind in KINDS}


def test_sentences_are_plain_text_of_at_least_three_words(rows: list[tuple[str, str, str]]) -> None:
    # A leading quote would make csv readers with default settings swallow the following lines.
    plain = re.compile(r'[A-Z][^"\s]*( [^"\s]+){2,}(?<=[.!?])')
    assert [sentence for sentence, _, _ in rows if not plain.fullmatch(sentence)] == []


@pytest.mark.slow
def test_no_two_sentences_share_most_of_their_words(rows: list[tuple[str, str, str]]) -> None:
    alike = [(a, b) for a, b in combinations([s for s, _, _ in rows], 2) if too_alike(words(a), words(b))]
    assert alike == []


def test_the_order_mixes_the_classes(rows: list[tuple[str, str, str]]) -> None:
    runs = re.findall(r"0+|1+", "".join(label for _, label, _ in rows))
    assert max(map(len, runs)) <= 8


@pytest.fixture(scope="module")
def calibration() -> list[str]:
    return (ASSETS / "calibration.txt").read_bytes().decode("utf-8").removesuffix("\n").split("\n")


def test_calibration_text_has_256_unique_lines(calibration: list[str]) -> None:
    assert (len(calibration), len({line.lower().strip() for line in calibration} - {""})) == (256, 256)


@pytest.mark.slow
def test_calibration_text_is_disjoint_from_the_reviews(
    calibration: list[str], rows: list[tuple[str, str, str]]
) -> None:
    reviews = [words(sentence) for sentence, _, _ in rows]
    seen = [line for line in calibration if any(too_alike(words(line), review) for review in reviews)]
    assert seen == []
