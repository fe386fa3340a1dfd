"""The options of `hexit hls`, as one record (see sim.job.record)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hexit.quant.errors import ConfigError
from hexit.quant.exits.table_format import TableFormat
from hexit.quant.options import Checked, option, section
from hexit.sim.job.record import (
    CACHE_FOLDER,
    HARDWARE,
    MODEL,
    OUTPUT,
    RULE,
    SEQUENCE_LENGTH,
    TEXT,
    DataOptions,
    ModelOptions,
    QuantisationOptions,
    RuleOptions,
)

PROJECT = "Project"
MAX_VECTORS = 1_000_000  # random events of one project; its files then take some 30 MB
MAX_REUSE_FACTOR = 1 << 20

Backend = Literal["vitis", "vivado"]
BACKENDS: dict[str, tuple[Backend, ...]] = {
    "both": ("vitis", "vivado"),
    "vitis": ("vitis",),
    "vivado": ("vivado",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOutputs(Checked):
    """Where the folder goes and what is shown."""

    folder: Path | None = option(
        None, flag="--out", local=True, help="Folder to make; replaced as a whole if it is one of ours."
    )
    json: bool = option(False, local=True, help="Print the summary as JSON.")
    cache_folder: Path | None = option(None, **CACHE_FOLDER)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOptions(Checked):
    """What the exit unit has besides its rule."""

    exits: str | None = option(
        None, help="Layers with an exit, e.g. 2,4,6,12. Default: all (fixed-depth: its own and the last)."
    )
    confidence: bool = option(False, help="The unit also puts out the integer it compares.")
    table_address_bits: int = option(
        TableFormat().address_bits,
        help="Three or more classes: at most 2^N entries a table. 10 takes a quarter of the memory.",
    )
    table_fraction_bits: int = option(
        TableFormat().fraction_bits, help="Three or more classes: table values in steps of 2^-N."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PartOptions(Checked):
    """The part that the unit is built for."""

    sequence_length: int | None = option(None, **SEQUENCE_LENGTH)
    interleave: int = option(1, help="Sentences in flight, each with its own state.")
    device: str = option("zcu102", help="Board or part that shares are taken of; see `hexit run --list devices`.")
    part: str | None = option(None, help="Part number for the tools. Default: the device's.")
    clock_period_ns: float = option(5.0, flag="--clock-period", help="Target clock period in ns.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectOptions(Checked):
    """The projects that are written, and the tools that are run on them."""

    head: bool = option(
        False, help="Pooler and classifier in the same HLS project; without it the unit is fed with logits."
    )
    reuse_factor: int | None = option(
        None, help="With --head: products that share a multiplier. Default: the hidden size."
    )
    backend: Literal["both", "vitis", "vivado"] = option(
        "both", help="both, vitis or vivado: whose HLS project is written."
    )
    interface: Literal["stream", "parallel"] = option("stream", help="stream (AXI-Stream) or parallel (plain ports).")
    name: str | None = option(None, help="Name of the projects. Default: from model and rule.")
    vectors: int = option(4096, help="Test vectors besides those of the data: random and at the thresholds.")
    synthesise: bool = option(False, help="Measure the area with Yosys now.")
    build: bool = option(False, help="Run the vendor's HLS tool and take cycles and area from its report.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HlsJob(Checked):
    """One exit unit to build: model and text that it is for, rule, part, projects."""

    outputs: UnitOutputs = section(UnitOutputs, OUTPUT)
    model: ModelOptions = section(ModelOptions, MODEL)
    quantisation: QuantisationOptions = section(QuantisationOptions, MODEL)
    data: DataOptions = section(DataOptions, TEXT)
    seed: int = option(0, least=0, panel=TEXT, help="Decides the drawn sentences and the random test vectors.")
    part: PartOptions = section(PartOptions, HARDWARE)
    rule: RuleOptions = section(RuleOptions, RULE)
    unit: UnitOptions = section(UnitOptions, RULE)
    project: ProjectOptions = section(ProjectOptions, PROJECT)

    def __post_init__(self) -> None:
        """Check each option, and the ranges that no part or tool exceeds."""
        Checked.__post_init__(self)
        reuse, period = self.project.reuse_factor, self.part.clock_period_ns
        if not 0.5 <= period <= 100:
            raise ConfigError("--clock-period", period, "must be 0.5..100 ns", "Try --clock-period 5")
        if reuse is not None and not 1 <= reuse <= MAX_REUSE_FACTOR:
            raise ConfigError("--reuse-factor", reuse, f"must be 1..{MAX_REUSE_FACTOR}", "Try --reuse-factor 64")
        if not 0 <= self.project.vectors <= MAX_VECTORS:
            raise ConfigError("--vectors", self.project.vectors, f"must be 0..{MAX_VECTORS}", "Try --vectors 4096")

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The HLS tools that projects are written for."""
        return BACKENDS[self.project.backend]
