"""The queue of sentences in front of a design: which wait, and which are dropped.

Sentences enter in the order of arrival. When sentence j is next to enter, every earlier one has its start, so that

    waiting(j) = number of earlier sentences in the queue in the cycle arrival[j]
    full         start[j] > arrival[j] and waiting(j) >= n_places      j has to wait and the queue is full
    late         start[j] - arrival[j] > deadline                      its service could only start past its deadline

are decided with what is known. A served sentence leaves the queue in the cycle of its start, and not before those in
front of it; a late one waits for its deadline and leaves then, unserved (it is not known before how long those in front
take); a sentence that found the queue full was never in it. One that starts in the cycle of its arrival needs no
place. `enter` is that decision: a lone server calls it (`serve`), so do sentences that take turns
(sim.core.recurrence) and spatial pipelines (sim.core.spatial).

Not modelled: priorities, a batch that waits until it is full, service that is broken off at the deadline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, get_args

import numba
import numpy as np

from hexit.quant.arrays import Integers
from hexit.quant.errors import ConfigError
from hexit.sim.core.policies import DropPolicy

DROP_POLICIES: tuple[DropPolicy, ...] = get_args(DropPolicy)

SERVED, FULL, LATE = 0, 1, 2  # verdicts
UNLIMITED = int(np.iinfo(np.int64).max)
N_ENTERED, N_LEFT = 0, 1  # entries of `Queue.counts`


class Admission(NamedTuple):
    """The rules at the door, as the compiled functions take them: places, cycles until the deadline, policy."""

    n_places: int = UNLIMITED
    deadline_cycles: int = UNLIMITED
    drops_late: bool = False


class Queue(NamedTuple):
    """The queue while a stream runs: `left_cycle` of everyone who entered it, and how many entered and left."""

    left_cycle: Integers
    counts: Integers


def empty_queue(n_sentences: int) -> Queue:
    """Return the queue before the first of `n_sentences`."""
    return Queue(np.empty(n_sentences, np.int64), np.zeros(2, np.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionPolicy:
    """Queue and deadline as a user gives them: waiting places (None: no limit), microseconds, what is dropped.

    `drop` ``full``: a sentence that has to wait while the queue is full. ``late``: also one whose service could only
    start past its deadline. ``never``: none; misses of a deadline are then only counted.
    """

    n_places: int | None = None
    deadline_us: float | None = None
    drop: DropPolicy = "never"

    def __post_init__(self) -> None:
        """Reject policies that contradict themselves."""
        if self.drop not in DROP_POLICIES:
            raise ConfigError("--drop", self.drop, f"must be one of {', '.join(DROP_POLICIES)}", "Try --drop full")
        if self.n_places is not None and self.n_places < 0:
            raise ConfigError("--queue", self.n_places, "must not be negative", "Try --queue 0, which lets nobody wait")
        if self.deadline_us is not None and not 0 < self.deadline_us < math.inf:
            raise ConfigError("--deadline-us", self.deadline_us, "must be positive and finite", "Try --deadline-us 1e4")
        if self.n_places is not None and self.drop == "never":
            raise ConfigError("--queue", self.n_places, "ends somewhere and nobody is dropped", "Add --drop full")
        if self.n_places is None and self.drop == "full":
            raise ConfigError("--drop", self.drop, "needs a queue that can be full", "Add --queue 16")
        if self.deadline_us is None and self.drop == "late":
            raise ConfigError("--drop", self.drop, "needs a deadline", "Add --deadline-us 10000")

    def cycles(self, clock_mhz: float) -> Admission:
        """Return the rules in cycles of a clock; a deadline that ends within a cycle counts up to its start."""
        deadline = UNLIMITED
        if self.deadline_us is not None:
            deadline = math.floor(Fraction(repr(float(self.deadline_us))) * Fraction(repr(float(clock_mhz))))
        return Admission(
            UNLIMITED if self.n_places is None else self.n_places,
            min(deadline, UNLIMITED),
            self.drop == "late",
        )


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def enter(admission: Admission, queue: Queue, arrival: int, start: int) -> int:
    """Return SERVED, FULL or LATE for the next sentence, which would start at `start`, and keep it in `queue`.

    Calls must come in the order of arrival, each with the start that the sentence has if it is served.
    """
    counts = queue.counts
    while counts[N_LEFT] < counts[N_ENTERED] and queue.left_cycle[counts[N_LEFT]] <= arrival:
        counts[N_LEFT] += 1
    if start > arrival and counts[N_ENTERED] - counts[N_LEFT] >= admission.n_places:
        return FULL
    late = admission.drops_late and start - arrival > admission.deadline_cycles
    left = arrival + admission.deadline_cycles if late else start
    if counts[N_ENTERED] > 0:
        left = max(left, queue.left_cycle[counts[N_ENTERED] - 1])
    queue.left_cycle[counts[N_ENTERED]] = left
    counts[N_ENTERED] += 1
    return LATE if late else SERVED


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def serve(
    admission: Admission, queue: Queue, arrival: Integers, service: Integers, start: Integers, verdict: Integers
) -> None:
    """Run a lone server: start[j] = max(arrival[j], end of the service before), for sentences that are admitted.

    Fills `start` (of a dropped sentence: the cycle in which it would have started) and `verdict`.
    """
    free = 0
    for sentence in range(arrival.size):
        start[sentence] = max(arrival[sentence], free)
        verdict[sentence] = enter(admission, queue, arrival[sentence], start[sentence])
        if verdict[sentence] == SERVED:
            free = start[sentence] + service[sentence]
