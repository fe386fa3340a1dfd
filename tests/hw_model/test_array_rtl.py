"""SystemVerilog arrays compute random products: every result that of numpy, every count of cycles that of the model."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from support.rtl_array import RTL, Product, RtlArray, build_array, model_cycles, random_products, remarks

pytestmark = pytest.mark.slow

N_PRODUCTS = 60  # of each array; benchmarks/array_rtl.py runs more than a thousand in all
ARRAYS = (
    RtlArray(dataflow="output_stationary", rows=3, columns=5),
    RtlArray(dataflow="output_stationary", rows=5, columns=2, overlap_folds=True),
    RtlArray(dataflow="output_stationary", rows=4, columns=3, overlap_folds=True, control_cycles=2, data_bits=5),
    RtlArray(dataflow="output_stationary", rows=1, columns=3, overlap_folds=True),
    RtlArray(dataflow="output_stationary", rows=4, columns=3, columns_per_dsp=2, overlap_folds=True),
    RtlArray(dataflow="output_stationary", rows=3, columns=2, columns_per_dsp=2),
    RtlArray(dataflow="weight_stationary", rows=3, columns=2, columns_per_dsp=2, overlap_folds=True, overlap_load=True),
    RtlArray(dataflow="weight_stationary", rows=4, columns=3, control_cycles=1),
    RtlArray(dataflow="weight_stationary", rows=5, columns=2, overlap_folds=True),
    RtlArray(dataflow="weight_stationary", rows=2, columns=5, overlap_load=True),
    RtlArray(dataflow="weight_stationary", rows=6, columns=3, overlap_folds=True, overlap_load=True),
    RtlArray(dataflow="weight_stationary", rows=1, columns=1, overlap_folds=True, overlap_load=True, control_cycles=3),
)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Verilator's compiled runtime, one for all workers and for the tests of exit units."""
    return tmp_path_factory.getbasetemp().parent / "verilator"


def extreme_products(array: RtlArray) -> list[Product]:
    """Products that leave most of the array idle, fill it exactly, or sum up the most negative values."""
    least = -(1 << (array.data_bits - 1))
    sizes = ((1, 1, 1), (1, 40, 1), (40, 1, 1), (1, 1, 40), (array.rows, 3, array.columns), (3, 30, 4))
    return [(np.full((m, k), least), np.full((k, n), least)) for m, k, n in sizes]


@pytest.mark.parametrize("array", ARRAYS, ids=str)
def test_every_product_is_right_and_takes_the_cycles_of_the_model(array: RtlArray, tmp_path: Path, cache: Path) -> None:
    program = build_array(array, tmp_path, cache)
    random = np.random.default_rng(array.rows * 10 + array.columns)
    products = random_products(random, N_PRODUCTS, (14, 15, 13), array.data_bits) + extreme_products(array)
    results, cycles = program.run(products)
    for (left, right), result in zip(products, results, strict=True):
        np.testing.assert_array_equal(result, left @ right)
    assert cycles == model_cycles(products, array.model)


def test_input_stationary_is_weight_stationary_of_the_transposed_product(tmp_path: Path, cache: Path) -> None:
    array = RtlArray(dataflow="weight_stationary", rows=3, columns=4, overlap_folds=True, overlap_load=True)
    products = random_products(np.random.default_rng(2), N_PRODUCTS, (9, 12, 11))
    results, cycles = build_array(array, tmp_path, cache).run([(right.T, left.T) for left, right in products])
    for (left, right), result in zip(products, results, strict=True):
        np.testing.assert_array_equal(result.T, left @ right)
    assert cycles == model_cycles(products, replace(array.model, dataflow="input_stationary"))


@pytest.mark.parametrize("array", ARRAYS, ids=str)
def test_verilator_has_nothing_to_remark(array: RtlArray) -> None:
    assert remarks(array) == ""


def test_a_sum_that_cannot_hold_a_product_does_not_elaborate() -> None:
    for dataflow in ("output_stationary", "weight_stationary"):
        narrow = RtlArray(dataflow=dataflow, rows=2, columns=2, acc_bits=15)
        assert "ACC_BITS must be at least 2 DATA_BITS." in remarks(narrow)


def test_a_module_has_the_name_of_its_file() -> None:
    for path in RTL.glob("*.sv"):
        assert re.findall(r"^module (\w+)", path.read_text(encoding="utf-8"), re.M) == [path.stem]
