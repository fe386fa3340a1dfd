"""LUTs, flip-flops, DSP slices, block RAMs and UltraRAMs of a design, unit by unit, and whether they fit a part.

    array    = rows x columns positions, an accumulator each, DSPs = ceil(MACs / products per DSP)
               products_per_position > 1: an adder tree in front of the accumulator
               weight or input stationary: a memory for partial sums
    lane     = adders (one LUT per bit), shifters (three), multipliers (DSPs), tables (half a block RAM)
    buffer   = banks of real blocks: min over shapes of ceil(depth / block depth) x ceil(width / block width)

Widths come from the workload's integers, sizes from the design, block shapes and DSP ports (hw_model.packing) from the
data sheets. Two coefficients per MAC are calibrated on one published report and checked on others; docs/model.md
prints the errors. `n_engines` engines are as many copies of everything but the memory port.

The exit unit's area is the caller's: it depends on the rule (hw_model.exit_unit.area).

Not modelled: placement, routing and clock speed, what a card's shell takes away, multipliers of 2..4 bits
built from LUTs (every product takes a DSP), memories small enough for LUTs, synthesis' own optimisations. The
exit heads' weights are part of the weight buffer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import SystolicArray, ceil_div
from hexit.hw_model.device import Device, list_devices, load_device
from hexit.hw_model.memory import check_activations, place_weights
from hexit.hw_model.packing import products_per_dsp
from hexit.hw_model.work import sum_bits
from hexit.quant.config import LEGAL_BITS
from hexit.quant.errors import ConfigError, DoesNotFit
from hexit.quant.workload import MatMul, Workload

BRAM18_SHAPES = ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36))  # words x bits: UG473, UG573
URAM_SHAPE = (4096, 72)  # words x bits: UG573

# Per MAC of the array: Vitis HLS 2024.2 report of TMMA's 32 x 32 array of 8 x 8 bits into 32 (MatMul_SA, mmult_accel):
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
SEQUENCER = (2000, 2000)  # LUT, FF, state machine and address counters of all units; assumed
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

Kind = Literal["lut", "ff", "dsp", "bram18", "uram"]
KINDS: tuple[Kind, ...] = ("lut", "ff", "dsp", "bram18", "uram")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Numbers of LUTs, flip-flops, DSP slices, 18 Kb block RAMs and 288 Kb UltraRAMs; never negative."""

    lut: int = 0
    ff: int = 0
    dsp: int = 0
    bram18: int = 0
    uram: int = 0

    def __post_init__(self) -> None:
        """Reject negative numbers."""
        for kind in KINDS:
            if getattr(self, kind) < 0:
                raise ConfigError(f"resources.n_{kind}", getattr(self, kind), "must not be negative", "Correct it")

    def __add__(self, other: Resources) -> Resources:
        """Return what both take together."""
        return Resources(**{kind: getattr(self, kind) + getattr(other, kind) for kind in KINDS})

    def __mul__(self, n: int) -> Resources:
        """Return what `n` copies take."""
        return Resources(**{kind: getattr(self, kind) * n for kind in KINDS})

    def fits(self, available: Resources) -> bool:
        """Whether no kind exceeds what is available."""
        return all(getattr(self, kind) <= getattr(available, kind) for kind in KINDS)


