from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import FoldTiming
from hexit.hw_model.memory.channel import MemoryChannel
from hexit.quant.arrays import Integers
from hexit.quant.config import QuantConfig
from hexit.quant.workload import Add, LayerNorm, MatMul
from hexit.sim.core.compile import compile_ops
from hexit.sim.core.interleaved import run_interleaved
from hexit.sim.core.program import UNIT_NAMES, Program, TaskProgram, Unit
from hexit.sim.core.queueing import Admission, empty_queue
from hexit.sim.core.recurrence import flatten, run_sentence, run_tasks
from support.oracles_engine import naive_starts
from support.strategies import LAWS, programs

DESIGN = Accelerator(
    name="story",
    device="zcu102",
    clock_mhz=100.0,
    array_rows=2,
    array_columns=2,
    fold=FoldTiming(),
    softmax_lanes=1,
    layer_norm_lanes=2,
    gelu_lanes=1,
    add_lanes=2,
    head_lanes=1,
    layer_norm_depth_cycles=5,
    add_depth_cycles=1,
    weight_buffer_kib=1,
    activation_buffer_kib=1,
)


def idle() -> Integers:
    return np.zeros(len(Unit), np.int64)


def engine_starts(tasks: TaskProgram, run: Callable[..., Any] = run_tasks) -> list[int]:
    start, time = np.empty(tasks.n_tasks, np.int64), np.empty(tasks.n_ports + tasks.n_tasks, np.int64)
    run(flatten([tasks]), 0, np.zeros(tasks.n_ports, np.int64), idle(), start, time)
    assert (time[tasks.n_ports :] == start + tasks.latency_cycles).all()
    return [int(cycle) for cycle in start]


@given(programs())
@LAWS
def test_the_recurrence_equals_a_machine_stepped_cycle_by_cycle(program: Program) -> None:
    for tasks in (program.prologue, program.layer, program.exit):
        assert engine_starts(tasks) == naive_starts(tasks)


def test_a_small_story() -> None:
    """A 4 x 3 by 3 x 4 product with streamed weights, its residual and its norm, on a 2 x 2 array.

    A panel is 3 x 2 weights of 1 byte and 2 biases of 4 bytes: 14 bytes, 7 cycles at 2 bytes per cycle, and 4
    more to the first word. A fold takes 3 cycles and 2 to drain; a tile of the sum 2 cycles and 1; two rows of
    the norm 2 x 2 x 2 = 8 cycles and 5. The norm's 8 parameters are 32 bytes: 16 cycles and 4. With two panel
    buffers they must wait until the first panel was used for the last time, at 11 + 3 + 3 + 2 = 19.
    """
    ops = (
        MatMul(name="x", m=4, k=3, n=4, weights=True),
        Add(name="sum", rows=4, columns=4, inputs=("x", "input")),
        LayerNorm(name="norm", rows=4, columns=4, inputs=("sum",)),
    )
    channel = MemoryChannel(bytes_per_cycle=2.0, latency_cycles=4)
    tasks = compile_ops(ops, QuantConfig.uniform(8), DESIGN, channel, rows=4, streamed=True)
    log = sorted(
        (start, UNIT_NAMES[unit], tasks.op_names[op], (int(panel), int(block)), start + int(busy), start + int(latency))
        for start, unit, op, panel, block, busy, latency in zip(
            engine_starts(tasks),
            tasks.unit,
            tasks.op,
            tasks.panel,
            tasks.block,
            tasks.occupancy_cycles,
            tasks.latency_cycles,
            strict=True,
        )
    )
    assert log == [
        # start, unit, op, (panel, block), unit free, result ready
        (0, "dma", "x", (0, 0), 7, 11),
        (7, "dma", "x", (1, 0), 14, 18),
        (11, "array", "x", (0, 0), 14, 16),
        (14, "array", "x", (0, 1), 17, 19),
        (16, "add", "sum", (0, 0), 18, 19),
        (18, "array", "x", (1, 0), 21, 23),
        (19, "add", "sum", (0, 1), 21, 22),
        (19, "dma", "norm", (0, 0), 35, 39),
        (21, "array", "x", (1, 1), 24, 26),
        (23, "add", "sum", (1, 0), 25, 26),
        (26, "add", "sum", (1, 1), 28, 29),
        (39, "layer_norm", "norm", (0, 0), 47, 52),
        (47, "layer_norm", "norm", (0, 1), 55, 60),
    ]


@given(programs(), programs(), st.data(), st.integers(1, 3))
@LAWS
def test_compiled_and_plain_python_agree(program: Program, other: Program, data: st.DataObject, n_slots: int) -> None:
    buffers = other.accelerator.n_weight_buffers == program.accelerator.n_weight_buffers  # of one design, in truth
    both = [program, other] if buffers else [program]
    flat, alone = (
        flatten([group for p in chosen for group in (p.prologue, p.layer, p.exit)]) for chosen in (both, [program])
    )
    sizes = program.prologue.n_tasks, program.layer.n_tasks, program.exit.n_tasks
    evaluated = np.array([*data.draw(st.tuples(*[st.booleans()] * (program.n_layers - 1))), True])
    legal = (np.flatnonzero(evaluated) + 1).tolist()
    leaves = np.array(data.draw(st.lists(st.sampled_from(legal), min_size=1, max_size=4)))
    arrivals, chosen = (
        np.array(data.draw(st.lists(st.integers(0, largest), min_size=leaves.size, max_size=leaves.size)))
        for largest in (300, len(both) - 1)
    )
    admission = Admission(data.draw(st.integers(0, 3)), data.draw(st.integers(0, 500)), data.draw(st.booleans()))

    def sentence(run: Callable[..., Any], waits: bool) -> list[list[int]]:
        starts = [np.zeros((program.n_layers, size), np.int64) for size in sizes]
        decisions = run(alone, evaluated, waits, idle(), starts[0][0], starts[1], starts[2])
        return [decisions.tolist(), starts[0][0].tolist(), starts[1].tolist(), starts[2].tolist()]

    def stream(run: Callable[..., Any]) -> list[list[int]]:
        filled = [np.zeros_like(leaves) for _ in range(3)]
        when, queue = np.cumsum(arrivals), empty_queue(leaves.size)
        run(flat, evaluated, chosen, leaves, when, admission, queue, n_slots, int(Unit.ARRAY), idle(), *filled)
        return [column.tolist() for column in filled]

    for waits in (True, False):
        assert sentence(run_sentence, waits) == sentence(run_sentence.py_func, waits)
    assert stream(run_interleaved) == stream(run_interleaved.py_func)
    assert engine_starts(program.layer) == engine_starts(program.layer, run_tasks.py_func)


@given(programs())
@LAWS
def test_a_shorter_task_makes_nothing_later(program: Program) -> None:
    tasks = program.layer
    longest = int(tasks.latency_cycles.argmax())
    before = np.array(engine_starts(tasks))
    less = np.zeros_like(tasks.latency_cycles)
    less[longest] = tasks.occupancy_cycles[longest] // 2
    shorter = replace(tasks, occupancy_cycles=tasks.occupancy_cycles - less, latency_cycles=tasks.latency_cycles - less)
    assert (np.array(engine_starts(shorter)) <= before).all()
