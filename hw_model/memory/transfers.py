"""Cycles of transfers from off-chip memory.

    transfer of n bytes    occupancy = ceil(n / bytes_per_cycle),  latency = occupancy + first-word latency
    gather of r rows       a transfer of r ROW ceil(row bytes / ROW) bytes

With a stated number of requests under way `transfer_cycles` counts the requests of the transfer.
"""

from __future__ import annotations

import math

from hexit.hw_model.memory.channel import BURST_BYTES, MemoryChannel, Requests
from hexit.hw_model.rounding import ceil_div
from hexit.hw_model.task_cycles import TaskCycles


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
