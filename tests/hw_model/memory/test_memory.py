from __future__ import annotations

import math
import re
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.design_files import load_design
from hexit.hw_model.device import load_device
from hexit.hw_model.memory.buffers import activation_bytes, check_activations, parameter_panels, place_weights
from hexit.hw_model.memory.channel import (
    MemoryChannel,
    Requests,
    device_channel,
    gather_cycles,
    memory_channel,
    transfer_cycles,
)
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError, DoesNotFit
from hexit.quant.shapes import ALBERT_BASE, BERT_BASE
from hexit.quant.workload import Add, Gelu, Workload, encoder_workload, n_vector_parameters, n_weights, packed_bytes
from support.examples import examples
from support.strategies import LAWS, workloads

DEFAULT = load_design("default")
ALBERT = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 128)
MANY = examples(300)
LAYER_BYTES = 7_077_888 + 4 * 9_984  # weights at 8 bits; biases and norm parameters at 32 bits


def test_a_channel_is_bandwidth_times_efficiency_over_clock() -> None:
    channel = memory_channel(DEFAULT, bandwidth_gb_s=19.2, latency_ns=101.0)
    assert channel == MemoryChannel(bytes_per_cycle=19.2 * 0.8 * 1000 / 200, latency_cycles=21)
    assert memory_channel(replace(DEFAULT, memory_latency_ns=0.0), 19.2, 101.0).latency_cycles == 0


@pytest.mark.parametrize(("n_bytes", "occupancy"), [(1, 1), (64, 1), (65, 2), (6400, 100)])
def test_a_transfer_is_paid_in_whole_cycles_and_one_latency(n_bytes: int, occupancy: int) -> None:
    channel = MemoryChannel(bytes_per_cycle=64.0, latency_cycles=20)
    assert transfer_cycles(n_bytes, channel) == TaskCycles(occupancy_cycles=occupancy, latency_cycles=occupancy + 20)


def test_a_gather_pays_whole_bursts_per_row() -> None:
    channel = MemoryChannel(bytes_per_cycle=64.0, latency_cycles=20)
    assert gather_cycles(10, 65, channel) == TaskCycles(occupancy_cycles=20, latency_cycles=40)


@pytest.mark.parametrize(("bytes_per_cycle", "latency_cycles"), [(0.0, 1), (1.0, -1), (float("nan"), 1)])
def test_a_channel_that_carries_nothing_is_refused(bytes_per_cycle: float, latency_cycles: int) -> None:
    with pytest.raises(ConfigError, match=r"memory\.bytes_per_cycle = .*: must be positive"):
        MemoryChannel(bytes_per_cycle=bytes_per_cycle, latency_cycles=latency_cycles)


def test_a_channel_at_another_rate_than_its_requests_is_refused() -> None:
    requests = Requests(burst_bytes=64, n_outstanding=1, data_bytes_per_cycle=8.0)
    with pytest.raises(
        ConfigError, match=r"memory\.bytes_per_cycle = 8\.0: must be the 4\.0 that the requests sustain"
    ):
        MemoryChannel(bytes_per_cycle=8.0, latency_cycles=8, requests=requests)
    with pytest.raises(ConfigError, match=r"memory\.requests = 0 x 64 bytes"):
        replace(requests, n_outstanding=0)


U280 = replace(load_device("u280"), memory_ports=None, memory_port_bits=None)  # the memory alone


