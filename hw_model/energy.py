"""Energy and average power from plain counts of what was done.

    energy = sum over operand widths of n_macs x mac_pj(widths)
           + vector_elements x vector_element_pj
           + on_chip_bytes x on_chip_byte_pj + off_chip_bytes x off_chip_byte_pj
           + static_power_mw x time

The constants are those of a 45 nm ASIC; arithmetic is multiplied by the published ratio between an FPGA and an
ASIC of one process. No gain from the step to 16 or 28 nm is applied, because no source separates it from the
overhead of the larger fabric. Work that speculation threw away is counted like other work and
shown as a part of its own.

Not modelled: the clock tree and registers that toggle without work (they are in `static_power_mw` where that
was measured or fitted with the design loaded), voltage, temperature, data-dependent switching, the host.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from hexit.hw_model.device import Device
from hexit.quant.errors import ConfigError

_HOROWITZ = "M. Horowitz, ISSCC 2014, 45 nm at 0.9 V"

MULTIPLY_8X8_PJ = 0.2  # pJ, 8-bit integer multiply: Horowitz, ISSCC 2014; his 32-bit one, 3.1 pJ, is 15.5 times that
ADD_32_PJ = 0.1  # pJ, 32-bit integer add: Horowitz, ISSCC 2014; his 8-bit one, 0.03 pJ, is about a quarter
SRAM_8_BYTES_PJ = 10.0  # pJ, one 64-bit access to 8 KB of SRAM: Horowitz, ISSCC 2014
DDR_8_BYTES_PJ = 1300.0  # pJ, one 64-bit access to DRAM, low end of 1.3..2.6 nJ: Horowitz, ISSCC 2014
HBM2_BIT_PJ = 3.9  # pJ per bit: O'Connor et al., MICRO 2017 (DOI 10.1145/3123939.3124545)
FPGA_FACTOR = 7.1  # ratio, dynamic power FPGA/ASIC with memory and DSP blocks: Kuon and Rose, TCAD 26(2) 2007
VECTOR_MULTIPLIES = 2  # per element: scale and square or exponent; our count of the fixed-point units
VECTOR_ADDS = 2  # per element: subtract and accumulate; our count of the fixed-point units
VECTOR_BITS = 16  # bits of an operand in a vector lane

SOURCES = {
    "multiply_8x8_pj": f"{_HOROWITZ}, 8-bit multiply 0.2 pJ, times the FPGA factor",
    "add_32_pj": f"{_HOROWITZ}, 32-bit add 0.1 pJ, times the FPGA factor",
    "vector_element_pj": "two 16 x 16 multiplies and two 32-bit adds of the above: our count",
    "on_chip_byte_pj": f"{_HOROWITZ}, 64-bit access to 8 KB SRAM 10 pJ; a block RAM is hard silicon: no FPGA factor",
    "off_chip_byte_pj": f"DDR: {_HOROWITZ}, 1.3 nJ per 64 bit (low end); HBM2: O'Connor et al., MICRO 2017, 3.9 pJ/bit",
    "static_power_mw": "the part's file: measured, fitted, scaled or assumed, as it says",
    "fpga_factor": "I. Kuon, J. Rose, IEEE TCAD 26(2), 2007: dynamic power, circuits with memory and DSP blocks, 7.1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyModel:
    """Energy per piece of work on one part, all in picojoules, and its static power; `SOURCES` names the origin."""

    multiply_8x8_pj: float
    add_32_pj: float
    vector_element_pj: float
    on_chip_byte_pj: float
    off_chip_byte_pj: float
    static_power_mw: float
    fpga_factor: float

    def __post_init__(self) -> None:
        """Reject negative constants."""
        _check_not_negative("energy", self)

    def mac_pj(self, activation_bits: int, weight_bits: int) -> float:
        """Return the energy of one multiply-accumulate into 32 bits.

            mac_pj = multiply_8x8_pj x activation_bits x weight_bits / 64 + add_32_pj

        The product's bits scale the multiplier: 32 x 32 gives 16 times 8 x 8, published 15.5 times.
        """
        return self.multiply_8x8_pj * activation_bits * weight_bits / 64 + self.add_32_pj


@dataclass(frozen=True, slots=True, kw_only=True)
class MacCount:
    """`n` multiply-accumulates of one pair of operand widths."""

    activation_bits: int
    weight_bits: int
    n: int

    def __post_init__(self) -> None:
        """Reject counts below zero and operands without bits."""
        _check_not_negative("macs", self)
        if not self.activation_bits or not self.weight_bits:
            raise ConfigError(
                "macs", (self.activation_bits, self.weight_bits), "operands need at least 1 bit", "Correct the widths"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyCounts:
    """What was done: multiply-accumulates by operand widths, vector elements, bytes on and off chip.

    `on_chip_bytes` are bytes read from or written to buffers, `vector_elements` the values that passed through
    softmax, layer norm, GELU, residual and requantisation lanes.
    """

    macs: tuple[MacCount, ...] = ()
    vector_elements: int = 0
    on_chip_bytes: int = 0
    off_chip_bytes: int = 0

    def __post_init__(self) -> None:
        """Reject counts below zero."""
        for name in ("vector_elements", "on_chip_bytes", "off_chip_bytes"):
            _check_not_negative_value(f"counts.{name}", getattr(self, name))

    def __add__(self, other: EnergyCounts) -> EnergyCounts:
        """Return both lots of work, with one entry per pair of operand widths."""
        totals: dict[tuple[int, int], int] = {}
        for mac in (*self.macs, *other.macs):
            key = (mac.activation_bits, mac.weight_bits)
            totals[key] = totals.get(key, 0) + mac.n
        return EnergyCounts(
            macs=tuple(MacCount(activation_bits=a, weight_bits=w, n=n) for (a, w), n in sorted(totals.items())),
            vector_elements=self.vector_elements + other.vector_elements,
            on_chip_bytes=self.on_chip_bytes + other.on_chip_bytes,
            off_chip_bytes=self.off_chip_bytes + other.off_chip_bytes,
        )

    def __mul__(self, n: int) -> EnergyCounts:
        """Return the same work done `n` times."""
        return EnergyCounts(
            macs=tuple(
                MacCount(activation_bits=m.activation_bits, weight_bits=m.weight_bits, n=m.n * n) for m in self.macs
            ),
            vector_elements=self.vector_elements * n,
            on_chip_bytes=self.on_chip_bytes * n,
            off_chip_bytes=self.off_chip_bytes * n,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyBreakdown:
    """Where the microjoules went; the parts do not overlap and add up to `total_uj`.

    The first four are useful work, `wasted_uj` the dynamic energy of all work that was thrown away, `static_uj`
    what flows in any case during the time.
    """

    mac_uj: float
    vector_uj: float
    on_chip_uj: float
    off_chip_uj: float
    wasted_uj: float
    static_uj: float

    def __post_init__(self) -> None:
        """Reject negative energies."""
        _check_not_negative("energy", self)

    @property
    def dynamic_uj(self) -> float:
        """Everything but the static part."""
        return self.mac_uj + self.vector_uj + self.on_chip_uj + self.off_chip_uj + self.wasted_uj

    @property
    def total_uj(self) -> float:
        """All parts together."""
        return self.dynamic_uj + self.static_uj

    def average_power_mw(self, duration_us: float) -> float:
        """Return total energy over the time it took: uJ / us = W, here in mW."""
        if duration_us <= 0:
            raise ConfigError("duration_us", duration_us, "must be positive", "Give the time of the counts")
        return self.total_uj / duration_us * 1000


def energy_model(device: Device) -> EnergyModel:
    """Return the constants of `SOURCES` for one part."""
    multiply_pj, add_pj = MULTIPLY_8X8_PJ * FPGA_FACTOR, ADD_32_PJ * FPGA_FACTOR
    return EnergyModel(
        multiply_8x8_pj=multiply_pj,
        add_32_pj=add_pj,
        vector_element_pj=VECTOR_MULTIPLIES * multiply_pj * VECTOR_BITS**2 / 64 + VECTOR_ADDS * add_pj,
        on_chip_byte_pj=SRAM_8_BYTES_PJ / 8,  # block RAM is hard silicon, so without the FPGA factor
        off_chip_byte_pj=HBM2_BIT_PJ * 8 if device.memory_kind == "hbm2" else DDR_8_BYTES_PJ / 8,
        static_power_mw=device.static_power_mw,
        fpga_factor=FPGA_FACTOR,
    )


def energy_uj(
    model: EnergyModel, counts: EnergyCounts, duration_us: float, *, wasted: EnergyCounts | None = None
) -> EnergyBreakdown:
    """Return the energy of `counts` (useful work) and `wasted` work within `duration_us` of wall time.

    Static energy is static_power_mw x duration_us, busy or not. Raises ConfigError for a negative duration.
    """
    _check_not_negative_value("duration_us", duration_us)
    return EnergyBreakdown(
        mac_uj=_macs_pj(model, counts.macs) * 1e-6,
        vector_uj=counts.vector_elements * model.vector_element_pj * 1e-6,
        on_chip_uj=counts.on_chip_bytes * model.on_chip_byte_pj * 1e-6,
        off_chip_uj=counts.off_chip_bytes * model.off_chip_byte_pj * 1e-6,
        wasted_uj=0.0 if wasted is None else energy_uj(model, wasted, 0.0).dynamic_uj,
        static_uj=model.static_power_mw * duration_us * 1e-3,
    )


def _macs_pj(model: EnergyModel, macs: Iterable[MacCount]) -> float:
    return sum(mac.n * model.mac_pj(mac.activation_bits, mac.weight_bits) for mac in macs)


def _check_not_negative(where: str, record: EnergyModel | EnergyBreakdown | MacCount) -> None:
    for field in fields(record):
        _check_not_negative_value(f"{where}.{field.name}", getattr(record, field.name))


def _check_not_negative_value(where: str, value: float) -> None:
    if not value >= 0:
        raise ConfigError(where, value, "must not be negative", "Correct the count")
