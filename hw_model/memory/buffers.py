"""What the on-chip buffers hold: the weights that stay, the panels of those that are streamed, the live activations.

Weights of a group of ops (prologue, layer, exit heads) lie in the weight buffer for good if they fit, else every
use streams them in column panels, one per fold column, through `n_weight_buffers` panel buffers. The activation
buffer must hold the results that live at the worst op of a sentence.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from hexit.hw_model.accelerator import Accelerator, layers_per_engine
from hexit.hw_model.array import SystolicArray
from hexit.hw_model.rounding import ceil_div
from hexit.quant.arrays import Integers
from hexit.quant.config import QuantConfig
from hexit.quant.errors import DoesNotFit
from hexit.quant.workload import (
    GROUP_INPUT,
    Add,
    ExitHead,
    Gelu,
    MatMul,
    Op,
    Workload,
    group_vector_bytes,
    group_weight_bytes,
    n_vector_parameters,
    output_shape,
    packed_bytes,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightPlacement:
    """Which weights stay in the weight buffer, and what the rest needs of it.

    `*_streamed`: every use of the group loads its weights, biases and norm parameters. `resident_bytes` are
    loaded once, before the first sentence; `panel_bytes` is the largest panel that is streamed.
    """

    prologue_streamed: bool
    layer_streamed: bool
    exit_streamed: bool
    resident_bytes: int
    panel_bytes: int


def place_weights(workload: Workload, accelerator: Accelerator) -> WeightPlacement:
    """Decide which groups stay on chip: the layers first (they carry most traffic), then exits, then the prologue.

    A group stays if it fits next to the panel buffers of the groups that do not. `weight_placement` ``on_chip``
    demands that everything stays, ``streamed`` that nothing does. Raises DoesNotFit where the weight buffer is
    too small for that, or for the panels.
    """
    shape = workload.shape
    shares = layers_per_engine(shape.n_layers, accelerator.n_engines, accelerator.engine_layers)
    ends = list(accumulate(shares, initial=0))  # every engine holds what its own layers use
    n_groups = max(len({shape.layer_group(i + 1) for i in range(*window)}) for window in pairwise(ends))
    stored = (n_groups, min(max(shares), workload.n_stored_heads), 1)
    sizes = [n * size for n, size in zip(stored, _stored_bytes(workload), strict=True)]
    panels = _largest_panels(workload, panel_shape(accelerator.array))
    capacity = accelerator.weight_buffer_kib * 1024
    choices = {
        "on_chip": [(True, True, True)],
        "streamed": [(False, False, False)],
        "auto": [(layer, head, first) for layer in (True, False) for head in (True, False) for first in (True, False)],
    }[accelerator.weight_placement]
    for kept in choices:
        resident = sum(size for size, keep in zip(sizes, kept, strict=True) if keep)
        panel = max((panel for panel, keep in zip(panels, kept, strict=True) if not keep), default=0)
        if resident + accelerator.n_weight_buffers * panel <= capacity:
            return WeightPlacement(
                layer_streamed=not kept[0],
                exit_streamed=not kept[1],
                prologue_streamed=not kept[2],
                resident_bytes=resident,
                panel_bytes=panel,
            )
    needed_kib = ceil_div(resident + accelerator.n_weight_buffers * panel, 1024)
    levers = (
        "weight_placement = auto, lower --bits"
        if accelerator.weight_placement == "on_chip"
        else "fewer n_weight_buffers, fewer array_columns, lower --bits"
    )
    raise DoesNotFit(
        f"weight_buffer_kib {needed_kib} needed, {accelerator.weight_buffer_kib} in design {accelerator.name}"
        f" ({needed_kib / accelerator.weight_buffer_kib:.1f}x). Try {levers}, or a larger weight_buffer_kib."
    )


def _placed_groups(workload: Workload) -> tuple[tuple[Op, ...], ...]:
    return workload.layer, workload.exit, workload.prologue


@functools.lru_cache(maxsize=256)  # the same for every design
def _stored_bytes(workload: Workload) -> tuple[int, ...]:
    """Bytes of the parameters of one layer, one exit and the prologue."""
    groups, quant = _placed_groups(workload), workload.quant
    return tuple(group_weight_bytes(group, quant) + group_vector_bytes(group, quant) for group in groups)


@functools.lru_cache(maxsize=256)  # the same for every design with such panels
def _largest_panels(workload: Workload, shape: PanelShape) -> tuple[int, ...]:
    """Bytes of the largest panel of one layer, one exit and the prologue."""
    panels = ([streamed_panels(op, workload.quant, shape) for op in group] for group in _placed_groups(workload))
    return tuple(max((size for op in group for size in op), default=0) for group in panels)


class PanelShape(NamedTuple):
    """Columns of a panel of a product and of an exit head; with `slice_rows` products have slices of so many inputs."""

    product_columns: int
    head_columns: int
    slice_rows: int | None


def panel_shape(array: SystolicArray) -> PanelShape:
    """Return the panels in which weights are streamed to arrays.

    Of a product every array gets a panel of its own columns; with input-stationary arrays, which go through all
    columns at once, a slice of its own `array_rows` inputs. An exit head's panels are a fold wide.
    """
    return PanelShape(
        product_columns=array.fold_columns * array.n_arrays,
        head_columns=array.fold_columns,
        slice_rows=array.rows * array.n_arrays if array.dataflow == "input_stationary" else None,
    )


def streamed_panels(op: Op, quant: QuantConfig, shape: PanelShape) -> tuple[int, ...]:
    """Return the bytes of the panels in which an op's stored parameters are streamed, in order."""
    if isinstance(op, MatMul):
        return parameter_panels(op, quant, shape.product_columns, shape.slice_rows)
    return parameter_panels(op, quant, shape.head_columns)