@pytest.mark.parametrize(
    ("changes", "bytes_per_cycle", "limit"),
    [
        ({}, 460.0 * 0.8 * 5, "memory"),
        ({"memory_channels": 4}, 4 * 14.375 * 0.8 * 5, "memory"),
        ({"memory_channels": 4, "memory_port_bits": 256}, 4 * 32.0, "port"),
        ({"memory_channels": 4, "memory_port_bits": 512}, 4 * 14.375 * 0.8 * 5, "memory"),
        # 16 beats of 32 bytes, 138 ns are 28 cycles: 44 cycles for each of two bursts under way
        (
            {"memory_channels": 4, "memory_port_bits": 256, "memory_burst_beats": 16, "memory_outstanding": 2},
            4 * 2 * 512 / 44,
            "outstanding requests",
        ),
        (
            {"memory_channels": 4, "memory_port_bits": 256, "memory_burst_beats": 16, "memory_outstanding": 3},
            4 * 32.0,
            "port",
        ),
        # a burst of 64 bytes where none is told, 64 / 57.5 cycles of data; the port does not limit
        ({"memory_channels": 1, "memory_outstanding": 1}, 64 / (28 + 64 / 57.5), "outstanding requests"),
        # a beat as wide as the pseudo-channel where no port is told
        (
            {"memory_channels": 1, "memory_burst_beats": 16, "memory_outstanding": 1},
            128 / (28 + 128 / 57.5),
            "outstanding requests",
        ),
    ],
)
def test_the_least_of_memory_port_and_requests_under_way_is_sustained(
    changes: dict[str, Any], bytes_per_cycle: float, limit: str
) -> None:
    channel = device_channel(replace(DEFAULT, **changes), U280)
    assert channel.bytes_per_cycle == pytest.approx(bytes_per_cycle, rel=1e-12)
    assert channel.limit == limit


@pytest.mark.parametrize(
    ("device", "changes", "bytes_per_cycle", "limit"),
    [
        ("u280", {}, 32 * 32.0, "port"),
        ("u280", {"memory_channels": 4}, 4 * 32.0, "port"),
        ("u280", {"memory_channels": 4, "memory_port_bits": 512}, 4 * 32.0, "port"),  # the part has no such ports
        ("u280", {"memory_channels": 4, "memory_port_bits": 128}, 4 * 16.0, "port"),
        ("u280", {"clock_mhz": 400.0}, 460.0 * 0.8 * 2.5, "memory"),  # twice the clock, half the bytes a cycle
        ("zcu102", {}, 4 * 16.0, "port"),
        ("zcu102", {"memory_port_bits": 128}, 16.0, "port"),
        ("pynq-z2", {}, 2.1 * 0.8 * 5, "memory"),
    ],
)
def test_no_design_reads_more_than_the_part_s_ports_deliver(
    device: str, changes: dict[str, Any], bytes_per_cycle: float, limit: str
) -> None:
    channel = device_channel(replace(DEFAULT, **changes), load_device(device))
    assert channel.bytes_per_cycle == pytest.approx(bytes_per_cycle, rel=1e-12)
    assert channel.limit == limit


@pytest.mark.parametrize("ports", [{"memory_ports": 4, "memory_port_bits": None}, {"memory_ports": 0}])
def test_half_told_ports_and_none_at_all_are_refused(ports: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^device\.memory_port(s|_bits) = "):
        replace(load_device("zcu102"), **ports)


def test_a_beat_without_a_port_is_as_wide_as_the_part_s_channel() -> None:
    channel = device_channel(replace(DEFAULT, memory_burst_beats=16, memory_outstanding=2), load_device("pynq-z2"))
    assert channel.requests is not None
    assert channel.requests.burst_bytes == 16 * 2


def test_scattered_rows_pay_for_requests_of_their_own() -> None:
    requests = Requests(burst_bytes=4096, n_outstanding=1, data_bytes_per_cycle=64.0)
    channel = MemoryChannel(bytes_per_cycle=requests.bytes_per_cycle(20), latency_cycles=20, requests=requests)
    assert gather_cycles(10, 65, channel) == TaskCycles(occupancy_cycles=10 * 22, latency_cycles=10 * 22)
    assert transfer_cycles(10 * 128, channel) == TaskCycles(occupancy_cycles=20 + 20, latency_cycles=20 + 20)


def test_keys_that_are_absent_do_not_limit() -> None:
    plain = device_channel(DEFAULT, U280)
    assert plain == memory_channel(DEFAULT, 460.0, 138.0)
    assert plain == MemoryChannel(bytes_per_cycle=460.0 * 0.8 * 1000 / 200, latency_cycles=28)
    assert device_channel(replace(DEFAULT, memory_burst_beats=16), U280) == plain


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"memory_channels": 33}, r"design\.memory_channels = 33: must be at most the part's 32"),
        (
            {"memory_port_bits": 512, "memory_burst_beats": 65},
            r"design\.memory_burst_beats = 65: makes bursts of 4160 bytes, .* 4096. Try .* = 64",
        ),
    ],
)
def test_a_memory_that_the_part_or_the_bus_does_not_have_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        device_channel(replace(DEFAULT, **changes), U280)


