"""Off-chip transfers, what the weight buffer holds, and what the activation buffer must hold.

    data_bytes_per_cycle = min(bandwidth channels / all channels efficiency / clock,  channels port width)
    bytes_per_cycle      = min(data_bytes_per_cycle,  outstanding burst / (latency + burst / data_bytes_per_cycle))
    transfer of n bytes:   occupancy = ceil(n / bytes_per_cycle),  latency = occupancy + first-word latency
    gather of r rows:      a transfer of r ROW ceil(row bytes / ROW) bytes

The second bound on the bandwidth is Little's law: each request under way holds a place for the latency and for its
data. Without a stated number of requests they are issued ahead, and the first-word latency delays a result but not
the next transfer; with one, `transfer_cost` counts the requests of the transfer. Data are spread evenly over the
channels that the design uses.

Weights of a group of ops (prologue, layer, exit heads) lie in the weight buffer for good if they fit, else every
use streams them in column panels, one per fold column, through `n_weight_buffers` panel buffers.
Not modelled: refresh and bank conflicts beyond the efficiency, the write channel (all activations stay on chip),
channels of their own for several masters, the crossing between HBM pseudo-channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Literal, Protocol

from hexit.hw_model.accelerator import Accelerator, UnitCost
from hexit.hw_model.array import ceil_div
from hexit.hw_model.device import Device
from hexit.hw_model.engines import layers_per_engine
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError, DoesNotFit
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

BURST_BYTES = 64  # bytes; DDR4 burst of 8 beats on a 64-bit bus (JEDEC JESD79-4), and one 512-bit AXI beat
AXI_BURST_LIMIT_BYTES = 4096  # bytes; an AXI4 burst stays within a 4 KiB page (ARM IHI 0022)
LIVE_HEADS = 2  # matrices of one per-head op that exist at a time: the head in work and the one before it

Limit = Literal["memory", "port", "outstanding requests"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """How transfers are cut into requests, all channels in step.

    `burst_bytes` is one burst on every port together, `n_outstanding` the bursts that each port has under way,
    `data_bytes_per_cycle` the rate at which the data of a burst flow.
    """

    burst_bytes: int
    n_outstanding: int
    data_bytes_per_cycle: float

    def __post_init__(self) -> None:
        """Reject requests that carry nothing."""
        if not (self.burst_bytes >= 1 and self.n_outstanding >= 1 and 0 < self.data_bytes_per_cycle < math.inf):
            raise ConfigError(
                "memory.requests",
                f"{self.n_outstanding} x {self.burst_bytes} bytes at {self.data_bytes_per_cycle} bytes per cycle",
                "must be at least one byte each, at a finite rate",
                "Correct the bursts",
            )

    def bytes_per_cycle(self, latency_cycles: int) -> float:
        """Return the sustained rate min(r, O B / (latency + B / r)) of O bursts of B bytes that flow at rate r."""
        burst_cycles = self.burst_bytes / self.data_bytes_per_cycle
        if latency_cycles <= (self.n_outstanding - 1) * burst_cycles:  # the others' data fill the wait
            return self.data_bytes_per_cycle
        return self.n_outstanding * self.burst_bytes / (latency_cycles + burst_cycles)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryChannel:
    """The off-chip memory as the design sees it: sustained bytes per clock cycle, and cycles to the first word.

    `limit` says what bounds the sustained rate. Without `requests` these are issued as far ahead as it takes.
    """

    bytes_per_cycle: float
    latency_cycles: int
    limit: Limit = "memory"
    requests: Requests | None = None

    def __post_init__(self) -> None:
        """Reject channels that never deliver, or at another rate than their requests allow."""
        if not (self.bytes_per_cycle > 0 and self.latency_cycles >= 0):
            raise ConfigError(
                "memory.bytes_per_cycle",
                self.bytes_per_cycle,
                f"must be positive, with a latency of at least 0 cycles (it is {self.latency_cycles})",
                "Correct the part's memory",
            )
        if self.requests is not None:
            sustained = self.requests.bytes_per_cycle(self.latency_cycles)
            if self.bytes_per_cycle != sustained:
                raise ConfigError(
                    "memory.bytes_per_cycle",
                    self.bytes_per_cycle,
                    f"must be the {sustained} that the requests sustain",
                    "Build the channel with memory_channel",
                )


UNLIMITED = MemoryChannel(bytes_per_cycle=math.inf, latency_cycles=0)


def device_channel(accelerator: Accelerator, device: Device) -> MemoryChannel:
    """Return the channel of a design on a part; see `memory_channel`."""
    return memory_channel(
        accelerator,
        device.memory_bandwidth_gb_s,
        device.memory_latency_ns,
        n_channels=device.memory_channels,
        channel_bits=device.memory_channel_bits,
    )


def engine_channel(channel: MemoryChannel, n_engines: int) -> MemoryChannel:
    """Return one engine's share of a channel: an equal part of its rate and, where they count, of its requests.

    Raises ConfigError where an engine would have no request under way. Not modelled: bursts of one engine in another's
    idle time.
    """
    if channel.requests is None:
        return replace(channel, bytes_per_cycle=channel.bytes_per_cycle / n_engines)
    if channel.requests.n_outstanding < n_engines:
        raise ConfigError(
            "design.memory_outstanding",
            channel.requests.n_outstanding,
            f"must be at least {n_engines}, one for each of n_engines",
            f"Try memory_outstanding = {n_engines}",
        )
    requests = replace(
        channel.requests,
        n_outstanding=channel.requests.n_outstanding // n_engines,
        data_bytes_per_cycle=channel.requests.data_bytes_per_cycle / n_engines,
    )
    return replace(channel, bytes_per_cycle=requests.bytes_per_cycle(channel.latency_cycles), requests=requests)


class MemoryUser(Protocol):
    """Whatever asks the memory: a design, or a machine's description; the keys of `Accelerator` with these names."""

    @property
    def clock_mhz(self) -> float:
        """Clock of the design."""

    @property
    def memory_efficiency_fraction(self) -> float:
        """Share of the peak bandwidth that is reached."""

    @property
    def memory_latency_ns(self) -> float | None:
        """First-word latency, the part's own where None."""

    @property
    def memory_channels(self) -> int | None:
        """Channels of the part in use, all where None."""

    @property
    def memory_port_bits(self) -> int | None:
        """Data width of each channel's port, no limit where None."""

    @property
    def memory_burst_beats(self) -> int | None:
        """Beats of a burst."""

    @property
    def memory_outstanding(self) -> int | None:
        """Requests under way at a port, no limit where None."""


