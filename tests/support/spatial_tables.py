"""Tables of engines for tests: of real programs, and made up of a few cycles; streams through them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.design_files import load_design
from hexit.hw_model.memory.channel import MemoryChannel
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.arrays import Integers
from hexit.quant.config import QuantConfig
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import encoder_workload
from hexit.sim.core.compile import compile_program
from hexit.sim.core.program import NONE, Program
from hexit.sim.core.spatial_costs import SpatialCosts, spatial_costs
from support.strategies import DECISION, programs

ALBERT = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 128)


def with_design(program: Program, **changes: object) -> Program:
    design = replace(program.accelerator, **changes)  # type: ignore[arg-type]
    decision = program.exit.decision - program.exit.n_ports
    cost = TaskCycles(
        occupancy_cycles=int(program.exit.occupancy_cycles[decision]),
        latency_cycles=int(program.exit.latency_cycles[decision]),
    )
    return compile_program(program.workload, design, program.channel, cost)


def every_exit(program: Program) -> SpatialCosts:
    return spatial_costs(program, np.ones(program.n_layers, np.bool_))


def spatial(program: Program, n_engines: int, overlap: str = "speculate") -> SpatialCosts:
    return every_exit(with_design(program, mapping="spatial", n_engines=n_engines, exit_overlap=overlap))


@st.composite
def spatial_tables(draw: st.DrawFn) -> SpatialCosts:
    """Tables of real programs, of a part of their exits too."""
    program = draw(programs())
    n_engines = draw(st.integers(1, program.n_layers))
    program = with_design(program, mapping="spatial", n_engines=n_engines)
    evaluated = np.array([draw(st.booleans()) for _ in range(program.n_layers - 1)] + [True])
    return spatial_costs(program, evaluated)


def albert_table(n_engines: int, overlap: str = "stall", **changes: object) -> SpatialCosts:
    design = replace(load_design("default"), mapping="spatial", n_engines=n_engines, exit_overlap=overlap, **changes)  # type: ignore[arg-type]
    return every_exit(compile_program(ALBERT, design, MemoryChannel(bytes_per_cycle=77.0, latency_cycles=20), DECISION))


@st.composite
def small_tables(draw: st.DrawFn) -> SpatialCosts:
    """Tables of a few cycles: layers of different lengths, exits that take as long or longer, some left out."""
    speculates = draw(st.booleans())
    n_layers = draw(st.integers(1, 5))
    return made_up(
        [draw(st.sampled_from([1, 2, 3, 5, 15])) for _ in range(n_layers)],
        n_engines=draw(st.integers(1, n_layers)),
        exit_cycles=draw(st.integers(0, 8)),
        speculates=speculates,
        evaluated=[draw(st.booleans()) for _ in range(n_layers - 1)] + [True],
    )


def made_up(
    layer_cycles: list[int], *, n_engines: int, exit_cycles: int, speculates: bool, evaluated: list[bool] | None = None
) -> SpatialCosts:
    """A table from the cycles of every layer and of an exit, one exit at a time; the tasks are a tiny model's."""
    design = Accelerator(
        name="tiny",
        device="zcu102",
        clock_mhz=200.0,
        array_rows=8,
        array_columns=8,
        softmax_lanes=8,
        layer_norm_lanes=8,
        gelu_lanes=8,
        add_lanes=8,
        head_lanes=8,
        weight_buffer_kib=64,
        activation_buffer_kib=64,
        mapping="spatial",
        n_engines=n_engines,
        exit_overlap="speculate" if speculates else "stall",
    )
    shape = replace(
        ALBERT_BASE,
        n_layers=len(layer_cycles),
        hidden_size=8,
        n_heads=1,
        ffn_size=8,
        embedding_size=8,
        vocabulary_size=20,
        n_positions=16,
    )
    workload = encoder_workload(shape, QuantConfig.uniform(8), 2)
    table = every_exit(
        compile_program(workload, design, MemoryChannel(bytes_per_cycle=77.0, latency_cycles=1), DECISION)
    )
    exits = evaluated or [True] * len(layer_cycles)
    hidden, hand_over, service, decision = [], [], [], []
    for engine in range(n_engines):
        now, head = 0, 0
        mine: list[int] = []
        for layer in np.flatnonzero(table.engine == engine).tolist():
            now += layer_cycles[layer]
            there = now
            if exits[layer]:
                head = max(head, now) + exit_cycles
                now = now if speculates else head
            mine.append(head if exits[layer] else NONE)
        hidden.append(there)
        service.append(max(there, *mine))
        hand_over.append(max(there, *mine[:-1], NONE) if speculates else service[-1])
        decision += mine
    return replace(
        table,
        hidden_cycles=np.array(hidden),
        hand_over_cycles=np.array(hand_over),
        service_cycles=np.array(service),
        decision_cycle=np.array(decision),
    )


@st.composite
def streams(draw: st.DrawFn, table: SpatialCosts, longest_gap: int = 12) -> tuple[Integers, Integers]:
    legal = (np.flatnonzero(table.decision_cycle != NONE) + 1).tolist()
    exits = draw(st.lists(st.sampled_from(legal), min_size=1, max_size=12))
    gaps = [draw(st.sampled_from([0, 0, longest_gap // 4, longest_gap])) for _ in exits]
    return np.array(exits), np.cumsum(gaps)
