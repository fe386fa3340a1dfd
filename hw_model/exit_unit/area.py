"""Area of the exit unit: as measured where this very unit was synthesised, else counted and fitted on measured ones.

    flip-flops  sum over the blocks of registers x bits                          counted: `register_bits`
    LUTs        sum over the kinds of operators of bits x LUTs per bit           fitted:  `operator_bits`
    block RAM   two readers share a memory, each made of real blocks             counted: `memory_blocks`
    DSP slices  the product A (ln A - h), in multipliers of signed 25 x 18 bits  counted: `multipliers`

The registers are those of hls/rtl: what an event carries from stage to stage until its last reader, and the state.
The LUTs per bit are a least-squares fit on every other measured unit; the units between them are the check. On these,
the formulas are off by:    LUT mean 6.8 %, largest 33.3 %    FF mean 1.2 %, largest 6.0 %    DSP and BRAM18 exact.

Not modelled: bits that a constant makes useless, registers that move into a multiplier or a memory, LUTs that a placer
shares, the head.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from hexit.hw_model.area.memory_blocks import BRAM18_SHAPES
from hexit.hw_model.area.resources import Resources
from hexit.hw_model.exit_unit.measured import MeasuredUnit, find_measured, measured_units
from hexit.hw_model.exit_unit.timing import unit_timing
from hexit.hw_model.packing import DSP_PORTS_BITS
from hexit.hw_model.rounding import ceil_div, ceil_log2
from hexit.quant.exits.integer_rule import (
    DifferenceTest,
    EntropyTest,
    FixedLayer,
    Limits,
    LogOdds,
    ProbabilityTest,
    SideRun,
    SmallStepRun,
    Table,
)
from hexit.quant.exits.unit import ExitUnitSpec

LUT_TABLE_BITS = 8192  # of a table in LUTs: Yosys put 4,165 bits there and 26,637 into block RAM
PAIR_READ_BITS = 18  # of an 18 Kb block that two readers share: UG473, UG573
SINGLE_READ_BITS = 36  # with one reader


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPlan:
    """Which blocks a unit has, and the stage in whose register each result lies (hls/rtl/exit_unit.sv)."""

    exponential: Table | None  # of the confidence test
    log_odds: LogOdds | None
    limits: Limits | None
    others: int  # stage of the largest logit but that of class 0
    winner: int
    total: int  # A
    confidence: int  # the test's answer
    side: int
    front: int
    last: int


def unit_plan(spec: ExitUnitSpec) -> UnitPlan:
    """Return the blocks of a unit, derived from what its integers compare."""
    test, trend, n = spec.form.confidence, spec.form.trend, spec.n_classes
    exponential = test.exponential if isinstance(test, EntropyTest | ProbabilityTest) else None
    log_odds = trend.log_odds if isinstance(trend, SideRun) else None
    others = ceil_log2(n - 1) if n > 2 else 1
    winner = others + 1 if log_odds else max(1, ceil_log2(n))
    total = winner + 2 + ceil_log2(n)
    timing = unit_timing(spec)
    last = timing.latency_cycles
    front = timing.state_stage or last - 1
    ready = total + 3 if isinstance(test, EntropyTest) else total if exponential else min(winner, front)
    return UnitPlan(
        exponential=exponential,
        log_odds=log_odds,
        limits=trend.limits if isinstance(trend, SideRun) else None,
        others=others,
        winner=winner,
        total=total,
        confidence=front if test is None or isinstance(test, FixedLayer) else ready,
        side=2 * others + 5,
        front=front,
        last=last,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TableBank:
    """One table with all that read it in one cycle; two readers share a memory."""

    table: Table | Limits
    n_readers: int

    @property
    def bits(self) -> int:
        """Bits of an entry."""
        return max(1, max(self.table.entries).bit_length())

    @property
    def in_luts(self) -> bool:
        """Whether the table is too small for a block RAM."""
        return len(self.table.entries) * self.bits <= LUT_TABLE_BITS

    @property
    def blocks(self) -> int:
        """18 Kb blocks of all its memories."""
        return 0 if self.in_luts else sum(blocks for blocks, _ in self._memories())

    @property
    def chosen_bits(self) -> int:
        """Bits that are chosen among the parts of its memories, for all readers."""
        return 0 if self.in_luts else sum(self.bits * (parts - 1) for _, parts in self._memories(each_reader=True))

    def _memories(self, *, each_reader: bool = False) -> list[tuple[int, int]]:
        pairs, single = divmod(self.n_readers, 2)
        depth = len(self.table.entries)
        pair = _blocks(depth, self.bits, PAIR_READ_BITS)
        return [pair] * pairs * (2 if each_reader else 1) + [_blocks(depth, self.bits, SINGLE_READ_BITS)] * single

    @property
    def sum_register_bits(self) -> int:
        """Registers of entries and of the tree of adders over them; a memory holds its entries in its own register.

        So an odd last entry, which waits for the second level of the tree, stays in the memory for a stage.
        """
        widths = [self.bits] * self.n_readers
        total = sum(widths) if self.in_luts else 0
        for level in range(ceil_log2(self.n_readers)):
            sums = [max(pair) + 1 for pair in zip(widths[::2], widths[1::2], strict=False)]
            odd = widths[-1:] if len(widths) % 2 else []
            total += sum(sums) + (sum(odd) if level or self.in_luts else 0)
            widths = sums + odd
        return total

    @property
    def adder_bits(self) -> int:
        """Bits of the tree's adders."""
        return (self.n_readers - 1) * (self.bits + 1)


