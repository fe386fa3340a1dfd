"""Designs with stages: packs, calls and exits against an oracle that knows of no tasks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.design_files import list_published, load_design
from hexit.hw_model.loops import Loop
from hexit.hw_model.machine.op_cycles import missing_products
from hexit.hw_model.memory.channel import UNLIMITED
from hexit.hw_model.stages import Region, Stage
from hexit.hw_model.task_cycles import TaskCycles
from hexit.hw_model.vector import exit_head_cycles
from hexit.quant.config import EncoderShape, QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import ExitHead, Workload, encoder_workload
from hexit.sim.core.compile import compile_program
from hexit.sim.core.lone_sentence import lone_sentence
from hexit.sim.core.program import Program
from hexit.sim.core.stage_cycles import compile_stages, design_cycles, published_program
from hexit.sim.core.stream import simulate_stream
from support.examples import examples
from support.oracles_stages import ExitPath, StagedMachine, in_turns, one_at_a_time, squashed

TINY = replace(
    ALBERT_BASE, n_layers=4, hidden_size=4, n_heads=2, ffn_size=8, embedding_size=4, vocabulary_size=20, n_positions=16
)
LAYER = [op.name for op in encoder_workload(TINY, QuantConfig.uniform(8), 6).layer]
ANY = encoder_workload(TINY, QuantConfig.uniform(8), 6)
RUNS_NETWORKS = [
    name for name in list_published() for one in [load_design(name)] if not (one.products or missing_products(one, ANY))
]


def workload_of(shape: EncoderShape, length: int = 6) -> Workload:
    return encoder_workload(shape, QuantConfig(weight_bits=4, activation_bits=8), length)


@st.composite
def staged_designs(draw: st.DrawFn) -> Accelerator:
    """One to three regions of one to four stages, each of which takes a few cycles for a pack."""
    regions, loops = [], {}
    for r in range(draw(st.integers(1, 3))):
        stages: list[Stage] = []
        for s in range(draw(st.integers(1, 4))):
            name = f"r{r}s{s}"
            slope, constant = draw(st.integers(0, 3)), draw(st.integers(0, 6))
            loops[name] = Loop(trips=f"{slope} * rows + {constant}", depth_cycles=1)
            after = draw(st.one_of(st.none(), st.sets(st.sampled_from(stages), max_size=2))) if stages else None
            stages.append(
                Stage(
                    name=name,
                    loops=(name,),
                    includes=tuple(LAYER) if r == s == 0 else (),
                    first_result_cycles=draw(st.integers(0, 4)),
                    after=None if after is None else tuple(sorted(stage.name for stage in after)),
                )
            )
        regions.append(
            Region(
                name=f"r{r}",
                stages=tuple(stages),
                overlap=draw(st.sampled_from(["sequential", "packs", "streaming"])),
                pack_rows=draw(st.sampled_from([None, 1, 2, 4])),
                handshake_cycles=draw(st.integers(0, 2)),
                fifo_packs=draw(st.integers(1, 3)),
                start_cycles=draw(st.integers(0, 3)),
                parallel_with_next=draw(st.booleans()),
            )
        )
    overlap, n_interleaved = draw(
        st.sampled_from([("stall", 1), ("speculate", 1), ("interleave", 2), ("interleave", 3)])
    )
    return Accelerator(
        name="x",
        clock_mhz=100.0,
        head_lanes=draw(st.integers(1, 8)),
        head_depth_cycles=draw(st.integers(0, 9)),
        regions=tuple(regions),
        loops=loops,
        layer_extra_cycles=draw(st.integers(0, 2)),
        exit_overlap=overlap,  # type: ignore[arg-type]
        n_interleaved=n_interleaved,
    )


def pack_heights(region: Region, rows: int) -> list[int]:
    size = region.pack_rows or rows
    return [min(size, rows - first) for first in range(0, rows, size)]


def stepped(design: Accelerator, program: Program, decision: TaskCycles) -> tuple[StagedMachine, ExitPath]:
    """The oracle of a random design: its loops are `slope * rows + constant` cycles long."""
    rows = program.workload.sequence_length
    busy = []
    for region in design.regions:
        slopes = [str(design.loops[stage.name].trips).replace("rows", "{}") for stage in region.stages]
        busy.append([[eval(text.format(h)) for h in pack_heights(region, rows)] for text in slopes])
    return StagedMachine(design.regions, busy, design.layer_extra_cycles), exit_path(program, decision)


def exit_path(program: Program, decision: TaskCycles) -> ExitPath:
    op = next(op for op in program.workload.exit if isinstance(op, ExitHead))
    head = exit_head_cycles(op, program.accelerator)
    return ExitPath((head.occupancy_cycles, head.latency_cycles), (decision.occupancy_cycles, decision.latency_cycles))


def expected_stream(
    machine: StagedMachine,
    path: ExitPath,
    design: Accelerator,
    evaluated: list[bool],
    leaves: list[int],
    arrivals: list[int],
) -> list[tuple[int, int]]:
    if design.exit_overlap == "interleave":
        return in_turns(machine, path, evaluated, leaves, arrivals, design.n_interleaved)
    return one_at_a_time(machine, path, evaluated, leaves, arrivals, speculates=design.exit_overlap == "speculate")


@given(staged_designs(), st.data())
@examples(1000)
def test_sentences_with_exits_pass_as_an_event_by_event_machine_passes_them(
    design: Accelerator, data: st.DataObject
) -> None:
    evaluated = [*data.draw(st.lists(st.booleans(), min_size=TINY.n_layers - 1, max_size=TINY.n_layers - 1)), True]
    exits = [layer for layer, there in enumerate(evaluated, 1) if there]
    leaves = data.draw(st.lists(st.sampled_from(exits), min_size=1, max_size=6))
    gaps = data.draw(st.lists(st.integers(0, 90), min_size=len(leaves), max_size=len(leaves)))
    arrivals = np.cumsum(gaps).tolist()
    occupancy = data.draw(st.integers(1, 5))
    decision = TaskCycles(occupancy_cycles=occupancy, latency_cycles=occupancy + data.draw(st.integers(0, 9)))
    program = compile_program(workload_of(TINY), design, UNLIMITED, decision)
    found = simulate_stream([lone_sentence(program, tuple(exits))], leaves, arrivals)
    machine, path = stepped(design, program, decision)
    expected = expected_stream(machine, path, design, evaluated, leaves, arrivals)
    assert list(zip(found.start_cycle.tolist(), found.finish_cycle.tolist(), strict=True)) == expected
    if design.exit_overlap == "speculate":
        names = [stage.name for stage in design.stages]
        wasted = [squashed(machine, path, evaluated, layer, names) for layer in leaves]
        first = program.unit_names.index(names[0])
        assert found.wasted_cycles[first : first + len(names)].tolist() == np.sum(wasted, axis=0).tolist()


@pytest.mark.parametrize("overlap", ["stall", "speculate", "interleave"])
@pytest.mark.parametrize("name", RUNS_NETWORKS)
def test_published_accelerators_run_with_exits_as_the_oracle_does(name: str, overlap: Any) -> None:
    design = replace(load_design(name), exit_overlap=overlap, n_interleaved=2 if overlap == "interleave" else 1)
    workload = workload_of(replace(ALBERT_BASE, n_layers=3), 40)
    decision = TaskCycles(occupancy_cycles=1, latency_cycles=7)
    program = compile_program(workload, design, UNLIMITED, decision)
    busy = [work.busy_cycles.tolist() for work in compile_stages(design, layer_of(program), UNLIMITED).work]
    machine = StagedMachine(design.regions, busy, design.layer_extra_cycles)
    leaves, arrivals = [1, 3, 2, 1, 3], [0, 0, 10_000, 2_000_000, 2_000_001]
    found = simulate_stream([lone_sentence(program)], leaves, arrivals)
    expected = expected_stream(machine, exit_path(program, decision), design, [True] * 3, leaves, arrivals)
    assert list(zip(found.start_cycle.tolist(), found.finish_cycle.tolist(), strict=True)) == expected


def layer_of(program: Program) -> Any:
    from hexit.hw_model.machine.op_cycles import network_ops

    return network_ops(program.accelerator, program.workload)


def test_six_published_accelerators_run_networks_and_one_has_a_stage_for_every_op() -> None:
    assert len(RUNS_NETWORKS) >= 6
    names = {name for stage in load_design("hls-bert-u280-opt6").stages for name in stage.ops}
    assert names == set(LAYER)


@pytest.mark.parametrize("name", RUNS_NETWORKS)
def test_what_is_validated_is_what_runs(name: str) -> None:
    """The figures of `hexit validate` are read off the arrays that `hexit run` executes."""
    design = load_design(name)
    assert design.network is not None
    workload = design.network.workload()
    decision = TaskCycles(occupancy_cycles=1, latency_cycles=1)
    program = compile_program(workload, design, UNLIMITED, decision)
    validated = published_program(design).program.tasks
    for key in ("unit", "occupancy_cycles", "latency_cycles", "first_dependency", "dependency", "exports", "macs"):
        assert np.array_equal(getattr(program.layer, key), getattr(validated, key))
    run = lone_sentence(program, (program.n_layers,)).run
    behind = int(program.exit.latency_cycles.sum())
    assert run.latency_cycles(program.n_layers) - behind == design_cycles(design).network_cycles


def test_every_mac_of_a_layer_is_in_its_stages() -> None:
    for name in RUNS_NETWORKS:
        program = compile_program(
            workload_of(TINY), load_design(name), UNLIMITED, TaskCycles(occupancy_cycles=1, latency_cycles=1)
        )
        assert program.layer.macs.sum() == program.workload.layer_macs


def test_a_network_needs_stages_for_all_its_products_and_arrays_as_wide_as_its_operands() -> None:
    decision = TaskCycles(occupancy_cycles=1, latency_cycles=1)
    with pytest.raises(ConfigError, match=r"design\.regions = block: execute no ffn_in, ffn_out\. Name every product"):
        compile_program(workload_of(TINY), load_design("lu-socc2020-mha"), UNLIMITED, decision)
    with pytest.raises(ConfigError, match=r"design\.products = product: run alone, in no network\. Try hexit validate"):
        compile_program(workload_of(TINY), load_design("tmma-kv260"), UNLIMITED, decision)
    wide = encoder_workload(TINY, QuantConfig.uniform(8), 6)
    with pytest.raises(ConfigError, match=r"array_bits\.linear = 8 x 4: is narrower than 8 x 8 bits of query\. Try"):
        compile_program(wide, load_design("fq-bert-zcu102-8x16"), UNLIMITED, decision)
