"""Labelled text from the formats that people have: GLUE folders, tsv files, json lines and `datasets` names.

A `TextSet` is one split of one task. Columns are found by name (SST-2, MRPC, RTE, WNLI, STS-B and look-alikes) or
given; a CoLA file is recognised by its four header-less columns. Tabs separate, quotes are text. Not handled:
multi-label tasks and tagging.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hexit.quant.arrays import Floats, Integers
from hexit.quant.errors import ConfigError

TEXT_COLUMNS = (
    ("sentence1", "sentence2"),
    ("#1 String", "#2 String"),
    ("question", "sentence"),
    ("premise", "hypothesis"),
    ("sentence",),
    ("text",),
    ("review",),
)
LABEL_COLUMNS = ("label", "Quality", "gold_label", "score", "sentiment")
COLA_COLUMNS = ("source", "label", "original_label", "sentence")
UNLABELLED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSet:
    """Sentences (or sentence pairs) with labels; `labels` are class indices, or real values for regression.

    `label_names` are the classes in index order; empty for regression.
    """

    name: str
    texts: tuple[str, ...]
    pairs: tuple[str, ...] | None
    labels: tuple[float, ...]
    label_names: tuple[str, ...]
    content_hash: str

    @property
    def regression(self) -> bool:
        """Whether labels are real values."""
        return not self.label_names

    def __len__(self) -> int:
        """Count samples."""
        return len(self.texts)

    @property
    def label_array(self) -> Integers | Floats:
        """The labels, [n]."""
        return np.array(self.labels, dtype=np.float64) if self.regression else np.array(self.labels, dtype=np.int64)

    def subset(self, indices: Sequence[int]) -> TextSet:
        """Return the samples at `indices` as a set of its own."""
        texts, labels = tuple(self.texts[i] for i in indices), tuple(self.labels[i] for i in indices)
        pairs = tuple(self.pairs[i] for i in indices) if self.pairs is not None else None
        return TextSet(
            name=self.name,
            texts=texts,
            pairs=pairs,
            labels=labels,
            label_names=self.label_names,
            content_hash=_content_hash(texts, pairs, labels),
        )

    def sample(self, n_samples: int, seed: int) -> TextSet:
        """Draw `n_samples` samples without repetition, kept in their order; all of them for 0."""
        if not 0 < n_samples < len(self):
            return self
        drawn = np.random.default_rng(seed).permutation(len(self))[:n_samples]
        return self.subset(sorted(drawn.tolist()))


def load_texts(
    source: str,
    *,
    split: str = "dev",
    label_names: Sequence[str] | None = None,
    text_columns: Sequence[str] = (),
    label_column: str = "",
    where: str = "--data",
) -> TextSet:
    """Read one split of a task from a folder (`<split>.tsv`), a file (tsv, jsonl, either as .xz) or a `datasets` name.

    `label_names` fixes the classes and their order (those of a trained model); without it they are found in the
    labels. Raises ConfigError for files that are missing, empty, not UTF-8, lack a column or hold a label outside
    the classes, naming the line.
    """
    path = Path(os.path.expanduser(source))
    if path.is_dir():
        candidates = [path / f"{split}{suffix}" for suffix in (".tsv", ".jsonl", ".jsonl.xz")]
        present = [candidate for candidate in candidates if candidate.is_file()]
        if not present:
            raise ConfigError(where, source, f"must hold {split}.tsv or {split}.jsonl", "Name the file itself")
        path = present[0]
    if path.is_file():
        columns, rows = _read_rows(path, where)
        name = f"{path.absolute().parent.name}/{path.name}"
    elif path.suffix in {".tsv", ".jsonl", ".xz", ".csv", ".txt"} or source.startswith((".", "/", "~")):
        raise ConfigError(where, source, "no such file or folder", "Check the path")
    else:
        columns, rows = _read_datasets(source, split, where)
        name = f"{source}/{split}"
    return _to_text_set(name, columns, rows, label_names, text_columns, label_column, where)


def unlabelled_texts(name: str, sentences: Sequence[str], label_names: Sequence[str]) -> TextSet:
    """Return sentences without labels, for a model with these classes (none: regression)."""
    texts, labels = tuple(sentences), (float(UNLABELLED),) * len(sentences)
    return TextSet(
        name=name,
        texts=texts,
        pairs=None,
        labels=labels,
        label_names=tuple(label_names),
        content_hash=_content_hash(texts, None, labels),
    )


def read_lines(source: str, where: str = "--calibration") -> tuple[str, ...]:
    """Read a UTF-8 text file of one sentence a line, blank lines dropped."""
    path = Path(os.path.expanduser(source))
    return tuple(line.strip() for line in _read_bytes(path, where).split("\n") if line.strip())


def _read_bytes(path: Path, where: str) -> str:
    try:
        raw = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
    except (OSError, lzma.LZMAError) as error:
        raise ConfigError(where, str(path), f"cannot be read ({error})", "Check the file") from None
    try:
        text = raw.decode("utf-8").removeprefix("\ufeff")  # the codec utf-8-sig would count bytes without the mark
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(
            where,
            str(path),
            f"must be UTF-8 text; byte {error.start} (line {line}) is not",
            "Convert it, for example with iconv -t UTF-8",
        ) from None
    if not text.strip():
        raise ConfigError(where, str(path), "is empty", "Give a file with at least one labelled sentence")
    return text


def _read_rows(path: Path, where: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    text = _read_bytes(path, where)
    if ".jsonl" in path.suffixes:
        return _read_json_lines(path, text, where)
    lines = [(number, line.rstrip("\r").split("\t")) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    first = lines[0][1]
    if len(first) == len(COLA_COLUMNS) and first[1] in {"0", "1"}:
        return list(COLA_COLUMNS), lines
    return [column.strip() for column in first], lines[1:]


def _read_json_lines(path: Path, text: str, where: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    columns: list[str] = []
    rows = []
    for number, line in enumerate(io.StringIO(text), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            record = None
        if not isinstance(record, dict):
            raise ConfigError(f"{where} {path}:{number}", line.strip(), "must be one JSON object", "Write one a line")
        columns = columns or list(record)
        for column in columns:
            if record.get(column) is None:
                requirement = f"must have a value for each key of the first line ({', '.join(columns)})"
                raise ConfigError(f"{where} {path}:{number} {column}", "(missing)", requirement, "Correct the line")
        rows.append((number, [str(record[column]) for column in columns]))
    return columns, rows


def _read_datasets(source: str, split: str, where: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        import datasets  # type: ignore[import-not-found,unused-ignore]  # optional: only data sets of the hub need it
    except ImportError:
        raise ConfigError(
            where,
            source,
            "is no file, and the package that reads data sets by name is missing",
            "Name a file, or: pip install datasets",
        ) from None
    name, _, subset = source.partition(":")
    hub_split = {"dev": "validation"}.get(split, split)
    try:
        table = datasets.load_dataset(name, subset or None, split=hub_split)
    except Exception as error:  # any of the hub's many network and naming errors is one answer to the user
        raise ConfigError(
            where,
            source,
            f"cannot be loaded ({str(error).splitlines()[0]})",
            "Use NAME or NAME:SUBSET, for example glue:sst2",
        ) from None
    columns = list(table.column_names)
    return columns, [(i, [str(row[c]) for c in columns]) for i, row in enumerate(table, 1)]


def _find_columns(
    columns: list[str], wanted: Sequence[str], label: str, name: str, where: str
) -> tuple[list[int], int]:
    listed = ", ".join(columns)
    for column in [*wanted, *([label] if label else [])]:
        if column not in columns:
            raise ConfigError(f"{where} {name}", column, f"is not a column of the file ({listed})", "Name one of these")
    texts: Sequence[str] = wanted or next((names for names in TEXT_COLUMNS if set(names) <= set(columns)), ())
    if not texts:
        raise ConfigError(f"{where} {name}", listed, "no column of text among these", "Name it with --text-column")
    label = label or next((column for column in LABEL_COLUMNS if column in columns), "")
    if not label:
        raise ConfigError(f"{where} {name}", listed, "no column of labels among these", "Name it with --label-column")
    return [columns.index(column) for column in texts], columns.index(label)


def _to_text_set(
    name: str,
    columns: list[str],
    rows: list[tuple[int, list[str]]],
    label_names: Sequence[str] | None,
    text_columns: Sequence[str],
    label_column: str,
    where: str,
) -> TextSet:
    text_indices, label_index = _find_columns(columns, text_columns, label_column, name, where)
    if not rows:
        raise ConfigError(f"{where} {name}", "(no rows)", "holds a header and nothing else", "Add labelled sentences")
    for number, row in rows:
        if len(row) <= max(*text_indices, label_index):
            raise ConfigError(
                f"{where} {name}:{number}",
                "\t".join(row),
                f"must have {len(columns)} columns, has {len(row)}",
                "Separate columns by one tab",
            )
    raw_labels = [row[label_index].strip() for _, row in rows]
    names = list(label_names) if label_names is not None else _classes_of(raw_labels, columns[label_index])
    if len(names) == 1:
        requirement = "must be of at least two classes"
        raise ConfigError(
            f"{where} {name} {columns[label_index]}", names[0], requirement, "Add sentences of another class"
        )
    labels = _label_values(raw_labels, names, [number for number, _ in rows], f"{where} {name}")
    texts = tuple(row[text_indices[0]].strip() for _, row in rows)
    pairs = tuple(row[text_indices[1]].strip() for _, row in rows) if len(text_indices) > 1 else None
    return TextSet(
        name=name,
        texts=texts,
        pairs=pairs,
        labels=labels,
        label_names=tuple(names),
        content_hash=_content_hash(texts, pairs, labels),
    )


def _classes_of(raw_labels: list[str], column: str) -> list[str]:
    names = sorted(set(raw_labels))
    if column == "score" or (len(names) > 20 and all(_is_number(value) for value in names)):
        return []
    return names


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _label_values(raw: list[str], names: list[str], numbers: list[int], where: str) -> tuple[float, ...]:
    index = {name: float(i) for i, name in enumerate(names)}
    if not any(name.isdigit() for name in names):  # classes called LABEL_0, LABEL_1 or by words, files with numbers
        index |= {str(i): float(i) for i in range(len(names))}
    values = []
    for number, label in zip(numbers, raw, strict=True):
        if names and label not in index:
            raise ConfigError(
                f"{where}:{number} label", label or "(empty)", f"must be one of {', '.join(names)}", "Correct the line"
            )
        if not names and not _is_number(label):
            raise ConfigError(f"{where}:{number} label", label or "(empty)", "must be a number", "Correct the line")
        values.append(index[label] if names else float(label))
    return tuple(values)


def _content_hash(texts: Sequence[str], pairs: Sequence[str] | None, labels: Sequence[float]) -> str:
    canonical = json.dumps([list(texts), list(pairs) if pairs is not None else None, list(labels)])
    return hashlib.sha256(canonical.encode()).hexdigest()


def written_texts(texts: TextSet) -> str:
    """Return a set as the text of a tsv file that `load_texts` reads back; runs of white space become one space."""
    header = ["sentence", "label"] if texts.pairs is None else ["sentence1", "sentence2", "label"]
    columns = [texts.texts] if texts.pairs is None else [texts.texts, texts.pairs]
    labels = [texts.label_names[int(label)] if texts.label_names else repr(label) for label in texts.labels]
    rows = [[" ".join(text.split()) for text in row] for row in zip(*columns, strict=True)]
    lines = ["\t".join([*row, label]) for row, label in zip(rows, labels, strict=True)]
    return "\n".join(["\t".join(header), *lines]) + "\n"
