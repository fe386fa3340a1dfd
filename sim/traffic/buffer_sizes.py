"""The buffers that a stream of exits needs on a spatial pipeline, from the simulation of that stream.

    reorder buffer       most results that wait at a time for those of earlier sentences, if results leave in order
    conditional buffer   most hidden states that wait at a time for the decision whether they go on
    FIFO                 least depth with which the stream takes as long as with FIFOs that are never full

A conditional buffer after Biggs, Bouganis, Constantinides, ATHEENA (FCCM 2023) does the last two at once: it holds what
is undecided, and evens out how many sentences come through. Here an engine keeps an undecided hidden state if the
design stalls, so there is at most one per engine; if it speculates, the state waits in the FIFO or is worked on.

Depth of the FIFO: more places never make any sentence later (sim.core.spatial), so the search halves the interval up to
the most places that were ever taken when there was no limit.

Not modelled: words and flags of the buffers' own control; depths that differ from FIFO to FIFO.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from hexit.hw_model.area.memory_blocks import bram18_blocks
from hexit.quant.arrays import Integers
from hexit.quant.errors import ConfigError
from hexit.quant.workload import Workload, packed_bytes
from hexit.sim.core.levels import Levels
from hexit.sim.core.spatial import SpatialResult, simulate_spatial


@dataclass(frozen=True, slots=True, kw_only=True)
class FifoPoint:
    """The same stream with one depth of all FIFOs."""

    fifo_sentences: int
    total_cycles: int
    sentences_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferSizes:
    """What a stream needs: numbers of results and of hidden states, bytes, 18 Kb block RAMs.

    `fifo_sentences` is the least depth that loses at most the accepted share against `points[-1]`, whose FIFOs are
    never full; `fifo_high_water` are the most hidden states in each FIFO then. `*_bytes` and `*_bram18` are
    those of one FIFO of that depth, and of all undecided hidden states.
    """

    reorder_results: int
    reorder_bytes: int
    hidden_state_bytes: int
    conditional_states: int
    conditional_bytes: int
    conditional_bram18: int
    fifo_sentences: int
    fifo_bytes: int
    fifo_bram18: int
    fifo_high_water: tuple[int, ...]
    points: tuple[FifoPoint, ...]


def size_buffers(stream: SpatialResult, arrival: Integers, *, loss_fraction: float = 0.0) -> BufferSizes:
    """Size the buffers for a stream, every sentence of which is admitted, that came in the cycles `arrival`.

    `loss_fraction`: share of the throughput that a shorter FIFO may cost. The reorder and conditional buffers are
    those of the design's own `fifo_sentences`, with which `stream` ran. Points of the table: 1, 2, 4, ... places, the
    size found, never full.
    """
    if not 0 <= loss_fraction < 1:
        raise ConfigError("loss_fraction", loss_fraction, "must be 0 or more and below 1", "Try 0.01")
    design = stream.costs[0].program.accelerator
    n = int(stream.exit_layer.size)

    def run(depth: int) -> SpatialResult:
        return simulate_spatial(
            stream.costs, stream.exit_layer, arrival, program_index=stream.program_index, fifo_sentences=depth
        )

    unlimited = run(n)
    deepest = int(unlimited.fifo_high_water.max(initial=1))
    simulated = {design.fifo_sentences: stream.total_cycles, deepest: unlimited.total_cycles}

    @cache
    def total_cycles(depth: int) -> int:
        return simulated[depth] if depth in simulated else run(depth).total_cycles

    enough = _least_depth(deepest, lambda depth: total_cycles(depth) * (1 - loss_fraction) <= unlimited.total_cycles)
    powers = [1 << power for power in range(enough.bit_length()) if 1 << power < enough]
    points = tuple(
        FifoPoint(
            fifo_sentences=depth,
            total_cycles=total_cycles(depth),
            sentences_per_s=n / total_cycles(depth) * design.clock_mhz * 1e6,
        )
        for depth in sorted({*powers, enough, deepest})
    )
    workload = max((costs.program.workload for costs in stream.costs), key=lambda load: load.sequence_length)
    state_bytes = hidden_state_bytes(workload)
    results, undecided = _highest(stream.reorder_level()), _highest(stream.undecided_level())
    return BufferSizes(
        reorder_results=results,
        reorder_bytes=packed_bytes(results, result_bits(workload)),
        hidden_state_bytes=state_bytes,
        conditional_states=undecided,
        conditional_bytes=undecided * state_bytes,
        conditional_bram18=_hidden_state_bram18(workload, undecided, design.array_columns),
        fifo_sentences=enough,
        fifo_bytes=enough * state_bytes,
        fifo_bram18=_hidden_state_bram18(workload, enough, design.array_columns),
        fifo_high_water=tuple(unlimited.fifo_high_water.tolist()),
        points=points,
    )


def _least_depth(deepest: int, holds: Callable[[int], bool]) -> int:
    """The least depth up to `deepest`, for which it holds, from which on it `holds`."""
    too_shallow, enough = 0, deepest
    while enough - too_shallow > 1:
        depth = (too_shallow + enough) // 2
        too_shallow, enough = (too_shallow, depth) if holds(depth) else (depth, enough)
    return enough


def hidden_state_bytes(workload: Workload) -> int:
    """Return the bytes of a sentence between two layers: rows x hidden size at activation_bits."""
    return packed_bytes(workload.sequence_length * workload.shape.hidden_size, workload.quant.activation_bits)


def result_bits(workload: Workload) -> int:
    """Return the bits of one result: the logits of all classes, and the number of the exit layer."""
    shape = workload.shape
    return shape.n_classes * workload.quant.logit_bits + (shape.n_layers - 1).bit_length()


def _hidden_state_bram18(workload: Workload, n_states: int, columns: int) -> int:
    """Block RAMs of hidden states that are written as the array makes them: `columns` values per cycle."""
    width_bits = columns * workload.quant.activation_bits
    depth = n_states * workload.sequence_length * -(-workload.shape.hidden_size // columns)
    return bram18_blocks(depth, width_bits)


def _highest(levels: Levels) -> int:
    return int(levels.level.max(initial=0))
