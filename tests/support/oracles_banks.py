"""Walks every cycle of every fold and every step of every vector op, and says which words of which bank it touches."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.vector import VECTOR_PRESETS
from hexit.quant.workload import LayerNorm, MatMul, Op, Softmax, output_shape
from hexit.sim.core.program import Unit
from hexit.sim.core.sentence import SentenceRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """One access: the op, the bank, what for, the tokens (rows of the matrix) whose values it moves, if it streams."""

    op: int
    bank: str
    kind: str
    tokens: frozenset[int]
    streamed: bool = False


def walked(ops: tuple[Op, ...], design: Accelerator) -> list[Touch]:
    """Every access of a layer to the two banks."""
    found: list[Touch] = []
    for number, op in enumerate(ops):
        banks = homes(ops, op)
        if isinstance(op, MatMul):
            found += products(number, op, design)
            found += results(number, op, design, banks)
        else:
            found += vector_op(number, op, design, banks)
    return found


def homes(ops: tuple[Op, ...], op: Op) -> list[str]:
    """A result lies where it is read; what leaves the layer lies on the left."""
    banks = set()
    for reader in ops:
        for place, name in enumerate(reader.inputs):
            if name == op.name:
                banks.add("right" if isinstance(reader, MatMul) and place == 1 else "left")
    return sorted(banks or {"left"})


def steps(size: int, step: int) -> list[range]:
    return [range(first, min(first + step, size)) for first in range(0, size, step)]


def products(number: int, op: MatMul, design: Accelerator) -> Iterator[Touch]:  # noqa: C901 - one loop per data flow
    """Round by round, a fold on every array; one access of a bank moves the values of all arrays."""
    width = design.array.fold_columns

    def touch(bank: str, tokens: set[int], streamed: bool) -> Iterator[Touch]:
        if bank == "left" or not op.weights:
            yield Touch(op=number, bank=bank, kind="array_reads", tokens=frozenset(tokens), streamed=streamed)

    def right_tokens(inputs: range, columns: range) -> set[int]:
        return set(columns if op.transposed else inputs)

    if design.dataflow == "output_stationary":
        outer, inner = steps(op.n, width), steps(op.m, design.array_rows)
    elif design.dataflow == "weight_stationary":
        outer, inner = steps(op.n, width), steps(op.k, design.array_rows)
    else:
        outer, inner = steps(op.k, design.array_rows), steps(op.m, width)
    folds = list(itertools.product(range(op.count), outer, inner))
    for begin in range(0, len(folds), design.n_arrays):
        at_once = [(across, along) for _, across, along in folds[begin : begin + design.n_arrays]]
        if design.dataflow == "output_stationary":
            for inputs in steps(op.k, design.products_per_position):
                yield from touch("left", {i for _, rows in at_once for i in rows}, True)
                yield from touch("right", {i for columns, _ in at_once for i in right_tokens(inputs, columns)}, True)
        elif design.dataflow == "weight_stationary":
            for place in range(max(len(inputs) for _, inputs in at_once)):
                there = [(columns, inputs[place : place + 1]) for columns, inputs in at_once]
                yield from touch("right", {i for columns, k in there for i in right_tokens(k, columns)}, False)
            for row in range(op.m):
                yield from touch("left", {row}, True)
        else:
            for _ in range(max(len(inputs) for inputs, _ in at_once)):
                yield from touch("left", {i for _, rows in at_once for i in rows}, False)
            for column in range(op.n):
                one = range(column, column + 1)
                yield from touch("right", {i for inputs, _ in at_once for i in right_tokens(inputs, one)}, True)


def results(number: int, op: MatMul, design: Accelerator, banks: list[str]) -> Iterator[Touch]:
    """Results of a row (of a column, input stationary) as many at a time as the lanes take, fold by fold."""
    width, lanes = design.array.fold_columns, design.requantisation_lanes or design.array.fold_columns
    for _ in range(op.count):
        if design.dataflow == "input_stationary":
            places = [
                set(block[i : i + lanes]) for _ in range(op.n) for block in steps(op.m, width)
                for i in range(0, len(block), lanes)
            ]  # fmt: skip
        else:
            places = [
                {row} for row in range(op.m) for panel in steps(op.n, width) for _ in range(0, len(panel), lanes)
            ]  # fmt: skip
        for bank, tokens in itertools.product(banks, places):
            yield Touch(op=number, bank=bank, kind="result_writes", tokens=frozenset(tokens))


def vector_op(number: int, op: Op, design: Accelerator, banks: list[str]) -> Iterator[Touch]:
    """Row by row: in each pass every input, `lanes` at a time, then the result."""
    count, rows, columns = output_shape(op)
    passes = VECTOR_PRESETS[design.vector_preset]
    if isinstance(op, Softmax):
        n_passes, lanes, panel = len(passes.softmax), design.softmax_lanes, columns
    elif isinstance(op, LayerNorm):
        n_passes, lanes, panel = len(passes.layer_norm), design.layer_norm_lanes, columns
    else:
        n_passes, panel = 1, design.array_columns
        lanes = design.add_lanes if type(op).__name__ == "Add" else design.gelu_lanes
    moves = [("vector_reads", "left")] * n_passes * len(op.inputs) + [("vector_writes", bank) for bank in banks]
    for _, row, (kind, bank) in itertools.product(range(count), range(rows), moves):
        for part in steps(columns, panel):
            for first in range(0, len(part), lanes):
                words = {column // design.array.fold_columns for column in part[first : first + lanes]}
                yield from [Touch(op=number, bank=bank, kind=kind, tokens=frozenset({row}))] * len(words)


def stopped_engine_cycles(run: SentenceRun, layer: int, touches: list[Touch], chance: random.Random) -> int:
    """Cycles of a layer on an engine that stops while more than two accesses of a bank are to be served in a cycle.

    Streamed operands take a cycle each of the op's work on the array, in order; everything else falls in any cycle
    of its op, reads of the array before the array has gone on.
    """
    tasks, start = run.program.layer, run.layer_start[layer - 1].tolist()
    numbers = [t for t in range(tasks.n_tasks) if tasks.unit[t] != Unit.DMA]
    first = min(start[t] for t in numbers)
    last = max(start[t] + int(tasks.latency_cycles[t]) for t in numbers)
    demand = {bank: [0] * (last - first) for bank in ("left", "right")}
    for op in range(len(tasks.op_names)):
        mine = [t for t in numbers if tasks.op[t] == op]
        busy = [c for t in mine for c in range(start[t], start[t] + int(tasks.occupancy_cycles[t]))]
        end = max(start[t] + int(tasks.latency_cycles[t]) for t in mine)
        for bank in demand:
            here = [touch for touch in touches if touch.op == op and touch.bank == bank]
            n_streamed = sum(touch.streamed for touch in here)
            assert n_streamed <= len(busy)
            cycles = sorted(chance.sample(busy, n_streamed))
            for touch in here:
                if touch.kind == "array_reads" and not touch.streamed:
                    cycles.append(chance.choice(busy))
                elif not touch.streamed:
                    cycles.append(chance.randrange(min(start[t] for t in mine), end))
            for cycle in cycles:
                demand[bank][cycle - first] += 1
    pairs = zip(demand["left"], demand["right"], strict=True)
    return sum(max(1, -(-left // 2), -(-right // 2)) for left, right in pairs)
