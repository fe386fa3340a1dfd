from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.design_files import load_design
from hexit.hw_model.energy import EnergyCounts, MacCount
from hexit.hw_model.rounding import sum_bits
from hexit.hw_model.work import group_work, op_work, product_traffic
from hexit.quant.config import QuantConfig
from hexit.quant.workload import (
    Add,
    Embed,
    ExitDecision,
    ExitHead,
    Gelu,
    LayerNorm,
    MatMul,
    Softmax,
    Workload,
    op_macs,
)
from support.oracles_engine import folds
from support.strategies import LAWS, designs, workloads

W4A8 = QuantConfig(weight_bits=4, activation_bits=8)
DESIGN = replace(load_design("default"), array_rows=2, array_columns=4)


def test_a_product_reads_its_operands_once_per_fold() -> None:
    op = MatMul(name="x", m=3, k=10, n=6, weights=True)
    left, right, out = 3 * 10 * 2, 10 * 6 * 2 // 2, 3 * 6  # two column panels, two row tiles, half a byte per weight
    assert op_work(op, W4A8, DESIGN) == EnergyCounts(
        macs=(MacCount(activation_bits=8, weight_bits=4, n=180),), vector_elements=18, on_chip_bytes=left + right + out
    )


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), designs())
@LAWS
def test_a_product_reads_what_its_folds_read(m: int, k: int, n: int, count: int, design: Accelerator) -> None:
    """Counted fold by fold: an operand that streams or is loaded once per fold; sums that wait for the next slice."""
    op = MatMul(name="x", m=m, k=k, n=n, count=count, weights=False, inputs=("a", "b"))
    every_fold = list(folds(op, design))
    left = sum(len(fold.rows) * len(fold.ks) for fold in every_fold)
    right = sum(len(fold.columns) * len(fold.ks) for fold in every_fold)
    sums = [(len(fold.rows) * len(fold.columns), fold.ks) for fold in every_fold]
    kept = sum(results for results, ks in sums if ks[-1] < k - 1) + sum(results for results, ks in sums if ks[0] > 0)
    assert product_traffic(op, design) == (left, right, kept)


def test_partial_sums_travel_at_the_width_of_a_sum() -> None:
    op = MatMul(name="x", m=3, k=10, n=6, weights=True)
    by_flow = {
        dataflow: op_work(op, W4A8, replace(DESIGN, dataflow=dataflow)).on_chip_bytes
        for dataflow in ("weight_stationary", "input_stationary")
    }
    sums = 3 * 6 * 2 * 4 * 4  # five slices of two; written and read four times, the bias's 32 bits each
    assert by_flow["weight_stationary"] == 3 * 10 * 2 + 10 * 6 // 2 + 3 * 6 + sums
    assert by_flow["input_stationary"] == 3 * 10 + 10 * 6 // 2 + 3 * 6 + sums
    assert sum_bits(8, 8, 3072, 16) == 8 + 8 + 12
    assert sum_bits(8, 8, 3072, 32) == 32


def test_attention_multiplies_activations() -> None:
    op = MatMul(name="x", m=3, k=10, n=6, count=2, weights=False, inputs=("a", "b"))
    work = op_work(op, W4A8, DESIGN)
    assert work.macs == (MacCount(activation_bits=8, weight_bits=8, n=360),)
    assert work.on_chip_bytes == 2 * (3 * 10 * 2 + 10 * 6 * 2 + 18)


def test_vector_ops_read_once_per_pass_and_write_once() -> None:
    softmax = op_work(Softmax(name="s", rows=3, columns=5, count=2), W4A8, DESIGN)
    assert softmax == EnergyCounts(vector_elements=30, on_chip_bytes=4 * 30)
    assert op_work(LayerNorm(name="n", rows=3, columns=5), W4A8, DESIGN).on_chip_bytes == 3 * 15
    assert op_work(Gelu(name="g", rows=3, columns=5), W4A8, DESIGN).on_chip_bytes == 2 * 15
    assert op_work(Add(name="a", rows=3, columns=5), W4A8, DESIGN).on_chip_bytes == 3 * 15
    embed = op_work(Embed(name="e", rows=3, columns=5, n_tables=3), W4A8, DESIGN)
    assert embed == EnergyCounts(vector_elements=30, on_chip_bytes=4 * 15)


def test_an_exit_head_reads_its_weights_once() -> None:
    op = ExitHead(name="h", hidden_size=8, n_classes=2, pooler=True, pooled_rows=5)
    work = op_work(op, W4A8, DESIGN)
    assert work.macs == (MacCount(activation_bits=8, weight_bits=4, n=80),)
    assert work.on_chip_bytes == 8 * 5 + 8 + 8 + (8 + 2) + 40  # rows, their mean, the pooled vector, results, weights
    assert op_work(ExitDecision(name="d", n_classes=2), W4A8, DESIGN) == EnergyCounts()


@given(workloads(), designs())
@LAWS
def test_the_macs_of_a_group_are_those_of_the_workload(workload: Workload, design: Accelerator) -> None:
    for group in (workload.prologue, workload.layer, workload.exit):
        work = group_work(group, workload.quant, design)
        assert sum(mac.n for mac in work.macs) == sum(map(op_macs, group))
