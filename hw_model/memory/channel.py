"""Off-chip memory as a design sees it: sustained bytes per clock cycle, cycles to the first word, cycles of transfers.

    data_bytes_per_cycle = min(bandwidth channels / all channels efficiency / clock,  width of their ports)
    bytes_per_cycle      = min(data_bytes_per_cycle,  outstanding burst / (latency + burst / data_bytes_per_cycle))

    transfer of n bytes    occupancy = ceil(n / bytes_per_cycle),  latency = occupancy + first-word latency
    gather of r rows       a transfer of r ROW ceil(row bytes / ROW) bytes

The second bound on the bandwidth is Little's law: each request under way holds a place for the latency and for its
data. Without a stated number of requests they are issued ahead, and the first-word latency delays a result but not
the next transfer; with one `transfer_cycles` counts the requests of the transfer. Data are spread evenly over the
channels that the design uses.

Not modelled: refresh and bank conflicts beyond the efficiency, the write channel (all activations stay on chip),
channels of their own for several masters, the crossing between HBM pseudo-channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.device import Device
from hexit.hw_model.rounding import ceil_div
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.errors import ConfigError

BURST_BYTES = 64  # bytes; DDR4 burst of 8 beats on a 64-bit bus (JEDEC JESD79-4), and one 512-bit AXI beat
AXI_BURST_LIMIT_BYTES = 4096  # bytes; an AXI4 burst stays within a 4 KiB page (ARM IHI 0022)

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
        all_ports_bits=None if device.memory_ports is None else device.memory_ports * (device.memory_port_bits or 0),
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


def memory_channel(
    accelerator: Accelerator,
    bandwidth_gb_s: float,
    latency_ns: float,
    *,
    n_channels: int = 1,
    channel_bits: int = 64,
    all_ports_bits: int | None = None,
) -> MemoryChannel:
    """Return the channel of a design on a part whose `n_channels` channels have this peak bandwidth together.

        bytes_per_cycle = min(bandwidth used / n_channels efficiency 1000 / clock_mhz,      memory
                              used port_bits / 8,                                           port
                              used outstanding burst / (latency + burst cycles))            outstanding requests

    `bandwidth_gb_s` in 10^9 bytes per second; a burst of L beats of W bytes takes L cycles behind a port of W
    bytes, longer where the memory is slower. A key of the design that is absent does not limit; a beat without
    `memory_port_bits` is a channel's data width, a burst without `memory_burst_beats` BURST_BYTES. The design's own
    memory_latency_ns goes before the part's; no design gets more than `all_ports_bits` a cycle, the width of all ports
    of the part. Raises ConfigError for more channels than there are and for bursts
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
    port = math.inf if all_ports_bits is None else all_ports_bits * (used / n_channels) / 8
    if accelerator.memory_port_bits is not None:
        port = min(port, used * accelerator.memory_port_bits / 8)
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


def _burst_bytes(accelerator: Accelerator, channel_bits: int) -> int:
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


def transfer_cycles(n_bytes: int, channel: MemoryChannel) -> TaskCycles:
    """Return the cycles of one contiguous transfer: ceil(bytes / bytes_per_cycle), plus the first-word latency.

    With requests the transfer is N = ceil(n / B) bursts, the last one as short as what is left, of which O are under
    way; with q = (N - 1) // O rounds of waiting and the rate r inside a burst

        occupancy = ceil(max(n / r, (N latency + n / r) / O))
        latency   = latency + ceil(max(n / r, q latency + (n - q (O - 1) B) / r))

    The latency is exact for bursts that come back in order, each asked for when the O-th before it is there.

    >>> one_byte_port = Requests(burst_bytes=16, n_outstanding=1, data_bytes_per_cycle=1.0)
    >>> rate = one_byte_port.bytes_per_cycle(15)
    >>> channel = MemoryChannel(bytes_per_cycle=rate, latency_cycles=15, requests=one_byte_port)
    >>> transfer_cycles(16, channel).latency_cycles
    31
    """
    if channel.requests is None:
        occupancy = math.ceil(n_bytes / channel.bytes_per_cycle)
        return TaskCycles(occupancy_cycles=occupancy, latency_cycles=occupancy + channel.latency_cycles)
    burst_bytes = channel.requests.burst_bytes
    return _cycles_of_requests(n_bytes, ceil_div(n_bytes, burst_bytes), burst_bytes, channel, channel.requests)


def gather_cycles(n_rows: int, row_bytes: int, channel: MemoryChannel) -> TaskCycles:
    """Return the cycles of reading scattered rows, each in whole bursts of BURST_BYTES and with requests of its own."""
    whole_row_bytes = BURST_BYTES * ceil_div(row_bytes, BURST_BYTES)
    n_bytes = n_rows * whole_row_bytes
    if channel.requests is None or n_bytes == 0:
        return transfer_cycles(n_bytes, channel)
    n_requests = n_rows * ceil_div(whole_row_bytes, channel.requests.burst_bytes)
    return _cycles_of_requests(n_bytes, n_requests, n_bytes / n_requests, channel, channel.requests)


def _cycles_of_requests(
    n_bytes: int, n_requests: int, request_bytes: float, channel: MemoryChannel, requests: Requests
) -> TaskCycles:
    latency, rate, n_outstanding = channel.latency_cycles, requests.data_bytes_per_cycle, requests.n_outstanding
    occupancy = max(n_bytes / rate, (n_requests * latency + n_bytes / rate) / n_outstanding)
    rounds = max(0, n_requests - 1) // n_outstanding
    hidden_bytes = rounds * (n_outstanding - 1) * request_bytes  # flow while the next round's first request waits
    last_word = max(n_bytes / rate, rounds * latency + (n_bytes - hidden_bytes) / rate)
    occupancy_cycles = math.ceil(occupancy)
    # With one request under way the two are equal, and rounding may put the second below the first.
    return TaskCycles(
        occupancy_cycles=occupancy_cycles, latency_cycles=max(occupancy_cycles, latency + math.ceil(last_word))
    )