def parameter_panels(op: Op, quant: QuantConfig, panel_columns: int, slice_rows: int | None = None) -> tuple[int, ...]:
    """Return the bytes of the panels in which an op's stored parameters are streamed, in order.

    A product has one panel per `panel_columns` output columns (k weights and one bias each), or per `slice_rows` of
    its k inputs where that is given (the biases come with the last one), an exit head one per `panel_columns` outputs
    of its dense pass and of its classifier, a layer norm one. The panels of an op sum to its packed size exactly: a
    byte that two panels share counts to the later one.
    """
    match op:
        case MatMul(weights=True) if slice_rows is not None:
            return _slices(op.k, op.n, slice_rows, quant.weight_bits, quant.bias_bits)
        case MatMul(weights=True):
            return _column_panels(op.k, (op.n,), panel_columns, quant.weight_bits, quant.bias_bits)
        case ExitHead():
            outputs = (op.hidden_size,) * op.pooler + (op.n_classes,)
            return _column_panels(op.hidden_size, outputs, panel_columns, quant.weight_bits, quant.bias_bits)
        case _ if n_vector_parameters(op):
            return (packed_bytes(n_vector_parameters(op), quant.bias_bits),)
        case _:
            return ()


@functools.lru_cache(maxsize=1024)  # the same for every op with such a matrix
def _column_panels(
    n_inputs: int, n_outputs: tuple[int, ...], panel_columns: int, weight_bits: int, bias_bits: int
) -> tuple[int, ...]:
    """Bytes of the panels of matrices behind each other, with a bias for every column."""
    ends, before = [0], 0
    for n in n_outputs:
        ends += [*range(before + panel_columns, before + n, panel_columns), before + n]
        before += n
    end = np.array(ends, np.int64)
    return _between(packed_bytes(n_inputs * end, weight_bits) + packed_bytes(end, bias_bits))


@functools.lru_cache(maxsize=1024)  # the same for every op with such a matrix
def _slices(n_inputs: int, n_outputs: int, slice_rows: int, weight_bits: int, bias_bits: int) -> tuple[int, ...]:
    """Bytes of the slices of a matrix, the last one with a bias for every column."""
    end = np.append(np.arange(0, n_inputs, slice_rows), n_inputs)
    biases = np.where(end == n_inputs, n_outputs, 0)
    return _between(packed_bytes(end * n_outputs, weight_bits) + packed_bytes(biases, bias_bits))


