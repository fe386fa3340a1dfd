"""What the stages of a design take: their arrays, the lanes and buffers that the file names, the exit path, the ports.

Arrays are those of hw_model.area.units, one for each stage that works at the same time as others. Lanes
(`softmax_lanes` ...), `requantisation_lanes` and the two buffers count where the file gives them.

Not modelled: loop nests without lanes, FIFOs between stages, buffers that a file does not name.
"""

from __future__ import annotations

from dataclasses import replace

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import SystolicArray
from hexit.hw_model.rounding import ceil_div


def engine_view(design: Accelerator, array: SystolicArray) -> Accelerator:
    """Return the engine of one array of a design's stages, for what an engine's array says: widths of buffers."""
    return replace(
        design,
        regions=(),
        arrays={},
        array_presets={},
        same_hardware={},
        array_bits={},
        loops={},
        constants={},
        products=(),
        layer_extra_cycles=0,
        array_rows=array.rows,
        array_columns=array.columns,
        n_arrays=array.n_arrays,
        products_per_position=array.products_per_position,
        dataflow=array.dataflow,
        fold=array.fold,
        softmax_lanes=max(1, design.softmax_lanes),
        layer_norm_lanes=max(1, design.layer_norm_lanes),
        gelu_lanes=max(1, design.gelu_lanes),
        add_lanes=max(1, design.add_lanes),
        weight_buffer_kib=max(1, design.weight_buffer_kib),
        activation_buffer_kib=max(1, design.activation_buffer_kib),
    )


def requantisation_lanes(design: Accelerator) -> int:
    """Return the lanes behind all arrays: as many for each as the file says, or one per column."""
    if not design.regions:
        return (design.requantisation_lanes or design.array_columns) * design.n_arrays
    if design.requantisation_lanes is not None:
        return design.requantisation_lanes
    return sum(array.columns * array.n_arrays for array in design.built_arrays)


def products_per_dsp_of(array: SystolicArray, packed: int) -> int:
    """Return how many products one DSP of an array should make: the packing that its columns are built for."""
    return max(packed, ceil_div(array.fold_columns, array.columns))
