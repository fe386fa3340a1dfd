"""The area of published accelerators beside what this model says of a design that describes them.

    estimate = sum over the units that are compared of `area.estimate.estimate` of that design

The rows of `published_areas.toml` say of every figure whether something was fitted to it. Not compared: block RAM of
accelerators whose buffer sizes are not published.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.area.estimate import estimate
from hexit.hw_model.area.resources import KINDS, Kind, Resources
from hexit.hw_model.area.units import ArrayBasis
from hexit.hw_model.design_files import load_design
from hexit.hw_model.device import load_device
from hexit.hw_model.toml_files import read_toml
from hexit.quant.config import QuantConfig
from hexit.quant.records import from_json, to_json
from hexit.quant.shapes import SHAPES
from hexit.quant.workload import encoder_workload

PUBLISHED_AREAS = Path(__file__).parents[1] / "published_areas.toml"
SEQUENCE_LENGTH = 128  # tokens; of the widths of sums and of partial sums alone
ACTIVATION_BITS = 8

Role = Literal["check", "fit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFigure:
    """A published count; `fit` where a constant of the model or of the design was chosen by it."""

    kind: Kind
    published: int
    role: Role
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedArea:
    """An accelerator: the shipped design that describes it with `changes`, the units compared, and its figures."""

    name: str
    title: str
    paper: str
    source: str
    design: str
    changes: dict[str, Any] = field(default_factory=dict)
    network: str
    weight_bits: int
    of: tuple[str, ...]
    figures: tuple[PublishedFigure, ...]

    @property
    def accelerator(self) -> Accelerator:
        """The design with its changes."""
        return from_json(Accelerator, to_json(load_design(self.design)) | self.changes, f"{self.name}.changes")


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaRow:
    """One figure and the model's; `basis` says where the LUTs and flip-flops of the array come from."""

    area: PublishedArea
    figure: PublishedFigure
    basis: ArrayBasis
    estimated: int

    @property
    def error_fraction(self) -> float:
        """How much more the model says than was published."""
        return self.estimated / self.figure.published - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaErrors:
    """Errors of one kind of resource as fractions, fitted figures left out; `worst` names the accelerator."""

    kind: Kind
    n: int
    n_exact: int
    median_error_fraction: float
    worst_error_fraction: float
    worst: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaTrust:
    """How far published figures bear out resources: errors by kind, and how many figures are fitted and say nothing."""

    errors: tuple[AreaErrors, ...]
    n_fitted: int


@functools.cache
def published_areas(path: Path = PUBLISHED_AREAS) -> tuple[PublishedArea, ...]:
    """Return the accelerators of a file."""
    rows = read_toml(path, "published areas")["accelerators"]
    return tuple(from_json(PublishedArea, row, where=path.name) for row in rows)


def area_rows(areas: Iterable[PublishedArea]) -> tuple[AreaRow, ...]:
    """Return every figure of some accelerators with the model's."""
    return tuple(row for area in areas for row in _rows(area))


def _rows(area: PublishedArea) -> Iterable[AreaRow]:
    quant = QuantConfig(weight_bits=area.weight_bits, activation_bits=ACTIVATION_BITS)
    design = area.accelerator
    found = estimate(encoder_workload(SHAPES[area.network], quant, SEQUENCE_LENGTH), design, load_device(design.device))
    total = sum((found.parts[unit] for unit in area.of), start=Resources())
    for figure in area.figures:
        yield AreaRow(area=area, figure=figure, basis=found.array_basis, estimated=getattr(total, figure.kind))


def area_trust(rows: Iterable[AreaRow]) -> AreaTrust:
    """Count the errors of rows by kind of resource."""
    rows = tuple(rows)
    checks = [row for row in rows if row.figure.role == "check"]
    counted = Counter(row.figure.kind for row in checks)
    return AreaTrust(
        errors=tuple(_errors(kind, checks) for kind in KINDS if counted[kind]), n_fitted=len(rows) - len(checks)
    )


def _errors(kind: Kind, checks: Iterable[AreaRow]) -> AreaErrors:
    found = [row for row in checks if row.figure.kind == kind]
    largest = max(found, key=lambda row: abs(row.error_fraction))
    return AreaErrors(
        kind=kind,
        n=len(found),
        n_exact=sum(row.error_fraction == 0 for row in found),
        median_error_fraction=median(abs(row.error_fraction) for row in found),
        worst_error_fraction=abs(largest.error_fraction),
        worst=largest.area.name,
    )


@functools.cache
def published_area_trust() -> AreaTrust:
    """Return the trust in resources by the shipped rows."""
    return area_trust(area_rows(published_areas()))
