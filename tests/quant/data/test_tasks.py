from __future__ import annotations

import json
import lzma
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hexit.quant.data.tasks import load_texts, read_lines
from hexit.quant.errors import ConfigError
from support.paths import SHARED_DATA

GLUE = SHARED_DATA / "glue"

needs_glue = pytest.mark.skipif(not GLUE.is_dir(), reason="the GLUE files are not beside this checkout")


def written(folder: Path, text: str | bytes, name: str = "data.tsv") -> str:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(folder / name)


@needs_glue
@pytest.mark.parametrize(
    ("task", "n_train", "n_dev", "label_names", "pairs"),
    [
        ("SST-2", 67349, 872, ("0", "1"), False),
        ("MRPC", 3668, 408, ("0", "1"), True),
        ("RTE", 2490, 277, ("entailment", "not_entailment"), True),
        ("CoLA", 8551, 1043, ("0", "1"), False),
        ("WNLI", 635, 71, ("0", "1"), True),
        ("STS-B", 5749, 1500, (), True),
    ],
)
def test_glue_folders_have_their_published_sizes(
    task: str, n_train: int, n_dev: int, label_names: tuple[str, ...], pairs: bool
) -> None:
    for split, n_samples in (("train", n_train), ("dev", n_dev)):
        texts = load_texts(str(GLUE / task), split=split)
        assert (len(texts), texts.label_names, texts.pairs is not None) == (n_samples, label_names, pairs)
        assert texts.regression == (task == "STS-B")
        assert all(texts.texts)
        assert len(texts.labels) == n_samples


@needs_glue
def test_glue_labels_are_the_published_ones() -> None:
    assert sum(load_texts(str(GLUE / "SST-2"), split="train").labels) == 37569
    assert sum(load_texts(str(GLUE / "SST-2"), split="dev").labels) == 444
    scores = load_texts(str(GLUE / "STS-B"), split="dev").labels
    assert (min(scores), max(scores)) == (0.0, 5.0)


@needs_glue
def test_quotes_of_mrpc_are_text() -> None:
    mrpc = load_texts(str(GLUE / "MRPC" / "dev.tsv"))
    assert mrpc.pairs is not None
    assert mrpc.pairs[0] == '" The foodservice pie business does not fit our long-term growth strategy .'


@dataclass(frozen=True)
class Layout:
    """The columns of one GLUE task, two rows of ours in its style, and what must be read from them."""

    lines: tuple[str, ...]
    first: tuple[str, str | None]
    labels: tuple[float, float]
    label_names: tuple[str, ...] = ("0", "1")


LAYOUTS = {
    "SST-2": Layout(
        lines=("sentence\tlabel", "a film 's worth of charm . \t1", "` quoted ' and never \" closed\t0"),
        first=("a film 's worth of charm .", None),
        labels=(1.0, 0.0),
    ),
    "MRPC": Layout(  # a byte-order mark, and quotes that are opened and never closed
        lines=(
            "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
            '1\t11\t12\t" The mill will close , she said .\tShe said the mill would close .',
            '0\t13\t14\tThe mill stays open .\tHe called it " a blow to the town .',
        ),
        first=('" The mill will close , she said .', "She said the mill would close ."),
        labels=(1.0, 0.0),
    ),
    "RTE": Layout(
        lines=(
            "index\tsentence1\tsentence2\tlabel",
            "0\tThe bridge, closed in May, is open.\tThe bridge is closed.\tnot_entailment",
            "1\tAnna sold her house.\tAnna had a house.\tentailment",
        ),
        first=("The bridge, closed in May, is open.", "The bridge is closed."),
        labels=(1.0, 0.0),
        label_names=("entailment", "not_entailment"),
    ),
    "CoLA": Layout(  # no header; an empty column, or a star
        lines=("xx01\t1\t\tThe cup fell off the table.", "xx02\t0\t*\tThe cup fell off it the table."),
        first=("The cup fell off the table.", None),
        labels=(1.0, 0.0),
    ),
    "WNLI": Layout(
        lines=(
            "index\tsentence1\tsentence2\tlabel",
            "0\tThe jar did not fit in the box because it was too big.\tThe jar was too big.\t1",
            "1\tThe jar did not fit in the box because it was too big.\tThe box was too big.\t0",
        ),
        first=("The jar did not fit in the box because it was too big.", "The jar was too big."),
        labels=(1.0, 0.0),
    ),
    "STS-B": Layout(  # real labels, and other columns that are called source
        lines=(
            "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
            "0\tmain-captions\tours\t2020\t0000\tnone\tnone\tA dog runs.\tA dog is running.\t4.750",
            "1\tmain-captions\tours\t2020\t0001\tnone\tnone\tA dog runs.\tA man is cooking.\t0.000",
        ),
        first=("A dog runs.", "A dog is running."),
        labels=(4.75, 0.0),
        label_names=(),
    ),
}


