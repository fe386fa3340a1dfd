from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from hexit.hw_model.design_files import load_design
from hexit.hw_model.memory.channel import MemoryChannel
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.arrays import Integers
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import encoder_workload
from hexit.sim.core.compile import compile_program
from hexit.sim.core.program import Program
from hexit.sim.core.queueing import Admission
from hexit.sim.core.stream import StreamResult
from hexit.sim.traffic.arrivals import FixedRate, PoissonArrivals, PoissonBursts, RatedArrivals
from hexit.sim.traffic.saturation import TOLERANCE, Saturation, highest_rate, saturate
from support.command_line import Simulate
from support.streams import stream_of, table_of

CLOCK_MHZ = 200.0
N = 20_000
ANY_RATE = 1.0


@cache
def albert() -> Program:
    workload = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 128)
    channel = MemoryChannel(bytes_per_cycle=76.8, latency_cycles=20)
    return compile_program(workload, load_design("default"), channel, TaskCycles(occupancy_cycles=1, latency_cycles=2))


def found(pattern: RatedArrivals, leaves: list[int], admission: Admission = Admission()) -> Saturation:  # noqa: B008
    layers = np.resize(leaves, N)

    def run(arrivals: Integers | None) -> StreamResult:
        return stream_of(albert(), layers, arrivals, admission=admission)

    return saturate(run, pattern, N, CLOCK_MHZ, seed=0)


def service_us(layer: int) -> float:
    return float(table_of(albert()).latency_cycles[layer - 1] / CLOCK_MHZ)


def test_bisection_ends_within_its_tolerance() -> None:
    for limit in (0.1, 3.0, 7.9):
        assert 0 <= limit - highest_rate(limit.__ge__, 8.0) <= TOLERANCE * 8
    assert highest_rate(lambda _: True, 8.0) == 8.0
    assert highest_rate(lambda _: False, 8.0) == 0.0


@pytest.mark.parametrize("leaves", [[3], [1, 12]])
def test_a_lone_server_with_a_fixed_rate_sustains_one_over_its_mean_service(leaves: list[int]) -> None:
    result = found(FixedRate(rate_per_s=ANY_RATE), leaves)
    capacity = 1e6 / np.mean([service_us(layer) for layer in leaves])
    assert result.capacity_per_s == pytest.approx(capacity, rel=1e-12)
    assert result.sustained_per_s == result.capacity_per_s
    assert result.n_sentences == N


@pytest.mark.parametrize("kind", [PoissonArrivals, PoissonBursts])
def test_random_arrivals_come_within_a_few_per_cent_of_it(kind: Callable[..., RatedArrivals]) -> None:
    """The queue of 20,000 sentences at the capacity wanders by about sqrt(20,000 x 4) services, 1.4 % of the stream."""
    pattern = kind(rate_per_s=ANY_RATE) if kind is PoissonArrivals else kind(rate_per_s=ANY_RATE, burst_size=4)
    result = found(pattern, [3])
    assert 0.96 * result.capacity_per_s < result.sustained_per_s <= result.capacity_per_s


def test_a_deadline_is_kept_at_the_99th_percentile_and_not_at_a_higher_rate() -> None:
    deadline_us = 4 * service_us(3)
    admission = Admission(deadline_cycles=int(deadline_us * CLOCK_MHZ))
    result = found(PoissonArrivals(rate_per_s=ANY_RATE), [3], admission)
    assert result.p99_latency_us is not None
    assert 0.9 * deadline_us < result.p99_latency_us <= deadline_us
    assert 0 < result.sustained_per_s < 0.9 * result.capacity_per_s
    assert result.arrivals.startswith("poisson:rate=")


def test_a_deadline_that_a_lone_sentence_misses_sustains_nothing() -> None:
    result = found(PoissonArrivals(rate_per_s=ANY_RATE), [3], Admission(deadline_cycles=1))
    assert (result.sustained_per_s, result.p99_latency_us, result.arrivals) == (0.0, None, "none")


def lost_fraction(load: float, n_places: int) -> float:
    """Share of sentences that M/D/1 with so many places turns away, from the chain of those that a departure leaves.

    From j > 0 left behind, a service later j - 1 + Poisson(load) are, at most n_places; the server is idle for 1 / load
    services after each departure that leaves nobody.
    """
    came = [math.exp(-load) * load**k / math.factorial(k) for k in range(n_places)]
    moves = np.zeros((n_places + 1, n_places + 1))
    for left in range(n_places + 1):
        stays = max(left - 1, 0)
        moves[left, stays:n_places] = came[: n_places - stays]
        moves[left, n_places] = 1 - moves[left].sum()
    chain = np.linalg.matrix_power(moves, 1000)[0]
    return float(1 - 1 / (chain[0] + load))


@pytest.mark.parametrize("n_places", [2, 5])
def test_a_queue_of_few_places_sustains_the_load_that_loses_one_per_cent(n_places: int) -> None:
    """A loss of 1 % is 200 of 20,000, known to 10 %; it grows with the third power of the load or faster."""
    result = found(PoissonArrivals(rate_per_s=ANY_RATE), [3], Admission(n_places=n_places))
    load = highest_rate(lambda load: lost_fraction(load, n_places) <= 0.01, 0.999)
    assert abs(result.sustained_per_s / result.capacity_per_s / load - 1) < 0.05


def test_the_run_searches_with_the_pattern_that_it_is_given(simulated: Simulate) -> None:
    closed, fixed = (
        simulated(saturate=True, sentences=500, **more).saturation for more in ({}, {"arrivals": "fixed:rate=1"})
    )
    assert closed is not None
    assert fixed is not None
    assert closed.arrivals.startswith("poisson:")
    assert fixed.arrivals.startswith("fixed:")
    assert closed.capacity_per_s == fixed.capacity_per_s == fixed.sustained_per_s
    assert simulated().saturation is None


def test_recorded_arrivals_have_a_rate_of_their_own(simulated: Simulate, tmp_path: Path) -> None:
    (path := tmp_path / "log").write_text("1\n2\n")
    with pytest.raises(
        ConfigError, match=r"--saturate = log: searches for a rate, and recorded arrivals have their own"
    ):
        simulated(saturate=True, arrivals=f"file:{path}")
