"""What users of other simulators complain about, one test each; the issue or page is named in the test's first line."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import SystolicArray, fold_preset, product_cycles
from hexit.hw_model.design_files import load_design
from hexit.hw_model.device import load_device
from hexit.hw_model.energy import EnergyModel, energy_model
from hexit.hw_model.memory.channel import UNLIMITED, MemoryChannel, device_channel
from hexit.hw_model.stages import Region, Stage
from hexit.quant.config import QuantConfig
from hexit.quant.errors import DoesNotFit
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import encoder_workload
from hexit.sim.analysis.stalls import CAUSES, kernel_and_transfers, stall_breakdown
from hexit.sim.core.compile import compile_program
from hexit.sim.core.lone_sentence import simulate_sentence
from hexit.sim.core.program import Program, Unit
from hexit.sim.core.recurrence import run_alone
from hexit.sim.core.stage_tasks import RegionWork, compile_regions
from support.strategies import DECISION, LAWS, programs
from support.streams import table_of

WORKLOAD = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 128)
ZCU102 = load_device("zcu102")
STREAMING = replace(load_design("albert-base-zcu102"), weight_placement="streamed")


def albert(design: Accelerator, channel: MemoryChannel | None = None) -> Program:
    return compile_program(WORKLOAD, design, channel or device_channel(design, ZCU102), DECISION)


@pytest.mark.slow
@given(programs(), st.booleans(), st.data())
@LAWS
def test_no_stall_is_negative_and_they_add_up_to_the_latency(
    program: Program, spatial: bool, data: st.DataObject
) -> None:
    """SCALE-Sim #100: negative stall cycles; ZigZag #125: negative data onloading."""
    if spatial:
        n_engines = data.draw(st.integers(1, program.n_layers))
        design = replace(program.accelerator, mapping="spatial", n_engines=n_engines)
        program = compile_program(program.workload, design, program.channel, DECISION)
    found = stall_breakdown(simulate_sentence(program), data.draw(st.integers(1, program.n_layers)))
    parts = (found.busy_cycles, found.squashed_cycles, found.waiting_cycles)
    assert all((part >= 0).all() for part in parts)
    assert (parts[0] + parts[1] + parts[2].sum(axis=1) == program.accelerator.n_engines * found.latency_cycles).all()


@given(programs())
@LAWS
def test_nothing_waits_for_a_memory_without_limits(program: Program) -> None:
    """SCALE-Sim #4 and #130: stalls reported although the bandwidth is enough."""
    free = compile_program(program.workload, program.accelerator, UNLIMITED, DECISION)
    waiting = stall_breakdown(simulate_sentence(free), free.n_layers).waiting_cycles
    assert (waiting[:, CAUSES.index("memory")] == 0).all()


def test_enough_bandwidth_leaves_only_the_first_panels_wait() -> None:
    """SCALE-Sim #130: stalls with a bandwidth that is enough; what is left has a reason."""
    wide = MemoryChannel(bytes_per_cycle=4096.0, latency_cycles=0)
    run = simulate_sentence(albert(STREAMING, wide))
    found = stall_breakdown(run, ALBERT_BASE.n_layers)
    memory = int(found.waiting_cycles[Unit.ARRAY, CAUSES.index("memory")])
    assert 0 < memory < 0.001 * found.latency_cycles


def test_a_smaller_weight_buffer_never_loads_less() -> None:
    """ZigZag #52: less memory, fewer load cycles; SCALE-Sim #27: traffic independent of the buffer's size."""
    traffic, latency = [], []
    for kib in (10_000, 8_000, 7_200, 6_000, 4_000, 2_000, 1_000, 400):
        table = table_of(albert(replace(STREAMING, weight_placement="auto", weight_buffer_kib=kib)))
        traffic.append(int(table.off_chip_bytes[-1]))
        latency.append(int(table.latency_cycles[-1]))
    assert traffic == sorted(traffic)
    assert latency == sorted(latency)
    assert traffic[-1] > traffic[0] + 12 * WORKLOAD.layer_weight_bytes * 0.99


@given(programs(), st.integers(1, 63))
@LAWS
def test_a_smaller_weight_buffer_never_loads_less_on_any_design(program: Program, kib: int) -> None:
    """ZigZag #52 again, over random networks and designs."""
    whole = replace(program.accelerator, weight_placement="auto")
    tables = []
    for design in (whole, replace(whole, weight_buffer_kib=kib)):
        try:
            tables.append(table_of(compile_program(program.workload, design, program.channel, DECISION)))
        except DoesNotFit:
            assume(False)
    large, small = tables
    assert (small.off_chip_bytes >= large.off_chip_bytes).all()


