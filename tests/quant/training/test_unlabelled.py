from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from hexit.quant.errors import ConfigError
from hexit.quant.training.unlabelled import load_sentences

REVIEW = (
    "This is a fine film. It has a plot!<br /><br />No. The actors are good, and they know it?) Yes they do indeed."
)


@pytest.mark.parametrize("name", ["u.jsonl", "u.jsonl.xz"])
def test_reviews_are_cut_into_sentences(name: str, tmp_path: Path) -> None:
    raw = (json.dumps({"text": REVIEW}) + "\n\n" + json.dumps({"text": "so " * 41, "label": 1}) + "\n").encode()
    (tmp_path / name).write_bytes(lzma.compress(raw) if name.endswith("xz") else raw)
    sentences = load_sentences(tmp_path / name, 10, 0)
    assert sorted(sentences) == [
        "It has a plot!",
        "The actors are good, and they know it?",
        "This is a fine film.",
        "Yes they do indeed.",
    ]
    assert load_sentences(tmp_path / name, 10, 0) == sentences
    assert load_sentences(tmp_path / name, 2, 0) == sentences[:2]
    assert len({load_sentences(tmp_path / name, 10, seed) for seed in range(4)}) > 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"must be json lines with a field text \(.*No such file"),
        ("plain text\n", r"must be json lines with a field text \(Expecting value"),
        ('{"review": "a b c d"}\n', r"must be json lines with a field text \('text'\)"),
        ("[1]\n", r"must be json lines with a field text"),
        ('{"text": "too short"}\n', r"holds no sentence of 4 to 40 words"),
    ],
)
def test_other_files_of_unlabelled_text_are_refused(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "u.jsonl").write_text(content)
    with pytest.raises(ConfigError, match=rf"^--unlabelled = .*u\.jsonl: {message}"):
        load_sentences(tmp_path / "u.jsonl", 3, 0)
