"""Exit decisions in floating point: the published equations, on real logits [n_layers, n_samples, n_classes].

    p = softmax(z)     H = -sum_k p_k ln p_k     Hn = H / ln K     exit = first layer whose test holds, else the last

All arithmetic is float64. Where the published programs depend on rounding, this follows the real-valued equation:

* p ln p is 0 at p = 0. (ELBERT's and DeeBERT's programs get NaN there and do not exit. DeeBERT's: where two logits are
  104 apart; up to December 2021, when it summed e^z, where a logit is above 88.7.)
* ln p is taken from the logits, so that H keeps its relative accuracy when a sample is nearly certain.
* ELBERT's bias_2 tests whether p[0] rises or falls; tested are its log-odds, which rise and fall with it but do not
  saturate. (In float64, p[0] stops moving at log-odds of about 23 to 37.)
* ELBERT's lower side, x < 1/2 - m, is tested as 1 - x > 1/2 + m with 1 - x the summed probability of the rest, so
  that both sides round alike.

Not modelled: rules on hidden states, and rules that change the logits of later layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
from numpy.typing import ArrayLike

from hexit.quant.arrays import Flags, Floats, Integers
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import (
    ElbertExit,
    EntropyExit,
    ExitRule,
    FixedDepthExit,
    HardwareOrientedExit,
    MaximumProbabilityExit,
    NormalizedEntropyExit,
    OracleExit,
    PabeeExit,
    PabeeRegressionExit,
    check_serves,
)

_LARGEST_LOGIT = 1e300  # differences of two logits stay finite below it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decision:
    """Where every sample left the encoder and what was predicted there.

    `exit_layer` counts from 1. `prediction` is the class index, the real output of a regression, or -1 where
    it is unknown (a published profile without signs).
    """

    exit_layer: Integers
    prediction: Integers | Floats

    @property
    def mean_layer(self) -> float:
        """Mean exit layer, counting from 1."""
        return float(self.exit_layer.mean())


def decide(rule: ExitRule, logits: ArrayLike, labels: ArrayLike | None = None) -> Decision:
    """Return exit layer and prediction of every sample under `rule`, in floating point.

    `logits` are real, [n_layers, n_samples, n_classes]; one class means regression. Only the oracle reads `labels`.
    Raises ConfigError for logits that are not finite and for a rule that cannot serve them.
    """
    real = _checked(logits)
    n_layers, _, n_classes = real.shape
    check_serves(rule, n_layers, n_classes)
    return decision_at(first_exit(_fires(rule, real, labels)), real)


def first_exit(fires: Flags) -> Integers:
    """Return the first layer, from 1, whose test holds; the last layer where none does. `fires` is [n_layers, n]."""
    ends = fires.copy()
    ends[-1] = True
    return np.asarray(1 + np.argmax(ends, axis=0), dtype=np.int64)


def decision_at(exit_layer: Integers, logits: Floats | Integers, scale: float = 1.0) -> Decision:
    """Return the decision that leaves at `exit_layer`, with the prediction of that layer's logits times `scale`."""
    last = logits[exit_layer - 1, np.arange(logits.shape[1])]
    prediction: Any = last[:, 0] * scale if logits.shape[2] == 1 else last.argmax(axis=1).astype(np.int64)
    return Decision(exit_layer=exit_layer, prediction=prediction)


def _checked_labels(labels: ArrayLike | None, n_samples: int) -> Integers:
    """Return the class labels that the oracle needs, or raise ConfigError where there are none."""
    remedy = "Give labelled data or another --rule"
    if labels is None:
        raise ConfigError("--rule", "oracle", "needs labels, and this data has none", remedy)
    given = np.asarray(labels)
    if given.shape != (n_samples,):
        raise ConfigError("--rule", "oracle", f"needs {n_samples} labels, but got {given.size}", remedy)
    if (given < 0).any():
        raise ConfigError("--rule", "oracle", f"needs labels, and {(given < 0).sum()} sentences have none", remedy)
    return given.astype(np.int64)


def _checked(logits: ArrayLike) -> Floats:
    real = np.ascontiguousarray(logits, dtype=np.float64)
    if real.ndim != 3 or 0 in real.shape:
        requirement = "must be n_layers x n_samples x n_classes, none of them 0"
        raise ConfigError("logits", "x".join(map(str, real.shape)), requirement, "Check the trace")
    fine = np.abs(real) < _LARGEST_LOGIT  # also False for NaN
    if not fine.all():
        n_bad = int((~fine).sum())
        raise ConfigError("logits", f"{n_bad} of {real.size}", "are not finite numbers", "Check the checkpoint")
    return real