@pytest.mark.parametrize("task", LAYOUTS)
def test_every_glue_layout_is_read_with_its_traps(task: str, tmp_path: Path) -> None:
    layout = LAYOUTS[task]
    written(tmp_path, "\n".join(layout.lines) + "\n", "dev.tsv")
    texts = load_texts(str(tmp_path))
    assert (texts.texts[0], texts.pairs[0] if texts.pairs is not None else None) == layout.first
    assert (len(texts), texts.labels, texts.label_names) == (2, layout.labels, layout.label_names)
    assert texts.regression == (task == "STS-B")


TSV = "sentence\tlabel\nfine film\t1\npoor film\t0\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.tsv", TSV),
        ("windows.tsv", TSV.replace("\n", "\r\n")),
        ("marked.tsv", "\ufeff" + TSV),
        ("open_end.tsv", TSV.rstrip("\n")),
        ("blank_lines.tsv", TSV.replace("\n", "\n\n")),
        ("columns_swapped.tsv", "label\tsentence\n1\tfine film\n0\tpoor film\n"),
        ("more_columns.tsv", "id\tlabel\tsentence\n7\t1\tfine film\n8\t0\tpoor film\n"),
        ("other_names.tsv", "review\tsentiment\nfine film\t1\npoor film\t0\n"),
        ("cola.tsv", "gj04\t1\t\tfine film\ngj04\t0\t*\tpoor film\n"),
        ("plain.tsv.xz", lzma.compress(TSV.encode())),
        ("lines.jsonl", '{"text": "fine film", "label": 1}\n{"label": 0, "text": "poor film"}\n'),
        ("lines.jsonl.xz", lzma.compress(b'{"text": "fine film", "label": 1}\n{"text": "poor film", "label": 0}\n')),
    ],
)
def test_one_content_in_many_formats(name: str, content: str | bytes, tmp_path: Path) -> None:
    texts = load_texts(written(tmp_path, content, name))
    assert (texts.texts, texts.pairs, texts.labels) == (("fine film", "poor film"), None, (1.0, 0.0))
    assert texts.label_names == ("0", "1")
    assert texts.name == f"{tmp_path.name}/{name}"
    assert texts.content_hash == load_texts(written(tmp_path, TSV)).content_hash


@pytest.mark.parametrize(
    "header", ["sentence1\tsentence2", "#1 String\t#2 String", "question\tsentence", "premise\thypothesis"]
)
def test_pairs_are_found_by_their_columns(header: str, tmp_path: Path) -> None:
    texts = load_texts(written(tmp_path, f"{header}\tlabel\nis it\tit is\tyes\nis it\tno\tno\n"))
    assert (texts.texts, texts.pairs) == (("is it", "is it"), ("it is", "no"))
    assert texts.label_names == ("no", "yes")
    assert texts.labels == (1.0, 0.0)


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = written(tmp_path, "sentence\ttitle\tlabel\tstars\nlong\tshort\t1\tfour\nlong\tbrief\t1\tfive\n")
    texts = load_texts(path, text_columns=("title",), label_column="stars")
    assert (texts.texts, texts.label_names) == (("short", "brief"), ("five", "four"))
    both = load_texts(path, text_columns=("title", "sentence"), label_column="stars")
    assert (both.texts, both.pairs) == (("short", "brief"), ("long", "long"))


