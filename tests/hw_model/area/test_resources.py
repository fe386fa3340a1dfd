"""Resources: exact block and DSP counts, sums over the units, what is said where a part is too small."""

import math
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.area.estimate import check_fit, estimate
from hexit.hw_model.area.memory_blocks import BRAM18_SHAPES, bram18_blocks, uram_blocks
from hexit.hw_model.area.resources import KINDS, Resources, available
from hexit.hw_model.area.units import FF_PER_ACCUMULATOR_BIT, FLOAT_LANES, adder_tree_bits, partial_sum_adders
from hexit.hw_model.array import DATAFLOWS, FoldTiming
from hexit.hw_model.design_files import list_designs, load_design
from hexit.hw_model.device import list_devices, load_device
from hexit.hw_model.rounding import accumulator_bits, right_operand_bits
from hexit.quant.config import LEGAL_BITS, QuantConfig
from hexit.quant.errors import ConfigError, DoesNotFit
from hexit.quant.shapes import ALBERT_BASE, BERT_BASE
from hexit.quant.workload import Workload, encoder_workload
from support.paths import ROOT

DEFAULT = load_design("default")


def albert(bits: int = 8) -> Workload:
    return encoder_workload(ALBERT_BASE, QuantConfig.uniform(bits), 128)


def bert_w4a8() -> Workload:
    return encoder_workload(BERT_BASE, QuantConfig(weight_bits=4, activation_bits=8), 128)


# --- arithmetic of the record


small = st.integers(0, 10**6)
resources = st.builds(Resources, lut=small, ff=small, dsp=small, bram18=small, uram=small)


@given(resources, resources, st.integers(0, 9))
def test_resources_add_and_scale_kind_by_kind(a: Resources, b: Resources, n: int) -> None:
    for kind in KINDS:
        assert getattr(a * n + b, kind) == n * getattr(a, kind) + getattr(b, kind)
    assert a.fits(a + b)
    assert (a + b).fits(a) == (b == Resources())


def test_negative_resources_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"resources\.n_dsp = -1: must not be negative"):
        Resources(dsp=-1)


# --- memories of real blocks


def test_blocks_are_those_that_vitis_hls_allots_to_tmma() -> None:
    a, b = bram18_blocks(49_152, 8), bram18_blocks(196_608, 8)  # its two buffers, csynth report
    assert (a, b) == (24, 96)
    assert a + b + 3 * 2 == 126  # with two per memory adapter, the published total


@given(st.integers(1, 300_000), st.integers(1, 600))
def test_blocks_hold_the_memory_and_no_shape_needs_fewer(depth: int, width_bits: int) -> None:
    blocks = bram18_blocks(depth, width_bits)
    assert blocks * 18_432 >= depth * width_bits
    laid_out = {w * b: math.ceil(depth / w) * math.ceil(width_bits / b) for w, b in BRAM18_SHAPES}
    assert blocks <= min(laid_out.values())
    assert bram18_blocks(depth + 1, width_bits) >= blocks
    assert uram_blocks(depth, width_bits) == math.ceil(depth / 4096) * math.ceil(width_bits / 72)


@pytest.mark.parametrize(
    ("depth", "width_bits", "blocks"),
    [(16_384, 1, 1), (2_048, 9, 1), (512, 36, 1), (512, 72, 2), (513, 36, 2), (1, 37, 2)],
)
def test_block_shapes_of_the_data_sheet(depth: int, width_bits: int, blocks: int) -> None:
    assert bram18_blocks(depth, width_bits) == blocks


def test_wide_ports_cost_blocks_even_where_capacity_would_do() -> None:
    wide = replace(DEFAULT, array_rows=1, array_columns=512, weight_buffer_kib=16, n_weight_buffers=1)
    needed = estimate(albert(), wide, load_device("zcu102")).weight_buffer
    assert needed.bram18 == math.ceil(512 * 8 / 36) == 114
    assert needed.bram18 * 18_432 > 10 * 16 * 8192  # over ten times the capacity


def test_capacity_is_in_whole_kib_of_1024_bytes() -> None:
    design = replace(DEFAULT, weight_buffer_kib=65, n_weight_buffers=1)  # 2,080 words of 32 x 8 bits: 5 x 8 of 512 x 36
    assert estimate(albert(), design, load_device("zcu102")).weight_buffer == Resources(bram18=40)


