"""The highest rate of arrivals that a design sustains.

`capacity_per_s` is the rate of service while the queue is never empty: sentences / time of the closed loop, for a lone
server 1 / mean service time. Above it every queue grows for ever. At or below it a rate is sustained if, in a stream
of that rate,

    growth    the last quarter of the served sentences waited, on average, at most MAX_WAIT of the time in which the
              stream arrived: a queue that keeps growing makes them wait a share of it, a settled one a constant
    quality   at most MAX_MISSED of the sentences were dropped or decided after their deadline

The answer is the highest such rate, found by bisection to TOLERANCE of the capacity. Every rate draws the same
pattern, stretched, so that at a higher rate no sentence of a lone server without drops waits less. Not modelled:
confidence; the answer is that of one drawn stream.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hexit.quant.arrays import Integers
from hexit.sim.core.stream import StreamResult
from hexit.sim.traffic.arrivals import RatedArrivals, arrival_cycles, format_arrivals

MAX_WAIT = 0.01  # share of the time in which the stream arrived
MAX_MISSED = 0.01  # share of the sentences, dropped or late: the deadline is kept at the 99th percentile
TOLERANCE = 1e-3  # share of the capacity


@dataclass(frozen=True, slots=True, kw_only=True)
class Saturation:
    """What a search found: rates in sentences per second, and `arrivals`, the stream at the rate that it answers."""

    arrivals: str
    n_sentences: int
    capacity_per_s: float
    sustained_per_s: float
    p99_latency_us: float | None


def saturate(
    run: Callable[[Integers | None], StreamResult],
    pattern: RatedArrivals,
    n_sentences: int,
    clock_mhz: float,
    seed: int,
) -> Saturation:
    """Return the highest rate of `pattern` that is sustained; its own rate does not matter.

    `run` simulates `n_sentences` that arrive in the given cycles, in a closed loop for None. Without any rate that is
    sustained, as with a deadline that a lone sentence misses, the answer is 0 and the percentile None.
    """
    capacity = n_sentences / run(None).total_cycles * clock_mhz * 1e6

    def stream(rate_per_s: float) -> StreamResult:
        at_rate = dataclasses.replace(pattern, rate_per_s=rate_per_s)
        return run(arrival_cycles(at_rate, n_sentences, clock_mhz, seed))

    rate = highest_rate(lambda rate_per_s: is_sustained(stream(rate_per_s)), capacity)
    latencies_us = stream(rate).served_latency_cycles / clock_mhz if rate else None
    return Saturation(
        arrivals=format_arrivals(dataclasses.replace(pattern, rate_per_s=rate)) if rate else "none",
        n_sentences=n_sentences,
        capacity_per_s=capacity,
        sustained_per_s=rate,
        p99_latency_us=float(np.percentile(latencies_us, 99, method="higher")) if latencies_us is not None else None,
    )


def highest_rate(holds: Callable[[float], bool], upper: float) -> float:
    """Return the highest rate up to `upper` for which `holds`, to TOLERANCE of `upper`; 0 where there is none.

    >>> highest_rate(lambda rate: rate <= 3, 8) > 2.99
    True
    """
    if holds(upper):
        return upper
    low, high = 0.0, upper
    while high - low > TOLERANCE * upper:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def is_sustained(result: StreamResult) -> bool:
    """Whether a stream meets both criteria of this module."""
    missed = result.n_sentences - result.n_served + result.n_missed
    waits = (result.start_cycle - result.arrival_cycle)[result.served]
    tail = waits[-(-3 * waits.size // 4) :] if waits.size > 3 else waits
    quality = missed <= MAX_MISSED * result.n_sentences
    return bool(quality and tail.mean() <= MAX_WAIT * result.arrival_cycle[-1])
