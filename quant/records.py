"""Frozen records to plain JSON values and back.

The type annotations of a record are its schema: reading back rejects unknown keys, missing keys and
values of another type, so a file that loads is a file that was meant. A field that may hold records of several classes
says which in a key "kind". A path is its text. Not handled: numpy arrays (`ExitTrace` has its own file format).
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from hexit.quant.errors import ConfigError

Record = TypeVar("Record")

KIND = "kind"  # key that names the class of a record where a field allows several


def to_json(value: Any) -> Any:
    """Return the JSON value (dict, list, number, string, bool, None) that stands for a record."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            name: _tagged(item) if several else to_json(item)
            for name, several in _several(type(value)).items()
            for item in [getattr(value, name)]
        }
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    return str(value) if isinstance(value, Path) else value


def content_hash(content: Mapping[str, object]) -> str:
    """Return the SHA-256, in hexadecimal, of records and JSON values; keys count by name, not by order.

    >>> content_hash({"data": "ab", "bits": 8}) == content_hash({"bits": 8, "data": "ab"})
    True
    """
    text = json.dumps(to_json(dict(content)), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def type_hints(cls: Any) -> dict[str, Any]:
    """Return the types of a record's fields by name."""
    return _type_hints(cls)


_type_hints = functools.cache(typing.get_type_hints)


@functools.cache
def _several(cls: Any) -> dict[str, bool]:
    """Return, by field, whether it may hold records of more than one class."""
    hints = type_hints(cls)
    return {field.name: len(_records(hints[field.name])) > 1 for field in dataclasses.fields(cls)}


def _records(hint: Any) -> dict[str, Any]:
    return {
        kind.__name__: kind
        for kind in typing.get_args(hint)
        if dataclasses.is_dataclass(kind) and isinstance(kind, type)
    }


def _tagged(value: Any) -> Any:
    return None if value is None else {KIND: type(value).__name__, **to_json(value)}


def from_json(cls: type[Record], value: Any, where: str = "") -> Record:
    """Rebuild a record of class `cls` from its JSON value.

    `where` names the source in error messages. Raises ConfigError for unknown or missing keys and wrong types.
    """
    where = where or cls.__name__
    if not isinstance(value, dict):
        raise ConfigError(where, value, f"must be a table of the keys of {cls.__name__}", "Write key = value pairs")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = type_hints(cls)
    for key in value:
        if key not in fields:
            nearest = difflib.get_close_matches(key, fields, n=1, cutoff=0.0)[0]
            remedy = f"Known keys: {', '.join(fields)}. Did you mean {nearest}"
            raise ConfigError(f"{where}.{key}", value[key], "is not a known key", remedy)
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in value:
            raise ConfigError(f"{where}.{name}", "(missing)", "is required", f"Add a line {name} = VALUE")
    return cls(**{key: _convert(hints[key], item, f"{where}.{key}") for key, item in value.items()})


def _convert(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        if value not in arguments:
            raise ConfigError(where, value, f"must be one of {', '.join(map(str, arguments))}", "Pick one of these")
        return value
    if origin in (types.UnionType, typing.Union):
        return _convert_union(kind, arguments, value, where)
    if origin is tuple:
        return _convert_tuple(arguments, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(where, value, "must be a table", "Write key = value pairs")
        return {key: _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return from_json(kind, value, where)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    if kind is not Any and type(value) is not kind:
        raise ConfigError(where, value, f"must be of type {getattr(kind, '__name__', kind)}", "Correct the value")
    return value


def _convert_union(kind: Any, arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if len(records := _records(kind)) > 1 and value is not None:
        return _convert_tagged(records, value, where)
    if type(value) in arguments:
        return value
    return _convert(next(a for a in arguments if a is not type(None)), value, where)


def _convert_tagged(records: dict[str, Any], value: Any, where: str) -> Any:
    name = value.get(KIND) if isinstance(value, dict) else None
    if name not in records:
        raise ConfigError(f"{where}.{KIND}", name, f"must be one of {', '.join(records)}", "Pick one of these")
    return from_json(records[name], {key: item for key, item in value.items() if key != KIND}, where)


def _convert_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(where, value, "must be a list", "Write it as [a, b, ...]")
    kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
    if len(value) != len(kinds):
        raise ConfigError(where, value, f"must be a list of {len(kinds)}", "Correct the list")
    return tuple(_convert(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))
