from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hexit.quant.data.scores import exit_scores
from hexit.quant.data.tasks import TextSet, load_texts
from hexit.quant.errors import ConfigError
from hexit.quant.hub import checkpoint_hash
from hexit.quant.network.checkpoint import load_checkpoint
from hexit.quant.network.encoding import encode, training_order
from hexit.quant.network.evaluate import all_logits
from hexit.quant.network.model import ExitConfig
from hexit.quant.records import from_json
from hexit.quant.training.loop import N_CALIBRATION, Watchers, train
from hexit.quant.training.plan import ParameterRate, Recipe, Stage, TrainingPlan
from hexit.quant.training.state import STATE_FILE, EpochResult
from hexit.quant.training.unlabelled import load_sentences

STAGE = Stage(epochs=2, batch_size=32, learning_rate=5e-3, head_learning_rate=5e-3)
RECIPE = Recipe(
    plan=TrainingPlan(hidden_size=48, n_layers=2, n_heads=1, embedding_size=16, vocabulary_size=100, max_length=12),
    stages=(STAGE,),
)


OF_STAGE = {field.name for field in dataclasses.fields(Stage)}


def changed(recipe: Recipe = RECIPE, /, **options: Any) -> Recipe:
    """A recipe with other options of its plan or of all its stages."""
    of_stage = {name: value for name, value in options.items() if name in OF_STAGE}
    of_plan = {name: value for name, value in options.items() if name not in of_stage}
    stages = tuple(dataclasses.replace(stage, **of_stage) for stage in recipe.stages)
    return dataclasses.replace(recipe, plan=dataclasses.replace(recipe.plan, **of_plan), stages=stages)


def separable(n_samples: int, seed: int) -> TextSet:
    """Sentences of five words, good ones with one of two good words."""
    generator = np.random.default_rng(seed)
    filler = ["the", "a", "film", "plot", "story", "is", "and"]
    labels = [i % 2 for i in range(n_samples)]
    texts = []
    for label in labels:
        words = [*generator.choice(filler, 4), generator.choice([["poor", "dull"], ["fine", "good"]][label])]
        texts.append(" ".join(generator.permutation(words)))
    return TextSet(
        name=f"separable-{seed}",
        texts=tuple(texts),
        pairs=None,
        labels=tuple(map(float, labels)),
        label_names=("bad", "good"),
        content_hash=str(seed),
    )


TRAINING_SET, DEV_SET = separable(640, 0), separable(64, 1)


def weights_of(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def same_weights(first: Path, second: Path) -> bool:
    one, two = weights_of(first), weights_of(second)
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[EpochResult, ...]]:
    """A run of 2 x 20 steps that nothing interrupts."""
    out = tmp_path_factory.mktemp("training") / "whole"
    return out, train(RECIPE, TRAINING_SET, DEV_SET, out, storage="fp32")


def test_forty_steps_learn_a_separable_task(trained: tuple[Path, tuple[EpochResult, ...]]) -> None:
    out, results = trained
    assert [result.epoch for result in results] == [1, 2]
    assert results[1].mean_loss < results[0].mean_loss
    assert min(results[-1].dev_scores) >= 0.95
    assert len(results[-1].dev_scores) == RECIPE.plan.n_layers
    checkpoint = load_checkpoint(str(out))
    assert checkpoint.model.exits == ExitConfig(label_names=("bad", "good"))
    assert checkpoint.max_length == RECIPE.plan.max_length
    assert sorted(path.name for path in out.iterdir()) == [
        "calibration.txt",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
    ]


def test_the_checkpoint_says_how_it_was_made(trained: tuple[Path, tuple[EpochResult, ...]]) -> None:
    out, results = trained
    notes = json.loads((out / "training.json").read_text())
    assert from_json(Recipe, notes["recipe"]) == RECIPE
    assert (notes["training_set"], notes["training_hash"]) == (TRAINING_SET.name, TRAINING_SET.content_hash)
    assert [epoch["mean_loss"] for epoch in notes["epochs"]] == [result.mean_loss for result in results]
    calibration = (out / "calibration.txt").read_text().splitlines()
    assert len(calibration) == N_CALIBRATION
    assert set(calibration) <= set(TRAINING_SET.texts)


