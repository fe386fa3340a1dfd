from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hexit.quant.errors import ConfigError
from hexit.quant.network.checkpoint import Checkpoint
from hexit.quant.network.model import EarlyExitEncoder, ExitConfig
from hexit.quant.training.plan import TrainingPlan
from hexit.quant.training.start import TYPICAL_POSITION, borrow_embeddings, new_albert, take_over, teacher_numbers
from hexit.quant.training.vocabulary import prune_tokenizer, train_tokenizer
from support.models import tiny_model

TEACHER_WORDS = "a b c d e good bad film plot fine poor story of the is and"


def borrowed(embedding_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of model and teacher for the pieces both know, and the start of the model's table."""
    teacher_tokenizer = train_tokenizer([TEACHER_WORDS] * 2, 120)
    teacher = tiny_model("bert", teacher_tokenizer)
    tokenizer = train_tokenizer(["the plot of the film is fine and good and the story is poor"] * 2, 110)
    torch.manual_seed(0)
    exits = ExitConfig(label_names=("a", "b"))
    plan = TrainingPlan(hidden_size=8, n_layers=1, n_heads=1, embedding_size=embedding_size, max_length=8)
    model = new_albert(plan, tokenizer, exits)
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


def teacher_and_student(embedding_size: int) -> tuple[Checkpoint, EarlyExitEncoder, Any]:
    """A BERT of two layers and an ALBERT of four in two groups that starts from it."""
    teacher_tokenizer = train_tokenizer([TEACHER_WORDS] * 2, 120)
    teacher = tiny_model("bert", teacher_tokenizer)
    checkpoint = Checkpoint(
        name="teacher", model=teacher, tokenizer=teacher_tokenizer, content_hash="", trained_exits=True
    )
    tokenizer = prune_tokenizer(teacher_tokenizer, ["the plot of the film is fine"], 100)
    sizes: dict[str, Any] = {"hidden_size": 32, "n_layers": 4, "n_layer_groups": 2, "n_heads": 2, "max_length": 24}
    plan = TrainingPlan(**sizes, embedding_size=embedding_size, from_teacher=True, teacher="teacher")
    model = new_albert(plan, tokenizer, ExitConfig(label_names=("a", "b")), intermediate_size=64, hidden_act="gelu")
    take_over(model, tokenizer, checkpoint)
    return checkpoint, model.eval(), tokenizer


def states_of(model: EarlyExitEncoder, ids: Tensor) -> tuple[Tensor, ...]:
    mask, types = torch.ones_like(ids), torch.zeros_like(ids)
    with torch.inference_mode():
        return model.logits_and_states(ids, mask, types)[1]


def test_a_student_of_full_width_starts_with_its_teachers_embedding_and_layers() -> None:
    teacher, student, tokenizer = teacher_and_student(32)
    ids = tokenizer("the plot of the film is fine", return_tensors="pt")["input_ids"]
    theirs = states_of(teacher.model, teacher_numbers(tokenizer, teacher.tokenizer)[ids])
    ours = states_of(student, ids)
    # away from the position at which the embedding is taken its effect is only the mean one
    at = TYPICAL_POSITION
    distance = (ours[0][0, at] - theirs[0][0, at]).norm() / theirs[0][0, at].norm()
    assert float(distance) < 0.2  # the norm between divides by each row's own deviation, not by the mean one
    for group, layer in ((0, 0), (1, 1)):
        albert = student.backbone.encoder.albert_layer_groups[group].albert_layers[0]
        bert = teacher.model.backbone.encoder.layer[layer]
        with torch.inference_mode():
            once = albert(theirs[layer], None)
        torch.testing.assert_close(once, theirs[layer + 1], rtol=0, atol=1e-5)  # float32, sums in another order
        assert torch.equal(albert.ffn.weight, bert.intermediate.dense.weight)


def test_fewer_coordinates_are_further_from_the_teacher() -> None:
    distances = []
    for embedding_size in (8, 16, 32):
        teacher, student, tokenizer = teacher_and_student(embedding_size)
        ids = torch.tensor([[2, *range(5, 25)]])
        theirs = states_of(teacher.model, teacher_numbers(tokenizer, teacher.tokenizer)[ids])[0]
        distances.append(float((states_of(student, ids)[0] - theirs).norm() / theirs.norm()))
    assert distances == sorted(distances, reverse=True)


def test_a_teacher_of_other_sizes_is_refused() -> None:
    teacher, _, tokenizer = teacher_and_student(32)
    plan = TrainingPlan(hidden_size=32, n_layers=2, n_heads=2, embedding_size=8, max_length=24)
    model = new_albert(plan, tokenizer, ExitConfig(label_names=("a", "b")))
    with pytest.raises(
        ConfigError, match=r"^--from-teacher = teacher: needs a BERT of hidden, heads, ffn = 32, 2, 128"
    ):
        take_over(model, tokenizer, teacher)