def test_scores_and_many_numbers_are_regression(tmp_path: Path) -> None:
    assert load_texts(written(tmp_path, "sentence\tscore\na\t1\nb\t0\n")).regression
    rows = [f"a\t{i / 4}\n" for i in range(21)]
    assert len(load_texts(written(tmp_path, "sentence\tlabel\n" + "".join(rows[:20]))).label_names) == 20
    many = load_texts(written(tmp_path, "sentence\tlabel\n" + "".join(rows)))
    assert many.regression
    assert many.labels[:3] == (0.0, 0.25, 0.5)


@pytest.mark.parametrize(
    ("label_names", "labels"),
    [
        (("0", "1"), (1.0, 0.0)),
        (("1", "0"), (0.0, 1.0)),
        (("LABEL_0", "LABEL_1"), (1.0, 0.0)),
        (("negative", "positive"), (1.0, 0.0)),
        (("1", "0", "2"), (0.0, 1.0)),
        ((), (1.0, 0.0)),
    ],
)
def test_the_classes_of_a_model_fix_the_numbers(
    label_names: tuple[str, ...], labels: tuple[float, ...], tmp_path: Path
) -> None:
    assert load_texts(written(tmp_path, TSV), label_names=label_names).labels == labels


def test_one_class_is_enough_where_the_classes_are_known(tmp_path: Path) -> None:
    path = written(tmp_path, "sentence\tlabel\nfine\t1\n")
    assert load_texts(path, label_names=("0", "1")).labels == (1.0,)


def test_a_folder_holds_splits(tmp_path: Path) -> None:
    written(tmp_path, TSV, "dev.tsv")
    written(tmp_path, TSV.replace("fine", "good"), "train.tsv")
    assert load_texts(str(tmp_path)).texts[0] == "fine film"
    assert load_texts(str(tmp_path), split="train").texts[0] == "good film"


