"""How far published figures bear out cycles and area of this model, counted from the rows and not worded by hand.

A figure is *independent* where nothing was fitted to the paper that it comes from, *of a fitted paper* where a constant
was chosen by another figure of that paper, and *fitted* where a constant was chosen by it: that last kind shows
nothing. What is not counted: papers whose accelerator could not be configured from what is readable.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import median

from hexit.hw_model.area.published import AreaErrors, AreaTrust
from hexit.hw_model.evidence import EvidenceKind
from hexit.sim.published.validation import Validation, validate

KIND_NAMES: dict[str, str] = {
    "rtl": "RTL",
    "hls_report": "HLS report",
    "board": "board",
    "simulator": "another simulator",
    "reported": "reported",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureErrors:
    """Published figures of one sort: how many, of which kind, how many exact, and errors as fractions.

    `worst` names design and figure of the largest error, None where all are exact or there is none.
    """

    n: int
    n_exact: int
    kinds: dict[str, int]
    median_error_fraction: float
    worst_error_fraction: float
    worst: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Figures by what was fitted to them; `unfitted` are all of fitted papers, predicted with nothing fitted to any.

    `unfitted_worst_fraction`: the largest of these errors for each kind of evidence.
    """

    independent: FigureErrors
    of_fitted_papers: FigureErrors
    fitted: FigureErrors
    unfitted: FigureErrors
    unfitted_worst_fraction: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figure:
    name: str
    paper: str
    kind: EvidenceKind
    fitted: bool
    error: float
    unfitted_error: float | None


def trust(validation: Validation) -> Trust:
    """Sort and count every figure of a validation."""
    figures = [
        _Figure(
            name=f"{one.design.name}, {row.of}",
            paper=one.design.paper or one.design.name,
            kind=row.kind,
            fitted=row.role == "fit",
            error=abs(row.error_fraction),
            unfitted_error=None if row.unfitted_error_fraction is None else abs(row.unfitted_error_fraction),
        )
        for one in validation.designs
        for row in one.rows
        if row.unit != "mW"
    ]
    fitted_papers = {figure.paper for figure in figures if figure.fitted}
    checks = [figure for figure in figures if not figure.fitted]
    unfitted = [replace(figure, error=figure.unfitted_error) for figure in figures if figure.unfitted_error is not None]
    return Trust(
        independent=_errors(figure for figure in checks if figure.paper not in fitted_papers),
        of_fitted_papers=_errors(figure for figure in checks if figure.paper in fitted_papers),
        fitted=_errors(figure for figure in figures if figure.fitted),
        unfitted=_errors(unfitted),
        unfitted_worst_fraction={
            kind: max(figure.error for figure in unfitted if figure.kind == kind)
            for kind in sorted({figure.kind for figure in unfitted})
        },
    )


@functools.cache
def published_trust() -> Trust:
    """Return the trust in the published designs, which takes a quarter of a second the first time."""
    return trust(published_validation())


@functools.cache
def published_validation() -> Validation:
    """Return the validation of all published designs, computed once."""
    return validate()


def share_text(validation: Validation, *, unit: str | None = None, with_memory: bool | None = None) -> str:
    """Return how far figures of one sort (power, times with memory) are met: checks by size, fitted ones counted."""
    rows = [
        (one.design.name, row)
        for one in validation.designs
        for row in one.rows
        if (unit is None or row.unit == unit) and (with_memory is None or row.with_memory == with_memory)
    ]
    errors = ", ".join(f"{name} {row.error_fraction:+.1%}" for name, row in rows if row.role == "check")
    return f"{errors or 'no figure'}, {sum(row.role == 'fit' for _, row in rows)} fitted left out"


def trust_text(found: Trust) -> str:
    """Return the counts in one sentence."""
    text = f"{_text(found.independent)}, of papers with nothing fitted"
    if found.of_fitted_papers.n:
        text += f"; {_text(found.of_fitted_papers)}, of fitted papers"
    if found.unfitted.n:
        worst = ", ".join(
            f"{KIND_NAMES[kind]} {100 * error:.1f} %" for kind, error in found.unfitted_worst_fraction.items()
        )
        text += f" (unfitted: worst {worst})"
    return f"{text}; {found.fitted.n} fitted left out"


def area_trust_text(found: AreaTrust) -> str:
    """Return how far resources are from published ones, kind by kind, in one sentence."""
    kinds = ", ".join(_kind_text(errors) for errors in found.errors) or "none"
    return f"published, median/worst %: {kinds}; {found.n_fitted} fitted left out"


def _kind_text(errors: AreaErrors) -> str:
    name, middle, worst = errors.kind.upper(), 100 * errors.median_error_fraction, 100 * errors.worst_error_fraction
    return f"{name} {middle:.1f}/{worst:.1f} ({errors.n})"


def _errors(figures: Iterable[_Figure]) -> FigureErrors:
    found = list(figures)
    largest = max(found, key=lambda figure: figure.error, default=None)
    return FigureErrors(
        n=len(found),
        n_exact=sum(figure.error == 0 for figure in found),
        kinds={kind: n for kind, n in sorted(Counter(figure.kind for figure in found).items())},
        median_error_fraction=median([figure.error for figure in found]) if found else 0.0,
        worst_error_fraction=largest.error if largest is not None else 0.0,
        worst=largest.name if largest is not None and largest.error else None,
    )


def _text(errors: FigureErrors) -> str:
    if not errors.n:
        return "no figures"
    kinds = ", ".join(f"{KIND_NAMES[kind]} {n}" for kind, n in errors.kinds.items())
    text = f"{errors.n} figures ({kinds})"
    if errors.worst is None:
        return f"{text}, all exact"
    median_error, worst = 100 * errors.median_error_fraction, 100 * errors.worst_error_fraction
    middle = f", median {median_error:.1f} %" if errors.median_error_fraction else ""
    return f"{text}, {errors.n_exact} exact{middle}, worst {worst:.1f} % ({errors.worst})"
