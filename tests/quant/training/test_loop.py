from __future__ import annotations

import dataclasses
import json
import lzma
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from hexit.quant.data.tasks import TextSet
from hexit.quant.errors import ConfigError
from hexit.quant.hub import checkpoint_hash
from hexit.quant.network.checkpoint import load_checkpoint
from hexit.quant.network.encoding import training_order
from hexit.quant.network.model import ExitConfig
from hexit.quant.training.loop import N_CALIBRATION, STATE_FILE, EpochResult, Watchers, train
from hexit.quant.training.losses import LayerWeights, exit_losses
from hexit.quant.training.plan import TrainingPlan
from hexit.quant.training.unlabelled import load_sentences
from hexit.quant.training.vocabulary import borrow_embeddings, new_albert, train_tokenizer
from support.examples import examples
from support.models import tiny_model


@pytest.mark.parametrize("n_layers", [1, 2, 6, 12])
def test_elbert_weights_start_at_sigmoid_4_and_sum_to_1(n_layers: int) -> None:
    weights = LayerWeights("elbert", n_layers)()
    early = 1 / (1 + math.exp(-4))
    expected = [early / n_layers] * (n_layers - 1) + [(n_layers - (n_layers - 1) * early) / n_layers]
    torch.testing.assert_close(weights, torch.tensor(expected))
    assert float(weights.sum().detach()) == pytest.approx(1, abs=1e-6)


def test_elbert_weights_are_trained() -> None:
    weights = LayerWeights("elbert", 4)
    (weights() * torch.tensor([1.0, 2.0, 3.0, 5.0])).sum().backward()
    assert weights.raw is not None
    assert weights.raw.grad is not None
    assert (weights.raw.grad < 0).all()  # an early layer with a smaller loss than the last one gains weight


@pytest.mark.parametrize(
    ("name", "expected"),
    [("pabee", [1 / 10, 2 / 10, 3 / 10, 4 / 10]), ("equal", [1 / 4] * 4), ("last", [0.0, 0.0, 0.0, 1.0])],
)
def test_fixed_weights(name: Any, expected: list[float]) -> None:
    weights = LayerWeights(name, 4)
    torch.testing.assert_close(weights(), torch.tensor(expected))
    assert list(weights.parameters()) == []


def log_softmax(row: list[float]) -> list[float]:
    total = math.log(sum(math.exp(x) for x in row))
    return [x - total for x in row]


def naive_losses(logits: Any, labels: list[int], teacher: Any, fraction: float, temperature: float) -> list[float]:
    out = []
    for layer in logits:
        total = 0.0
        for z, label, t in zip(layer, labels, teacher, strict=True):
            student = log_softmax([x / temperature for x in z])
            target = log_softmax([x / temperature for x in t])
            divergence = sum(math.exp(p) * (p - q) for p, q in zip(target, student, strict=True)) * temperature**2
            hard = -log_softmax(z)[label]
            total += divergence if label == -1 else (1 - fraction) * hard + fraction * divergence
        out.append(total / len(labels))
    return out


numbers = st.floats(-6, 6, width=32)


@given(st.data())
@examples(50)
def test_distillation_is_the_formula(data: st.DataObject) -> None:
    n_layers, n, n_classes = (data.draw(st.integers(low, 3)) for low in (1, 1, 2))
    rows = st.lists(numbers, min_size=n_classes, max_size=n_classes)
    teacher = data.draw(st.lists(rows, min_size=n, max_size=n))
    logits = data.draw(st.lists(st.lists(rows, min_size=n, max_size=n), min_size=n_layers, max_size=n_layers))
    labels = data.draw(st.lists(st.integers(-1, n_classes - 1), min_size=n, max_size=n))
    fraction, temperature = data.draw(st.floats(0, 1)), data.draw(st.floats(0.5, 5))
    losses = exit_losses(
        torch.tensor(logits),
        torch.tensor(labels, dtype=torch.float32),
        torch.tensor(teacher),
        regression=False,
        distill_fraction=fraction,
        temperature=temperature,
    )
    expected = naive_losses(logits, labels, teacher, fraction, temperature)
    torch.testing.assert_close(losses, torch.tensor(expected), rtol=1e-4, atol=1e-4)  # float32 against float64


