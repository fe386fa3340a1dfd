"""Which parts of a program several sentences run behind each other: the panels of streamed weights.

A section is a panel of an op's stored parameters with the tasks that use it; the ops between two of these (attention,
residual, GELU) are one section. A program that streams nothing is a single one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hexit.quant.arrays import Flags, Integers
from hexit.quant.workload import Op, n_vector_parameters, n_weights
from hexit.sim.core.program import NONE, Program, TaskProgram, Unit


class Sections(NamedTuple):
    """The sections of the groups of a `Flat`: `first_section[g] : first_section[g + 1]` are those of group g.

    By section: its tasks `begin : end`, counted within the group, and the `transfer` among them that all sentences
    share, or NONE.
    """

    first_section: Integers
    begin: Integers
    end: Integers
    transfer: Integers


def shared_transfers(program: TaskProgram, ops: Sequence[Op]) -> Flags:
    """Return which tasks of a program of these ops are transfers of stored parameters, the same for every sentence."""
    stored = np.array([n_weights(op) + n_vector_parameters(op) > 0 for op in ops])
    return np.asarray((program.unit == Unit.DMA) & stored[program.op])


def cut_sections(program: TaskProgram, ops: Sequence[Op]) -> tuple[Integers, Integers]:
    """Return the first task of each section of a program of these ops, and the transfer in it (NONE without).

    Programs of the same ops in different lengths have the same sections.
    """
    is_shared = shared_transfers(program, ops)
    if not is_shared.any():
        return np.zeros(1, np.int64), np.full(1, NONE)
    stored = np.isin(program.op, program.op[is_shared])
    place = program.op * (program.panel.max() + 1) + np.maximum(program.panel, 0)  # pooling, panel -1, goes with 0
    label = np.where(stored, place, NONE)
    begin = np.append(0, 1 + np.flatnonzero(np.diff(label)))
    transfer = np.full(begin.size, NONE)
    numbers = np.flatnonzero(is_shared)
    transfer[np.searchsorted(begin, numbers, side="right") - 1] = numbers
    return begin, transfer


def transfer_totals(program: Program, n_passes: Integers) -> tuple[int, int]:
    """Return cycles and bytes of the shared transfers of so many passes [prologue, layer, exit] of a program.

    They are the same for all lengths of a network's sentences.
    """
    cycles, n_bytes = 0, 0
    for group, ops, times in zip(program.groups, program.workload.groups, n_passes.tolist(), strict=True):
        shared = shared_transfers(group, ops)
        cycles += times * int(group.occupancy_cycles[shared].sum())
        n_bytes += times * int(group.n_bytes[shared].sum())
    return cycles, n_bytes


def sections_of(programs: Sequence[Program]) -> Sections:
    """Return the sections of all groups of these programs, three per program."""
    counts, parts = [0], []
    for program in programs:
        for group, ops in zip(program.groups, program.workload.groups, strict=True):
            begin, transfer = cut_sections(group, ops)
            parts.append((begin, np.append(begin[1:], group.n_tasks), transfer))
            counts.append(begin.size)
    begin, end, transfer = (np.concatenate(column).astype(np.int64) for column in zip(*parts, strict=True))
    return Sections(np.cumsum(counts), begin, end, transfer)
