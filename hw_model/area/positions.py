"""What a position of our own systolic arrays takes, as Yosys measured it, and the formula that all rows obey.

    output stationary   sums of `lanes` results on one multiplier; overlapped folds add a register that keeps a result
                        and hands those from above down (`os_position.sv`)
    weight stationary   `lanes` sums pass on their way down; overlapped loads add a second weight (`ws_position.sv`)

`lanes` results share a multiplier where products are packed (hw_model.packing). With A bits of a sum, X of the operand
that moves right and is shared, Y of the other one, L lanes, and o = 1 with overlap, else 0:

    data flow    LUT                                   FF
    output       (1 + o) L A + 2 o + p                 (1 + o) L A + X + L Y + 1 + o
    weight       L A + o L Y + p                       L A + X + (1 + o) L Y + 2

    p            0 for one lane; else what joins two values of Y in front of the multiplier and the borrow between the
                 products: Y + 1 on UltraScale+, 1 on 7-series

and on 7-series, where Yosys lets the slice add, one lane's sum is in the DSP48E1: L A less of both. UltraScale+'s
DSP48E2 can do the same, but Yosys does not use it, so a vendor's tool needs up to A LUT and FF less per position of
one product per slice. The formula is not fitted: it equals every measured position, and tests hold it against all rows.

A grid is rows x columns of these, but that its top row has nothing above it (`grid_resources`):

    output, overlapped  nothing to choose for the register that hands down      L A LUT less in each column
    weight              nothing to add to                                       L A LUT and L (A - X - Y) FF less

Whole grids were measured, too, and hold this count; what edges do not pass on, and sums that need fewer bits in the
upper rows, are left in it.

Not modelled: the control of folds and addresses (`control_lut` of a design), routing, placement, what Yosys cannot map.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from hexit.hw_model.area.resources import Resources
from hexit.hw_model.array import RTL_FOLDS, SystolicArray
from hexit.hw_model.device import Family
from hexit.hw_model.measured_rows import read_rows, save_rows

MEASURED_POSITIONS = Path(__file__).parents[1] / "measured" / "array_positions.json"
RTL_FILES = ("delay.sv", "os_grid.sv", "os_position.sv", "packed_products.sv", "ws_grid.sv", "ws_position.sv")
SYNTHESIS_FAMILY: dict[Family, Literal["xcup", "xc7"]] = {"ultrascale_plus": "xcup", "7series": "xc7"}
RtlDataflow = Literal["output_stationary", "weight_stationary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One position: `x_bits` of the operand that moves right, `y_bits` of each of the other `lanes` ones.

    `overlap`: folds overlap (output stationary), or the next weights come while these are used (weight stationary).
    """

    dataflow: RtlDataflow
    family: Family
    x_bits: int
    y_bits: int
    sum_bits: int
    lanes: int = 1
    overlap: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredGrid:
    """What Yosys made of one position (`rows` and `columns` are 0), or of a whole grid of them with its delay lines.

    `rtl` is a digest of the sources that were synthesised, `tool` name and release of Yosys.
    """

    position: Position
    rows: int
    columns: int
    resources: Resources
    tool: str
    rtl: str


def position_resources(position: Position) -> Resources:
    """Return LUTs, flip-flops and the one slice of a position by the formula of the module's text."""
    lanes, overlap = position.lanes, int(position.overlap)
    sums, moving = lanes * position.sum_bits, lanes * position.y_bits
    joins = 0 if lanes == 1 else 1 + (position.y_bits if position.family == "ultrascale_plus" else 0)
    if position.dataflow == "output_stationary":
        lut, ff = (1 + overlap) * sums + 2 * overlap, (1 + overlap) * sums + position.x_bits + moving + 1 + overlap
    else:
        lut, ff = sums + overlap * moving, sums + position.x_bits + (1 + overlap) * moving + 2
    in_slice = sums if lanes == 1 and position.family == "7series" else 0
    return Resources(lut=lut + joins - in_slice, ff=ff - in_slice, dsp=1)


def grid_resources(position: Position, rows: int, columns: int) -> Resources:
    """Return rows x columns positions with the savings of the top row; `columns` of DSP slices."""
    all_positions, sums = position_resources(position) * (rows * columns), position.lanes * position.sum_bits
    if position.dataflow == "output_stationary":
        return replace(all_positions, lut=all_positions.lut - columns * sums * position.overlap)
    if position.lanes == 1 and position.family == "7series":
        return all_positions  # the slice adds
    signs = position.lanes * max(0, position.sum_bits - position.x_bits - position.y_bits)
    return replace(all_positions, lut=all_positions.lut - columns * sums, ff=all_positions.ff - columns * signs)


def is_own_array(array: SystolicArray) -> bool:
    """Whether the folds of an array are those of our RTL, control between folds and overlaps as they like.

    >>> is_own_array(SystolicArray(rows=4, columns=4))  # says nothing of a way out
    False
    >>> is_own_array(SystolicArray(rows=4, columns=4, fold=RTL_FOLDS["output_stationary"]))
    True
    """
    fold, ours = array.fold, RTL_FOLDS[array.dataflow]
    if array.products_per_position > 1 or fold.stages_operands or fold.depth_cycles or fold.counts_from_zero:
        return False
    if fold.weight_load_overlap and array.dataflow == "output_stationary":
        return False
    return (fold.load, fold.fill, fold.drain) == (ours.load, ours.fill, ours.drain)


def array_position(
    array: SystolicArray, left_bits: int, right_bits: int, sum_bits: int, lanes: int, family: Family
) -> Position:
    """Return the position of an array that is ours; input stationary is weight stationary, operands exchanged."""
    x_bits, y_bits = (right_bits, left_bits) if array.dataflow == "input_stationary" else (left_bits, right_bits)
    stands_still = array.dataflow != "output_stationary"
    return Position(
        dataflow="weight_stationary" if stands_still else "output_stationary",
        family=family,
        x_bits=x_bits,
        y_bits=y_bits,
        sum_bits=sum_bits,
        lanes=lanes,
        overlap=array.fold.weight_load_overlap if stands_still else array.fold.overlap_folds,
    )


@functools.cache
def measured_positions(path: Path = MEASURED_POSITIONS) -> tuple[MeasuredGrid, ...]:
    """Return the rows of the table; ConfigError where it is missing or damaged."""
    return read_rows(MeasuredGrid, path, where="measured positions", written_by="benchmarks/array_positions.py --write")


def save_measured_positions(rows: tuple[MeasuredGrid, ...], path: Path = MEASURED_POSITIONS) -> None:
    """Write rows, one per line; equal rows give equal bytes."""
    save_rows(rows, path)
