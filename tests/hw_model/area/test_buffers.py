from __future__ import annotations

from dataclasses import replace
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.area.estimate import OnChipBuffer, estimate, on_chip_buffers
from hexit.hw_model.area.memory_blocks import BRAM18_BITS, URAM_BITS, Bank, split_banks
from hexit.hw_model.area.resources import Resources
from hexit.hw_model.design_files import list_designs, load_design
from hexit.hw_model.device import load_device
from hexit.quant.config import QuantConfig
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import encoder_workload
from support.strategies import LAWS, designs

ALBERT = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 128)
BITS = st.integers(1, 200_000)
WIDTH = st.integers(1, 300)
FEW = st.integers(1, 5)


@pytest.mark.parametrize(
    ("words", "width_bits", "n_bram36"),
    [
        (512, 72, 1),
        (1024, 36, 1),
        (2048, 18, 1),
        (4096, 9, 1),
        (8192, 4, 1),
        (16384, 2, 1),
        (32768, 1, 1),
        (513, 72, 2),
    ],
)
def test_a_block_of_36_kb_has_its_shapes(words: int, width_bits: int, n_bram36: int) -> None:
    assert Bank(words=words, width_bits=width_bits).bram18 == 2 * n_bram36


@pytest.mark.parametrize(("words", "width_bits", "n"), [(4096, 72, 1), (4097, 72, 2), (1, 73, 2), (8192, 144, 4)])
def test_an_ultraram_has_one_shape(words: int, width_bits: int, n: int) -> None:
    assert Bank(words=words, width_bits=width_bits).uram == n


@given(BITS, BITS, FEW, FEW, WIDTH)
@LAWS
def test_more_capacity_or_split_banks_never_take_fewer_blocks(
    capacity: int, more: int, n_banks: int, split: int, width: int
) -> None:
    def blocks(bits: int, n: int) -> tuple[int, int]:
        banks = split_banks(bits, n, width)
        return sum(bank.bram18 for bank in banks), sum(bank.uram for bank in banks)

    bram18, uram = blocks(capacity, n_banks)
    for larger in (blocks(capacity + more, n_banks), blocks(capacity, n_banks * split)):
        assert larger[0] >= bram18
        assert larger[1] >= uram
    assert bram18 * BRAM18_BITS >= capacity
    assert uram * URAM_BITS >= capacity


@given(designs(), st.sampled_from([2, 4, 8]))
@LAWS
def test_banks_hold_the_capacity_in_the_blocks_of_the_estimate(design: Accelerator, bits: int) -> None:
    workload = encoder_workload(ALBERT_BASE, QuantConfig.uniform(bits), 16)
    for device in ("zcu102", "u250"):
        for buffer in on_chip_buffers(estimate(workload, design, load_device(device))):
            assert sum(bank.words * bank.width_bits for bank in buffer.banks) >= buffer.capacity_bits
            assert 0 <= buffer.wasted_fraction < 1
            if not buffer.blocks.uram:
                assert buffer.blocks.bram18 == sum(bank.bram18 for bank in buffer.banks)
            if not buffer.blocks.bram18:
                assert buffer.blocks.uram == sum(bank.uram for bank in buffer.banks)


@pytest.mark.parametrize("name", list_designs())
def test_the_shipped_designs_waste_less_than_half_of_their_blocks(name: str) -> None:
    design = load_design(name)
    for buffer in on_chip_buffers(estimate(ALBERT, design, load_device(design.device))):
        assert buffer.wasted_fraction < 0.5


def test_the_weight_buffer_has_a_bank_per_panel_and_a_word_per_row_of_weights() -> None:
    design = replace(load_design("default"), weight_buffer_kib=1024, n_weight_buffers=3, array_columns=24)
    weights, activations = on_chip_buffers(estimate(ALBERT, design, load_device("zcu102")))
    assert weights.banks == (Bank(words=ceil(1024 * 8192 / 3 / 192), width_bits=192),) * 3
    assert [bank.width_bits for bank in activations.banks] == [32 * 8, 24 * 8]


def test_what_is_wasted_is_what_the_capacity_leaves_empty() -> None:
    half = OnChipBuffer(
        name="b", capacity_bits=512 * 18, banks=split_banks(512 * 18, 1, 18), blocks=Resources(bram18=1)
    )
    assert half.wasted_fraction == 0.5
    assert replace(half, blocks=Resources(uram=1)).wasted_fraction == 1 - 512 * 18 / (4096 * 72)
