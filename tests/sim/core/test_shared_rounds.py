"""Sentences that share weights: equal to naive rounds, nothing lost, every panel streamed once a round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hexit.hw_model.design_files import load_design
from hexit.hw_model.device import load_device
from hexit.hw_model.memory.channel import MemoryChannel, device_channel
from hexit.quant.arrays import Integers
from hexit.quant.config import QuantConfig
from hexit.quant.shapes import ALBERT_BASE, BERT_BASE
from hexit.quant.workload import encoder_workload
from hexit.sim.core import shared_stream
from hexit.sim.core.compile import compile_program
from hexit.sim.core.program import Program, Unit
from hexit.sim.core.queueing import SERVED, Admission
from hexit.sim.core.sections import sections_of, shared_transfers
from hexit.sim.core.shared_stream import share_rounds
from hexit.sim.core.stream import run_slots
from hexit.sim.core.stream_levels import stream_levels
from support.oracles_rounds import naive_rounds
from support.strategies import DECISION, LAWS, channels, designs, workloads
from support.streams import stream_of, table_of

FAST = MemoryChannel(bytes_per_cycle=1000.0, latency_cycles=0)


@dataclass(frozen=True)
class Stream:
    """Sentences of one network in one or two lengths: program, exit and arrival of each."""

    programs: list[Program]
    index: list[int]
    leaves: list[int]
    arrivals: list[int]
    n_slots: int
    evaluated: list[bool]

    @property
    def legal(self) -> tuple[int, ...]:
        return tuple(layer for layer, is_evaluated in enumerate(self.evaluated, 1) if is_evaluated)

    def shared(self, **options: Any) -> tuple[Integers, Integers, Integers, Integers]:
        arrays = np.array(self.leaves), np.array(self.arrivals), self.n_slots, self.legal
        return share_rounds(self.programs, *arrays, program_index=np.array(self.index), **options)


@st.composite
def streams(draw: st.DrawFn, most: int = 8) -> Stream:
    design = replace(draw(designs()), exit_overlap="stall", head_lanes=draw(st.sampled_from([1, 6])))
    assume(not design.array.fold.stages_operands)
    first, channel = draw(workloads()), draw(channels() | st.just(FAST))  # a panel that comes before the decision
    lengths = [first.sequence_length, *draw(st.lists(st.integers(1, 9), max_size=1))]
    several = [encoder_workload(first.shape, first.quant, length) for length in lengths]
    programs = [compile_program(workload, design, channel, DECISION) for workload in several]
    n, n_layers = draw(st.integers(1, most)), first.shape.n_layers
    evaluated = [*draw(st.tuples(*[st.booleans()] * (n_layers - 1))), True]
    legal = [layer for layer in range(1, n_layers + 1) if evaluated[layer - 1]]
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    gap = draw(st.sampled_from([0, 3, 100, 5000]))
    return Stream(
        programs=programs,
        index=generator.integers(0, len(programs), n).tolist(),
        leaves=generator.choice(legal, n).tolist(),
        arrivals=np.cumsum(generator.integers(0, gap + 1, n)).tolist(),
        n_slots=draw(st.integers(1, 5)),
        evaluated=evaluated,
    )


def naive(stream: Stream) -> Any:
    given = stream.programs, stream.index, stream.leaves, stream.arrivals, stream.n_slots, stream.evaluated
    return naive_rounds(*given)


def sharing(program: Program, n: int) -> Program:
    return replaced(program, exit_overlap="interleave", n_interleaved=n, share_weights=True)


def replaced(program: Program, **keys: Any) -> Program:
    design = replace(program.accelerator, **keys)
    return compile_program(program.workload, design, program.channel, DECISION)


@given(streams())
@LAWS
def test_rounds_equal_tasks_queued_one_by_one_and_a_machine_stepped_cycle_by_cycle(stream: Stream) -> None:
    start, finish, verdict, _ = stream.shared()
    found, rounds = naive(stream)
    assert list(zip(start.tolist(), finish.tolist(), strict=True)) == found
    assert (verdict == SERVED).all()
    rounds.machine.run()
    assert [task.start for task, _ in rounds.tasks] == [begin for _, begin in rounds.tasks]


def test_a_panel_that_is_there_does_not_let_a_sentence_start_before_its_own_decision() -> None:
    """Classifiers of 48 cycles one after the other, a first tile of 12 cycles, panels that come in one cycle."""
    sizes: dict[str, int] = {"hidden_size": 12, "n_heads": 2, "ffn_size": 16, "embedding_size": 4, "n_classes": 4}
    shape = ALBERT_BASE.resized(n_layers=3, **sizes)
    arrays: dict[str, Any] = {"array_rows": 8, "array_columns": 4, "head_lanes": 1, "n_weight_buffers": 3}
    design = replace(load_design("default"), weight_placement="streamed", **arrays)
    program = compile_program(encoder_workload(shape, QuantConfig.uniform(8), 6), design, FAST, DECISION)
    leaves = [3, 2, 3, 1, 3, 2]
    stream = Stream([program], [0] * 6, leaves, [0] * 6, 3, [True] * 3)
    start, finish, *_ = stream.shared()
    assert list(zip(start.tolist(), finish.tolist(), strict=True)) == naive(stream)[0]


@given(streams(most=120), st.sampled_from([1, 4, 1 << 14]))
@LAWS
def test_rounds_that_are_remembered_equal_rounds_that_are_run(stream: Stream, most_remembered: int) -> None:
    start, finish, _, n_passes = stream.shared(most_remembered=most_remembered)
    found, rounds = naive(stream)
    assert list(zip(start.tolist(), finish.tolist(), strict=True)) == found
    passes = Counter(kind for kind, *_ in {(one.kind, one.round, one.weights) for one in rounds.transfers})
    for kind, streamed in enumerate(shares(stream.programs[0])):
        assert passes[kind] == (int(n_passes[kind]) if streamed else 0)


def shares(program: Program) -> list[bool]:
    """Whether prologue, layer and exit stream parameters."""
    return [
        bool(shared_transfers(group, ops).any())
        for group, ops in zip(program.groups, program.workload.groups, strict=True)
    ]


@given(streams())
@LAWS
def test_every_sentence_runs_its_layers_once_and_every_panel_of_a_round_is_streamed_once(stream: Stream) -> None:
    _, rounds = naive(stream)
    assert rounds.layers_run == {sentence: list(range(layer)) for sentence, layer in enumerate(stream.leaves)}
    panels = Counter((one.round, one.kind, one.weights, one.op, one.panel) for one in rounds.transfers)
    assert set(panels.values()) <= {1}
    program = stream.programs[0]
    for kind, (group, ops) in enumerate(zip(program.groups, program.workload.groups, strict=True)):
        expected = {(int(group.op[t]), int(group.panel[t])) for t in np.flatnonzero(shared_transfers(group, ops))}
        by_pass: dict[tuple[int, int], set[tuple[int, int]]] = {}
        for one in rounds.transfers:
            if one.kind == kind:
                by_pass.setdefault((one.round, one.weights), set()).add((one.op, one.panel))
        assert all(found == expected for found in by_pass.values())


@given(streams())
@LAWS
def test_bytes_are_those_of_the_transfers_and_work_is_that_of_sentences_which_do_not_share(stream: Stream) -> None:
    n = max(2, stream.n_slots)
    stream = replace(stream, n_slots=n)
    options: dict[str, Any] = {"evaluated_layers": stream.legal, "program_index": stream.index}
    designs_: tuple[Callable[[Program], Program], ...] = (
        lambda program: sharing(program, n),
        lambda program: replaced(program, exit_overlap="interleave", n_interleaved=n),
    )
    together, apart = (
        stream_of([design(program) for program in stream.programs], stream.leaves, stream.arrivals, **options)
        for design in designs_
    )
    _, rounds = naive(stream)
    assert together.off_chip_bytes == sum(one.n_bytes for one in rounds.transfers) + rounds.own_bytes
    assert together.off_chip_bytes <= apart.off_chip_bytes
    assert together.macs == apart.macs == rounds.macs
    assert (together.n_layers, together.n_exits) == (apart.n_layers, apart.n_exits)
    busy = Counter[int]()
    for task, _ in rounds.tasks:
        busy[task.unit] += task.occupancy
    assert together.busy_cycles.tolist() == [busy[unit] for unit in Unit]
    others = np.arange(len(Unit)) != Unit.DMA
    assert (together.busy_cycles[others] == apart.busy_cycles[others]).all()
    assert (together.wasted_cycles == 0).all()
    assert together.total_cycles >= together.off_chip_bytes / stream.programs[0].channel.bytes_per_cycle
    assert together.busy_cycles.max() <= together.total_cycles
    levels = stream_levels(together, 5)
    assert np.diff(levels.edge_cycle) @ levels.utilisation_fraction == pytest.approx(together.busy_cycles, rel=1e-9)


@given(streams())
@LAWS
def test_one_resident_is_a_design_that_stalls(stream: Stream) -> None:
    alone = replace(stream, n_slots=1)
    start, finish, _, n_passes = alone.shared()
    arrays = np.array(stream.leaves), np.array(stream.arrivals), 1, stream.legal
    expected = run_slots(stream.programs, *arrays, program_index=np.array(stream.index))
    assert (start.tolist(), finish.tolist()) == (expected[0].tolist(), expected[1].tolist())
    n_exits = sum(sum(stream.evaluated[:layer]) for layer in stream.leaves)
    assert n_passes.tolist() == [len(stream.leaves), sum(stream.leaves), n_exits]


@given(streams(), st.floats(1.0, 8.0))
@LAWS
def test_a_wider_port_is_never_slower_in_a_closed_loop(stream: Stream, factor: float) -> None:
    closed = replace(stream, arrivals=[0] * len(stream.leaves))
    channel = closed.programs[0].channel
    wide = replace(channel, bytes_per_cycle=channel.bytes_per_cycle * factor)
    faster = [compile_program(one.workload, one.accelerator, wide, DECISION) for one in closed.programs]
    assert (replace(closed, programs=faster).shared()[1] <= closed.shared()[1]).all()


@given(streams())
@LAWS
def test_sentences_far_apart_do_not_feel_each_other(stream: Stream) -> None:
    tables = [table_of(program, stream.legal).latency_cycles for program in stream.programs]
    alone = [int(tables[which][layer - 1]) for which, layer in zip(stream.index, stream.leaves, strict=True)]
    apart = replace(stream, arrivals=[number * (max(alone) + 1) for number in range(len(alone))])
    start, finish, *_ = apart.shared()
    assert (finish - start).tolist() == alone
    start, finish, *_ = stream.shared()
    assert (finish - start >= np.array(alone)).all()


@given(streams(most=30), st.integers(0, 3), st.integers(0, 500), st.booleans())
@LAWS
def test_compiled_and_plain_python_agree_whoever_is_dropped(
    stream: Stream, n_places: int, deadline: int, drops_late: bool
) -> None:
    admission = Admission(n_places, deadline, drops_late)
    compiled = stream.shared(admission=admission)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_stream, "run_rounds", shared_stream.run_rounds.py_func)
        plain = stream.shared(admission=admission)
    served = compiled[2] == SERVED
    for one, other in zip(compiled, plain, strict=True):
        assert one.size != served.size or (one == other)[served].all()
    assert compiled[2].tolist() == plain[2].tolist()
    waits = (compiled[0] - np.array(stream.arrivals))[served]
    assert not drops_late or (waits <= deadline).all()
    n_resident = [int((served & (compiled[0] <= t) & (compiled[1] > t)).sum()) for t in compiled[0][served]]
    assert max(n_resident, default=0) <= stream.n_slots


@given(streams())
@LAWS
def test_all_lengths_of_a_network_have_the_same_sections(stream: Stream) -> None:
    sections = sections_of(stream.programs)
    counts = np.diff(sections.first_section).reshape(-1, 3)
    assert (counts == counts[0]).all()
    for number, program in enumerate(stream.programs):
        for kind, group in enumerate(program.groups):
            first, last = sections.first_section[3 * number + kind :][:2]
            assert sections.begin[first] == 0
            assert sections.end[last - 1] == group.n_tasks
            assert (sections.begin[first + 1 : last] == sections.end[first : last - 1]).all()


def streamed(name: str, shape: Any, n: int, n_tokens: int = 32, **keys: Any) -> Program:
    changes: dict[str, Any] = {"weight_placement": "streamed", "activation_buffer_kib": 8192} | keys
    design = replace(load_design(name), exit_overlap="interleave", n_interleaved=n, **changes)
    workload = encoder_workload(shape, QuantConfig.uniform(8), n_tokens)
    return compile_program(workload, design, device_channel(design, load_device(design.device)), DECISION)


def test_four_sentences_of_albert_stream_its_layer_once_a_round() -> None:
    program = streamed("albert-base-u280", ALBERT_BASE, 4, share_weights=True)
    found = stream_of(program, [12, 12, 12, 12])
    stored = 7_077_888 + 4 * (4 * 768 + 3072 + 768 + 4 * 768)  # weights, biases, gains and shifts of a layer
    head = 768 * 768 + 768 * 2 + 4 * (768 + 2)
    first = 128 * 768 + 4 * (768 + 2 * 128)
    gathered = 4 * 32 * 3 * 128
    assert found.off_chip_bytes == 12 * (stored + head) + first + gathered
    apart = stream_of(replaced(program, share_weights=False), [12, 12, 12, 12])
    assert apart.off_chip_bytes == 4 * (12 * (stored + head) + first) + gathered


def test_bert_at_different_depths_shares_nothing_and_at_the_same_depth_everything() -> None:
    """The second sentence comes while the first one is in its first layer, so that they are never at the same one."""
    program = streamed("albert-base-u280", BERT_BASE, 2, share_weights=True)
    apart = replaced(program, share_weights=False)
    bytes_of = {
        (one, when): stream_of(one, [12, 12], [0, when]).off_chip_bytes for one in (program, apart) for when in (0, 1)
    }
    assert bytes_of[apart, 0] == bytes_of[apart, 1] == bytes_of[program, 1]
    gathered = 2 * 32 * 3 * 768
    assert 2 * (bytes_of[program, 0] - gathered) == bytes_of[apart, 0] - gathered


def test_sharing_helps_where_the_port_is_narrow_and_not_where_weights_stay_on_chip() -> None:
    leaves = np.resize([3, 1, 12, 5, 4, 8], 60)

    def cycles(**keys: Any) -> list[int]:
        return [
            stream_of(streamed("albert-base-u280", ALBERT_BASE, 4, **keys, share_weights=shares), leaves).total_cycles
            for shares in (False, True)
        ]

    apart, together = cycles(memory_channels=1)
    assert together < 0.55 * apart
    apart, together = cycles(weight_placement="on_chip")
    assert together == pytest.approx(apart, rel=0.01)
