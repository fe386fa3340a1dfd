"""What exits must beat: a network cut after one layer, at the same cost, and the same network without exits.

    best fixed depth    the exit with the highest score among d <= ceil(mean layer of the run), the first of equals
    full depth          the last exit

Both rivals are exits of the same quantised network, on the same sentences. The first is favoured twice: it may cost up
to a layer more than the run, and its depth is picked by the score on the very sentences that are compared. A mixture of
two depths within that cost (some sentences leave after d, some after e) scores between the two and is no stronger.

Accuracies have Wilson's interval, differences the interval of the paired bootstrap and McNemar's exact p-value of the
sentences that only one of the two gets right. A correlation is no count: its intervals are bootstrap percentiles, and
there is no p-value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hexit.quant.arrays import Floats
from hexit.quant.data.intervals import (
    Interval,
    difference_interval,
    mcnemar_p,
    percentile_interval,
    resampled,
    weighted_correlations,
    wilson_interval,
)
from hexit.quant.data.scores import exit_scores, pearson
from hexit.quant.exits.published import Decision
from hexit.quant.traces.trace import ExitTrace


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """A fixed depth, and the run against it: `difference` is the run's score less this one's.

    `n_gained` sentences only the run gets right, `n_lost` only the rival; None, as `p_value`, for a regression.
    """

    layer: int
    score: float
    interval: Interval
    difference: float
    difference_interval: Interval
    n_gained: int | None
    n_lost: int | None
    p_value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The run's score with its interval, its two rivals, and the interval of every fixed depth."""

    interval: Interval
    fixed_depth: Rival
    full_depth: Rival
    interval_by_exit: tuple[Interval, ...]


def compare(decision: Decision, trace: ExitTrace) -> Comparison | None:
    """Compare decisions on a trace with its fixed depths; None without labels."""
    if not trace.labelled:
        return None
    scores = exit_scores(trace.logits, trace.labels)
    affordable = scores[: math.ceil(decision.mean_layer)]
    best, last = 1 + int(np.argmax(affordable)), trace.n_layers
    if trace.n_classes == 1:
        return _correlations(decision, trace, best)
    n = trace.n_samples
    right = np.asarray(decision.prediction == trace.labels)
    right_by_exit = trace.logits.argmax(axis=2) == trace.labels

    def rival(layer: int) -> Rival:
        theirs = right_by_exit[layer - 1]
        gained, lost = int((right & ~theirs).sum()), int((theirs & ~right).sum())
        return Rival(
            layer=layer,
            score=scores[layer - 1],
            interval=wilson_interval(int(theirs.sum()), n),
            difference=(gained - lost) / n,
            difference_interval=difference_interval(gained, lost, n),
            n_gained=gained,
            n_lost=lost,
            p_value=mcnemar_p(gained, lost),
        )

    return Comparison(
        interval=wilson_interval(int(right.sum()), n),
        fixed_depth=rival(best),
        full_depth=rival(last),
        interval_by_exit=tuple(wilson_interval(int(one.sum()), n) for one in right_by_exit),
    )


def _correlations(decision: Decision, trace: ExitTrace, best: int) -> Comparison:
    """Compare correlations; all intervals come from the same resamples."""
    labels = np.asarray(trace.labels, dtype=np.float64)
    counts, outputs = resampled(trace.n_samples), trace.real_logits[..., 0]
    prediction: Floats = np.asarray(decision.prediction, dtype=np.float64)
    score, drawn = pearson(prediction, labels), weighted_correlations(counts, prediction, labels)
    by_exit = [weighted_correlations(counts, output, labels) for output in outputs]

    def rival(layer: int) -> Rival:
        theirs = pearson(outputs[layer - 1], labels)
        return Rival(
            layer=layer,
            score=theirs,
            interval=percentile_interval(by_exit[layer - 1]),
            difference=score - theirs,
            difference_interval=percentile_interval(drawn - by_exit[layer - 1]),
            n_gained=None,
            n_lost=None,
            p_value=None,
        )

    return Comparison(
        interval=percentile_interval(drawn),
        fixed_depth=rival(best),
        full_depth=rival(trace.n_layers),
        interval_by_exit=tuple(map(percentile_interval, by_exit)),
    )
