"""Area of the exit unit: as measured where this very unit was synthesised, else counted and fitted on measured ones.

    flip-flops  sum over the blocks of registers x bits                          counted: `register_bits`
    LUTs        sum over the kinds of operators of bits x LUTs per bit           fitted:  `operator_bits`
    block RAM   two readers share a memory, each made of real blocks             counted: `memory_blocks`
    DSP slices  the product A (ln A - h), in multipliers of signed 25 x 18 bits  counted: `multipliers`

The bits are counted in hw_model.exit_unit.counts, memories and multipliers in hw_model.exit_unit.blocks. The LUTs per
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
from hexit.hw_model.exit_unit.blocks import memory_blocks, multipliers
from hexit.hw_model.exit_unit.counts import operator_bits, register_bits
from hexit.hw_model.exit_unit.measured import MeasuredUnit, find_measured, measured_units
from hexit.quant.exits.unit import ExitUnitSpec


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
