"""How often a layer asks for the banks of the activation buffer, and what two ports a bank could cost.

The schedule has banks without ports. This counts every access of a layer to them and bounds the cycles of the same
layer on banks of PORTS ports, one access a port and cycle:

    pressure        = accesses / (PORTS x cycles of the group of ops)            above 1: the group cannot be so fast
    cycles at least = max(cycles, accesses of the layer / PORTS,
                          over groups: least cycles in front + held accesses / PORTS + least cycles behind)
    cycles at most  = cycles + sum over banks of floor(accesses that are not streamed operands / PORTS)

A group is a product with the vector ops behind it; attention is one, for its heads take turns. The array runs groups
one after the other, and `held` is what has to happen between the first product of a group and the next group: its
array reads, and all of an op whose result a product of the same group waits for (softmax). What is in front of a group
and behind it takes at least what the recurrence gives it alone, without transfers. Streamed operands come one a cycle,
so that o other accesses in a cycle cost ceil((1 + o) / 2) - 1 = floor(o / 2) more cycles of a whole engine that stops:
the upper bound is a machine that can be built.

Where results live: what an array reads as its right operand (keys, values) in the right bank, everything else, the
hidden state too, in the left one. An access takes, with W = columns of a fold,

    array           one value for every lane of an operand, each cycle that a fold streams (or loads what stands still)
    requantisation  W results (at most `requantisation_lanes`) of a row; of a column, input stationary
    vector unit     `lanes` values of a row per pass and input, and to write; those of two words are two accesses

Both ways through a matrix in one bank are a corner turn. It needs a memory per lane of the operand (row i in memory
i mod lanes) with words of W values and a narrow port of one value: all of them at one address give a column of rows,
one of them alone a piece of a row. With one address for all memories an access takes a port of the whole bank, which is
what is counted; with an address each (`row_banks`) an access along a row takes a port of its memory alone. Block RAM
has such ports, UltraRAM does not. `row_bank_bram18` are its blocks at least (widths that divide no word take more),
`counted_bram18` those of the bank that areas count (hw_model.area.memory_blocks): a word for all lanes, no corner turn.

Not modelled: words that a unit keeps between accesses (with a row buffer softmax reads once, and all bounds fall), rows
that begin within a word, prologue and exit heads, other sentences at the same time, weight buffers and partial sums, a
switch between several arrays (no `row_banks` there, nor with dot products).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.area.memory_blocks import activation_banks, bram18_blocks, operand_lanes
from hexit.hw_model.array import SystolicArray, product_folds
from hexit.hw_model.rounding import ceil_div
from hexit.hw_model.vector import vector_passes, vector_unit
from hexit.quant.arrays import Flags, Integers
from hexit.quant.workload import Add, Gelu, LayerNorm, MatMul, Op, Softmax, Workload, output_shape
from hexit.sim.core.program import Unit
from hexit.sim.core.sentence import SentenceRun, run_layers

PORTS = 2  # of a block RAM and of an UltraRAM: UG573
BankName = Literal["left", "right"]
Kind = Literal["array_reads", "result_writes", "vector_reads", "vector_writes"]
BANKS: tuple[BankName, ...] = get_args(BankName)
LEFT, RIGHT = BANKS
Along = Literal["row", "column"]


class Accesses(NamedTuple):
    """Accesses of one op to one bank.

    `n_lane`: those that take a port of the memory of the first lane if memories have addresses of their own.
    `streamed`: at most one of them in a cycle.
    """

    op: int
    bank: BankName
    kind: Kind
    along: Along
    n: int
    n_lane: int
    streamed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BankLoad:
    """Accesses of a group of ops to one bank, and their share of what its ports can do in the group's cycles."""

    array_reads: int
    result_writes: int
    vector_reads: int
    vector_writes: int
    pressure_fraction: float
    row_bank_pressure_fraction: float | None

    @property
    def n(self) -> int:
        """All of them."""
        return self.array_reads + self.result_writes + self.vector_reads + self.vector_writes


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupUse:
    """A group of ops: from its first task's start to its last result, in cycles, and its accesses."""

    ops: tuple[str, ...]
    cycles: int
    left: BankLoad
    right: BankLoad