def test_a_subset_is_a_set_of_its_own(tmp_path: Path) -> None:
    texts = load_texts(written(tmp_path, "sentence1\tsentence2\tlabel\na\tb\t1\nc\td\t0\ne\tf\t1\n"))
    part = texts.subset([2, 0])
    assert (part.texts, part.pairs, part.labels) == (("e", "a"), ("f", "b"), (1.0, 1.0))
    assert part.label_names == texts.label_names
    assert texts.subset(range(3)).content_hash == texts.content_hash
    assert len({texts.content_hash, part.content_hash, texts.subset([0, 2]).content_hash}) == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "", r"^--data = .*/a\.tsv: is empty\. Give a file with at least one labelled sentence"),
        ("a.tsv", " \n\r\n", r"is empty"),
        ("a.tsv", "sentence\tlabel\n", r"^--data .*/a\.tsv = \(no rows\): holds a header and nothing else"),
        ("a.tsv", "words\tlabel\nx\t1\n", r"= words, label: no column of text among these\. .*--text-column"),
        ("a.tsv", "sentence\tclass\nx\t1\n", r"= sentence, class: no column of labels among these\. .*--label-column"),
        ("a.tsv", b"sentence\tlabel\ncaf\xe9\t1\n", r"must be UTF-8 text; byte 18 \(line 2\) is not\. .*iconv"),
        ("a.tsv", b"\xef\xbb\xbfsentence\tlabel\ncaf\xe9\t1\n", r"must be UTF-8 text; byte 21 \(line 2\)"),
        ("a.tsv", b"\xff\xfes\x00", r"must be UTF-8 text; byte 0 \(line 1\)"),
        ("a.tsv", TSV + "what\t2\n", r"a\.tsv:4 label = 2: must be one of 0, 1\. Correct the line"),
        ("a.tsv", "sentence\tlabel\n\nfine\t\n", r"a\.tsv:3 label = \(empty\): must be one of 0, 1"),
        ("a.tsv", TSV + "no tab\n", r"a\.tsv:4 = no tab: must have 2 columns, has 1\. Separate columns by one tab"),
        ("a.tsv.xz", b"not xz at all", r"a\.tsv\.xz: cannot be read \(.*\)\. Check the file"),
        ("a.tsv.xz", lzma.compress(TSV.encode() * 99)[:-20], r"cannot be read \(Compressed data ended"),
        ("a.jsonl", '{"text": "a", "label": 1}\n\n{"text": oops}\n', r"a\.jsonl:3 = .*oops.*must be one JSON object"),
        ("a.jsonl", '{"text": "a", "label": 1}\n[1]\n', r"a\.jsonl:2 = \[1\]: must be one JSON object"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"label": 1}\n', r"a\.jsonl:2 text = \(missing\): must have a value"),
        ("a.jsonl", '{"text": "a", "label": null}\n', r"a\.jsonl:1 label = \(missing\): must have a value"),
    ],
)
def test_bad_files_are_named_with_the_line(name: str, content: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_texts(written(tmp_path, content, name), label_names=("0", "1"))


def test_regression_labels_are_finite_numbers(tmp_path: Path) -> None:
    for label in ("high", "nan", "inf", ""):
        path = written(tmp_path, f"sentence\tscore\na\t1.5\nb\t{label}\n")
        with pytest.raises(ConfigError, match=rf":3 label = {label or '.*'}: must be a number"):
            load_texts(path)


def test_training_text_has_at_least_two_classes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.tsv label = 1: must be of at least two classes"):
        load_texts(written(tmp_path, "sentence\tlabel\nfine\t1\ngood\t1\n"))


@pytest.mark.parametrize("source", ["none.tsv", "./none", "/none/at/all", "~/none.jsonl", "none.jsonl.xz"])
def test_a_missing_file_is_not_taken_for_a_hub_name(source: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=rf"^--data = {source}: no such file or folder\. Check the path"):
        load_texts(source)


def test_a_name_tells_the_folder_even_from_inside_it(tmp_path: Path, monkeypatch: Any) -> None:
    written(tmp_path, "sentence\tlabel\nfine\t1\nbad\t0\n")
    monkeypatch.chdir(tmp_path)
    assert load_texts("data.tsv").name == f"{tmp_path.name}/data.tsv"


def test_a_folder_without_the_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must hold test\.tsv or test\.jsonl"):
        load_texts(str(tmp_path), split="test")


@pytest.mark.parametrize("options", [{"text_columns": ("title",)}, {"label_column": "title"}])
def test_a_named_column_must_exist(options: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"= title: is not a column of the file \(sentence, label\)"):
        load_texts(written(tmp_path, TSV), **options)


class FakeTable:
    column_names = ("sentence", "label", "idx")

    def __iter__(self) -> Any:
        return iter([{"sentence": "fine", "label": 1, "idx": 0}, {"sentence": "poor", "label": 0, "idx": 1}])


class FakeDatasets:
    requested: Any = None

    def load_dataset(self, *name: Any, split: str) -> FakeTable:
        if name[0] == "nowhere":
            raise ConnectionError("no network\nat all")
        FakeDatasets.requested = (*name, split)
        return FakeTable()


def test_hub_names_go_to_the_datasets_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", FakeDatasets())
    texts = load_texts("glue:sst2")
    assert FakeDatasets.requested == ("glue", "sst2", "validation")
    assert (texts.name, texts.texts, texts.labels) == ("glue:sst2/dev", ("fine", "poor"), (1.0, 0.0))
    with pytest.raises(ConfigError, match=r"= nowhere: cannot be loaded \(no network\)\. Use NAME or NAME:SUBSET"):
        load_texts("nowhere")


def test_without_the_datasets_package_a_hub_name_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"= glue:sst2: is no file, .*pip install datasets"):
        load_texts("glue:sst2")


def test_lines_are_stripped_and_blank_ones_dropped(tmp_path: Path) -> None:
    assert read_lines(written(tmp_path, "\ufeffone\r\n\n  two \n")) == ("one", "two")
    with pytest.raises(ConfigError, match=r"^--calibration = .*none\.txt: cannot be read"):
        read_lines(str(tmp_path / "none.txt"))


def test_line_separators_inside_a_sentence_do_not_split_it(tmp_path: Path) -> None:
    odd = "one\u2028two\x85three\x0bfour"
    assert load_texts(written(tmp_path, f"sentence\tlabel\n{odd}\t1\nx\t0\n")).texts[0] == odd
    assert read_lines(written(tmp_path, f"{odd}\nfive\n")) == (odd, "five")
    path = written(tmp_path, json.dumps({"text": odd, "label": "a"}, ensure_ascii=False) + "\n", "a.jsonl")
    assert load_texts(path, label_names=("a", "b")).texts == (odd,)
