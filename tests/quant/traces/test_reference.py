from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from hexit.quant.data.tasks import TextSet
from hexit.quant.errors import ConfigError
from hexit.quant.network.checkpoint import Checkpoint
from hexit.quant.traces.reference import (
    REFERENCE_VERSION,
    FloatRun,
    Reference,
    evaluate_reference,
    find_reference,
    gpu_driver,
    load_reference,
    processor_name,
    save_reference,
)
from support.models import SENTENCES, tiny_model

TEXTS = TextSet(
    name="made/up.tsv",
    texts=SENTENCES,
    pairs=None,
    labels=(1.0, 0.0) * (len(SENTENCES) // 2),
    label_names=("bad", "good"),
    content_hash="beef",
)


@pytest.fixture(scope="session")
def evaluated(tiny_checkpoints: dict[str, Checkpoint]) -> FloatRun:
    return evaluate_reference(tiny_checkpoints["albert"], TEXTS, max_length=10, compute="cpu")


def test_the_record_says_what_was_computed_on_what(
    evaluated: FloatRun, tiny_checkpoints: dict[str, Checkpoint]
) -> None:
    reference, logits = evaluated.record, evaluated.logits
    assert logits.shape == (3, len(SENTENCES), 2)
    accuracies = tuple(float(np.mean(layer.argmax(1) == np.array(TEXTS.labels))) for layer in logits)
    assert reference == Reference(
        version=REFERENCE_VERSION,
        model="albert",
        checkpoint_hash=tiny_checkpoints["albert"].content_hash,
        data="made/up.tsv",
        data_hash="beef",
        n_samples=len(SENTENCES),
        n_truncated=3,
        max_length=10,
        metric="accuracy_fraction",
        scores=accuracies,
        compute="cpu",
        processor=processor_name(),
        driver="",
        torch=torch.__version__,
        transformers=transformers.__version__,
    )


def test_a_real_output_is_scored_by_correlation(tiny_checkpoints: dict[str, Checkpoint], tokenizer: Any) -> None:
    model = tiny_model("bert", tokenizer, label_names=())
    checkpoint = dataclasses.replace(tiny_checkpoints["bert"], model=model)
    scores = dataclasses.replace(TEXTS, labels=tuple(0.5 * i for i in range(len(SENTENCES))), label_names=())
    run = evaluate_reference(checkpoint, scores, max_length=24, compute="cpu")
    assert run.record.metric == "pearson"
    expected = [np.corrcoef(layer[:, 0], scores.labels)[0, 1] for layer in run.logits]
    assert run.record.scores == tuple(expected)


def test_a_saved_record_comes_back(evaluated: FloatRun, tmp_path: Path) -> None:
    path = tmp_path / "new" / "reference.json"
    save_reference(evaluated.record, path)
    assert load_reference(path) == evaluated.record
    fields = {field.name for field in dataclasses.fields(Reference)}
    assert json.loads(path.read_text()).keys() == fields >= {"checkpoint_hash", "processor", "torch", "scores"}
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"^--reference = .*/r\.json: cannot be read \(.*No such file.*\)\. Make it: hexit reference"),
        ("", r"cannot be read \(Expecting value"),
        (b"\xff\xfe", r"cannot be read \(.*codec"),
        ("[1]", r"r\.json = \[1\]: must be a table"),
        ('{"version": 1}', r"r\.json\.model = \(missing\): is required"),
    ],
)
def test_other_files_are_refused(content: str | bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=message):
        load_reference(path)


def test_a_record_of_another_version_is_refused(evaluated: FloatRun, tmp_path: Path) -> None:
    save_reference(dataclasses.replace(evaluated.record, version=1), tmp_path / "r.json")
    with pytest.raises(ConfigError, match=r"r\.json\.version = 1: must be 2\. Make it again: hexit reference"):
        load_reference(tmp_path / "r.json")


@pytest.mark.parametrize("place", ["folder", "file/r.json"])
def test_a_place_that_cannot_be_written_is_named(place: str, evaluated: FloatRun, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ConfigError, match=rf"^--out = .*{place}: cannot be written \(.+\)"):
        save_reference(evaluated.record, tmp_path / place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert list((tmp_path / "folder").iterdir()) == []


def test_the_reference_beside_the_weights_is_the_one_of_these_weights_data_and_length(
    evaluated: FloatRun, tmp_path: Path
) -> None:
    record = evaluated.record
    wanted = (record.checkpoint_hash, record.data_hash, record.max_length)
    assert find_reference(tmp_path, *wanted) is None
    (tmp_path / "references").mkdir()
    for name, change in (("a", {"max_length": 11}), ("b", {"data_hash": "d"}), ("c", {}), ("d", {"model": "later"})):
        save_reference(dataclasses.replace(record, **change), tmp_path / "references" / f"{name}.json")
    assert find_reference(tmp_path, *wanted) == record
    assert find_reference(tmp_path, "other", *wanted[1:]) is None


def test_the_driver_is_unknown_where_its_tool_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert gpu_driver() == "unknown"
