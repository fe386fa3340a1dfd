"""What is said of the model's cycles is counted from the validation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hexit.hw_model.design_files import list_published, load_design
from hexit.hw_model.evidence import Expected
from hexit.sim.published.trust import published_trust, trust, trust_text
from hexit.sim.published.validation import Validation, validate, validate_design


def test_every_figure_is_counted_once() -> None:
    found, rows = published_trust(), [row for one in validate().designs for row in one.rows if row.unit != "mW"]
    sorts = (found.independent, found.of_fitted_papers, found.fitted)
    assert sum(sort.n for sort in sorts) == len(rows)
    assert sum(sort.n_exact for sort in sorts) == sum(row.error_fraction == 0 for row in rows)
    assert all(sum(sort.kinds.values()) == sort.n for sort in sorts)
    assert found.fitted.n == sum(row.role == "fit" for row in rows)


def test_a_fit_speaks_for_all_designs_of_its_paper() -> None:
    """FQ-BERT: one board figure fitted, the two others are no independent evidence."""
    names = ("fq-bert-zcu102-8x16", "fq-bert-zcu102-16x8", "fq-bert-zcu111-16x16", "buck008-ws-rtl")
    found = trust(validate(names))
    assert (found.fitted.n, found.of_fitted_papers.n) == (1, 2)
    assert (found.independent.kinds, found.of_fitted_papers.kinds) == ({"rtl": 7}, {"board": 2})
    assert found.of_fitted_papers.worst == "fq-bert-zcu102-16x8, network"
    assert found.of_fitted_papers.worst_error_fraction == pytest.approx(0.0285, abs=1e-4)
    assert found.independent.worst is None


@pytest.mark.parametrize("name", list_published())
def test_every_published_design_says_what_its_figures_come_from(name: str) -> None:
    design = load_design(name)
    assert design.paper
    assert design.kind in {"rtl", "hls_report", "board", "simulator"} or design.paper == "lu-socc2020"


def test_the_sentence_follows_the_figures() -> None:
    design = load_design("lu-socc2020-mha")
    cycles = validate_design(design).cycles.layer_cycles
    figures = [
        Expected(of="layer", cycles=round(cycles * factor), tolerance_fraction=0.5) for factor in (1, 1, 0.8, 1.25)
    ]

    def text(*expected: Expected) -> str:
        one = validate_design(replace(design, expected=expected))
        return trust_text(trust(Validation(schema="", schema_version=1, designs=(one,))))

    exact = text(*figures[:2])
    assert exact.startswith("2 figures (reported 2), all exact, of papers with nothing fitted; 0 fitted left")
    assert "4 figures (reported 4), 2 exact, median 10.0 %, worst 25.0 % (lu-socc2020-mha, layer)" in text(*figures)
    fitted = text(*figures[:3], replace(figures[3], role="fit"))
    assert fitted.startswith("no figures, of papers with nothing fitted; 3 figures (reported 3), 2 exact, worst 25.0")
    assert "worst 25.0 % (lu-socc2020-mha, layer), of fitted papers; 1 fitted left out" in fitted
    assert "(board 1, reported 1)" in text(replace(figures[0], kind="board"), figures[1])