@dataclass(frozen=True, slots=True, kw_only=True)
class CornerTurn:
    """Block RAMs of 18 Kb of a bank as areas count it and as a memory per lane; `turned`: read or written both ways."""

    turned: bool
    counted_bram18: int
    row_bank_bram18: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BankUse:
    """A layer of a lone sentence: its cycles in the schedule, their bounds with ports, and ratios of these to them."""

    layer: int
    cycles: int
    cycles_at_least: int
    cycles_at_least_row_banks: int | None
    cycles_at_most: int
    slowdown_at_least: float
    slowdown_at_least_row_banks: float | None
    slowdown_at_most: float
    left: CornerTurn
    right: CornerTurn
    groups: tuple[GroupUse, ...]


def bank_use(run: SentenceRun, layer: int) -> BankUse | None:
    """Return how a `layer` (from 1) of a sentence alone uses the activation banks.

    None for stages, which have FIFOs instead, and for arrays that copy whole operands into buffers of their own.
    """
    workload, design = run.program.workload, run.program.accelerator
    if design.regions or design.array.fold.stages_operands:
        return None
    accesses = [found for number in range(len(workload.layer)) for found in op_accesses(workload.layer, number, design)]
    single = design.n_arrays == design.products_per_position == 1
    groups = op_groups(workload.layer)
    cycles = _span(run, layer, tuple(range(len(workload.layer))))
    least = max(cycles, _least_cycles(run, groups, accesses, one_lane=False))
    least_rows = max(cycles, _least_cycles(run, groups, accesses, one_lane=True)) if single else None
    waits = [sum(one.n for one in accesses if one.bank == bank and not one.streamed) for bank in BANKS]
    most = cycles + sum(n // PORTS for n in waits)
    left, right = (_corner_turn(workload, design, bank, accesses) for bank in BANKS)
    return BankUse(
        layer=layer,
        cycles=cycles,
        cycles_at_least=least,
        cycles_at_least_row_banks=least_rows,
        cycles_at_most=most,
        slowdown_at_least=least / cycles,
        slowdown_at_least_row_banks=None if least_rows is None else least_rows / cycles,
        slowdown_at_most=most / cycles,
        left=left,
        right=right,
        groups=tuple(_group_use(run, layer, group, accesses, single) for group in groups),
    )


def op_groups(ops: tuple[Op, ...]) -> list[tuple[int, ...]]:
    """Return the numbers of the ops of each group: a product and what follows; per-head ops in a row are one group."""
    groups: list[list[int]] = [[]]
    for number, op in enumerate(ops):
        goes_on = number > 0 and output_shape(op)[0] > 1 and output_shape(ops[number - 1])[0] > 1
        if isinstance(op, MatMul) and number > 0 and not goes_on:
            groups.append([])
        groups[-1].append(number)
    return [tuple(group) for group in groups]


def op_accesses(ops: tuple[Op, ...], number: int, design: Accelerator) -> Iterator[Accesses]:
    """Yield the accesses of one op of a layer."""
    op, array = ops[number], design.array
    lanes = dict(zip(BANKS, operand_lanes(array), strict=True))
    count, rows, columns = output_shape(op)
    match op:
        case MatMul():
            yield from _operand_reads(op, number, array, lanes)
            for bank in _banks_of(op.name, ops):
                yield _result_writes(op, number, design, bank, lanes[bank])
        case Softmax() | LayerNorm() | Gelu() | Add():
            passes = vector_passes(design)
            n_passes = {Softmax: len(passes.softmax), LayerNorm: len(passes.layer_norm)}.get(type(op), 1)
            panel = design.array_columns if isinstance(op, Gelu | Add) else columns
            words = count * _row_words(columns, panel, vector_unit(op, design).lanes, array.fold_columns)
            reads = n_passes * len(op.inputs) * words
            yield Accesses(
                number, LEFT, "vector_reads", "row", reads * rows, reads * ceil_div(rows, lanes[LEFT]), False
            )
            for bank in _banks_of(op.name, ops):
                yield Accesses(
                    number, bank, "vector_writes", "row", words * rows, words * ceil_div(rows, lanes[bank]), False
                )


def _operand_reads(op: MatMul, number: int, array: SystolicArray, lanes: dict[BankName, int]) -> Iterator[Accesses]:
    """Yield the reads of a product's operands that are results; `Accesses.n_lane` is of one array.

    An operand streams a word a cycle through every round of folds, or is loaded, a word for each k of a fold.
    """
    folds = product_folds(op.m, op.k, op.n, array, op.count)
    streamed, loads = folds.n_serial_folds * folds.streamed, _loaded_words(op, array)

    def reads(bank: BankName, along: Along, n: int, rows: int, is_streamed: bool) -> Accesses:
        n_lane = n if along == "column" else n // rows * ceil_div(rows, lanes[bank])
        return Accesses(number, bank, "array_reads", along, n, n_lane, is_streamed)

    key_side: Along = "column" if op.transposed else "row"
    match array.dataflow:
        case "output_stationary":
            yield reads(LEFT, "column", streamed, op.m, True)
            right = reads(RIGHT, key_side, streamed, op.k, True)
        case "weight_stationary":
            yield reads(LEFT, "row", streamed, op.m, True)
            right = reads(RIGHT, key_side, loads, op.k, False)
        case "input_stationary":
            yield reads(LEFT, "column", loads, op.m, False)
            right = reads(RIGHT, "row" if op.transposed else "column", streamed, op.n, True)
    if not op.weights:
        yield right


def _loaded_words(op: MatMul, array: SystolicArray) -> int:
    """Words of the operand that stands still: of each round of folds, the most inputs k that an array loads."""
    slices = np.minimum(array.rows, op.k - np.arange(0, op.k, array.rows))
    if array.dataflow == "weight_stationary":  # slices of k are the inner loop
        extents = np.tile(slices, op.count * ceil_div(op.n, array.fold_columns))
    else:
        extents = np.tile(np.repeat(slices, ceil_div(op.m, array.fold_columns)), op.count)
    rounds: Integers = np.maximum.reduceat(extents, np.arange(0, extents.size, array.n_arrays))
    return int(rounds.sum())


def _result_writes(op: MatMul, number: int, design: Accelerator, bank: BankName, n_lanes: int) -> Accesses:
    """Return the writes of a product's results, rows panel by panel or, input stationary, columns block by block."""
    word = design.array.fold_columns
    width = min(word, design.requantisation_lanes or word)
    if design.dataflow != "input_stationary":
        n = op.count * _pieces(op.n, word, width)[0].size
        return Accesses(number, bank, "result_writes", "row", n * op.m, n * ceil_div(op.m, n_lanes), False)
    first, last = _pieces(op.m, word, width)
    n_columns, n_first_lane = op.count * op.n, int((last // n_lanes * n_lanes >= first).sum())
    return Accesses(number, bank, "result_writes", "column", n_columns * first.size, n_columns * n_first_lane, False)


def _pieces(size: int, panel: int, step: int) -> tuple[Integers, Integers]:
    """First and last place of each piece of `size` places, panel by panel and `step` at a time."""
    first = (np.arange(0, size, panel)[:, None] + np.arange(0, panel, step)).ravel()
    first = first[first < size]
    return first, np.minimum(np.minimum(first + step, (first // panel + 1) * panel), size) - 1


def _row_words(columns: int, panel: int, lanes: int, word: int) -> int:
    """Words that a unit touches in a row of `columns`, panel by panel and `lanes` at a time; a row begins a word."""
    first, last = _pieces(columns, panel, lanes)
    return int((last // word - first // word + 1).sum())


def _banks_of(name: str, ops: tuple[Op, ...]) -> tuple[BankName, ...]:
    """The banks that hold a result: those from which it is read, the left one if it leaves the layer."""
    found = set()
    for op in ops:
        if name in op.inputs:
            right_only = isinstance(op, MatMul) and not op.weights and op.inputs[0] != name
            found |= {RIGHT if right_only else LEFT}
    return tuple(bank for bank in BANKS if bank in (found or {LEFT}))


def _held_ops(ops: tuple[Op, ...], group: tuple[int, ...]) -> set[int]:
    """Ops of a group whose results a product of the same group waits for."""
    held: set[int] = set()
    for number in reversed(group):
        if isinstance(ops[number], MatMul) or number in held:
            held |= {before for before in group if before < number and ops[before].name in ops[number].inputs}
    return held


def _least_cycles(run: SentenceRun, groups: list[tuple[int, ...]], accesses: list[Accesses], one_lane: bool) -> int:
    """The lower bound beside the schedule's own; `one_lane`: of memories with their own addresses."""
    ops, tasks = run.program.workload.layer, run.program.layer

    def port_cycles(chosen: list[Accesses]) -> int:
        n = [sum(one.n_lane if one_lane else one.n for one in chosen if one.bank == bank) for bank in BANKS]
        return ceil_div(max(n), PORTS)

    least = port_cycles(accesses)
    for group, behind in zip(groups, [*groups[1:], ()], strict=True):
        held = _held_ops(ops, group)
        n_cycles = port_cycles([a for a in accesses if a.op in held or (a.op in group and a.kind == "array_reads")])
        on_array = np.isin(tasks.op, group) & (tasks.unit == Unit.ARRAY)
        if n_cycles > int(tasks.occupancy_cycles[on_array].sum()):  # else the schedule has these cycles anyway
            in_front, _ = _ideal_cycles(run, tasks.op >= 0, group)
            rest = _ideal_cycles(run, tasks.op >= behind[0], behind)[1] if behind else 0
            least = max(least, in_front + n_cycles + rest)
    return least


def _ideal_cycles(run: SentenceRun, works: Flags, group: tuple[int, ...]) -> tuple[int, int]:
    """Cycles until the array begins a group, and until the last result, if only the tasks that work take time.

    Transfers, prologue and the tasks that do not work take none, so with ports or any memory nothing comes earlier.
    """
    program = run.program
    none = np.zeros_like(program.prologue.unit)
    prologue = replace(program.prologue, occupancy_cycles=none, latency_cycles=none)
    works = works & (program.layer.unit != Unit.DMA)
    occupancy, latency = program.layer.occupancy_cycles * works, program.layer.latency_cycles * works
    layer = replace(program.layer, occupancy_cycles=occupancy, latency_cycles=latency)
    start = run_layers(replace(program, prologue=prologue, layer=layer), np.array([True]), prologue).layer_start[0]
    mine = np.isin(layer.op, group) & (layer.unit == Unit.ARRAY)
    return int(start[mine].min()), int((start + latency).max())


def _span(run: SentenceRun, layer: int, ops: tuple[int, ...]) -> int:
    """Cycles from the first start of a task of these ops, transfers left out, to the last result."""
    tasks = run.program.layer
    mine = np.isin(tasks.op, ops) & (tasks.unit != Unit.DMA)
    start = run.layer_start[layer - 1, mine]
    return int((start + tasks.latency_cycles[mine]).max() - start.min())


def _group_use(
    run: SentenceRun, layer: int, group: tuple[int, ...], accesses: list[Accesses], single: bool
) -> GroupUse:
    cycles = _span(run, layer, group)

    def load(bank: BankName) -> BankLoad:
        mine = [one for one in accesses if one.op in group and one.bank == bank]
        n, n_lane = sum(one.n for one in mine), sum(one.n_lane for one in mine)
        return BankLoad(
            **{kind: sum(one.n for one in mine if one.kind == kind) for kind in get_args(Kind)},
            pressure_fraction=n / (PORTS * cycles),
            row_bank_pressure_fraction=n_lane / (PORTS * cycles) if single else None,
        )

    names = tuple(run.program.workload.layer[number].name for number in group)
    return GroupUse(ops=names, cycles=cycles, left=load(LEFT), right=load(RIGHT))


def _corner_turn(workload: Workload, design: Accelerator, bank: BankName, accesses: list[Accesses]) -> CornerTurn:
    counted = activation_banks(workload, design)[BANKS.index(bank)]
    n_lanes, word = operand_lanes(design.array)[BANKS.index(bank)], design.array.fold_columns
    bits = counted.width_bits // n_lanes * word
    words = ceil_div(counted.words * counted.width_bits, n_lanes * bits)
    return CornerTurn(
        turned=len({one.along for one in accesses if one.bank == bank}) > 1,
        counted_bram18=counted.bram18,
        row_bank_bram18=n_lanes * bram18_blocks(words, bits),
    )
