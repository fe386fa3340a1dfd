"""Names and texts of users: whatever they hold, generated files stay what they are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hls.tools.naming import MAX_LENGTH, MAX_TEXT_LENGTH, comment_text, identifier, markdown_text
from support.examples import examples

HOSTILE = [
    "",
    " ",
    "class",
    "module",
    "1st task",
    "sst2'; rm -rf /; '",
    '"] ; exec sh ; set x ["',
    "$(shell touch /tmp/x)",
    "`id`",
    "../../etc/passwd",
    "C:\\dir\\",
    "a*/ int main() {} /*",
    "line\nbreak\r\n#define x",
    "trigraph ??/",
    "été 你好 \u202e",
    "\x00\x1b[31m",
    "|x|<script>&amp;",
    "myproject",
    "a_mystamp",
    "x" * 300,
    "\ud800",
]
TEXTS = examples(200)
texts = st.one_of(st.sampled_from(HOSTILE), st.text(), st.text("\\/*?\n \t#$`x"))


@TEXTS
@given(texts)
def test_an_identifier_is_one_word_in_every_language(text: str) -> None:
    name = identifier(text)
    assert re.fullmatch(r"hexit(_[a-z0-9]+)+", name)
    assert len(name) <= MAX_LENGTH
    assert "myproject" not in name  # hls4ml replaces both in lines that hold the name
    assert "mystamp" not in name
    assert identifier(name) == name == identifier(text)


@pytest.mark.parametrize(("text", "name"), [("sst2", "hexit_sst2"), ("a_b3", "hexit_a_b3"), ("class", "hexit_class")])
def test_plain_names_stay_readable(text: str, name: str) -> None:
    assert identifier(text) == name


def test_texts_that_look_alike_get_names_of_their_own() -> None:
    alike = [*HOSTILE, "sst2", "SST2", "SST-2", "sst 2", "sst_2", "sst__2", "_sst2", "ssť2", "x" * 299, "x" * 32]
    names = {identifier(text) for text in alike}
    assert len(names) == len(alike)
    stolen = identifier("SST2").removeprefix("hexit_")
    assert identifier(stolen) != identifier("SST2")


@TEXTS
@given(texts)
def test_a_comment_is_one_line_that_neither_ends_nor_goes_on(text: str) -> None:
    shown = comment_text(text)
    assert re.fullmatch(r"[ -~]*", shown)
    assert not re.search(r"\\|\*/|/\*|//|\?\?", shown)
    assert len(shown) <= MAX_TEXT_LENGTH


def test_plain_text_stays_as_it_is_in_a_comment() -> None:
    assert comment_text("elbert:threshold=0.2,window=4 (SST-2)") == "elbert:threshold=0.2,window=4 (SST-2)"
    assert comment_text("a\\\n*/é") == "a(U+005C)(U+000A)* /(U+00E9)"


def test_comments_of_hostile_texts_compile(tmp_path: Path) -> None:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++")
    lines = [f"/* {comment_text(text)} */ // {comment_text(text)}\nint x{n};" for n, text in enumerate(HOSTILE)]
    source = tmp_path / "comments.cpp"
    source.write_text("\n".join(lines))
    flags = ["-trigraphs", "-Wall", "-Werror", "-std=c++11", "-fsyntax-only"]
    assert subprocess.run([compiler, *flags, str(source)], check=False).returncode == 0


@TEXTS
@given(texts)
def test_markdown_shows_a_text_and_obeys_nothing_in_it(text: str) -> None:
    shown = markdown_text(text)
    assert shown.isprintable()
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]|~$]", shown)
    assert not re.search(r"[<>]", shown)


def test_markdown_of_plain_words_is_the_words() -> None:
    assert markdown_text("two words") == "two words"
    assert markdown_text("[x](y)|<b>\n") == "\\[x\\](y)\\|&lt;b&gt;(U+000A)"