def table_banks(spec: ExitUnitSpec) -> dict[str, TableBank]:
    """Return the tables of a unit by name."""
    plan, test, n = unit_plan(spec), spec.form.confidence, spec.n_classes
    banks = {}
    if plan.exponential:
        banks["exponential"] = TableBank(table=plan.exponential, n_readers=n)
    if isinstance(test, EntropyTest):
        banks["weighted"] = TableBank(table=test.weighted, n_readers=n)
        banks["logarithm"] = TableBank(table=test.logarithm, n_readers=1)
    if plan.log_odds:
        banks["odds exponential"] = TableBank(table=plan.log_odds.exponential, n_readers=n - 1)
        banks["odds logarithm"] = TableBank(table=plan.log_odds.logarithm, n_readers=1)
    if plan.limits:
        banks["limits"] = TableBank(table=plan.limits, n_readers=1)
    return banks


def memory_blocks(spec: ExitUnitSpec) -> int:
    """Return the 18 Kb blocks of a unit: of its tables and, where it is a memory, of its state."""
    state = unit_timing(spec).state_cycles == 2
    return sum(bank.blocks for bank in table_banks(spec).values()) + (
        _blocks(spec.n_slots, spec.state_bits, SINGLE_READ_BITS)[0] if state else 0
    )


def _blocks(depth: int, width_bits: int, most_bits: int) -> tuple[int, int]:
    """The least 18 Kb blocks over their shapes, and in how many parts the depth then is.

    Parts of a deep memory may lie side by side in one block's words.
    """
    shapes = [(ceil_div(depth, words), bits) for words, bits in BRAM18_SHAPES if bits <= most_bits]
    return min((ceil_div(parts * width_bits, bits), parts) for parts, bits in shapes)


def multipliers(spec: ExitUnitSpec) -> int:
    """Return the DSP slices of the product A (ln A - h)."""
    match spec.form.confidence:
        case EntropyTest() as test:
            wide, narrow = DSP_PORTS_BITS["DSP48E1"]
            factors = sorted((spec.sum_bits + 1, excess_bits(test)))
            return ceil_div(factors[1], wide) * ceil_div(factors[0], narrow)
        case _:
            return 0


def excess_bits(test: EntropyTest) -> int:
    """Return the bits of ln A - threshold, signed."""
    return 1 + max(max(test.logarithm.entries).bit_length(), test.threshold.bit_length())


