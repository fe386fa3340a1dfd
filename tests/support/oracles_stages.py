"""Stages, packs and exits event by event: every stage is looked at whenever anything can have happened.

Nothing here knows of tasks, units or dependencies. A call of a layer is stages that start a pack when they may and end
it when they must; sentences call the layer, and an exit head and a decision unit work behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hexit.hw_model.stages import Region

Pair = tuple[int, int]  # occupancy and latency of the head or the decision


@dataclass
class RunningRegion:
    """One region of a call: `busy` [stage][pack]; starts and ends are filled in as time goes by."""

    region: Region
    busy: Sequence[Sequence[int]]
    free_from: list[int]  # of each stage, from calls before
    ready_from: int = 0
    start: list[list[int]] = field(default_factory=list)
    end: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        names = [stage.name for stage in self.region.stages]
        self.start, self.end = [[] for _ in names], [[] for _ in names]
        self.sources = [
            [names.index(one) for one in stage.after] if stage.after is not None else [index - 1] * (index > 0)
            for index, stage in enumerate(self.region.stages)
        ]
        self.readers = [[t for t in range(len(names)) if s in self.sources[t]] for s in range(len(names))]
        self.first = [stage.first_result_cycles for stage in self.region.stages]

    @property
    def done(self) -> bool:
        return all(len(ends) == len(busy) for ends, busy in zip(self.end, self.busy, strict=True))

    def last_end(self) -> int:
        return max(ends[-1] for ends in self.end)

    def look(self, now: int) -> bool:
        """Start and end whatever may in this cycle; return whether anything did."""
        changed = False
        for stage in range(len(self.busy)):
            pack = len(self.start[stage])
            if pack < len(self.busy[stage]) and len(self.end[stage]) == pack and self._may_start(stage, pack, now):
                self.start[stage].append(now)
                changed = True
            if len(self.start[stage]) > len(self.end[stage]) and self._may_end(stage, now):
                self.end[stage].append(now)
                changed = True
        return changed

    def _may_start(self, stage: int, pack: int, now: int) -> bool:
        if now < self.ready_from:
            return False
        if self.region.overlap == "sequential":
            turns = [(p, s) for p in range(len(self.busy[0])) for s in range(len(self.busy))]
            before = turns[: turns.index((pack, stage))]
            return now >= self.free_from[stage] and all(len(self.end[s]) > p for p, s in before)
        free = self.free_from[stage] if pack == 0 else self.end[stage][pack - 1] + self.region.handshake_cycles
        if now < free:
            return False
        for source in self.sources[stage]:
            if self.region.overlap == "packs" and len(self.end[source]) <= pack:
                return False
            if self.region.overlap == "streaming" and (
                len(self.start[source]) <= pack or now < self.start[source][pack] + self.first[source]
            ):
                return False
        behind = pack - self.region.fifo_packs
        return behind < 0 or all(len(self.start[reader]) > behind for reader in self.readers[stage])

    def _may_end(self, stage: int, now: int) -> bool:
        pack = len(self.end[stage])
        if now < self.start[stage][pack] + self.busy[stage][pack]:
            return False
        return self.region.overlap != "streaming" or all(
            len(self.end[source]) > pack and now >= self.end[source][pack] + self.first[stage]
            for source in self.sources[stage]
        )

    def next_times(self) -> list[int]:
        """Every cycle that a condition compares with."""
        times = [self.ready_from, *self.free_from]
        for stage, busy in enumerate(self.busy):
            last = len(self.start[stage]) - 1
            if last >= 0:
                times.append(self.start[stage][last] + busy[last])
            if self.end[stage]:
                times.append(self.end[stage][-1] + self.region.handshake_cycles)
            times += [start + self.first[stage] for start in self.start[stage]]
            times += [end + self.first[reader] for end in self.end[stage] for reader in self.readers[stage]]
        return times


@dataclass
class StagedMachine:
    """A layer's regions with the busy cycles of each stage and pack; stages remember when they are free again."""

    regions: Sequence[Region]
    busy: Sequence[Sequence[Sequence[int]]]
    extra_cycles: int

    def __post_init__(self) -> None:
        self.idle()

    def idle(self) -> None:
        self.free = [[0] * len(region.stages) for region in self.regions]
        self.occupied: list[tuple[str, int, int]] = []  # stage, from, for how long: of the last call

    def call(self, now: int) -> int:
        """Run a call that begins in a cycle, and return the cycle in which it returns."""
        position, self.occupied = 0, []
        while position < len(self.regions):
            group = [position]
            while self.regions[group[-1]].parallel_with_next and group[-1] + 1 < len(self.regions):
                group.append(group[-1] + 1)
            running = [
                RunningRegion(
                    self.regions[index], self.busy[index], self.free[index], now + self.regions[index].start_cycles
                )
                for index in group
            ]
            now = self._finish(running, now)
            for index, one in zip(group, running, strict=True):
                pause = 0 if one.region.overlap == "sequential" else one.region.handshake_cycles
                self.free[index] = [ends[-1] + pause for ends in one.end]
                self.occupied += self._occupied(one)
            position = group[-1] + 1
        return now + self.extra_cycles

    @staticmethod
    def _occupied(one: RunningRegion) -> list[tuple[str, int, int]]:
        found = []
        for stage, starts, ends, busy in zip(one.region.stages, one.start, one.end, one.busy, strict=True):
            found += [(stage.name, start, cycles) for start, cycles in zip(starts, busy, strict=True)]
            if one.region.overlap != "sequential":
                found += [(stage.name, end, one.region.handshake_cycles) for end in ends]
        return found

    @staticmethod
    def _finish(running: list[RunningRegion], now: int) -> int:
        while True:
            while any([one.look(now) for one in running]):
                pass
            if all(one.done for one in running):
                return max(one.last_end() for one in running)
            now = min(time for one in running for time in one.next_times() if time > now)


