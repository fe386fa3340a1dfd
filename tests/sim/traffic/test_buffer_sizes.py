from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.area.estimate import estimate
from hexit.hw_model.area.resources import Resources, available
from hexit.hw_model.design_files import load_design
from hexit.hw_model.device import load_device
from hexit.hw_model.memory.channel import device_channel
from hexit.quant.arrays import Integers
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import encoder_workload
from hexit.sim.core.compile import compile_program
from hexit.sim.core.spatial import simulate_spatial
from hexit.sim.core.spatial_costs import SpatialCosts, spatial_costs
from hexit.sim.traffic.buffer_sizes import BufferSizes, hidden_state_bytes, result_bits, size_buffers
from support.oracles_spatial import Machine
from support.spatial_tables import made_up, small_tables, streams
from support.strategies import DECISION, LAWS


def sizes_of(table: SpatialCosts, leaves: Integers, arrival: Integers, loss_fraction: float = 0.0) -> BufferSizes:
    return size_buffers(simulate_spatial([table], leaves, arrival), arrival, loss_fraction=loss_fraction)


@pytest.mark.slow
@given(small_tables(), st.data())
@LAWS
def test_sizes_equal_a_count_over_every_cycle_and_a_search_over_every_depth(
    table: SpatialCosts, data: st.DataObject
) -> None:
    leaves, arrival = data.draw(streams(table))
    sizes = sizes_of(table, leaves, arrival)
    own = Machine(table, leaves.tolist(), arrival.tolist(), table.program.accelerator.fifo_sentences).run()
    assert (sizes.reorder_results, sizes.conditional_states) == (own.reorder_high, own.undecided_high)
    by_depth = [
        max(Machine(table, leaves.tolist(), arrival.tolist(), depth).run().finish.values())
        for depth in range(1, leaves.size + 1)
    ]
    assert sizes.fifo_sentences == by_depth.index(by_depth[-1]) + 1
    assert all(point.total_cycles == by_depth[point.fifo_sentences - 1] for point in sizes.points)
    deepest = Machine(table, leaves.tolist(), arrival.tolist(), leaves.size).run()
    assert sizes.fifo_high_water == tuple(deepest.fifo_high)


def test_a_fifo_is_needed_where_a_slow_engine_sees_a_few_sentences_at_a_time() -> None:
    """Three sentences for a second engine of 24 cycles, then five that leave after 10, again and again.

    A second place lets the third one in at once; with one place the first engine waits for 4 cycles in every round.
    """
    table = made_up([10, 24], n_engines=2, exit_cycles=0, speculates=False)
    leaves = np.tile([2, 2, 2, 1, 1, 1, 1, 1], 50)
    sizes = sizes_of(table, leaves, np.zeros_like(leaves))
    assert [(point.fifo_sentences, point.total_cycles) for point in sizes.points] == [(1, 50 * 84), (2, 49 * 80 + 82)]
    assert sizes.fifo_sentences == 2
    assert sizes_of(table, leaves, np.zeros_like(leaves), loss_fraction=0.05).fifo_sentences == 1


def test_a_share_of_the_throughput_may_be_given_up() -> None:
    table = made_up([10, 24], n_engines=2, exit_cycles=0, speculates=False)
    leaves = np.random.default_rng(3).choice([1, 2], 5000, p=[0.6, 0.4])
    exact, nearly = (sizes_of(table, leaves, np.zeros_like(leaves), loss_fraction=loss) for loss in (0, 0.01))
    assert nearly.fifo_sentences < exact.fifo_sentences
    limit = exact.points[-1].total_cycles
    for point in nearly.points:
        total = simulate_spatial([table], leaves, 0 * leaves, fifo_sentences=point.fifo_sentences).total_cycles
        assert total == point.total_cycles
        assert (total * 0.99 <= limit) == (point.fifo_sentences >= nearly.fifo_sentences)
    rates = [point.sentences_per_s for point in exact.points]
    assert rates == sorted(rates)


def test_bytes_are_those_of_hidden_states_and_results() -> None:
    table = made_up([10, 24], n_engines=2, exit_cycles=4, speculates=False)
    workload = table.program.workload  # 2 rows of 8 bytes; 2 logits of 16 bits and one bit for two layers
    sizes = sizes_of(table, np.array([2, 1, 1, 2]), np.zeros(4, np.int64))
    assert (hidden_state_bytes(workload), result_bits(workload)) == (16, 33)
    assert sizes.conditional_states == 1
    assert (sizes.conditional_bytes, sizes.conditional_bram18) == (16, 2)  # 64 bits wide, 2 words deep
    assert sizes.fifo_bytes == 16 * sizes.fifo_sentences
    assert sizes.reorder_bytes == -(-33 * sizes.reorder_results // 8)


def test_one_engine_needs_no_buffers() -> None:
    table = made_up([10, 24], n_engines=1, exit_cycles=4, speculates=True)
    sizes = sizes_of(table, np.array([2, 1, 1, 2]), np.zeros(4, np.int64))
    assert (sizes.reorder_results, sizes.conditional_states, sizes.fifo_high_water) == (0, 0, ())


def test_everything_cannot_be_given_up() -> None:
    table = made_up([10, 24], n_engines=2, exit_cycles=4, speculates=True)
    with pytest.raises(ConfigError, match="loss_fraction = 1: must be 0 or more and below 1"):
        sizes_of(table, np.array([2]), np.zeros(1, np.int64), loss_fraction=1)


def test_the_shipped_design_has_room_for_its_fifos_and_needs_no_deeper_ones() -> None:
    design, device = load_design("albert-base-u280-spatial"), load_device("u280")
    workload = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 128)
    program = compile_program(workload, design, device_channel(design, device), DECISION)
    table = spatial_costs(program, np.ones(12, np.bool_))
    leaves = np.random.default_rng(11).integers(1, 13, 2000)
    sizes = sizes_of(table, leaves, np.zeros_like(leaves))
    assert sizes.fifo_sentences == design.fifo_sentences == 1
    assert (sizes.hidden_state_bytes, sizes.fifo_bram18) == (98_304, 45)
    fifos = Resources(bram18=sizes.fifo_bram18) * (design.n_engines - 1)
    assert (estimate(workload, design, device).total + fifos).fits(available(device))
