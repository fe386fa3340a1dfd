"""What a user may set of an exit rule: each field with its type, default, legal values and meaning."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from hexit.quant.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One field of a rule as a user meets it: its type, default, legal values and meaning."""

    name: str
    kind: Literal["float", "int", "choice"]
    default: float | int | str
    help: str
    low: float = 0.0
    high: float = 0.0
    low_open: bool = False
    high_open: bool = False
    choices: tuple[str, ...] = ()

    @property
    def legal(self) -> str:
        """The legal values in words, e.g. ``a number above 0 and up to 1``."""
        if self.kind == "choice":
            return f"one of {', '.join(self.choices)}"
        low = f"above {self.low:g}" if self.low_open else f"at least {self.low:g}"
        high = f"below {self.high:g}" if self.high_open else f"at most {self.high:g}"
        return f"{'a whole number' if self.kind == 'int' else 'a number'} {low} and {high}"

    def legal_value(self, value: object) -> bool:
        """Whether `value` is legal."""
        if self.kind == "choice":
            return isinstance(value, str) and value in self.choices
        return (
            isinstance(value, int if self.kind == "int" else int | float)
            and not isinstance(value, bool)
            and (self.low < value if self.low_open else self.low <= value)
            and (value < self.high if self.high_open else value <= self.high)
        )

    def check(self, where: str, value: object) -> None:
        """Raise ConfigError at `where` unless `value` is legal."""
        if not self.legal_value(value):
            raise ConfigError(where, value, f"must be {self.legal}", f"The default is {self.default}")

    def read(self, where: str, text: str) -> float | int | str:
        """Return the value that `text` spells, checked; raise ConfigError at `where` for anything else."""
        value: float | int | str = text
        if self.kind != "choice":
            try:
                value = int(text) if self.kind == "int" else float(text)
            except ValueError:
                raise ConfigError(where, text, f"must be {self.legal}", f"The default is {self.default}") from None
        self.check(where, value)
        return value


def ranged(default: Any, low: float, high: float, help: str, *, low_open: bool = False, high_open: bool = False) -> Any:
    """Return a dataclass field that is a number within bounds, with its meaning."""
    bounds = {"low": low, "high": high, "low_open": low_open, "high_open": high_open}
    return dataclasses.field(default=default, metadata={"help": help, **bounds})
