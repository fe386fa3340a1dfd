"""A timeline as a value change dump (IEEE 1364), which GTKWave opens next to the waveforms of the RTL.

    hexit.UNIT.busy             1 bit       the unit works
    hexit.UNIT.op, .layer       text, int   on what ("idle" and 0 between tasks; layer 0 is the prologue too)
    hexit.UNIT.squashed         1 bit       the work is lost, because the sentence leaves
    hexit.UNIT.ready            int         tasks that have their operands and wait for the unit
    hexit.weight_panels         int         panel buffers in use
    hexit.decision.valid        1 bit       up for the cycle after a decision is there
    hexit.decision.exit         1 bit       up from the decision that lets the sentence go; the dump ends a cycle later

The engines of a spatial pipeline have a scope each: hexit.engine_1.UNIT.busy, and so on.

Time is a clock period times the cycle, in the largest unit that divides the period; where the period is no whole
number of picoseconds (say at 300 MHz), a nanosecond of the file stands for a cycle, and its comment says so.
Tasks that take no cycle leave no trace. Not shown: the clock (it would be nearly the whole file), rows and panels.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from vcd import VCDWriter

from hexit.sim.analysis.timeline import PANELS, WAITING, Interval, Timeline
from hexit.sim.core.program import UNIT_NAMES, Unit

IDLE = "idle"
INTEGER_BITS = 32
TIMESCALES_PS = {"1 us": 10**6, "100 ns": 10**5, "10 ns": 10**4, "1 ns": 10**3, "100 ps": 100, "10 ps": 10, "1 ps": 1}

Value = int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeUnit:
    """Unit of the file's time, and how many of them a clock cycle is."""

    timescale: str
    per_cycle: int
    is_cycle: bool


def time_unit(clock_mhz: float) -> TimeUnit:
    """Return the unit of time for a clock: exact where the period is whole in picoseconds, else a cycle is 1 ns.

    >>> time_unit(200.0)
    TimeUnit(timescale='1 ns', per_cycle=5, is_cycle=False)
    >>> time_unit(300.0)
    TimeUnit(timescale='1 ns', per_cycle=1, is_cycle=True)
    """
    period_ps = 10**6 / Fraction(clock_mhz)
    if period_ps.denominator != 1:
        return TimeUnit(timescale="1 ns", per_cycle=1, is_cycle=True)
    timescale, unit_ps = next(item for item in TIMESCALES_PS.items() if period_ps % item[1] == 0)
    return TimeUnit(timescale=timescale, per_cycle=int(period_ps) // unit_ps, is_cycle=False)


def value_change_dump(timeline: Timeline) -> str:
    """Return the dump as text, byte-identical for equal timelines."""
    unit = time_unit(timeline.clock_mhz)
    cycle = "1 ns is one clock cycle" if unit.is_cycle else f"{unit.per_cycle} x {unit.timescale} is one clock cycle"
    buffer = io.StringIO()
    with VCDWriter(
        buffer,
        timescale=unit.timescale,
        date="",
        version="hexit",
        comment=f"{timeline.design}, {timeline.clock_mhz:g} MHz: {cycle}",
    ) as writer:
        variables = {}
        for scope, name, kind in _signals(timeline):
            size = {"wire": 1, "integer": INTEGER_BITS, "string": None}[kind]
            initial = IDLE if kind == "string" else 0
            variables[scope, name] = writer.register_var(scope, name, kind, size=size, init=initial)
        changes = {(now, signal): value for now, signal, value in _changes(timeline)}  # of one cycle, the last counts
        for (now, signal), value in sorted(changes.items(), key=lambda change: change[0][0]):
            writer.change(variables[signal], now * unit.per_cycle, value)
        writer.close((timeline.total_cycles + 1) * unit.per_cycle)
    return buffer.getvalue()


def _scope(timeline: Timeline, engine: int) -> str:
    return "hexit" if timeline.n_engines == 1 else f"hexit.engine_{engine}"


def _signals(timeline: Timeline) -> Iterator[tuple[str, str, str]]:
    """Scope, name and type of every signal."""
    for engine in range(1, timeline.n_engines + 1):
        scope = _scope(timeline, engine)
        for unit in timeline.unit_names:
            for name, kind in (
                ("busy", "wire"),
                ("op", "string"),
                ("layer", "integer"),
                ("squashed", "wire"),
                ("ready", "integer"),
            ):
                yield f"{scope}.{unit}", name, kind
        yield scope, "weight_panels", "integer"
        for name in ("valid", "exit"):
            yield f"{scope}.{UNIT_NAMES[Unit.DECISION]}", name, "wire"


def _changes(timeline: Timeline) -> Iterator[tuple[int, tuple[str, str], Value]]:
    """Cycle, signal and new value."""
    tracks: dict[str, list[Interval]] = {}
    for interval in timeline.intervals:
        tracks.setdefault(f"{_scope(timeline, interval.engine)}.{interval.unit}", []).append(interval)
    for scope, mine in tracks.items():
        for interval in mine:
            for name, value in _shown(interval).items():
                yield interval.start_cycle, (scope, name), value
        next_starts = [*(interval.start_cycle for interval in mine[1:]), None]
        for interval, following in zip(mine, next_starts, strict=True):
            if interval.end_cycle != following:
                for name, value in _shown(None).items():
                    yield interval.end_cycle, (scope, name), value
    for counter in timeline.counters:
        scope = _scope(timeline, counter.engine)
        unit = counter.name.removeprefix(f"{WAITING} ")
        signal = (scope, "weight_panels") if counter.name == PANELS else (f"{scope}.{unit}", "ready")
        for cycle, level in zip(counter.cycles, counter.levels, strict=True):
            yield cycle, signal, level
    left_in = 1
    for interval in timeline.intervals:
        if interval.unit == UNIT_NAMES[Unit.DECISION] and not interval.squashed:
            left_in = interval.engine
            decision = f"{_scope(timeline, left_in)}.{UNIT_NAMES[Unit.DECISION]}"
            yield interval.ready_cycle, (decision, "valid"), 1
            yield interval.ready_cycle + 1, (decision, "valid"), 0
    yield timeline.total_cycles, (f"{_scope(timeline, left_in)}.{UNIT_NAMES[Unit.DECISION]}", "exit"), 1


def _shown(interval: Interval | None) -> dict[str, Value]:
    if interval is None:
        return {"busy": 0, "op": IDLE, "layer": 0, "squashed": 0}
    return {"busy": 1, "op": interval.op, "layer": interval.layer, "squashed": int(interval.squashed)}
