"""What each of several engines behind each other takes for its share of a sentence's layers, from the engine itself.

The shares are those of hw_model.engines, the first engine has the prologue as well. In an engine a sentence runs
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

from hexit.hw_model.engines import layers_per_engine
from hexit.quant.arrays import Flags, Integers
from hexit.sim.core.program import NONE, Program, TaskProgram, Unit
from hexit.sim.core.recurrence import flatten, run_sentence


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EngineRun:
    """Starts of the tasks of one engine's share, [tasks], [layers, tasks], [layers, tasks], from its entry on."""

    prologue_start: Integers
    layer_start: Integers
    exit_start: Integers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpatialCosts:
    """The cycles of every engine and layer, as the module says; `end_layer[g]`: layers up to and with engine g.

    `decision_cycle` is NONE for exits that are not evaluated. `runs` are the engines' tasks.
    """

    program: Program
    end_layer: Integers
    hidden_cycles: Integers
    hand_over_cycles: Integers
    service_cycles: Integers
    decision_cycle: Integers
    runs: tuple[EngineRun, ...]

    @property
    def n_engines(self) -> int:
        """Engines behind each other."""
        return int(self.end_layer.size)

    @property
    def engine(self) -> Integers:
        """The engine of every layer, both counted from 0."""
        return np.repeat(np.arange(self.n_engines), np.diff(self.end_layer, prepend=0))


def spatial_costs(program: Program, evaluated: Flags) -> SpatialCosts:
    """Run every engine's share once; `evaluated` says after which layers an exit decides, the last one included."""
    design = program.accelerator
    speculates = design.exit_overlap == "speculate"
    end_layer = np.cumsum(layers_per_engine(program.n_layers, design.n_engines, design.engine_layers))
    outputs = program.layer.exports[: program.layer.n_blocks] - program.layer.n_ports
    prologue = program.prologue
    runs: list[EngineRun] = []
    hidden, hand_over, service = (np.empty_like(end_layer) for _ in range(3))
    decision = np.empty(program.n_layers, np.int64)
    first = 0
    for engine, end in enumerate(end_layer.tolist()):
        run = EngineRun(
            prologue_start=np.empty(prologue.n_tasks, np.int64),
            layer_start=np.empty((end - first, program.layer.n_tasks), np.int64),
            exit_start=np.full((end - first, program.exit.n_tasks), NONE, np.int64),
        )
        decisions = run_sentence(
            flatten((prologue, program.layer, program.exit)),
            evaluated[first:end],
            not speculates,
            np.zeros(len(Unit), np.int64),
            run.prologue_start,
            run.layer_start,
            run.exit_start,
        )
        hidden[engine] = (run.layer_start[-1, outputs] + program.layer.latency_cycles[outputs]).max()
        service[engine] = max(hidden[engine], decisions.max())
        settled = decisions[:-1] if speculates else decisions
        hand_over[engine] = max(hidden[engine], settled.max(initial=0))
        decision[first:end] = decisions
        runs.append(run)
        prologue, first = _no_ops(program.layer), end
    return SpatialCosts(
        program=program,
        end_layer=end_layer,
        hidden_cycles=hidden,
        hand_over_cycles=hand_over,
        service_cycles=service,
        decision_cycle=decision,
        runs=tuple(runs),
    )


def lone_entry_cycle(table: SpatialCosts) -> Integers:
    """Return when a sentence alone on the design enters each engine."""
    entry = np.zeros(table.n_engines, np.int64)
    decided = 0
    for engine in range(table.n_engines - 1):
        entry[engine + 1] = max(entry[engine] + table.hand_over_cycles[engine], decided)
        decided = entry[engine] + table.service_cycles[engine]
    return entry


def lone_run(table: SpatialCosts) -> tuple[EngineRun, Integers]:
    """Return the starts of all tasks of a sentence alone on the design, and the cycle of every decision.

    As `sim.core.stream.simulate_sentence` has them: [tasks], [layers, tasks], [layers, tasks]; NONE for exits that are
    not evaluated.
    """
    entry = lone_entry_cycle(table)
    of_layer = entry[table.engine]
    layer_start, exit_start = (
        np.concatenate([getattr(run, name) for run in table.runs]) for name in ("layer_start", "exit_start")
    )
    run = EngineRun(
        prologue_start=table.runs[0].prologue_start,
        layer_start=layer_start + of_layer[:, None],
        exit_start=np.where(exit_start == NONE, NONE, exit_start + of_layer[:, None]),
    )
    return run, np.where(table.decision_cycle == NONE, NONE, table.decision_cycle + of_layer)


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
