from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import LAWS, workloads

from hw_model.accelerator import UnitCost, load_design
from hw_model.memory import (
    MemoryChannel,
    activation_bytes,
    check_activations,
    gather_cost,
    memory_channel,
    parameter_panels,
    place_weights,
    transfer_cost,
)
from quant.config import QuantConfig
from quant.errors import ConfigError, DoesNotFit
from quant.workload import (
    ALBERT_BASE,
    BERT_BASE,
    Add,
    Gelu,
    Workload,
    encoder_workload,
    n_vector_parameters,
    n_weights,
    packed_bytes,
)

DEFAULT = load_design("default")
ALBERT = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 128)
LAYER_BYTES = 7_077_888 + 4 * 9_984  # weights at 8 bits; biases and norm parameters at 32 bits


def test_a_channel_is_bandwidth_times_efficiency_over_clock() -> None:
    channel = memory_channel(DEFAULT, bandwidth_gb_s=19.2, latency_ns=101.0)
    assert channel == MemoryChannel(bytes_per_cycle=19.2 * 0.8 * 1000 / 200, latency_cycles=21)
    assert memory_channel(replace(DEFAULT, memory_latency_ns=0.0), 19.2, 101.0).latency_cycles == 0


@pytest.mark.parametrize(("n_bytes", "occupancy"), [(1, 1), (64, 1), (65, 2), (6400, 100)])
def test_a_transfer_is_paid_in_whole_cycles_and_one_latency(n_bytes: int, occupancy: int) -> None:
    channel = MemoryChannel(bytes_per_cycle=64.0, latency_cycles=20)
    assert transfer_cost(n_bytes, channel) == UnitCost(occupancy_cycles=occupancy, latency_cycles=occupancy + 20)


def test_a_gather_pays_whole_bursts_per_row() -> None:
    channel = MemoryChannel(bytes_per_cycle=64.0, latency_cycles=20)
    assert gather_cost(10, 65, channel) == UnitCost(occupancy_cycles=20, latency_cycles=40)


@pytest.mark.parametrize(("bytes_per_cycle", "latency_cycles"), [(0.0, 1), (1.0, -1), (float("nan"), 1)])
def test_a_channel_that_carries_nothing_is_refused(bytes_per_cycle: float, latency_cycles: int) -> None:
    with pytest.raises(ConfigError, match=r"memory\.bytes_per_cycle = .*: must be positive"):
        MemoryChannel(bytes_per_cycle=bytes_per_cycle, latency_cycles=latency_cycles)


@given(workloads(), st.integers(1, 9))
@LAWS
def test_the_panels_of_an_op_sum_to_its_packed_size(workload: Workload, panel_columns: int) -> None:
    quant = workload.quant
    for op in (*workload.prologue, *workload.layer, *workload.exit):
        panels = parameter_panels(op, quant, panel_columns)
        packed = packed_bytes(n_weights(op), quant.weight_bits) + packed_bytes(n_vector_parameters(op), quant.bias_bits)
        assert sum(panels) == packed
        assert min(panels, default=1) > 0


def test_albert_base_streams_its_layer_on_a_small_part_and_keeps_it_on_a_large_one() -> None:
    small, large = place_weights(ALBERT, DEFAULT), place_weights(ALBERT, load_design("albert-base-u280"))
    assert (small.layer_streamed, small.exit_streamed) == (True, False)
    assert small.panel_bytes == 3072 * 32 + 4 * 32
    assert (large.layer_streamed, large.exit_streamed, large.prologue_streamed) == (False, False, False)
    assert large.buffer_bytes == large.resident_bytes
    assert large.resident_bytes == LAYER_BYTES + 768 * 770 + 4 * 770 + 128 * 768 + 4 * (768 + 256)


def test_layers_of_their_own_must_all_fit() -> None:
    room = replace(load_design("albert-base-u280"), weight_buffer_kib=12 * LAYER_BYTES // 1024)
    assert place_weights(encoder_workload(BERT_BASE, QuantConfig.uniform(8), 128), room).layer_streamed
    assert not place_weights(ALBERT, room).layer_streamed


def test_placement_obeys_the_design() -> None:
    roomy = load_design("albert-base-u280")
    assert place_weights(ALBERT, replace(roomy, weight_placement="streamed")).resident_bytes == 0
    assert not place_weights(ALBERT, replace(roomy, weight_placement="on_chip")).layer_streamed


@pytest.mark.parametrize(
    ("placement", "kib", "message"),
    [
        ("on_chip", 1024, "weight_buffer_kib 7632 needed, 1024 in design default (7.5x). Try weight_placement = auto"),
        ("auto", 64, "weight_buffer_kib 193 needed, 64 in design default (3.0x). Try fewer n_weight_buffers"),
    ],
)
def test_weights_that_do_not_fit_say_by_how_much(placement: Literal["auto", "on_chip"], kib: int, message: str) -> None:
    design = replace(DEFAULT, weight_placement=placement, weight_buffer_kib=kib)
    with pytest.raises(DoesNotFit, match=re.escape(message)):
        place_weights(ALBERT, design)


def test_the_activation_buffer_is_sized_by_the_feed_forward_block() -> None:
    row = 128
    block = row * (768 + 3072 + 768)  # the residual, GELU over its own input, the block's result
    assert activation_bytes(ALBERT, DEFAULT) == block
    interleaved = replace(DEFAULT, exit_overlap="interleave", n_interleaved=3)
    assert activation_bytes(ALBERT, interleaved) == block + 2 * row * 768


def test_long_sentences_are_sized_by_attention() -> None:
    workload = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 512)
    hidden, head = 512 * 768, 512 * 512
    assert activation_bytes(workload, DEFAULT) == 5 * hidden + 2 * 2 * head  # input, q, k, v, context; two heads


def test_a_result_that_is_read_again_is_not_written_over() -> None:
    layer = (Gelu(name="g", rows=128, columns=3072), Add(name="a", rows=128, columns=3072, inputs=("g", "input")))
    assert activation_bytes(replace(ALBERT, layer=layer), DEFAULT) == 128 * 768 + 128 * 3072


def test_activations_that_do_not_fit_say_by_how_much() -> None:
    workload = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 512)
    with pytest.raises(DoesNotFit, match=re.escape("activation_buffer_kib 2944 needed, 1280 in design default (2.3x)")):
        check_activations(workload, DEFAULT)
