"""What hardware needs of the quantised linears, in integers, and runs of the exit heads."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hexit.quant.arrays import Floats
from hexit.quant.integer.head import HeadScales, IntegerDense, IntegerHead, integer_head
from hexit.quant.network.encoding import Batch
from hexit.quant.quantisation.layers import QuantisedLinear
from hexit.quant.quantisation.network import QuantisedEncoder, brevitas_integers

BIAS_LIMIT = 2.0**31  # of Brevitas' 32-bit biases


def integer_heads(model: QuantisedEncoder) -> tuple[IntegerHead, ...]:
    """Return the heads as integers: one that all layers share, or one per layer."""
    return tuple(_integer_head(head, model) for head in model.encoder.heads)


@torch.inference_mode()
def integer_dense(module: QuantisedLinear) -> IntegerDense:
    """Return a linear in integers, for inputs in two's complement: of an unsigned input n, n - 2^(bits - 1).

    A zero point z is folded into the bias: sum_i w_i (n_i - z) + b = sum_i w_i m_i + (b - (z - h) sum_i w_i), with
    m = n - h and h = 2^(bits - 1) where the input is unsigned, h = 0 where it is signed. The column sums are integers,
    so nothing is rounded; `bias_bits` tells how wide the sum is.
    """
    linear = module.linear
    weight = linear.quant_weight()
    step = linear.input_quant.scale() * weight.scale.flatten()  # in float32, as the quantiser of the bias computes it
    bias = torch.round(linear.bias / step).double().clamp(-BIAS_LIMIT, BIAS_LIMIT - 1).long()
    weights = brevitas_integers(weight).long()
    bits = int(linear.input_quant.bit_width())
    middle = 0 if linear.input_quant.is_signed else 1 << (bits - 1)
    folded = bias - (int(linear.input_quant.zero_point()) - middle) * weights.sum(1)
    return IntegerDense(
        weights=weights.numpy(), bias=folded.numpy(), weight_bits=int(weight.bit_width), input_bits=bits
    )


@torch.inference_mode()
def head_run(model: QuantisedEncoder, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return what enters the heads, int32 [n_layers, n, hidden], and the logits, int32 [n_layers, n, n_classes]."""
    states: list[Tensor] = []

    def record(module: Any, inputs: tuple[Tensor, ...]) -> None:
        factors = 1 if module.factors is None else module.factors
        states.append(brevitas_integers(module.linear.input_quant(inputs[0] * factors)))

    hooks = [_first_linear(head).register_forward_pre_hook(record) for head in model.encoder.heads]
    try:
        logits = model(batch.input_ids, batch.attention_mask, batch.token_type_ids)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(states), logits  # heads run in the order of their layers


def _first_linear(head: Any) -> QuantisedLinear:
    first: QuantisedLinear = head.classifier if head.pooler is None else head.pooler
    return first


def _integer_head(head: Any, model: QuantisedEncoder) -> IntegerHead:
    first, classifier = _first_linear(head), head.classifier
    scales = HeadScales(
        inputs=_input_scale(first),
        pooler_weights=_weight_scales(first) if head.pooler is not None else np.zeros(0),
        features=_input_scale(classifier),
        classifier_weights=_weight_scales(classifier),
        logits=model.logit_scale,
    )
    return integer_head(
        pooler=integer_dense(first) if head.pooler is not None else None,
        classifier=integer_dense(classifier),
        scales=scales,
        logit_bits=model.logit_bits,
    )


def _input_scale(module: QuantisedLinear) -> float:
    return float(module.linear.input_quant.scale().detach())


def _weight_scales(module: QuantisedLinear) -> Floats:
    return np.asarray(module.linear.quant_weight().scale.detach().flatten().double().numpy())
