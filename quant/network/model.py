"""An ALBERT or BERT encoder of transformers with an exit after every layer.

    h_0 = embeddings(x);   h_l = layer_l(h_{l-1});   z_l = classifier(tanh(pooler(pool(h_l))))

What differs from the library's own classifiers: every layer has an exit; the exit head may be one for all layers
(ELBERT) or one per layer (PABEE, DeeBERT); it reads the first token or the mean of all tokens. The forward pass
returns the logits of all exits: which of them decides is the business of the exit rules. Not modelled: skipping
the layers after an exit in PyTorch (the simulator does that, on recorded logits).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hexit.quant.config import EncoderShape, Pooling
from hexit.quant.errors import ConfigError
from hexit.quant.hub import BACKBONES


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitConfig:
    """What the exits of a checkpoint look like; stored under "hexit" in its config.json.

    `label_names` empty: one real-valued output (regression).
    """

    label_names: tuple[str, ...]
    pooler: bool = True
    pooling: Pooling = "first"
    shared_head: bool = True

    @property
    def n_classes(self) -> int:
        """Width of an exit's output."""
        return max(1, len(self.label_names))


class ExitHead(nn.Module):
    """Pooled state to logits: [n, length, hidden] -> [n, n_classes]."""

    def __init__(self, hidden_size: int, exits: ExitConfig, dropout: float) -> None:
        """Build pooler (optional), dropout and classifier."""
        super().__init__()
        self.pooling = exits.pooling
        self.pooler = nn.Linear(hidden_size, hidden_size) if exits.pooler else None
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden_size, exits.n_classes)

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Pool, transform and classify."""
        if self.pooling == "first":
            pooled = hidden[:, 0]
        else:
            weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * weights).sum(1) / weights.sum(1)
        if self.pooler is not None:
            pooled = torch.tanh(self.pooler(pooled))
        logits: Tensor = self.classifier(self.dropout(pooled))
        return logits


class EarlyExitEncoder(nn.Module):
    """A transformers backbone and the heads of its exits."""

    def __init__(self, backbone: Any, exits: ExitConfig, dropout: float = 0.1) -> None:
        """Wrap a bare `AlbertModel` or `BertModel` (without its pooling layer)."""
        super().__init__()
        model_type = backbone.config.model_type
        if model_type not in BACKBONES:
            raise ConfigError("--model", model_type, f"must be one of {', '.join(BACKBONES)}", "Pick such a checkpoint")
        if getattr(backbone.config, "inner_group_num", 1) != 1:
            raise ConfigError(
                "--model config.json: inner_group_num",
                backbone.config.inner_group_num,
                "must be 1: a pass of a group of layers is one layer",
                "Pick another checkpoint",
            )
        self.backbone = backbone
        self.exits = exits
        n_heads = 1 if exits.shared_head else backbone.config.num_hidden_layers
        self.heads = nn.ModuleList(ExitHead(backbone.config.hidden_size, exits, dropout) for _ in range(n_heads))

    @property
    def n_layers(self) -> int:
        """Layers, and so exits."""
        return int(self.backbone.config.num_hidden_layers)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Return the logits of every exit, [n_layers, n, n_classes]."""
        return self.logits_and_states(input_ids, attention_mask, token_type_ids)[0]

    def logits_and_states(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the logits of every exit and the n_layers + 1 hidden states, [n, length, hidden] each.

        State 0 is what enters the first layer, state l what layer l returns.
        """
        out = self.backbone(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids, output_hidden_states=True
        )
        states = tuple(out.hidden_states)
        heads = [self.heads[0]] * self.n_layers if self.exits.shared_head else list(self.heads)
        logits = [head(state, attention_mask) for head, state in zip(heads, states[1:], strict=True)]
        return torch.stack(logits), states

    def shape(self) -> EncoderShape:
        """Return the sizes that the workload and the hardware need."""
        config = self.backbone.config
        return EncoderShape(
            n_layers=config.num_hidden_layers,
            hidden_size=config.hidden_size,
            n_heads=config.num_attention_heads,
            ffn_size=config.intermediate_size,
            embedding_size=getattr(config, "embedding_size", config.hidden_size),
            vocabulary_size=config.vocab_size,
            n_positions=config.max_position_embeddings,
            n_token_types=config.type_vocab_size,
            n_layer_groups=getattr(config, "num_hidden_groups", config.num_hidden_layers),
            factorised_embedding=config.model_type == "albert",
            n_classes=self.exits.n_classes,
            pooler=self.exits.pooler,
            pooling=self.exits.pooling,
            shared_head=self.exits.shared_head,
        )
