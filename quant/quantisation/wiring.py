"""The named tensors of an encoder: where each is made, and which linears read it.

    "group0.hidden@3": tensor "group0.hidden" of pass 3; "layer2.gelu": a layer that runs once has no pass

A tensor has one grid, and every place that makes or reads it uses that grid. The passes of a shared (ALBERT) layer are
taken apart: each gets modules of its own around the same weights, so that a tensor between two groups of layers has the
grid of the group that reads it, and its residual too. What a layer norm makes is counted channel by channel.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hexit.quant.config import EncoderShape
from hexit.quant.network.model import EarlyExitEncoder
from hexit.quant.quantisation.attention import ATTENTION, TAPPED, register_attention
from hexit.quant.quantisation.grid import GridKind
from hexit.quant.quantisation.histogram import Histogram
from hexit.quant.quantisation.samples import RowSample

LOGITS = "logits"


class Tap(nn.Module):
    """Passes a named tensor on and counts its values."""

    def __init__(self, name: str, kind: GridKind = "signed", n_channels: int = 1) -> None:
        """Start with no values; more than one channel where grids may differ by channel."""
        super().__init__()
        self.name, self.kind, self.histogram = name, kind, Histogram(n_channels)

    @property
    def tensor(self) -> str:
        """The name without the pass: what all passes of shared weights have in common."""
        return self.name.partition("@")[0]

    def forward(self, x: Tensor) -> Tensor:
        """Count and return `x`."""
        self.histogram.count(x)
        return x


class TappedLinear(nn.Module):
    """A linear whose input is a named tensor; keeps a sample of inputs, and sums of them and their squares [n_in]."""

    def __init__(self, linear: nn.Linear, tap: Tap, *, counts: bool) -> None:
        """Wrap `linear`; it counts its input's values unless a tap does where the tensor is made."""
        super().__init__()
        self.linear, self.tap, self.counts = linear, tap, counts
        self.input_sum, self.input_squares = torch.zeros(2, linear.in_features, dtype=torch.float64)
        self.n_inputs = 0
        self.sample = RowSample()

    def forward(self, x: Tensor) -> Tensor:
        """Count and sum up the input, then apply the linear."""
        rows = x.detach().reshape(-1, x.shape[-1])
        self.input_sum += rows.sum(0, dtype=torch.float64)
        self.input_squares += rows.square().sum(0, dtype=torch.float64)
        self.n_inputs += len(rows)
        self.sample.offer(rows)
        y: Tensor = self.linear(self.tap(x) if self.counts else x)
        return y


def wired(model: EarlyExitEncoder) -> tuple[EarlyExitEncoder, Tap]:
    """Return a copy of `model`, on the same weights, with taps and tapped linears, and the tap of the logits."""
    register_attention()
    shared: dict[int, Any] = {id(parameter): parameter for parameter in model.parameters()}
    encoder: EarlyExitEncoder = copy.deepcopy(model, shared).eval()
    encoder.backbone.config._attn_implementation = ATTENTION
    wire = {"albert": _wire_albert, "bert": _wire_bert}[encoder.backbone.config.model_type]
    wiring = _Wiring()
    states = wire(encoder.backbone, wiring, model.shape())
    _wire_heads(encoder, wiring, states)
    return encoder, wiring.tap(LOGITS)


class _Wiring:
    """The taps by name, and what puts them into modules."""

    def __init__(self) -> None:
        self.taps: dict[str, Tap] = {}

    def tap(self, name: str, kind: GridKind = "signed", n_channels: int = 1) -> Tap:
        return self.taps.setdefault(name, Tap(name, kind, n_channels))

    def made_by(self, parent: Any, attribute: str, name: str, n_channels: int) -> None:
        """Tap what the module `attribute` makes."""
        made = nn.Sequential(getattr(parent, attribute), self.tap(name, n_channels=n_channels))
        setattr(parent, attribute, made)

    def read_by(self, parent: Any, attribute: str, name: str, kind: GridKind = "signed", n_channels: int = 1) -> None:
        """Tap what the linear `attribute` reads."""
        counts = name not in self.taps
        tap = self.tap(name, kind, n_channels)
        setattr(parent, attribute, TappedLinear(getattr(parent, attribute), tap, counts=counts))

    def attention(self, module: Any, name: Callable[[str], str], source: str) -> None:
        for projection in ("query", "key", "value"):
            self.read_by(module, projection, source)
        module.taps = nn.ModuleDict(
            {
                part: self.tap(name(f"attention.{part}"), "unsigned" if part == "softmax" else "signed")
                for part in TAPPED
            }
        )


