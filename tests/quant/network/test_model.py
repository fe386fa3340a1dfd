from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hexit.quant.data.scores import exit_scores
from hexit.quant.errors import ConfigError
from hexit.quant.network.checkpoint import Checkpoint
from hexit.quant.network.encoding import encode_strings, equal_length_batches, evaluation_batches
from hexit.quant.network.evaluate import all_logits
from hexit.quant.network.model import EarlyExitEncoder, ExitConfig
from hexit.quant.shapes import parameter_counts
from support.models import MODEL_KINDS, SENTENCES, tiny_backbone, tiny_model

# float32 sums of at most 64 products around 1, in another order: some 2**-23 x 64 over a few layers
FLOAT32_NOISE = 1e-5

HEADS = [
    {"shared_head": shared, "pooling": pooling, "pooler": pooler}
    for shared in (True, False)
    for pooling in ("first", "mean")
    for pooler in (True, False)
]


def logits_of(model: EarlyExitEncoder, batch: Any) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = model(batch.input_ids, batch.attention_mask, batch.token_type_ids)
    return logits


@pytest.mark.parametrize("exits", HEADS, ids=str)
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_each_exit_is_the_encoder_cut_after_that_layer(kind: str, exits: dict[str, Any], tokenizer: Any) -> None:
    model = tiny_model(kind, tokenizer, **exits)
    batch = next(evaluation_batches(encode_strings(SENTENCES, tokenizer, 24), len(SENTENCES), 0))
    logits = logits_of(model, batch)
    assert logits.shape == (model.n_layers, len(SENTENCES), 2)
    for n_layers in range(1, model.n_layers + 1):
        backbone = tiny_backbone(kind, n_layers, len(tokenizer))
        backbone.load_state_dict(
            {key: value for key, value in model.backbone.state_dict().items() if key in backbone.state_dict()}
        )
        with torch.inference_mode():
            state = backbone.eval()(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask, token_type_ids=batch.token_type_ids
            ).last_hidden_state
            head = model.heads[0 if exits["shared_head"] else n_layers - 1]
            expected = head(state, batch.attention_mask)
        torch.testing.assert_close(logits[n_layers - 1], expected, rtol=0, atol=FLOAT32_NOISE)
    assert (logits[0] - logits[-1]).abs().max() > 100 * FLOAT32_NOISE  # else the test above could not fail


@pytest.mark.parametrize("pooling", ["first", "mean"])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_padding_does_not_change_the_logits(kind: str, pooling: str, tokenizer: Any) -> None:
    model = tiny_model(kind, tokenizer, pooling=pooling)
    encoded = encode_strings(SENTENCES, tokenizer, 24)
    together = logits_of(model, next(evaluation_batches(encoded, len(SENTENCES), 0)))
    order = next(evaluation_batches(encoded, len(SENTENCES), 0)).indices
    for batch in equal_length_batches(encoded, 1):
        alone = logits_of(model, batch)[:, 0]
        torch.testing.assert_close(together[:, order.index(batch.indices[0])], alone, rtol=0, atol=FLOAT32_NOISE)


def test_the_mean_is_over_tokens_that_are_there(tokenizer: Any) -> None:
    head: Any = tiny_model("bert", tokenizer, pooling="mean", pooler=False).heads[0]
    hidden = torch.arange(6.0).reshape(1, 3, 2).repeat(1, 1, 16)
    expected = head.classifier(hidden[:, :2].mean(1))
    torch.testing.assert_close(head(hidden, torch.tensor([[1, 1, 0]])), expected, rtol=0, atol=0)


@pytest.mark.parametrize("shared_head", [True, False])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_the_shape_tells_the_sizes_of_the_network(kind: str, shared_head: bool, tokenizer: Any) -> None:
    model = tiny_model(kind, tokenizer, shared_head=shared_head, pooling="mean", label_names=("a", "b", "c"))
    shape = model.shape()
    assert (shape.n_layers, shape.hidden_size, shape.n_heads, shape.ffn_size) == (model.n_layers, 32, 2, 64)
    assert (shape.embedding_size, shape.factorised_embedding) == {"albert": (16, True), "bert": (32, False)}[kind]
    assert shape.n_layer_groups == {"albert": 1, "bert": model.n_layers}[kind]
    assert (shape.vocabulary_size, shape.n_positions, shape.n_token_types) == (len(tokenizer), 24, 2)
    assert (shape.n_classes, shape.pooler, shape.pooling, shape.shared_head) == (3, True, "mean", shared_head)
    assert len(model.heads) == (1 if shared_head else model.n_layers)


def test_no_classes_mean_one_real_output(tokenizer: Any) -> None:
    assert ExitConfig(label_names=()).n_classes == 1
    assert tiny_model("albert", tokenizer, label_names=()).shape().n_classes == 1