@dataclass
class ExitPath:
    """An exit head and a decision unit, each of which takes its next hidden state when it is free."""

    head: Pair
    decision: Pair
    head_free: int = 0
    decision_free: int = 0

    def decide(self, now: int) -> int:
        start = max(now, self.head_free)
        self.head_free = start + self.head[0]
        start = max(start + self.head[1], self.decision_free)
        self.decision_free = start + self.decision[0]
        return start + self.decision[1]


def alone(
    machine: StagedMachine, path: ExitPath, evaluated: Sequence[bool], leaves: int, start: int, *, speculates: bool
) -> int:
    """Return when a sentence that enters an idle machine and leaves after a layer is decided."""
    machine.idle()
    path.head_free = path.decision_free = 0
    now, decided = start, start
    for layer in range(1, len(evaluated) + 1):
        now = machine.call(now)
        if evaluated[layer - 1]:
            decided = path.decide(now)
            if layer == leaves:
                return decided
            if not speculates:
                now = decided
    raise AssertionError("no such exit")


def squashed(
    machine: StagedMachine, path: ExitPath, evaluated: Sequence[bool], leaves: int, names: Sequence[str]
) -> list[int]:
    """Cycles of each stage, by name, that a sentence which leaves after a layer has spent on later ones by then."""
    finish = alone(machine, path, evaluated, leaves, 0, speculates=True)
    machine.idle()
    spent, now = dict.fromkeys(names, 0), 0
    for layer in range(1, len(evaluated) + 1):
        now = machine.call(now)
        for name, start, cycles in machine.occupied if layer > leaves else ():
            spent[name] += max(0, min(cycles, finish - start))
    return list(spent.values())


def one_at_a_time(
    machine: StagedMachine,
    path: ExitPath,
    evaluated: Sequence[bool],
    leaves: Sequence[int],
    arrivals: Sequence[int],
    *,
    speculates: bool,
) -> list[Pair]:
    """Start and finish of sentences of which one is on the machine at a time."""
    found: list[Pair] = []
    free = 0
    for layer, arrival in zip(leaves, arrivals, strict=True):
        start = max(arrival, free)
        free = alone(machine, path, evaluated, layer, start, speculates=speculates)
        found.append((start, free))
    return found


def in_turns(
    machine: StagedMachine,
    path: ExitPath,
    evaluated: Sequence[bool],
    leaves: Sequence[int],
    arrivals: Sequence[int],
    n_slots: int,
) -> list[Pair]:
    """Start and finish of sentences whose calls take turns: a slot each, served round robin."""
    machine.idle()
    inside: dict[int, list[int]] = {}  # slot: sentence, layers done
    gate, found = [0] * n_slots, [(0, 0)] * len(leaves)
    coming, slot, returned = 0, 0, 0
    while inside or coming < len(leaves):
        if slot not in inside and coming < len(leaves) and (not inside or arrivals[coming] <= returned):
            gate[slot] = max(gate[slot], arrivals[coming])
            found[coming] = (gate[slot], 0)
            inside[slot] = [coming, 0]
            coming += 1
        if slot in inside:
            sentence, done = inside[slot]
            returned = machine.call(max(returned, gate[slot]))
            inside[slot][1] = done + 1
            if evaluated[done]:
                gate[slot] = path.decide(returned)
            if done + 1 == leaves[sentence]:
                found[sentence] = (found[sentence][0], gate[slot])
                del inside[slot]
        slot = (slot + 1) % n_slots
    return found
