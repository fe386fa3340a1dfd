"""How much of an array's time is worth something: occupied, at its peak, and on tokens that are not padding.

    occupied = cycles in which the array works on folds / all cycles;   of stages: those in which a stage with arrays
               is busy, its loops included, each array counted as often as it has MACs
    peak     = MACs of the served sentences, as long as the hardware runs them / (MACs per cycle x all cycles)
    tokens   = the same of sentences of their own lengths / (MACs per cycle x all cycles)

so 1 >= occupied >= peak >= tokens: folds at an edge and what fills and drains an array lie between the first two,
padding between the others. MACs are those of embedding projection and layers, up to each sentence's exit; squashed work
counts in none of them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from hexit.quant.arrays import Integers
from hexit.quant.config import EncoderShape, QuantConfig
from hexit.quant.workload import encoder_workload
from hexit.sim.core.program import CALL, Program, Unit
from hexit.sim.core.stream import StreamResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayUse:
    """Fractions of the whole time, mean over the engines; `token_fraction` is None where lengths are not known."""

    occupied_fraction: float
    peak_fraction: float
    token_fraction: float | None


def array_use(programs: tuple[Program, ...], result: StreamResult, n_tokens: Integers | None) -> ArrayUse | None:
    """Return how the arrays of a stream of these programs were used; `n_tokens` [n_sentences] without padding.

    None where loop nests of stages make all products.
    """
    workload, accelerator = programs[0].workload, programs[0].accelerator
    lengths = np.array([program.workload.sequence_length for program in programs])[result.program_index]
    if accelerator.n_macs == 0:
        return None
    possible = accelerator.n_macs * accelerator.n_engines * result.total_cycles
    with_prologue = bool(workload.prologue)

    def share(tokens: Integers) -> float:
        served = result.served
        macs = _macs(workload.shape, workload.quant, tokens[served], result.exit_layer[served], with_prologue)
        return macs / possible

    return ArrayUse(
        occupied_fraction=_occupied(programs[0], result),
        peak_fraction=share(lengths),
        token_fraction=None if n_tokens is None else share(np.minimum(n_tokens, lengths)),
    )


def _occupied(program: Program, result: StreamResult) -> float:
    accelerator, busy = program.accelerator, result.utilisation_fraction
    if not accelerator.regions:
        return float(busy[Unit.ARRAY])
    stages = [stage for region in accelerator.regions for stage in region.stages]
    macs = [sum(array.n_macs for array in accelerator.arrays_of_stage(stage)) for stage in stages]
    return float(busy[CALL + 1 :][: len(stages)] @ np.array(macs) / accelerator.n_macs)


def _macs(shape: EncoderShape, quant: QuantConfig, tokens: Integers, exit_layer: Integers, with_prologue: bool) -> int:
    """MACs of sentences of `tokens` [n] that run `exit_layer` [n] layers, `with_prologue` the embedding's too."""
    n_sentences, total = np.bincount(tokens), 0
    n_layers = np.bincount(tokens, weights=exit_layer)  # float64: exact below 2^53
    for length in np.flatnonzero(n_sentences).tolist():
        prologue, layer = _macs_of_length(shape, quant, length)
        total += int(n_sentences[length]) * prologue * with_prologue + int(n_layers[length]) * layer
    return total


@functools.lru_cache(maxsize=1024)
def _macs_of_length(shape: EncoderShape, quant: QuantConfig, length: int) -> tuple[int, int]:
    workload = encoder_workload(shape, quant, length)
    return workload.prologue_macs, workload.layer_macs