LOGITS = torch.tensor([[[1.0, 2.0], [0.0, 0.0]], [[3.0, -1.0], [0.5, 0.25]]])
HAND: dict[str, Any] = {"distill_fraction": 0.9, "temperature": 2.0}


def test_without_a_teacher_it_is_the_cross_entropy_of_the_labelled_samples() -> None:
    both = exit_losses(LOGITS, torch.tensor([1.0, 0.0]), None, regression=False, **HAND)
    expected = [
        (math.log(1 + math.exp(-1)) + math.log(2)) / 2,
        (math.log(1 + math.exp(4)) + math.log(1 + math.exp(-0.25))) / 2,
    ]
    torch.testing.assert_close(both, torch.tensor(expected))
    one = exit_losses(LOGITS, torch.tensor([1.0, -1.0]), None, regression=False, **HAND)
    torch.testing.assert_close(one, torch.tensor([math.log(1 + math.exp(-1)), math.log(1 + math.exp(4))]))


def test_the_label_of_an_unlabelled_sample_has_no_part_in_its_loss() -> None:
    teacher = LOGITS[1]
    losses = exit_losses(LOGITS, torch.tensor([-1.0, -1.0]), teacher, regression=False, **HAND)
    assert float(losses[1]) == pytest.approx(0, abs=1e-6)  # the student agrees with the teacher
    assert float(losses[0]) > 0.1


def test_regression_takes_squared_errors() -> None:
    logits = torch.tensor([[[1.0], [2.0]], [[0.0], [5.0]]])
    losses = exit_losses(logits, torch.tensor([1.0, 4.0]), None, regression=True, **HAND)
    assert losses.tolist() == [2.0, 1.0]


def test_the_same_text_gives_the_same_vocabulary() -> None:
    # words in equal numbers, so that every merge of pieces is a tie
    words = [f"{a}{b}{c}" for a in "abcd" for b in "efgh" for c in "ijkl"]
    vocabularies = [train_tokenizer([" ".join(words)] * 2, 100).get_vocab() for _ in range(5)]
    assert all(vocabulary == vocabularies[0] for vocabulary in vocabularies)
    assert len(vocabularies[0]) == 100


def test_the_tokenizer_is_that_of_bert() -> None:
    tokenizer = train_tokenizer(["Good films, GOOD actors", "good film; good actor"] * 3, 100)
    assert tokenizer.convert_ids_to_tokens(range(5)) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert tokenizer.convert_ids_to_tokens(tokenizer("GOOD, film")["input_ids"]) == [
        "[CLS]",
        "good",
        ",",
        "film",
        "[SEP]",
    ]
    assert tokenizer.convert_ids_to_tokens(tokenizer("good §")["input_ids"])[1:-1] == ["good", "[UNK]"]
    assert tokenizer.decode(tokenizer("good actor")["input_ids"], skip_special_tokens=True) == "good actor"


TEACHER_WORDS = "a b c d e good bad film plot fine poor story of the is and"