@given(st.lists(st.integers(1, 50), min_size=2, max_size=6), st.integers(1, 20))
@LAWS
def test_stages_side_by_side_take_the_slowest_not_the_sum(busy: list[int], n_packs: int) -> None:
    """FINN #1614: a critical path that sums nodes which work at the same time, 29.8 M instead of 333 k cycles."""
    n = len(busy)
    cycles = np.repeat(np.array(busy, np.int64)[:, None], n_packs, axis=1)
    stages = tuple(Stage(name=str(stage)) for stage in range(n))
    region = Region(name="chain", stages=stages, overlap="packs", fifo_packs=n_packs)
    nothing = np.zeros_like(cycles)
    work = RegionWork(region=region, busy_cycles=cycles, macs=nothing, n_bytes=nothing)
    assert run_alone(compile_regions([work]).tasks)[1].max() == sum(busy) + (n_packs - 1) * max(busy)


@given(programs())
@LAWS
def test_latency_is_between_the_busiest_unit_and_the_sum_of_all(program: Program) -> None:
    """FINN #1614 for a sentence: max(busy) <= total <= sum(latencies)."""
    table = table_of(program)
    groups = (program.prologue, program.layer, program.exit)
    most = sum(int(g.latency_cycles.sum()) * n for g, n in zip(groups, (1, *[program.n_layers] * 2), strict=True))
    assert table.busy_cycles[-1].max() <= table.latency_cycles[-1] <= most


@given(programs())
@LAWS
def test_the_kernel_and_its_transfers_bound_the_total(program: Program) -> None:
    """KV260 TMMA: a kernel's time and the time with transfers are two numbers."""
    found = kernel_and_transfers(simulate_sentence(program), program.n_layers)
    assert found.kernel_cycles <= found.latency_cycles <= found.kernel_cycles + found.transfer_cycles


def test_cycles_are_counted_not_numbered() -> None:
    """SCALE-Sim #60, #125: 9 cycles where the paper's figure gives 10; the preset alone subtracts one, and says so."""
    scale_sim = fold_preset("scalesim_os", "output_stationary")
    counted = replace(scale_sim, counts_from_zero=False)
    cycles = [product_cycles(3, 4, 3, SystolicArray(rows=4, columns=4, fold=fold)) for fold in (scale_sim, counted)]
    assert [found.total for found in cycles] == [9, 10]
    assert cycles[0].index_offset == -1


def test_results_are_written_once() -> None:
    """SCALE-Sim #166: output writes counted twice."""
    from hexit.hw_model.work import op_work
    from hexit.quant.workload import MatMul, packed_bytes

    design = replace(load_design("default"), array_rows=8, array_columns=8)
    op = MatMul(name="x", m=8, k=64, n=8, weights=False, inputs=("input", "input"))
    reads = packed_bytes(8 * 64, 8) * 2
    assert op_work(op, QuantConfig.uniform(8), design).on_chip_bytes == reads + packed_bytes(64, 8)


def test_a_layer_is_compiled_once_and_reused() -> None:
    """SCALE-Sim #53, #62, #101: identical layers simulated again and again, memory kept for each."""
    program = albert(STREAMING)
    assert program.layer.n_tasks < 250_000
    deeper = encoder_workload(replace(ALBERT_BASE, n_layers=48), QuantConfig.uniform(8), 128)
    same = compile_program(deeper, STREAMING, program.channel, DECISION)
    assert same.layer.n_tasks == program.layer.n_tasks
    cycles = np.diff(table_of(same).latency_cycles)
    assert np.unique(cycles).size == 1


def test_every_energy_constant_has_a_unit_and_a_source() -> None:
    """ZigZag #30: "technically it is unitless"; SCALE-Sim ARM #44: energy that nobody can reproduce."""
    from hexit.hw_model.energy import SOURCES

    names = [field.name for field in fields(EnergyModel)]
    assert all(name.endswith(("_pj", "_mw", "_factor")) for name in names)
    assert set(names) <= set(SOURCES)
    assert energy_model(ZCU102) == energy_model(load_device("zcu102"))


def test_power_is_that_of_a_board() -> None:
    """Brainsmith #80: 334 W on a small part. A busy FQ-BERT-sized design stays near its published 9.8 W."""
    from hexit.sim.job.experiment import stream_energy
    from support.streams import stream_of

    program = albert(STREAMING)
    stream = stream_of(program, [12] * 10)
    breakdown = stream_energy((program,), ZCU102, stream)
    watts = breakdown.average_power_mw(stream.total_cycles / STREAMING.clock_mhz) / 1000
    assert ZCU102.static_power_mw / 1000 < watts < 2 * 9.8


def test_a_product_is_not_confused_with_a_matrix_vector_one() -> None:
    """SCALE-Sim ARM #51: M, N and K mixed up. One row uses one row of the array, one column one column."""
    array = SystolicArray(rows=8, columns=4, fold=fold_preset("hls_dataflow", "output_stationary"))
    assert product_cycles(1, 64, 40, array).folds.n_folds == 10
    assert product_cycles(40, 64, 1, array).folds.n_folds == 5
    assert product_cycles(40, 64, 1, array).folds.streamed == 64