def test_ultraram_takes_the_buffers_where_the_part_has_it() -> None:
    on_u280 = estimate(albert(), load_design("albert-base-u280"), load_device("u280"))
    assert on_u280.weight_buffer == Resources(uram=2 * math.ceil(5120 * 8192 / 512 / 4096) * math.ceil(512 / 72))
    assert estimate(albert(), DEFAULT, load_device("zcu102")).total.uram == 0


# --- DSP slices


@pytest.mark.parametrize(("bits", "packed", "dsp"), [(8, 1, 1024), (8, 2, 512), (16, 2, 1024), (4, 2, 512)])
def test_array_takes_one_slice_per_product_or_per_two(bits: int, packed: int, dsp: int) -> None:
    needed = estimate(albert(bits), replace(DEFAULT, macs_per_dsp=packed), load_device("zcu102"))
    assert needed.systolic_array.dsp == dsp == -(-1024 // needed.n_products_per_dsp)


def test_attention_sets_the_right_operand_and_the_longest_product_the_sum() -> None:
    assert right_operand_bits(bert_w4a8()) == 8
    assert accumulator_bits(bert_w4a8()) == 32  # the bias; 8 + 8 + ceil(log2 3072) = 28 would do
    assert accumulator_bits(albert(16)) == 16 + 16 + 12


@pytest.mark.parametrize(("bits", "dsp"), [(4, 256), (8, 512), (16, 1024)])
def test_four_products_of_4_bits_share_a_slice_where_the_design_asks_for_it(bits: int, dsp: int) -> None:
    needed = estimate(albert(bits), replace(DEFAULT, macs_per_dsp=4), load_device("zcu102"))
    assert needed.systolic_array.dsp == dsp


def test_several_arrays_are_as_many_arrays_and_rescaling_units() -> None:
    one, three = (estimate(albert(), replace(DEFAULT, n_arrays=n), load_device("u280")) for n in (1, 3))
    for kind in ("lut", "ff", "dsp"):
        assert abs(getattr(three.systolic_array, kind) - 3 * getattr(one.systolic_array, kind)) <= 1  # rounded once
    assert three.requantisation == one.requantisation * 3
    assert three.softmax == one.softmax


def test_the_design_says_how_many_results_are_rescaled_at_once() -> None:
    few = estimate(albert(), replace(DEFAULT, requantisation_lanes=4), load_device("zcu102"))
    assert few.requantisation * 8 == estimate(albert(), DEFAULT, few.device).requantisation


@pytest.mark.parametrize(("n_values", "bits"), [(1, 0), (2, 9), (3, 9 + 10), (4, 2 * 9 + 10), (8, 4 * 9 + 2 * 10 + 11)])
def test_an_adder_tree_grows_a_bit_per_level(n_values: int, bits: int) -> None:
    assert adder_tree_bits(n_values, 8) == bits


def test_dot_products_share_an_accumulator() -> None:
    hls = replace(DEFAULT, fold=FoldTiming())  # no array of ours
    plain = estimate(albert(), replace(hls, array_columns=256), load_device("u280")).systolic_array
    dots = estimate(albert(), replace(hls, products_per_position=8), load_device("u280")).systolic_array
    assert dots.dsp == plain.dsp == 8 * 1024
    tree = 1024 * adder_tree_bits(8, 16)
    accumulators = 7 * 1024 * 32
    kept = accumulators  # a fold's sums wait while the next one streams
    assert plain.ff - dots.ff == round(FF_PER_ACCUMULATOR_BIT * accumulators) + kept - tree > 0
    assert dots.lut < plain.lut


def test_operands_that_stand_still_need_a_memory_for_partial_sums() -> None:
    by_flow = {
        dataflow: estimate(albert(), replace(DEFAULT, dataflow=dataflow), load_device("zcu102")).systolic_array
        for dataflow in DATAFLOWS
    }
    width_bits = 32 * 32
    assert by_flow["output_stationary"].bram18 == 0
    assert by_flow["weight_stationary"].bram18 == bram18_blocks(128, width_bits)  # a panel of 128 rows
    assert by_flow["input_stationary"].bram18 == bram18_blocks(4 * 3072, width_bits)  # all of 128 x 3072 sums
    tall = replace(DEFAULT, dataflow="weight_stationary", array_rows=3072, array_columns=1)
    assert estimate(albert(), tall, load_device("u280")).systolic_array.bram18 == 0  # one slice of k
    adders = partial_sum_adders(albert(), replace(DEFAULT, dataflow="weight_stationary").array)
    assert adders == Resources(lut=width_bits)  # of each column
    assert partial_sum_adders(albert(), tall.array) == partial_sum_adders(albert(), DEFAULT.array) == Resources()


def test_engines_are_copies_of_everything_but_the_memory_port() -> None:
    device, unit = load_device("u280"), Resources(lut=100)
    one = estimate(albert(), DEFAULT, device, unit)
    three = estimate(albert(), replace(DEFAULT, mapping="spatial", n_engines=3), device, unit)
    for name, part in one.parts.items():
        if name != "dma_control":
            assert three.parts[name] == part * 3
    assert three.parts["dma_control"] == three.dma_control
    assert three.dma_control.bram18 == one.dma_control.bram18
    assert three.dma_control.lut - one.dma_control.lut == 2 * DEFAULT.control_lut


def test_engines_that_do_not_fit_are_offered_to_be_fewer() -> None:
    device = load_device("zcu102")
    two = replace(DEFAULT, mapping="spatial", n_engines=2)
    with pytest.raises(DoesNotFit, match="n_engines = 1 in --design"):
        check_fit(estimate(albert(), two, device), device)


def test_floating_point_units_take_what_was_published_for_them() -> None:
    units = estimate(albert(), replace(DEFAULT, vector_preset="float_hls", softmax_lanes=16), load_device("u280"))
    assert units.softmax == Resources(lut=16 * 934, ff=16 * 557, dsp=76)
    assert units.layer_norm == Resources(lut=32 * 1_597, ff=32 * 2_422, dsp=320)


def test_power_of_two_scales_need_no_multiplier_per_column() -> None:
    plain = estimate(albert(), DEFAULT, load_device("zcu102"))
    shifted = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8, power_of_two=True), 128)
    shifts = estimate(shifted, DEFAULT, plain.device)
    assert plain.total.dsp - shifts.total.dsp == 2 * DEFAULT.array_columns


