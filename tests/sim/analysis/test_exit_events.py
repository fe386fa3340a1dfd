"""The cycles of the exit unit: equal to a stepped machine, monotone, and a few by hand."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.exit_unit.timing import ExitUnitTiming
from hexit.quant.errors import ConfigError
from hexit.sim.analysis.exit_events import EventStreams, event_cycles, stage_entries
from support.oracles_exit_unit import stepped_cycles
from support.strategies import LAWS

Stream = tuple[list[int], list[int], list[bool]]  # slots, arrivals, ready


def pipeline(n_stages: int, state_stage: int = 0, state_cycles: int = 1) -> ExitUnitTiming:
    return ExitUnitTiming(stages=tuple(map(str, range(n_stages))), state_stage=state_stage, state_cycles=state_cycles)


def flat(streams: list[Stream]) -> EventStreams:
    slots, arrivals, ready = ([stream[part] for stream in streams] for part in range(3))
    return EventStreams(
        slot=np.array([*chain(*slots)], np.int64),
        arrival_cycle=np.array([*chain(*arrivals)], np.int64),
        first_event=np.cumsum([0, *map(len, slots)]),
        ready=np.array([*chain(*ready)], np.bool_),
        first_ready=np.cumsum([0, *map(len, ready)]),
    )


def cycles(timing: ExitUnitTiming, *streams: Stream) -> list[tuple[int, int, int]]:
    found = event_cycles(timing, flat(list(streams)))
    return list(zip(found.accepted.tolist(), found.visible.tolist(), found.taken.tolist(), strict=True))


@st.composite
def timings(draw: st.DrawFn) -> ExitUnitTiming:
    n_stages = draw(st.integers(1, 9))
    state_stage = draw(st.integers(0, n_stages - 1))
    return pipeline(n_stages, state_stage, draw(st.sampled_from([1, 2])) if state_stage else 1)


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    slots = draw(st.lists(st.integers(0, 2), max_size=30))
    gaps = draw(st.lists(st.sampled_from([0, 0, 0, 1, 2, 9]), min_size=len(slots), max_size=len(slots)))
    return slots, np.cumsum(gaps).tolist(), draw(st.lists(st.booleans(), max_size=60))


@pytest.mark.slow
@given(timings(), st.lists(streams(), min_size=1, max_size=3))
@LAWS
def test_the_recurrence_equals_registers_stepped_cycle_by_cycle(timing: ExitUnitTiming, given: list[Stream]) -> None:
    assert cycles(timing, *given) == [*chain(*(stepped_cycles(timing, *stream) for stream in given))]


@given(timings(), streams(), st.data())
@LAWS
def test_nothing_gets_earlier_when_something_gets_later(
    timing: ExitUnitTiming, given: Stream, data: st.DataObject
) -> None:
    slots, arrivals, ready = given
    later = [a + data.draw(st.integers(0, 3)) for a in arrivals]
    blocked = [r and data.draw(st.booleans()) for r in ready]
    before = np.array(cycles(timing, given))
    assert (np.array(cycles(timing, (slots, later, ready))) >= before).all()
    assert (np.array(cycles(timing, (slots, arrivals, blocked))) >= before).all()


@given(timings(), st.lists(st.integers(0, 2), max_size=12))
@LAWS
def test_entries_of_the_stages_begin_with_the_acceptance_and_end_at_the_output(
    timing: ExitUnitTiming, slots: list[int]
) -> None:
    entries = stage_entries(timing, slots)
    assert [(first - 1, last, last) for first, last in entries[:, [0, -1]].tolist()] == cycles(
        timing, (slots, [0] * len(slots), [])
    )
    assert (np.diff(entries, axis=0) >= 1).all()
    assert (np.diff(entries, axis=1) >= 1).all()


def test_an_idle_unit_answers_after_its_latency_and_takes_an_event_a_cycle() -> None:
    assert cycles(pipeline(3), ([0] * 4, [5] * 4, [])) == [(5 + k, 8 + k, 8 + k) for k in range(4)]


def test_a_consumer_that_waits_fills_the_pipeline_from_its_end() -> None:
    """Two stages hold two events until cycle 6; the third waits at the door, and follows without a gap."""
    assert cycles(pipeline(2), ([0] * 3, [0] * 3, [False] * 6)) == [(0, 2, 6), (1, 7, 7), (6, 8, 8)]


def test_state_in_a_memory_costs_a_cycle_for_two_events_of_one_slot_in_a_row() -> None:
    """Stage 2 reads, stage 3 has written; the event of slot 1 in between hides the wait."""
    timing = pipeline(3, state_stage=2, state_cycles=2)
    assert [seen for _, seen, _ in cycles(timing, ([0, 0, 0], [0] * 3, []))] == [3, 5, 7]
    assert [seen for _, seen, _ in cycles(timing, ([0, 1, 0], [0] * 3, []))] == [3, 4, 5]
    assert [seen for _, seen, _ in cycles(pipeline(3, 2, 1), ([0, 0, 0], [0] * 3, []))] == [3, 4, 5]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"first_event": np.array([0, 1])}, r"first_event = \[0, 1\]: must rise from 0 to 2"),
        ({"first_ready": np.array([0, 0, 0])}, "first_ready = 3: must have 2 entries as first_event has"),
        ({"arrival_cycle": np.array([0, -1])}, "must be 2 cycles, not negative"),
    ],
)
def test_streams_that_contradict_themselves_are_refused(change: dict[str, np.ndarray], said: str) -> None:
    good = flat([([0, 0], [0, 1], [])])
    names = ("slot", "arrival_cycle", "first_event", "ready", "first_ready")
    with pytest.raises(ConfigError, match=said):
        EventStreams(**{name: getattr(good, name) for name in names} | change)
