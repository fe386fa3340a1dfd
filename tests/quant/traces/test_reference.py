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
    FloatRun,
    Reference,
    evaluate_reference,
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
        version=1,
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
    save_reference(dataclasses.replace(evaluated.record, version=2), tmp_path / "r.json")
    with pytest.raises(ConfigError, match=r"r\.json\.version = 2: must be 1\. Make it again: hexit reference"):
        load_reference(tmp_path / "r.json")


@pytest.mark.parametrize("place", ["folder", "file/r.json"])
def test_a_place_that_cannot_be_written_is_named(place: str, evaluated: FloatRun, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ConfigError, match=rf"^--out = .*{place}: cannot be written \(.+\)"):
        save_reference(evaluated.record, tmp_path / place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert list((tmp_path / "folder").iterdir()) == []
