from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.design_files import load_design
from hexit.hw_model.energy import EnergyCounts
from hexit.hw_model.memory.channel import MemoryChannel
from hexit.hw_model.task_cycles import TaskCycles
from hexit.hw_model.work import group_work
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import encoder_workload
from hexit.sim.core.compile import compile_program
from hexit.sim.core.program import Program
from hexit.sim.core.queueing import SERVED, Admission
from hexit.sim.core.stream import run_slots, stream_work
from hexit.sim.traffic.lengths import (
    EXACT,
    PADDED,
    LengthPolicy,
    compile_lengths,
    format_lengths,
    hardware_lengths,
    parse_lengths,
)
from support.command_line import Simulate
from support.oracles_stream import naive_turns
from support.strategies import DECISION, LAWS, programs
from support.streams import stream_of, table_of

EAGER = {"rule": "hardware:threshold=1.2,run_length=2"}  # sentences leave after layers 1 and 2 of the tiny model
CHANNEL = MemoryChannel(bytes_per_cycle=76.8, latency_cycles=20)
BUCKETS = LengthPolicy(bucket_tokens=(4, 8))


def of_length(program: Program, length: int, **changes: object) -> Program:
    """The program for sentences of another length."""
    decision = program.exit.decision - program.exit.n_ports
    cost = TaskCycles(
        occupancy_cycles=int(program.exit.occupancy_cycles[decision]),
        latency_cycles=int(program.exit.latency_cycles[decision]),
    )
    work = program.workload
    design = replace(program.accelerator, **changes)  # type: ignore[arg-type]
    return compile_program(encoder_workload(work.shape, work.quant, length), design, program.channel, cost)


def interleaved(program: Program, lengths: list[int], n: int) -> list[Program]:
    changes = {"exit_overlap": "interleave", "n_interleaved": n} if n > 1 else {"exit_overlap": "stall"}
    return [of_length(program, length, **changes) for length in lengths]


@pytest.mark.parametrize("text", ["padded", "exact", "buckets:4,8"])
def test_a_policy_is_read_and_written_as_one_text(text: str) -> None:
    assert format_lengths(parse_lengths(text)) == text


def test_buckets_lie_between_exact_and_padded() -> None:
    tokens = [1, 4, 5, 8, 9, 10, 30]  # the last one was cut
    assert hardware_lengths(EXACT, tokens, 10).tolist() == [1, 4, 5, 8, 9, 10, 10]
    assert hardware_lengths(BUCKETS, tokens, 10).tolist() == [4, 4, 8, 8, 10, 10, 10]
    assert hardware_lengths(PADDED, tokens, 10).tolist() == [10] * 7
    assert hardware_lengths(BUCKETS, tokens, 8).tolist() == [4, 4, 8, 8, 8, 8, 8]


@given(programs(), st.integers(1, 16))
@LAWS
def test_a_longer_sentence_is_never_faster(program: Program, length: int) -> None:
    """So a bucket is never faster than the exact length in it, and never slower than padding to the longest."""
    short, long = sorted([length, program.workload.sequence_length])
    tables = [table_of(of_length(program, n)) for n in (short, long)]
    for column in ("latency_cycles", "macs", "off_chip_bytes", "busy_cycles"):
        assert (getattr(tables[0], column) <= getattr(tables[1], column)).all(), column


def test_a_length_is_compiled_once() -> None:
    asked: list[int] = []
    workload = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 8)
    program = compile_program(workload, load_design("default"), CHANNEL, DECISION)

    def compiled(length: int) -> Program:
        asked.append(length)
        return of_length(program, length)

    found, index = compile_lengths(compiled, np.array([7, 3, 7, 5, 3]))
    assert [one.workload.sequence_length for one in found] == [3, 5, 7]
    assert (index.tolist(), asked) == ([2, 0, 2, 1, 0], [3, 5, 7])


@pytest.mark.slow
@given(programs(), st.data(), st.integers(1, 3))
@LAWS
def test_turns_of_several_lengths_equal_a_machine_stepped_cycle_by_cycle(
    program: Program, data: st.DataObject, n_slots: int
) -> None:
    several = interleaved(program, [1, 3, 6], n_slots)
    index = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=5))
    leaves = data.draw(st.lists(st.integers(1, program.n_layers), min_size=len(index), max_size=len(index)))
    result = stream_of(several, leaves, program_index=index)
    found = list(zip(result.start_cycle.tolist(), result.finish_cycle.tolist(), strict=True))
    assert found == naive_turns(several, index, leaves, n_slots)


