"""Sentences from unlabelled reviews, for a teacher to label."""

from __future__ import annotations

import json
import lzma
import re
from pathlib import Path

import numpy as np

from hexit.quant.errors import ConfigError

BREAK = re.compile(r"(?:<br\s*/?>\s*)+|(?<=[.!?])[\"')\]]*\s+(?=[A-Z\"'(])")
MIN_WORDS, MAX_WORDS = 4, 40  # shorter ones say nothing, longer ones are failed splits


def load_sentences(path: Path, n_sentences: int, seed: int) -> tuple[str, ...]:
    """Split the texts of a json-lines file (`text` field; .xz allowed) into sentences and draw `n_sentences` of them.

    Raises ConfigError where the file cannot be read or holds no text.
    """
    try:
        raw = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        texts = [str(json.loads(line)["text"]) for line in raw.decode("utf-8").split("\n") if line.strip()]
    except (OSError, lzma.LZMAError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            "--unlabelled", str(path), f"must be json lines with a field text ({error})", "Check the file"
        ) from None
    sentences = {sentence.strip() for text in texts for sentence in BREAK.split(text)}
    usable = sorted(s for s in sentences if MIN_WORDS <= len(s.split()) <= MAX_WORDS)
    if not usable:
        raise ConfigError(
            "--unlabelled", str(path), f"holds no sentence of {MIN_WORDS} to {MAX_WORDS} words", "Check it"
        )
    chosen = np.random.default_rng(seed).permutation(len(usable))[:n_sentences]
    return tuple(usable[i] for i in chosen)
