"""Everything that touches Brevitas: a float encoder in, the same encoder on integers out.

Every tensor between two operations gets a name and one scale; every place that makes or reads the tensor uses
that scale, so re-quantising at a reader changes nothing. A tensor of a shared (ALBERT) layer is one tensor for all
its passes. Post-training quantisation in three steps:

1. observe: run calibration text through the float model and count the magnitudes of every named tensor;
2. convert: pick for every tensor the clipping range with the least squared error at its bit width, and swap
   linears, embeddings and tensors for Brevitas quantisers with these ranges (weights: one scale per output channel);
3. correct: shift every bias by the mean error that its rounded weights make, b += (W - W_q) E[x] with E[x] the mean
   input on the calibration text (Nagel et al., ICCV 2019, arXiv 1906.04721, equation 10).

Calibration batches must not be padded: padding would count in the ranges and the means.

Integers: weights, embeddings, biases, linear inputs, query/key/value, softmax output, norm output, exit logits.
Not integers yet: the inside of softmax, GELU, layer norm, tanh and the mean over tokens (computed in float on
quantised inputs, their results quantised again).
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hexit.quant.arrays import Floats
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.integer.head import HeadScales, IntegerDense, IntegerHead, integer_head
from hexit.quant.network.encoding import Batch
from hexit.quant.network.model import EarlyExitEncoder

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # deprecations inside brevitas' own imports, which a user cannot act on
    import brevitas.nn as qnn
    from brevitas.core.restrict_val import RestrictValueType
    from brevitas.quant.fixed_point import Int8WeightPerChannelFixedPointMSE, Int8WeightPerTensorFixedPoint
    from brevitas.quant.scaled_int import (
        Int8ActPerTensorFloatMinMaxInit,
        Int8WeightPerChannelFloat,
        Int8WeightPerChannelFloatMSE,
        Int8WeightPerTensorFloat,
        Int32Bias,
        Uint8ActPerTensorFloatMaxInit,
    )

ATTENTION = "hexit_quantised"  # name of the attention function in transformers' registry
BINS_PER_OCTAVE, OCTAVES = 32, 40  # bins 2 % wide, from SMALLEST to 2**16
SMALLEST = 2.0**-24  # magnitudes below count as this
CLIP_CANDIDATES = 100
LOGIT_HEADROOM = 2.0  # range of the logits over the largest one seen in calibration; costs one bit of resolution
PO2_CANDIDATES = 6  # powers of two tried, down from the one that holds the largest magnitude
CLIP_FRACTIONS = (0.05, 1.0)  # of the largest magnitude: ranges tried for each tensor
LOW_BITS = 4  # at and below, weights too are clipped for least squared error: their tails no longer pay


class SignedPo2(Int8ActPerTensorFloatMinMaxInit):  # type: ignore[misc]
    """Signed activations with power-of-two scales."""

    restrict_scaling_type = RestrictValueType.POWER_OF_TWO


class UnsignedPo2(Uint8ActPerTensorFloatMaxInit):  # type: ignore[misc]
    """Unsigned activations with power-of-two scales."""

    restrict_scaling_type = RestrictValueType.POWER_OF_TWO


class Observer(nn.Module):
    """Passes a tensor on and counts the magnitudes of its values.

    The histogram has BINS_PER_OCTAVE logarithmic bins per factor of two, so that rare outliers, which decide the
    clipping range, are all counted.
    """

    def __init__(self, *, unsigned: bool = False) -> None:
        """Start with no values; `unsigned` tensors are never negative."""
        super().__init__()
        self.unsigned = unsigned
        self.counts = torch.zeros(BINS_PER_OCTAVE * OCTAVES, dtype=torch.float64)
        self.maximum = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """Count and return `x`."""
        magnitudes = x.detach().abs().flatten()
        self.maximum = max(self.maximum, float(magnitudes.max()))
        bins = ((torch.log2(magnitudes.clamp_min(SMALLEST)) - math.log2(SMALLEST)) * BINS_PER_OCTAVE).long()
        self.counts += torch.bincount(bins.clamp_max(len(self.counts) - 1), minlength=len(self.counts))
        return x

    def clip(self, bits: int, *, power_of_two: bool) -> float:
        """Return the range with the least squared quantisation error at `bits`, rounding and clipping both counted.

        With `power_of_two` only such ranges are tried, since the quantiser would round any other one.
        """
        if self.maximum <= SMALLEST:
            return SMALLEST  # a tensor that is always zero still needs a scale
        # upper edges: a bin's middle would hide that a range clips the values above it, which dominates at 16 bits
        exponents = (torch.arange(len(self.counts), dtype=torch.float64) + 1) / BINS_PER_OCTAVE
        values = (SMALLEST * torch.exp2(exponents)).clamp_max(self.maximum)
        levels = 2**bits - 1 if self.unsigned else 2 ** (bits - 1) - 1
        if power_of_two:
            top = math.ceil(math.log2(self.maximum))
            limits = torch.exp2(torch.arange(top - PO2_CANDIDATES + 1, top + 1, dtype=torch.float64)).unsqueeze(1)
        else:
            limits = self.maximum * torch.linspace(*CLIP_FRACTIONS, CLIP_CANDIDATES, dtype=torch.float64).unsqueeze(1)
        steps = limits / levels
        rounding = torch.minimum(steps**2 / 12, values**2)  # uniform noise, or all of a value below half a step
        clipped = torch.where(values > limits, (values - limits) ** 2, rounding)
        return float(limits[(clipped * self.counts).sum(1).argmin()])


class ObservedLinear(nn.Module):
    """A linear whose input is a named tensor."""

    def __init__(self, linear: nn.Linear, observer: Observer) -> None:
        """Wrap `linear`."""
        super().__init__()
        self.linear, self.observer = linear, observer
        self.input_sum = torch.zeros(linear.in_features, dtype=torch.float64)
        self.n_inputs = 0

    def forward(self, x: Tensor) -> Tensor:
        """Observe the input, add it to the mean, then apply the linear."""
        self.input_sum += x.detach().double().reshape(-1, x.shape[-1]).sum(0)
        self.n_inputs += x.numel() // x.shape[-1]
        y: Tensor = self.linear(self.observer(x))
        return y


class QuantisedEncoder(nn.Module):
    """The integer encoder; the logits of all its exits are integers of one scale."""

    def __init__(self, encoder: EarlyExitEncoder, logit_quantiser: nn.Module) -> None:
        """Keep the converted encoder and the quantiser that all its exits share."""
        super().__init__()
        self.encoder, self.logit_quantiser = encoder, logit_quantiser

    @property
    def logit_scale(self) -> float:
        """Real logit per integer step, the same at every exit."""
        return float(self.logit_quantiser.act_quant.scale().detach())  # type: ignore[operator,union-attr]

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Return the integer logits of every exit, int32 [n_layers, n, n_classes]."""
        return _integers(self.logit_quantiser(self.encoder(input_ids, attention_mask, token_type_ids)))


