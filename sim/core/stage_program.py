"""The program of a network on a design with stages: calls of the layer, the exit behind each, nothing in front.

Embeddings come from the host, as in every published accelerator here. The exit head takes the whole hidden state when
the call has returned, the decision comes behind it, both on units of their own:

    stall        the next call waits for the decision
    speculate    the next call begins when this one has returned
    interleave   another sentence's call does

Not modelled: an exit head that pools packs as they come; layers that share weights, which are streamed again.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.device import Device
from hexit.hw_model.machine.op_cycles import missing_products
from hexit.hw_model.memory.buffers import WeightPlacement
from hexit.hw_model.memory.channel import MemoryChannel
from hexit.hw_model.task_cycles import TaskCycles
from hexit.hw_model.vector import dense_outputs, exit_head_cycles, pooling_cycles
from hexit.quant.errors import ConfigError
from hexit.quant.workload import ExitHead, MatMul, Workload, group_vector_bytes, group_weight_bytes
from hexit.sim.core.program import CALL, GATE, NONE, Program, TaskProgram, Unit
from hexit.sim.core.stage_cycles import compile_layer, weights_are_streamed


def compile_stage_program(
    workload: Workload,
    accelerator: Accelerator,
    channel: MemoryChannel,
    decision: TaskCycles,
    head: TaskCycles | None = None,
    device: Device | None = None,
) -> Program:
    """Compile a network for a design with stages; arguments as sim.core.compile.compile_program has them.

    Raises ConfigError where the stages run no network, or not all of its products.
    """
    _check_stages(workload, accelerator)
    streamed = weights_are_streamed(accelerator, workload, device)
    layer = compile_layer(accelerator, workload, channel, streamed=streamed).program.tasks
    head_op = next(op for op in workload.exit if isinstance(op, ExitHead))
    pooling = pooling_cycles(head_op, accelerator)
    return Program(
        workload=replace(workload, prologue=()),
        accelerator=accelerator,
        channel=channel,
        placement=_placement(workload, accelerator, streamed),
        prologue=_control_program(layer.n_units),
        layer=layer,
        exit=_exit_program(
            workload,
            head_op.hidden_size * sum(dense_outputs(head_op)),
            exit_head_cycles(head_op, accelerator) if head is None else _behind(pooling, head),
            decision,
            layer.n_units,
        ),
    )


def check_network(accelerator: Accelerator) -> None:
    """Raise ConfigError for a design of products of its own, which runs no network."""
    if accelerator.products:
        names = ", ".join(product.name for product in accelerator.products)
        remedy = f"Try hexit validate {accelerator.name}"
        raise ConfigError("design.products", names, "run alone, in no network", remedy)


def _check_stages(workload: Workload, accelerator: Accelerator) -> None:
    """Raise ConfigError for designs of products of their own, and for products of a layer that no stage executes."""
    check_network(accelerator)
    missing = missing_products(accelerator, workload)
    if missing:
        requirement = f"execute no {', '.join(missing)}"
        names = ", ".join(region.name for region in accelerator.regions)
        raise ConfigError("design.regions", names, requirement, "Name every product of a layer in ops or includes")
    for op in workload.layer:
        if isinstance(op, MatMul):
            _check_widths(op, workload, accelerator)


def _check_widths(op: MatMul, workload: Workload, accelerator: Accelerator) -> None:
    """Raise ConfigError where the positions of an op's array are narrower than its operands."""
    array = next((stage.array for stage in accelerator.stages if op.name in stage.ops), None)
    quant = workload.quant
    right = quant.weight_bits if op.weights else quant.activation_bits
    widest = accelerator.array_bits.get(array or "", (quant.activation_bits, right))
    if quant.activation_bits > widest[0] or right > widest[1]:
        raise ConfigError(
            f"design.array_bits.{array}",
            f"{widest[0]} x {widest[1]}",
            f"is narrower than {quant.activation_bits} x {right} bits of {op.name}",
            f"Try --activation-bits {widest[0]} --weight-bits {widest[1]}",
        )


def _behind(first: TaskCycles, second: TaskCycles) -> TaskCycles:
    return TaskCycles(
        occupancy_cycles=first.occupancy_cycles + second.occupancy_cycles,
        latency_cycles=first.latency_cycles + second.latency_cycles,
    )


def _placement(workload: Workload, accelerator: Accelerator, streamed: bool) -> WeightPlacement:
    """Layer weights are streamed by a transfer per call, or by loops that move bytes; the head's are its own."""
    streamed = streamed or any(loop.off_chip_bytes for loop in accelerator.loops.values())
    quant = workload.quant
    kept = [(workload.n_stored_heads, workload.exit)] + [(workload.n_stored_layers, workload.layer)] * (not streamed)
    return WeightPlacement(
        prologue_streamed=False,
        layer_streamed=streamed,
        exit_streamed=False,
        resident_bytes=sum(n * (group_weight_bytes(ops, quant) + group_vector_bytes(ops, quant)) for n, ops in kept),
        panel_bytes=0,
    )


def _control_program(n_units: int) -> TaskProgram:
    """A task of no cycles that waits for the gate: the hidden state comes from the host."""
    return _tasks(("input",), [CALL], [TaskCycles(occupancy_cycles=0, latency_cycles=0)], [0], [[GATE]], n_units)


def _exit_program(workload: Workload, macs: int, head: TaskCycles, decision: TaskCycles, n_units: int) -> TaskProgram:
    """The head of so many MACs on the whole hidden state (port 1), and the decision behind it."""
    units = [int(Unit.HEAD), int(Unit.DECISION)]
    dependencies = [[GATE, 1], [_N_PORTS]]
    names = tuple(op.name for op in workload.exit)
    return replace(_tasks(names, units, [head, decision], [macs, 0], dependencies, n_units), decision=_N_PORTS + 1)


_N_PORTS = 2  # the gate and the hidden state


def _tasks(
    op_names: tuple[str, ...],
    units: list[int],
    cycles: list[TaskCycles],
    macs: list[int],
    dependencies: list[list[int]],
    n_units: int,
) -> TaskProgram:
    """A program of one task per op, which hands the hidden state on."""
    nothing = np.zeros(len(units), np.int64)
    return TaskProgram(
        op_names=op_names,
        n_blocks=1,
        n_ports=_N_PORTS,
        unit=np.array(units),
        occupancy_cycles=np.array([one.occupancy_cycles for one in cycles]),
        latency_cycles=np.array([one.latency_cycles for one in cycles]),
        first_dependency=np.cumsum([0, *(len(one) for one in dependencies)]),
        dependency=np.array([number for one in dependencies for number in one]),
        exports=np.array([1]),
        decision=NONE,
        op=np.arange(len(units)),
        head=nothing,
        panel=nothing,
        block=nothing,
        macs=np.array(macs),
        n_bytes=nothing,
        n_units=n_units,
    )
