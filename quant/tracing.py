"""From sentences to an `ExitTrace`: quantise, run every exit of every sentence once, keep the integers.

The trace is all that rules, thresholds, designs and arrival patterns need afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from quant.checkpoint import Checkpoint
from quant.config import QuantConfig
from quant.encoding import encode, encode_strings, equal_length_batches
from quant.evaluate import all_logits
from quant.layers import quantise
from quant.tasks import TextSet
from quant.trace import ExitTrace, TraceOrigin

CALIBRATION_BATCH = 32  # sentences


def record_trace(
    checkpoint: Checkpoint,
    texts: TextSet,
    config: QuantConfig,
    calibration: Sequence[str],
    *,
    max_length: int,
    batch_size: int = 64,
    progress: Callable[[int], None] = lambda n_done: None,
) -> ExitTrace:
    """Quantise the model on `calibration` sentences, run all exits on `texts`, return the integer logits."""
    tokenizer = checkpoint.tokenizer
    pad_id = tokenizer.pad_token_id
    calibration_set = encode_strings(calibration, tokenizer, max_length)
    network = quantise(checkpoint.model, config, equal_length_batches(calibration_set, CALIBRATION_BATCH))
    encoded = encode(texts, tokenizer, max_length)
    logits = all_logits(
        network,
        encoded,
        n_layers=checkpoint.model.n_layers,
        n_classes=checkpoint.model.exits.n_classes,
        pad_id=pad_id,
        batch_size=batch_size,
        progress=progress,
    )
    origin = TraceOrigin(
        checkpoint_hash=checkpoint.content_hash,
        model=checkpoint.name,
        data=texts.name,
        data_hash=texts.content_hash,
        quant=config,
        n_truncated=encoded.n_truncated,
    )
    return ExitTrace(
        logits=logits.astype(np.int32),  # exact: float32 holds every integer of at most 24 bits
        scale=network.logit_scale,
        labels=np.array(texts.labels) if texts.regression else np.array(texts.labels, dtype=np.int64),
        lengths=encoded.lengths,
        origin=origin,
    )
