"""Cycles of the exit unit: when each event of a stream is accepted, at the output, and taken.

For event k and stage i = 1..D of the unit's pipeline (`hw_model.exit_unit.timing`), in whole cycles:

    enter[1, k]   = max(arrival[k] + 1, enter[2, k-1])               the stage's register is empty, or hands on
    enter[i, k]   = max(enter[i-1, k] + 1, enter[i+1, k-1])
    enter[R, k]  >= enter[R+1, k-1] + 1                              same slot, state in a memory: written, then read
    enter[D+1, k] = 1 + first cycle from enter[D, k] with ready      the consumer takes the decision

enter[i, k] is the first cycle in which stage i holds event k, R = `state_stage`; the last row applies only with
`state_cycles` = 2. An event is accepted in cycle enter[1, k] - 1. An event is offered from its arrival on, but not
before the event ahead of it has been accepted. There is nothing but max and plus, so a later arrival or a consumer
that is ready less often never makes anything earlier.

`sim.core.recurrence` charges one decision per layer and sentence with the pipeline's latency: its events are a whole
layer apart, so that they never wait here. Not modelled: what is decided (quant.exits.unit), the head in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from hexit.hw_model.exit_unit.timing import ExitUnitTiming
from hexit.quant.arrays import Flags, Integers
from hexit.quant.errors import ConfigError

NO_SLOT = -1  # before the first event


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EventStreams:
    """Independent streams of events, each into a unit that is empty at its cycle 0; flat arrays, stream after stream.

    Events of stream s are `slot` and `arrival_cycle` [first_event[s] : first_event[s + 1]], arrivals not negative but
    not necessarily rising; `ready[first_ready[s] : first_ready[s + 1]]` says in which cycles its consumer takes a
    decision, which it always does afterwards.
    """

    slot: Integers
    arrival_cycle: Integers
    first_event: Integers
    ready: Flags
    first_ready: Integers

    def __post_init__(self) -> None:
        """Reject arrays that contradict each other."""
        for name, first, size in (
            ("first_event", self.first_event, self.slot.size),
            ("first_ready", self.first_ready, self.ready.size),
        ):
            if first.size == 0 or first[0] != 0 or first[-1] != size or (np.diff(first) < 0).any():
                raise ConfigError(name, first.tolist()[:4], f"must rise from 0 to {size}", "Correct the streams")
        if self.first_event.size != self.first_ready.size:
            requirement = f"must have {self.first_event.size} entries as first_event has"
            raise ConfigError("first_ready", self.first_ready.size, requirement, "Correct the streams")
        if self.arrival_cycle.shape != self.slot.shape or (self.arrival_cycle < 0).any():
            requirement = f"must be {self.slot.size} cycles, not negative"
            raise ConfigError("arrival_cycle", self.arrival_cycle.shape, requirement, "Correct the streams")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EventCycles:
    """Cycles of each event, in the order of `EventStreams`, counted from 0 in its own stream.

    `accepted`: in_valid and in_ready; `visible`: first with out_valid; `taken`: out_valid and out_ready.
    """

    accepted: Integers
    visible: Integers
    taken: Integers


def event_cycles(timing: ExitUnitTiming, streams: EventStreams) -> EventCycles:
    """Run every stream through a unit of this pipeline and return the cycles of its events."""
    accepted, visible, taken = (np.empty_like(streams.slot) for _ in range(3))
    _run_streams(
        timing.latency_cycles,
        _interlocked_stage(timing),
        streams.slot,
        streams.arrival_cycle,
        streams.first_event,
        streams.ready,
        streams.first_ready,
        accepted,
        visible,
        taken,
    )
    return EventCycles(accepted=accepted, visible=visible, taken=taken)


def stage_entries(timing: ExitUnitTiming, slots: Sequence[int]) -> Integers:
    """Return enter[i, k] as [event, stage] for events that are all there in cycle 0 and a consumer that never waits."""
    enter = np.zeros(timing.latency_cycles + 2, np.int64)
    entries = np.empty((len(slots), timing.latency_cycles), np.int64)
    last_slot = NO_SLOT
    for event, slot in enumerate(slots):
        _move_on(enter, 0, _interlocked_stage(timing) if slot == last_slot else 0)
        enter[-1] = enter[-2] + 1
        entries[event] = enter[1:-1]
        last_slot = slot
    return entries


def _interlocked_stage(timing: ExitUnitTiming) -> int:
    """The stage in front of which an event waits for the state of its slot, 0 where none does."""
    return timing.state_stage if timing.state_cycles > 1 else 0


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def _move_on(enter: Integers, arrival: int, waiting_stage: int) -> None:
    """Turn enter[1..D] of the event before into those of this one; enter[D + 1] is still that of the event before."""
    enter[0] = arrival
    for stage in range(1, enter.size - 1):
        free = enter[stage + 1]
        if stage == waiting_stage:
            free += 1
        enter[stage] = max(enter[stage - 1] + 1, free)


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]  # numba is untyped
def _run_streams(
    n_stages: int,
    interlocked_stage: int,
    slot: Integers,
    arrival: Integers,
    first_event: Integers,
    ready: Flags,
    first_ready: Integers,
    accepted: Integers,
    visible: Integers,
    taken: Integers,
) -> None:
    """Fill the last three arrays."""
    enter = np.empty(n_stages + 2, np.int64)
    for stream in range(first_event.size - 1):
        for stage in range(n_stages + 2):
            enter[stage] = 0
        last_slot = NO_SLOT
        first, n_cycles = first_ready[stream], first_ready[stream + 1] - first_ready[stream]
        for event in range(first_event[stream], first_event[stream + 1]):
            _move_on(enter, arrival[event], interlocked_stage if slot[event] == last_slot else 0)
            cycle = enter[n_stages]
            while cycle < n_cycles and not ready[first + cycle]:
                cycle += 1
            enter[n_stages + 1] = cycle + 1
            accepted[event], visible[event], taken[event] = enter[1] - 1, enter[n_stages], cycle
            last_slot = slot[event]
