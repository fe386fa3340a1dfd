from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.accelerator import layers_per_engine
from hexit.hw_model.design_files import load_design
from hexit.hw_model.memory.buffers import place_weights
from hexit.hw_model.memory.channel import MemoryChannel, Requests, engine_channel, transfer_cycles
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.shapes import BERT_BASE
from hexit.quant.workload import encoder_workload
from support.strategies import LAWS


@given(st.integers(1, 40), st.data())
@LAWS
def test_shares_are_as_equal_as_possible_and_grow_towards_the_back(n_layers: int, data: st.DataObject) -> None:
    n_engines = data.draw(st.integers(1, n_layers))
    shares = layers_per_engine(n_layers, n_engines)
    assert (len(shares), sum(shares)) == (n_engines, n_layers)
    assert list(shares) == sorted(shares)
    assert shares[-1] - shares[0] <= 1


def test_an_engine_without_a_layer_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"design.n_engines = 13: must be at most 12, the layers of the network"):
        layers_per_engine(12, 13)
    assert layers_per_engine(12, 4, (1, 2, 3, 6)) == (1, 2, 3, 6)
    with pytest.raises(ConfigError, match=r"design.engine_layers = \[1, 2, 3, 5\]: must be 12 layers together, not 11"):
        layers_per_engine(12, 4, (1, 2, 3, 5))


def test_engines_share_the_rate_and_the_requests_of_the_channel() -> None:
    plain = MemoryChannel(bytes_per_cycle=64.0, latency_cycles=20)
    assert engine_channel(plain, 4) == MemoryChannel(bytes_per_cycle=16.0, latency_cycles=20)
    requests = Requests(burst_bytes=64, n_outstanding=9, data_bytes_per_cycle=64.0)
    channel = MemoryChannel(bytes_per_cycle=requests.bytes_per_cycle(30), latency_cycles=30, requests=requests)
    share = engine_channel(channel, 4)
    assert share.requests == Requests(burst_bytes=64, n_outstanding=2, data_bytes_per_cycle=16.0)
    with pytest.raises(ConfigError, match=r"design.memory_outstanding = 9: must be at least 10, one for each of n_eng"):
        engine_channel(channel, 10)


@given(st.integers(1, 8), st.integers(8, 64), st.floats(0.5, 64), st.integers(0, 50), st.integers(1, 5000))
@LAWS
def test_engines_together_are_never_faster_than_the_channel(
    n_engines: int, n_outstanding: int, rate: float, latency: int, n_bytes: int
) -> None:
    requests = Requests(burst_bytes=64, n_outstanding=n_outstanding, data_bytes_per_cycle=rate)
    channel = MemoryChannel(
        bytes_per_cycle=requests.bytes_per_cycle(latency), latency_cycles=latency, requests=requests
    )
    share = engine_channel(channel, n_engines)
    assert n_engines * share.bytes_per_cycle <= channel.bytes_per_cycle * (1 + 1e-12)
    whole = transfer_cycles(n_bytes, channel).occupancy_cycles
    assert transfer_cycles(n_bytes, share).occupancy_cycles >= whole


def test_an_engine_holds_its_own_layers_alone() -> None:
    workload = encoder_workload(BERT_BASE, QuantConfig.uniform(8), 128)
    design = replace(load_design("default"), weight_buffer_kib=128 * 1024, weight_placement="on_chip")
    twelve, two, one = (
        place_weights(workload, replace(design, mapping="spatial", n_engines=n)).resident_bytes for n in (1, 6, 12)
    )
    assert two - one > workload.layer_weight_bytes  # and norms, biases and an exit head
    assert twelve - one == 11 * (two - one)
