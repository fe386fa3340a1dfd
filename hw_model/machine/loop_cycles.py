"""Cycles of a loop nest and the bytes that it moves over off-chip memory, for the sizes at hand."""

from __future__ import annotations

from collections.abc import Mapping

from hexit.hw_model.loops import MAX_CYCLES, Loop, Sizes, size_of
from hexit.hw_model.memory.channel import MemoryChannel, transfer_cycles
from hexit.quant.errors import ConfigError


def loop_cycles(loops: Mapping[str, Loop], name: str, sizes: Sizes, channel: MemoryChannel | None = None) -> int:
    """Return the cycles of a loop with its nest; without a channel off-chip memory never makes it wait."""
    loop = loops[name]
    trips = size_of(loop.trips, sizes, f"loops.{name}.trips")
    if loop.initiation_interval:
        cycles = (trips - 1) * loop.initiation_interval + loop.depth_cycles if trips else 0
    else:
        inner = [loop_cycles(loops, part, sizes, channel) for part in loop.body]
        cycles = trips * ((max(inner, default=0) if loop.parallel else sum(inner)) + loop.depth_cycles)
    if channel is not None:
        n_bytes = size_of(loop.off_chip_bytes, sizes, f"loops.{name}.off_chip_bytes")
        cycles = max(cycles, transfer_cycles(n_bytes, channel).latency_cycles)
    cycles += loop.extra_cycles
    if cycles > MAX_CYCLES:
        raise ConfigError(f"loops.{name}", cycles, f"must be at most {MAX_CYCLES} cycles", "Correct its trips")
    return cycles


def loop_bytes(loops: Mapping[str, Loop], name: str, sizes: Sizes) -> int:
    """Return the off-chip bytes of a loop: those that it states, else its trips times those of its body."""
    loop = loops[name]
    own = size_of(loop.off_chip_bytes, sizes, f"loops.{name}.off_chip_bytes")
    if own or not loop.body:
        return own
    return size_of(loop.trips, sizes, f"loops.{name}.trips") * sum(loop_bytes(loops, part, sizes) for part in loop.body)
