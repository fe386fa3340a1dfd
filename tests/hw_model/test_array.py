"""Cycles of systolic arrays: the tables of tools and machines, a naive stepper, and the laws of every timing."""

from __future__ import annotations

import doctest
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hexit.hw_model.array
from hexit.hw_model.array import (
    DATAFLOWS,
    PRESETS,
    CycleForm,
    Dataflow,
    FoldTiming,
    ProductCycles,
    SystolicArray,
    fold_interval,
    fold_preset,
    product_cycles,
    product_folds,
)
from hexit.quant.errors import ConfigError
from support.examples import examples
from support.oracles_array import stepped_cycles
from support.strategies import LAWS

SIZE = st.integers(1, 25)
PARTS = ("streaming", "load", "fill", "drain", "control", "waiting", "depth", "staging")


def preset_array(preset: str, rows: int, columns: int, dataflow: Dataflow, columns_per_dsp: int = 1) -> SystolicArray:
    fold = fold_preset(preset, dataflow)
    return SystolicArray(rows=rows, columns=columns, dataflow=dataflow, columns_per_dsp=columns_per_dsp, fold=fold)


def cycles(m: int, k: int, n: int, array: SystolicArray) -> int:
    return product_cycles(m, k, n, array).total


@st.composite
def forms(draw: st.DrawFn) -> CycleForm:
    return CycleForm(rows=draw(st.integers(0, 2)), columns=draw(st.integers(0, 2)), constant=draw(st.integers(-2, 6)))


@st.composite
def arrays(draw: st.DrawFn) -> SystolicArray:
    dataflow = draw(st.sampled_from(DATAFLOWS))
    return SystolicArray(
        rows=draw(st.integers(1, 6)),
        columns=draw(st.integers(1, 6)),
        n_arrays=draw(st.integers(1, 3)),
        dataflow=dataflow,
        products_per_position=draw(st.integers(1, 4)) if dataflow == "output_stationary" else 1,
        columns_per_dsp=draw(st.integers(1, 2)),
        fold=FoldTiming(
            load=draw(forms()),
            fill=draw(forms()),
            drain=draw(forms()),
            control=draw(forms()),
            overlap_folds=draw(st.booleans()),
            weight_load_overlap=draw(st.booleans()),
            depth_cycles=draw(st.integers(0, 9)),
            stages_operands=draw(st.booleans()),
            counts_from_zero=draw(st.booleans()),
        ),
    )


# SCALE-Sim 3.0.0, ALBERT-base at 128 tokens on 32 x 32: m, n, k as its own topology files order them
SCALE_SIM_PRODUCTS = {
    "projection": (128, 768, 768),
    "ffn_in": (128, 3072, 768),
    "ffn_out": (128, 768, 3072),
    "scores": (128, 128, 64),
    "context": (128, 64, 128),
}
SCALE_SIM_CYCLES: dict[tuple[str, Dataflow], tuple[int, int, int, int, int]] = {
    ("scalesim_os", "output_stationary"): (79_679, 318_719, 300_863, 2_015, 1_519),
    ("scalesim_ws", "weight_stationary"): (127_871, 511_487, 511_487, 1_775, 1_775),
    ("scalesim_is", "input_stationary"): (82_751, 303_935, 331_007, 1_775, 2_527),
}
SCALE_SIM_SUMS: dict[str, tuple[int, int]] = {  # 12 layers: 72 products of linear layers, 360 with attention's
    "scalesim_os": (11_259_576, 11_768_472),
    "scalesim_ws": (18_413_496, 18_924_696),
    "scalesim_is": (11_591_352, 12_210_840),
}


@pytest.mark.parametrize(("preset", "dataflow"), SCALE_SIM_CYCLES)
def test_scale_sim_s_fifteen_products_and_their_sums(preset: str, dataflow: Dataflow) -> None:
    array = preset_array(preset, 32, 32, dataflow)
    found = tuple(cycles(m, k, n, array) for m, n, k in SCALE_SIM_PRODUCTS.values())
    assert found == SCALE_SIM_CYCLES[preset, dataflow]
    projection, ffn_in, ffn_out, scores, context = found
    linear = 12 * (4 * projection + ffn_in + ffn_out)
    assert (linear, linear + 144 * (scores + context)) == SCALE_SIM_SUMS[preset]


def test_ispass_pays_the_drain_that_scale_sim_leaves_out() -> None:
    """Samajdar et al. 2020: 2 rows + columns + T - 2 a fold in every data flow."""
    array = preset_array("ispass", 32, 32, "output_stationary")
    found = [cycles(m, k, n, array) for m, n, k in list(SCALE_SIM_PRODUCTS.values())[:3]]
    assert found == [82_752, 331_008, 303_936]
    for dataflow, (folds, streamed) in {
        "output_stationary": (4 * 3, 50),
        "weight_stationary": (5 * 3, 39),
        "input_stationary": (5 * 4, 29),
    }.items():
        tall = preset_array("ispass", 10, 10, dataflow)  # type: ignore[arg-type]
        assert cycles(39, 50, 29, tall) == folds * (2 * 10 + 10 + streamed - 2)


