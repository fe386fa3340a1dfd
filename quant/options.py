"""Options as fields of records: name, type, default, legal values and help of each stand here and nowhere else.

A record of options is a frozen dataclass whose fields are made by `option`, or by `section` for a record inside it.
Command lines, TOML files, reference pages and calls from Python are made from `options_of` such a record.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from hexit.quant.errors import ConfigError
from hexit.quant.records import from_json, type_hints

Record = TypeVar("Record")

_OPTION, _PANEL = "option", "panel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option: `key` is its place in the record (``design.sequence_length``), `name` its name in Python.

    `panel` is the title under which help shows it. `least`: the smallest legal number. `local`: says where results go
    and what is shown, not what they are. `example`: set for a positional argument. `required`: there is no default.
    """

    key: str
    flag: str
    kind: Any
    default: Any
    help: str
    panel: str
    least: float | None
    local: bool
    example: str
    off_flag: str
    metavar: str

    @property
    def name(self) -> str:
        """The name as a Python identifier: --seq-len is seq_len."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is dataclasses.MISSING

    @property
    def choices(self) -> tuple[str, ...]:
        """The legal values where they can be listed."""
        return tuple(typing.get_args(self.plain_kind)) if typing.get_origin(self.plain_kind) is Literal else ()

    @property
    def plain_kind(self) -> Any:
        """The type of a value that is not None."""
        if typing.get_origin(self.kind) not in (types.UnionType, typing.Union):
            return self.kind
        return next(kind for kind in typing.get_args(self.kind) if kind is not type(None))


class Checked:
    """Base of records of options: legal values are checked when one is built."""

    __slots__ = ()

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that is none of the choices or too small."""
        record: Any = type(self)
        for field, one in _own_options(record):
            _check(one, getattr(self, field))


def option(
    default: Any = dataclasses.MISSING,
    *,
    help: str,  # the word of every command line
    flag: str = "",
    panel: str = "",
    least: float | None = None,
    local: bool = False,
    example: str = "",
    off_flag: str = "",
    metavar: str = "",
) -> Any:
    """Return a dataclass field that is an option; the flag is that of the field's name where none is given."""
    written = {"help": help, "flag": flag, "panel": panel, "least": least, "local": local}
    written |= {"example": example, "off_flag": off_flag, "metavar": metavar}
    return dataclasses.field(default=default, metadata={_OPTION: written})


def section(record: type[Record], panel: str = "") -> Record:
    """Return a dataclass field that holds a record of options, shown in help under `panel`."""
    required = any(one.required for one in options_of(record))
    default: Any = {} if required else {"default": record()}
    return typing.cast(Record, dataclasses.field(**default, metadata={_PANEL: panel}))


def options_of(record: Any) -> tuple[Option, ...]:
    """Return the options of a record and of its sections, in the order in which they are written."""
    return _all_options(record)


@functools.cache
def _all_options(record: Any) -> tuple[Option, ...]:
    found: list[Option] = []
    kinds = type_hints(record)
    own = dict(_own_options(record))
    for field in dataclasses.fields(record):
        if field.name in own:
            found.append(own[field.name])
        elif _PANEL in field.metadata:
            found += [
                dataclasses.replace(one, key=f"{field.name}.{one.key}", panel=one.panel or field.metadata[_PANEL])
                for one in options_of(kinds[field.name])
            ]
    return tuple(found)


@functools.cache
def _own_options(record: Any) -> tuple[tuple[str, Option], ...]:
    kinds = type_hints(record)
    return tuple(
        (
            field.name,
            Option(
                key=field.name,
                kind=kinds[field.name],
                default=field.default,
                **(field.metadata[_OPTION] | {"flag": field.metadata[_OPTION]["flag"] or _flag(field.name)}),
            ),
        )
        for field in dataclasses.fields(record)
        if _OPTION in field.metadata
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _check(one: Option, value: Any) -> None:
    if value is None:
        return
    if one.choices and value not in one.choices:
        requirement = f"must be one of {', '.join(one.choices)}"
        raise ConfigError(one.flag, value, requirement, f"Try {one.flag} {one.choices[0]}")
    if one.least is not None and value < one.least:
        requirement = "must not be negative" if one.least == 0 else f"must be at least {one.least:g}"
        usual = one.default if isinstance(one.default, int | float) else one.least
        raise ConfigError(one.flag, value, requirement, f"Try {one.flag} {usual:g}")


def by_key(record: type[Record], named: Mapping[str, Any], command: str) -> dict[str, Any]:
    """Return values given by name (``seq_len``) as the nested table of their keys; ConfigError for an unknown name."""
    keys = {one.name: one.key for one in options_of(record)}
    table: dict[str, Any] = {}
    for name, value in named.items():
        if name not in keys:
            nearest = difflib.get_close_matches(name, keys, n=1, cutoff=0.0)[0]
            raise ConfigError(name, value, f"is not an option of {command}", f"Did you mean {nearest}")
        put(table, keys[name], value)
    return table


def put(table: dict[str, Any], key: str, value: Any) -> None:
    """Set `value` in a nested table under a key with dots; ConfigError where a value stands in the key's way."""
    *sections, last = key.split(".")
    for part in sections:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(key, value, f"has no place: {part} is not a section", "Correct the key")
    table[last] = value


def build(record: type[Record], named: Mapping[str, Any], command: str) -> Record:
    """Return the record with these options by name, defaults elsewhere.

    Raises ConfigError for a name that is none, a value of another type, and a value that is not legal.
    """
    for one in options_of(record):
        if one.choices and one.name in named:
            _check(one, named[one.name])
    try:
        return from_json(record, by_key(record, named, command), command)
    except ConfigError as error:  # what was given by its flag is named by its flag
        flags = {f"{command}.{one.key}": one.flag for one in options_of(record)}
        where = flags.get(error.where, error.where)
        raise ConfigError(where, error.value, error.requirement, error.remedy) from None