class Stop(Exception):  # noqa: N818 - a user's Ctrl-C
    """Raised in the middle of a run."""


def stop_after(n_steps: int) -> Watchers:
    """Watchers that stop the run when it reports its n-th step."""
    seen = 0

    def advance(n_done: int, _: str) -> None:
        nonlocal seen
        seen += n_done
        if seen > n_steps:
            raise Stop

    return Watchers(advance=advance)


@pytest.mark.slow
@pytest.mark.parametrize("n_steps", [1, 13, 19, 20, 33, 39])
def test_a_stopped_run_resumes_to_the_same_weights(
    n_steps: int, trained: tuple[Path, tuple[EpochResult, ...]], tmp_path: Path
) -> None:
    with pytest.raises(Stop):
        train(RECIPE, TRAINING_SET, DEV_SET, tmp_path, storage="fp32", save_every_s=0, watchers=stop_after(n_steps))
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]
    torch.manual_seed(99)  # whatever the process has drawn before must not matter
    results = train(RECIPE, TRAINING_SET, DEV_SET, tmp_path, storage="fp32")
    assert same_weights(tmp_path, trained[0])
    assert checkpoint_hash(tmp_path) == checkpoint_hash(trained[0])
    for resumed, whole in zip(results, trained[1], strict=True):
        assert dataclasses.replace(resumed, wall_s=0.0) == dataclasses.replace(whole, wall_s=0.0)


def test_a_run_stopped_before_its_first_save_starts_again(
    trained: tuple[Path, tuple[EpochResult, ...]], tmp_path: Path
) -> None:
    with pytest.raises(Stop):
        train(RECIPE, TRAINING_SET, DEV_SET, tmp_path / "m", storage="fp32", watchers=stop_after(7))
    train(RECIPE, TRAINING_SET, DEV_SET, tmp_path / "m", storage="fp32")
    assert same_weights(tmp_path / "m", trained[0])


@pytest.mark.slow
def test_the_seed_decides_the_weights(trained: tuple[Path, tuple[EpochResult, ...]], tmp_path: Path) -> None:
    for seed in (0, 1):
        train(changed(seed=seed), TRAINING_SET, None, tmp_path / str(seed), storage="fp32")
    assert same_weights(tmp_path / "0", trained[0])
    assert not same_weights(tmp_path / "1", trained[0])


@pytest.mark.parametrize("change", [{"seed": 1}, {"epochs": 3}, {"loss": "pabee"}, {"learning_rate": 1e-3}])
def test_a_stopped_run_of_another_plan_is_not_resumed(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Stop):
        train(RECIPE, TRAINING_SET, None, tmp_path, save_every_s=0, watchers=stop_after(2))
    state = (tmp_path / STATE_FILE).read_bytes()
    with pytest.raises(ConfigError, match=r"^--out = .*: holds a stopped run of another plan or other data\. Repeat"):
        train(changed(**change), TRAINING_SET, None, tmp_path)
    with pytest.raises(ConfigError, match=r"holds a stopped run of another plan or other data"):
        train(RECIPE, separable(640, 2), None, tmp_path)
    assert (tmp_path / STATE_FILE).read_bytes() == state


def damaged(folder: Path) -> None:
    (folder / STATE_FILE).write_bytes(b"not a state")


def unsigned(folder: Path) -> None:
    save_file({"x": torch.zeros(1)}, folder / STATE_FILE)