# --- the whole estimate


@given(st.sampled_from(LEGAL_BITS), st.sampled_from(list_devices()), st.integers(1, 64), st.integers(1, 64))
def test_total_is_the_sum_and_a_larger_array_is_never_cheaper(bits: int, name: str, rows: int, columns: int) -> None:
    device, design = load_device(name), replace(DEFAULT, array_rows=rows, array_columns=columns, macs_per_dsp=2)
    needed = estimate(albert(bits), design, device)
    assert len(needed.parts) == 11
    for kind in KINDS:
        assert getattr(needed.total, kind) == sum(getattr(part, kind) for part in needed.parts.values())
    taller = estimate(albert(bits), replace(design, array_rows=rows + 1), device)
    for kind in ("lut", "ff", "dsp"):
        assert getattr(taller.total, kind) >= getattr(needed.total, kind)


def test_the_exit_unit_is_the_callers_and_stays_when_levers_are_tried() -> None:
    device, unit = load_device("zcu102"), Resources(lut=200_000)
    without, with_unit = (estimate(albert(), DEFAULT, device, area) for area in (Resources(), unit))
    assert with_unit.exit_decision == unit
    assert with_unit.total == without.total + unit
    with pytest.raises(DoesNotFit, match="Largest: exit_decision 200000") as raised:
        check_fit(estimate(albert(), replace(DEFAULT, array_rows=64), device, unit), device)
    assert "array_rows = 32" not in str(raised.value)  # enough without the unit only


@pytest.mark.parametrize(
    ("lanes", "unit"),
    [
        ("softmax_lanes", "softmax"),
        ("layer_norm_lanes", "layer_norm"),
        ("gelu_lanes", "gelu"),
        ("add_lanes", "residual_add"),
    ],
)
def test_a_fixed_point_lane_is_cheaper_than_the_published_floating_point_lane(lanes: str, unit: str) -> None:
    sizes = [replace(DEFAULT, **{lanes: n}) for n in (16, 32)]  # type: ignore[arg-type]
    small_unit, large_unit = (getattr(estimate(albert(), design, load_device("u280")), unit) for design in sizes)
    for kind, limit in zip(("lut", "ff", "dsp"), FLOAT_LANES[unit], strict=True):
        assert 0 < (getattr(large_unit, kind) - getattr(small_unit, kind)) / 16 <= limit


