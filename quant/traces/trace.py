"""The integer logits of every exit for every sample, recorded once and replayed ever after.

The network runs once per (checkpoint, bit widths, data). Every exit rule, threshold, design and arrival pattern after
that is arithmetic on the trace:

    real logit [layer, sample, class] = scale * logits[layer, sample, class]

The integers are those of a simulation in float32 (quant/quantisation/layers.py says how far that is from hardware);
what decides on them is exact.

One scale serves all exits, so that logits of different layers compare as integers. A file is written whole and then
renamed; its name in a cache comes from `trace_key`, a hash of everything that the numbers depend on.

Not recorded: hidden states, attention, the text itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hexit.quant.arrays import Floats, Integers
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.records import content_hash, from_json, to_json

FORMAT_VERSION = 1
UNLABELLED = -1
STORED = np.int32  # of integers in a file: half the bytes, and no logit has more bits

# What numpy and zipfile raise on bytes that are not theirs.
DAMAGE = (
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
_ARRAYS = ("logits", "scale", "labels", "lengths", "origin", "version")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOrigin:
    """Where a trace came from: hashes of checkpoint and data, their names, and the bit widths.

    `quant` is None where no quantised network of ours ran: a float source or a published profile. `n_truncated`
    counts the samples that were cut to the model's maximum length.
    """

    checkpoint_hash: str
    model: str
    data: str
    data_hash: str
    quant: QuantConfig | None
    n_truncated: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExitTrace:
    """Integer logits of every exit of every sample, with labels, lengths in tokens, and origin.

    `logits` int64 [n_layers, n_samples, n_classes] of at most 32 bits, one class for regression; `labels` int64, or
    float64 for regression, [n_samples], -1 where unlabelled; `lengths` int32 [n_samples]. `scale` must be a float32
    number: then scale * integer is exact in float64, and the integer exit rules equal the real ones.
    """

    logits: Integers
    scale: float
    labels: Integers | Floats
    lengths: NDArray[np.int32]
    origin: TraceOrigin

    def __post_init__(self) -> None:
        """Reject arrays whose shapes, types or values contradict each other."""
        if self.logits.ndim != 3 or 0 in self.logits.shape:
            _reject("logits", "x".join(map(str, self.logits.shape)), "must be n_layers x n_samples x n_classes, not 0")
        for name, array, kind in (
            ("logits", self.logits, np.int64),
            ("labels", self.labels, np.float64 if self.n_classes == 1 else np.int64),
            ("lengths", self.lengths, np.int32),
        ):
            if array.dtype != kind:
                _reject(name, str(array.dtype), f"must be {np.dtype(kind)} with {self.n_classes} classes")
            if name != "logits" and array.shape != (self.n_samples,):
                _reject(name, array.shape, f"must be one number for each of the {self.n_samples} samples")
        if (self.logits != self.logits.astype(STORED)).any():
            _reject("logits", int(np.abs(self.logits).max()), "must fit 32 bits")
        if not (0 < self.scale < float("inf") and float(np.float32(self.scale)) == self.scale):
            _reject("scale", self.scale, "must be a positive float32 number, as float(numpy.float32(x)) is")
        if self.n_classes > 1 and not ((self.labels >= UNLABELLED) & (self.labels < self.n_classes)).all():
            _reject("labels", self.labels.max(), f"must be classes 0..{self.n_classes - 1}, or -1 where unknown")
        if (self.lengths < 1).any():
            _reject("lengths", self.lengths.min(), "must be at least 1 token")

    @property
    def n_layers(self) -> int:
        """Number of layers, each with an exit."""
        return int(self.logits.shape[0])

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.logits.shape[1])

    @property
    def n_classes(self) -> int:
        """Number of classes; 1 means regression."""
        return int(self.logits.shape[2])

    @property
    def labelled(self) -> bool:
        """Whether every sample has a label; real values always count as labels, -1 too."""
        return self.n_classes == 1 or not bool((self.labels == UNLABELLED).any())

    @property
    def content_hash(self) -> str:
        """SHA-256 of logits and scale."""
        return hashlib.sha256(self.logits.astype(STORED).tobytes() + repr(self.scale).encode()).hexdigest()

    @property
    def real_logits(self) -> Floats:
        """The logits as real numbers, scale * integer, in float64 (exact for logits of up to 24 bits)."""
        return np.asarray(self.logits * np.float64(self.scale))


def trace_key(content: Mapping[str, object]) -> str:
    """Return the hash of everything that a trace depends on, the format of its file included."""
    return content_hash({"format": FORMAT_VERSION, **content})


def save_trace(trace: ExitTrace, path: Path) -> None:
    """Write a trace to `path`: whole, or not at all. Equal traces give equal bytes.

    Raises ConfigError where the folder cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    except OSError as error:
        raise ConfigError(str(path), error.strerror, "cannot be written", "Choose another folder") from error
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(
                file,
                allow_pickle=False,
                logits=trace.logits.astype(STORED),
                scale=np.float64(trace.scale),
                labels=trace.labels,
                lengths=trace.lengths,
                origin=np.array(json.dumps(to_json(trace.origin), sort_keys=True)),
                version=np.int64(FORMAT_VERSION),
            )
        part.replace(path)
    except OSError as error:
        raise ConfigError(str(path), error.strerror, "cannot be written", "Free space, or another folder") from error
    finally:
        part.unlink(missing_ok=True)


def load_trace(path: Path) -> ExitTrace:
    """Read a trace that `save_trace` wrote; raise ConfigError for a file that is missing, damaged or not a trace."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("one array, not an archive")
            arrays = {name: file[name] for name in _ARRAYS}
        if arrays["version"].item() != FORMAT_VERSION:
            raise ValueError(f"format {arrays['version'].item()}, this program reads {FORMAT_VERSION}")
        return ExitTrace(
            logits=arrays["logits"].astype(np.int64, casting="safe"),
            scale=float(arrays["scale"].item()),
            labels=arrays["labels"],
            lengths=arrays["lengths"],
            origin=from_json(TraceOrigin, json.loads(str(arrays["origin"].item()))),
        )
    except FileNotFoundError:
        raise ConfigError(str(path), "(missing)", "is not a file", "Give the path of a saved trace") from None
    except DAMAGE as error:
        remedy = "Delete it and record the trace again"
        raise ConfigError(str(path), str(error), "is not a trace, or a damaged one", remedy) from error


def _reject(field: str, value: object, requirement: str) -> None:
    raise ConfigError(f"trace {field}", value, requirement, "Record the trace again")
