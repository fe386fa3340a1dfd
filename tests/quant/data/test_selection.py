"""The labelled sentences on which exit rules are set, quant/assets/selection.tsv, keep the promises of their README."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations

import pytest

from support.paths import ROOT, SHARED_DATA
from support.word_overlap import too_alike, words

ASSETS = ROOT / "quant" / "assets"
SST2 = SHARED_DATA / "glue" / "SST-2"
Row = tuple[str, str]


def lines_of(name: str) -> list[str]:
    return (ASSETS / name).read_bytes().decode("utf-8").removesuffix("\n").split("\n")


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    header, *lines = lines_of("selection.tsv")
    assert header == "sentence\tlabel"
    return [(sentence, label) for sentence, label in (line.split("\t") for line in lines)]


def as_in_sst2(sentence: str) -> bool:
    return sentence == sentence.lower()


def is_split(sentence: str) -> bool:
    """Whether every punctuation mark that ends a word, `n't` and `'s` stand alone, as in SST-2."""
    token = re.compile(r"[,;:.?!`]|--|\.\.\.|n't|'\w*|[^\W_]+(['-][^\W_]+)*")
    joined = re.compile(r"\w('s|n't)")
    return all(token.fullmatch(word) and not joined.search(word) for word in sentence.split(" "))


def test_there_are_at_least_600_rows_and_the_classes_are_equal(rows: list[Row]) -> None:
    assert len(rows) >= 600
    assert Counter(label for _, label in rows) == {"0": len(rows) // 2, "1": len(rows) // 2}


def test_lines_are_unique_and_of_one_of_the_two_forms(rows: list[Row]) -> None:
    # A quote would make csv readers with default settings swallow the following lines.
    ordinary = re.compile(r'[A-Z][^"\s]*( [^"\s]+){2,}(?<=[.!?])')
    assert len({sentence.lower() for sentence, _ in rows}) == len(rows)
    wrong = [s for s, _ in rows if not (is_split(s) if as_in_sst2(s) else ordinary.fullmatch(s))]
    assert wrong == []


def test_readme_states_the_classes_and_lengths_of_each_form(rows: list[Row]) -> None:
    section = (ASSETS / "README.md").read_text("utf-8").split("## selection.tsv")[1].split("\n## ")[0]
    stated = re.findall(r"^\| (as in SST-2|ordinary writing).*?" + r"\| ([\d.]+) " * 6 + r"\|$", section, re.MULTILINE)
    measured = []
    for form, is_split_form in (("as in SST-2", True), ("ordinary writing", False)):
        chosen = [(s, label) for s, label in rows if as_in_sst2(s) == is_split_form]
        n = Counter(label for _, label in chosen)
        n_words = [len(s.split()) for s, _ in chosen]
        mean = f"{sum(n_words) / len(n_words):.1f}"
        measured.append((form, *map(str, (n["0"], n["1"], len(chosen), min(n_words), mean, max(n_words)))))
    assert stated == measured


def test_three_fifths_have_the_form_and_the_lengths_of_sst2(rows: list[Row]) -> None:
    n_words = [len(s.split()) for s, _ in rows if as_in_sst2(s)]
    assert len(n_words) == pytest.approx(0.6 * len(rows), rel=0.02)
    assert (min(n_words) >= 8, max(n_words) <= 35) == (True, True)
    assert sum(n_words) / len(n_words) == pytest.approx(19.5, abs=1.0)  # the mean of SST-2's dev set is 19.5


def test_the_order_mixes_classes_and_forms(rows: list[Row]) -> None:
    labels = re.findall(r"0+|1+", "".join(label for _, label in rows))
    forms = re.findall(r"a+|b+", "".join("ab"[as_in_sst2(sentence)] for sentence, _ in rows))
    assert max(map(len, labels)) <= 8
    assert max(map(len, forms)) <= 20  # by chance 0.03 such (700 x 0.6^20) runs are expected


@pytest.mark.slow
def test_no_two_sentences_share_most_of_their_words(rows: list[Row]) -> None:
    sets = {sentence: words(sentence) for sentence, _ in rows}
    assert [(a, b) for a, b in combinations(sets, 2) if too_alike(sets[a], sets[b])] == []


@pytest.mark.slow
@pytest.mark.parametrize("other", ["reviews.tsv", "calibration.txt"])
def test_no_sentence_shares_most_of_its_words_with_another_text(rows: list[Row], other: str) -> None:
    known = [words(line.split("\t")[0]) for line in lines_of(other)]
    assert [s for s, _ in rows if any(too_alike(words(s), line) for line in known)] == []


@pytest.mark.slow
@pytest.mark.skipif(not SST2.is_dir(), reason=f"no {SST2}")
def test_no_sentence_is_a_line_of_sst2(rows: list[Row]) -> None:
    def plain(sentence: str) -> str:
        return " ".join(re.findall(r"\w+", sentence.lower()))

    known = {plain(line.split("\t")[0]) for name in ("train", "dev") for line in (SST2 / f"{name}.tsv").open("rt")}
    assert {plain(sentence) for sentence, _ in rows} & known == set()
