"""Logits of every exit for a whole set of sentences, by the float model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from hexit.quant.network.encoding import Encoded, evaluation_batches

Progress = Callable[[int], None]


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
    progress: Progress = lambda n_done: None,
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the logits of every exit, float32 [n_layers, n_samples, n_classes], in input order.

    `progress` is told how many samples each batch has finished.
    """
    out = np.zeros((n_layers, len(encoded), n_classes), dtype=np.float32)
    model.eval()
    for batch in evaluation_batches(encoded, batch_size, pad_id):
        logits = model(batch.input_ids.to(device), batch.attention_mask.to(device), batch.token_type_ids.to(device))
        out[:, batch.indices] = logits.float().cpu().numpy()
        progress(len(batch.indices))
    return out