HLS_STAGES = {  # HeteroCL_Transformer on U280, csynth of one 16-token pack: k, n, columns of DSPs, products per DSP
    "projection": (768, 768, 16, 2, 18_612),
    "ffn_in of opt5": (768, 3072, 16, 2, 74_340),
    "ffn_out of opt5": (3072, 768, 16, 2, 73_908),
    "ffn_in of opt6": (768, 3072, 32, 2, 37_204),
    "ffn_out of opt6": (3072, 768, 32, 2, 36_988),
    "context": (512, 64, 16, 1, 2_108),
}


@pytest.mark.parametrize("stage", HLS_STAGES)
def test_hls_dataflow_equals_the_synthesis_report(stage: str) -> None:
    k, n, columns, columns_per_dsp, reported = HLS_STAGES[stage]
    array = preset_array("hls_dataflow", 16, columns, "output_stationary", columns_per_dsp)
    assert cycles(16, k, n, array) == reported


def test_hls_scores_take_one_control_cycle_more_a_fold() -> None:
    array = preset_array("hls_dataflow", 16, 16, "output_stationary")
    scores = replace(array, fold=replace(array.fold, control=CycleForm(constant=7)))
    assert cycles(16, 64, 512, scores) == 2_308


OPEN_WS_RTL = {  # Buck008/Transformer-Accelerator-Based-on-FPGA in Icarus Verilog: size of the array, m, k, n
    (16, 32, 64, 64): 1_994,
    (16, 64, 64, 64): 2_634,
    (16, 128, 64, 64): 4_426,
    (16, 64, 128, 64): 5_006,
    (16, 64, 64, 128): 5_258,
    (16, 128, 96, 160): 14_012,
    (8, 32, 64, 64): 5_134,
}


@pytest.mark.parametrize("row", OPEN_WS_RTL)
def test_rtl_simple_equals_the_open_weight_stationary_rtl(row: tuple[int, int, int, int]) -> None:
    size, m, k, n = row
    assert cycles(m, k, n, preset_array("rtl_simple", size, size, "weight_stationary")) == OPEN_WS_RTL[row]


@pytest.mark.parametrize(("rows", "k", "simulated"), [(4, 8, 19), (8, 16, 35)])
def test_rtl_simple_equals_scale_sim_s_own_rtl(rows: int, k: int, simulated: int) -> None:
    assert cycles(rows, k, 4, preset_array("rtl_simple", rows, 4, "output_stationary")) == simulated


def test_a_user_who_counts_ten_cycles_where_scale_sim_says_nine_is_right() -> None:
    """SCALE-Sim issues 60 and 125: it tells the index of the last cycle, counted from 0."""
    scale_sim = product_cycles(4, 4, 4, preset_array("scalesim_os", 4, 4, "output_stationary"))
    assert (scale_sim.total, scale_sim.index_offset) == (9, -1)
    plain = SystolicArray(rows=4, columns=4)
    assert cycles(4, 4, 4, plain) == stepped_cycles(4, 4, 4, plain) == 10


def test_scale_sim_leaves_out_the_drain_of_output_stationary_folds() -> None:
    """scale-sim-v3 issue 4: its maintainers agree that rows more cycles pass until the results are out."""
    scale_sim, paper = (preset_array(name, 6, 4, "output_stationary") for name in ("scalesim_os", "ispass"))
    assert cycles(6, 9, 4, paper) - (cycles(6, 9, 4, scale_sim) + 1) == 6


def test_one_product_on_one_position_takes_one_cycle() -> None:
    assert cycles(1, 1, 1, SystolicArray(rows=1, columns=1)) == 1


@pytest.mark.slow
@given(SIZE, SIZE, SIZE, arrays(), st.integers(1, 3))
@examples(300)
def test_every_timing_equals_a_naive_stepper(m: int, k: int, n: int, array: SystolicArray, count: int) -> None:
    found = product_cycles(m, k, n, array, count)
    assert found.total - found.staging - found.index_offset == stepped_cycles(m, k, n, array, count)


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("overlap_folds", [False, True])
@pytest.mark.parametrize("weight_load_overlap", [False, True])
@pytest.mark.parametrize(("load", "drain"), [(1, 2), (2, 1), (4, 0)])
def test_each_overlap_of_each_data_flow_equals_a_naive_stepper(
    dataflow: Dataflow, overlap_folds: bool, weight_load_overlap: bool, load: int, drain: int
) -> None:
    fold = FoldTiming(
        load=CycleForm(rows=load),
        drain=CycleForm(rows=drain),
        control=CycleForm(constant=1),
        overlap_folds=overlap_folds,
        weight_load_overlap=weight_load_overlap,
        depth_cycles=2,
    )
    for rows, columns in ((1, 1), (5, 2), (2, 5), (7, 7)):
        array = SystolicArray(rows=rows, columns=columns, dataflow=dataflow, fold=fold)
        for m, k, n in ((1, 1, 1), (3, 3, 3), (2, 11, 13), (13, 2, 11), (11, 13, 2), (14, 14, 14)):
            assert cycles(m, k, n, array) == stepped_cycles(m, k, n, array)


