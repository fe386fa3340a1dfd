"""One sentence through layers of a program, on units that are idle when it comes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hexit.quant.arrays import Flags, Integers
from hexit.quant.errors import ConfigError
from hexit.sim.core.program import NONE, Program, TaskProgram
from hexit.sim.core.recurrence import flatten, run_sentence


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SentenceRun:
    """Start of every task and cycle of every decision, for all layers of a program or those of one engine.

    `decision_cycle[k - 1]` is the latency of a sentence that exits after layer k (NONE where that exit is not
    evaluated). Starts are indexed [task] and [layer - 1, task]; later layers of an earlier exit are squashed.
    """

    program: Program
    prologue_start: Integers
    layer_start: Integers
    exit_start: Integers
    decision_cycle: Integers

    @property
    def evaluated_layers(self) -> tuple[int, ...]:
        """Layers whose exits are evaluated, from 1."""
        return tuple((np.flatnonzero(self.decision_cycle != NONE) + 1).tolist())

    def latency_cycles(self, exit_layer: int) -> int:
        """Return the cycles of a sentence that exits after a layer; ConfigError where that exit is not evaluated."""
        legal = list(self.evaluated_layers)
        if exit_layer not in legal:
            raise ConfigError("exit_layer", exit_layer, f"must be one of the exits {legal}", "Pick one of these")
        return int(self.decision_cycle[exit_layer - 1])


def evaluated_flags(program: Program, evaluated_layers: tuple[int, ...] | None) -> Flags:
    """Return which layers' exits are evaluated, all where it is None; ConfigError unless the last one is."""
    n_layers = program.n_layers
    chosen = range(1, n_layers + 1) if evaluated_layers is None else evaluated_layers
    if not set(chosen) <= set(range(1, n_layers + 1)) or n_layers not in chosen:
        requirement = f"must lie in 1..{n_layers} and contain {n_layers}"
        raise ConfigError("evaluated_layers", evaluated_layers, requirement, "Correct the list")
    return np.array([layer in chosen for layer in range(1, n_layers + 1)])


def run_layers(program: Program, evaluated: Flags, prologue: TaskProgram) -> SentenceRun:
    """Run `prologue` and as many layers as there are flags, each with its exit where `evaluated`, from cycle 0."""
    prologue_start = np.empty(prologue.n_tasks, np.int64)
    layer_start = np.empty((evaluated.size, program.layer.n_tasks), np.int64)
    exit_start = np.full((evaluated.size, program.exit.n_tasks), NONE, np.int64)
    decision_cycle = run_sentence(
        flatten((prologue, program.layer, program.exit)),
        evaluated,
        program.accelerator.exit_overlap != "speculate",
        np.zeros(program.n_units, np.int64),
        prologue_start,
        layer_start,
        exit_start,
    )
    return SentenceRun(
        program=program,
        prologue_start=prologue_start,
        layer_start=layer_start,
        exit_start=exit_start,
        decision_cycle=decision_cycle,
    )