def borrowed(embedding_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of model and teacher for the pieces both know, and the start of the model's table."""
    teacher_tokenizer = train_tokenizer([TEACHER_WORDS] * 2, 120)
    teacher = tiny_model("bert", teacher_tokenizer)
    tokenizer = train_tokenizer(["the plot of the film is fine and good and the story is poor"] * 2, 110)
    torch.manual_seed(0)
    exits = ExitConfig(label_names=("a", "b"))
    model = new_albert(
        tokenizer=tokenizer,
        hidden_size=8,
        n_layers=1,
        n_heads=1,
        embedding_size=embedding_size,
        n_positions=8,
        exits=exits,
    )
    table = model.backbone.embeddings.word_embeddings.weight
    start = table.detach().clone()
    borrow_embeddings(model, tokenizer, teacher, teacher_tokenizer)
    both = sorted(tokenizer.get_vocab().keys() & teacher_tokenizer.get_vocab().keys())
    assert len(both) > 20
    rows = teacher.backbone.embeddings.word_embeddings.weight.detach()
    ours = torch.stack([table.detach()[tokenizer.get_vocab()[piece]] for piece in both])
    theirs = torch.stack([rows[teacher_tokenizer.get_vocab()[piece]] for piece in both])
    return ours, theirs, torch.stack([start[tokenizer.get_vocab()[piece]] for piece in both])


@pytest.mark.parametrize("embedding_size", [32, 40])
def test_borrowed_rows_are_the_teachers_up_to_turning_and_scale(embedding_size: int) -> None:
    ours, theirs, start = borrowed(embedding_size)
    ratio = torch.pdist(ours[:, :32]) / torch.pdist(theirs)  # 32 columns hold all of the teacher's space
    torch.testing.assert_close(ratio, torch.full_like(ratio, float(ratio[0])), rtol=1e-4, atol=0)
    assert torch.equal(ours[:, 32:], start[:, 32:])


def test_a_narrow_table_keeps_the_leading_axes_of_the_mean_rows() -> None:
    teacher_tokenizer = train_tokenizer([TEACHER_WORDS] * 2, 100)
    teacher = tiny_model("bert", teacher_tokenizer)
    rows = teacher.backbone.embeddings.word_embeddings.weight.detach().double()
    tokenizer = train_tokenizer(["goodbad filmplot stories"] * 2, 100)  # spelled in several pieces of the teacher's
    model = tiny_model("albert", tokenizer)
    borrow_embeddings(model, tokenizer, teacher, teacher_tokenizer)
    spelled = []
    for piece in tokenizer.convert_ids_to_tokens(range(len(tokenizer))):
        known = piece in teacher_tokenizer.get_vocab()
        pieces = [piece] if known else teacher_tokenizer.tokenize(piece.removeprefix("##"))
        spelled.append(rows[teacher_tokenizer.convert_tokens_to_ids(pieces)].mean(0))
    table = torch.stack(spelled)
    _, axes = torch.linalg.eigh(torch.cov(table.T))  # in ascending order
    projected = (table - table.mean(0)) @ axes[:, -16:]
    ours = model.backbone.embeddings.word_embeddings.weight.detach().double()
    assert ours.std().item() == pytest.approx(0.02, rel=1e-4)
    # distances do not depend on the signs of the axes; float32 decomposition against float64
    expected = torch.pdist(projected) * 0.02 / projected.std()
    torch.testing.assert_close(torch.pdist(ours), expected, rtol=1e-3, atol=1e-5)


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


PLAN = TrainingPlan(
    hidden_size=48,
    n_layers=2,
    n_heads=1,
    embedding_size=16,
    vocabulary_size=100,
    epochs=2,
    batch_size=32,
    learning_rate=5e-3,
    head_learning_rate=5e-3,
    max_length=12,
)


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
    return out, train(PLAN, TRAINING_SET, DEV_SET, out, half=False)


def test_forty_steps_learn_a_separable_task(trained: tuple[Path, tuple[EpochResult, ...]]) -> None:
    out, results = trained
    assert [result.epoch for result in results] == [1, 2]
    assert results[1].mean_loss < results[0].mean_loss
    assert min(results[-1].dev_scores) >= 0.95
    assert len(results[-1].dev_scores) == PLAN.n_layers
    checkpoint = load_checkpoint(str(out))
    assert checkpoint.model.exits == ExitConfig(label_names=("bad", "good"))
    assert checkpoint.max_length == PLAN.max_length
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
    assert notes["plan"] == dataclasses.asdict(PLAN)
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
        train(PLAN, TRAINING_SET, DEV_SET, tmp_path, half=False, save_every_s=0, watchers=stop_after(n_steps))
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]
    torch.manual_seed(99)  # whatever the process has drawn before must not matter
    results = train(PLAN, TRAINING_SET, DEV_SET, tmp_path, half=False)
    assert same_weights(tmp_path, trained[0])
    assert checkpoint_hash(tmp_path) == checkpoint_hash(trained[0])
    for resumed, whole in zip(results, trained[1], strict=True):
        assert dataclasses.replace(resumed, wall_s=0.0) == dataclasses.replace(whole, wall_s=0.0)


def test_a_run_stopped_before_its_first_save_starts_again(
    trained: tuple[Path, tuple[EpochResult, ...]], tmp_path: Path
) -> None:
    with pytest.raises(Stop):
        train(PLAN, TRAINING_SET, DEV_SET, tmp_path / "m", half=False, watchers=stop_after(7))
    train(PLAN, TRAINING_SET, DEV_SET, tmp_path / "m", half=False)
    assert same_weights(tmp_path / "m", trained[0])


