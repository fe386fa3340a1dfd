"""Attention whose four tensors (query, key, value, softmax output) go through taps, as a function of transformers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ATTENTION = "hexit_quantised"  # its name in transformers' registry
TAPPED = ("query", "key", "value", "softmax")


def register_attention() -> None:
    """Make the function known to transformers under the name ATTENTION."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    AttentionInterface.register(ATTENTION, _attention)
    AttentionMaskInterface.register(ATTENTION, eager_mask)


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    taps = module.taps
    query, key, value = taps["query"](query), taps["key"](key), taps["value"](value)
    scores = query @ key.transpose(2, 3) * (query.size(-1) ** -0.5 if scaling is None else scaling)
    if attention_mask is not None:
        scores = scores + attention_mask
    probabilities = taps["softmax"](torch.softmax(scores, -1))
    return (probabilities @ value).transpose(1, 2).contiguous(), probabilities
