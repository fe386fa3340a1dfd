"""Counts of a part's resources: LUTs, flip-flops, DSP slices, block RAMs and UltraRAMs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hexit.hw_model.device import Device
from hexit.quant.errors import ConfigError

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
        if min(self.lut, self.ff, self.dsp, self.bram18, self.uram) >= 0:
            return
        for kind in KINDS:
            if getattr(self, kind) < 0:
                raise ConfigError(f"resources.n_{kind}", getattr(self, kind), "must not be negative", "Correct it")

    def __add__(self, other: Resources) -> Resources:
        """Return what both take together."""
        return Resources(  # field by field: an estimate adds dozens of these
            lut=self.lut + other.lut,
            ff=self.ff + other.ff,
            dsp=self.dsp + other.dsp,
            bram18=self.bram18 + other.bram18,
            uram=self.uram + other.uram,
        )

    def __mul__(self, n: int) -> Resources:
        """Return what `n` copies take."""
        return Resources(lut=self.lut * n, ff=self.ff * n, dsp=self.dsp * n, bram18=self.bram18 * n, uram=self.uram * n)

    def fits(self, available: Resources) -> bool:
        """Whether no kind exceeds what is available."""
        return all(getattr(self, kind) <= getattr(available, kind) for kind in KINDS)


NOTHING = Resources()


def available(device: Device) -> Resources:
    """Return everything that the silicon of a part has."""
    return Resources(lut=device.lut, ff=device.ff, dsp=device.dsp, bram18=device.bram18, uram=device.uram)
