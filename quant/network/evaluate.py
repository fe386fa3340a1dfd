"""Logits of every exit for a whole set of sentences, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hexit.quant.network.encoding import Batch, Encoded, evaluation_batches

Advance = Callable[[int], None]


@contextmanager
def one_core() -> Iterator[None]:
    """Let this thread's operations run on one core, so that sums have one order whatever the number of cores."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


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
    stay integers under an integer `dtype`. On a processor every batch has a core of its own, as many at a time as torch
    may use: a product that is shared out among cores sums in another order for each number of them.
    """
    out = np.zeros((n_layers, len(encoded), n_classes), dtype=dtype)
    model.eval()
    half = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None  # of this thread alone

    def run(batch: Batch) -> int:
        with torch.inference_mode(), torch.autocast(device, dtype=half, enabled=half is not None):
            logits = model(batch.input_ids.to(device), batch.attention_mask.to(device), batch.token_type_ids.to(device))
        out[:, batch.indices] = (logits.float() if logits.is_floating_point() else logits).cpu().numpy()
        return len(batch.indices)

    batches = evaluation_batches(encoded, batch_size, pad_id)
    if device != "cpu":
        for batch in batches:
            advance(run(batch))
        return out
    n_workers = torch.get_num_threads()
    with one_core(), ThreadPoolExecutor(n_workers, initializer=torch.set_num_threads, initargs=(1,)) as workers:
        for n_done in workers.map(run, batches):
            advance(n_done)
    return out
