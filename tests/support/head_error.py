"""How far an integer exit head can be from the quantised network that it was made from.

The network goes from the pooler's accumulator a to the feature in real numbers, round(tanh(a scale) / feature_scale);
the head goes through a multiplier and a table. Both are step functions that never fall, so that they are compared at
every accumulator of every channel by looking at the places where one of them steps. From the features on, errors are
bounded:

    |logit - logit of the network|  <=  r sum_j |W_c[j]| e_j  +  max|c| |m_c 2^-s_c - r|  +  1        logit steps

e_j: the largest difference of feature j; r: logit steps per accumulator step. The last term is two roundings.

Not counted: the rounding of the network's own sums, which are float32.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from hexit.quant.arrays import Floats, Integers
from hexit.quant.integer.head import (
    HeadScales,
    IntegerHead,
    IntegerPooler,
    Requantisation,
    look_up,
    requantise,
    tanh_features,
)

FAR = 2.0**60  # accumulators beyond any; where a feature never begins


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadError:
    """Distance of an integer head from its network.

    `feature_steps`: the largest over every accumulator of every channel; `feature_steps_mean`: the mean over them;
    `logit_steps`: bound over all inputs. Features are exact without a pooler.
    """

    feature_steps: int
    feature_steps_mean: float
    logit_steps: float


def head_error(head: IntegerHead) -> HeadError:
    """Return the errors of a head against real arithmetic on the same integers."""
    worst, mean = np.zeros(head.classifier.n_in, dtype=np.int64), 0.0
    if head.pooler is not None:
        worst, mean = _feature_error(head.pooler, head.scales)
    ratios = head.scales.features * head.scales.classifier_weights / head.scales.logits
    low, high = head.classifier.accumulator_range
    multipliers = np.ldexp(head.requantisation.multipliers.astype(np.float64), -head.requantisation.shift)
    of_features = ratios * (np.abs(head.classifier.weights) @ worst)
    of_multipliers = np.maximum(-low, high) * np.abs(multipliers - ratios)
    return HeadError(
        feature_steps=int(worst.max()),
        feature_steps_mean=mean,
        logit_steps=float((of_features + of_multipliers).max() + 1),
    )


def _feature_error(pooler: IntegerPooler, scales: HeadScales) -> tuple[Integers, float]:
    """Return the largest difference of each feature, [n_channels], and the mean over all accumulators of all."""
    table, stage = pooler.table, pooler.requantisation
    half, limit = 1 << (table.position_bits - 1), 1 << (table.feature_bits - 1)
    features = np.arange(1 - limit, limit)
    positions = np.searchsorted(look_up(table, np.arange(-half, half)), features) - half
    worst, total = np.zeros(pooler.dense.n_out, dtype=np.int64), 0.0
    low, high = pooler.dense.accumulator_range
    for channel, scale in enumerate(scales.inputs * scales.pooler_weights):
        one = dataclasses.replace(stage, multipliers=stage.multipliers[channel : channel + 1])
        ends = low[channel], high[channel]
        real = np.clip(_real_beginnings(features, scales.features, scale), ends[0], ends[1] + 1)
        built = np.clip(_built_beginnings(positions, one), ends[0], ends[1] + 1)
        steps = np.concatenate([real, real - 1, built, built - 1]).clip(*ends).astype(np.int64)
        given = look_up(table, requantise(one, steps))
        worst[channel] = np.abs(given - tanh_features(steps * scale, scales.features, table.feature_bits)).max()
        total += np.abs(real - built).sum()
    return worst, float(total / (high - low + 1).sum())


def _real_beginnings(features: Integers, feature_scale: float, scale: float) -> Floats:
    """Return the smallest accumulator whose real feature is at least each of `features`."""
    edges = (features - 0.5) * feature_scale
    inside = np.abs(edges) < 1
    begins = np.arctanh(np.where(inside, edges, 0)) / scale
    return np.asarray(np.where(inside, np.ceil(begins), np.copysign(FAR, edges)))


def _built_beginnings(positions: Integers, stage: Requantisation) -> Floats:
    """Return the smallest accumulator of a channel that comes to each of `positions`, which are one too many at most.

    (a m + 2^(s - 1)) >> s >= y   <=>   a >= (y 2^s - 2^(s - 1)) / m;      with m = 0 all accumulators come to y = 0
    """
    half, multiplier = 1 << (stage.output_bits - 1), int(stage.multipliers[0])
    if multiplier == 0:
        return np.where(positions <= 0, -FAR, FAR)
    begins = np.ceil(np.ldexp(positions - 0.5, stage.shift) / multiplier)
    return np.asarray(np.where(positions == -half, -FAR, np.where(positions == half, FAR, begins)))