def memory_channel(
    accelerator: MemoryUser,
    bandwidth_gb_s: float,
    latency_ns: float,
    *,
    n_channels: int = 1,
    channel_bits: int = 64,
) -> MemoryChannel:
    """Return the channel of a design on a part whose `n_channels` channels have this peak bandwidth together.

        bytes_per_cycle = min(bandwidth used / n_channels efficiency 1000 / clock_mhz,      memory
                              used port_bits / 8,                                           port
                              used outstanding burst / (latency + burst cycles))            outstanding requests

    `bandwidth_gb_s` in 10^9 bytes per second; a burst of L beats of W bytes takes L cycles behind a port of W
    bytes, longer where the memory is slower. A key of the design that is absent does not limit; a beat without
    `memory_port_bits` is a channel's data width, a burst without `memory_burst_beats` BURST_BYTES. The design's own
    memory_latency_ns goes before the part's. Raises ConfigError for more channels than there are and for bursts
    beyond AXI4's limit. Source: Little's law, with the burst's own cycles counted as time under way.
    """
    used = n_channels if accelerator.memory_channels is None else accelerator.memory_channels
    if used > n_channels:
        raise ConfigError(
            "design.memory_channels", used, f"must be at most the part's {n_channels}", "Leave it out to use them all"
        )
    if accelerator.memory_latency_ns is not None:
        latency_ns = accelerator.memory_latency_ns
    latency_cycles = math.ceil(latency_ns * accelerator.clock_mhz / 1000)
    peak_gb_s = bandwidth_gb_s * (used / n_channels)
    memory = peak_gb_s * accelerator.memory_efficiency_fraction * 1000 / accelerator.clock_mhz
    port = math.inf if accelerator.memory_port_bits is None else used * accelerator.memory_port_bits / 8
    rate = min(memory, port)
    limit: Limit = "memory" if memory <= port else "port"
    burst_bytes = _burst_bytes(accelerator, channel_bits)
    if accelerator.memory_outstanding is None:
        return MemoryChannel(bytes_per_cycle=rate, latency_cycles=latency_cycles, limit=limit)
    requests = Requests(
        burst_bytes=used * burst_bytes, n_outstanding=accelerator.memory_outstanding, data_bytes_per_cycle=rate
    )
    sustained = requests.bytes_per_cycle(latency_cycles)
    return MemoryChannel(
        bytes_per_cycle=sustained,
        latency_cycles=latency_cycles,
        limit="outstanding requests" if sustained < rate else limit,
        requests=requests,
    )


def _burst_bytes(accelerator: MemoryUser, channel_bits: int) -> int:
    """Bytes of one burst on one port."""
    if accelerator.memory_burst_beats is None:
        return BURST_BYTES
    beat_bytes = ceil_div(accelerator.memory_port_bits or channel_bits, 8)
    burst_bytes = accelerator.memory_burst_beats * beat_bytes
    if burst_bytes > AXI_BURST_LIMIT_BYTES:
        raise ConfigError(
            "design.memory_burst_beats",
            accelerator.memory_burst_beats,
            f"makes bursts of {burst_bytes} bytes, AXI4 allows {AXI_BURST_LIMIT_BYTES}",
            f"Try memory_burst_beats = {AXI_BURST_LIMIT_BYTES // beat_bytes}",
        )
    return burst_bytes


