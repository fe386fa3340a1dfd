"""Published accelerators: every figure as docs/model.md prints it; what a run says is counted from the rows."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

import pytest

from hexit.hw_model.area.estimate import estimate
from hexit.hw_model.area.memory_blocks import bram18_blocks
from hexit.hw_model.area.published import (
    AreaRow,
    area_rows,
    area_trust,
    published_area_trust,
    published_areas,
)
from hexit.hw_model.area.resources import Resources
from hexit.hw_model.area.units import ArrayBasis
from hexit.hw_model.design_files import load_design
from hexit.hw_model.device import load_device
from hexit.quant.config import QuantConfig
from hexit.quant.shapes import BERT_BASE
from hexit.quant.workload import encoder_workload
from hexit.sim.published.trust import area_trust_text
from hexit.sim.report.build import ARRAY_BASES, resources_text
from support.paths import ROOT

ROWS = {(row.area.name, row.figure.kind): row for row in area_rows(published_areas())}
FQ_BERT = ("fq-bert-zcu102-8x16", "fq-bert-zcu102-16x8", "fq-bert-zcu111-16x16")
MODEL = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
SHOWN: dict[ArrayBasis, str] = {"measured": "Yosys", "calibrated": "TMMA's report"}


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: f"{row.area.name}-{row.figure.kind}")
def test_the_documentation_has_every_figure(row: AreaRow) -> None:
    error = "0" if row.error_fraction == 0 else f"{100 * row.error_fraction:+.1f} %"
    numbers = f"| {row.figure.kind.upper()} | {row.estimated:,} | {row.figure.published:,} | {error} |"
    assert f"| {row.area.name} {numbers} {row.figure.role} | {SHOWN[row.basis]} |" in MODEL


def test_the_documentation_counts_what_is_independent() -> None:
    checks = [row for row in ROWS.values() if row.figure.role == "check"]
    fitted = {row.area.paper for row in ROWS.values() if row.figure.role == "fit"}
    independent = [row for row in checks if row.area.paper not in fitted]
    assert {row.area.paper for row in independent} == {"hls-bert"}
    n, n_other = len(checks), len(independent)
    text = f"Of the {n} checks, {n - n_other} are of papers to which something is fitted, and {n_other} of others"
    assert text in MODEL


@pytest.mark.parametrize("name", FQ_BERT)
def test_fq_bert_is_within_a_tenth_of_its_slices_and_a_quarter_of_its_logic(name: str) -> None:
    for kind, bound in (("dsp", 0.10), ("lut", 0.25), ("ff", 0.25)):
        assert abs(ROWS[name, kind].error_fraction) < bound, kind  # type: ignore[index]


def test_what_is_fitted_to_fq_bert_is_exact_there_and_the_same_everywhere() -> None:
    fitted = [row for row in ROWS.values() if row.area.paper == "fq-bert" and row.figure.role == "fit"]
    assert {row.area.name for row in fitted} == {FQ_BERT[0]}
    assert [row.error_fraction for row in fitted if row.figure.kind != "dsp"] == [0, 0]
    assert (
        len(
            {
                (row.area.accelerator.control_lut, row.area.accelerator.control_ff)
                for row in ROWS.values()
                if row.area.paper == "fq-bert"
            }
        )
        == 1
    )


def test_without_what_is_fitted_fq_bert_is_as_far_off_as_the_documentation_says() -> None:
    """The errors of the units alone, with the control that is assumed of every other design."""
    plain = load_design("default")
    shown = {}
    for kind in ("lut", "ff"):
        fitted = getattr(ROWS[FQ_BERT[0], kind].area.accelerator, f"control_{kind}") - getattr(plain, f"control_{kind}")
        errors = [(ROWS[name, kind].estimated - fitted) / ROWS[name, kind].figure.published - 1 for name in FQ_BERT]
        shown[kind] = ", ".join(f"{100 * error:.1f}" for error in errors)
    assert f"LUT {shown['lut']} %, FF {shown['ff']} %" in MODEL


def test_the_slices_of_fq_bert_are_multipliers_lanes_and_rescaling() -> None:
    """12 N M multipliers; 7 slices per lane and 4 for the root of layer norm; 2 to rescale in each of the 12 units."""
    for name, (n_elements, n_multipliers) in zip(FQ_BERT, ((8, 16), (16, 8), (16, 16)), strict=True):
        lanes = n_multipliers
        assert ROWS[name, "dsp"].estimated == 12 * n_elements * n_multipliers + 7 * lanes + 4 + 12 * 2


def test_blocks_of_tmma_are_its_buffers_and_ports() -> None:
    assert bram18_blocks(49_152, 8) + bram18_blocks(196_608, 8) + 3 * 2 == 126  # published: 126
    assert "| 126 | 126 | 0 | check |" in MODEL


def test_fq_bert_fits_its_boards_but_for_buffers_that_were_not_published() -> None:
    workload = encoder_workload(BERT_BASE, QuantConfig(weight_bits=4, activation_bits=8), 128)
    for area in published_areas():
        if area.paper == "fq-bert":
            device = load_device(area.accelerator.device)
            used = estimate(workload, area.accelerator, device).total
            assert used.fits(
                Resources(lut=device.lut, ff=device.ff, dsp=device.dsp, bram18=used.bram18, uram=used.uram)
            )


# --- the sentence of a run


def test_errors_are_counted_kind_by_kind_and_fitted_ones_left_out() -> None:
    rows, found = tuple(ROWS.values()), published_area_trust()
    checks = [row for row in rows if row.figure.role == "check"]
    assert found.n_fitted == len(rows) - len(checks)
    assert sum(errors.n for errors in found.errors) == len(checks)
    for errors in found.errors:
        fractions = {abs(row.error_fraction): row.area.name for row in checks if row.figure.kind == errors.kind}
        assert errors.worst_error_fraction == max(fractions)
        assert errors.worst == fractions[max(fractions)]
        assert errors.median_error_fraction == median(
            abs(r.error_fraction) for r in checks if r.figure.kind == errors.kind
        )
        assert errors.n_exact == sum(r.error_fraction == 0 for r in checks if r.figure.kind == errors.kind)


def test_the_sentence_follows_the_rows() -> None:
    row = ROWS["tmma-kv260", "dsp"]
    exact = replace(row, estimated=row.figure.published)
    third = replace(row, estimated=round(row.figure.published * 1.3))
    text = area_trust_text(area_trust([exact, third]))
    assert text.startswith("published, median/worst %: DSP 15.0/30.0 (2); 0 fitted")
    fitted = replace(third, figure=replace(third.figure, role="fit"))
    assert area_trust_text(area_trust([exact, fitted])).startswith("published, median/worst %: DSP 0.0/0.0 (1)")
    assert area_trust_text(area_trust([fitted])).startswith("published, median/worst %: none; 1 fitted")


def test_a_run_says_what_its_array_comes_from() -> None:
    for basis, words in ARRAY_BASES.items():
        assert resources_text(basis, published_area_trust(), load_design("default")).startswith(f"{words}; ")
        stages = resources_text(basis, published_area_trust(), load_design("fq-bert-zcu102-8x16"))
        assert stages.startswith(f"{words}, loop nests not counted; ")
    loops = resources_text("measured", published_area_trust(), load_design("protea-u55c"))
    assert loops.startswith("no array, loop nests not counted; ")
    workload = encoder_workload(BERT_BASE, QuantConfig.uniform(8), 128)
    bases = {
        name: estimate(workload, design, load_device(design.device)).array_basis
        for name in ("default", "fq-bert-zcu102-8x16")
        for design in [load_design(name)]
    }
    assert bases == {"default": "measured", "fq-bert-zcu102-8x16": "calibrated"}
