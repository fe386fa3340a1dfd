"""Shapes of published networks, and the parameters that a shape stores."""

from __future__ import annotations

from dataclasses import dataclass

from hexit.quant.config import EncoderShape
from hexit.quant.workload import Op, layer_ops, n_vector_parameters, n_weights, prologue_ops


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterCounts:
    """Stored parameters of an encoder with exits, biases and norm parameters included."""

    n_embedding: int
    n_layers: int
    n_poolers: int
    n_classifiers: int
    n_one_pooler: int

    @property
    def n_total(self) -> int:
        """Everything that is stored, every exit head included."""
        return self.n_embedding + self.n_layers + self.n_poolers + self.n_classifiers

    @property
    def n_published(self) -> int:
        """What the papers and model hubs count: embeddings, layers and one pooler, no classifier."""
        return self.n_embedding + self.n_layers + self.n_one_pooler


def parameter_counts(shape: EncoderShape) -> ParameterCounts:
    """Return the exact numbers of stored parameters of an encoder of this shape."""
    tables = shape.vocabulary_size + shape.n_positions + shape.n_token_types
    stored_heads = 1 if shape.shared_head else shape.n_layers
    one_pooler = shape.hidden_size * (shape.hidden_size + 1) if shape.pooler else 0
    return ParameterCounts(
        n_embedding=tables * shape.embedding_size + _n_parameters(prologue_ops(shape, rows=1)),
        n_layers=shape.n_layer_groups * _n_parameters(layer_ops(shape, rows=1)),
        n_poolers=stored_heads * one_pooler,
        n_classifiers=stored_heads * shape.n_classes * (shape.hidden_size + 1),
        n_one_pooler=one_pooler,
    )


def _n_parameters(ops: tuple[Op, ...]) -> int:
    return sum(n_weights(op) + n_vector_parameters(op) for op in ops)


ALBERT_BASE = EncoderShape(  # https://huggingface.co/albert/albert-base-v2/blob/main/config.json
    n_layers=12,
    hidden_size=768,
    n_heads=12,
    ffn_size=3072,
    embedding_size=128,
    vocabulary_size=30000,
    n_positions=512,
    n_token_types=2,
    n_layer_groups=1,
    factorised_embedding=True,
    n_classes=2,
    pooler=True,
    pooling="first",
    shared_head=True,
)

BERT_BASE = EncoderShape(  # https://huggingface.co/google-bert/bert-base-uncased/blob/main/config.json
    n_layers=12,
    hidden_size=768,
    n_heads=12,
    ffn_size=3072,
    embedding_size=768,
    vocabulary_size=30522,
    n_positions=512,
    n_token_types=2,
    n_layer_groups=12,
    factorised_embedding=False,
    n_classes=2,
    pooler=True,
    pooling="first",
    shared_head=False,
)

ALBERT_LARGE = ALBERT_BASE.resized(  # https://huggingface.co/albert/albert-large-v2/blob/main/config.json
    n_layers=24, hidden_size=1024, n_heads=16, ffn_size=4096
)

BERT_LARGE = BERT_BASE.resized(  # https://huggingface.co/google-bert/bert-large-uncased/blob/main/config.json
    n_layers=24, hidden_size=1024, n_heads=16, ffn_size=4096
)

SHAPES = {
    "albert-base": ALBERT_BASE,
    "albert-large": ALBERT_LARGE,
    "bert-base": BERT_BASE,
    "bert-large": BERT_LARGE,
}
