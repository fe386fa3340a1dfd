"""The simulator's cycles of the exit unit equal those of its RTL in Verilator, for every event of random streams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hexit.hw_model.exit_unit.timing import unit_timing
from hexit.quant.exits.rules import parse_rule
from hexit.quant.exits.unit import ExitUnitSpec, exit_unit_spec
from hexit.sim.analysis.exit_events import event_cycles
from support.rtl_exit_unit import build_rtl, timed_streams

N_STREAMS = 200  # of each unit; benchmarks/exit_unit_cycles.py runs 10,000
WINDOW = "elbert:bias=bias_3,window=8,range_limit=0.2"
UNITS = {  # rule, classes, slots: stages, cycles of the state
    "no state": (("fixed-depth:layer=3", 2, 2), (1, 1)),
    "registers": (("hardware:run_length=3", 2, 2), (2, 1)),
    "sums": (("max-probability", 3, 1), (7, 1)),
    "window": ((WINDOW, 2, 2), (7, 1)),
    "window in a memory": ((WINDOW, 2, 3), (7, 2)),
    "memory behind a deep front": ((WINDOW, 3, 8), (15, 2)),
}


def unit(rule: str, n_classes: int, n_slots: int) -> ExitUnitSpec:
    return exit_unit_spec(
        parse_rule(rule), n_layers=12, n_classes=n_classes, scale=2.0**-11, logit_bits=16, n_slots=n_slots
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", UNITS)
def test_every_event_has_the_cycles_of_the_rtl_under_back_pressure(name: str, tmp_path: Path) -> None:
    arguments, expected = UNITS[name]
    spec = unit(*arguments)
    timing = unit_timing(spec)
    assert (timing.latency_cycles, timing.state_cycles) == expected
    golden, streams = timed_streams(spec, N_STREAMS, seed=len(name))
    decisions, cycles = build_rtl(spec, tmp_path).run(golden, streams)
    model = event_cycles(timing, streams)
    for part in ("accepted", "visible", "taken"):
        assert np.array_equal(getattr(cycles, part), getattr(model, part)), part
    assert np.array_equal(decisions, golden.decisions)
    assert (model.taken - model.accepted).max() > timing.latency_cycles  # the streams do block the pipeline
