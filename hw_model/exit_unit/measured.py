"""Exit units whose area was measured: a row per unit, written by `benchmarks/exit_units.py --write`, by nothing else.

A row says which unit it is (the arguments of `exit_unit_spec`), what Yosys made of its RTL for UltraScale+ (`xcup`) and
7-series (`xc7`), by which release. `unit` is a digest of the unit's integers, by which a spec finds its row whatever
its rule is called; `rtl` is one of the sources that were synthesised, so that a row of older sources is noticed.

Not modelled: placement and routing; the same counts from a vendor's tool are usually lower.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from hexit.hw_model.area.resources import Resources
from hexit.hw_model.measured_rows import read_rows, save_rows
from hexit.quant.exits.rules import parse_rule
from hexit.quant.exits.table_format import TableFormat
from hexit.quant.exits.unit import ExitUnitSpec, exit_unit_spec
from hexit.quant.records import to_json

MEASURED_UNITS = Path(__file__).parents[1] / "measured" / "exit_units.json"
DIGEST_HEX = 16  # characters; a chance of 2^-64 that two units share one


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRecipe:
    """The arguments of `exit_unit_spec`, every layer with its exit; a logit is an integer of `logit_bits` x `scale`."""

    rule: str
    n_classes: int
    logit_bits: int
    scale: float
    n_layers: int
    n_slots: int
    confidence: bool
    address_bits: int
    fraction_bits: int

    @property
    def spec(self) -> ExitUnitSpec:
        """The unit that is meant."""
        return exit_unit_spec(
            parse_rule(self.rule),
            n_layers=self.n_layers,
            n_classes=self.n_classes,
            scale=self.scale,
            logit_bits=self.logit_bits,
            n_slots=self.n_slots,
            confidence=self.confidence,
            tables=TableFormat(address_bits=self.address_bits, fraction_bits=self.fraction_bits),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredUnit:
    """One measured unit; carries, levels and delay are those of `xcup` (hls.tools.yosys says what they count).

    `xc7` is None where UltraScale+ alone was synthesised.
    """

    recipe: UnitRecipe
    latency_cycles: int
    initiation_interval_cycles: int
    xcup: Resources
    xc7: Resources | None
    carry: int
    logic_levels: int
    delay_ps: int
    tool: str
    unit: str
    rtl: str

    @property
    def resources(self) -> Resources:
        """LUTs and flip-flops of UltraScale+; DSPs and block RAMs of 7-series, which Yosys maps more reliably."""
        memories = self.xc7 or self.xcup
        return dataclasses.replace(self.xcup, dsp=memories.dsp, bram18=memories.bram18)


def unit_digest(spec: ExitUnitSpec) -> str:
    """Return a digest of everything that the hardware of a unit depends on: not the rule's name, not the scale."""
    anonymous = dataclasses.replace(spec, rule="", form=dataclasses.replace(spec.form, rule="", scale=1.0))
    text = json.dumps(to_json(anonymous)).replace('"evaluated_layers"', '"exit_layers"')  # its name in the rows
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_HEX]


@functools.cache
def measured_units(path: Path = MEASURED_UNITS) -> tuple[MeasuredUnit, ...]:
    """Return the rows of a file; ConfigError where it is missing or damaged."""
    return read_rows(MeasuredUnit, path, where="measured exit units", written_by="benchmarks/exit_units.py --write")


def save_measured_units(rows: tuple[MeasuredUnit, ...], path: Path = MEASURED_UNITS) -> None:
    """Write rows, one per line; equal rows give equal bytes."""
    save_rows(rows, path)


def find_measured(spec: ExitUnitSpec) -> MeasuredUnit | None:
    """Return the row of this very unit, or None."""
    return _by_digest().get(unit_digest(spec))


@functools.cache
def _by_digest() -> dict[str, MeasuredUnit]:
    return {row.unit: row for row in measured_units()}