def _fires(rule: ExitRule, real: Floats, labels: ArrayLike | None) -> Flags:
    """Whether the test of `rule` holds, for every layer and sample, as if no sample had left before."""
    n_layers, n_samples, _ = real.shape
    match rule:
        case HardwareOrientedExit():
            difference = real[..., 0] - real[..., 1]
            same = _in_every(rule.run_length, difference > 0) | _in_every(rule.run_length, difference < 0)
            return (np.abs(difference) > rule.threshold) | same
        case ElbertExit():
            return (normalized_entropy(real) < rule.threshold) | _elbert_trend(rule, real)
        case PabeeExit():
            winner = real.argmax(axis=-1)
            return _patient(rule.patience, winner[1:] == winner[:-1])
        case PabeeRegressionExit():
            step = np.abs(real[1:, :, 0] - real[:-1, :, 0])
            return _patient(rule.patience, step < rule.tolerance)
        case NormalizedEntropyExit():
            return normalized_entropy(real) <= rule.threshold
        case EntropyExit():
            return entropy(real) < rule.threshold
        case MaximumProbabilityExit():
            return np.asarray(softmax(real).max(axis=-1) >= rule.threshold)
        case FixedDepthExit():
            return np.repeat(np.arange(1, n_layers + 1)[:, None] == rule.layer, n_samples, axis=1)
        case OracleExit():
            right = real.argmax(axis=-1) == _checked_labels(labels, n_samples)
            right[0] |= ~right.any(axis=0)
            return np.asarray(right)
        case _:
            assert_never(rule)


def _elbert_trend(rule: ElbertExit, real: Floats) -> Flags:
    p = softmax(real)
    class_0, rest = p[..., 0], p[..., 1:].sum(axis=-1)
    above, below = class_0 > 0.5 + rule.margin, rest > 0.5 + rule.margin
    one_side = _in_every(rule.window, above), _in_every(rule.window, below)
    if rule.bias == "bias_1":
        return one_side[0] | one_side[1]
    fires = np.zeros(real.shape[:2], dtype=np.bool_)
    odds = log_odds(real)
    for index in range(rule.window - 1, real.shape[0]):
        window = slice(index - rule.window + 1, index + 1)
        if rule.bias == "bias_2":
            steps = np.diff(odds[window], axis=0)
            rising = above[window.start] & (steps >= 0).all(axis=0)
            fires[index] = rising | (below[window.start] & (steps <= 0).all(axis=0))
        else:
            for side, x in zip(one_side, (class_0, rest), strict=True):
                fires[index] |= side[index] & (np.ptp(x[window], axis=0) <= rule.range_limit)
    return fires


def _in_every(window: int, holds: Flags) -> Flags:
    """Whether `holds` in each of the last `window` layers, for every layer; False before layer `window`."""
    fires = np.zeros_like(holds)
    for index in range(window - 1, len(holds)):
        fires[index] = holds[index - window + 1 : index + 1].all(axis=0)
    return fires


def _patient(patience: int, agrees: Flags) -> Flags:
    """PABEE's counter: cnt_1 = 0, cnt_l = cnt_(l-1) + 1 where layer l agrees with l - 1, else 0; cnt_l = patience."""
    count = np.zeros((agrees.shape[0] + 1, agrees.shape[1]), dtype=np.int64)
    for index in range(1, len(count)):
        count[index] = np.where(agrees[index - 1], count[index - 1] + 1, 0)
    return np.asarray(count == patience)


def softmax(real: Floats) -> Floats:
    """Probabilities of the last axis: p = e^(z-m) / sum e^(z-m), m = max z."""
    e = np.exp(real - real.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def log_sum_exp(real: Floats) -> Floats:
    """Logarithm of sum e^z over the last axis, as m + ln(1 + what the others add)."""
    most = real.max(axis=-1, keepdims=True)
    return np.asarray(most[..., 0] + _log_sum_of_shifted(real - most))


def entropy(real: Floats) -> Floats:
    """Entropy in nats of softmax(z) over the last axis: H = -sum p ln p."""
    shifted = real - real.max(axis=-1, keepdims=True)
    log_p = shifted - _log_sum_of_shifted(shifted)[..., None]
    return np.asarray(-(softmax(real) * log_p).sum(axis=-1))


def normalized_entropy(real: Floats) -> Floats:
    """Entropy as a fraction of the largest possible: Hn = H / ln K, in [0, 1]."""
    return np.asarray(entropy(real) / math.log(real.shape[-1]))


def log_odds(real: Floats) -> Floats:
    """Log-odds of class 0 against the rest: u = z_0 - ln sum_(k>0) e^(z_k); z_0 - z_1 for two classes."""
    return np.asarray(real[..., 0] - log_sum_exp(real[..., 1:]))


def _log_sum_of_shifted(shifted: Floats) -> Floats:
    """Return ln sum e^x where max x = 0, exact in relative terms however small the other terms are."""
    e = np.exp(shifted)
    np.put_along_axis(e, shifted.argmax(axis=-1)[..., None], 0.0, axis=-1)
    return np.asarray(np.log1p(e.sum(axis=-1)))