def test_another_kind_of_encoder_is_refused(tokenizer: Any) -> None:
    backbone = copy.deepcopy(tiny_backbone("bert", 1, 10))
    backbone.config.model_type = "roberta"
    with pytest.raises(ConfigError, match=r"^--model = roberta: must be one of albert, bert"):
        EarlyExitEncoder(backbone, ExitConfig(label_names=("a", "b")))


def test_a_layer_uses_the_group_of_weights_that_the_shape_says(tokenizer: Any) -> None:
    model = tiny_model("grouped", tokenizer)
    used: list[int] = []
    for index, group in enumerate(model.backbone.encoder.albert_layer_groups):
        group.register_forward_hook(lambda *_, index=index: used.append(index))
    logits_of(model, next(evaluation_batches(encode_strings(SENTENCES, tokenizer, 24), 2, 0)))
    shape = model.shape()
    assert used == [shape.layer_group(layer) for layer in range(1, 5)] == [0, 0, 1, 1]
    n_backbone = sum(parameter.numel() for parameter in model.backbone.parameters())
    assert parameter_counts(shape).n_embedding + parameter_counts(shape).n_layers == n_backbone


def test_a_pass_of_a_group_is_one_layer() -> None:
    backbone = tiny_backbone("albert", 2, 10)
    backbone.config.inner_group_num = 2
    with pytest.raises(ConfigError, match=r"config\.json: inner_group_num = 2: must be 1"):
        EarlyExitEncoder(backbone, ExitConfig(label_names=("a", "b")))


@pytest.mark.parametrize("batch_size", [1, 4, 99])
def test_all_logits_come_in_input_order(batch_size: int, tiny_checkpoints: dict[str, Checkpoint]) -> None:
    checkpoint = tiny_checkpoints["albert"]
    encoded = encode_strings(SENTENCES, checkpoint.tokenizer, 24)
    counts: list[int] = []
    logits = all_logits(
        checkpoint.model, encoded, n_layers=3, n_classes=2, pad_id=0, batch_size=batch_size, advance=counts.append
    )
    assert (logits.dtype, logits.shape) == (np.dtype("float32"), (3, len(SENTENCES), 2))
    assert sum(counts) == len(SENTENCES)
    for batch in equal_length_batches(encoded, 1):
        alone = logits_of(checkpoint.model, batch)[:, 0].numpy()
        np.testing.assert_allclose(logits[:, batch.indices[0]], alone, rtol=0, atol=FLOAT32_NOISE)


def test_logits_do_not_depend_on_the_number_of_cores(tokenizer: Any) -> None:
    """Nor does torch keep another number of threads afterwards."""
    model, before = tiny_model("bert", tokenizer), torch.get_num_threads()
    encoded = encode_strings(SENTENCES * 20, tokenizer, 24)
    runs = []
    try:
        for n_threads in (1, 2, 5):
            torch.set_num_threads(n_threads)
            runs.append(all_logits(model, encoded, n_layers=2, n_classes=2, pad_id=0, batch_size=8).tolist())
            assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    assert runs[0] == runs[1] == runs[2]


def test_a_failing_batch_is_not_lost_among_the_cores(tokenizer: Any) -> None:
    model = tiny_model("bert", tokenizer)
    encoded = encode_strings(SENTENCES, tokenizer, 24)
    with pytest.raises(ValueError, match="could not be broadcast"):
        all_logits(model, encoded, n_layers=3, n_classes=2, pad_id=0, batch_size=2)


def test_mixed_precision_reaches_every_core(tokenizer: Any) -> None:
    model = tiny_model("bert", tokenizer)
    encoded = encode_strings(SENTENCES, tokenizer, 24)
    full = all_logits(model, encoded, n_layers=2, n_classes=2, pad_id=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = all_logits(model, encoded, n_layers=2, n_classes=2, pad_id=0)
    assert (half == torch.from_numpy(half).bfloat16().float().numpy()).all()
    assert (half != full).any()


def test_evaluation_switches_dropout_off(tokenizer: Any) -> None:
    model = tiny_model("bert", tokenizer).train()
    encoded = encode_strings(SENTENCES, tokenizer, 24)
    first, second = (all_logits(model, encoded, n_layers=2, n_classes=2, pad_id=0) for _ in range(2))
    assert first.tolist() == second.tolist()


def test_scores_are_accuracy_or_correlation() -> None:
    logits = np.array([[[1, 0], [0, 1], [3, 2], [0, 5]], [[0, 1], [0, 1], [0, 1], [2, 1]]], dtype=np.float32)
    assert exit_scores(logits, np.array([0, 1, 0, 0])) == (0.75, 0.5)
    real = np.array([[[1.0], [2.0], [3.0]], [[3.0], [2.0], [1.0]], [[0.0], [0.0], [3.0]]])
    scores = exit_scores(real, np.array([10.0, 20.0, 30.0]))
    assert scores == pytest.approx((1.0, -1.0, 3**0.5 / 2))
