"""Streams of events with times: when each event is offered, and in which cycles the consumer takes a decision.

Every stream has a few sentences of every kind that `hls.exit_unit.vectors` knows, slots taking turns at random, and a
producer and a consumer of its own: from one that never pauses to one that pauses most of the time, cycle by cycle or
for long. Back-pressure so reaches every stage, the first and the last included.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from hexit.hls.exit_unit.vectors import EventStream, event_stream, proof_logits
from hexit.hls.exit_unit.verilator import RtlStreams
from hexit.quant.exits.unit import ExitUnitSpec

MAX_SENTENCES = 6  # of one stream
PAUSES = (0.0, 0.0, 0.1, 0.5, 0.9)  # shares of the events that come late, or of the cycles in which nothing is taken
MAX_GAP_CYCLES = 8
BURST_CYCLES = (1, 1, 4, 16)  # cycles for which a consumer stays as it is


def timed_streams(spec: ExitUnitSpec, n_streams: int, seed: int) -> tuple[RtlStreams, EventStream]:
    """Return `n_streams` random streams and their events with the golden answers, all in one order."""
    random = np.random.default_rng(seed)
    n_sentences = random.integers(1, MAX_SENTENCES + 1, n_streams)
    ends = np.cumsum(n_sentences)
    logits = proof_logits(spec, int(ends[-1]), seed)
    parts = [
        event_stream(spec, logits[:, end - n : end], seed + number)
        for number, (n, end) in enumerate(zip(n_sentences, ends, strict=True))
    ]
    arrivals, readiness = [], []
    for part in parts:
        late = random.random(part.n_events) < random.choice(PAUSES)
        arrivals.append((late * random.integers(1, MAX_GAP_CYCLES + 1, part.n_events)).cumsum())
        bursts = random.random(part.n_events) >= random.choice(PAUSES)
        readiness.append(np.repeat(bursts, random.choice(BURST_CYCLES))[: 4 * part.n_events])
    events = EventStream(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in dataclasses.fields(EventStream)
        }
    )
    streams = RtlStreams(
        slot=events.slot,
        layer=events.layer,
        logits=events.logits,
        arrival_cycle=np.concatenate(arrivals),
        first_event=np.cumsum([0, *(part.n_events for part in parts)]),
        ready=np.concatenate(readiness),
        first_ready=np.cumsum([0, *map(len, readiness)]),
    )
    return streams, events