def quantise(model: EarlyExitEncoder, config: QuantConfig, calibration: Iterable[Batch]) -> QuantisedEncoder:
    """Quantise a copy of `model` on calibration batches without padding; the float model stays as it is."""
    _register_attention()
    encoder = copy.deepcopy(model).eval()
    encoder.backbone.config._attn_implementation = ATTENTION
    observers: dict[str, Observer] = {}
    _insert_observers(encoder, observers)
    with torch.inference_mode():
        for batch in calibration:
            observers["logits"](encoder(batch.input_ids, batch.attention_mask, batch.token_type_ids))
    if not observers["logits"].counts.any():
        raise ConfigError("--calibration", "(nothing)", "must hold at least one sentence", "Give text like the data's")
    _convert(encoder, config)
    return QuantisedEncoder(encoder, _logits(observers["logits"], config)).eval()


def quantised_linears(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield every quantised linear with its name, shared ones once."""
    for name, module in model.named_modules():
        if isinstance(module, qnn.QuantLinear):
            yield name, module


def integer_heads(model: QuantisedEncoder) -> tuple[IntegerHead, ...]:
    """Return the heads as integers: one that all layers share, or one per layer."""
    return tuple(_integer_head(head, model) for head in model.encoder.heads)


@torch.inference_mode()
def head_run(model: QuantisedEncoder, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return what enters the heads, int32 [n_layers, n, hidden], and the logits, int32 [n_layers, n, n_classes]."""
    states: list[Tensor] = []

    def record(linear: Any, inputs: tuple[Tensor, ...]) -> None:
        states.append(_integers(linear.input_quant(inputs[0])))

    hooks = [_first_linear(head).register_forward_pre_hook(record) for head in model.encoder.heads]
    try:
        logits = model(batch.input_ids, batch.attention_mask, batch.token_type_ids)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(states), logits  # heads run in the order of their layers


def _first_linear(head: Any) -> Any:
    return head.classifier if head.pooler is None else head.pooler


def _integers(quantised: Any) -> Tensor:
    # not quantised.int(), which takes float32 rounding of 24-bit integers for an error
    integers: Tensor = (quantised.value.double() / quantised.scale.double()).round().to(torch.int32)
    return integers


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
        pooler=_integer_dense(first) if head.pooler is not None else None,
        classifier=_integer_dense(classifier),
        scales=scales,
        logit_bits=int(model.logit_quantiser.act_quant.bit_width()),  # type: ignore[operator,union-attr]
    )


