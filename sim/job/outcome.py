"""What a run computes: the records that report, pictures, files and sweeps are pure functions of."""

from __future__ import annotations

from dataclasses import dataclass

from hexit.hw_model.energy import EnergyBreakdown
from hexit.quant.arrays import Integers
from hexit.quant.exits.published import Decision
from hexit.sim.analysis.bank_use import BankUse
from hexit.sim.analysis.comparison import Comparison
from hexit.sim.analysis.stalls import KernelAndTransfers, StallBreakdown
from hexit.sim.core.lone_sentence import ExitTable
from hexit.sim.core.sentence import SentenceRun
from hexit.sim.core.stream import StreamResult
from hexit.sim.job.design import CheckedDesign
from hexit.sim.job.selection import Choice
from hexit.sim.job.setup import Setup, Source
from hexit.sim.published.trust import Trust
from hexit.sim.traffic.buffer_sizes import BufferSizes
from hexit.sim.traffic.saturation import Saturation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decisions:
    """Where each sentence of the data leaves: by the exit unit's integers on the quantised model, and by the float rule
    on the float model where there is one."""

    integer: Decision
    floating: Decision | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SentenceAnalysis:
    """A sentence of the setup's length, alone on the design: its run through all layers, and its cost by exit layer.

    `stalls` and `kernel` are those up to `exit_layer`, the median exit of the data. `last_layer_cycles`: what the last
    layer and its exit add where every exit is computed. `bank_use` is that of layer `exit_layer`.
    """

    run: SentenceRun
    table: ExitTable
    exit_layer: int
    stalls: StallBreakdown
    kernel: KernelAndTransfers
    bank_use: BankUse | None
    last_layer_cycles: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SimulatedStream:
    """A stream on the design, and its energy."""

    result: StreamResult
    energy: EnergyBreakdown


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """One run, computed.

    `drawn` says which sentence of the data each of the stream is; `full_depth` are the same sentences and arrivals on
    the same design without any early exit. `buffers` are what the stream needs in a spatial pipeline of engines; None
    for one engine, and where sentences are dropped. `comparison` is None without labels, `choice` where the settings of
    the rule were typed. `trust`: how far published figures bear out the model's cycles.
    """

    setup: Setup
    source: Source
    decisions: Decisions
    design: CheckedDesign
    sentence: SentenceAnalysis
    drawn: Integers
    with_exits: SimulatedStream
    full_depth: SimulatedStream
    saturation: Saturation | None
    buffers: BufferSizes | None
    comparison: Comparison | None
    choice: Choice | None
    trust: Trust

    @property
    def evaluated_layers(self) -> tuple[int, ...]:
        """Layers whose exits are evaluated."""
        return self.design.exit_path.spec.evaluated_layers


def layer_breakdown(outcome: Outcome) -> dict[str, int]:
    """Return the cycles in which each unit works on one layer and its exit, by unit name; units overlap."""
    program = outcome.design.program
    busy = program.layer.busy_cycles() + program.exit.busy_cycles()
    return {program.unit_names[unit]: int(busy[unit]) for unit in program.shown_units if busy[unit]}