@pytest.mark.parametrize(
    ("prepare", "message"), [(damaged, r"is damaged \(.+\)\. Remove it to start again"), (unsigned, r"another plan")]
)
def test_other_state_files_are_refused(prepare: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    prepare(tmp_path)
    with pytest.raises(ConfigError, match=message):
        train(RECIPE, TRAINING_SET, None, tmp_path)


def test_a_finished_folder_is_left_alone(trained: tuple[Path, tuple[EpochResult, ...]]) -> None:
    before = {path: path.read_bytes() for path in trained[0].iterdir()}
    with pytest.raises(ConfigError, match=r"^--out = .*whole: holds a finished checkpoint\. Name another folder"):
        train(RECIPE, TRAINING_SET, None, trained[0])
    assert {path: path.read_bytes() for path in trained[0].iterdir()} == before


@pytest.mark.parametrize("place", ["file", "file/below/it"])
def test_an_unwritable_place_is_refused_before_training(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    watchers = Watchers(begin=lambda *_: pytest.fail("training began"))
    with pytest.raises(ConfigError, match=rf"^--out = .*{place}: cannot be written"):
        train(RECIPE, TRAINING_SET, None, tmp_path / place, watchers=watchers)
    assert (tmp_path / "file").read_text() == "kept"


def test_a_full_disk_leaves_the_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Stop):
        train(RECIPE, TRAINING_SET, None, tmp_path, save_every_s=0, watchers=stop_after(2))
    state = (tmp_path / STATE_FILE).read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hexit.quant.training.state.save_file", full)
    with pytest.raises(ConfigError, match=r"^--out = .*: cannot be written \(.*No space left on device\)"):
        train(RECIPE, TRAINING_SET, None, tmp_path, save_every_s=0)
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]
    assert (tmp_path / STATE_FILE).read_bytes() == state


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "pabee", "shared_head": False, "pooling": "mean"},
        {"loss": "equal", "pooler": False},
        {"loss": "last", "batch_size": 31},
    ],
    ids=str,
)
def test_other_plans_learn_too(change: dict[str, Any], tmp_path: Path) -> None:
    recipe = changed(**change)
    results = train(recipe, TRAINING_SET, DEV_SET, tmp_path)
    assert results[-1].dev_scores[-1] >= 0.95
    shape = load_checkpoint(str(tmp_path)).model.shape()
    assert (shape.shared_head, shape.pooling, shape.pooler) == (
        recipe.plan.shared_head,
        recipe.plan.pooling,
        recipe.plan.pooler,
    )


def test_regression_learns_a_score(tmp_path: Path) -> None:
    scores = dataclasses.replace(
        TRAINING_SET, labels=tuple(4 * label + 0.5 for label in TRAINING_SET.labels), label_names=()
    )
    results = train(changed(epochs=3), scores, scores, tmp_path)
    assert results[-1].dev_scores[-1] > 0.9
    assert load_checkpoint(str(tmp_path)).model.exits.label_names == ()


def test_a_checkpoint_is_trained_on(trained: tuple[Path, tuple[EpochResult, ...]], tmp_path: Path) -> None:
    rates: dict[str, Any] = {"learning_rate": 1e-8, "head_learning_rate": 1e-8}
    recipe = changed(model=str(trained[0]), epochs=1, **rates)
    results = train(recipe, TRAINING_SET, DEV_SET, tmp_path / "more")
    assert results[0].dev_scores == trained[1][-1].dev_scores
    with pytest.raises(ConfigError, match=r"^--max-length = 13: must be at most the 12 positions of whole"):
        train(changed(recipe, max_length=13), TRAINING_SET, None, tmp_path / "longer")
    assert not (tmp_path / "longer").exists()


@pytest.mark.slow
def test_a_teacher_labels_text_that_has_no_labels(
    trained: tuple[Path, tuple[EpochResult, ...]], tmp_path: Path
) -> None:
    lines = [json.dumps({"text": " ".join(text.capitalize() + "." for text in DEV_SET.texts)})]
    (tmp_path / "u.jsonl").write_text("\n".join(lines))
    recipe = changed(
        teacher=str(trained[0]),
        distill_fraction=1.0,
        unlabelled=str(tmp_path / "u.jsonl"),
        unlabelled_per_epoch=40,
        max_length=14,  # longer than the teacher's positions
    )
    wrong = dataclasses.replace(TRAINING_SET, labels=tuple(1 - label for label in TRAINING_SET.labels))
    results = train(recipe, wrong, DEV_SET, tmp_path / "student", storage="fp32")
    assert results[-1].dev_scores[-1] >= 0.95  # the teacher is right, the labels are not, and the teacher counts
    with pytest.raises(Stop):
        train(
            recipe, wrong, None, tmp_path / "again", storage="fp32", save_every_s=0, watchers=stop_after(640 + 40 + 12)
        )
    train(recipe, wrong, None, tmp_path / "again", storage="fp32")
    assert same_weights(tmp_path / "student", tmp_path / "again")