@pytest.mark.slow
def test_the_seed_decides_the_weights(trained: tuple[Path, tuple[EpochResult, ...]], tmp_path: Path) -> None:
    for seed in (0, 1):
        train(dataclasses.replace(PLAN, seed=seed), TRAINING_SET, None, tmp_path / str(seed), half=False)
    assert same_weights(tmp_path / "0", trained[0])
    assert not same_weights(tmp_path / "1", trained[0])


@pytest.mark.parametrize("change", [{"seed": 1}, {"epochs": 3}, {"loss": "pabee"}, {"learning_rate": 1e-3}])
def test_a_stopped_run_of_another_plan_is_not_resumed(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Stop):
        train(PLAN, TRAINING_SET, None, tmp_path, save_every_s=0, watchers=stop_after(2))
    state = (tmp_path / STATE_FILE).read_bytes()
    with pytest.raises(ConfigError, match=r"^--out = .*: holds a stopped run of another plan or other data\. Repeat"):
        train(dataclasses.replace(PLAN, **change), TRAINING_SET, None, tmp_path)
    with pytest.raises(ConfigError, match=r"holds a stopped run of another plan or other data"):
        train(PLAN, separable(640, 2), None, tmp_path)
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
        train(PLAN, TRAINING_SET, None, tmp_path)


def test_a_finished_folder_is_left_alone(trained: tuple[Path, tuple[EpochResult, ...]]) -> None:
    before = {path: path.read_bytes() for path in trained[0].iterdir()}
    with pytest.raises(ConfigError, match=r"^--out = .*whole: holds a finished checkpoint\. Name another folder"):
        train(PLAN, TRAINING_SET, None, trained[0])
    assert {path: path.read_bytes() for path in trained[0].iterdir()} == before


@pytest.mark.parametrize("place", ["file", "file/below/it"])
def test_an_unwritable_place_is_refused_before_training(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    watchers = Watchers(begin=lambda *_: pytest.fail("training began"))
    with pytest.raises(ConfigError, match=rf"^--out = .*{place}: cannot be written"):
        train(PLAN, TRAINING_SET, None, tmp_path / place, watchers=watchers)
    assert (tmp_path / "file").read_text() == "kept"


def test_a_full_disk_leaves_the_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Stop):
        train(PLAN, TRAINING_SET, None, tmp_path, save_every_s=0, watchers=stop_after(2))
    state = (tmp_path / STATE_FILE).read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hexit.quant.training.loop.save_file", full)
    with pytest.raises(ConfigError, match=r"^--out = .*: cannot be written \(.*No space left on device\)"):
        train(PLAN, TRAINING_SET, None, tmp_path, save_every_s=0)
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
    plan = dataclasses.replace(PLAN, **change)
    results = train(plan, TRAINING_SET, DEV_SET, tmp_path)
    assert results[-1].dev_scores[-1] >= 0.95
    shape = load_checkpoint(str(tmp_path)).model.shape()
    assert (shape.shared_head, shape.pooling, shape.pooler) == (plan.shared_head, plan.pooling, plan.pooler)


def test_regression_learns_a_score(tmp_path: Path) -> None:
    scores = dataclasses.replace(
        TRAINING_SET, labels=tuple(4 * label + 0.5 for label in TRAINING_SET.labels), label_names=()
    )
    results = train(dataclasses.replace(PLAN, epochs=3), scores, scores, tmp_path)
    assert results[-1].dev_scores[-1] > 0.9
    assert load_checkpoint(str(tmp_path)).model.exits.label_names == ()


def test_a_checkpoint_is_trained_on(trained: tuple[Path, tuple[EpochResult, ...]], tmp_path: Path) -> None:
    rates: dict[str, Any] = {"learning_rate": 1e-8, "head_learning_rate": 1e-8}
    plan = dataclasses.replace(PLAN, model=str(trained[0]), epochs=1, **rates)
    results = train(plan, TRAINING_SET, DEV_SET, tmp_path / "more")
    assert results[0].dev_scores == trained[1][-1].dev_scores
    with pytest.raises(ConfigError, match=r"^--max-length = 13: must be at most the 12 positions of whole"):
        train(dataclasses.replace(plan, max_length=13), TRAINING_SET, None, tmp_path / "longer")
    assert not (tmp_path / "longer").exists()


