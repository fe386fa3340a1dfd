"""Logits of every exit for a whole set of sentences, in batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hexit.quant.network.encoding import Encoded, evaluation_batches

Advance = Callable[[int], None]


@torch.inference_mode()
def all_logits(
    model: nn.Module,
    encoded: Encoded,
    *,
    n_layers: int,
    n_classes: int,
    pad_id: int,
    batch_size: int = 32,
    device: str = "cpu",
    advance: Advance = lambda n_done: None,
    dtype: type[np.number] = np.float32,
) -> NDArray[Any]:
    """Return the logits of every exit, `dtype` [n_layers, n_samples, n_classes], in input order.

    `advance` is called with the number of samples of each batch. A quantised network's logits are integers, and
    stay integers under an integer `dtype`.
    """
    out = np.zeros((n_layers, len(encoded), n_classes), dtype=dtype)
    model.eval()
    for batch in evaluation_batches(encoded, batch_size, pad_id):
        logits = model(batch.input_ids.to(device), batch.attention_mask.to(device), batch.token_type_ids.to(device))
        out[:, batch.indices] = (logits.float() if logits.is_floating_point() else logits).cpu().numpy()
        advance(len(batch.indices))
    return out