def test_tmma_copies_at_the_measured_1_9_cycles_per_byte() -> None:
    """TMMA (arXiv 2503.16731): m_axi of 8 bits, bursts of 16 beats, KV260 at 100 MHz; 12 copies of B, one of A."""
    design = replace(
        DEFAULT,
        clock_mhz=100.0,
        memory_latency_ns=None,
        memory_port_bits=8,
        memory_burst_beats=16,
        memory_outstanding=1,
    )
    channel = device_channel(design, load_device("kv260"))
    assert (channel.limit, channel.latency_cycles) == ("outstanding requests", 15)
    assert transfer_cycles(16, channel).latency_cycles == 31  # 1.94 cycles per byte
    copied = (12 * 768 * 256, 64 * 768)
    tiles = 7_524_063 - 12 * (768 * 256 + 13) - 49_155  # the report's total without its copies at 1 cycle per byte
    predicted = (
        tiles + transfer_cycles(copied[0], channel).latency_cycles + transfer_cycles(copied[1], channel).latency_cycles
    )
    assert predicted == 5_115_456 + 31 * (copied[0] + copied[1]) // 16 == 9_781_824
    assert abs(predicted / 9_672_500 - 1) < 0.02  # 96.725 ms on the board


def finish_of_requests(n_bytes: int, channel: MemoryChannel) -> Fraction:
    """Cycle of the last byte, burst by burst: a request leaves when the O-th before it is there, data come in order."""
    requests = channel.requests
    assert requests is not None
    rate, done = Fraction(requests.data_bytes_per_cycle), [Fraction(0)] * requests.n_outstanding
    while n_bytes:
        burst = min(requests.burst_bytes, n_bytes)
        first_word = max(done[-requests.n_outstanding] + channel.latency_cycles, done[-1])
        done.append(first_word + burst / rate)
        n_bytes -= burst
    return done[-1]


@st.composite
def requested(draw: st.DrawFn) -> MemoryChannel:
    requests = Requests(
        burst_bytes=draw(st.integers(1, 64)),
        n_outstanding=draw(st.integers(1, 6)),
        data_bytes_per_cycle=draw(st.sampled_from([0.25, 0.5, 1.0, 2.0, 8.0, 32.0])),
    )
    latency = draw(st.integers(0, 40))
    return MemoryChannel(bytes_per_cycle=requests.bytes_per_cycle(latency), latency_cycles=latency, requests=requests)


@given(requested(), st.integers(1, 2000))
@MANY
def test_a_copy_takes_as_long_as_its_requests_one_by_one(channel: MemoryChannel, n_bytes: int) -> None:
    assert transfer_cycles(n_bytes, channel).latency_cycles == math.ceil(finish_of_requests(n_bytes, channel))


@given(requested(), st.integers(1, 5), st.integers(2, 5))
@MANY
def test_transfers_of_whole_rounds_follow_each_other_at_their_occupancy(
    channel: MemoryChannel, rounds: int, n_transfers: int
) -> None:
    assert channel.requests is not None
    n_bytes = rounds * channel.requests.n_outstanding * channel.requests.burst_bytes
    spacing = finish_of_requests(n_transfers * n_bytes, channel) - finish_of_requests(n_bytes, channel)
    exact = Fraction(n_bytes) / Fraction(channel.requests.data_bytes_per_cycle)
    if channel.bytes_per_cycle < channel.requests.data_bytes_per_cycle:
        exact = rounds * (channel.latency_cycles + exact / (rounds * channel.requests.n_outstanding))
    assert spacing == (n_transfers - 1) * exact
    assert transfer_cycles(n_bytes, channel).occupancy_cycles == math.ceil(exact)


MEMORY_KEYS = ("memory_channels", "memory_port_bits", "memory_burst_beats", "memory_outstanding")


