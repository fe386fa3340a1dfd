"""Integer heads, and runs of them, as files: arrays in an npz archive, without pickle, whole or not at all.

Equal heads give equal bytes. A file that is missing, damaged or of another version is a ConfigError.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexit.quant.errors import ConfigError
from hexit.quant.files import write_whole
from hexit.quant.integer.head import (
    HeadRun,
    HeadScales,
    IntegerDense,
    IntegerHead,
    IntegerPooler,
    Requantisation,
    TanhTable,
)
from hexit.quant.traces.trace import DAMAGE, STORED

FORMAT_VERSION = 1  # raised whenever a record gets other fields
Arrays = Mapping[str, NDArray[Any]]


def save_heads(heads: tuple[IntegerHead, ...], path: Path, where: str = "--cache-dir") -> None:
    """Write heads to `path`; raise ConfigError where the place is not writable."""
    arrays: dict[str, Any] = {"n_heads": len(heads)}
    for index, head in enumerate(heads):
        arrays |= _arrays(head, f"{index}.")
    _write(arrays, path, where)


def load_heads(path: Path) -> tuple[IntegerHead, ...]:
    """Read what `save_heads` wrote."""
    arrays = _read(path)
    try:
        return tuple(_head(arrays, f"{index}.") for index in range(int(arrays["n_heads"])))
    except DAMAGE as error:
        raise _damaged(path, error) from error


def save_head_run(run: HeadRun, path: Path, where: str = "--cache-dir") -> None:
    """Write what entered the heads and left them to `path`; raise ConfigError where the place is not writable."""
    stored = {"inputs": run.inputs.astype(STORED), "logits": run.logits.astype(STORED)}
    _write({**stored, "logit_scale": run.logit_scale}, path, where)


def load_head_run(path: Path) -> HeadRun:
    """Read what `save_head_run` wrote."""
    arrays = _read(path)
    try:
        inputs, logits = (arrays[name].astype(np.int64, casting="safe") for name in ("inputs", "logits"))
        return HeadRun(inputs=inputs, logits=logits, logit_scale=float(arrays["logit_scale"].item()))
    except DAMAGE as error:
        raise _damaged(path, error) from error


def _arrays(record: Any, prefix: str) -> dict[str, Any]:
    """Return the arrays and numbers of a record by dotted name; a part that is None is left out."""
    arrays: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            arrays |= _arrays(value, f"{prefix}{field.name}.")
        elif value is not None:
            arrays[prefix + field.name] = value
    return arrays


def _head(arrays: Arrays, prefix: str) -> IntegerHead:
    pooler = None
    if f"{prefix}pooler.dense.weights" in arrays:
        pooler = IntegerPooler(
            dense=_part(IntegerDense, arrays, f"{prefix}pooler.dense."),
            requantisation=_part(Requantisation, arrays, f"{prefix}pooler.requantisation."),
            table=_part(TanhTable, arrays, f"{prefix}pooler.table."),
        )
    return IntegerHead(
        pooler=pooler,
        classifier=_part(IntegerDense, arrays, f"{prefix}classifier."),
        requantisation=_part(Requantisation, arrays, f"{prefix}requantisation."),
        scales=_part(HeadScales, arrays, f"{prefix}scales."),
    )


def _part(kind: Any, arrays: Arrays, prefix: str) -> Any:
    values = {field.name: arrays[prefix + field.name] for field in dataclasses.fields(kind)}
    return kind(**{name: value if value.ndim else value.item() for name, value in values.items()})


def _write(arrays: dict[str, Any], path: Path, where: str) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, version=FORMAT_VERSION, **arrays)
    write_whole(path, buffer.getvalue(), where)


def _read(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("one array, not an archive")
            if file["version"].item() != FORMAT_VERSION:
                raise ValueError(f"format {file['version'].item()}, this program reads {FORMAT_VERSION}")
            return dict(file)
    except FileNotFoundError:
        raise ConfigError(str(path), "(missing)", "is not a file", "Give the path of saved exit heads") from None
    except DAMAGE as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ConfigError:
    return ConfigError(str(path), str(error), "is no file of exit heads, or a damaged one", "Delete it and run again")
