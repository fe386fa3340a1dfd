"""Which blocks an exit unit has: the stage in whose register each result lies, its tables in memories, multipliers."""

from __future__ import annotations

from dataclasses import dataclass

from hexit.hw_model.area.memory_blocks import BRAM18_SHAPES
from hexit.hw_model.exit_unit.timing import unit_timing
from hexit.hw_model.packing import DSP_PORTS_BITS
from hexit.hw_model.rounding import ceil_div, ceil_log2
from hexit.quant.exits.integer_rule import EntropyTest, FixedLayer, Limits, LogOdds, ProbabilityTest, SideRun, Table
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