def _between(ends: Integers) -> tuple[int, ...]:
    return tuple(np.diff(ends).tolist())


LIVE_HEADS = 2  # matrices of one per-head op that exist at a time: the head in work and the one before it


def activation_bytes(workload: Workload, accelerator: Accelerator) -> int:
    """Return what the activation buffer must hold at the worst op: live results at activation_bits.

    A result lives from its op to its last reader; the hidden state that enters a group lives as long as it is
    read. GELU and sums write over their first input. Of a result that only per-head ops read, LIVE_HEADS heads
    exist at a time. With `interleave` every further resident sentence keeps its hidden state; with `share_weights`
    and weights that are streamed all of them are at the same op, so that each has its live results (those of per-head
    ops too, an upper bound: attention runs sentence by sentence). Accumulators in the array are not counted.
    """
    n_residents, hidden = accelerator.n_interleaved, _hidden_bytes(workload)
    placement = place_weights(workload, accelerator) if accelerator.share_weights else None
    streamed = (False, False) if placement is None else (placement.prologue_streamed, placement.layer_streamed)
    n_working = [n_residents if is_streamed else 1 for is_streamed in streamed]
    peaks = zip(n_working, _working_bytes(workload), strict=True)
    return max(n * peak + (n_residents - n) * hidden for n, peak in peaks)


def _hidden_bytes(workload: Workload) -> int:
    return packed_bytes(workload.sequence_length * workload.shape.hidden_size, workload.quant.activation_bits)


@functools.lru_cache(maxsize=256)  # the same for every design
def _working_bytes(workload: Workload) -> tuple[int, int]:
    """Bytes of the live results of one sentence at the worst op of the prologue, and of a layer."""
    bits = workload.quant.activation_bits
    prologue = _peak_bytes(workload.prologue, bits, 0) if workload.prologue else 0
    return prologue, _peak_bytes(workload.layer, bits, _hidden_bytes(workload))


def _peak_bytes(ops: tuple[Op, ...], bits: int, input_bytes: int) -> int:
    per_head = [output_shape(op)[0] > 1 for op in ops]
    steps = [0]  # a run of per-head ops is one step: its heads overlap, so all of its results live together
    for before, now in pairwise(per_head):
        steps.append(steps[-1] + (not (before and now)))
    last_use = {ops[-1].name: steps[-1] + 1} | {
        source: step for step, op in zip(steps, ops, strict=True) for source in op.inputs
    }
    live = {GROUP_INPUT: input_bytes}
    peak = input_bytes
    for index, (step, op) in enumerate(zip(steps, ops, strict=True)):
        if isinstance(op, Gelu | Add) and last_use[op.inputs[0]] == step:
            del live[op.inputs[0]]
        count, rows, columns = output_shape(op)
        readers = [output_shape(reader)[0] for reader in ops if op.name in reader.inputs]
        kept_heads = min(count, LIVE_HEADS) if readers and min(readers) > 1 else count
        live[op.name] = packed_bytes(kept_heads * rows * columns, bits)
        peak = max(peak, sum(live.values()))
        if index + 1 == len(ops) or steps[index + 1] > step:
            live = {name: size for name, size in live.items() if last_use.get(name, -1) > step}
    return peak


def check_activations(workload: Workload, accelerator: Accelerator) -> None:
    """Raise DoesNotFit if the live activations exceed the activation buffer."""
    needed_kib = ceil_div(activation_bytes(workload, accelerator), 1024)
    if needed_kib > accelerator.activation_buffer_kib:
        raise DoesNotFit(
            f"activation_buffer_kib {needed_kib} needed, {accelerator.activation_buffer_kib} in design "
            f"{accelerator.name} ({needed_kib / accelerator.activation_buffer_kib:.1f}x). "
            f"Try a shorter --seq-len than {workload.sequence_length}, lower --bits, "
            f"{'a smaller --batch, ' * accelerator.share_weights}or a larger activation_buffer_kib."
        )