def register_bits(spec: ExitUnitSpec) -> dict[str, int]:
    """Return the flip-flops of a unit by block."""
    plan, banks, form = unit_plan(spec), table_banks(spec), spec.form
    n, bits = spec.n_classes, spec.logit_bits
    registers = {
        "control": plan.last,
        "slot and layer": plan.last * (spec.slot_bits + spec.layer_bits),
        "decision": 1 + (plan.last - 1 - plan.confidence if form.confidence else 0),
        "winner": _winner_registers(spec, plan),
        "confidence": spec.confidence_bits * (plan.last - plan.front),
    }
    if unit_timing(spec).state_cycles == 1:
        registers["state"] = spec.n_slots * spec.state_bits
    if n > 2 and (plan.exponential or plan.log_odds):
        registers["logits"] = n * bits * (plan.winner if plan.exponential else plan.others)
    if plan.exponential:
        registers["distances"] = n * (bits + 1 - plan.exponential.shift)
        registers["sums"] = banks["exponential"].sum_register_bits
        if spec.confidence_bits:
            registers["sums"] += spec.sum_bits * (plan.front - plan.total)
    if isinstance(form.confidence, EntropyTest):
        weighted = banks["weighted"].bits + ceil_log2(n)
        excess = excess_bits(form.confidence)
        product = spec.sum_bits + excess - form.fraction_bits  # the sign of a sum of larger steps needs no more
        registers["sums"] += banks["weighted"].sum_register_bits + banks["logarithm"].sum_register_bits
        registers["entropy"] = 2 * spec.sum_bits + 3 * weighted + excess + product
    if plan.log_odds:
        exponential, trend = plan.log_odds.exponential, form.trend
        kept = 2 if isinstance(trend, SideRun) and trend.trend == "bias_1" else 2 + spec.value_bits
        registers["log-odds"] = (
            (bits + 1) * (3 + plan.others)
            + (n - 1) * (bits + 1 - exponential.shift)
            + banks["odds exponential"].sum_register_bits
            + banks["odds logarithm"].sum_register_bits
            + spec.value_bits
            + kept * (plan.front - plan.side + 1)
        )
    if plan.limits:
        distance = spec.value_bits - 1
        tree = spec.run_length + 2 * sum(_nodes(spec.run_length))
        registers["window"] = distance * (tree + 1) + 1 + plan.last - 1 - plan.front
    return registers


def _winner_registers(spec: ExitUnitSpec, plan: UnitPlan) -> int:
    """Difference or tree, and the class on its way to the output."""
    form, n, bits = spec.form, spec.n_classes, spec.logit_bits
    if n == 1:
        return bits if isinstance(form.trend, SmallStepRun) else 0
    carried = spec.class_bits * (plan.last - plan.winner)
    if n == 2:
        compared = isinstance(form.confidence, DifferenceTest) or isinstance(form.trend, SideRun)
        return (bits + 1 if compared else 1) + carried
    nodes = _nodes(n - 1 if plan.log_odds else n)
    labels = sum(count * min(level + 1, spec.class_bits) for level, count in enumerate(nodes))
    values = bits * (sum(nodes) if plan.log_odds or plan.exponential else sum(nodes[:-1]))
    if plan.log_odds:  # class 0 joins in one more stage
        labels, values = labels + spec.class_bits, values + (bits if plan.exponential else 0)
    return values + labels + carried


