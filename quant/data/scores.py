"""How good predictions are: accuracy for classes, Pearson correlation for one real output."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Metric = Literal["accuracy_fraction", "pearson"]


def metric_of(n_classes: int) -> Metric:
    """Return what a task is scored by; one class means regression."""
    return "pearson" if n_classes == 1 else "accuracy_fraction"


def pearson(predictions: NDArray[Any], labels: NDArray[Any]) -> float:
    """Return the linear correlation of two lists of numbers, 0 where one of them does not vary."""
    if np.ptp(predictions) == 0 or np.ptp(labels) == 0:
        return 0.0
    return float(np.corrcoef(predictions, labels)[0, 1])


def exit_scores(logits: NDArray[Any], labels: NDArray[Any]) -> tuple[float, ...]:
    """Score every exit of logits [n_layers, n_samples, n_classes] as if all samples left there."""
    if logits.shape[2] == 1:
        return tuple(pearson(layer[:, 0], labels) for layer in logits)
    return tuple(float(np.mean(layer.argmax(1) == labels)) for layer in logits)
