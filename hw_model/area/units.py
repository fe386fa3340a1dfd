"""LUTs, flip-flops, DSP slices and tables of each unit of a design.

    array    = our own RTL: positions as Yosys measured them (area.positions), delay lines that skew the operands
               others: rows x columns positions, an accumulator each, by two coefficients per MAC of one report
               products_per_position > 1: an adder tree in front of the accumulator
               DSPs = ceil(MACs / products per DSP)
    lane     = adders (one LUT per bit), shifters (three), multipliers (DSPs), tables (half a block RAM)

docs/model.md prints the errors against published designs.

Not modelled: routing, multipliers of 2..4 bits built from LUTs (every product takes a DSP), synthesis' own
optimisations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.area.memory_blocks import bram18_blocks, partial_sum_banks
from hexit.hw_model.area.positions import array_position, grid_resources, is_own_array
from hexit.hw_model.area.resources import NOTHING, Resources
from hexit.hw_model.array import NONE, SystolicArray
from hexit.hw_model.device import Device, Family
from hexit.hw_model.memory.channel import device_channel
from hexit.hw_model.rounding import accumulator_bits, ceil_div, right_operand_bits
from hexit.quant.workload import Workload

ArrayBasis = Literal["measured", "calibrated"]

# Per MAC of an array not ours: Vitis HLS 2024.2 report of TMMA's 32 x 32 array of 8 x 8 bits into 32 (mmult_accel):
#   per accumulator bit, 1,024 x 32 of them: compute 27,969 + multiplexers 9,560 + read-out 5,491 = 43,020 LUT;
#   per operand bit, 1,024 x 16 of them: load of both operand tiles 11,656 + 11,618 = 23,274 LUT, 2 x 8,229 + 17,496 FF.
LUT_PER_ACCUMULATOR_BIT = 43_020 / (1024 * 32)  # 1.31, calibrated on TMMA
LUT_PER_OPERAND_BIT = 23_274 / (1024 * 16)  # 1.42, calibrated on TMMA
FF_PER_ACCUMULATOR_BIT = (32_783 + 32_768) / (1024 * 32)  # 2.00, product register and sum, calibrated on TMMA
FF_PER_OPERAND_BIT = (2 * 8_229 + 17_496) / (1024 * 16)  # 2.07, calibrated on TMMA

LUT_PER_SHIFTED_BIT = 3  # LUT, barrel shift by 0..63 as three levels of 4:1 multiplexers, one LUT6 each: UG474, UG574
SRL_DELAYS = 32  # cycles that one LUT delays a bit as shift register SRL32: UG474, UG574
AXI_MASTER = (757, 707, 2)  # LUT, FF, BRAM18 of one m_axi adapter: TMMA report, gmemA
AXI_CONTROL = (680, 398)  # LUT, FF of the register interface: TMMA report, control_s_axi
FIFO_WORDS = 512  # words of the burst buffer at each direction of the memory port, the least that a block RAM holds
TABLE_WORDS = 256  # words of an exp, GELU, tanh or root table: FQ-BERT's softmax (arXiv 2103.02800) uses 256
VALUE_BITS = 16  # bits of a value inside the vector lanes
SUM_BITS = 32  # bits of a row sum inside the vector lanes

# LUT, FF, DSP per lane of single-precision units: Vitis HLS 2022.1 reports of the HLS BERT layer (U280), 16 lanes
FLOAT_LANES = {
    "softmax": (934, 557, 4.75),
    "layer_norm": (1_597, 2_422, 10),
    "gelu": (721, 1_260, 4),
    "residual_add": (205, 416, 2),
}


def adder_tree_bits(n_values: int, width_bits: int) -> int:
    """Return the bits of all adders that sum `n_values` values: each level makes a pair's sum, one bit wider.

    >>> adder_tree_bits(4, 8)  # two adders of 9 bits, one of 10
    28
    """
    bits = 0
    while n_values > 1:
        n_pairs, width_bits = n_values // 2, width_bits + 1
        bits, n_values = bits + n_pairs * width_bits, n_values - n_pairs
    return bits


@dataclass(frozen=True, slots=True, kw_only=True)
class OperandWidths:
    """Bits of an array's left and right operand and of its sums."""

    left_bits: int
    right_bits: int
    sum_bits: int


def operand_widths(workload: Workload) -> OperandWidths:
    """Return the widths that an array needs for every product of a workload."""
    return OperandWidths(
        left_bits=workload.quant.activation_bits,
        right_bits=right_operand_bits(workload),
        sum_bits=accumulator_bits(workload),
    )


