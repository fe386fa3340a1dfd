"""Cycles of one op on one pack of rows, by the arrays and loops of a design's stages.

calls = ceil(heads / parallel_heads)
calls (product cycles of the array, if the op is a product and the stage has one, + loops + call_cycles)
"""

from __future__ import annotations

from dataclasses import dataclass

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import ProductCycles, product_cycles
from hexit.hw_model.evidence import Product
from hexit.hw_model.loops import MAX_CYCLES
from hexit.hw_model.machine.loop_cycles import loop_bytes, loop_cycles
from hexit.hw_model.memory.channel import MemoryChannel
from hexit.hw_model.rounding import ceil_div
from hexit.hw_model.stages import Stage
from hexit.quant.errors import ConfigError
from hexit.quant.workload import MatMul, Op, Workload, op_macs, output_shape


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerOps:
    """What a call of the stages works on: ops by name, sizes that expressions may name, rows of the hidden state."""

    ops: dict[str, Op]
    sizes: dict[str, int]
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpCycles:
    """Cycles of one op on one pack of rows: `calls` times (product + loops + call cycles).

    `macs` and `n_bytes` (off-chip) are those of all heads, the ops that the stage includes counted to its first one.
    """

    op: str
    calls: int
    product: ProductCycles | None
    loops: int
    call_cycles: int
    macs: int
    n_bytes: int

    @property
    def total(self) -> int:
        """Cycles of all calls."""
        return self.calls * ((self.product.total if self.product else 0) + self.loops + self.call_cycles)


def network_ops(design: Accelerator, workload: Workload) -> LayerOps:
    """Return the ops of one layer of a network, with its sizes and the design's constants."""
    shape = workload.shape
    sizes = {
        "sequence": workload.sequence_length,
        "hidden": shape.hidden_size,
        "ffn": shape.ffn_size,
        "head_size": shape.head_size,
    }
    ops = {op.name: op for op in workload.layer}
    return LayerOps(ops=ops, sizes=sizes | design.constants, rows=workload.sequence_length)


def missing_products(design: Accelerator, workload: Workload) -> tuple[str, ...]:
    """Return the products of a layer that no stage of a design executes: none where it can run the network."""
    executed = {name for stage in design.stages for name in stage.executed_ops}
    return tuple(op.name for op in workload.layer if isinstance(op, MatMul) and op.name not in executed)


def product_ops(design: Accelerator, products: tuple[Product, ...]) -> LayerOps:
    """Return products that are no part of a network as ops; expressions may name the design's constants alone."""
    ops: dict[str, Op] = {
        p.name: MatMul(name=p.name, m=p.m, k=p.k, n=p.n, count=p.count, weights=False, inputs=("input", "input"))
        for p in products
    }
    return LayerOps(ops=ops, sizes=design.constants, rows=max(product.m for product in products))


def op_sizes(op: Op, rows: int) -> dict[str, int]:
    """Return what expressions may name: the op's own sizes on `rows` rows, and its number of heads."""
    count, _, columns = output_shape(op)
    sizes = {"rows": rows, "columns": columns, "heads": count}
    return sizes | {"m": rows, "k": op.k, "n": op.n} if isinstance(op, MatMul) else sizes


def op_cycles(
    design: Accelerator,
    stage: Stage,
    layer: LayerOps,
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
        rows = layer.rows if op is None else output_shape(op)[1]
    sizes = layer.sizes | ({"rows": rows} if op is None else op_sizes(op, rows))
    product = None
    count = 1 if op is None or one_head else output_shape(op)[0]
    if isinstance(op, MatMul) and stage.array is not None:
        # Equal products that are no heads go through one pipeline of folds, if nothing runs between them.
        together = count if design.products and not stage.loops and not stage.call_cycles else 1
        product, count = product_cycles(rows, op.k, op.n, design.stage_array(stage.array), together), count // together
    included = stage.includes if op is None or op.name == stage.ops[0] else ()
    worked = [*([] if op is None else [op]), *(layer.ops[name] for name in included)]
    n_heads = 1 if op is None else output_shape(op)[0]
    cycles = OpCycles(
        op=stage.name if op is None else op.name,
        calls=ceil_div(count, stage.n_parallel_heads),
        product=product,
        loops=sum(loop_cycles(design.loops, name, sizes, channel) for name in stage.loops),
        call_cycles=stage.call_cycles,
        macs=sum(op_macs(one) * rows // output_shape(one)[1] for one in worked),
        n_bytes=n_heads * sum(loop_bytes(design.loops, name, sizes) for name in stage.loops),
    )
    if cycles.total > MAX_CYCLES:
        raise ConfigError(stage.name, cycles.total, f"must be at most {MAX_CYCLES} cycles", "Correct its sizes")
    return cycles