def transfer_cost(n_bytes: int, channel: MemoryChannel) -> UnitCost:
    """Return the cost of one contiguous transfer: ceil(bytes / bytes_per_cycle), plus the first-word latency.

    With requests the transfer is N = ceil(n / B) bursts, the last one as short as what is left, of which O are under
    way; with q = (N - 1) // O rounds of waiting and the rate r inside a burst

        occupancy = ceil(max(n / r, (N latency + n / r) / O))
        latency   = latency + ceil(max(n / r, q latency + (n - q (O - 1) B) / r))

    The latency is exact for bursts that come back in order, each asked for when the O-th before it is there.
    """
    if channel.requests is None:
        occupancy = math.ceil(n_bytes / channel.bytes_per_cycle)
        return UnitCost(occupancy_cycles=occupancy, latency_cycles=occupancy + channel.latency_cycles)
    burst_bytes = channel.requests.burst_bytes
    return _cost_of_requests(n_bytes, ceil_div(n_bytes, burst_bytes), burst_bytes, channel, channel.requests)


def gather_cost(n_rows: int, row_bytes: int, channel: MemoryChannel) -> UnitCost:
    """Return the cost of reading scattered rows, each in whole bursts of BURST_BYTES and with requests of its own."""
    whole_row_bytes = BURST_BYTES * ceil_div(row_bytes, BURST_BYTES)
    n_bytes = n_rows * whole_row_bytes
    if channel.requests is None or n_bytes == 0:
        return transfer_cost(n_bytes, channel)
    n_requests = n_rows * ceil_div(whole_row_bytes, channel.requests.burst_bytes)
    return _cost_of_requests(n_bytes, n_requests, n_bytes / n_requests, channel, channel.requests)


def _cost_of_requests(
    n_bytes: int, n_requests: int, request_bytes: float, channel: MemoryChannel, requests: Requests
) -> UnitCost:
    latency, rate, n_outstanding = channel.latency_cycles, requests.data_bytes_per_cycle, requests.n_outstanding
    occupancy = max(n_bytes / rate, (n_requests * latency + n_bytes / rate) / n_outstanding)
    rounds = max(0, n_requests - 1) // n_outstanding
    hidden_bytes = rounds * (n_outstanding - 1) * request_bytes  # flow while the next round's first request waits
    last_word = max(n_bytes / rate, rounds * latency + (n_bytes - hidden_bytes) / rate)
    occupancy_cycles = math.ceil(occupancy)
    # With one request under way the two are equal, and rounding may put the second below the first.
    return UnitCost(
        occupancy_cycles=occupancy_cycles, latency_cycles=max(occupancy_cycles, latency + math.ceil(last_word))
    )


def copy_cycles(n_bytes: int, channel: MemoryChannel) -> int:
    """Return the cycles of a copy with nothing else under way, from its first request to its last byte.

    >>> one_byte_port = Requests(burst_bytes=16, n_outstanding=1, data_bytes_per_cycle=1.0)
    >>> rate = one_byte_port.bytes_per_cycle(15)
    >>> copy_cycles(16, MemoryChannel(bytes_per_cycle=rate, latency_cycles=15, requests=one_byte_port))
    31
    """
    return transfer_cost(n_bytes, channel).latency_cycles


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
    n_panel_buffers: int

    @property
    def buffer_bytes(self) -> int:
        """Bytes of the weight buffer in use: residents and panel buffers."""
        return self.resident_bytes + self.n_panel_buffers * self.panel_bytes


def place_weights(workload: Workload, accelerator: Accelerator) -> WeightPlacement:
    """Decide which groups stay on chip: the layers first (they carry most traffic), then exits, then the prologue.

    A group stays if it fits next to the panel buffers of the groups that do not. `weight_placement` ``on_chip``
    demands that everything stays, ``streamed`` that nothing does. Raises DoesNotFit where the weight buffer is
    too small for that, or for the panels.
    """
    groups = (workload.layer, workload.exit, workload.prologue)
    quant = workload.quant
    shares = layers_per_engine(workload.shape.n_layers, accelerator.n_engines, accelerator.engine_layers)
    share = max(shares)  # every engine holds its own layers
    stored = (min(share, workload.n_stored_layers), min(share, workload.n_stored_heads), 1)
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
                n_panel_buffers=accelerator.n_weight_buffers if panel else 0,
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


def activation_bytes(workload: Workload, accelerator: Accelerator) -> int:
    """Return what the activation buffer must hold at the worst op: live results at activation_bits.

    A result lives from its op to its last reader; the hidden state that enters a group lives as long as it is
    read. GELU and sums write over their first input. Of a result that only per-head ops read, LIVE_HEADS heads
    exist at a time. With `interleave` every
    further resident sentence keeps its hidden state. Accumulators in the array are not counted.
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
