"""Size and resolution of the tables of an exit unit; without numpy, so that a command line loads at once."""

from __future__ import annotations

from dataclasses import dataclass

from hexit.quant.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFormat:
    """Size and resolution of the tables: at most 2^address_bits entries, values in steps of 2^-fraction_bits."""

    address_bits: int = 12
    fraction_bits: int = 16

    def __post_init__(self) -> None:
        """Reject tables that are useless or do not fit the 64-bit arithmetic of `quant.exits.integer_rule`."""
        for name, low, high in (("address_bits", 4, 16), ("fraction_bits", 4, 20)):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"table {name}", getattr(self, name), f"must be {low}..{high}", "The default is good")
