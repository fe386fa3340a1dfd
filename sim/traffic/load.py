"""The stream that a design serves: which sentences of the data, when, at what length, and how many may wait.

`StreamSetup` is what a user says, `StreamLoad` that stream for the programs of a design, to be run with any exits and
the lone sentences of these programs, which say which exits are evaluated.
Sentences and arrivals are drawn from the run's seed, independently of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hexit.quant.arrays import Integers
from hexit.quant.errors import ConfigError
from hexit.sim.core.lone_sentence import LoneSentence
from hexit.sim.core.queueing import AdmissionPolicy
from hexit.sim.core.stream import StreamResult, simulate_stream
from hexit.sim.traffic.arrivals import Arrivals, ClosedLoop, PoissonArrivals, RecordedArrivals, arrival_cycles
from hexit.sim.traffic.lengths import PADDED, LengthPolicy
from hexit.sim.traffic.saturation import Saturation, saturate

SATURATION_SENTENCES = 10_000  # of a search; at its capacity a queue wanders by about their root, 1 % of the stream
MAX_SENTENCES = 20_000_000  # of a stream; 2 GiB of arrays
DRAW_STREAM = 0  # beside the seed, so that the sentences drawn are independent of the gaps between them


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSetup:
    """How sentences come: when, through what queue, at what length, and how many.

    `n_sentences` are drawn from the data with replacement; 0 takes the data once, in their order. `saturates`: search
    for the highest rate as well.
    """

    arrivals: Arrivals = ClosedLoop()  # noqa: RUF009 - frozen
    admission: AdmissionPolicy = AdmissionPolicy()  # noqa: RUF009 - frozen
    lengths: LengthPolicy = PADDED
    n_sentences: int = 0
    saturates: bool = False

    def __post_init__(self) -> None:
        """Reject streams that cannot be drawn or fed."""
        if self.n_sentences < 0:
            raise ConfigError("--sentences", self.n_sentences, "must not be negative", "Try --sentences 100000")
        if self.n_sentences > MAX_SENTENCES:
            requirement = f"must be at most {MAX_SENTENCES}"
            raise ConfigError("--sentences", self.n_sentences, requirement, "Try --sentences 1000000")
        policy, closed = self.admission, isinstance(self.arrivals, ClosedLoop)
        if closed and policy.drop != "never" and not self.saturates:
            requirement = "drops nobody in a closed loop, where nobody waits"
            where, value = ("--drop", policy.drop) if policy.n_places is None else ("--queue", str(policy.n_places))
            raise ConfigError(where, value, requirement, "Add --arrivals poisson:rate=500")
        if self.saturates and isinstance(self.arrivals, RecordedArrivals):
            requirement = "searches for a rate, and recorded arrivals have their own"
            raise ConfigError("--saturate", self.arrivals.file_name, requirement, "Use --arrivals poisson:rate=500")


def draw_sentences(n_samples: int, n_drawn: int, seed: int) -> Integers:
    """Return which sentences of the data a stream consists of: `n_drawn` with replacement, or all once for 0."""
    if not n_drawn:
        return np.arange(n_samples)
    return np.random.default_rng((seed, DRAW_STREAM)).integers(0, n_samples, n_drawn)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamLoad:
    """A stream for the programs of one design; `program_index` [n_samples]: that of each sentence of the data."""

    setup: StreamSetup
    program_index: Integers
    clock_mhz: float
    seed: int

    @property
    def drawn(self) -> Integers:
        """Which sentence of the data each of the stream is."""
        return draw_sentences(self.program_index.size, self.setup.n_sentences, self.seed)

    def run(self, exit_layer: Integers, sentences: Sequence[LoneSentence]) -> StreamResult:
        """Simulate the stream; `exit_layer` [n_samples] of the data, `sentences` those of the programs."""
        drawn = self.drawn
        arrivals = arrival_cycles(self.setup.arrivals, drawn.size, self.clock_mhz, self.seed)
        return self._run(exit_layer, sentences, drawn, arrivals)

    def search(self, exit_layer: Integers, sentences: Sequence[LoneSentence]) -> Saturation:
        """Search the highest sustained rate of the stream's pattern, Poisson in a closed loop."""
        pattern = self.setup.arrivals
        n_sentences = self.setup.n_sentences or SATURATION_SENTENCES
        drawn = draw_sentences(self.program_index.size, n_sentences, self.seed)
        return saturate(
            lambda arrivals: self._run(exit_layer, sentences, drawn, arrivals),
            PoissonArrivals(rate_per_s=1.0) if isinstance(pattern, ClosedLoop | RecordedArrivals) else pattern,
            n_sentences,
            self.clock_mhz,
            self.seed,
        )

    def _run(
        self, exit_layer: Integers, sentences: Sequence[LoneSentence], drawn: Integers, arrivals: Integers | None
    ) -> StreamResult:
        return simulate_stream(
            sentences,
            exit_layer[drawn],
            arrivals,
            program_index=self.program_index[drawn],
            admission=self.setup.admission.cycles(self.clock_mhz),
        )
