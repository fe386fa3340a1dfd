"""Published exit profiles: per-layer entropies of a model that we do not have.

A profile is a table of natural-log entropies of a two-class model, one row per sample and one column per layer. It is
enough to replay rules that only test how sure an exit is, because with two classes entropy and the distance of the
two logits are one-to-one:

    H(p) < S  <=>  |z_0 - z_1| > T(S)        exit = first layer where that holds, else the model's last layer

The last layer exits without a test, so that an unusable last column does no harm: leave it out and `n_layers` still
counts it. `profile_trace` stores the distances as integer logits, at a scale of their own, and the same exit units run
on them.

Not in a profile: which class won. So there are no predictions, no accuracy, and no rule that follows the winner
from layer to layer.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hexit.quant.arrays import Floats, Integers
from hexit.quant.errors import ConfigError
from hexit.quant.exits.constants import first_integer
from hexit.quant.exits.published import entropy
from hexit.quant.traces.trace import UNLABELLED, ExitTrace, TraceOrigin

PROFILE_SCALE = 2.0**-19  # logits; entropies come back to 3e-7 nats, as good as the float32 they were printed from
_LARGEST_DISTANCE = (1 << 23) - 1  # steps, 16 logits; H there is 2e-6 nats, below every threshold in use
_SLACK = 1e-6  # nats above ln 2 that float32 rounding explains


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profile:
    """Entropies in nats, [n_used, n_samples] for layers 1..n_used, of a two-class model with `n_layers` layers."""

    entropies: Floats
    n_layers: int
    source: str
    data_hash: str

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.entropies.shape[1])


def load_profile(path: Path, columns: str = "1-11") -> Profile:
    """Read a comma-separated file of entropies: a row per sample, a column per layer, a first row of names allowed.

    `columns` ("1-11") are those to use, from the first; the file's width is the model's depth. Raises ConfigError for
    a file that cannot be read, is not text, is empty or ragged, and for a value that is no entropy of two classes.
    """
    where = f"--profile {path}"
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(where, error.strerror, "cannot be read", "Give the path of a csv file") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(where, f"byte {error.start}", "is not UTF-8 text", "Give a csv file") from error
    try:
        rows = [row for row in csv.reader(io.StringIO(text)) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ConfigError(where, "(text)", f"is no csv table ({error})", "Give a csv file") from error
    first = 1 if rows and not any(_is_number(cell) for cell in rows[0]) else 0
    if len(rows) == first:
        raise ConfigError(where, "(empty)", "has no rows of numbers", "Give one row of entropies per sentence")
    n_used = _last_column(columns, len(rows[first]))
    values = np.empty((len(rows) - first, n_used))
    for sample, row in enumerate(rows[first:]):
        if len(row) != len(rows[first]):
            at = f"{where} row {first + sample + 1}"
            raise ConfigError(at, f"{len(row)} columns", f"must have {len(rows[first])}", "Complete the row")
        for index in range(n_used):
            values[sample, index] = _entropy(f"{where} row {first + sample + 1} column {index + 1}", row[index])
    return Profile(
        entropies=np.ascontiguousarray(values.T),
        n_layers=len(rows[first]),
        source=path.name,
        data_hash=hashlib.sha256(raw).hexdigest(),
    )


def profile_trace(profile: Profile, n_tokens: int) -> ExitTrace:
    """Return a profile as a trace of two-class logits (distance, 0), unlabelled, `n_tokens` for every sample.

    Only the distance of the logits means something (`quant.traces.replay.profile_decision`).
    """
    return ExitTrace(
        logits=_distances(profile),
        scale=PROFILE_SCALE,
        labels=np.full(profile.n_samples, UNLABELLED, dtype=np.int64),
        lengths=np.full(profile.n_samples, n_tokens, dtype=np.int32),
        origin=TraceOrigin(
            checkpoint_hash="",
            model="(published profile)",
            data=profile.source,
            data_hash=profile.data_hash,
            quant=None,
            n_truncated=0,
        ),
    )


def _distances(profile: Profile) -> Integers:
    """Return logits (distance, 0) with the entropies of `profile`; 0 where there is none, where nothing is decided."""
    logits = np.zeros((profile.n_layers, profile.n_samples, 2), dtype=np.int64)
    start = np.zeros(profile.entropies.shape, dtype=np.int64)
    low = first_integer(lambda distance: _entropy_of(distance) <= profile.entropies, start, _LARGEST_DISTANCE)
    nearer = np.abs(_entropy_of(low - 1) - profile.entropies) < np.abs(_entropy_of(low) - profile.entropies)
    logits[: len(low), :, 0] = np.maximum(low - nearer, 0)
    return logits


def _entropy_of(distance: Integers) -> Floats:
    pair = np.zeros((*distance.shape, 2))
    pair[..., 0] = distance * PROFILE_SCALE
    return entropy(pair)


def _last_column(columns: str, n_columns: int) -> int:
    match = re.fullmatch(r"1-(\d+)", columns.strip())
    if match is None:
        raise ConfigError("--profile-columns", columns, "must be 1-N, the layers from the first", "Write 1-11")
    last = int(match[1])
    if not 1 <= last <= n_columns:
        requirement = f"the file has {n_columns} columns"
        raise ConfigError("--profile-columns", columns, requirement, f"Use at most 1-{n_columns}")
    return last


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _entropy(where: str, text: str) -> float:
    if not _is_number(text) or not 0 <= float(text) <= math.log(2) + _SLACK:
        requirement = "must be an entropy of two classes in nats, 0 .. 0.693"
        raise ConfigError(
            where, text.strip() or "(empty)", requirement, "Leave unusable columns out with --profile-columns"
        )
    return min(float(text), math.log(2))
