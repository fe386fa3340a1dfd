"""Cycles and area of an exit head that is built as its own engine, as the HLS project builds it.

Each linear layer keeps its weights on chip, one word for all multipliers per cycle, and takes `reuse_factor` cycles:

    multipliers = ceil(n_in n_out / reuse_factor)      latency = reuse_factor + 2 + ceil(log2(products per output))

Behind it the channels share multipliers for requantisation in the same number of cycles, then one look-up of the
tanh table; the parts follow one another in a pipeline whose interval is that of its slowest part.

A multiplier is one DSP slice, whatever its width; requantisation takes two where accumulator or multiplier is wider
than its port. LUTs are the adders of the trees and the comparisons that clamp. Not modelled: control, routing, what a
tool shares or moves into LUTs (small products often are); not compared with a synthesis report.
"""

from __future__ import annotations

from hexit.hw_model.area.memory_blocks import bram18_blocks
from hexit.hw_model.area.resources import Resources
from hexit.hw_model.exit_unit.build import BuiltPart
from hexit.hw_model.packing import DSP_PORTS_BITS
from hexit.hw_model.rounding import ceil_div, ceil_log2
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.integer.head import IntegerDense, IntegerHead, Requantisation, TanhTable

TOOL = "closed form of hls4ml's dense layers, not synthesised"
REQUANTISATION_STAGES = 4  # product in two steps, rounding, clamp
TABLE_STAGES = 2  # read of a block RAM, comparison with the entry's threshold


def modelled_head(head: IntegerHead, reuse_factor: int) -> BuiltPart:
    """Return cycles and area of a head whose widest layer reuses each multiplier `reuse_factor` times."""
    parts: list[tuple[TaskCycles, Resources]] = []
    if head.pooler is not None:
        parts += [_dense(head.pooler.dense, reuse_factor)]
        parts += [_requantisation(head.pooler.requantisation, head.pooler.dense, reuse_factor, head.pooler.table)]
    parts += [_dense(head.classifier, reuse_factor)]
    parts += [_requantisation(head.requantisation, head.classifier, reuse_factor, None)]
    return BuiltPart(
        latency_cycles=sum(task.latency_cycles for task, _ in parts),
        initiation_interval_cycles=max(task.occupancy_cycles for task, _ in parts),
        resources=sum((resources for _, resources in parts), start=Resources()),
        evidence="modelled",
        tool=TOOL,
    )


def _dense(dense: IntegerDense, reuse_factor: int) -> tuple[TaskCycles, Resources]:
    cycles = min(reuse_factor, dense.n_in)
    n_multipliers = ceil_div(dense.n_in * dense.n_out, cycles)
    per_output = ceil_div(n_multipliers, dense.n_out)
    sums = dense.accumulator_bits
    return (
        TaskCycles(occupancy_cycles=cycles, latency_cycles=cycles + 2 + ceil_log2(per_output)),
        Resources(
            lut=n_multipliers * sums,  # the tree adds per_output - 1 products, the accumulator the last
            ff=(n_multipliers + dense.n_out) * sums,
            dsp=n_multipliers,
            bram18=bram18_blocks(cycles, n_multipliers * dense.weight_bits),
        ),
    )


def _requantisation(
    stage: Requantisation, dense: IntegerDense, reuse_factor: int, table: TanhTable | None
) -> tuple[TaskCycles, Resources]:
    n_channels = dense.n_out
    cycles = max(factor for factor in range(1, min(reuse_factor, n_channels) + 1) if n_channels % factor == 0)
    n_lanes = n_channels // cycles
    product_bits = dense.accumulator_bits + stage.multiplier_bits
    lane = Resources(
        lut=product_bits + 2 * stage.output_bits,
        ff=2 * product_bits + stage.output_bits,
        dsp=ceil_div(dense.accumulator_bits, DSP_PORTS_BITS["DSP48E2"][0]),
    )
    depth, memory = REQUANTISATION_STAGES, Resources()
    if table is not None:
        depth += TABLE_STAGES
        blocks = bram18_blocks(1 << table.address_bits, table.feature_bits + table.threshold_bits)
        memory = Resources(bram18=ceil_div(n_lanes, 2) * blocks)  # two ports serve two lanes
    return TaskCycles(occupancy_cycles=cycles, latency_cycles=cycles + depth), lane * n_lanes + memory