def _wire_albert(backbone: Any, wiring: _Wiring, shape: EncoderShape) -> list[str]:
    config, encoder, n_passes = backbone.config, backbone.encoder, shape.n_layers
    groups = [shape.layer_group(layer) for layer in range(1, n_passes + 1)]
    hidden = [f"group{group}.hidden@{i}" for i, group in enumerate([*groups, groups[-1]])]  # by the group that reads it
    wiring.made_by(backbone.embeddings, "LayerNorm", "embedding", config.embedding_size)
    wiring.read_by(encoder, "embedding_hidden_mapping_in", "embedding")
    wiring.made_by(encoder, "embedding_hidden_mapping_in", hidden[0], config.hidden_size)
    encoder.albert_layer_groups = nn.ModuleList(_same_weights(encoder.albert_layer_groups[group]) for group in groups)
    config.num_hidden_groups = n_passes
    for i, group in enumerate(groups):

        def name(part: str, i: int = i, group: int = group) -> str:
            return f"group{group}.{part}@{i}"

        layer = encoder.albert_layer_groups[i].albert_layers[0]
        wiring.attention(layer.attention, name, hidden[i])
        wiring.read_by(layer.attention, "dense", name("context"))
        wiring.made_by(layer.attention, "LayerNorm", name("attended"), config.hidden_size)
        wiring.read_by(layer, "ffn", name("attended"))
        wiring.read_by(layer, "ffn_output", name("gelu"), "offset", config.intermediate_size)
        wiring.made_by(layer, "full_layer_layer_norm", hidden[i + 1], config.hidden_size)
    return hidden[1:]


def _wire_bert(backbone: Any, wiring: _Wiring, shape: EncoderShape) -> list[str]:
    size = shape.hidden_size
    hidden = [f"layer{i}.hidden" for i in range(shape.n_layers + 1)]
    wiring.made_by(backbone.embeddings, "LayerNorm", hidden[0], size)
    for i, layer in enumerate(backbone.encoder.layer, 1):

        def name(part: str, i: int = i) -> str:
            return f"layer{i}.{part}"

        wiring.attention(layer.attention.self, name, hidden[i - 1])
        wiring.read_by(layer.attention.output, "dense", name("context"))
        wiring.made_by(layer.attention.output, "LayerNorm", name("attended"), size)
        wiring.read_by(layer.intermediate, "dense", name("attended"))
        wiring.read_by(layer.output, "dense", name("gelu"), "offset", backbone.config.intermediate_size)
        wiring.made_by(layer.output, "LayerNorm", hidden[i], size)
    return hidden[1:]


def _wire_heads(encoder: EarlyExitEncoder, wiring: _Wiring, states: list[str]) -> None:
    own_tensor = encoder.exits.pooling == "mean" or encoder.exits.shared_head
    size = encoder.backbone.config.hidden_size
    for index, head in enumerate(encoder.heads):
        first = "classifier" if head.pooler is None else "pooler"
        wiring.read_by(head, first, f"exit{index}.pooled" if own_tensor else states[index], n_channels=size)
        if head.pooler is not None:
            wiring.read_by(head, "classifier", f"exit{index}.features")


def _same_weights(module: nn.Module) -> nn.Module:
    memo: dict[int, Any] = {id(parameter): parameter for parameter in module.parameters()}
    return copy.deepcopy(module, memo)
