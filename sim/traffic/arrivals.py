"""When sentences arrive: patterns as records, read from one text, turned into whole cycles.

    closed                    each arrives in the cycle in which it can start: never idle, no waiting
    fixed:rate=R              one every 1/R seconds, the first at 0
    poisson:rate=R            gaps drawn from an exponential distribution of mean 1/R seconds
    bursts:rate=R,size=B      B in the same cycle; gaps between bursts exponential, of mean B/R seconds
    file:PATH                 as recorded: a time in microseconds per line, or the column `arrival_us` of a csv
                              file with a header; times count from the first one

R is sentences per second of all together. A time that falls into a cycle counts from the next one on. Draws come from
a numpy Generator with the run's seed: the same seed at another rate gives the same pattern, stretched. Not modelled:
sources that react to what the design does, other than the closed loop.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from hexit.quant.arrays import Floats, Integers
from hexit.quant.errors import ConfigError

FLAG = "--arrivals"
COLUMN = "arrival_us"
RANDOM_STREAM = 1  # beside the seed, so that gaps are independent of what else the seed draws
MAX_CYCLE = 2**53  # cycles; beyond it a float no longer counts them one by one
MAX_DENOMINATOR = 10**9  # of the cycles between two arrivals, so that n of them stay below 2^63


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoop:
    """A sentence arrives whenever the design can take one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedRate:
    """Sentences at equal distances."""

    rate_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoissonArrivals:
    """Sentences that arrive independently of each other."""

    rate_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoissonBursts:
    """Bursts of `burst_size` sentences, the bursts independent of each other."""

    rate_per_s: float
    burst_size: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedArrivals:
    """Arrival times [n] in microseconds from a file, from the first on, with the file's name and SHA-256."""

    file_name: str
    content_hash: str
    arrival_us: Floats


RatedArrivals = FixedRate | PoissonArrivals | PoissonBursts
Arrivals = ClosedLoop | RatedArrivals | RecordedArrivals

_PATTERNS: dict[str, type[ClosedLoop] | type[FixedRate] | type[PoissonArrivals] | type[PoissonBursts]] = {
    "closed": ClosedLoop,
    "fixed": FixedRate,
    "poisson": PoissonArrivals,
    "bursts": PoissonBursts,
}
_KEYS = {"rate": "rate_per_s", "size": "burst_size"}  # in the text, in the record
_WORDS = {field: key for key, field in _KEYS.items()}


def parse_arrivals(text: str, rate_per_s: float | None = None) -> Arrivals:
    """Return the pattern that a text names, a file read; ConfigError for a text or a file that is none.

    `rate_per_s` stands instead of the rate in the text; with it, arrivals of a closed loop become Poisson ones.

    >>> parse_arrivals("bursts:rate=500,size=8")
    PoissonBursts(rate_per_s=500.0, burst_size=8)
    """
    name, _, rest = text.partition(":")
    if rate_per_s is not None and name == "closed":
        name = "poisson"
    if name == "file":
        if rate_per_s is not None:
            raise ConfigError("--rate", rate_per_s, "means nothing to recorded arrivals", "Leave it out")
        return load_arrivals(Path(rest))
    if name not in _PATTERNS:
        raise ConfigError(FLAG, text, f"must be one of {', '.join([*_PATTERNS, 'file'])}", "Try poisson:rate=500")
    kind = _PATTERNS[name]
    wanted = [_WORDS[field.name] for field in fields(kind)]
    given = [part.partition("=") for part in rest.split(",")] if rest else []
    if rate_per_s is not None:
        given = [("rate", "=", repr(rate_per_s)), *(part for part in given if part[0] != "rate")]
    if sorted(key for key, _, _ in given) != sorted(wanted):
        example = name + (":" if wanted else "") + ",".join(f"{key}={500 if key == 'rate' else 8}" for key in wanted)
        raise ConfigError(FLAG, text, f"{name} needs {' and '.join(wanted) or 'nothing else'}", f"Try {example}")
    return kind(**{_KEYS[key]: _number(text, key, value) for key, _, value in given})


