"""Occupied, at its peak, on tokens that are not padding: counted sentence by sentence, and in their order."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from hexit.quant.workload import MatMul, encoder_workload, op_macs
from hexit.sim.analysis.array_use import array_use
from hexit.sim.core.program import Unit
from hexit.sim.job.outcome import Outcome
from hexit.sim.job.setup import TextSource
from hexit.sim.report.build import build_report
from support.command_line import Simulate
from support.designs import spatial_design

STREAMS = [
    {},
    {"lengths": "exact"},
    {"lengths": "buckets:8,12", "batch": 2},
    {"arrivals": "poisson:rate=9000", "queue": 1, "sentences": 60},
    {"overlap": "speculate", "rule": "hardware:threshold=1.2,run_length=2"},
]


def counted(outcome: Outcome, tokens: list[int]) -> float:
    """Multiply-accumulates of products of every served sentence of `tokens`, over what all engines could do."""
    result, setup, total = outcome.with_exits.result, outcome.setup, 0
    for index in np.flatnonzero(result.served).tolist():
        workload = encoder_workload(setup.shape, setup.quant, tokens[index])
        layers = workload.layer * int(result.exit_layer[index])
        total += sum(op_macs(op) for op in (*workload.prologue, *layers) if isinstance(op, MatMul))
    return total / (setup.design.n_macs * setup.design.n_engines * result.total_cycles)


@pytest.mark.parametrize("options", STREAMS)
def test_work_is_that_of_the_served_sentences_one_by_one(options: dict[str, object], simulated: Simulate) -> None:
    outcome = simulated(**options)
    result, programs = outcome.with_exits.result, outcome.design.programs
    assert isinstance(outcome.source, TextSource)
    lengths = [programs[index].workload.sequence_length for index in result.program_index.tolist()]
    own = np.minimum(outcome.source.trace.lengths[outcome.drawn], lengths).tolist()
    use = build_report(outcome).array_use
    assert use is not None
    assert use.token_fraction is not None
    assert use.peak_fraction == pytest.approx(counted(outcome, lengths), rel=1e-12)
    assert use.token_fraction == pytest.approx(counted(outcome, own), rel=1e-12)
    assert use.occupied_fraction == result.utilisation_fraction[Unit.ARRAY]
    assert 1 >= use.occupied_fraction >= use.peak_fraction >= use.token_fraction > 0
    assert (use.token_fraction == use.peak_fraction) == (options.get("lengths") == "exact")


def test_engines_of_a_pipeline_count_together(simulated: Simulate, tmp_path: Path) -> None:
    outcome = simulated(design=spatial_design(tmp_path))
    use = build_report(outcome).array_use
    assert use is not None
    n_tokens = outcome.setup.sequence_length
    assert use.peak_fraction == pytest.approx(counted(outcome, [n_tokens] * outcome.drawn.size), rel=1e-12)
    assert outcome.setup.design.n_engines > 1


def test_lengths_that_are_not_known_are_not_made_up(simulated: Simulate) -> None:
    outcome = simulated()
    use = array_use(outcome.design.programs, outcome.with_exits.result, None)
    assert use is not None
    assert use.token_fraction is None


def test_stages_are_used_as_their_arrays_are_and_loop_nests_have_no_peak(simulated: Simulate) -> None:
    outcome = simulated(design="hls-bert-u280-opt6")
    use = build_report(outcome).array_use
    assert use is not None
    whole = counted(outcome, [outcome.setup.sequence_length] * outcome.drawn.size)
    shape, quant = outcome.setup.shape, outcome.setup.quant
    embedding = encoder_workload(shape, quant, outcome.setup.sequence_length).prologue_macs  # the host's
    possible = outcome.setup.design.n_macs * outcome.with_exits.result.total_cycles
    assert use.peak_fraction == pytest.approx(whole - embedding * outcome.drawn.size / possible)
    utilisation = build_report(outcome).utilisation
    arrays = {"key": 512, "value": 512, "query": 512, "attention": 512, "output": 512, "ffn_in": 1024, "ffn_out": 1024}
    occupied = sum(utilisation[stage] * macs for stage, macs in arrays.items()) / 4608
    assert use.occupied_fraction == pytest.approx(occupied)
    assert 1 >= use.occupied_fraction >= use.peak_fraction
    assert build_report(simulated(design="protea-u55c")).array_use is None


@pytest.mark.parametrize("design", ["fq-bert-zcu102-8x16", "fq-bert-zcu102-16x8", "fq-bert-zcu111-16x16"])
def test_stages_that_take_turns_on_one_array_occupy_it_together(design: str, simulated: Simulate) -> None:
    use = build_report(simulated(design=design, weight_bits=4)).array_use
    assert use is not None
    assert 1 >= use.occupied_fraction >= use.peak_fraction > 0


def test_what_exits_save_is_split_into_time_and_work(simulated: Simulate) -> None:
    report = build_report(simulated(rule="hardware:threshold=1.2,run_length=2"))
    with_exits, full = report.energy_parts_uj, report.energy_full_depth_parts_uj
    saved = report.energy_full_depth_uj - report.energy_uj
    assert full.total_uj == pytest.approx(report.energy_full_depth_uj)
    assert report.energy_saved_static_fraction == pytest.approx((full.static_uj - with_exits.static_uj) / saved)
    assert saved > 0


def test_nothing_saved_has_no_parts(simulated: Simulate) -> None:
    outcome = simulated(rule="fixed-depth:layer=3")
    assert build_report(outcome).energy_saved_static_fraction is None
    worse = dataclasses.replace(outcome, with_exits=outcome.full_depth)
    assert build_report(worse).energy_saved_static_fraction is None
