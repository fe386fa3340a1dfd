"""What the on-chip buffers hold: the weights that stay, the panels of those that are streamed, the live activations.

Weights of a group of ops (prologue, layer, exit heads) lie in the weight buffer for good if they fit, else every
use streams them in column panels, one per fold column, through `n_weight_buffers` panel buffers. The activation
buffer must hold the results that live at the worst op of a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

from hexit.hw_model.accelerator import Accelerator, layers_per_engine
from hexit.hw_model.rounding import ceil_div
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
    groups = (workload.layer, workload.exit, workload.prologue)
    quant = workload.quant
    shape = workload.shape
    shares = layers_per_engine(shape.n_layers, accelerator.n_engines, accelerator.engine_layers)
    ends = list(accumulate(shares, initial=0))  # every engine holds what its own layers use
    n_groups = max(len({shape.layer_group(i + 1) for i in range(*window)}) for window in pairwise(ends))
    stored = (n_groups, min(max(shares), workload.n_stored_heads), 1)
    sizes = [
        n * (group_weight_bytes(group, quant) + group_vector_bytes(group, quant))
        for n, group in zip(stored, groups, strict=True)
    ]
    panels = [max(panel for op in group for panel in (0, *streamed_panels(op, quant, accelerator))) for group in groups]
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


def streamed_panels(op: Op, quant: QuantConfig, accelerator: Accelerator) -> tuple[int, ...]:
    """Return the bytes of the panels in which a design streams an op's stored parameters, in order.

    Of a product every array gets a panel of its own columns; with input-stationary arrays, which go through all
    columns at once, a slice of its own `array_rows` inputs. An exit head's panels are a fold wide.
    """
    array = accelerator.array
    if not isinstance(op, MatMul):
        return parameter_panels(op, quant, array.fold_columns)
    if array.dataflow == "input_stationary":
        return parameter_panels(op, quant, op.n, array.rows * array.n_arrays)
    return parameter_panels(op, quant, array.fold_columns * array.n_arrays)


def parameter_panels(op: Op, quant: QuantConfig, panel_columns: int, slice_rows: int | None = None) -> tuple[int, ...]:
    """Return the bytes of the panels in which an op's stored parameters are streamed, in order.

    A product has one panel per `panel_columns` output columns (k weights and one bias each), or per `slice_rows` of
    its k inputs where that is given (the biases come with the last one), an exit head one per `panel_columns` outputs
    of its dense pass and of its classifier, a layer norm one. The panels of an op sum to its packed size exactly: a
    byte that two panels share counts to the later one.
    """
    match op:
        case MatMul(weights=True) if slice_rows is not None:
            heights = [min(slice_rows, op.k - first) for first in range(0, op.k, slice_rows)]
            sizes = [(height * op.n, 0) for height in heights[:-1]] + [(heights[-1] * op.n, op.n)]
        case MatMul(weights=True):
            sizes = _column_panels(op.k, op.n, panel_columns)
        case ExitHead():
            dense = _column_panels(op.hidden_size, op.hidden_size, panel_columns) if op.pooler else []
            sizes = dense + _column_panels(op.hidden_size, op.n_classes, panel_columns)
        case _ if n_vector_parameters(op):
            return (packed_bytes(n_vector_parameters(op), quant.bias_bits),)
        case _:
            return ()
    weights_so_far = accumulate((weights for weights, _ in sizes), initial=0)
    biases_so_far = accumulate((biases for _, biases in sizes), initial=0)
    ends = [
        packed_bytes(weights, quant.weight_bits) + packed_bytes(biases, quant.bias_bits)
        for weights, biases in zip(weights_so_far, biases_so_far, strict=True)
    ]
    return tuple(end - start for start, end in pairwise(ends))


def _column_panels(n_inputs: int, n_outputs: int, panel_columns: int) -> list[tuple[int, int]]:
    """Weights and biases of the panels of a matrix."""
    widths = (min(panel_columns, n_outputs - first) for first in range(0, n_outputs, panel_columns))
    return [(n_inputs * width, width) for width in widths]


LIVE_HEADS = 2  # matrices of one per-head op that exist at a time: the head in work and the one before it


def activation_bytes(workload: Workload, accelerator: Accelerator) -> int:
    """Return what the activation buffer must hold at the worst op: live results at activation_bits.

    A result lives from its op to its last reader; the hidden state that enters a group lives as long as it is
    read. GELU and sums write over their first input. Of a result that only per-head ops read, LIVE_HEADS heads
    exist at a time. With `interleave` every further resident sentence keeps its hidden state; with `share_weights`
    and weights that are streamed all of them are at the same op, so that each has its live results (those of per-head
    ops too, an upper bound: attention runs sentence by sentence). Accumulators in the array are not counted.
    """
    bits = workload.quant.activation_bits
    hidden = packed_bytes(workload.sequence_length * workload.shape.hidden_size, bits)
    n_residents = accelerator.n_interleaved
    placement = place_weights(workload, accelerator) if accelerator.share_weights else None
    needs = []
    for ops, input_bytes, streamed in (
        (workload.prologue, 0, placement is not None and placement.prologue_streamed),
        (workload.layer, hidden, placement is not None and placement.layer_streamed),
    ):
        n_working = n_residents if streamed else 1
        needs.append(n_working * _peak_bytes(ops, bits, input_bytes) + (n_residents - n_working) * hidden)
    return max(needs)


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
