"""The straightforward list of tasks: they are appended op by op, then sorted by all keys of their order at once.

A dependency on a region of a result is one on its last task: within one op results come in program order. The heads
of a run of per-head ops take turns, ops behind a softmax one head later, so that the array works on the next head's
scores while a softmax runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hexit.hw_model.rounding import ceil_div
from hexit.quant.arrays import Integers
from hexit.quant.workload import GROUP_INPUT, Op, output_shape
from hexit.sim.core.program import GATE, NONE, TaskProgram, Unit

_TASK_COLUMNS = ("unit", "occupancy_cycles", "latency_cycles", "op", "head", "panel", "block", "macs", "n_bytes")
_MAX_DEPENDENCIES = 3  # two operands, and the gate


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Region:
    """What a task reads of a result: the rows up to `last_row`, the columns up to `last_column` of a head's `width`.

    `head` are the heads of the tasks that read, one of `n_heads`.
    """

    n_heads: int
    head: Integers
    width: int
    last_column: Integers
    last_row: Integers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """Where a result is: the number of the task that finishes it, [head, column panel, row block]."""

    tasks: Integers
    columns: int = sys.maxsize
    panel_columns: int = sys.maxsize
    block_rows: int = sys.maxsize

    def last_task(self, region: Region) -> Integers:
        """Return the number of the last task of each region."""
        n_heads, _, n_blocks = self.tasks.shape
        if region.n_heads > 1 and n_heads > 1:
            own_head, column = region.head, region.last_column
        elif n_heads > 1:
            own_head, column = np.divmod(region.last_column, self.columns)
        else:
            own_head, column = np.zeros_like(region.head), region.head * region.width + region.last_column
        block = np.minimum(region.last_row // self.block_rows, n_blocks - 1)
        tasks: Integers = self.tasks[own_head, column // self.panel_columns, block]
        return tasks


class TaskList:
    """The tasks of one group, op by op; `program` puts them in program order.

    Numbers count the ports first and then the tasks as they come. `releases` are the numbers after which each weight
    buffer is free.
    """

    def __init__(self, *, rows: int, block_rows: int, n_weight_buffers: int) -> None:
        """Begin without tasks; the input has `rows` rows in blocks of `block_rows`."""
        self.block_rows = block_rows
        self.n_blocks = ceil_div(rows, block_rows)
        self.n_ports = 1 + self.n_blocks + n_weight_buffers
        input_ports = np.arange(1, 1 + self.n_blocks).reshape(1, 1, -1)
        self.results = {GROUP_INPUT: Result(tasks=input_ports, block_rows=block_rows)}
        self.releases: Integers = np.arange(1 + self.n_blocks, self.n_ports)
        self.next_number = self.n_ports
        self.decision = NONE
        self._parts: list[dict[str, Integers]] = []  # tasks of one call of `append`, by column
        self._dependencies: list[Integers] = []
        self._op = -1
        self._group = self._turn = 0
        self._group_turns: list[Integers] = []  # of the tasks of this group of per-head ops

    def begin_op(self, group: int, turn: int) -> None:
        """Let the next tasks be those of the next op; `turn` delays its heads against the others of its `group`."""
        self._op += 1
        if group != self._group:
            self._group_turns = []
        self._group, self._turn = group, turn

    def block_heights(self, rows: int) -> Integers:
        """Return the rows of each row block of a result of `rows` rows."""
        return np.minimum(self.block_rows, rows - np.arange(0, rows, self.block_rows))

    def read(self, name: str, region: Region) -> Integers:
        """Return the numbers after which regions of a result are there."""
        return self.results[name].last_task(region)

    def append(
        self,
        unit: Unit,
        occupancy: Integers,
        latency: Integers,
        dependencies: Sequence[Integers] = (),
        *,
        head: Integers | int = 0,
        panel: Integers | int = 0,
        block: Integers | int = 0,
        macs: Integers | int = 0,
        n_bytes: Integers | int = 0,
    ) -> Integers:
        """Append tasks of one unit, in the order in which it takes them within a turn and a panel, and return them."""
        numbers = self.next_number + np.arange(occupancy.size)
        padded = np.full((occupancy.size, _MAX_DEPENDENCIES), NONE, np.int64)
        for slot, sources in enumerate(dependencies):
            padded[:, slot] = sources
        # A task that reads ports alone waits for the gate; all others wait for it through what they read.
        padded[:, -1] = np.where((padded < self.n_ports).all(axis=1), GATE, NONE)
        turn = self._turns(np.broadcast_to(head, numbers.shape), padded)
        columns: dict[str, Integers | int] = {
            "unit": int(unit),
            "occupancy_cycles": occupancy,
            "latency_cycles": latency,
            "op": self._op,
            "head": head,
            "panel": panel,
            "block": block,
            "macs": macs,
            "n_bytes": n_bytes,
            "group": self._group,
            "turn": turn,
            "is_compute": int(unit != Unit.DMA),
        }
        self._parts.append({name: np.broadcast_to(values, numbers.shape) for name, values in columns.items()})
        self._dependencies.append(padded)
        self._group_turns.append(turn)
        self.next_number += numbers.size
        return numbers

    def _turns(self, head: Integers, dependencies: Integers) -> Integers:
        """Turns of tasks: that of their head, or of what they read (several arrays work on several heads at once)."""
        turn: Integers = head + self._turn
        if self._group_turns:
            known = np.concatenate(self._group_turns)
            source = dependencies - (self.next_number - known.size)
            in_group = (source >= 0) & (source < known.size)
            turn = np.maximum(turn, np.where(in_group, known[source * in_group], 0).max(axis=1))
        return turn

    def program(self, ops: tuple[Op, ...]) -> TaskProgram:
        """Return the program: tasks sorted into program order, dependencies renumbered."""
        table = {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}
        keys = ("is_compute", "panel", "op", "turn", "group")  # last key first; equals stay in the order of appending
        order = np.lexsort([table[name] for name in keys])
        renumber = np.arange(self.next_number)
        renumber[self.n_ports + order] = self.n_ports + np.arange(order.size)
        padded = np.concatenate(self._dependencies)[order]
        used = padded != NONE
        return TaskProgram(
            op_names=tuple(op.name for op in ops),
            n_units=len(Unit),
            n_blocks=self.n_blocks,
            n_ports=self.n_ports,
            first_dependency=np.concatenate([[0], np.cumsum(used.sum(axis=1))]),
            dependency=renumber[padded[used]],
            exports=renumber[np.concatenate([self._outputs(ops[-1]), self.releases])],
            decision=NONE if self.decision == NONE else int(renumber[self.decision]),
            **{name: table[name][order] for name in _TASK_COLUMNS},
        )

    def _outputs(self, last: Op) -> Integers:
        """The numbers after which each row block of the hidden state behind the group is there."""
        block = np.arange(self.n_blocks)
        if last.name not in self.results:
            return 1 + block  # an exit leaves the hidden state as it is
        n_heads, _, columns = output_shape(last)
        everything = Region(
            n_heads=1,
            head=np.zeros_like(block),
            width=0,
            last_column=np.full_like(block, n_heads * columns - 1),
            last_row=(block + 1) * self.block_rows - 1,
        )
        return self.read(last.name, everything)
