"""Turns that are remembered: a stream of them equals one whose every task is run."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hexit.sim.core.interleaved import N_REMEMBERED
from hexit.sim.core.program import Program
from hexit.sim.core.stream import run_slots
from support.oracles_interleaved import plain_turns
from support.strategies import LAWS, programs


@given(programs(), programs(), st.data())
@LAWS
def test_a_stream_of_remembered_turns_equals_one_that_runs_every_task(
    program: Program, other: Program, data: st.DataObject
) -> None:
    """Hundreds of sentences of two lengths, so that situations come again and places are taken over."""
    same_design = other.accelerator.n_weight_buffers == program.accelerator.n_weight_buffers
    both = [program, other] if same_design and other.n_layers == program.n_layers else [program]
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    n, n_slots = data.draw(st.integers(1, 300)), data.draw(st.integers(1, 5))
    evaluated = [*data.draw(st.tuples(*[st.booleans()] * (program.n_layers - 1))), True]
    legal = np.flatnonzero(evaluated) + 1
    leaves, index = generator.choice(legal, n), generator.integers(0, len(both), n)
    gap = data.draw(st.sampled_from([0, 3, 100, 5000]))
    arrivals = np.cumsum(generator.integers(0, gap + 1, n))
    start, finish, _ = run_slots(both, leaves, arrivals, n_slots, tuple(legal.tolist()), program_index=index)
    found = list(zip(start.tolist(), finish.tolist(), strict=True))
    assert found == plain_turns(both, index.tolist(), leaves.tolist(), arrivals.tolist(), n_slots, evaluated)


def test_places_are_a_power_of_two() -> None:
    assert N_REMEMBERED & (N_REMEMBERED - 1) == 0