@st.composite
def memory_pairs(draw: st.DrawFn) -> tuple[MemoryChannel, MemoryChannel, MemoryChannel]:
    """A channel, one that is better in one respect, and the memory alone, without port and requests."""
    figures: dict[str, Any] = {
        "memory_channels": draw(st.integers(1, 8)),
        "memory_port_bits": draw(st.sampled_from([8, 32, 128, 512])),
        "memory_burst_beats": draw(st.sampled_from([1, 4, 16, 32])),
        "memory_outstanding": draw(st.integers(1, 8)),
        "memory_efficiency_fraction": draw(st.sampled_from([0.1, 0.3, 0.5])),
        "memory_latency_ns": draw(st.sampled_from([0.0, 10.0, 101.0, 150.0])),
        "clock_mhz": draw(st.sampled_from([100.0, 214.0, 300.0])),
    }
    key = draw(st.sampled_from([name for name in figures if name != "clock_mhz"]))
    factor = Fraction(1, 2) if key == "memory_latency_ns" else 2
    better = figures | {key: type(figures[key])(figures[key] * factor)}
    rest = {"n_channels": 16, "channel_bits": 64}
    bandwidth = draw(st.sampled_from([2.1, 19.2, 460.0]))
    worse, improved, alone = (
        memory_channel(replace(DEFAULT, **values), bandwidth, 0.0, **rest)
        for values in (figures, better, figures | dict.fromkeys(MEMORY_KEYS))
    )
    return worse, improved, alone


@given(memory_pairs(), st.integers(0, 5000), st.integers(1, 20), st.integers(1, 300))
@MANY
def test_a_better_memory_is_never_slower_and_none_is_above_its_peak(
    pair: tuple[MemoryChannel, MemoryChannel, MemoryChannel], n_bytes: int, n_rows: int, row_bytes: int
) -> None:
    worse, better, alone = pair
    assert better.bytes_per_cycle >= worse.bytes_per_cycle
    assert worse.bytes_per_cycle <= alone.bytes_per_cycle
    for cost in (transfer_cycles(n_bytes, worse), gather_cycles(n_rows, row_bytes, worse)):
        assert cost.occupancy_cycles >= 0
    for cost, gain, peak in (
        (transfer_cycles(n_bytes, worse), transfer_cycles(n_bytes, better), transfer_cycles(n_bytes, alone)),
        (
            gather_cycles(n_rows, row_bytes, worse),
            gather_cycles(n_rows, row_bytes, better),
            gather_cycles(n_rows, row_bytes, alone),
        ),
    ):
        assert gain.occupancy_cycles <= cost.occupancy_cycles
        assert gain.latency_cycles <= cost.latency_cycles
        assert peak.occupancy_cycles <= cost.occupancy_cycles
    assert transfer_cycles(n_bytes, worse).occupancy_cycles >= math.floor(n_bytes / worse.bytes_per_cycle)


@given(memory_pairs(), st.integers(1, 3000), st.integers(1, 3000))
@MANY
def test_one_transfer_never_takes_longer_than_its_two_parts(
    pair: tuple[MemoryChannel, MemoryChannel, MemoryChannel], first: int, second: int
) -> None:
    whole, parts = transfer_cycles(first + second, pair[0]), (transfer_cycles(n, pair[0]) for n in (first, second))
    assert whole.occupancy_cycles <= sum(part.occupancy_cycles for part in parts)


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
    assert large.panel_bytes == 0
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


def test_sentences_that_share_streamed_weights_each_have_their_live_results() -> None:
    block = 128 * (768 + 3072 + 768)
    interleaved = replace(DEFAULT, exit_overlap="interleave", n_interleaved=3)
    shared = replace(interleaved, share_weights=True)
    assert activation_bytes(ALBERT, shared) == 3 * block  # streamed: the layer does not fit the default design
    kept = (replace(design, weight_placement="on_chip", weight_buffer_kib=8192) for design in (shared, interleaved))
    assert len({activation_bytes(ALBERT, design) for design in kept}) == 1
    with pytest.raises(DoesNotFit, match=r"activation_buffer_kib 1728 needed, 1280 .* a smaller --batch, or a larger"):
        check_activations(ALBERT, shared)


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
