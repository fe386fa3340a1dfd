"""How fast a part can be clocked: what its hard blocks allow, and what published accelerators as full as this reached.

    highest clock = min(clock tree, DSP slices, block RAM, UltraRAM), of the blocks that a design uses

by the data sheet of the part's speed grade (`speed_grades.toml`), which the part number tells. No logic runs faster;
most runs slower, the fuller the part the slower, and neither routing nor the logic between registers is modelled. So
beside the limit stands the fastest of the published accelerators that fill at least as much (`published_clocks.toml`):
a clock above it is one that nobody is known to have reached.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from hexit.hw_model.area.resources import KINDS, Resources, available
from hexit.hw_model.device import Device, Family
from hexit.hw_model.toml_files import read_toml
from hexit.quant.errors import ConfigError
from hexit.quant.records import from_json

SPEED_GRADES = Path(__file__).parents[1] / "speed_grades.toml"
PUBLISHED_CLOCKS = Path(__file__).parents[1] / "published_clocks.toml"
_GRADE = re.compile(r"-(\d)(LV|L)?(?:-|$)")  # of a part number: xck26-sfvc784-2LV-c, xc7z020clg400-1


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedGrade:
    """Highest clocks of one family's grade, MHz; `uram_mhz` is None where the family has no UltraRAM."""

    dsp_mhz: float
    bram_mhz: float
    clock_tree_mhz: float
    uram_mhz: float | None = None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedClock:
    """An accelerator that ran: its clock, and the largest share of any kind of resource of its part."""

    name: str
    family: Family
    clock_mhz: float
    fill_fraction: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockLimit:
    """What bounds a design's clock; None where the part's speed grade is not known, or nothing as full was published.

    `fill_fraction` is the largest share of any kind of resource; `published` the fastest accelerator at least as full.
    """

    highest_mhz: float | None
    limited_by: str | None
    source: str | None
    fill_fraction: float
    published: PublishedClock | None


def speed_grade(device: Device) -> SpeedGrade | None:
    """Return the grade that a part number tells; None for a grade that the file does not have.

    Low-power grades of 0.85 V (2L of the Alveo cards) are as fast as those without the letter.
    """
    found = _GRADE.search(device.part)
    if found is None:
        return None
    number, letters = found.groups(default="")
    return _grades().get((device.family, number + (letters if letters == "LV" else "")))


def clock_limit(device: Device, used: Resources) -> ClockLimit:
    """Return what bounds the clock of a design that takes `used` of a part."""
    has, grade = available(device), speed_grade(device)
    fill = max(getattr(used, kind) / getattr(has, kind) for kind in KINDS if getattr(has, kind))
    fuller = [one for one in _published() if one.family == device.family and one.fill_fraction >= fill]
    published = max(fuller, key=lambda one: one.clock_mhz, default=None)
    if grade is None:
        return ClockLimit(highest_mhz=None, limited_by=None, source=None, fill_fraction=fill, published=published)
    blocks = [(grade.clock_tree_mhz, "the clock tree")]
    blocks += [(grade.dsp_mhz, "DSP slices")] if used.dsp else []
    blocks += [(grade.bram_mhz, "block RAM")] if used.bram18 else []
    blocks += [(grade.uram_mhz, "UltraRAM")] if used.uram and grade.uram_mhz is not None else []
    highest, block = min(blocks)
    return ClockLimit(
        highest_mhz=highest, limited_by=block, source=grade.source, fill_fraction=fill, published=published
    )


def check_clock(clock_mhz: float, device: Device, used: Resources) -> None:
    """Raise ConfigError for a clock that a hard block of the part cannot follow."""
    limit = clock_limit(device, used)
    if limit.highest_mhz is not None and clock_mhz > limit.highest_mhz:
        requirement = (
            f"is more than the {limit.highest_mhz:g} MHz of {limit.limited_by} of {device.part} ({limit.source})"
        )
        remedy = "Lower it" + (
            f"; the fastest published accelerator as full runs at {limit.published.clock_mhz:g} MHz"
            if limit.published
            else ""
        )
        raise ConfigError("--clock-mhz", f"{clock_mhz:g}", requirement, remedy)


@functools.cache
def _grades() -> dict[tuple[str, str], SpeedGrade]:
    table = read_toml(SPEED_GRADES, "speed grades")
    return {
        (family, grade): from_json(SpeedGrade, values, where=f"{SPEED_GRADES.name}.{family}.{grade}")
        for family, grades in table.items()
        for grade, values in grades.items()
    }


@functools.cache
def _published() -> tuple[PublishedClock, ...]:
    rows = read_toml(PUBLISHED_CLOCKS, "published clocks")["accelerators"]
    return tuple(from_json(PublishedClock, row, where=PUBLISHED_CLOCKS.name) for row in rows)