def array_basis(array: SystolicArray) -> ArrayBasis:
    """Return where an array's LUTs and flip-flops come from: measured for our own RTL, else calibrated on a report."""
    return "measured" if is_own_array(array) else "calibrated"


def array_resources(array: SystolicArray, widths: OperandWidths, n_products_per_dsp: int, family: Family) -> Resources:
    """Return all `n_arrays` arrays with the registers that skew their operands, partial sums left out."""
    logic = (_measured if is_own_array(array) else _calibrated)(array, widths, n_products_per_dsp, family)
    n_dsp = ceil_div(array.n_macs, n_products_per_dsp)  # one product of up to 16 x 16 bits fits every DSP slice
    return replace(logic, dsp=n_dsp, lut=logic.lut + _skew_lut(array, widths))


def _measured(array: SystolicArray, widths: OperandWidths, n_products_per_dsp: int, family: Family) -> Resources:
    """The positions of our RTL; four products on a slice are counted as two pairs."""
    lanes = min(n_products_per_dsp, 2)
    position = array_position(array, widths.left_bits, widths.right_bits, widths.sum_bits, lanes, family)
    # an output-stationary grid keeps its left operand 0 outside a fold
    gates = array.n_arrays * array.rows * widths.left_bits if array.dataflow == "output_stationary" else 0
    grid = grid_resources(position, array.rows, ceil_div(array.fold_columns, lanes))
    return grid * array.n_arrays + Resources(lut=gates)


def _calibrated(array: SystolicArray, widths: OperandWidths, n_products_per_dsp: int, family: Family) -> Resources:
    """Two coefficients per MAC, a tree of adders, and what keeps the sums of a fold while the next one streams."""
    operand_bits = widths.left_bits + widths.right_bits
    n_positions = array.n_macs // array.products_per_position
    tree = n_positions * adder_tree_bits(array.products_per_position, operand_bits)  # an adder bit: one LUT and one FF
    accumulated, operands = n_positions * widths.sum_bits, array.n_macs * operand_bits
    # as in our RTL: a bit of a kept sum is one FF, and one LUT chooses what it keeps
    kept = accumulated if array.dataflow == "output_stationary" and array.fold.overlap_folds else 0
    return Resources(
        lut=round(LUT_PER_ACCUMULATOR_BIT * accumulated + LUT_PER_OPERAND_BIT * operands) + tree + kept,
        ff=round(FF_PER_ACCUMULATOR_BIT * accumulated + FF_PER_OPERAND_BIT * operands) + tree + kept,
    )


def _skew_lut(array: SystolicArray, widths: OperandWidths) -> int:
    """The i-th row or column starts i cycles later, one LUT delays a bit by up to 32; nothing without a wavefront."""
    if array.fold.fill == NONE:
        return 0
    n_skewed = array.n_arrays * array.products_per_position  # values that enter a row or a column per cycle
    edges = ((array.rows, widths.left_bits), (array.fold_columns, widths.right_bits))
    return n_skewed * sum(lanes * bits * ceil_div(lanes, SRL_DELAYS) for lanes, bits in edges)


def partial_sum_adders(workload: Workload, array: SystolicArray) -> Resources:
    """Return what adds the sums of a slice of k to those that wait, one LUT per bit, where operands stand still."""
    adders = array.n_arrays * array.fold_columns * accumulator_bits(workload)
    return Resources(lut=adders) if partial_sum_banks(workload, array) else NOTHING


def requantisation_resources(workload: Workload, n_lanes: int) -> Resources:
    """Return so many lanes behind the arrays.

    Each has a bias, a multiplier (none for power-of-two scales), a rounding shift and a saturation.
    """
    sums, bits = accumulator_bits(workload), workload.quant.activation_bits
    lane = Resources(
        lut=sums + LUT_PER_SHIFTED_BIT * sums + 2 * bits,
        ff=3 * sums + bits,
        dsp=0 if workload.quant.power_of_two else 2,  # 32 x 16 bits takes two multipliers
    )
    return lane * n_lanes


def _table(n_lanes: int) -> Resources:
    """A read-only table that every lane reads each cycle: two lanes share the two ports of a block RAM."""
    return Resources(bram18=ceil_div(n_lanes, 2) * bram18_blocks(TABLE_WORDS, VALUE_BITS))