# --- fit


@pytest.mark.parametrize(("name", "bits"), list(product(list_designs(), (4, 8))))
def test_shipped_designs_fit_the_part_that_they_name(name: str, bits: int) -> None:
    design = load_design(name)
    device = load_device(design.device)
    check_fit(estimate(albert(bits), design, device), device)


def test_default_design_fits_at_16_bits() -> None:
    device = load_device("zcu102")
    check_fit(estimate(albert(16), DEFAULT, device), device)


def test_shortage_names_kind_ratio_users_and_levers_that_work() -> None:
    device = load_device("zcu102")
    design = replace(DEFAULT, array_rows=64, array_columns=64)
    needed = estimate(albert(), design, device)
    with pytest.raises(DoesNotFit) as raised:
        check_fit(needed, device)
    message = str(raised.value)
    assert f"n_dsp {needed.total.dsp} needed, 2520 on zcu102 (1.8x). Largest: systolic_array 4096, " in message
    assert "array_columns = 32 in --design" in message
    assert "--device u50 or u200" in message
    check_fit(estimate(albert(), replace(design, array_columns=32), device), device)
    check_fit(estimate(albert(), design, load_device("u50")), load_device("u50"))


def test_packing_bits_and_buffers_are_offered_where_they_are_enough() -> None:
    zc706 = load_device("zc706")
    slim = replace(DEFAULT, array_columns=16, weight_buffer_kib=256, head_lanes=8, softmax_lanes=8, layer_norm_lanes=8)
    with pytest.raises(DoesNotFit, match=r"(?s)n_dsp .*Try --bits 7, or"):
        check_fit(estimate(albert(), replace(slim, array_columns=32, macs_per_dsp=2), zc706), zc706)
    zcu104 = load_device("zcu104")
    with pytest.raises(DoesNotFit, match=r"Try macs_per_dsp = 2 in --design, or"):
        check_fit(estimate(albert(), replace(DEFAULT, array_columns=48), zcu104), zcu104)
    zcu102 = load_device("zcu102")
    with pytest.raises(
        DoesNotFit, match=r"(?s)n_bram18 .*Largest: weight_buffer .*weight_buffer_kib = 1792 in --design"
    ):
        check_fit(estimate(albert(), replace(DEFAULT, weight_buffer_kib=3584), zcu102), zcu102)


def test_no_buffer_is_offered_that_could_not_hold_what_it_must() -> None:
    device = load_device("zcu102")
    design = replace(DEFAULT, weight_placement="on_chip", weight_buffer_kib=8192)
    with pytest.raises(DoesNotFit, match="n_bram18") as raised:
        check_fit(estimate(albert(), design, device), device)
    assert "weight_buffer_kib" not in str(raised.value)  # half would fit the part, but not ALBERT-base's weights
    check_fit(estimate(albert(), replace(design, weight_buffer_kib=2048), device), device)


def test_a_hopeless_design_says_so() -> None:
    device = load_device("pynq-z2")
    huge = replace(DEFAULT, array_rows=256, array_columns=512)
    with pytest.raises(DoesNotFit, match="No single change is enough"):
        check_fit(estimate(albert(), huge, device), device)


def test_a_part_without_ultraram_says_what_is_missing() -> None:
    on_u280 = estimate(albert(), load_design("albert-base-u280"), load_device("u280"))
    with pytest.raises(DoesNotFit, match=r"n_uram \d+ needed, 0 on zcu102\. Largest: weight_buffer"):
        check_fit(on_u280, load_device("zcu102"))


def test_everything_that_a_part_has_is_available() -> None:
    assert available(load_device("zcu104")) == Resources(lut=230_400, ff=460_800, dsp=1_728, bram18=624, uram=96)


# --- the documentation says what the model says


def test_the_documented_message_is_the_models() -> None:
    text = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    zcu102 = load_device("zcu102")
    with pytest.raises(DoesNotFit) as raised:
        check_fit(estimate(albert(), replace(DEFAULT, array_rows=64, array_columns=64), zcu102), zcu102)
    assert str(raised.value) in text
