from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from strategies import LAWS, designs, workloads

from hw_model.accelerator import Accelerator, load_design
from hw_model.energy import EnergyCounts, MacCount
from hw_model.work import group_work, op_work
from quant.config import QuantConfig
from quant.workload import (
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

W4A8 = QuantConfig(weight_bits=4, activation_bits=8)
DESIGN = replace(load_design("default"), array_rows=2, array_columns=4)


def test_a_product_reads_its_operands_once_per_fold() -> None:
    op = MatMul(name="x", m=3, k=10, n=6, weights=True)
    left, right, out = 3 * 10 * 2, 10 * 6 * 2 // 2, 3 * 6  # two column panels, two row tiles, half a byte per weight
    assert op_work(op, W4A8, DESIGN) == EnergyCounts(
        macs=(MacCount(activation_bits=8, weight_bits=4, n=180),), vector_elements=18, on_chip_bytes=left + right + out
    )


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
