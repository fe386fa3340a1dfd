"""From sentences to an `ExitTrace`: quantise, run every exit of every sentence once, keep the integers.

The trace is all that rules, thresholds, designs and arrival patterns need afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hexit.quant.config import QuantConfig
from hexit.quant.data.tasks import TextSet
from hexit.quant.integer.head import HeadRun
from hexit.quant.network.checkpoint import Checkpoint
from hexit.quant.network.encoding import encode, encode_strings, equal_length_batches, evaluation_batches
from hexit.quant.network.evaluate import all_logits, one_core
from hexit.quant.quantisation.fixed import fixed
from hexit.quant.quantisation.heads import head_run
from hexit.quant.quantisation.network import QuantisedEncoder, quantise
from hexit.quant.traces.trace import ExitTrace, TraceOrigin

CALIBRATION_BATCH = 32  # sentences


def calibrated(
    checkpoint: Checkpoint, config: QuantConfig, calibration: Sequence[str], *, max_length: int
) -> QuantisedEncoder:
    """Return the model of a checkpoint, quantised on `calibration` sentences."""
    encoded = encode_strings(calibration, checkpoint.tokenizer, max_length)
    return quantise(checkpoint.model, config, equal_length_batches(encoded, CALIBRATION_BATCH))


def record_head_run(
    checkpoint: Checkpoint,
    network: QuantisedEncoder,
    texts: TextSet,
    *,
    max_length: int,
    batch_size: int = 64,
    advance: Callable[[int], None] = lambda n_done: None,
) -> HeadRun:
    """Run all exits of a quantised network on `texts`; return what entered its heads, and its integer logits."""
    encoded = encode(texts, checkpoint.tokenizer, max_length)
    shape = checkpoint.model.shape()
    inputs = np.zeros((shape.n_layers, len(encoded), shape.hidden_size), dtype=np.int64)
    logits = np.zeros((shape.n_layers, len(encoded), shape.n_classes), dtype=np.int64)
    with one_core():  # as the trace of the same network
        for batch in evaluation_batches(encoded, batch_size, checkpoint.tokenizer.pad_token_id):
            states, batch_logits = head_run(network, batch)
            inputs[:, batch.indices], logits[:, batch.indices] = states.numpy(), batch_logits.numpy()
            advance(len(batch.indices))
    return HeadRun(inputs=inputs, logits=logits, logit_scale=network.logit_scale)


def record_trace(
    checkpoint: Checkpoint,
    network: QuantisedEncoder,
    texts: TextSet,
    config: QuantConfig,
    *,
    max_length: int,
    batch_size: int = 64,
    advance: Callable[[int], None] = lambda n_done: None,
) -> ExitTrace:
    """Run all exits of a quantised network on `texts`, return the integer logits."""
    encoded = encode(texts, checkpoint.tokenizer, max_length)
    logits = all_logits(
        fixed(network),
        encoded,
        n_layers=checkpoint.model.n_layers,
        n_classes=checkpoint.model.exits.n_classes,
        pad_id=checkpoint.tokenizer.pad_token_id,
        batch_size=batch_size,
        advance=advance,
        dtype=np.int64,
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
        logits=logits,
        scale=network.logit_scale,
        labels=texts.label_array,
        lengths=encoded.lengths,
        origin=origin,
    )