@given(SIZE, SIZE, SIZE, arrays(), st.integers(1, 3))
@LAWS
def test_nothing_is_negative_and_parts_add_up(m: int, k: int, n: int, array: SystolicArray, count: int) -> None:
    found = product_cycles(m, k, n, array, count)
    assert min(getattr(found, part) for part in PARTS) >= 0
    assert found.total == sum(getattr(found, part) for part in PARTS) + found.index_offset
    assert found.total >= 0
    interval, once = fold_interval(found.folds.streamed, array)
    assert found.total - found.staging - found.index_offset == found.folds.n_serial_folds * interval + once


@given(SIZE, SIZE, SIZE, arrays(), st.integers(1, 3))
@LAWS
def test_no_product_beats_the_roofline(m: int, k: int, n: int, array: SystolicArray, count: int) -> None:
    found = product_cycles(m, k, n, array, count)
    assert (found.total - found.index_offset) * array.n_macs >= count * m * k * n


@given(SIZE, SIZE, SIZE, arrays(), st.sampled_from("mkn"), st.integers(1, 20))
@LAWS
def test_a_larger_product_is_never_faster(m: int, k: int, n: int, array: SystolicArray, grown: str, more: int) -> None:
    sizes = {"m": m, "k": k, "n": n}
    larger = sizes | {grown: sizes[grown] + more}
    assert product_cycles(**larger, array=array).total >= product_cycles(**sizes, array=array).total


@given(SIZE, SIZE, SIZE, arrays())
@LAWS
def test_an_overlap_is_never_slower(m: int, k: int, n: int, array: SystolicArray) -> None:
    def told(fold: FoldTiming) -> int:
        return cycles(m, k, n, replace(array, fold=fold))

    fold = array.fold
    assert told(replace(fold, overlap_folds=True)) <= told(replace(fold, overlap_folds=False))
    assert told(replace(fold, weight_load_overlap=True)) <= told(replace(fold, weight_load_overlap=False))


@given(SIZE, SIZE, SIZE, arrays(), st.integers(1, 4))
@LAWS
def test_more_arrays_share_the_folds_and_are_never_slower(
    m: int, k: int, n: int, array: SystolicArray, more: int
) -> None:
    several = replace(array, n_arrays=array.n_arrays + more)
    assert cycles(m, k, n, several) <= cycles(m, k, n, array)
    folds = product_folds(m, k, n, several)
    assert folds.n_serial_folds * several.n_arrays >= folds.n_folds > (folds.n_serial_folds - 1) * several.n_arrays


@given(SIZE, SIZE, SIZE, arrays())
@LAWS
def test_input_stationary_is_weight_stationary_of_the_transposed_product(
    m: int, k: int, n: int, array: SystolicArray
) -> None:
    plain = replace(array, products_per_position=1, fold=replace(array.fold, stages_operands=False))
    weights, inputs = (replace(plain, dataflow=flow) for flow in ("weight_stationary", "input_stationary"))
    assert product_cycles(m, k, n, inputs) == product_cycles(n, k, m, weights)


def test_results_wait_for_those_of_the_fold_before() -> None:
    """Two folds of one value each: the second one's results leave when the eight rows of the first have left."""
    array = SystolicArray(rows=8, columns=1, fold=FoldTiming(drain=CycleForm(rows=1)))
    found = product_cycles(8, 1, 2, array)
    assert found == ProductCycles(
        folds=product_folds(8, 1, 2, array),
        streaming=2,
        load=0,
        fill=7,
        drain=8,
        control=0,
        waiting=7,
        depth=0,
        staging=0,
        index_offset=0,
    )


@pytest.mark.parametrize(
    ("name", "dataflow", "said"),
    [
        ("scalesim", "output_stationary", r"^--preset = scalesim: must be one of scalesim_os, scalesim_ws,"),
        ("scalesim_ws", "output_stationary", "is a count for weight_stationary, not output_stationary"),
    ],
)
def test_a_preset_that_is_none_is_told(name: str, dataflow: Dataflow, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        fold_preset(name, dataflow)


def test_sizes_that_cannot_be_are_told() -> None:
    with pytest.raises(ConfigError, match=r"^array\.rows = 0: must be at least 1"):
        SystolicArray(rows=0, columns=1)
    with pytest.raises(ConfigError, match="must be 1 with weight_stationary"):
        SystolicArray(rows=1, columns=1, dataflow="weight_stationary", products_per_position=2)
    with pytest.raises(ConfigError, match=r"^product\.k = 0: must be at least 1"):
        product_cycles(1, 0, 1, SystolicArray(rows=1, columns=1))
    with pytest.raises(ConfigError, match=r"^fold\.depth_cycles = -1: must not be negative"):
        FoldTiming(depth_cycles=-1)


def test_presets_are_those_that_the_documents_name() -> None:
    assert list(PRESETS) == ["scalesim_os", "scalesim_ws", "scalesim_is", "ispass", "hls_dataflow", "rtl_simple"]


def test_the_example_in_the_docstring_holds() -> None:
    assert doctest.testmod(hexit.hw_model.array) == (0, 2)
