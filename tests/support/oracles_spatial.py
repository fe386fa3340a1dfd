"""A naive model of a spatial pipeline: every engine and FIFO looked at in every cycle, until nothing moves."""

from __future__ import annotations

from dataclasses import dataclass, field

from hexit.sim.core.spatial_costs import SpatialCosts


@dataclass
class Engine:
    """One engine: its sentence, since when, and whether it has been handed on."""

    sentence: int | None = None
    entered: int = 0
    handed: bool = False


@dataclass
class Stepped:
    """What happened: cycles by (sentence, engine), engine-cycles by kind, most hidden states per FIFO at a time."""

    entered: dict[tuple[int, int], int] = field(default_factory=dict)
    handed: dict[tuple[int, int], int] = field(default_factory=dict)
    finish: dict[int, int] = field(default_factory=dict)
    busy: list[int] = field(default_factory=list)
    blocked: list[int] = field(default_factory=list)
    squashed: list[int] = field(default_factory=list)
    fifo_high: list[int] = field(default_factory=list)
    undecided_high: int = 0
    reorder_high: int = 0


class Machine:
    """Sentences with the given exits and arrivals in the engines of a table, `n_places` in front of each."""

    def __init__(self, table: SpatialCosts, exit_layer: list[int], arrival: list[int], n_places: int) -> None:
        self.table, self.exit_layer, self.arrival, self.n_places = table, exit_layer, arrival, n_places
        self.engines = [Engine() for _ in range(table.n_engines)]
        self.fifos: list[list[int]] = [[] for _ in self.engines]  # the first one is never used
        self.waiting = list(range(len(exit_layer)))
        n = table.n_engines
        self.seen = Stepped(busy=[0] * n, blocked=[0] * n, squashed=[0] * n, fifo_high=[0] * (n - 1))

    def run(self) -> Stepped:
        """Step until every sentence has left."""
        now = 0
        while len(self.seen.finish) < len(self.exit_layer):
            for engine in range(len(self.engines)):
                self.decide(engine, now)
            while any([self.move(engine, now) for engine in range(len(self.engines))]):
                pass
            self.count(now)
            now += 1
        return self.seen

    def exits_here(self, engine: int) -> bool:
        sentence = self.engines[engine].sentence
        return sentence is not None and self.table.engine[self.exit_layer[sentence] - 1] == engine

    def decide(self, engine: int, now: int) -> None:
        """A sentence whose exit decides in this cycle leaves, and everything of it behind goes as well."""
        me = self.engines[engine]
        if me.sentence is None or not self.exits_here(engine):
            return
        sentence = me.sentence
        if now == me.entered + self.table.decision_cycle[self.exit_layer[sentence] - 1]:
            self.seen.finish[sentence] = now
            for place, other in enumerate(self.engines):
                if other.sentence == sentence:
                    self.engines[place] = Engine()
                    if place > engine:
                        spent = now - other.entered
                        at_work = min(spent, int(self.table.service_cycles[place]))
                        self.seen.busy[place] -= at_work
                        self.seen.blocked[place] -= spent - at_work
                        self.seen.squashed[place] += spent
            for fifo in self.fifos:
                if sentence in fifo:
                    fifo.remove(sentence)

    def may_go_on(self, engine: int, now: int) -> bool:
        """The state may be handed on: no open decision but the one on this very state, nor one in front."""
        me = self.engines[engine]
        if self.exits_here(engine) and self.exit_layer[me.sentence or 0] != self.table.end_layer[engine]:
            return False
        in_front = engine > 0 and self.engines[engine - 1].sentence == me.sentence
        return now >= me.entered + self.table.hand_over_cycles[engine] and not in_front

    def move(self, engine: int, now: int) -> bool:
        """Hand on, become free, or take the next sentence; return whether anything happened."""
        me = self.engines[engine]
        last = engine == len(self.engines) - 1
        if me.sentence is not None:
            if not last and not me.handed and self.may_go_on(engine, now):
                idle = self.engines[engine + 1].sentence is None and not self.fifos[engine + 1]
                if idle or len(self.fifos[engine + 1]) < self.n_places:
                    self.fifos[engine + 1].append(me.sentence)
                    self.seen.handed[me.sentence, engine] = now
                    me.handed = True
                    return True
            done = not self.exits_here(engine) and now >= me.entered + self.table.service_cycles[engine]
            if me.handed and done:
                self.engines[engine] = Engine()
                return True
            return False
        queue = self.waiting if engine == 0 else self.fifos[engine]
        if queue and (engine > 0 or self.arrival[queue[0]] <= now):
            self.engines[engine] = Engine(sentence=queue.pop(0), entered=now)
            self.seen.entered[self.engines[engine].sentence or 0, engine] = now
            return True
        return False

    def count(self, now: int) -> None:
        """Note what everybody does from this cycle to the next."""
        undecided = 0
        for number, me in enumerate(self.engines):
            if me.sentence is None:
                continue
            since = now - me.entered
            at_work = self.exits_here(number) or since < self.table.service_cycles[number]
            self.seen.busy[number] += at_work
            self.seen.blocked[number] += not at_work
            reaches_end = self.exit_layer[me.sentence] >= self.table.end_layer[number]
            inside = self.table.hidden_cycles[number] <= since < self.table.service_cycles[number]
            undecided += reaches_end and inside and number < len(self.engines) - 1
        for number, fifo in enumerate(self.fifos[1:]):
            self.seen.fifo_high[number] = max(self.seen.fifo_high[number], len(fifo))
        self.seen.undecided_high = max(self.seen.undecided_high, undecided)
        first_open = next((i for i in range(len(self.exit_layer)) if i not in self.seen.finish), 10**9)
        held = sum(i > first_open for i in self.seen.finish)
        self.seen.reorder_high = max(self.seen.reorder_high, held)
