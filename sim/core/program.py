"""What the hardware runs for a sentence: tasks with their units, cycles and dependencies, in flat programs.

A task is one tile of array results, one chunk of a vector unit, one off-chip transfer, or a pack of tokens on a stage.
Tasks of one unit run in program order; everything else is a dependency. A program has ports through which the outside
enters: [gate, row blocks of the input, releases of the weight buffers]. Its `exports` are the ports of the next
program. Tasks that depend on ports alone also wait for the gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from hexit.hw_model.accelerator import Accelerator, layers_per_engine
from hexit.hw_model.memory.buffers import WeightPlacement
from hexit.hw_model.memory.channel import MemoryChannel, transfer_cycles
from hexit.quant.arrays import Integers
from hexit.quant.workload import Op, Workload

GATE = 0  # port that holds back a whole program: start of a sentence, or an exit decision
NONE = -1  # no dependency, no such cycle


class Unit(IntEnum):
    """The units of an engine and of the exit path that execute tasks, each one task at a time."""

    DMA = 0
    ARRAY = 1
    SOFTMAX = 2
    LAYER_NORM = 3
    GELU = 4
    ADD = 5
    HEAD = 6
    DECISION = 7


UNIT_NAMES = tuple(unit.name.lower() for unit in Unit)
CALL = len(Unit)  # of a design with stages: the unit that calls a layer; the stages' own units follow


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaskProgram:
    """A group of ops as flat arrays, one entry per task in program order.

    Dependencies of task t are `dependency[first_dependency[t] : first_dependency[t + 1]]`: numbers below
    `n_ports` are ports, the others tasks (number - n_ports). `exports` uses the same numbers. `decision` is the
    number of the exit decision, or NONE. Units are numbered 0..n_units - 1, those of `Unit` first.
    """

    op_names: tuple[str, ...]
    n_blocks: int
    n_ports: int
    unit: Integers
    occupancy_cycles: Integers
    latency_cycles: Integers
    first_dependency: Integers
    dependency: Integers
    exports: Integers
    decision: int
    op: Integers
    head: Integers
    panel: Integers
    block: Integers
    macs: Integers
    n_bytes: Integers
    n_units: int = len(Unit)

    @property
    def n_tasks(self) -> int:
        """Tasks of this program."""
        return int(self.unit.size)

    def busy_cycles(self) -> Integers:
        """Return the cycles that each unit is busy with this program."""
        return np.bincount(self.unit, weights=self.occupancy_cycles, minlength=self.n_units).astype(np.int64)

    def op_cycles(self) -> Integers:
        """Return the cycles that units other than the DMA are busy with each op."""
        cycles = np.where(self.unit == Unit.DMA, 0, self.occupancy_cycles)
        return np.bincount(self.op, weights=cycles, minlength=len(self.op_names)).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """What an engine runs for one sentence: `prologue` once, then `layer` and `exit` per layer."""

    workload: Workload
    accelerator: Accelerator
    channel: MemoryChannel
    placement: WeightPlacement
    prologue: TaskProgram
    layer: TaskProgram
    exit: TaskProgram

    @property
    def groups(self) -> tuple[TaskProgram, TaskProgram, TaskProgram]:
        """Prologue, layer and exit."""
        return self.prologue, self.layer, self.exit

    @property
    def n_layers(self) -> int:
        """Layers of the encoder."""
        return self.workload.shape.n_layers

    @property
    def n_units(self) -> int:
        """Units that tasks run on, those without a name included."""
        return self.layer.n_units

    @property
    def unit_names(self) -> tuple[str, ...]:
        """Names of the units by number; what comes behind them keeps nothing busy.

        Stages have names of their own, say ``gelu``, so the units of an engine, which are not there, have others.
        """
        regions = self.accelerator.regions
        if not regions:
            return UNIT_NAMES
        shared = (Unit.DMA, Unit.HEAD, Unit.DECISION)
        engine = (name if unit in shared else f"engine_{name}" for unit, name in zip(Unit, UNIT_NAMES, strict=True))
        return (*engine, "call", *(stage.name for region in regions for stage in region.stages))

    @property
    def shown_units(self) -> tuple[int, ...]:
        """The units that this design has, in the order in which work comes by."""
        if not self.accelerator.regions:
            return tuple(range(len(Unit)))
        return (int(Unit.DMA), *range(CALL + 1, len(self.unit_names)), int(Unit.HEAD), int(Unit.DECISION))

    @property
    def turn_unit(self) -> int:
        """The unit that must be free before another sentence's layer can begin."""
        return CALL if self.accelerator.regions else int(Unit.ARRAY)

    @property
    def busiest_unit(self) -> int:
        """The unit whose work a layer's time goes by: the array, or the stage that is busy longest."""
        if not self.accelerator.regions:
            return int(Unit.ARRAY)
        return CALL + 1 + int(np.argmax(self.layer.busy_cycles()[CALL + 1 :]))

    @property
    def ops_by_name(self) -> tuple[tuple[Op, ...], ...]:
        """The ops that each op name of `layer` and then of `exit` stands for: one each, or those of a stage."""
        layer = self.workload.layer
        if not self.accelerator.regions:
            return tuple((op,) for op in (*layer, *self.workload.exit))
        stages = [set(stage.executed_ops) for region in self.accelerator.regions for stage in region.stages]
        by_stage = (tuple(op for op in layer if op.name in names) for names in stages)
        return (*by_stage, (), (), *((op,) for op in self.workload.exit))

    @property
    def end_layer(self) -> Integers:
        """Layers up to and with each engine of the design."""
        design = self.accelerator
        return np.cumsum(layers_per_engine(self.n_layers, design.n_engines, design.engine_layers))

    @property
    def preload_cycles(self) -> int:
        """Cycles that load the resident weights once, before the first sentence; no sentence's latency has them."""
        resident_bytes = self.accelerator.n_engines * self.placement.resident_bytes
        return transfer_cycles(resident_bytes, self.channel).latency_cycles
