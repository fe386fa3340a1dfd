"""A float encoder in, the same encoder on integers out.

    calibrate(model, batches)                    once: values of every named tensor, for all bit widths
    quantised(calibration, config)               per configuration: ranges, rounded weights, corrected biases
    quantise(model, config, batches)             both

Calibration batches must not be padded: padding would count in the ranges and the means.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.network.encoding import Batch
from hexit.quant.network.evaluate import one_core
from hexit.quant.network.model import EarlyExitEncoder
from hexit.quant.quantisation.convert import converted
from hexit.quant.quantisation.histogram import Histogram
from hexit.quant.quantisation.layers import QuantisedTensor
from hexit.quant.quantisation.plans import Users, users_by_weights
from hexit.quant.quantisation.ranges import best_grid
from hexit.quant.quantisation.wiring import wired

LOGIT_HEADROOM = 2.0  # range of the logits over the largest one seen in calibration; costs one bit of resolution


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CalibratedEncoder:
    """A float encoder whose taps have seen the calibration text; every bit width is converted from it."""

    encoder: EarlyExitEncoder
    users: dict[int, Users]
    logits: Histogram


class QuantisedEncoder(nn.Module):
    """The quantised encoder; the logits of all its exits are integers of one scale."""

    def __init__(self, encoder: EarlyExitEncoder, logit_quantiser: QuantisedTensor) -> None:
        """Keep the converted encoder and the quantiser that all its exits share."""
        super().__init__()
        self.encoder, self.logit_quantiser = encoder, logit_quantiser

    @property
    def logit_scale(self) -> float:
        """Real logit per integer step, the same at every exit."""
        return float(self.logit_quantiser.quantiser.act_quant.scale().detach())

    @property
    def logit_bits(self) -> int:
        """Bits of a logit."""
        return int(self.logit_quantiser.quantiser.act_quant.bit_width())

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Return the integer logits of every exit, int32 [n_layers, n, n_classes]."""
        return brevitas_integers(self.logit_quantiser(self.encoder(input_ids, attention_mask, token_type_ids)))


@torch.inference_mode()
def calibrate(model: EarlyExitEncoder, batches: Iterable[Batch]) -> CalibratedEncoder:
    """Run the float model on calibration batches without padding and count every tensor; `model` stays as it is."""
    encoder, logits = wired(model)
    with one_core():
        for batch in batches:
            logits(encoder(batch.input_ids, batch.attention_mask, batch.token_type_ids))
        if not logits.histogram.counts.any():
            requirement = "must hold at least one sentence"
            raise ConfigError("--calibration", "(nothing)", requirement, "Give text like the data's")
        return CalibratedEncoder(encoder=encoder, users=users_by_weights(encoder), logits=logits.histogram)


def quantised(calibration: CalibratedEncoder, config: QuantConfig) -> QuantisedEncoder:
    """Return the encoder at the bit widths of `config`, by Brevitas; the calibration stays as it is."""
    best = best_grid(calibration.logits, config.logit_bits, "signed", power_of_two=config.power_of_two)
    grid = replace(best, scale=LOGIT_HEADROOM * best.scale)
    logits = QuantisedTensor(grid, None, power_of_two=config.power_of_two, tensor=True)
    with one_core():
        return QuantisedEncoder(converted(calibration.encoder, calibration.users, config), logits).eval()


def quantise(model: EarlyExitEncoder, config: QuantConfig, calibration: Iterable[Batch]) -> QuantisedEncoder:
    """Quantise a copy of `model` on calibration batches without padding; the float model stays as it is."""
    return quantised(calibrate(model, calibration), config)


def brevitas_integers(tensor: Any) -> Tensor:
    """Return the integers of a Brevitas tensor without zero point, int32.

    Not tensor.int(), which takes float32 rounding of 24-bit integers for an error.
    """
    integers: Tensor = (tensor.value.double() / tensor.scale.double()).round().to(torch.int32)
    return integers
