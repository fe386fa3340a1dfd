"""Programs of one op, and the cycles of whole products, counted fold by fold."""

from __future__ import annotations

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import fold_interval, product_cycles
from hexit.hw_model.memory.channel import UNLIMITED, MemoryChannel
from hexit.quant.config import QuantConfig
from hexit.quant.workload import ExitHead, MatMul, Op, output_shape
from hexit.sim.core.compile import compile_ops
from hexit.sim.core.program import TaskProgram
from support.oracles_engine import folds, naive_starts

INT8 = QuantConfig.uniform(8)


def product(m: int, k: int, n: int, count: int = 1) -> MatMul:
    return MatMul(name="x", m=m, k=k, n=n, count=count, weights=False, inputs=("input", "input"))


def one_op(
    op: Op,
    design: Accelerator,
    channel: MemoryChannel = UNLIMITED,
    *,
    streamed: bool = False,
    merged: int | None = None,
) -> TaskProgram:
    rows = max(output_shape(op)[1], op.pooled_rows if isinstance(op, ExitHead) else 1)
    return compile_ops((op,), INT8, design, channel, rows=rows, streamed=streamed, merged=merged)


def finish_cycle(program: TaskProgram) -> int:
    return int(max(naive_starts(program) + program.latency_cycles))


def whole_product_cycles(op: MatMul, design: Accelerator) -> int:
    """From the first operand in to the last result out: rounds that finish results wait for the lanes."""
    plain, array = product_cycles(op.m, op.k, op.n, design.array, op.count), design.array
    finishes = [fold.ks[-1] == op.k - 1 for fold in folds(op, design)]
    rounds = [finishes[first : first + array.n_arrays] for first in range(0, len(finishes), array.n_arrays)]
    streamed = plain.folds.streamed
    results = array.fold_columns * (array.rows if array.dataflow == "output_stationary" else streamed)
    through_lanes = -(-results // design.requantisation_lanes) if design.requantisation_lanes else 0
    wait = max(0, through_lanes - fold_interval(streamed, array)[0])
    return plain.total - plain.index_offset + sum(map(any, rounds)) * wait + design.requantisation_depth_cycles
