"""How far a score measured on n samples may be off: intervals and paired tests, pure functions of counts and arrays.

Classes are counted, so nothing is drawn at random: Wilson's interval of a share, McNemar's exact test, and the
bootstrap distribution of a paired difference, which for counts is a multinomial one and is computed, not sampled. A
correlation has no counts; its intervals are percentiles of resampled sentences, with a seed of their own.

Not here: corrections for the choice among many settings (`quant.traces.choice`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from hexit.quant.arrays import Floats

LEVEL = 0.95  # of every interval
N_RESAMPLES = 2000  # of correlations: the 2.5th percentile is then known to about 0.35 percentiles
SEED = 0  # of the resamples, so that equal runs give equal reports
_LEAST_MASS = 1e-12  # what rounding of the Fourier transform leaves where nothing is


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The two ends of an interval that holds the true value in `LEVEL` of all samples."""

    low: float
    high: float


def wilson_interval(n_right: int, n_samples: int, level: float = LEVEL) -> Interval:
    """Return Wilson's score interval of a share (1927).

    (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, spread = n_right / n_samples, z * z / n_samples
    half = z * math.sqrt(share * (1 - share) / n_samples + spread / (4 * n_samples))
    low, high = ((share + spread / 2 + sign * half) / (1 + spread) for sign in (-1, 1))
    return Interval(low=low if n_right else 0.0, high=high if n_right < n_samples else 1.0)  # there up to rounding


def mcnemar_p(n_gained: int, n_lost: int) -> float:
    """Return the two-sided p-value of McNemar's exact test: is right-to-wrong as frequent as wrong-to-right?

    Twice the tail of the binomial distribution of the discordant samples at 1/2, at most 1.
    """
    n, fewer = n_gained + n_lost, min(n_gained, n_lost)
    return min(1.0, sum(math.comb(n, k) for k in range(fewer + 1)) * 2 / (1 << n))


def difference_interval(n_gained: int, n_lost: int, n_samples: int, level: float = LEVEL) -> Interval:
    """Return the paired bootstrap interval of the difference of two accuracies, (gained - lost) / n.

    A resample of n sentences gains or loses each with the shares found, so its difference is the sum of n independent
    steps of +1, 0, -1: its distribution is the n-th power of one step's, taken by Fourier transform. That is the
    percentile bootstrap with infinitely many resamples.
    """
    step = np.zeros(2 * n_samples + 1)
    step[[1, 0, -1]] = np.array([n_gained, n_samples - n_gained - n_lost, n_lost]) / n_samples
    mass = np.roll(np.fft.irfft(np.fft.rfft(step) ** n_samples, step.size), n_samples)
    below = np.cumsum(np.where(mass > _LEAST_MASS, mass, 0.0))
    tails = ((1 - level) / 2, (1 + level) / 2)
    low, high = (int(np.searchsorted(below, tail * below[-1])) - n_samples for tail in tails)
    return Interval(low=low / n_samples, high=high / n_samples)


def resampled(n_samples: int) -> Floats:
    """Return how often each sentence is drawn in each resample, [N_RESAMPLES, n_samples]."""
    random = np.random.default_rng(SEED)
    draws = random.integers(0, n_samples, (N_RESAMPLES, n_samples))
    counts = np.zeros((N_RESAMPLES, n_samples))
    np.add.at(counts, (np.arange(N_RESAMPLES)[:, None], draws), 1)
    return counts


def weighted_correlations(counts: Floats, values: Floats, labels: Floats) -> Floats:
    """Return the Pearson correlation of each resample, 0 where one of the two does not vary there."""
    x, y = values - values.mean(), labels - labels.mean()
    n = counts.sum(axis=1)
    sums = {
        name: counts @ product for name, product in (("x", x), ("y", y), ("xx", x * x), ("yy", y * y), ("xy", x * y))
    }
    covariance = sums["xy"] - sums["x"] * sums["y"] / n
    variances = (sums["xx"] - sums["x"] ** 2 / n) * (sums["yy"] - sums["y"] ** 2 / n)
    return np.asarray(
        np.divide(covariance, np.sqrt(np.maximum(variances, 0)), out=np.zeros_like(n), where=variances > 0)
    )


def percentile_interval(values: Floats, level: float = LEVEL) -> Interval:
    """Return the percentiles that leave (1 - level) / 2 of the values on either side."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high))