def vector_resources(design: Accelerator, bits: int) -> dict[str, Resources]:
    """Return the vector units by name: of fixed point, or in single precision as they were reported, lane by lane."""
    n_lanes = (design.softmax_lanes, design.layer_norm_lanes, design.gelu_lanes, design.add_lanes)
    if design.vector_preset == "fixed_point":
        return {
            unit: make(n, bits) if n else NOTHING
            for n, (unit, make) in zip(n_lanes, _FIXED_POINT_UNITS.items(), strict=True)
        }
    return {
        unit: Resources(lut=n * lut, ff=n * ff, dsp=math.ceil(n * dsp))
        for n, (unit, (lut, ff, dsp)) in zip(n_lanes, FLOAT_LANES.items(), strict=True)
    }


def _softmax(n_lanes: int, bits: int) -> Resources:
    """Per lane: maximum, subtraction, exp table, sum, product with the reciprocal; one divider for all."""
    lane = Resources(lut=2 * bits + bits + SUM_BITS + 2 * bits, ff=3 * bits + VALUE_BITS + SUM_BITS + bits, dsp=1)
    divider = Resources(lut=SUM_BITS * VALUE_BITS, ff=2 * SUM_BITS * VALUE_BITS)  # restoring, one stage per result bit
    return lane * n_lanes + _table(n_lanes) + divider


def _layer_norm(n_lanes: int, bits: int) -> Resources:
    """Per lane: sum, square and sum of squares, centre, scale, gain and shift; one inverse square root for all."""
    lane = Resources(lut=3 * SUM_BITS + 2 * VALUE_BITS + 2 * bits, ff=3 * SUM_BITS + 4 * VALUE_BITS + bits, dsp=3)
    root = Resources(lut=8 * SUM_BITS, ff=8 * SUM_BITS, dsp=4) + _table(1)  # table and one Newton step
    return lane * n_lanes + root


def _gelu(n_lanes: int, bits: int) -> Resources:
    """Per lane: table of values and slopes, one product and one sum for the line between two entries."""
    return Resources(lut=2 * VALUE_BITS + 2 * bits, ff=3 * VALUE_BITS + 2 * bits, dsp=1) * n_lanes + _table(n_lanes)


def _residual_add(n_lanes: int, bits: int) -> Resources:
    """Per lane: both operands rescaled to one grid, sum, saturation."""
    return Resources(lut=3 * SUM_BITS + 2 * bits, ff=3 * SUM_BITS + bits, dsp=2) * n_lanes


_FIXED_POINT_UNITS = {"softmax": _softmax, "layer_norm": _layer_norm, "gelu": _gelu, "residual_add": _residual_add}


def exit_head_resources(workload: Workload, accelerator: Accelerator) -> Resources:
    """Return lanes of one product each, a tree of sums, bias and rescale to logit_bits, tanh table of the pooler."""
    quant, n_lanes = workload.quant, accelerator.head_lanes
    sums = accumulator_bits(workload)
    tree = Resources(lut=n_lanes * sums, ff=n_lanes * sums, dsp=n_lanes)
    rescale = Resources(
        lut=(1 + LUT_PER_SHIFTED_BIT) * sums + 2 * quant.logit_bits, ff=3 * sums + quant.logit_bits, dsp=2
    )
    return tree + rescale + (_table(1) if workload.shape.pooler else Resources())


def pooling_resources(workload: Workload, accelerator: Accelerator) -> Resources:
    """Return the sums of a mean over the tokens, in front of a head that was built; nothing for the first token."""
    bits = accelerator.head_lanes * accumulator_bits(workload)
    return Resources(lut=bits, ff=bits) if workload.shape.pooling == "mean" else NOTHING


def dma_resources(accelerator: Accelerator, device: Device) -> Resources:
    """Return the ports that the channel fills when it reads, one to write results, all with burst buffers; control.

    A port is as wide as the design's, else as the part's; where neither is known, as the channel.
    """
    bits = math.ceil(8 * device_channel(accelerator, device).bytes_per_cycle)
    port_bits = accelerator.memory_port_bits or device.memory_port_bits or 64 * ceil_div(bits, 64)
    lut, ff, bram18 = AXI_MASTER
    port = Resources(lut=lut + port_bits, ff=ff + 2 * port_bits, bram18=bram18 + bram18_blocks(FIFO_WORDS, port_bits))
    lut, ff = AXI_CONTROL
    control = Resources(lut=accelerator.control_lut, ff=accelerator.control_ff) * accelerator.n_engines
    return port * (ceil_div(bits, port_bits) + 1) + Resources(lut=lut, ff=ff) + control
