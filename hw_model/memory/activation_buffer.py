"""What the activation buffer must hold: the results that live at the worst op of a sentence."""

from __future__ import annotations

from itertools import pairwise

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.rounding import ceil_div
from hexit.quant.errors import DoesNotFit
from hexit.quant.workload import GROUP_INPUT, Add, Gelu, Op, Workload, output_shape, packed_bytes

LIVE_HEADS = 2  # matrices of one per-head op that exist at a time: the head in work and the one before it


def activation_bytes(workload: Workload, accelerator: Accelerator) -> int:
    """Return what the activation buffer must hold at the worst op: live results at activation_bits.

    A result lives from its op to its last reader; the hidden state that enters a group lives as long as it is
    read. GELU and sums write over their first input. Of a result that only per-head ops read, LIVE_HEADS heads
    exist at a time. With `interleave` every further resident sentence keeps its hidden state. Accumulators in the
    array are not counted.
    """
    bits = workload.quant.activation_bits
    hidden = packed_bytes(workload.sequence_length * workload.shape.hidden_size, bits)
    groups = (workload.prologue, workload.layer)
    working = max(_peak_bytes(ops, bits, hidden if ops is workload.layer else 0) for ops in groups)
    return working + (accelerator.n_interleaved - 1) * hidden


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
            f"Try a shorter --seq-len than {workload.sequence_length}, lower --bits, or a larger activation_buffer_kib."
        )