@pytest.mark.slow
def test_a_teacher_labels_text_that_has_no_labels(
    trained: tuple[Path, tuple[EpochResult, ...]], tmp_path: Path
) -> None:
    lines = [json.dumps({"text": " ".join(text.capitalize() + "." for text in DEV_SET.texts)})]
    (tmp_path / "u.jsonl").write_text("\n".join(lines))
    plan = dataclasses.replace(
        PLAN,
        teacher=str(trained[0]),
        distill_fraction=1.0,
        unlabelled=str(tmp_path / "u.jsonl"),
        unlabelled_per_epoch=40,
        max_length=14,  # longer than the teacher's positions
    )
    wrong = dataclasses.replace(TRAINING_SET, labels=tuple(1 - label for label in TRAINING_SET.labels))
    results = train(plan, wrong, DEV_SET, tmp_path / "student", half=False)
    assert results[-1].dev_scores[-1] >= 0.95  # the teacher is right, the labels are not, and the teacher counts
    with pytest.raises(Stop):
        train(plan, wrong, None, tmp_path / "again", half=False, save_every_s=0, watchers=stop_after(640 + 40 + 12))
    train(plan, wrong, None, tmp_path / "again", half=False)
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
    monkeypatch.setattr("hexit.quant.training.loop.load_sentences", draw)
    train(PLAN, TRAINING_SET, None, tmp_path / "labelled")
    assert orders[0] != orders[1]
    orders.clear()
    (tmp_path / "u.jsonl").write_text(json.dumps({"text": ". ".join(text.capitalize() for text in DEV_SET.texts)}))
    unlabelled: dict[str, Any] = {"unlabelled": str(tmp_path / "u.jsonl"), "unlabelled_per_epoch": 20}
    train(dataclasses.replace(PLAN, teacher=str(trained[0]), **unlabelled), TRAINING_SET, None, tmp_path / "m")
    assert [sorted(i for batch in batches for i in batch) for batches in orders] == [list(range(660))] * 2
    vocabulary_text, first, second = drawn
    assert len(first) == len(second) == 20
    assert set(first) != set(second)
    assert set(vocabulary_text) > set(first) | set(second)


def test_a_teacher_must_know_the_task(trained: tuple[Path, tuple[EpochResult, ...]], tmp_path: Path) -> None:
    plan = dataclasses.replace(PLAN, teacher=str(trained[0]))
    other = dataclasses.replace(TRAINING_SET, label_names=("no", "yes"))
    with pytest.raises(ConfigError, match=r"^--teacher = whole: must have the classes no, yes"):
        train(plan, other, None, tmp_path)
    with pytest.raises(ConfigError, match=r"^--teacher = whole: distils classes, the labels are numbers"):
        train(plan, dataclasses.replace(TRAINING_SET, label_names=()), None, tmp_path)
    with pytest.raises(ConfigError, match=r"^--teacher = /none: no such folder"):
        train(dataclasses.replace(PLAN, teacher="/none"), TRAINING_SET, None, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(
            ({name: 0}, rf"^--{name.replace('_', '-')} = 0: must be at least 1")
            for name in ("hidden_size", "n_layers", "n_heads", "embedding_size", "epochs", "batch_size", "max_length")
        ),
        *(
            ({name: value}, rf"^--{name.replace('_', '-')} = {value}: must be positive")
            for name in ("learning_rate", "head_learning_rate", "temperature")
            for value in (0.0, -1.0, float("inf"), float("nan"))
        ),
        *(
            ({name: value}, rf"^--{name.replace('_', '-')} = {value}: must be 0\.\.1")
            for name in ("warmup_fraction", "distill_fraction")
            for value in (-0.1, 1.1, float("nan"))
        ),
        *(
            ({name: -1}, rf"^--{name.replace('_', '-')} = -1: must not be negative")
            for name in ("seed", "weight_decay", "unlabelled_per_epoch")
        ),
        ({"n_heads": 5}, r"^--n-heads = 5: must divide --hidden-size 48"),
        ({"vocabulary_size": 99}, r"^--vocabulary-size = 99: must be at least 100"),
        ({"unlabelled": "u.jsonl"}, r"^--unlabelled = u\.jsonl: needs a teacher to label it\. Add --teacher"),
    ],
)
def test_impossible_plans_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(PLAN, **change)
