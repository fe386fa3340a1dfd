"""FPGA parts and the boards around them: what there is to build with, and what memory feeds it.

A part is one TOML file in `hw_model/devices/`, with the data sheet of every figure. The totals are those of
the silicon: a card's shell, a processing system's interconnect and what routing cannot reach are not
subtracted. Memory bandwidth is the peak of the interface,

    memory_bandwidth_gb_s = memory_channels x transfers per second x memory_channel_bits / 8,

or less where the card limits the sum; what a burst really gets is the memory model's business. How fast a
part can be clocked is told by its speed grade (hw_model.area.clock). Not modelled: the crossing between the dies
of a large part, thermal limits.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hexit.hw_model.toml_files import is_path, list_names, load_table
from hexit.quant.errors import ConfigError
from hexit.quant.records import from_json

Family = Literal["ultrascale_plus", "7series"]
DspPrimitive = Literal["DSP48E1", "DSP48E2"]
MemoryKind = Literal["ddr3", "ddr4", "hbm2"]

DEVICE_FOLDER = Path(__file__).parent / "devices"
POWER_LABELS = ("measured", "fitted", "scaled", "assumed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One part on its board.

    `bram18` counts halves of 18 Kb (a 36 Kb block is two of them), `uram` blocks of 288 Kb. `static_power_mw`
    is what the board or module draws with the accelerator loaded and idle; `power_source` begins with how that
    figure was obtained: measured, fitted, scaled or assumed. `memory_channels` are independent channels (of an HBM
    stack: pseudo-channels) of `memory_channel_bits` data lines each; a file without them has one of 64 bits.
    `memory_ports` of `memory_port_bits` each lead from the memory into the logic; a file without them does not limit.
    """

    name: str
    title: str
    part: str
    family: Family
    lut: int
    ff: int
    dsp: int
    bram18: int
    uram: int
    dsp_primitive: DspPrimitive
    memory_kind: MemoryKind
    memory_bandwidth_gb_s: float
    memory_latency_ns: float
    memory_channels: int = 1
    memory_channel_bits: int = 64
    memory_ports: int | None = None
    memory_port_bits: int | None = None
    static_power_mw: float
    source: str
    power_source: str

    def __post_init__(self) -> None:
        """Reject a part that cannot exist."""
        for name in (
            "lut",
            "ff",
            "dsp",
            "bram18",
            "memory_bandwidth_gb_s",
            "memory_channels",
            "memory_channel_bits",
        ):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"device.{name}", getattr(self, name), "must be positive", "Correct the file")
        if (self.memory_ports is None) != (self.memory_port_bits is None):
            missing = "memory_ports" if self.memory_ports is None else "memory_port_bits"
            raise ConfigError(f"device.{missing}", None, "is needed beside the other of the two", "Give both, or none")
        if self.memory_ports is not None and min(self.memory_ports, self.memory_port_bits or 0) < 1:
            value = f"{self.memory_ports} of {self.memory_port_bits} bits"
            raise ConfigError("device.memory_ports", value, "must be positive", "Correct the file")
        for name in ("uram", "memory_latency_ns", "static_power_mw"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"device.{name}", getattr(self, name), "must not be negative", "Correct the file")
        if self.power_source.split(":")[0] not in POWER_LABELS:
            raise ConfigError(
                "device.power_source",
                self.power_source,
                f"must begin with one of {', '.join(POWER_LABELS)} and a colon",
                "Say how static_power_mw was obtained",
            )

    @property
    def on_chip_kib(self) -> float:
        """Block RAM and UltraRAM together."""
        return (self.bram18 * 18 + self.uram * 288) / 8

    @property
    def memory_bytes_per_second(self) -> float:
        """Peak bytes per second of the off-chip memory."""
        return self.memory_bandwidth_gb_s * 1e9


def list_devices() -> tuple[str, ...]:
    """Names of the parts that come with the package, in alphabetical order."""
    return list_names(DEVICE_FOLDER)


def load_device(name_or_path: str | Path) -> Device:
    """Read a part by its name (`zcu102`) or from a TOML file of your own (`my_board.toml`).

    Raises ConfigError with the known names and the nearest one, or with the key of the file that is wrong.
    """
    if is_path(name_or_path):
        return from_json(Device, load_table(name_or_path, DEVICE_FOLDER, "--device"), where=Path(name_or_path).name)
    text, known = str(name_or_path), list_devices()
    if text.lower() not in known:
        remedy = f"Did you mean --device {_nearest(text.lower(), known)}? A path to a .toml file works too"
        raise ConfigError("--device", text, f"is not a known part. Known: {', '.join(known)}", remedy)
    return from_json(Device, load_table(text.lower(), DEVICE_FOLDER, "--device"), where=text.lower())


def _nearest(text: str, names: tuple[str, ...]) -> str:
    """Return the name that looks most like `text`, counting a part number as a name of its board."""
    spellings = {name: name for name in names}
    spellings |= {load_device(name).part: name for name in names}
    return spellings[difflib.get_close_matches(text, spellings, n=1, cutoff=0.0)[0]]
