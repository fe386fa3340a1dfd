"""The network that training starts from: a checkpoint, a new ALBERT, or one that takes over parts of its teacher.

Borrowing word vectors (a new vocabulary): every new piece is spelled in the teacher's pieces, gets the mean of their
vectors, and the table is reduced to `embedding_size` columns by its leading principal axes, rescaled to the usual
initial deviation.

Starting from the teacher (its own vocabulary, pruned): the teacher's embedding output h0, normalised, is reduced to
`embedding_size` coordinates about its mean, and the map that lifts them is its inverse, so that the new network's
state 0 is the teacher's but for the lost coordinates and the norm between. Group g of G takes the weights of the
teacher's layer floor(g T / G) of T.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hexit.quant.data.tasks import TextSet
from hexit.quant.errors import ConfigError
from hexit.quant.network.checkpoint import Checkpoint, load_checkpoint
from hexit.quant.network.model import EarlyExitEncoder, ExitConfig
from hexit.quant.training.plan import TrainingPlan
from hexit.quant.training.unlabelled import load_sentences
from hexit.quant.training.vocabulary import prune_tokenizer, train_tokenizer

INITIAL_DEVIATION = 0.02  # standard deviation of new weights, BERT and ALBERT
TYPICAL_POSITION = 8  # where the teacher's embedding output is taken: the middle of a phrase
N_COMMON_PIECES = 512  # pieces over which the effect of a position is averaged
ROTATION_SEED = 0  # of the turn that spreads the coordinates alike over the columns, as the norm expects
ALBERT_NAMES = {  # of the parameters of one BERT layer
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.dense",
    "attention.output.LayerNorm": "attention.LayerNorm",
    "intermediate.dense": "ffn",
    "output.dense": "ffn_output",
    "output.LayerNorm": "full_layer_layer_norm",
}


def starting_point(
    plan: TrainingPlan, training_set: TextSet, teacher: Checkpoint | None
) -> tuple[EarlyExitEncoder, Any]:
    """Return the network before its first step, and its tokenizer; random weights come from torch's generator."""
    exits = ExitConfig(
        label_names=training_set.label_names, pooler=plan.pooler, pooling=plan.pooling, shared_head=plan.shared_head
    )
    if plan.model:
        checkpoint = load_checkpoint(plan.model, exits=exits)
        if plan.max_length > checkpoint.max_length:
            requirement = f"must be at most the {checkpoint.max_length} positions of {checkpoint.name}"
            raise ConfigError("--max-length", plan.max_length, requirement, f"Use --max-length {checkpoint.max_length}")
        return checkpoint.model, checkpoint.tokenizer
    sentences = [*training_set.texts, *(training_set.pairs or ())]
    if plan.unlabelled:
        sentences += load_sentences(Path(plan.unlabelled), len(sentences), plan.seed)
    if plan.from_teacher and teacher is not None:
        tokenizer = prune_tokenizer(teacher.tokenizer, sentences, plan.vocabulary_size)
        model = new_albert(plan, tokenizer, exits, hidden_act=teacher.model.backbone.config.hidden_act)
        take_over(model, tokenizer, teacher)
        return model, tokenizer
    tokenizer = train_tokenizer(sentences, plan.vocabulary_size)
    model = new_albert(plan, tokenizer, exits)
    if teacher is not None:
        borrow_embeddings(model, tokenizer, teacher.model, teacher.tokenizer)
    return model, tokenizer


def new_albert(plan: TrainingPlan, tokenizer: Any, exits: ExitConfig, **config: Any) -> EarlyExitEncoder:
    """Build an untrained ALBERT of the plan's sizes (ffn = 4 x hidden, no encoder dropout as in v2) with exits."""
    from transformers import AlbertConfig, AlbertModel

    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "embedding_size": plan.embedding_size,
        "hidden_size": plan.hidden_size,
        "num_hidden_layers": plan.n_layers,
        "num_hidden_groups": plan.n_layer_groups,
        "num_attention_heads": plan.n_heads,
        "intermediate_size": 4 * plan.hidden_size,
        "max_position_embeddings": plan.max_length,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
    }
    return EarlyExitEncoder(AlbertModel(AlbertConfig(**sizes | config), add_pooling_layer=False), exits, dropout=0.1)


