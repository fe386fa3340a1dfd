from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hexit.quant.training.losses.exits import LayerWeights, exit_losses
from hexit.quant.training.losses.hidden_states import hidden_state_loss, state_pairs
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


@pytest.mark.parametrize(
    ("n_layers", "n_teacher", "pairs"),
    [
        (2, 2, ((0, 0), (1, 1), (2, 2))),
        (6, 2, ((0, 0), (3, 1), (6, 2))),
        (2, 6, ((0, 0), (1, 3), (2, 6))),
        (3, 2, ((0, 0), (3, 2))),
    ],
)
def test_states_are_paired_where_the_depths_meet(n_layers: int, n_teacher: int, pairs: Any) -> None:
    assert state_pairs(n_layers, n_teacher) == pairs


def test_the_distance_of_hidden_states_is_relative_and_looks_at_tokens_only() -> None:
    states = [torch.tensor([[[1.0, 2.0], [9.0, 9.0]]]), torch.tensor([[[5.0, 0.0], [7.0, 7.0]]])]
    teacher = [torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.tensor([[[3.0, 4.0], [0.0, 1.0]]])]
    loss = hidden_state_loss(states, teacher, torch.tensor([[1, 0]]))
    assert float(loss) == pytest.approx((4 / 1 + (4 + 16) / 25) / 2)


def test_a_loss_can_reach_the_gradients_of_hidden_states(tokenizer: Any) -> None:
    model = tiny_model("albert", tokenizer)
    ids = torch.tensor([[2, 7, 8, 3]])

    def gradient(factor: float) -> Tensor:
        logits, states = model.logits_and_states(ids, torch.ones_like(ids), torch.zeros_like(ids))
        hooked: Any = states[1]
        hooked.register_hook(lambda received: factor * received)
        embedding = model.backbone.encoder.embedding_hidden_mapping_in.weight
        received: Tensor = torch.autograd.grad(logits.sum(), embedding)[0]
        return received

    torch.testing.assert_close(gradient(0.0), torch.zeros_like(gradient(0.0)))
    torch.testing.assert_close(gradient(2.0), 2 * gradient(1.0))
