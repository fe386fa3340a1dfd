"""Cycles of one op of a machine on one pack of rows, by the machine's arrays and loops.

calls = ceil(heads / parallel_heads)
calls (product cycles of the array, if the op is a product and the stage has one, + loops + call_cycles)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hexit.hw_model.array import ProductCycles, product_cycles
from hexit.hw_model.machine.description import Machine, Stage
from hexit.hw_model.machine.loops import MAX_CYCLES, loop_cycles
from hexit.hw_model.memory.channel import MemoryChannel, memory_channel
from hexit.hw_model.rounding import ceil_div
from hexit.quant.errors import ConfigError
from hexit.quant.workload import MatMul, Op, output_shape


@dataclass(frozen=True, slots=True, kw_only=True)
class OpCycles:
    """Cycles of one op on one pack of rows: `calls` times (product + loops + call cycles)."""

    op: str
    calls: int
    product: ProductCycles | None
    loops: int
    call_cycles: int

    @property
    def total(self) -> int:
        """Cycles of all calls."""
        return self.calls * ((self.product.total if self.product else 0) + self.loops + self.call_cycles)


def machine_channel(machine: Machine) -> MemoryChannel | None:
    """Return the off-chip memory as the machine sees it, None where it is not described."""
    memory = machine.memory
    if memory is None:
        return None
    user = replace(memory, clock_mhz=machine.clock_mhz)
    n_channels = memory.memory_channels or 1
    return memory_channel(user, memory.bandwidth_gb_s, memory.memory_latency_ns, n_channels=n_channels)


def machine_ops(machine: Machine) -> dict[str, Op]:
    """Return the ops that a machine's stages may name: those of its own products, else of one layer."""
    if machine.products:
        return {
            p.name: MatMul(name=p.name, m=p.m, k=p.k, n=p.n, count=p.count, weights=False, inputs=("input", "input"))
            for p in machine.products
        }
    return {op.name: op for op in machine.network.ops()}


def machine_sizes(machine: Machine) -> dict[str, int]:
    """Return what every expression may name: the network's sizes (not with products of its own), and the constants."""
    if machine.products:
        return machine.constants
    shape = machine.network.encoder()
    sizes = {
        "sequence": machine.network.sequence_length,
        "hidden": shape.hidden_size,
        "ffn": shape.ffn_size,
        "head_size": shape.head_size,
    }
    return sizes | machine.constants


def op_sizes(op: Op, rows: int) -> dict[str, int]:
    """Return what expressions may name: the op's own sizes on `rows` rows, and its number of heads."""
    count, _, columns = output_shape(op)
    sizes = {"rows": rows, "columns": columns, "heads": count}
    return sizes | {"m": rows, "k": op.k, "n": op.n} if isinstance(op, MatMul) else sizes


def op_cycles(
    machine: Machine,
    stage: Stage,
    op: Op | None,
    rows: int | None = None,
    channel: MemoryChannel | None = None,
    *,
    one_head: bool = False,
) -> OpCycles:
    """Return the cycles of one op (of the stage itself: None) on `rows` rows, all without, of all its heads or of one.

    Without a channel off-chip memory never makes it wait.
    """
    if rows is None:
        rows = machine.network.sequence_length if op is None else output_shape(op)[1]
    sizes = machine_sizes(machine) | ({"rows": rows} if op is None else op_sizes(op, rows))
    product = None
    if isinstance(op, MatMul) and stage.array is not None:
        product = product_cycles(rows, op.k, op.n, machine.timed_array(stage.array))
    count = 1 if op is None or one_head else output_shape(op)[0]
    cycles = OpCycles(
        op=stage.name if op is None else op.name,
        calls=ceil_div(count, stage.n_parallel_heads),
        product=product,
        loops=sum(loop_cycles(machine.loops, name, sizes, channel) for name in stage.loops),
        call_cycles=stage.call_cycles,
    )
    if cycles.total > MAX_CYCLES:
        raise ConfigError(stage.name, cycles.total, f"must be at most {MAX_CYCLES} cycles", "Correct its sizes")
    return cycles