@torch.no_grad()
def borrow_embeddings(
    model: EarlyExitEncoder, tokenizer: Any, teacher: EarlyExitEncoder, teacher_tokenizer: Any
) -> None:
    """Initialise the word vectors of `model` from those of `teacher`, in place.

    Columns beyond the width of the teacher's vectors keep their random start.
    """
    source = teacher.backbone.embeddings.word_embeddings.weight
    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    known = teacher_tokenizer.get_vocab()
    rows = []
    for piece in pieces:
        bare = piece.removeprefix("##")
        ids = [known[piece]] if piece in known else teacher_tokenizer(bare, add_special_tokens=False)["input_ids"]
        rows.append(source[ids or [teacher_tokenizer.unk_token_id]].mean(0))
    table = torch.stack(rows)
    table = table - table.mean(0)
    target = model.backbone.embeddings.word_embeddings.weight
    _, _, axes = torch.linalg.svd(table, full_matrices=False)
    reduced = table @ axes[: target.shape[1]].T
    target[:, : reduced.shape[1]] = reduced * (INITIAL_DEVIATION / reduced.std())


@torch.no_grad()
def take_over(model: EarlyExitEncoder, tokenizer: Any, teacher: Checkpoint) -> None:
    """Start embeddings and layers of an ALBERT from a BERT teacher whose pieces include the model's, in place.

    Raises ConfigError for a teacher of another kind or of other sizes.
    """
    own, source = model.shape(), teacher.model.shape()
    sizes = [(shape.hidden_size, shape.n_heads, shape.ffn_size) for shape in (own, source)]
    if teacher.model.backbone.config.model_type != "bert" or sizes[0] != sizes[1]:
        requirement = f"needs a BERT of hidden, heads, ffn = {', '.join(map(str, sizes[0]))}"
        raise ConfigError(
            "--from-teacher", teacher.name, requirement, "Match the sizes to the teacher's, or leave it out"
        )
    _take_over_embeddings(model.backbone, teacher.model.backbone, teacher_numbers(tokenizer, teacher.tokenizer))
    for group, target in enumerate(model.backbone.encoder.albert_layer_groups):
        layer = teacher.model.backbone.encoder.layer[group * source.n_layers // own.n_layer_groups].state_dict()
        renamed = {}
        for name, value in layer.items():
            stem, _, leaf = name.rpartition(".")
            renamed[f"{ALBERT_NAMES[stem]}.{leaf}"] = value
        target.albert_layers[0].load_state_dict(renamed)


def teacher_numbers(tokenizer: Any, teacher_tokenizer: Any) -> Tensor:
    """Return the teacher's number of every piece of a pruned tokenizer, int64 [pieces]."""
    known = teacher_tokenizer.get_vocab()
    return torch.tensor([known[piece] for piece in tokenizer.convert_ids_to_tokens(range(len(tokenizer)))])


def _take_over_embeddings(backbone: Any, teacher: Any, numbers: Tensor) -> None:
    """Express the teacher's embedding output in coordinates; see the head of this file."""
    source, target = teacher.embeddings, backbone.embeddings
    words, positions = source.word_embeddings.weight[numbers], source.position_embeddings.weight
    token_type = source.token_type_embeddings.weight[0]
    outputs = source.LayerNorm(words + positions[TYPICAL_POSITION] + token_type)
    mean = outputs.mean(0)
    _, _, axes = torch.linalg.svd(outputs - mean, full_matrices=False)
    size = target.word_embeddings.weight.shape[1]
    noise = torch.randn(size, size, generator=torch.Generator().manual_seed(ROTATION_SEED))
    basis = torch.linalg.qr(noise).Q @ axes[:size]  # [embedding, hidden], rows orthonormal
    coordinates = (outputs - mean) @ basis.T
    target.word_embeddings.weight.copy_(coordinates)
    n_positions = target.position_embeddings.weight.shape[0]
    common = words[:N_COMMON_PIECES].unsqueeze(1) + positions[:n_positions] + token_type
    target.position_embeddings.weight.copy_((source.LayerNorm(common).mean(0) - mean) @ basis.T)
    target.position_embeddings.weight.sub_(target.position_embeddings.weight[TYPICAL_POSITION].clone())
    target.token_type_embeddings.weight.zero_()
    target.LayerNorm.weight.fill_(1.0)
    target.LayerNorm.bias.zero_()
    lift = backbone.encoder.embedding_hidden_mapping_in
    lift.weight.copy_(basis.T * coordinates.std(1).mean())  # the norm divides each row by its deviation
    lift.bias.copy_(mean)