NOTHING = Resources()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceEstimate:
    """What each unit of a design takes on one part, with the configuration that it belongs to.

    The fields are those of one engine, `parts` and `total` of the whole design; the memory port serves all engines.
    `n_products_per_dsp` is what the widths really allow, at most the design's macs_per_dsp; `built_head` says that the
    exit head is not the design's own lanes.
    """

    workload: Workload
    accelerator: Accelerator
    device: Device
    n_products_per_dsp: int
    built_head: bool
    systolic_array: Resources
    requantisation: Resources
    softmax: Resources
    layer_norm: Resources
    gelu: Resources
    residual_add: Resources
    exit_head: Resources
    exit_decision: Resources
    weight_buffer: Resources
    activation_buffer: Resources
    dma_control: Resources

    @property
    def parts(self) -> dict[str, Resources]:
        """The units of all engines by name, in the order of the record."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {
            name: value if name == "dma_control" else value * self.accelerator.n_engines
            for name, value in values
            if isinstance(value, Resources)
        }

    @property
    def total(self) -> Resources:
        """All units together."""
        return sum(self.parts.values(), start=Resources())


def available(device: Device) -> Resources:
    """Return everything that the silicon of a part has."""
    return Resources(lut=device.lut, ff=device.ff, dsp=device.dsp, bram18=device.bram18, uram=device.uram)


def estimate(
    workload: Workload,
    accelerator: Accelerator,
    device: Device,
    exit_unit: Resources = NOTHING,
    built_head: Resources | None = None,
) -> ResourceEstimate:
    """Return what a design takes on a part to run a workload; nothing is checked, see `check_fit`.

    `exit_unit`: what the unit that decides takes (`hw_model.exit_unit.area`); it depends on the rule, not on the
    workload. `built_head`: what an exit head takes that was built, pooling included; without it the design's head
    lanes count. The array multiplies activations by weights and activations by activations, so its right operand is as
    wide as the wider of the two, and its sums are as wide as the longest product (or the bias) needs.
    """
    quant = workload.quant
    right_bits, array = right_operand_bits(workload), accelerator.array
    n_products = products_per_dsp(
        quant.activation_bits, right_bits, device.dsp_primitive, at_most=accelerator.macs_per_dsp
    )
    free = Resources(
        bram18=device.bram18 // accelerator.n_engines,  # an engine's share
        uram=device.uram // accelerator.n_engines,
    )
    left_lanes, right_lanes = operand_lanes(array)
    port_bits = right_lanes * quant.weight_bits
    bank_bits = ceil_div(accelerator.weight_buffer_kib * 8192, accelerator.n_weight_buffers)
    weight_buffer = Resources()
    for _ in range(accelerator.n_weight_buffers):
        weight_buffer += _bank(bank_bits, port_bits, free, weight_buffer)
    activation_buffer = Resources()
    for bits in (left_lanes * quant.activation_bits, right_lanes * right_bits):
        # one bank per operand: attention reads both from here in the same cycle
        activation_buffer += _bank(
            accelerator.activation_buffer_kib * 4096, bits, free, weight_buffer + activation_buffer
        )
    partial_sums = _partial_sums(workload, array, free, weight_buffer + activation_buffer)
    units = _float_units if accelerator.vector_preset == "float_hls" else _fixed_point_units
    return ResourceEstimate(
        workload=workload,
        accelerator=accelerator,
        device=device,
        n_products_per_dsp=n_products,
        systolic_array=_systolic_array(workload, array, n_products) + partial_sums,
        requantisation=_requantisation(workload, accelerator),
        **units(accelerator, quant.activation_bits),
        exit_head=_exit_head(workload, accelerator) if built_head is None else built_head,
        built_head=built_head is not None,
        exit_decision=exit_unit,
        weight_buffer=weight_buffer,
        activation_buffer=activation_buffer,
        dma_control=_dma_control(accelerator, device),
    )


def right_operand_bits(workload: Workload) -> int:
    """Bits of the array's right operand: weights, or activations in the two products of attention."""
    attention = any(isinstance(op, MatMul) and not op.weights for op in workload.layer)
    quant = workload.quant
    return max(quant.weight_bits, quant.activation_bits) if attention else quant.weight_bits


def accumulator_bits(workload: Workload) -> int:
    """Bits of a sum: activation + right operand + ceil(log2(longest product)), or the bias if that is wider."""
    longest = max(op.k for op in workload.layer if isinstance(op, MatMul))
    return sum_bits(workload.quant.activation_bits, right_operand_bits(workload), longest, workload.quant.bias_bits)


