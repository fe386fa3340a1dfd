from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hexit.quant.arrays import Integers
from hexit.quant.errors import ConfigError
from hexit.sim.traffic.arrivals import (
    Arrivals,
    ClosedLoop,
    FixedRate,
    PoissonArrivals,
    PoissonBursts,
    RecordedArrivals,
    arrival_cycles,
    format_arrivals,
    parse_arrivals,
)

PATTERNS: dict[str, Arrivals] = {
    "closed": ClosedLoop(),
    "fixed:rate=500": FixedRate(rate_per_s=500.0),
    "poisson:rate=0.25": PoissonArrivals(rate_per_s=0.25),
    "bursts:rate=500,size=8": PoissonBursts(rate_per_s=500.0, burst_size=8),
}


def cycles(arrivals: Arrivals, n: int, clock_mhz: float = 200.0, seed: int = 0) -> Integers:
    found = arrival_cycles(arrivals, n, clock_mhz, seed)
    assert found is not None
    assert found.shape == (n,)
    assert (np.diff(found, prepend=0) >= 0).all()
    return found


@pytest.mark.parametrize("text", PATTERNS)
def test_a_pattern_is_read_and_written_as_one_text(text: str) -> None:
    assert parse_arrivals(text) == PATTERNS[text]
    assert format_arrivals(PATTERNS[text]) == text


@pytest.mark.parametrize("text", ["closed", "poisson", "poisson:rate=7"])
def test_a_rate_of_its_own_stands_instead_of_the_one_in_the_text(text: str) -> None:
    assert parse_arrivals(text, 900.0) == PoissonArrivals(rate_per_s=900.0)
    assert parse_arrivals("bursts:size=8", 900.0) == PoissonBursts(rate_per_s=900.0, burst_size=8)


def test_recorded_arrivals_have_their_own_rate() -> None:
    with pytest.raises(ConfigError, match=r"--rate = 900\.0: means nothing to recorded arrivals\. Leave it out"):
        parse_arrivals("file:times.txt", 900.0)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf")])
def test_a_rate_that_no_stream_has_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match=r"rate must be a positive number"):
        parse_arrivals("poisson", rate)


def test_a_closed_loop_has_no_times() -> None:
    assert arrival_cycles(ClosedLoop(), 3, 200.0, 0) is None


@pytest.mark.slow
def test_a_fixed_rate_is_exact_also_where_cycles_are_no_whole_number() -> None:
    assert cycles(FixedRate(rate_per_s=1e6), 4).tolist() == [0, 200, 400, 600]
    assert cycles(FixedRate(rate_per_s=3e6), 5).tolist() == [0, 67, 134, 200, 267]  # 66 2/3, from the next cycle on
    far = cycles(FixedRate(rate_per_s=214.0 / 0.7), 10_000_001, clock_mhz=214.0)
    assert far[-1] == 7_000_000_000_000


def test_poisson_gaps_are_exponential_and_bursts_come_together() -> None:
    """Mean and standard deviation of 400,000 gaps equal the period, within 4 standard errors (of the mean 1 / 632)."""
    n = 400_000
    gaps = np.diff(cycles(PoissonArrivals(rate_per_s=1000.0), n))
    assert abs(gaps.mean() / 200_000 - 1) < 4 / n**0.5
    assert abs(gaps.std() / 200_000 - 1) < 4 * (2 / n) ** 0.5  # fourth central moment 9: error of a deviation
    bursts = cycles(PoissonBursts(rate_per_s=1000.0, burst_size=8), n)
    assert (bursts.reshape(-1, 8) == bursts[::8, None]).all()
    assert abs(np.diff(bursts[::8]).mean() / 1_600_000 - 1) < 4 / (n / 8) ** 0.5
    assert cycles(PoissonBursts(rate_per_s=1000.0, burst_size=8), 11).size == 11


def test_the_seed_decides_the_pattern_and_the_rate_stretches_it() -> None:
    slow, fast, other = (
        cycles(PoissonArrivals(rate_per_s=rate), 1000, seed=seed) for rate, seed in ((10, 3), (20, 3), (10, 4))
    )
    assert (np.abs(slow - 2 * fast) <= 2).all()
    assert (slow != other).any()
    assert (slow == cycles(PoissonArrivals(rate_per_s=10), 1000, seed=3)).all()


@pytest.mark.parametrize(
    "content",
    ["10\n12.5\n12.5\n\n20\n", "arrival_us\n10\n12.5\n12.5\n20", "\ufeffwho,arrival_us\na,10\nb,12.5\nc,12.5\nd,20\n"],
)
def test_recorded_times_count_from_the_first_one(content: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(content, encoding="utf-8")
    recorded = parse_arrivals(f"file:{tmp_path / 'log.csv'}")
    assert isinstance(recorded, RecordedArrivals)
    assert format_arrivals(recorded) == "file:log.csv"
    assert cycles(recorded, 4).tolist() == [0, 500, 500, 2000]
    assert cycles(recorded, 2, clock_mhz=0.3).tolist() == [0, 1]
    with pytest.raises(ConfigError, match=r"file:log\.csv: has 4 arrivals for 5 sentences. Use --sentences 4"):
        arrival_cycles(recorded, 5, 200.0, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"= \(empty\): has no times"),
        ("arrival_us\n", r"= \(empty\): has no times"),
        ("time\n1\n", r"= time: has no column arrival_us"),
        ("1\nx\n", r"line 2 = x: is no finite number"),
        ("1\ninf\n", r"line 2 = inf: is no finite number"),
        ("who,arrival_us\na\n", r"line 2 = : is no finite number"),
        ("1\n3\n2\n", r"line 3 = 2: comes before the line above it"),
        (b"\xff", r"= byte 0: is not UTF-8 text"),
        (None, r"cannot be read"),
    ],
)
def test_a_file_of_something_else_is_refused(content: str | bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "log").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=message):
        parse_arrivals(f"file:{tmp_path / 'log'}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"--arrivals = : must be one of closed, fixed, poisson, bursts, file"),
        ("uniform:rate=3", r"must be one of closed"),
        ("poisson", r"poisson needs rate. Try poisson:rate=500"),
        ("closed:rate=3", r"closed needs nothing else. Try closed"),
        ("bursts:rate=3", r"bursts needs rate and size. Try bursts:rate=500,size=8"),
        ("bursts:rate=3,size=2,size=3", r"bursts needs rate and size"),
        ("fixed:rate=0", r"rate must be a positive number"),
        ("fixed:rate=nan", r"rate must be a positive number"),
        ("fixed:rate=inf", r"rate must be a positive number"),
        ("fixed:rate=fast", r"rate must be a positive number"),
        ("bursts:rate=3,size=2.5", r"size must be a positive whole number"),
    ],
)
def test_a_text_of_something_else_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_arrivals(text)


@pytest.mark.parametrize("kind", [FixedRate, PoissonArrivals])
def test_a_stream_too_long_to_count_is_refused(kind: type[FixedRate] | type[PoissonArrivals]) -> None:
    with pytest.raises(ConfigError, match=r"cycles: is a stream too long to count. Raise the rate"):
        arrival_cycles(kind(rate_per_s=1e-9), 100, 200.0, 0)
