from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.sim.analysis.timeline import PANELS, WAITING, Timeline, sentence_timeline
from hexit.sim.core.compile import compile_program
from hexit.sim.core.lone_sentence import simulate_sentence
from hexit.sim.core.program import UNIT_NAMES, Program
from hexit.sim.export.vcd import time_unit, value_change_dump
from support.strategies import DECISION, LAWS, programs

Changes = dict[int, str]


def read_dump(text: str) -> tuple[dict[str, str], dict[str, Changes], int]:
    """Header texts, changes of every signal by time, and last time of a dump."""
    header: dict[str, str] = {}
    names: dict[str, str] = {}
    scope: list[str] = []
    head, body = text.split("$enddefinitions $end")
    for line in (" ".join(entry.split()) for entry in head.split("$end")):
        keyword, _, rest = line.partition(" ")
        match keyword:
            case "$scope":
                scope.append(rest.split()[1])
            case "$upscope":
                scope.pop()
            case "$var":
                names[rest.split()[2]] = ".".join([*scope, rest.split()[3]])
            case _:
                header[keyword] = rest
    changes: dict[str, Changes] = {name: {} for name in names.values()}
    now = 0
    for line in body.splitlines():
        if line.startswith("#"):
            assert int(line[1:]) >= now
            now = int(line[1:])
        elif line and not line.startswith("$"):
            value, code = line.split() if line[0] in "bs" else (line[0], line[1:])
            changes[names[code]][now] = str(int(value[1:], 2)) if value[0] == "b" else value.removeprefix("s")
    return header, changes, now


def by_cycle(changes: Changes, n_cycles: int, per_cycle: int) -> list[str]:
    shown: list[str] = []
    assert all(time % per_cycle == 0 for time in changes)
    for cycle in range(n_cycles):
        shown.append(changes[cycle * per_cycle] if cycle * per_cycle in changes else shown[-1])
    return shown


def levels(timeline: Timeline, name: str) -> list[str]:
    shown = ["0"] * (timeline.total_cycles + 1)
    for counter in timeline.counters:
        if counter.name == name:
            for cycle, level in zip(counter.cycles, counter.levels, strict=True):
                shown[cycle:] = [str(level)] * (timeline.total_cycles + 1 - cycle)
    return shown


@pytest.mark.slow
@given(programs(), st.data())
@LAWS
def test_every_signal_is_the_timeline_in_every_cycle(program: Program, data: st.DataObject) -> None:
    timeline = sentence_timeline(simulate_sentence(program), data.draw(st.integers(1, program.n_layers)))
    n_cycles = timeline.total_cycles + 1
    _, changes, end = read_dump(value_change_dump(timeline))
    assert end == 5 * n_cycles  # 200 MHz, in ns
    wanted = {"hexit.weight_panels": levels(timeline, PANELS)}
    for unit in UNIT_NAMES:
        busy, op, layer, squashed = ([idle] * n_cycles for idle in ("0", "idle", "0", "0"))
        for interval in timeline.intervals:
            if interval.unit == unit:
                for cycle in range(interval.start_cycle, interval.end_cycle):
                    busy[cycle], op[cycle], layer[cycle] = "1", interval.op, str(interval.layer)
                    squashed[cycle] = str(int(interval.squashed))
        wanted |= {f"hexit.{unit}.busy": busy, f"hexit.{unit}.op": op, f"hexit.{unit}.layer": layer}
        wanted |= {
            f"hexit.{unit}.squashed": squashed,
            f"hexit.{unit}.ready": levels(timeline, f"{WAITING} {unit}"),
        }
    decided = {i.ready_cycle for i in timeline.intervals if i.unit == "decision" and not i.squashed}
    wanted["hexit.decision.valid"] = [str(int(cycle in decided)) for cycle in range(n_cycles)]
    wanted["hexit.decision.exit"] = ["0"] * timeline.total_cycles + ["1"]
    assert changes.keys() == wanted.keys()
    for name, values in wanted.items():
        assert by_cycle(changes[name], n_cycles, 5) == values, name


@given(programs())
@LAWS
def test_an_entry_of_the_dump_is_a_change(program: Program) -> None:
    text = value_change_dump(sentence_timeline(simulate_sentence(program), 1))
    for changes in read_dump(text)[1].values():
        values = list(changes.values())
        assert all(before != after for before, after in pairwise(values))


@pytest.mark.parametrize(
    ("clock_mhz", "timescale", "per_cycle"),
    [
        (200.0, "1 ns", 5),
        (100.0, "10 ns", 1),
        (1.0, "1 us", 1),
        (400.0, "100 ps", 25),
        (160.0, "10 ps", 625),
        (312.5, "100 ps", 32),
        (1600.0, "1 ps", 625),
    ],
)
def test_a_whole_period_is_kept_exactly(clock_mhz: float, timescale: str, per_cycle: int) -> None:
    unit = time_unit(clock_mhz)
    assert (unit.timescale, unit.per_cycle, unit.is_cycle) == (timescale, per_cycle, False)


@pytest.mark.slow
@given(programs())
@LAWS
def test_where_the_period_is_not_whole_a_nanosecond_is_a_cycle_and_the_file_says_so(program: Program) -> None:
    whole = sentence_timeline(simulate_sentence(program), 1)
    header, changes, end = read_dump(value_change_dump(replace(whole, clock_mhz=300.0)))
    assert end == whole.total_cycles + 1
    assert header["$timescale"] == "1 ns"
    assert header["$comment"] == "random, 300 MHz: 1 ns is one clock cycle"
    header, in_ns, _ = read_dump(value_change_dump(whole))
    assert header["$comment"] == "random, 200 MHz: 5 x 1 ns is one clock cycle"
    assert in_ns == {name: {5 * time: value for time, value in mine.items()} for name, mine in changes.items()}


@given(programs())
@LAWS
def test_engines_behind_each_other_have_scopes_of_their_own(program: Program) -> None:
    design = replace(program.accelerator, mapping="spatial", n_engines=program.n_layers)
    timeline = sentence_timeline(
        simulate_sentence(compile_program(program.workload, design, program.channel, DECISION)), program.n_layers
    )
    _, changes, _ = read_dump(value_change_dump(timeline))
    scopes = {name.split(".")[1] for name in changes}
    one = design.n_engines == 1
    assert scopes == ({*UNIT_NAMES, "weight_panels"} if one else {f"engine_{1 + g}" for g in range(design.n_engines)})
    busy = [name for name in changes if name.endswith("array.busy") and "1" in changes[name].values()]
    assert len(busy) == design.n_engines
    leaves = [name for name in changes if name.endswith("decision.exit") and "1" in changes[name].values()]
    assert leaves == ["hexit.decision.exit" if one else f"hexit.engine_{design.n_engines}.decision.exit"]