def test_every_epoch_has_its_own_order_and_its_own_unlabelled_text(
    trained: tuple[Path, tuple[EpochResult, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders, drawn = [], []

    def order(*arguments: Any) -> list[list[int]]:
        orders.append(training_order(*arguments))
        return orders[-1]

    def draw(*arguments: Any) -> tuple[str, ...]:
        drawn.append(load_sentences(*arguments))
        return drawn[-1]

    monkeypatch.setattr("hexit.quant.training.loop.training_order", order)
    for module in ("start", "samples"):
        monkeypatch.setattr(f"hexit.quant.training.{module}.load_sentences", draw)
    train(RECIPE, TRAINING_SET, None, tmp_path / "labelled")
    assert orders[0] != orders[1]
    orders.clear()
    (tmp_path / "u.jsonl").write_text(json.dumps({"text": ". ".join(text.capitalize() for text in DEV_SET.texts)}))
    unlabelled: dict[str, Any] = {"unlabelled": str(tmp_path / "u.jsonl"), "unlabelled_per_epoch": 20}
    train(changed(teacher=str(trained[0]), **unlabelled), TRAINING_SET, None, tmp_path / "m")
    assert [sorted(i for batch in batches for i in batch) for batches in orders] == [list(range(660))] * 2
    vocabulary_text, first, second = drawn
    assert len(first) == len(second) == 20
    assert set(first) != set(second)
    assert set(vocabulary_text) > set(first) | set(second)


def test_a_teacher_must_know_the_task(trained: tuple[Path, tuple[EpochResult, ...]], tmp_path: Path) -> None:
    recipe = changed(teacher=str(trained[0]))
    other = dataclasses.replace(TRAINING_SET, label_names=("no", "yes"))
    with pytest.raises(ConfigError, match=r"^--teacher = whole: must have the classes no, yes"):
        train(recipe, other, None, tmp_path)
    with pytest.raises(ConfigError, match=r"^--teacher = whole: distils classes, the labels are numbers"):
        train(recipe, dataclasses.replace(TRAINING_SET, label_names=()), None, tmp_path)
    with pytest.raises(ConfigError, match=r"^--teacher = /none: no such folder"):
        train(changed(teacher="/none"), TRAINING_SET, None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def three_stages(teacher: str) -> Recipe:
    """A toy recipe: heads alone; all, led by the teacher's hidden states; the best epoch with embeddings at rest."""
    short: dict[str, Any] = {"epochs": 1, "batch_size": 64, "learning_rate": 2e-3, "head_learning_rate": 5e-3}
    return changed(
        Recipe(
            plan=dataclasses.replace(RECIPE.plan, model=teacher, teacher=teacher, held_out=64),
            stages=(
                Stage(**short, name="heads", freeze=("backbone.*",), loss="equal"),
                Stage(
                    **short,
                    name="imitate",
                    hidden_weight=1.0,
                    rates=(ParameterRate(match="heads.*", learning_rate=1e-3),),
                ),
                Stage(**short | {"epochs": 2}, name="finish", loss="pabee", keep="best", freeze=("*.embeddings.*",)),
            ),
        )
    )


@pytest.fixture(scope="session")
def staged(trained: tuple[Path, tuple[EpochResult, ...]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stages") / "whole"
    train(three_stages(str(trained[0])), TRAINING_SET, None, out, storage="fp32")
    return out


@pytest.mark.slow
@pytest.mark.parametrize("n_steps", np.random.default_rng(7).choice(36, 10, replace=False).tolist())
def test_stages_stopped_anywhere_end_with_the_same_bytes(
    n_steps: int, trained: tuple[Path, tuple[EpochResult, ...]], staged: Path, tmp_path: Path
) -> None:
    recipe, out = three_stages(str(trained[0])), tmp_path / "stopped"
    n_labelled = len(TRAINING_SET) - recipe.plan.held_out  # the teacher labels them before the first step
    with pytest.raises(Stop):
        train(
            recipe, TRAINING_SET, None, out, storage="fp32", save_every_s=0, watchers=stop_after(n_labelled + n_steps)
        )
    train(recipe, TRAINING_SET, None, out, storage="fp32")
    for name in ("model.safetensors", "config.json", "tokenizer.json", "selection.tsv", "calibration.txt"):
        assert (out / name).read_bytes() == (staged / name).read_bytes()


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"freeze": ("backbone.nothing.*",)}, r"^stages\.freeze = backbone\.nothing\.\*: names no parameter\. One is"),
        ({"rates": (ParameterRate(match="x", learning_rate=1.0),)}, r"^stages\.rates\.match = x: names no parameter"),
        ({"freeze": ("*",)}, r"^stages\.freeze = \['\*'\]: leaves nothing to train\. Freeze less"),
    ],
)
def test_patterns_that_train_nothing_are_refused(stage: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        train(changed(**stage), TRAINING_SET, None, tmp_path)


def test_frozen_parameters_stay_and_a_rate_of_its_own_is_used(
    trained: tuple[Path, tuple[EpochResult, ...]], tmp_path: Path
) -> None:
    still = (ParameterRate(match="heads.0.classifier.*", learning_rate=1e-12),)
    recipe = changed(model=str(trained[0]), freeze=("*embedding*",), rates=still, epochs=1)
    train(recipe, TRAINING_SET, None, tmp_path, storage="fp32")
    before, after = weights_of(trained[0]), weights_of(tmp_path)
    for name, weight in before.items():
        if "embedding" in name:
            assert torch.equal(weight, after[name])
        elif "classifier" in name:
            torch.testing.assert_close(weight, after[name], rtol=0, atol=1e-9)  # 20 steps of 1e-12 and less
        else:
            assert not torch.equal(weight, after[name])


def test_held_out_samples_are_kept_beside_the_weights_and_never_trained_on(staged: Path) -> None:
    kept = load_texts(str(staged / "selection.tsv"), label_names=("bad", "good"))
    assert len(kept) == 64
    calibration = (staged / "calibration.txt").read_text().splitlines()  # drawn from what is trained on
    assert Counter(kept.texts) + Counter(calibration) <= Counter(TRAINING_SET.texts)
    by_text = dict(zip(TRAINING_SET.texts, TRAINING_SET.labels, strict=True))
    assert [by_text[text] for text in kept.texts] == list(kept.labels)
    with pytest.raises(ConfigError, match=r"^--held-out = 640: must be below the 640 training samples"):
        train(changed(held_out=640), TRAINING_SET, None, staged / "x")


def test_the_best_epoch_is_kept(trained: tuple[Path, tuple[EpochResult, ...]], tmp_path: Path) -> None:
    """A rate at which training falls apart after its first, warming, epoch leaves the weights of that epoch."""
    options: dict[str, Any] = {"model": str(trained[0]), "held_out": 64, "learning_rate": 0.5, "epochs": 2}
    options |= {"warmup_fraction": 1.0, "seed": 1}
    for keep in ("best", "last"):
        results = train(changed(**options, keep=keep), TRAINING_SET, None, tmp_path / keep, storage="fp32")
    scores = [result.held_out_score for result in results]
    model = load_checkpoint(str(tmp_path / "best"))
    kept = load_texts(str(tmp_path / "best" / "selection.tsv"), label_names=("bad", "good"))
    logits = all_logits(
        model.model, encode(kept, model.tokenizer, 12), n_layers=2, n_classes=2, pad_id=model.tokenizer.pad_token_id
    )
    assert exit_scores(logits, np.array(kept.labels))[-1] == max(score for score in scores if score is not None)
    assert same_weights(tmp_path / "best", tmp_path / "last") is (scores[1] == max(map(float, filter(None, scores))))


def test_a_teacher_of_hidden_states_has_the_models_pieces(
    trained: tuple[Path, tuple[EpochResult, ...]], tmp_path: Path
) -> None:
    recipe = changed(teacher=str(trained[0]), hidden_weight=1.0, hidden_size=24)
    with pytest.raises(
        ConfigError, match=r"^--teacher = whole: must have .* \(0 missing\) and its hidden size 24\. Start"
    ):
        train(recipe, TRAINING_SET, None, tmp_path)
