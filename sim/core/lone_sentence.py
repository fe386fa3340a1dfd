"""A sentence alone on a design: its run through all layers, and what it costs by the layer after which it exits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hexit.quant.arrays import Integers
from hexit.sim.core.program import NONE, Program
from hexit.sim.core.sentence import SentenceRun, evaluated_flags, run_layers
from hexit.sim.core.spatial_costs import SpatialCosts, spatial_costs, spatial_run
from hexit.sim.core.squash import squashed_layers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExitTable:
    """Cycles and work of a lone sentence by the layer k after which it exits (index k - 1).

    `latency_cycles` is NONE for exits that are not evaluated. `wasted_*`: squashed work that had begun; MACs and
    bytes of a task that was cut off count in proportion to the cycles it got, rounded down.
    `wasted_op_cycles` are the squashed cycles, transfers left out, by op of the layer and then of the exit.
    """

    latency_cycles: Integers
    busy_cycles: Integers
    n_exits: Integers
    macs: Integers
    off_chip_bytes: Integers
    wasted_cycles: Integers
    wasted_op_cycles: Integers
    wasted_macs: Integers
    wasted_bytes: Integers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoneSentence:
    """A sentence of a program alone on the design; `engines`: the cycles in each engine of a spatial pipeline."""

    run: SentenceRun
    table: ExitTable
    engines: SpatialCosts | None


def simulate_sentence(program: Program, evaluated_layers: tuple[int, ...] | None = None) -> SentenceRun:
    """Run one sentence through all layers under the design's exit overlap (`interleave` alone is `stall`).

    `evaluated_layers`: the layers whose exits exist, all of them by default; the last layer must be among them.
    """
    return _simulate(program, evaluated_layers)[0]


def lone_sentence(program: Program, evaluated_layers: tuple[int, ...] | None = None) -> LoneSentence:
    """Run one sentence through all layers, and return the run with its table; arguments as `simulate_sentence`."""
    run, engines = _simulate(program, evaluated_layers)
    return LoneSentence(run=run, table=exit_table(run), engines=engines)


def _simulate(program: Program, evaluated_layers: tuple[int, ...] | None) -> tuple[SentenceRun, SpatialCosts | None]:
    evaluated = evaluated_flags(program, evaluated_layers)
    if program.accelerator.mapping != "spatial":
        return run_layers(program, evaluated, program.prologue), None
    engines = spatial_costs(program, evaluated)
    return spatial_run(engines), engines


def exit_table(run: SentenceRun) -> ExitTable:
    """Return cycles and work of every exit layer of a sentence that ran through all layers."""
    program, n_layers = run.program, run.program.n_layers
    n_exits = np.cumsum(run.decision_cycle != NONE)
    times = np.stack([np.ones_like(n_exits), np.arange(1, n_layers + 1), n_exits], axis=1)  # of each group, by layer
    groups = program.groups
    cycles, op_cycles, macs, n_bytes = _wasted(run)
    return ExitTable(
        latency_cycles=run.decision_cycle,
        busy_cycles=times @ np.array([group.busy_cycles() for group in groups]),
        n_exits=n_exits,
        macs=times @ np.array([group.macs.sum() for group in groups]),
        off_chip_bytes=times @ np.array([group.n_bytes.sum() for group in groups]),
        wasted_cycles=cycles,
        wasted_op_cycles=op_cycles,
        wasted_macs=macs,
        wasted_bytes=n_bytes,
    )


def _wasted(run: SentenceRun) -> tuple[Integers, Integers, Integers, Integers]:
    """Return squashed cycles by unit and by op, MACs and bytes, by the layer after which a sentence exits."""
    program, n_layers = run.program, run.program.n_layers
    if program.accelerator.exit_overlap != "speculate":  # layers wait for the decision
        n_ops = len(program.layer.op_names) + len(program.exit.op_names)
        nothing = np.zeros(n_layers, np.int64)
        return np.zeros((n_layers, program.n_units), np.int64), np.zeros((n_layers, n_ops), np.int64), nothing, nothing
    cuts = np.where(run.decision_cycle == NONE, 0, run.decision_cycle)[:, None]
    squashed = [squashed_layers(run, layer, cut) for layer, cut in enumerate(cuts, start=1)]
    return (
        np.stack([work.cycles for work in squashed]),
        np.stack([work.op_cycles for work in squashed]),
        np.array([work.macs for work in squashed]),
        np.array([work.n_bytes for work in squashed]),
    )