def bram18_blocks(depth: int, width_bits: int) -> int:
    """Return the 18 Kb blocks of a memory of `depth` words that reads one word of `width_bits` per cycle.

    The least over the block shapes of ceil(depth / words) x ceil(width / bits). Two 18 Kb halves make every
    shape of a 36 Kb block, up to 512 x 72, so these need no case of their own.

    >>> bram18_blocks(49152, 8), bram18_blocks(196608, 8)  # as Vitis HLS allots TMMA's two buffers
    (24, 96)
    """
    return min(-(-depth // words) * -(-width_bits // bits) for words, bits in BRAM18_SHAPES)


def uram_blocks(depth: int, width_bits: int) -> int:
    """Return the 288 Kb UltraRAMs, 4096 x 72 only, of a memory that reads one word of `width_bits` per cycle."""
    return -(-depth // URAM_SHAPE[0]) * -(-width_bits // URAM_SHAPE[1])


def _bank(capacity_bits: int, width_bits: int, free: Resources, taken: Resources) -> Resources:
    """Place one bank in the kind of memory of which it takes the smaller share of what is left."""
    depth = -(-capacity_bits // width_bits)
    bram18, uram = bram18_blocks(depth, width_bits), uram_blocks(depth, width_bits)
    uram_left, bram18_left = free.uram - taken.uram, max(free.bram18 - taken.bram18, 1)
    if uram <= uram_left and uram / uram_left < bram18 / bram18_left:
        return Resources(uram=uram)
    return Resources(bram18=bram18)


def operand_lanes(array: SystolicArray) -> tuple[int, int]:
    """Values of the left and of the right operand that all arrays take per cycle."""
    n = array.n_arrays * array.products_per_position
    if array.dataflow == "input_stationary":  # inputs are loaded into the columns, weights stream along the rows
        return array.columns * n, array.rows * n
    return array.rows * n, array.columns * n


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


def _systolic_array(workload: Workload, array: SystolicArray, n_products: int) -> Resources:
    left, right = workload.quant.activation_bits, right_operand_bits(workload)
    sums, n_macs = accumulator_bits(workload), array.n_macs
    n_positions = n_macs // array.products_per_position
    tree = n_positions * adder_tree_bits(array.products_per_position, left + right)  # an adder bit: one LUT and one FF
    n_skewed = array.n_arrays * array.products_per_position  # values that enter a row or a column per cycle
    skew = n_skewed * sum(  # the i-th row or column starts i cycles later: one LUT delays a bit by up to 32
        lanes * bits * ceil_div(lanes, SRL_DELAYS) for lanes, bits in ((array.rows, left), (array.columns, right))
    )
    accumulated, operands = n_positions * sums, n_macs * (left + right)
    return Resources(
        lut=round(LUT_PER_ACCUMULATOR_BIT * accumulated + LUT_PER_OPERAND_BIT * operands) + tree + skew,
        ff=round(FF_PER_ACCUMULATOR_BIT * accumulated + FF_PER_OPERAND_BIT * operands) + tree,
        dsp=ceil_div(n_macs, n_products),  # one product of up to 16 x 16 bits fits every DSP slice
    )


def _partial_sums(workload: Workload, array: SystolicArray, free: Resources, taken: Resources) -> Resources:
    """A memory per array for the sums that wait for the next slice of k, a row of the array's columns per cycle.

    Weight stationary, a column panel's sums of all rows. Input stationary, those of the whole product, dealt to the
    arrays.
    """
    products = [op for op in workload.layer if isinstance(op, MatMul) and op.k > array.rows]
    if array.dataflow == "output_stationary" or not products:
        return NOTHING
    width_bits = array.columns * accumulator_bits(workload)
    if array.dataflow == "weight_stationary":
        n_words = max(op.m for op in products)
    else:
        n_words = max(ceil_div(op.n * ceil_div(op.m, array.columns), array.n_arrays) for op in products)
    sums = Resources()
    for _ in range(array.n_arrays):
        sums += _bank(n_words * width_bits, width_bits, free, taken + sums)
    return sums


def _requantisation(workload: Workload, accelerator: Accelerator) -> Resources:
    """Lanes, one per column if the design does not say: bias, multiplier (none for power-of-two scales), rounding
    shift, saturation."""
    sums, bits = accumulator_bits(workload), workload.quant.activation_bits
    lane = Resources(
        lut=sums + LUT_PER_SHIFTED_BIT * sums + 2 * bits,
        ff=3 * sums + bits,
        dsp=0 if workload.quant.power_of_two else 2,  # 32 x 16 bits takes two multipliers
    )
    return lane * ((accelerator.requantisation_lanes or accelerator.array_columns) * accelerator.n_arrays)


def _table(n_lanes: int) -> Resources:
    """A read-only table that every lane reads each cycle: two lanes share the two ports of a block RAM."""
    return Resources(bram18=-(-n_lanes // 2) * bram18_blocks(TABLE_WORDS, VALUE_BITS))


def _fixed_point_units(design: Accelerator, bits: int) -> dict[str, Resources]:
    return {
        "softmax": _softmax(design.softmax_lanes, bits),
        "layer_norm": _layer_norm(design.layer_norm_lanes, bits),
        "gelu": _gelu(design.gelu_lanes, bits),
        "residual_add": _residual_add(design.add_lanes, bits),
    }


def _float_units(design: Accelerator, _bits: int) -> dict[str, Resources]:
    """Units in single precision, as they were reported, lane by lane."""
    n_lanes = (design.softmax_lanes, design.layer_norm_lanes, design.gelu_lanes, design.add_lanes)
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


def _exit_head(workload: Workload, accelerator: Accelerator) -> Resources:
    """Lanes of one product each, a tree of sums, bias and rescale to logit_bits, tanh table of the pooler."""
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


def _dma_control(accelerator: Accelerator, device: Device) -> Resources:
    """A memory port as wide as the bandwidth at this clock, read and write, with burst buffers; sequencers."""
    bytes_per_cycle = (
        device.memory_bytes_per_second * accelerator.memory_efficiency_fraction / (accelerator.clock_mhz * 1e6)
    )
    port_bits = 64 * math.ceil(bytes_per_cycle / 8)
    lut, ff, bram18 = AXI_MASTER
    port = Resources(lut=lut + port_bits, ff=ff + 2 * port_bits, bram18=bram18 + bram18_blocks(FIFO_WORDS, port_bits))
    control, sequencer = (Resources(lut=lut, ff=ff) for lut, ff in (AXI_CONTROL, SEQUENCER))
    return port * 2 + control + sequencer * accelerator.n_engines


def check_fit(estimate: ResourceEstimate, device: Device) -> None:
    """Raise DoesNotFit where an estimate asks a part for more than it has.

    The message names every kind that is short, by how much, the largest users, and the changes, each tried
    out on its own, that would make the design fit: widths, sizes, other parts.
    """
    needed, has = estimate.total, available(device)
    if needed.fits(has):
        return
    lines = [_shortage(estimate, kind, device) for kind in KINDS if getattr(needed, kind) > getattr(has, kind)]
    levers = list(_levers(estimate, device))
    devices = [name for name in _devices_by_size() if _retry(estimate, load_device(name))]
    levers += [f"--device {' or '.join(devices[:2])}"] if devices else []
    remedy = f"Try {', or '.join(levers)}." if levers else "No single change is enough: lower several sizes together."
    lines.append(remedy)
    raise DoesNotFit("\n".join(lines))


def _shortage(estimate: ResourceEstimate, kind: Kind, device: Device) -> str:
    needed, has = getattr(estimate.total, kind), getattr(available(device), kind)
    ratio = f" ({needed / has:.{1 if needed / has >= 1.05 else 2}f}x)" if has else ""
    users = sorted(estimate.parts.items(), key=lambda item: -getattr(item[1], kind))[:2]
    largest = ", ".join(f"{name} {getattr(part, kind)}" for name, part in users if getattr(part, kind))
    return f"n_{kind} {needed} needed, {has} on {device.name}{ratio}. Largest: {largest}."


def _levers(estimate: ResourceEstimate, device: Device) -> Iterator[str]:
    """Yield the changes of one input that make the design fit, the mildest value of each."""
    design, quant = estimate.accelerator, estimate.workload.quant
    for value in (2, 4):
        if value > design.macs_per_dsp and _retry(estimate, device, replace(design, macs_per_dsp=value)):
            yield f"macs_per_dsp = {value} in --design"
            break
    for bits in sorted(LEGAL_BITS, reverse=True):
        smaller = replace(estimate.workload, quant=replace(quant, weight_bits=bits, activation_bits=bits))
        if bits < max(quant.weight_bits, quant.activation_bits) and _retry(estimate, device, workload=smaller):
            yield f"--bits {bits}"
            break
    for key in ("weight_buffer_kib", "activation_buffer_kib", "array_rows", "array_columns", "n_arrays", "n_engines"):
        for value in (getattr(design, key) >> halvings for halvings in (1, 2, 3)):
            if value and _retry(estimate, device, _resized(design, key, value)):
                yield f"{key} = {value} in --design"
                break


def _resized(design: Accelerator, key: str, value: int) -> Accelerator:
    changes: dict[str, Any] = {key: value} | ({"engine_layers": None} if key == "n_engines" else {})
    return replace(design, **changes)


def _retry(
    tried: ResourceEstimate, device: Device, design: Accelerator | None = None, workload: Workload | None = None
) -> bool:
    """Whether the design would fit after a change, and its buffers still hold what they must."""
    workload, design = workload or tried.workload, design or tried.accelerator
    try:
        place_weights(workload, design)
        check_activations(workload, design)
    except DoesNotFit:
        return False
    head = tried.exit_head if tried.built_head else None
    return estimate(workload, design, device, tried.exit_decision, head).total.fits(available(device))


def _devices_by_size() -> list[str]:
    return sorted(list_devices(), key=lambda name: load_device(name).lut)
