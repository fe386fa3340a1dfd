"""Tiny random encoders that tests share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AlbertConfig, AlbertModel, BertConfig, BertModel

from hexit.quant.network.model import EarlyExitEncoder, ExitConfig

SENTENCES = (
    "a good film",
    "a dull and lifeless film",
    "good good good",
    "the plot is dull , but the actors are wonderful",
    "wonderful",
    "not a good plot and not a good film either , which is a shame",
    "the actors are lifeless",
    "a shame",
    "a wonderful and moving story of two lovely actors",
    "the story is a bore",
)
SELECTION = tuple(f"{first} , {second}" for first, second in itertools.permutations(SENTENCES, 2))[::3]
MODEL_KINDS = ("albert", "bert")
N_LAYERS = {"albert": 3, "bert": 2, "grouped": 4}  # grouped: an ALBERT with two groups of two passes


def tiny_backbone(kind: str, n_layers: int, vocabulary_size: int) -> Any:
    """A random encoder whose logits differ visibly from layer to layer."""
    sizes: dict[str, Any] = {
        "vocab_size": vocabulary_size,
        "hidden_size": 32,
        "num_hidden_layers": n_layers,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 24,
        "initializer_range": 0.2,  # ten times the usual one, else every random layer is nearly the identity
    }
    if kind in {"albert", "grouped"}:
        groups = {"albert": 1, "grouped": 2}[kind]
        return AlbertModel(AlbertConfig(embedding_size=16, num_hidden_groups=groups, **sizes), add_pooling_layer=False)
    return BertModel(BertConfig(**sizes), add_pooling_layer=False)


def tiny_model(kind: str, tokenizer: Any, **exits: Any) -> EarlyExitEncoder:
    """A random encoder with few layers; `exits` are fields of ExitConfig."""
    torch.manual_seed(1)
    description = ExitConfig(**({"label_names": ("bad", "good")} | exits))
    model = EarlyExitEncoder(tiny_backbone(kind, N_LAYERS[kind], len(tokenizer)), description)
    with torch.no_grad():
        for parameter in model.parameters():  # biases start at zero, which would hide that one is lost
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def write_labelled(path: Path, sentences: Sequence[str]) -> None:
    """Write sentences as a tsv file, bad and good in turn."""
    rows = [f"{text}\t{('bad', 'good')[index % 2]}" for index, text in enumerate(sentences)]
    path.write_text("\n".join(["sentence\tlabel", *rows]) + "\n", encoding="utf-8")
