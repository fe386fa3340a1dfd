"""What was really built: an exit unit, its cycles and its area, as `exit_unit.json` carries them to the simulator.

`hexit hls` writes the file, with figures of our pipeline model, of Yosys or of a vendor's report; `hexit run
--exit-unit FILE` reads it back. Each part says where its figures came from.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hexit.hw_model.area.resources import Resources
from hexit.hw_model.exit_unit.area import exit_unit_resources
from hexit.hw_model.exit_unit.timing import unit_timing
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.errors import ConfigError
from hexit.quant.exits.unit import ExitUnitSpec
from hexit.quant.files import write_whole
from hexit.quant.records import from_json, to_json

Evidence = Literal["modelled", "synthesised", "vendor"]
SCHEMA = "hexit.exit_unit"
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltPart:
    """Cycles and area of one part; `evidence` says how they are known and `tool` by what, with its version.

    `modelled`: our pipeline and fitted area; `synthesised`: Yosys, no placement or routing; `vendor`: an HLS report.
    """

    latency_cycles: int
    initiation_interval_cycles: int
    resources: Resources
    evidence: Evidence
    tool: str

    def __post_init__(self) -> None:
        """Reject times that no pipeline has."""
        for name, least in (("latency_cycles", 0), ("initiation_interval_cycles", 1)):
            if getattr(self, name) < least:
                requirement = f"must be at least {least}"
                raise ConfigError(
                    f"exit_unit.{name}", getattr(self, name), requirement, "Build the unit again: hexit hls"
                )

    @property
    def cycles(self) -> TaskCycles:
        """One task on this part. It decides once a layer, so an interval beyond the latency delays no sentence."""
        occupancy = min(self.initiation_interval_cycles, self.latency_cycles)
        return TaskCycles(occupancy_cycles=occupancy, latency_cycles=self.latency_cycles)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitUnitBuild:
    """One built exit unit: what it computes, its cycles and area, part and clock; with its head if that was built.

    A unit built without a head gets its logits from the head that the design has.
    """

    schema: str = SCHEMA
    schema_version: int = SCHEMA_VERSION
    spec: ExitUnitSpec
    decision: BuiltPart
    head: BuiltPart | None
    part: str
    clock_period_ns: float


@functools.lru_cache(maxsize=256)  # the same for every design in which the unit decides
def modelled_decision(spec: ExitUnitSpec) -> BuiltPart:
    """Return cycles and area of a unit as our models have them, before any tool has run."""
    timing = unit_timing(spec)
    resources, source = exit_unit_resources(spec)
    return BuiltPart(
        latency_cycles=timing.latency_cycles,
        initiation_interval_cycles=timing.initiation_interval_cycles,
        resources=resources,
        evidence="synthesised" if source.startswith("measured") else "modelled",
        tool=source,
    )


def save_build(build: ExitUnitBuild, path: Path) -> None:
    """Write a build as JSON: whole, or not at all; equal builds give equal bytes."""
    write_whole(path, json.dumps(to_json(build), indent=2, allow_nan=False) + "\n")


def load_build(path: Path, where: str = "--exit-unit") -> ExitUnitBuild:
    """Read what `save_build` wrote; ConfigError for a file that is missing, damaged or of another version.

    `where` names the option that gave the path.
    """
    remedy = "Make it with hexit hls --out DIR; it is DIR/exit_unit.json"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(where, str(path), "is not a file", remedy) from None
    except (OSError, ValueError) as error:
        raise ConfigError(where, str(path), f"is not JSON ({error})", remedy) from None
    version = (value.get("schema"), value.get("schema_version")) if isinstance(value, dict) else None
    if version != (SCHEMA, SCHEMA_VERSION):
        raise ConfigError(where, str(path), f"is not a {SCHEMA} of version {SCHEMA_VERSION}", remedy)
    return from_json(ExitUnitBuild, value, where)
