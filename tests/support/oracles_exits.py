"""Exit rules for one sample, written straight from the papers' equations, without a thought for speed.

A sample is a list of layers, a layer a list of logits. Every function returns the exit layer, from 1. `distances`
lists how far each compared number is from its threshold, so that a test can set aside the ties that rounding decides.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

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
)

Sample = list[list[float]]


def softmax(z: list[float]) -> list[float]:
    most = max(z)
    e = [math.exp(x - most) for x in z]
    return [x / sum(e) for x in e]


def entropy(z: list[float]) -> float:
    return -sum(p * math.log(p) for p in softmax(z) if p > 0)


def winner(z: list[float]) -> int:
    return z.index(max(z))


def exit_layer(rule: ExitRule, sample: Sample, label: int = -1) -> int:
    depth = len(sample)
    match rule:
        case HardwareOrientedExit():
            return _hardware(rule, sample)
        case ElbertExit():
            return _elbert(rule, sample)
        case PabeeExit(patience=patience):
            return _pabee(patience, sample, lambda a, b: winner(a) == winner(b))
        case PabeeRegressionExit(patience=patience, tolerance=tolerance):
            return _pabee(patience, sample, lambda a, b: abs(a[0] - b[0]) < tolerance)
        case NormalizedEntropyExit(threshold=speed):
            return _first(sample, lambda z: entropy(z) / math.log(len(z)) <= speed)
        case EntropyExit(threshold=threshold):
            return _first(sample, lambda z: entropy(z) < threshold)
        case MaximumProbabilityExit(threshold=threshold):
            return _first(sample, lambda z: max(softmax(z)) >= threshold)
        case FixedDepthExit(layer=layer):
            return layer
        case OracleExit():
            right = [layer for layer in range(1, depth + 1) if winner(sample[layer - 1]) == label]
            return right[0] if right else 1


def distances(rule: ExitRule, sample: Sample) -> list[float]:
    match rule:
        case HardwareOrientedExit(threshold=threshold):
            return [abs(abs(z[0] - z[1]) - threshold) for z in sample]
        case ElbertExit():
            p = [softmax(z)[0] for z in sample]
            found = [abs(entropy(z) / math.log(len(z)) - rule.threshold) for z in sample]
            found += [abs(abs(x - 0.5) - rule.margin) for x in p if abs(x - 0.5) > 1e-12 or rule.margin]
            if rule.bias == "bias_2":
                found += [abs(b - a) for a, b in itertools.pairwise(p) if a != b]
            if rule.bias == "bias_3":
                spans = [p[i : i + rule.window] for i in range(len(p) - rule.window + 1)]
                found += [abs(max(x) - min(x) - rule.range_limit) for x in spans]
            return found
        case PabeeRegressionExit(tolerance=tolerance):
            return [abs(abs(b[0] - a[0]) - tolerance) for a, b in itertools.pairwise(sample)]
        case NormalizedEntropyExit(threshold=speed):
            return [abs(entropy(z) / math.log(len(z)) - speed) for z in sample]
        case EntropyExit(threshold=threshold):
            return [abs(entropy(z) - threshold) for z in sample]
        case MaximumProbabilityExit(threshold=threshold):
            return [abs(max(softmax(z)) - threshold) for z in sample]
        case _:
            return [1.0]


def _first(sample: Sample, test: Callable[[list[float]], bool]) -> int:
    for layer, z in enumerate(sample, start=1):
        if test(z):
            return layer
    return len(sample)


def _hardware(rule: HardwareOrientedExit, sample: Sample) -> int:
    run, last = 0, 0
    for layer, (a, b) in enumerate(sample, start=1):
        sign = (a > b) - (a < b)
        run = 0 if sign == 0 else run + 1 if sign == last else 1
        last = sign
        if abs(a - b) > rule.threshold or run >= rule.run_length:
            return layer
    return len(sample)


def _elbert(rule: ElbertExit, sample: Sample) -> int:
    seen: list[float] = []
    for layer, z in enumerate(sample, start=1):
        seen.append(softmax(z)[0])
        if entropy(z) / math.log(len(z)) < rule.threshold:
            return layer
        if layer >= rule.window and _trend(rule, seen[-rule.window :]):
            return layer
    return len(sample)


def _trend(rule: ElbertExit, x: list[float]) -> bool:
    high, low = 0.5 + rule.margin, 0.5 - rule.margin
    if rule.bias == "bias_1":
        return all(v > high for v in x) or all(v < low for v in x)
    if rule.bias == "bias_2":
        rising = all(a <= b for a, b in itertools.pairwise(x))
        falling = all(a >= b for a, b in itertools.pairwise(x))
        return (x[0] > high and rising) or (x[0] < low and falling)
    return (min(x) > high or max(x) < low) and max(x) - min(x) <= rule.range_limit


def _pabee(patience: int, sample: Sample, agree: Callable[[list[float], list[float]], bool]) -> int:
    count = 0
    for layer in range(2, len(sample) + 1):
        count = count + 1 if agree(sample[layer - 1], sample[layer - 2]) else 0
        if count == patience:
            return layer
    return len(sample)
