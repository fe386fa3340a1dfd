from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.quant.arrays import Integers
from hexit.quant.errors import ConfigError
from hexit.sim.core.queueing import (
    FULL,
    LATE,
    SERVED,
    UNLIMITED,
    Admission,
    AdmissionPolicy,
    empty_queue,
    enter,
    serve,
)
from hexit.sim.traffic.arrivals import FixedRate, PoissonArrivals, PoissonBursts, RatedArrivals, arrival_cycles
from support.oracles_stream import naive_queue
from support.strategies import LAWS

CLOCK_MHZ = 200.0
SERVICE = 20_000  # cycles: 10,000 sentences a second


def served(
    arrival: list[int] | Integers, service: list[int] | Integers, admission: Admission
) -> tuple[Integers, Integers]:
    start, verdict = np.empty(len(arrival), np.int64), np.empty(len(arrival), np.int64)
    serve(admission, empty_queue(len(arrival)), np.asarray(arrival), np.asarray(service), start, verdict)
    return start, verdict


def waits(pattern: RatedArrivals, n: int) -> Integers:
    arrival = arrival_cycles(pattern, n, CLOCK_MHZ, seed=1)
    assert arrival is not None
    return served(arrival, np.full(n, SERVICE), Admission())[0] - arrival


def test_a_small_story() -> None:
    """Service 10, one place, deadline 12: who comes at 1 waits, at 2 finds no place, at 11 has one again.

    The one of 11 would start at 20, the one of 12 finds it waiting. The one of 20 takes the place that is given up in
    that cycle, and would start at 30; those of 21 find it waiting until 30.
    """
    arrival = [0, 1, 2, 11, 12, 20, 21, 45]
    start, verdict = served(arrival, [10] * 8, Admission(n_places=1))
    assert verdict.tolist() == [SERVED, SERVED, FULL, SERVED, FULL, SERVED, FULL, SERVED]
    assert [int(s) for s, v in zip(start, verdict, strict=True) if v == SERVED] == [0, 10, 20, 30, 45]


def test_a_late_sentence_keeps_its_place_until_its_deadline() -> None:
    late = Admission(n_places=1, deadline_cycles=5, drops_late=True)
    _, verdict = served([0, 1, 5, 6], [100, 1, 1, 1], late)
    assert verdict.tolist() == [SERVED, LATE, FULL, LATE]  # the one of 6 finds the place of the one that left at 6


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 7)), min_size=1, max_size=14),
    st.none() | st.integers(0, 3),
    st.none() | st.integers(0, 9),
    st.booleans(),
)
@LAWS
def test_the_recurrence_equals_a_queue_stepped_cycle_by_cycle(
    stream: list[tuple[int, int]], n_places: int | None, deadline: int | None, drops_late: bool
) -> None:
    arrival = np.cumsum([gap for gap, _ in stream])
    service = [length for _, length in stream]
    admission = Admission(
        UNLIMITED if n_places is None else n_places,
        UNLIMITED if deadline is None else deadline,
        drops_late and deadline is not None,
    )
    for run in (serve, serve.py_func):
        start, verdict = np.empty_like(arrival), np.empty_like(arrival)
        run(admission, empty_queue(arrival.size), arrival, np.array(service), start, verdict)
        found = [(int(v), int(s) if v == SERVED else -1) for s, v in zip(start, verdict, strict=True)]
        assert found == naive_queue(arrival.tolist(), service, n_places, deadline, drops_late)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.85])
@pytest.mark.parametrize(("kind", "burst_size"), [(PoissonArrivals, 1), (PoissonBursts, 4)])
def test_mean_waiting_is_that_of_the_analytical_queue(
    load: float, kind: Callable[..., RatedArrivals], burst_size: int
) -> None:
    """M/D/1: W = rho S / (2 (1 - rho)); with bursts of b, the burst of b S as service, and (b - 1) S / 2 within it.

    Together W = (rho S + (b - 1) S) / (2 (1 - rho)). The tolerance is 4 standard errors of the simulated mean, from the
    means of 40 batches (waits of neighbours depend on each other), and the test asks that this be below 4 %: a factor
    of 2, or 1 - rho in place of rho, is far outside.
    """
    n, n_batches = 400_000, 40
    rate = load * CLOCK_MHZ * 1e6 / SERVICE
    pattern = kind(rate_per_s=rate) if burst_size == 1 else kind(rate_per_s=rate, burst_size=burst_size)
    batches = waits(pattern, n).reshape(n_batches, -1).mean(axis=1)
    error = batches.std(ddof=1) / n_batches**0.5
    expected = SERVICE * (load + burst_size - 1) / (2 * (1 - load))
    assert error < 0.04 * expected
    assert abs(batches.mean() - expected) < 4 * error


def test_a_fixed_rate_up_to_the_capacity_makes_nobody_wait_and_beyond_it_the_queue_grows() -> None:
    capacity = CLOCK_MHZ * 1e6 / SERVICE
    for share in (0.5, 0.99, 1.0):
        assert waits(FixedRate(rate_per_s=share * capacity), 2_000).max() == 0
    growing = waits(FixedRate(rate_per_s=1.01 * capacity), 2_000)
    assert (np.diff(growing) > 0).all()


def test_a_deadline_that_ends_within_a_cycle_counts_up_to_its_start() -> None:
    policy = AdmissionPolicy(deadline_us=4.6, drop="late")
    assert policy.cycles(200.0) == Admission(UNLIMITED, 920, True)  # 4.6 * 200 is 919.99... in floats
    assert policy.cycles(214.0).deadline_cycles == 984
    assert AdmissionPolicy(n_places=0, drop="full").cycles(200.0) == Admission(0, UNLIMITED, False)


def test_entering_is_one_rule_for_every_pipeline() -> None:
    """A pipeline whose next sentence could start before the one in front of it keeps them in order all the same."""
    queue = empty_queue(3)
    one_place = Admission(n_places=1)
    assert enter(one_place, queue, 0, 10) == SERVED
    assert enter(one_place, queue, 10, 11) == SERVED
    assert queue.left_cycle[:2].tolist() == [10, 11]
    assert enter(one_place, queue, 10, 10) == SERVED  # starts at once: needs no place
    assert queue.left_cycle.tolist() == [10, 11, 11]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"n_places": -1}, r"--queue = -1: must not be negative"),
        ({"n_places": 3}, r"--queue = 3: ends somewhere and nobody is dropped. Add --drop full"),
        ({"drop": "full"}, r"--drop = full: needs a queue that can be full"),
        ({"drop": "late"}, r"--drop = late: needs a deadline"),
        ({"drop": "early"}, r"--drop = early: must be one of never, full, late"),
        ({"deadline_us": 0.0}, r"--deadline-us = 0.0: must be positive and finite"),
        ({"deadline_us": float("inf")}, r"--deadline-us = inf: must be positive and finite"),
    ],
)
def test_impossible_policies_are_refused(policy: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AdmissionPolicy(**policy)  # type: ignore[arg-type]