def _input_scale(linear: Any) -> float:
    return float(linear.input_quant.scale().detach())


def _weight_scales(linear: Any) -> Floats:
    return np.asarray(linear.quant_weight().scale.detach().flatten().double().numpy())


@torch.inference_mode()
def _integer_dense(linear: Any) -> IntegerDense:
    weight = linear.quant_weight()
    step = linear.input_quant.scale() * weight.scale.flatten()  # in float32, as the quantiser of the bias computes it
    limit = 2.0**31
    bias = torch.round(linear.bias / step).double().clamp(-limit, limit - 1)
    return IntegerDense(
        weights=_integers(weight).long().numpy(),
        bias=bias.long().numpy(),
        weight_bits=int(weight.bit_width),
        input_bits=int(linear.input_quant.bit_width()),
    )


def _insert_observers(encoder: EarlyExitEncoder, observers: dict[str, Observer]) -> None:
    def tensor(name: str, *, unsigned: bool = False) -> Observer:
        return observers.setdefault(name, Observer(unsigned=unsigned))

    def norm(parent: Any, attribute: str, name: str) -> None:
        setattr(parent, attribute, nn.Sequential(getattr(parent, attribute), tensor(name)))

    def linear(parent: Any, attribute: str, name: str) -> None:
        setattr(parent, attribute, ObservedLinear(getattr(parent, attribute), tensor(name)))

    def attention(module: Any, prefix: str, source: str) -> None:
        for projection in ("query", "key", "value"):
            linear(module, projection, source)
        module.taps = nn.ModuleDict(
            {part: tensor(f"{prefix}.{part}") for part in ("query", "key", "value")}
            | {"softmax": tensor(f"{prefix}.softmax", unsigned=True)}
        )

    tensor("logits")
    wire = {"albert": _wire_albert, "bert": _wire_bert}[encoder.backbone.config.model_type]
    last_states = wire(encoder.backbone, tensor, norm, linear, attention)
    for index, head in enumerate(encoder.heads):
        source = (
            f"exit{index}.pooled"
            if encoder.exits.pooling == "mean" or encoder.exits.shared_head
            else last_states[index]
        )
        if head.pooler is not None:
            linear(head, "pooler", source)
            source = f"exit{index}.features"
        linear(head, "classifier", source)


Name = Callable[..., Any]


def _wire_albert(backbone: Any, tensor: Name, norm: Name, linear: Name, attention: Name) -> list[str]:
    norm(backbone.embeddings, "LayerNorm", "embedding")
    linear(backbone.encoder, "embedding_hidden_mapping_in", "embedding")
    hidden = "layer.hidden"
    backbone.encoder.embedding_hidden_mapping_in = nn.Sequential(
        backbone.encoder.embedding_hidden_mapping_in, tensor(hidden)
    )
    layer = backbone.encoder.albert_layer_groups[0].albert_layers[0]
    attention(layer.attention, "layer.attention", hidden)
    linear(layer.attention, "dense", "layer.context")
    norm(layer.attention, "LayerNorm", "layer.attended")
    linear(layer, "ffn", "layer.attended")
    linear(layer, "ffn_output", "layer.gelu")
    norm(layer, "full_layer_layer_norm", hidden)
    return [hidden] * backbone.config.num_hidden_layers


def _wire_bert(backbone: Any, tensor: Name, norm: Name, linear: Name, attention: Name) -> list[str]:
    norm(backbone.embeddings, "LayerNorm", "layer0.hidden")
    for i, layer in enumerate(backbone.encoder.layer, 1):
        prefix = f"layer{i}"
        attention(layer.attention.self, f"{prefix}.attention", f"layer{i - 1}.hidden")
        linear(layer.attention.output, "dense", f"{prefix}.context")
        norm(layer.attention.output, "LayerNorm", f"{prefix}.attended")
        linear(layer.intermediate, "dense", f"{prefix}.attended")
        linear(layer.output, "dense", f"{prefix}.gelu")
        norm(layer.output, "LayerNorm", f"{prefix}.hidden")
    return [f"layer{i + 1}.hidden" for i in range(backbone.config.num_hidden_layers)]


