"""Shifts of channels and samples of rows: the parts of a plan."""

from __future__ import annotations

import pytest
import torch

from hexit.quant.config import QuantConfig
from hexit.quant.quantisation.samples import MOST_ROWS, RowSample
from hexit.quant.quantisation.shifts import MOST_SHIFT, Reader, channel_shifts


def reader(loudness: torch.Tensor, generator: torch.Generator) -> Reader:
    squares = (loudness.double() / 3) ** 2
    return Reader(weights=torch.randn(16, len(loudness), generator=generator), squares=squares, left=squares)


def shifts_of(loudness: torch.Tensor, *, weight_bits: int = 8, activation_bits: int = 8) -> list[int]:
    config = QuantConfig(weight_bits=weight_bits, activation_bits=activation_bits)
    largest = torch.stack([loudness.double(), 0.5 * loudness.double()], 1)
    found = channel_shifts(largest, "signed", [reader(loudness, torch.Generator().manual_seed(0))], config)
    return [int(shift) for shift in found]


def test_loud_channels_are_shifted_and_quiet_ones_are_not() -> None:
    loudness = torch.ones(64)
    loudness[[3, 17]] = torch.tensor([9.0, 3.0])
    shifts = shifts_of(loudness)
    assert shifts[3] > shifts[17] > 0
    assert {shift for i, shift in enumerate(shifts) if i not in (3, 17)} == {0}


def test_channels_of_one_loudness_are_left_alone() -> None:
    assert shifts_of(torch.ones(64)) == [0] * 64


def test_a_channel_is_shifted_no_further_than_hardware_shifts() -> None:
    loudness = torch.ones(64)
    loudness[3] = 1000.0
    assert max(shifts_of(loudness)) <= MOST_SHIFT


def test_wide_tensors_are_not_shifted() -> None:
    assert shifts_of(torch.linspace(1, 20, 64), activation_bits=16) == [0] * 64


def test_coarse_weights_keep_loud_columns_out_of_them() -> None:
    """What activations gain by a shift, weights of few bits lose more."""
    loudness = torch.ones(64)
    loudness[3] = 16.0
    assert sum(shifts_of(loudness, weight_bits=2)) < sum(shifts_of(loudness, weight_bits=16))


def test_without_readers_and_at_silence_there_are_shifts_too() -> None:
    config = QuantConfig.uniform(8)
    assert channel_shifts(torch.zeros(4, 2, dtype=torch.float64), "signed", [], config).tolist() == [0] * 4


@pytest.mark.parametrize("n_rows", [5, MOST_ROWS, MOST_ROWS + 1, 5 * MOST_ROWS])
def test_a_sample_is_evenly_spread_however_rows_come(n_rows: int) -> None:
    rows = torch.arange(n_rows, dtype=torch.float32).unsqueeze(1)
    samples = []
    for n_parts in (1, 7, 40):
        sample = RowSample()
        for part in torch.tensor_split(rows, n_parts):
            sample.offer(part)
        samples.append(sample.rows.flatten().tolist())
    stride = int(samples[0][1])
    assert samples[0] == samples[1] == samples[2] == list(range(0, n_rows, stride))
    assert min(n_rows, MOST_ROWS) / 2 <= len(samples[0]) <= MOST_ROWS
