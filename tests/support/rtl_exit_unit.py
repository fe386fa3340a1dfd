"""The RTL of an exit unit in Verilator on many timed streams: the decision and the handshakes' cycles of every event.

A stream is a few sentences of every kind that hls.exit_unit.vectors knows, slots taking turns at random. Its producer
and its consumer never pause, or pause up to most of the time, cycle by cycle or for long: back-pressure reaches every
stage, the first and the last included.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hexit.hls.exit_unit.rtl_project import TOP, write_rtl
from hexit.hls.exit_unit.vectors import EventStream, event_stream, joined, proof_logits
from hexit.hls.tools.verilator import compile_model
from hexit.quant.arrays import Integers
from hexit.quant.exits.unit import ExitUnitSpec
from hexit.sim.analysis.exit_events import EventCycles, EventStreams

BENCH = Path(__file__).parent / "rtl" / "exit_unit_bench.cpp"
TIMEOUT_S = 3600.0
MAX_SENTENCES = 6  # of one stream
PAUSES = (0.0, 0.0, 0.1, 0.5, 0.9)  # shares of the events that come late, or of the cycles in which nothing is taken
MAX_GAP_CYCLES = 8
BURST_CYCLES = (1, 1, 4, 16)  # cycles for which a consumer stays as it is


@dataclass(frozen=True, slots=True, kw_only=True)
class RtlModel:
    """The simulator of one unit: a program, and the folder that it must run in, where its tables are."""

    spec: ExitUnitSpec
    program: Path

    def run(self, events: EventStream, streams: EventStreams) -> tuple[Integers, EventCycles]:
        """Return the RTL's decisions, as `EventStream.decisions`, and their cycles; RuntimeError where the bench stops.

        `streams` has the times of the events; each stream enters a unit just reset.
        """
        sizes = np.stack([np.diff(streams.first_event), np.diff(streams.first_ready)], axis=1)
        words = np.column_stack([streams.arrival_cycle, events.slot, events.layer, events.logits])
        with tempfile.TemporaryDirectory(prefix="hexit_rtl_") as name:
            inputs, results = Path(name) / "events", Path(name) / "results"
            with inputs.open("wb") as file:
                for part in (np.array([len(sizes)]), sizes, words, streams.ready):
                    part.astype("<i4").tofile(file)
            ran = subprocess.run(
                [self.program, inputs, results],
                cwd=self.program.parent,
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT_S,
            )
            if ran.returncode:
                raise RuntimeError(f"{self.spec.rule}: {ran.stderr.strip() or f'status {ran.returncode}'}")
            words = np.fromfile(results, dtype="<i4").reshape(events.n_events, -1).astype(np.int64)
        decisions, (accepted, visible, taken) = words[:, :-3], words[:, -3:].T
        return decisions, EventCycles(accepted=accepted, visible=visible, taken=taken)


def build_rtl(spec: ExitUnitSpec, folder: Path, *, cache: Path | None = None) -> RtlModel:
    """Write the RTL of a unit into a folder and compile its simulator there, in a second or two."""
    write_rtl(spec, folder)
    program = compile_model(folder, folder / "obj", BENCH, top=TOP, cache=cache)
    return RtlModel(spec=spec, program=program.rename(folder / "exit_unit_bench"))


def one_stream(events: EventStream, ready_cycles: tuple[bool, ...] = ()) -> EventStreams:
    """Return the times of events that are all there at once, in one stream; without `ready_cycles` nothing blocks."""
    return EventStreams(
        slot=events.slot,
        arrival_cycle=np.zeros(events.n_events, dtype=np.int64),
        first_event=np.array([0, events.n_events]),
        ready=np.array(ready_cycles, dtype=np.bool_),
        first_ready=np.array([0, len(ready_cycles)]),
    )


def timed_streams(spec: ExitUnitSpec, n_streams: int, seed: int) -> tuple[EventStream, EventStreams]:
    """Return the events of `n_streams` random streams with the golden decisions, and their times."""
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
    events = joined(parts)
    streams = EventStreams(
        slot=events.slot,
        arrival_cycle=np.concatenate(arrivals),
        first_event=np.cumsum([0, *(part.n_events for part in parts)]),
        ready=np.concatenate(readiness),
        first_ready=np.cumsum([0, *map(len, readiness)]),
    )
    return events, streams
