"""Area of the exit unit: as measured where this very unit was synthesised, else counted and fitted on measured ones.

    flip-flops  sum over the blocks of registers x bits                          counted: `register_bits`
    LUTs        sum over the kinds of operators of bits x LUTs per bit           fitted:  `operator_bits`
    block RAM   two readers share a memory, each made of real blocks             counted: `memory_blocks`
    DSP slices  the product A (ln A - h), in multipliers of signed 25 x 18 bits  counted: `multipliers`

The registers are those of hls/rtl: what an event carries from stage to stage until its last reader, and the state.
Memories and multipliers are counted in hw_model.exit_unit.blocks. The LUTs per
bit are a least-squares fit on every other measured unit; the units between them are the check. On these, the formulas
are off by:    LUT mean 7.0 %, largest 33.3 %    FF mean 1.2 %, largest 6.0 %    DSP and BRAM18 exact.

Not modelled: bits that a constant makes useless, registers that move into a multiplier or a memory, LUTs that a placer
shares, the head.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from hexit.hw_model.area.resources import Resources
from hexit.hw_model.exit_unit.blocks import UnitPlan, excess_bits, memory_blocks, multipliers, table_banks, unit_plan
from hexit.hw_model.exit_unit.measured import MeasuredUnit, find_measured, measured_units
from hexit.hw_model.exit_unit.timing import unit_timing
from hexit.hw_model.rounding import ceil_div, ceil_log2
from hexit.quant.exits.integer_rule import DifferenceTest, EntropyTest, ProbabilityTest, SideRun, SmallStepRun
from hexit.quant.exits.unit import ExitUnitSpec


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