def operator_bits(spec: ExitUnitSpec) -> dict[str, int]:
    """Return the bits of a unit's operators by kind, those kinds that take LUTs."""
    plan, banks, form = unit_plan(spec), table_banks(spec), spec.form
    n, bits, trend = spec.n_classes, spec.logit_bits, spec.form.trend
    compared = bits * (n - 1) if n > 2 else 0
    selected = (bits + spec.class_bits) * (n - 1) if n > 2 else 0
    if n > 2 and not (plan.exponential or plan.log_odds):
        selected -= bits  # the last comparison chooses a label alone
    added = bits + 1 if n == 2 else 0
    against_constants = 0
    if isinstance(form.confidence, DifferenceTest):
        against_constants += 2 * bits
        added += spec.confidence_bits  # its absolute value
    if plan.exponential:
        added += (n + 1) * (bits + 1) + banks["exponential"].adder_bits
        against_constants += n * (bits + 1 - plan.exponential.shift)
    if isinstance(form.confidence, ProbabilityTest):
        against_constants += spec.sum_bits
    if isinstance(form.confidence, EntropyTest):
        added += banks["weighted"].adder_bits
        excess = excess_bits(form.confidence)
        added += spec.sum_bits + excess + (spec.sum_bits + excess - form.fraction_bits)  # A - 1, ln A - h, their sum
    if plan.log_odds:
        exponential = plan.log_odds.exponential
        added += (n + 1) * (bits + 1) + banks["odds exponential"].adder_bits + 2 * spec.value_bits
        against_constants += (n - 1) * (bits + 1 - exponential.shift)
    if isinstance(trend, SideRun):
        against_constants += 2 * spec.value_bits
        if trend.trend == "bias_2":
            compared += 2 * spec.value_bits
        if trend.trend == "bias_3":
            added += spec.value_bits
    if isinstance(trend, SmallStepRun):
        added += bits + 1
        against_constants += 2 * bits
    if plan.limits:
        compared += (2 * spec.run_length - 1) * (spec.value_bits - 1)
        selected += 2 * (spec.run_length - 1) * (spec.value_bits - 1)
    tabled = sum(bank.n_readers * len(bank.table.entries) * bank.bits for bank in banks.values() if bank.in_luts)
    in_registers = unit_timing(spec).state_cycles == 1 and spec.n_slots > 1
    return {
        "stages": plan.last,
        "unit": 1,
        "compared": compared,
        "selected": selected,
        "added": added,
        "against constants": against_constants,
        "counted": spec.count_bits,
        "tabled": tabled,
        "chosen": sum(bank.chosen_bits for bank in banks.values()),
        "slots": spec.state_bits * spec.n_slots if in_registers else 0,
    }


def _nodes(n: int) -> list[int]:
    """Nodes of a tree over `n` values, level by level; a value without a partner is handed on."""
    return [ceil_div(n, 1 << level) for level in range(1, ceil_log2(n) + 1)]


def exit_unit_resources(spec: ExitUnitSpec) -> tuple[Resources, str]:
    """Return the area of a unit and how it is known, a text that begins with ``measured`` or with ``fitted``."""
    if (row := find_measured(spec)) is not None:
        return row.resources, f"measured: {row.tool}"
    tools = sorted({row.tool for row in measured_units()})
    return modelled_resources(spec), f"fitted: hw_model.exit_unit.area on {', '.join(tools)}"


def modelled_resources(spec: ExitUnitSpec) -> Resources:
    """Return the area of a unit by the formulas, measured or not."""
    lut_per_bit = fitted_lut_per_bit()
    bits = operator_bits(spec)
    return Resources(
        lut=math.ceil(sum(lut_per_bit[name] * n for name, n in bits.items())),
        ff=sum(register_bits(spec).values()),
        dsp=multipliers(spec),
        bram18=memory_blocks(spec),
    )


def fitted_units() -> tuple[MeasuredUnit, ...]:
    """Return the units that the LUTs per bit are fitted on: every other one."""
    return measured_units()[::2]


@functools.cache
def fitted_lut_per_bit() -> dict[str, float]:
    """Return the LUTs per bit of each kind of operator, least squares of the relative error; none is negative."""
    rows = [(operator_bits(unit.recipe.spec), unit.xcup.lut) for unit in fitted_units()]
    names = list(rows[0][0])
    used = list(names)
    while True:  # a kind that would come out negative is left out: it takes none beside the others
        matrix = np.array([[bits[name] / lut for name in used] for bits, lut in rows])
        lut_per_bit = np.linalg.lstsq(matrix, np.ones(len(rows)), rcond=None)[0]
        if (lut_per_bit >= 0).all():
            return dict.fromkeys(names, 0.0) | dict(zip(used, map(float, lut_per_bit), strict=True))
        used.remove(used[int(lut_per_bit.argmin())])