def _convert(module: nn.Module, config: QuantConfig) -> None:
    """Replace observers, observed linears and embeddings by quantisers, in place."""
    for name, child in list(module.named_children()):
        if isinstance(child, Observer):
            setattr(module, name, _activation(child, config.activation_bits, config))
        elif isinstance(child, ObservedLinear):
            setattr(module, name, _linear(child, config))
        elif isinstance(child, nn.Embedding):
            setattr(module, name, _embedding(child, config))
        else:
            _convert(child, config)


def _activation(observer: Observer, bits: int, config: QuantConfig) -> nn.Module:
    limit = observer.clip(bits, power_of_two=config.power_of_two)
    return qnn.QuantIdentity(  # type: ignore[no-any-return]
        bit_width=bits, return_quant_tensor=False, **_range(limit, config, unsigned=observer.unsigned)
    )


def _logits(observer: Observer, config: QuantConfig) -> nn.Module:
    """The quantiser of all exits, with room for sentences that are surer than any of the calibration text."""
    limit = LOGIT_HEADROOM * observer.clip(config.logit_bits, power_of_two=config.power_of_two)
    return qnn.QuantIdentity(  # type: ignore[no-any-return]
        bit_width=config.logit_bits, return_quant_tensor=True, **_range(limit, config, unsigned=False)
    )


def _range(limit: float, config: QuantConfig, *, unsigned: bool, prefix: str = "") -> dict[str, Any]:
    quantiser = f"{prefix}quant" if prefix else "act_quant"
    if unsigned:
        kind = UnsignedPo2 if config.power_of_two else Uint8ActPerTensorFloatMaxInit
        return {quantiser: kind, f"{prefix}max_val": limit}
    kind = SignedPo2 if config.power_of_two else Int8ActPerTensorFloatMinMaxInit
    return {quantiser: kind, f"{prefix}min_val": -limit, f"{prefix}max_val": limit}


def _weight_quantiser(config: QuantConfig) -> Any:
    if config.power_of_two:
        return Int8WeightPerChannelFixedPointMSE
    return Int8WeightPerChannelFloatMSE if config.weight_bits <= LOW_BITS else Int8WeightPerChannelFloat


def _linear(observed: ObservedLinear, config: QuantConfig) -> nn.Module:
    source = observed.linear
    limit = observed.observer.clip(config.activation_bits, power_of_two=config.power_of_two)
    quantised = qnn.QuantLinear(
        source.in_features,
        source.out_features,
        bias=source.bias is not None,
        weight_quant=_weight_quantiser(config),
        weight_bit_width=config.weight_bits,
        bias_quant=Int32Bias if source.bias is not None else None,
        input_bit_width=config.activation_bits,
        return_quant_tensor=False,
        **_range(limit, config, unsigned=observed.observer.unsigned, prefix="input_"),
    )
    quantised.load_state_dict(source.state_dict(), strict=False)
    quantised.eval()
    if source.bias is not None and observed.n_inputs:
        with torch.no_grad():
            error = (source.weight - quantised.quant_weight().value).double()
            quantised.bias += (error @ (observed.input_sum / observed.n_inputs)).to(source.bias.dtype)
    return quantised  # type: ignore[no-any-return]


def _embedding(source: nn.Embedding, config: QuantConfig) -> nn.Module:
    quantised = qnn.QuantEmbedding(
        source.num_embeddings,
        source.embedding_dim,
        padding_idx=source.padding_idx,
        weight_quant=Int8WeightPerTensorFixedPoint if config.power_of_two else Int8WeightPerTensorFloat,
        weight_bit_width=max(8, config.weight_bits),
        return_quant_tensor=False,
    )
    quantised.load_state_dict(source.state_dict(), strict=False)
    return quantised  # type: ignore[no-any-return]


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Attention with its four tensors tapped; the interface is that of transformers' attention functions."""
    taps = module.taps
    query, key, value = taps["query"](query), taps["key"](key), taps["value"](value)
    scores = query @ key.transpose(2, 3) * (query.size(-1) ** -0.5 if scaling is None else scaling)
    if attention_mask is not None:
        scores = scores + attention_mask
    probabilities = taps["softmax"](torch.softmax(scores, -1))
    return (probabilities @ value).transpose(1, 2).contiguous(), probabilities


def _register_attention() -> None:
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    AttentionInterface.register(ATTENTION, _attention)
    AttentionMaskInterface.register(ATTENTION, eager_mask)
