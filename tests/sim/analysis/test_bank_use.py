"""Accesses to the activation banks: counted in closed form and walked one by one, and what ports could cost."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.area.memory_blocks import activation_banks, operand_lanes
from hexit.hw_model.design_files import load_design
from hexit.hw_model.memory.channel import MemoryChannel
from hexit.quant.config import QuantConfig
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import Workload, encoder_workload
from hexit.sim.analysis.bank_use import BANKS, PORTS, BankUse, bank_use, op_accesses, op_groups
from hexit.sim.core.compile import compile_program
from hexit.sim.core.lone_sentence import simulate_sentence
from hexit.sim.core.sentence import SentenceRun
from hexit.sim.report.build import build_report
from support.command_line import Simulate
from support.oracles_banks import stopped_engine_cycles, walked
from support.strategies import DECISION, LAWS, channels, designs, workloads

KINDS = ("array_reads", "result_writes", "vector_reads", "vector_writes")
FAST = MemoryChannel(bytes_per_cycle=64.0, latency_cycles=0)


def lone_run(workload: Workload, design: Accelerator, channel: MemoryChannel = FAST) -> SentenceRun:
    return simulate_sentence(compile_program(workload, design, channel, DECISION))


def albert_base(name: str, n_tokens: int) -> tuple[SentenceRun, BankUse]:
    run = lone_run(
        encoder_workload(ALBERT_BASE, QuantConfig(weight_bits=8, activation_bits=8), n_tokens), load_design(name)
    )
    use = bank_use(run, 2)
    assert use is not None
    return run, use


@LAWS
@given(workloads(), designs())
def test_accesses_are_those_of_a_walk_over_every_cycle_and_element(workload: Workload, design: Accelerator) -> None:
    touches, ops = walked(workload.layer, design), workload.layer
    lanes = dict(zip(BANKS, operand_lanes(design.array), strict=True))
    found = [one for number in range(len(ops)) for one in op_accesses(ops, number, design)]
    for number in range(len(ops)):
        for bank in BANKS:
            for kind in KINDS:
                ours = [one for one in found if (one.op, one.bank, one.kind) == (number, bank, kind)]
                theirs = [t for t in touches if (t.op, t.bank, t.kind) == (number, bank, kind)]
                assert sum(one.n for one in ours) == len(theirs)
                assert sum(one.n for one in ours if one.streamed) == sum(touch.streamed for touch in theirs)
                if design.n_arrays == design.products_per_position == 1:
                    first_lane = [t for t in theirs if any(token % lanes[bank] == 0 for token in t.tokens)]
                    assert sum(one.n_lane for one in ours) == len(first_lane)


@LAWS
@given(workloads(), designs(), channels(), st.integers(0, 2**32), st.data())
def test_an_engine_that_stops_for_its_ports_lies_between_the_bounds(
    workload: Workload, design: Accelerator, channel: MemoryChannel, seed: int, data: st.DataObject
) -> None:
    run, layer = lone_run(workload, design, channel), data.draw(st.integers(1, workload.shape.n_layers))
    use = bank_use(run, layer)
    if use is None:
        assert design.array.fold.stages_operands
        return
    stopped = stopped_engine_cycles(run, layer, walked(workload.layer, design), random.Random(seed))
    assert use.cycles <= use.cycles_at_least <= stopped <= use.cycles_at_most
    assert (use.cycles_at_least_row_banks is None) == (design.n_arrays * design.products_per_position > 1)
    if use.cycles_at_least_row_banks is not None:
        assert use.cycles <= use.cycles_at_least_row_banks <= use.cycles_at_least


@LAWS
@given(workloads(), designs())
def test_groups_share_out_the_ops_and_their_accesses(workload: Workload, design: Accelerator) -> None:
    groups = op_groups(workload.layer)
    assert [number for group in groups for number in group] == list(range(len(workload.layer)))
    run = lone_run(workload, design)
    use = bank_use(run, 1)
    if use is None:
        return
    touches = walked(workload.layer, design)
    for bank in BANKS:
        loads = [getattr(group, bank) for group in use.groups]
        assert sum(load.n for load in loads) == sum(touch.bank == bank for touch in touches)
        for group, load in zip(use.groups, loads, strict=True):
            assert load.pressure_fraction == load.n / (PORTS * group.cycles)


def test_attention_of_albert_base_is_counted_by_hand() -> None:
    """A head of 128 tokens on 32 x 64: 512 cycles a product, rows of 128 in 4 steps of 32 lanes, 2 words of 64."""
    _, use = albert_base("albert-base-zcu102", 128)
    attention = next(group for group in use.groups if "softmax" in group.ops)
    assert attention.ops == ("scores", "softmax", "context")
    left, right, heads = attention.left, attention.right, 12
    assert (left.array_reads, right.array_reads) == (heads * (512 + 512), heads * (512 + 512))
    assert left.result_writes == heads * (128 * 2 + 128)  # scores, and a context of 64 columns
    assert (left.vector_reads, left.vector_writes) == (heads * 3 * 128 * 4, heads * 128 * 4)
    assert (right.result_writes, right.vector_reads, right.vector_writes) == (0, 0, 0)
    assert left.pressure_fraction > 1 > right.pressure_fraction
    keys = next(group for group in use.groups if group.ops == ("key",))
    assert (keys.right.result_writes, keys.left.result_writes) == (128 * 12, 0)


@pytest.mark.parametrize("name", ["default", "albert-base-zcu102", "albert-base-u280"])
def test_shipped_designs_ask_too_much_of_the_left_bank_in_attention_alone(name: str) -> None:
    run, use = albert_base(name, 128)
    too_much = [group.ops for group in use.groups if group.left.pressure_fraction > 1]
    assert too_much == [("scores", "softmax", "context")]
    assert 1 < use.slowdown_at_least < 1.01 < use.slowdown_at_most < 1.15
    assert use.slowdown_at_least_row_banks == 1
    assert use.left.turned
    assert use.right.turned
    banks = activation_banks(run.program.workload, run.program.accelerator)
    assert (use.left.counted_bram18, use.right.counted_bram18) == tuple(bank.bram18 for bank in banks)
    assert use.left.row_bank_bram18 > use.left.counted_bram18


def test_a_slow_unit_leaves_its_bank_time() -> None:
    """One lane: softmax makes an access a cycle, in its last pass two, and the array works once in a while."""
    design = replace(load_design("default"), softmax_lanes=1)
    workload = encoder_workload(ALBERT_BASE, QuantConfig(weight_bits=8, activation_bits=8), 32)
    use = bank_use(lone_run(workload, design), 1)
    assert use is not None
    attention = next(group for group in use.groups if "softmax" in group.ops)
    assert attention.left.pressure_fraction < 1
    assert use.cycles_at_least == use.cycles


def test_a_report_has_the_layer_of_the_sentence_that_it_shows_and_stages_have_no_banks(simulated: Simulate) -> None:
    outcome = simulated()
    report = build_report(outcome)
    assert report.bank_use == bank_use(outcome.sentence.run, report.memory.exit_layer)
    assert report.bank_use is not None
    assert report.bank_use.layer == report.memory.exit_layer
    assert build_report(simulated(design="hls-bert-u280-opt6")).bank_use is None
    preload_us = outcome.design.program.preload_cycles / outcome.setup.design.clock_mhz
    assert report.memory.preload_us == preload_us > 0
