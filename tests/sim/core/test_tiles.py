from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import ArrayPreset, CycleForm, Dataflow, FoldTiming, product_cycles
from hexit.hw_model.design_files import load_design
from hexit.hw_model.gemm import roofline_cycles
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import GROUP_INPUT, MatMul, encoder_workload, op_macs
from hexit.sim.core.program import Unit
from hexit.sim.core.tiles import n_tiles
from support.op_programs import INT8, one_op, product, whole_product_cycles
from support.strategies import LAWS, designs, in_every_data_flow

BARE = load_design("default")
SIZE = st.integers(1, 40)


def cycles(op: MatMul, design: Accelerator) -> int:
    """From the first operand in to the last result out of the tasks of a product, one after the other."""
    tasks = one_op(op, design, merged=1)
    assert (tasks.unit == Unit.ARRAY).all()
    return int(tasks.occupancy_cycles[:-1].sum() + tasks.latency_cycles[-1])


def naive_systolic(m: int, k: int, n: int, rows: int, columns: int) -> int:
    """Step an output-stationary array: the operands of PE (r, c) of a fold meet r + c cycles after its corner's.

    Behind a fold's last operands its results leave, the lowest row's first; they wait for those of the fold before.
    """
    last, start, way_free = 0, 0, 0
    for _ in range(0, m, rows):
        for _ in range(0, n, columns):
            leaves = max(start + k, way_free)  # at the corner; r + c cycles later at PE (r, c)
            last = max(leaves + (rows - 1 + c) + (rows - 1 - r) for r in range(rows) for c in range(columns))
            start, way_free = leaves, leaves + rows
    return last + 1


@given(SIZE, st.integers(1, 8), SIZE, st.integers(1, 6), st.integers(1, 6))
@LAWS
def test_overlapped_folds_equal_a_stepped_array(m: int, k: int, n: int, rows: int, columns: int) -> None:
    design = replace(BARE, array_rows=rows, array_columns=columns)
    assert cycles(product(m, k, n), design) == naive_systolic(m, k, n, rows, columns)


@given(SIZE, SIZE, SIZE, st.integers(1, 4), designs())
@LAWS
def test_a_product_takes_its_rounds_one_after_the_other(
    m: int, k: int, n: int, count: int, design: Accelerator
) -> None:
    """With and without a limit of the lanes: finishing rounds are stretched, everything else stays."""
    op, free = product(m, k, n, count), replace(design, requantisation_lanes=None, requantisation_depth_cycles=0)
    plain = product_cycles(m, k, n, design.array, count)
    assert cycles(op, free) == plain.total - plain.index_offset
    assert cycles(op, design) == whole_product_cycles(op, design)
    for flow, n_arrays in itertools.product(in_every_data_flow(design), (1, 3, 7)):
        variant = replace(flow, n_arrays=n_arrays, requantisation_lanes=1)
        assert cycles(op, variant) == whole_product_cycles(op, variant)


@pytest.mark.parametrize(
    ("dataflow", "preset", "expected"),
    [
        ("output_stationary", "scalesim_os", 11_259_576),
        ("weight_stationary", "scalesim_ws", 18_413_496),
        ("input_stationary", "scalesim_is", 11_591_352),
    ],
)
def test_the_72_products_of_albert_base_take_scale_sims_cycles(
    dataflow: Dataflow, preset: ArrayPreset, expected: int
) -> None:
    design = replace(BARE, dataflow=dataflow, array_preset=preset)
    layer = encoder_workload(ALBERT_BASE, INT8, 128).layer
    linears = [replace(op, inputs=(GROUP_INPUT,)) for op in layer if isinstance(op, MatMul) and op.weights]
    assert len(linears) * 12 == 72
    assert 12 * sum(cycles(op, design) - 1 for op in linears) == expected  # SCALE-Sim 3.0.0, 32 x 32, counts from 0


@pytest.mark.parametrize(("overlap", "expected"), [(True, 2 * (8 + 3) + 6 + 4), (False, 2 * (8 + 3 + 6 + 4))])
def test_overhead_is_paid_by_every_fold(overlap: bool, expected: int) -> None:
    design = replace(BARE, array_rows=4, array_columns=4, overlap_folds=overlap, fold_overhead_cycles=3)
    assert cycles(product(4, 8, 5), design) == expected


def test_results_that_queue_for_the_lanes_hold_the_array() -> None:
    """16 results of a 4 x 4 fold through 2 lanes: 8 cycles where k takes 5, then wavefront, way out and 3 stages."""
    design = replace(BARE, array_rows=4, array_columns=4, requantisation_lanes=2, requantisation_depth_cycles=3)
    assert cycles(product(8, 5, 4), design) == 16 + 6 + 4 + 3
    stationary = replace(design, dataflow="weight_stationary")
    # two slices of k, 4 rows of weights before and 5 rows through each, 20 results behind the second: 9 and 10 cycles
    assert cycles(product(5, 8, 4), stationary) == 9 + 10 + 6 + 1 + 3


def test_attention_on_an_hls_array_takes_its_synthesised_cycles_but_for_a_constant() -> None:
    """HeteroCL_Transformer, U280, csynth, 16 of 512 tokens: scores 2,308 (K + 7), context 2,108 cycles (K + 6)."""
    array = replace(BARE, array_rows=16, array_columns=16)
    scores = cycles(product(16, 64, 512), replace(array, fold=FoldTiming(control=CycleForm(constant=7))))
    context = cycles(product(16, 512, 64), replace(array, fold=FoldTiming(control=CycleForm(constant=6))))
    assert (2_308 - scores, 2_108 - context) == (6, 6)  # cycles around the array, not of it


def test_an_edge_fold_counts_as_a_whole_one() -> None:
    assert n_tiles(product(33, 7, 65, count=3), BARE.array, merged=1) == 3 * 2 * 3
    assert cycles(product(33, 7, 65), BARE) == cycles(product(64, 7, 96), BARE)


@given(SIZE, SIZE, SIZE, st.integers(1, 3), designs())
@LAWS
def test_no_product_beats_the_roofline(m: int, k: int, n: int, count: int, design: Accelerator) -> None:
    op = product(m, k, n, count)
    assert cycles(op, design) >= (roofline_cycles(op_macs(op), design) or 0)
