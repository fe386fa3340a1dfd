"""Stages of hardware, each for some ops of a layer, and how packs of tokens pass through them.

    layer = regions one after the other;   region = stages;   stage = ops of the network on arrays and loops

The network's ops are those of `quant.workload` for the sentence at hand, so that a design never repeats a size: a stage
names ops (``query``, ``scores``, ``ffn_in`` ...) and the array and loops that execute them. The tokens pass in packs of
`pack_rows`; a stage handles one pack at a time (`Region.overlap`, sim.core.stage_tasks).

docs/design_file.md explains every key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hexit.hw_model.loops import MAX_SIZE
from hexit.quant.errors import ConfigError

Overlap = Literal["sequential", "packs", "streaming"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Hardware that executes some ops of the network, one after the other, on one pack of rows at a time.

    `array` and `loops` are names of the design's `arrays` and `loops`; the array executes the products, the loops run
    before or behind it in sequence, for every call. A stage without ops runs its loops once per pack; `includes` then
    names the ops that these loops execute together, and of any stage those that hide behind its own.
    `first_result_cycles`: cycles after which the next stage may begin, in regions that stream; `after`: stages
    whose results it takes, the one before where absent. `n_parallel_heads`: heads that are worked on side by side,
    each on hardware of its own. `heads`: stages of its own inside, through which the heads of a pack pass one after
    the other; then the stage has no ops beside those.
    """

    name: str
    ops: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    array: str | None = None
    loops: tuple[str, ...] = ()
    call_cycles: int = 0
    n_parallel_heads: int = 1
    first_result_cycles: int = 0
    after: tuple[str, ...] | None = None
    heads: Region | None = None

    @property
    def executed_ops(self) -> tuple[str, ...]:
        """The ops whose work is done here: its own, those included, those of the stages inside."""
        inside = () if self.heads is None else tuple(op for stage in self.heads.stages for op in stage.executed_ops)
        return (*self.ops, *self.includes, *inside)

    def __post_init__(self) -> None:
        """Reject negative times, and heads in a stage with ops of its own or in stages without."""
        for key in ("call_cycles", "first_result_cycles"):
            if not 0 <= getattr(self, key) <= MAX_SIZE:
                raise ConfigError(f"{self.name}.{key}", getattr(self, key), f"must be 0..{MAX_SIZE}", f"Try {key} = 0")
        if self.n_parallel_heads < 1:
            raise ConfigError(f"{self.name}.n_parallel_heads", self.n_parallel_heads, "must be at least 1", "Try 1")
        if self.heads is not None and (self.ops or self.array or self.loops):
            requirement = "must be empty in a stage with heads of its own"
            raise ConfigError(
                f"{self.name}.ops", self.ops, requirement, "Name ops, array and loops in the stages inside"
            )
        if self.heads is not None and not all(stage.ops and stage.heads is None for stage in self.heads.stages):
            raise ConfigError(f"{self.name}.heads", self.heads.name, "needs stages with ops", "Name the ops of each")


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Stages between two barriers.

    `overlap`: ``sequential`` stages take turns on all rows; ``packs`` pass from stage to stage, each stage on another
    pack; ``streaming`` also within a pack: a stage begins `first_result_cycles` after the one before and ends no
    sooner than it. `handshake_cycles`: between two packs of a stage. `fifo_packs`: packs that fit between two
    stages. `start_cycles`, once. `parallel_with_next`: the next region runs beside this one.
    """

    name: str
    stages: tuple[Stage, ...]
    overlap: Overlap = "sequential"
    pack_rows: int | None = None
    handshake_cycles: int = 0
    fifo_packs: int = 2
    start_cycles: int = 0
    parallel_with_next: bool = False

    def __post_init__(self) -> None:
        """Reject regions without stages and stages without names of their own."""
        names = [stage.name for stage in self.stages]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"{self.name}.stages", names, "must be stages with names of their own", "Name them")
        for key, least in (("pack_rows", 1), ("handshake_cycles", 0), ("fifo_packs", 1), ("start_cycles", 0)):
            value = getattr(self, key)
            if value is not None and not least <= value <= MAX_SIZE:
                requirement = f"must be {least}..{MAX_SIZE}"
                raise ConfigError(f"{self.name}.{key}", value, requirement, f"Try {key} = {least}")


def all_stages(regions: tuple[Region, ...]) -> tuple[Stage, ...]:
    """Return the stages of all regions, those inside others included."""
    outer = [stage for region in regions for stage in region.stages]
    inner = [stage for one in outer if one.heads is not None for stage in one.heads.stages]
    return (*outer, *inner)
