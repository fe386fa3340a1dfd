"""The work of a stream, counted for an energy model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hexit.hw_model.energy import EnergyCounts
from hexit.hw_model.work import group_work, op_work
from hexit.sim.core.program import Program
from hexit.sim.core.stream import StreamResult


def stream_work(programs: Sequence[Program], result: StreamResult) -> tuple[EnergyCounts, EnergyCounts]:
    """Return the useful and the squashed work of a stream of these programs, ready for an energy model.

    Squashed work of an op counts in proportion to the cycles that were spent on it, rounded down.
    """
    useful = EnergyCounts(off_chip_bytes=result.off_chip_bytes)
    wasted = EnergyCounts(off_chip_bytes=result.wasted_bytes)
    n_layers = programs[0].n_layers
    per_exit = result.served_by_exit
    layers = per_exit @ np.arange(1, n_layers + 1)
    exits = per_exit @ result.n_exits_by_layer
    for index, program in enumerate(programs):
        workload, design = program.workload, program.accelerator
        quant = workload.quant
        useful += group_work(workload.prologue, quant, design) * int(per_exit[index].sum())
        useful += group_work(workload.layer, quant, design) * int(layers[index])
        useful += group_work(workload.exit, quant, design) * int(exits[index])
        ops = (*workload.layer, *workload.exit)
        op_cycles = np.concatenate([program.layer.op_cycles(), program.exit.op_cycles()])
        for op, spent, whole in zip(ops, result.wasted_op_cycles[index].tolist(), op_cycles.tolist(), strict=True):
            wasted += _fraction(op_work(op, quant, design), spent, max(1, whole))
    return useful, wasted


def _fraction(work: EnergyCounts, part: int, whole: int) -> EnergyCounts:
    return EnergyCounts(
        macs=tuple(replace(mac, n=mac.n * part // whole) for mac in work.macs),
        vector_elements=work.vector_elements * part // whole,
        on_chip_bytes=work.on_chip_bytes * part // whole,
    )
