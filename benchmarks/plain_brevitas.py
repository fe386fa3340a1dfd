"""What Brevitas gives by itself: the same tensors quantised, nothing searched, folded or corrected.

Weights: one scale per output channel, the largest magnitude. Activations: signed, softmax output unsigned, at the
percentile 99.999 of what Brevitas' own `calibration_mode` sees of the calibration text. Biases stay as they are.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from hexit.quant.config import QuantConfig
from hexit.quant.network.encoding import Batch
from hexit.quant.network.model import EarlyExitEncoder
from hexit.quant.quantisation.layers import quantised_embedding
from hexit.quant.quantisation.wiring import Tap, TappedLinear, wired

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # deprecations inside brevitas' own imports
    import brevitas.nn as qnn
    from brevitas.graph.calibrate import calibration_mode
    from brevitas.quant.scaled_int import (
        Int8ActPerTensorFloat,
        Int8WeightPerChannelFloat,
        Int32Bias,
        Uint8ActPerTensorFloat,
    )


def plain_brevitas(model: EarlyExitEncoder, config: QuantConfig, calibration: Sequence[Batch]) -> EarlyExitEncoder:
    """Return a copy of `model` on Brevitas' integers; its logits stay floating point."""
    encoder, _ = wired(model)
    _replace(encoder, config, {})
    encoder.eval()
    with torch.inference_mode(), calibration_mode(encoder):
        for batch in calibration:
            encoder(batch.input_ids, batch.attention_mask, batch.token_type_ids)
    return encoder


def _replace(module: nn.Module, config: QuantConfig, made: dict[object, nn.Module]) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, Tap):  # one quantiser for all passes of a shared layer
            if child.tensor not in made:
                made[child.tensor] = qnn.QuantIdentity(bit_width=config.activation_bits, act_quant=_activation(child))
            setattr(module, name, made[child.tensor])
        elif isinstance(child, TappedLinear):
            key = id(child.linear.weight)
            if key not in made:
                made[key] = _linear(child.linear, config, _activation(child.tap))
            setattr(module, name, made[key])
        elif isinstance(child, nn.Embedding):
            setattr(module, name, quantised_embedding(child, config))
        else:
            _replace(child, config, made)


def _activation(tap: Tap) -> Any:
    return Uint8ActPerTensorFloat if tap.kind == "unsigned" else Int8ActPerTensorFloat


def _linear(source: nn.Linear, config: QuantConfig, activation: Any) -> nn.Module:
    linear = qnn.QuantLinear(
        source.in_features,
        source.out_features,
        bias=source.bias is not None,
        weight_quant=Int8WeightPerChannelFloat,
        weight_bit_width=config.weight_bits,
        bias_quant=Int32Bias if source.bias is not None else None,
        input_quant=activation,
        input_bit_width=config.activation_bits,
    )
    linear.load_state_dict(source.state_dict(), strict=False)
    module: nn.Module = linear
    return module