@given(programs(), st.data())
@LAWS
def test_one_slot_is_the_lone_server_also_with_lengths_and_drops(program: Program, data: st.DataObject) -> None:
    several = interleaved(program, [2, 5], 1)
    n = data.draw(st.integers(1, 8))
    longest = int(table_of(several[1]).latency_cycles[-1])
    index, leaves, gaps = (
        np.array(data.draw(st.lists(st.integers(*between), min_size=n, max_size=n)))
        for between in ((0, 1), (1, program.n_layers), (0, longest))
    )
    admission = Admission(
        data.draw(st.integers(0, 3)), data.draw(st.integers(0, 2 * longest)), data.draw(st.booleans())
    )
    arrival = np.cumsum(gaps)
    result = stream_of(several, leaves, arrival, program_index=index, admission=admission)
    start, finish, verdict = run_slots(several, leaves, arrival, 1, program_index=index, admission=admission)
    served = verdict == SERVED
    assert (result.verdict == verdict).all()
    assert (result.start_cycle[served] == start[served]).all()
    assert (result.finish_cycle[served] == finish[served]).all()


@pytest.mark.slow
@given(programs(), st.data(), st.integers(1, 3))
@LAWS
def test_nobody_is_lost_and_work_is_that_of_the_served(program: Program, data: st.DataObject, n_slots: int) -> None:
    several = interleaved(program, [2, 5], n_slots)
    leaves, index = (
        np.array(data.draw(st.lists(st.integers(*b), min_size=9, max_size=9))) for b in ((1, program.n_layers), (0, 1))
    )
    service = int(table_of(several[0]).latency_cycles[0])
    arrival = np.arange(9) * data.draw(st.integers(0, service))
    admission = Admission(data.draw(st.integers(0, 2)), data.draw(st.integers(0, service)), data.draw(st.booleans()))
    result = stream_of(several, leaves, arrival, program_index=index, admission=admission)
    assert result.n_served + result.n_dropped_full + result.n_dropped_late == 9
    assert result.verdict[0] == SERVED
    served = result.served
    assert (result.start_cycle[~served] == -1).all()
    assert (result.start_cycle[served] >= arrival[served]).all()
    if admission.drops_late:
        assert ((result.start_cycle - arrival)[served] <= admission.deadline_cycles).all()
    macs = [several[i].workload.sentence_macs(layer) for i, layer in zip(index[served], leaves[served], strict=True)]
    assert result.macs == sum(macs)
    useful, _ = stream_work(several, result)
    by_hand = EnergyCounts(off_chip_bytes=result.off_chip_bytes)
    for i, layer in zip(index[served].tolist(), leaves[served].tolist(), strict=True):
        work, design = several[i].workload, several[i].accelerator
        for ops, times in ((work.prologue, 1), (work.layer, layer), (work.exit, layer)):
            by_hand += group_work(ops, work.quant, design) * times
    assert useful == by_hand


def test_a_run_at_its_own_lengths_is_never_slower_and_decides_the_same(simulated: Simulate) -> None:
    padded, exact, buckets = (simulated(**EAGER, lengths=text) for text in ("padded", "exact", "buckets:6,12"))
    for other in (exact, buckets):
        assert other.decisions.integer.exit_layer.tolist() == padded.decisions.integer.exit_layer.tolist()
    slow, medium, fast = (run.with_exits.result.latency_cycles for run in (padded, buckets, exact))
    assert (fast <= medium).all()
    assert (medium <= slow).all()
    assert fast.sum() < medium.sum() < slow.sum()
    assert exact.with_exits.energy.total_uj < buckets.with_exits.energy.total_uj < padded.with_exits.energy.total_uj
    tokens = exact.source.trace.lengths
    programs, index = exact.design.programs, exact.with_exits.result.program_index
    assert [programs[i].workload.sequence_length for i in index] == tokens.tolist()


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("lengths", ["exact", "buckets:2"])
def test_sentences_of_one_length_are_as_padded(lengths: str, batch: int, simulated: Simulate) -> None:
    """No sentence has less than three tokens, so all are cut to three."""
    one, padded = (simulated(**EAGER, seq_len=3, batch=batch, lengths=text) for text in (lengths, "padded"))
    assert one.with_exits.result.finish_cycle.tolist() == padded.with_exits.result.finish_cycle.tolist()
    assert one.with_exits.energy == padded.with_exits.energy
    assert len(one.design.programs) == 1


@pytest.mark.parametrize(
    "text", ["", "short", "exact:3", "padded:", "buckets", "buckets:", "buckets:3,x", "buckets:8,4", "buckets:0,4"]
)
def test_a_text_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--lengths = .*: (must be padded, exact|needs rising numbers of tokens)"):
        parse_lengths(text)


def test_a_bucket_beyond_the_longest_sentence_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--lengths = 8: is longer than the 7 tokens to which sentences are cut"):
        hardware_lengths(BUCKETS, [3], 7)
