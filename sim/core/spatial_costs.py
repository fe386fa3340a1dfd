"""Cycles that each engine of a spatial pipeline takes for its share of a sentence's layers.

The shares are those of hw_model.accelerator, the first engine has the prologue as well. In an engine a sentence runs
exactly as it does alone on a design of that engine, from cycle 0 in which it enters:

    hidden_cycles[g]      its last hidden state is there
    decision_cycle[l]     the exit after layer l has decided (layer l counted through all engines)
    service_cycles[g]     both are over: the engine is done with a sentence that goes on
    hand_over_cycles[g]   the sentence may go on: service_cycles if the design stalls; if it speculates as soon as the
                          hidden state is there and every decision but the one on this very state has fallen

So a sentence that went on has at most one open decision, and its decisions fall in the order of the layers.

Not modelled: an engine that fetches weights before a sentence has entered it, two sentences in one engine, the time
of a hand-over (engines exchange banks, no words move).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hexit.quant.arrays import Flags, Integers
from hexit.sim.core.program import NONE, Program, TaskProgram
from hexit.sim.core.sentence import SentenceRun, run_layers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpatialCosts:
    """The cycles of every engine and layer, as the module says; `end_layer[g]`: layers up to and with engine g.

    `decision_cycle` is NONE for exits that are not evaluated. `runs`: each engine's share, from its entry on.
    """

    program: Program
    end_layer: Integers
    hidden_cycles: Integers
    hand_over_cycles: Integers
    service_cycles: Integers
    decision_cycle: Integers
    runs: tuple[SentenceRun, ...]

    @property
    def n_engines(self) -> int:
        """Engines of the pipeline."""
        return int(self.end_layer.size)

    @property
    def engine(self) -> Integers:
        """The engine of every layer, both counted from 0."""
        return np.repeat(np.arange(self.n_engines), np.diff(self.end_layer, prepend=0))


def spatial_costs(program: Program, evaluated: Flags) -> SpatialCosts:
    """Run every engine's share once; `evaluated` says after which layers an exit decides, the last one included."""
    end_layer, layer = program.end_layer, program.layer
    prologues = [program.prologue, *[_no_ops(layer)] * (end_layer.size - 1)]
    shares = np.split(evaluated, end_layer[:-1])
    runs = [run_layers(program, share, prologue) for share, prologue in zip(shares, prologues, strict=True)]
    outputs = layer.exports[: layer.n_blocks] - layer.n_ports
    hidden = np.array([(run.layer_start[-1, outputs] + layer.latency_cycles[outputs]).max() for run in runs])
    pending = 1 if program.accelerator.exit_overlap == "speculate" else 0  # decisions that fall behind the hand-over
    decided = [run.decision_cycle[: run.decision_cycle.size - pending].max(initial=0) for run in runs]
    return SpatialCosts(
        program=program,
        end_layer=end_layer,
        hidden_cycles=hidden,
        hand_over_cycles=np.maximum(hidden, decided),
        service_cycles=np.maximum(hidden, [run.decision_cycle.max() for run in runs]),
        decision_cycle=np.concatenate([run.decision_cycle for run in runs]),
        runs=tuple(runs),
    )


def lone_entry_cycle(costs: SpatialCosts) -> Integers:
    """Return when a sentence alone on the design enters each engine."""
    entry = np.zeros(costs.n_engines, np.int64)
    decided = 0
    for engine in range(costs.n_engines - 1):
        entry[engine + 1] = max(entry[engine] + costs.hand_over_cycles[engine], decided)
        decided = entry[engine] + costs.service_cycles[engine]
    return entry


def spatial_run(costs: SpatialCosts) -> SentenceRun:
    """Return the run of a sentence alone on the design, through all engines."""
    entry = lone_entry_cycle(costs)[costs.engine]
    exit_start = np.concatenate([run.exit_start for run in costs.runs])
    return SentenceRun(
        program=costs.program,
        prologue_start=costs.runs[0].prologue_start,
        layer_start=np.concatenate([run.layer_start for run in costs.runs]) + entry[:, None],
        exit_start=np.where(exit_start == NONE, NONE, exit_start + entry[:, None]),
        decision_cycle=np.where(costs.decision_cycle == NONE, NONE, costs.decision_cycle + entry),
    )


def _no_ops(layer: TaskProgram) -> TaskProgram:
    """A program without tasks that hands on what it is given: the prologue of every engine but the first."""
    nothing = np.zeros(0, np.int64)
    return TaskProgram(
        op_names=(),
        n_blocks=layer.n_blocks,
        n_ports=layer.n_ports,
        unit=nothing,
        occupancy_cycles=nothing,
        latency_cycles=nothing,
        first_dependency=np.zeros(1, np.int64),
        dependency=nothing,
        exports=np.arange(1, layer.n_ports),
        decision=NONE,
        op=nothing,
        head=nothing,
        panel=nothing,
        block=nothing,
        macs=nothing,
        n_bytes=nothing,
    )
