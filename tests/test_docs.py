"""The pages: what they link to exists, the index has them all, the glossary has one row a word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.paths import ROOT

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "quant" / "assets" / "README.md"])
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    dead = []
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve() if target else page
        alive = path.is_relative_to(ROOT) and path.exists() and (not anchor or anchor in anchors(path))
        dead += [] if alive else [f"{target}#{anchor}"]
    assert dead == []


@pytest.mark.parametrize("page", [*DECISIONS, ROOT / "CONTRIBUTING.md", ROOT / "README.md"], ids=name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    files = re.findall(
        r"`((?:quant|hw_model|sim|hls|tests|benchmarks|docs)/[\w/.-]+)`", page.read_text(encoding="utf-8")
    )
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_the_index_has_every_page() -> None:
    indices = {ROOT / "docs" / "README.md", ROOT / "docs" / "decisions" / "README.md"}
    linked = {(index.parent / target).resolve() for index in indices for target, _ in LINK.findall(index.read_text())}
    assert [name(page) for page in PAGES if page.is_relative_to(ROOT / "docs") and page not in linked | indices] == []


def test_every_word_of_the_glossary_has_a_meaning_and_a_place() -> None:
    rows = [line.strip("|\n ").split(" | ") for line in GLOSSARY.splitlines() if re.match(r"\| (?!word )\S", line)]
    rows = [row for row in rows if not row[0].startswith("---")]
    words = [row[0] for row in rows]
    assert len(words) > 60
    assert len(set(words)) == len(words)
    assert [row for row in rows if not (len(row) == 3 and row[1].endswith(".") and LINK.search(row[2]))] == []


@pytest.mark.parametrize("page", DECISIONS, ids=name)
def test_a_decision_is_short_and_has_its_parts(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    number = int(page.name[:4])
    assert text.startswith(f"# {number}. ")
    assert re.findall(r"^## (Context|Decision|Consequences)$", text, re.MULTILINE) == [
        "Context",
        "Decision",
        "Consequences",
    ]
    assert 15 <= len(text.splitlines()) <= 40