def format_arrivals(arrivals: Arrivals) -> str:
    """Return the text that `parse_arrivals` reads, of a file its name alone.

    >>> format_arrivals(PoissonArrivals(rate_per_s=500.0))
    'poisson:rate=500'
    """
    if isinstance(arrivals, RecordedArrivals):
        return f"file:{arrivals.file_name}"
    name = next(name for name, kind in _PATTERNS.items() if type(arrivals) is kind)
    words = [f"{_WORDS[field.name]}={getattr(arrivals, field.name):.17g}" for field in fields(arrivals)]
    return name + (":" if words else "") + ",".join(words)


def _number(text: str, key: str, value: str) -> Any:
    number: float
    try:
        number = int(value) if key == "size" else float(value)
    except ValueError:
        number = 0
    if not 0 < number < math.inf:
        kind = "whole number" if key == "size" else "number"
        raise ConfigError(FLAG, text, f"{key} must be a positive {kind}", f"Try {key}={8 if key == 'size' else 500}")
    return number


def load_arrivals(path: Path) -> RecordedArrivals:
    """Read recorded arrival times; ConfigError with the line where they are no numbers, or fall."""
    where = f"{FLAG} file:{path}"
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(where, error.strerror, "cannot be read", "Give the path of a text file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(where, f"byte {error.start}", "is not UTF-8 text", "Give a text file") from None
    rows = [(line, row) for line, row in enumerate(csv.reader(io.StringIO(text)), 1) if any(map(str.strip, row))]
    column = 0
    if rows and not _is_number(rows[0][1][0]):
        header = [cell.strip() for cell in rows.pop(0)[1]]
        if COLUMN not in header:
            raise ConfigError(where, ",".join(header), f"has no column {COLUMN}", f"Name the column of times {COLUMN}")
        column = header.index(COLUMN)
    if not rows:
        raise ConfigError(where, "(empty)", "has no times", "Give one time in microseconds per line")
    times = np.empty(len(rows))
    for index, (line, row) in enumerate(rows):
        cell = row[column] if column < len(row) else ""
        if not _is_number(cell):
            raise ConfigError(f"{where} line {line}", cell, "is no finite number", "Give microseconds")
        times[index] = float(cell)
        if index and times[index] < times[index - 1]:
            raise ConfigError(f"{where} line {line}", cell, "comes before the line above it", "Sort the times")
    return RecordedArrivals(
        file_name=path.name, content_hash=hashlib.sha256(raw).hexdigest(), arrival_us=times - times[0]
    )


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def arrival_cycles(arrivals: Arrivals, n_sentences: int, clock_mhz: float, seed: int) -> Integers | None:
    """Return the cycle in which each of `n_sentences` arrives, not falling; None in a closed loop.

    Raises ConfigError for a file with fewer arrivals, and for streams of more than `MAX_CYCLE` cycles.
    """
    match arrivals:
        case ClosedLoop():
            return None
        case FixedRate(rate_per_s=rate):
            period = _cycles(1_000_000, clock_mhz) / _cycles(1, rate)
            _check_length(float(period) * n_sentences)
            ratio = period.limit_denominator(MAX_DENOMINATOR)
            whole, part = divmod(ratio.numerator, ratio.denominator)
            index = np.arange(n_sentences, dtype=np.int64)
            return np.asarray(index * whole - (-index * part) // ratio.denominator)
        case PoissonArrivals(rate_per_s=rate):
            size = 1
        case PoissonBursts(rate_per_s=rate, burst_size=size):
            pass
        case RecordedArrivals(arrival_us=times):
            if times.size < n_sentences:
                requirement = f"has {times.size} arrivals for {n_sentences} sentences"
                raise ConfigError(FLAG, format_arrivals(arrivals), requirement, f"Use --sentences {times.size}")
            _check_length(times[-1] * clock_mhz)
            return np.ceil(times[:n_sentences] * clock_mhz).astype(np.int64)
    gaps = np.random.default_rng((seed, RANDOM_STREAM)).exponential(size=-(-n_sentences // size))
    times = np.cumsum(gaps) * (size * clock_mhz * 1e6 / rate)
    _check_length(times[-1])
    return np.repeat(np.ceil(times).astype(np.int64), size)[:n_sentences]


def _cycles(scale: int, number: float) -> Fraction:
    """A decimal number as it was written, times `scale`, exactly."""
    return Fraction(repr(float(number))) * scale


def _check_length(cycles: float) -> None:
    if not cycles < MAX_CYCLE:
        raise ConfigError(FLAG, f"{cycles:.3g} cycles", "is a stream too long to count", "Raise the rate")
