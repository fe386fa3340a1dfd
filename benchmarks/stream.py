"""How fast streams are: a million Poisson sentences with exits through a 12-layer ALBERT-base, and the engine's tasks.

    .venv/bin/python benchmarks/stream.py

Prints, for the design albert-base-zcu102 at 128 tokens: the time of the whole stream, from the design file to the
percentiles, in a fresh process with an empty and with a filled cache of compiled code; its figures; the time of the
same sentences interleaved, two and four of them resident, and sharing weights (as well of sixty lengths, in a closed
loop); the first sentences side by side with the plain heap
simulator beside this file, which must give the same cycles; and the tasks per second of both on one core. The exits are
made up: a histogram such as published entropy thresholds give, with a mean near layer 5. Ends with status 1 where any
cycle differs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
from heap_simulator import HeapSimulator

from hexit.hw_model.design_files import load_design
from hexit.hw_model.device import load_device
from hexit.hw_model.memory.channel import device_channel
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.arrays import Integers
from hexit.quant.config import QuantConfig
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import encoder_workload
from hexit.sim.core.compile import compile_program
from hexit.sim.core.lone_sentence import lone_sentence
from hexit.sim.core.program import Program, Unit
from hexit.sim.core.recurrence import flatten, run_tasks
from hexit.sim.core.shared_stream import share_rounds
from hexit.sim.core.stream import StreamResult, run_slots, simulate_stream
from hexit.sim.traffic.arrivals import PoissonArrivals, arrival_cycles

DESIGN = "albert-base-zcu102"
N_TOKENS = 128
N_SENTENCES = 1_000_000
N_BESIDE = 300  # sentences that the heap simulator runs as well
EXIT_SHARES = (0.02, 0.08, 0.18, 0.22, 0.17, 0.11, 0.07, 0.05, 0.04, 0.03, 0.02, 0.01)  # by layer
LOAD = 0.9  # of the capacity
SEED = 0
ONCE = "--once"


def albert_base(n_tokens: int = N_TOKENS) -> Program:
    """Return ALBERT-base at 8 bits, compiled for the design."""
    design = load_design(DESIGN)
    channel = device_channel(design, load_device(design.device))
    workload = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), n_tokens)
    return compile_program(workload, design, channel, TaskCycles(occupancy_cycles=1, latency_cycles=2))


def poisson_stream(program: Program) -> tuple[Integers, Integers]:
    """Return exit layers and arrival cycles of the stream."""
    leaves = np.random.default_rng(SEED).choice(np.arange(1, 13), N_SENTENCES, p=EXIT_SHARES)
    clock_mhz = program.accelerator.clock_mhz
    mean_us = float(np.dot(lone_sentence(program).table.latency_cycles, EXIT_SHARES)) / clock_mhz
    arrivals = arrival_cycles(PoissonArrivals(rate_per_s=LOAD / mean_us * 1e6), N_SENTENCES, clock_mhz, SEED)
    assert arrivals is not None
    return leaves, arrivals


def figures(result: StreamResult, clock_mhz: float) -> dict[str, float]:
    """Return what a reader of the stream asks for, milliseconds and sentences per second."""
    latencies_ms = result.latency_cycles / clock_mhz / 1000
    return {
        "throughput_per_s": result.n_served / (result.total_cycles / clock_mhz) * 1e6,
        "array_fraction": float(result.utilisation_fraction[Unit.ARRAY]),
        "mean_ms": float(latencies_ms.mean()),
        **{f"p{q:g}_ms": float(np.percentile(latencies_ms, q)) for q in (50, 95, 99, 99.9)},
    }


def whole_stream() -> dict[str, float]:
    """Compile, draw and simulate the stream, and return its figures."""
    program = albert_base()
    return figures(simulate_stream([lone_sentence(program)], *poisson_stream(program)), program.accelerator.clock_mhz)


def seconds(action: Callable[[], object], repeats: int) -> float:
    """Return the shortest of several runs."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return min(times)


def tasks_per_second(program: Program) -> float:
    """Return the tasks per second of `run_tasks` over one layer of the program, warm."""
    flat, layer, n_layers = flatten([program.layer]), program.layer, 1000
    ports, free = np.zeros(layer.n_ports, np.int64), np.zeros(len(Unit), np.int64)
    start, ready = np.empty(layer.n_tasks, np.int64), np.empty(layer.n_ports + layer.n_tasks, np.int64)

    def layers() -> None:
        for _ in range(n_layers):
            run_tasks(flat, 0, ports, free, start, ready)

    return n_layers * layer.n_tasks / seconds(layers, 5)


def print_processes() -> None:
    """Print the time of the stream in processes of their own, and its figures."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        words = [sys.executable, __file__, ONCE]
        cold_s, warm_s = (seconds(lambda: subprocess.run(words, env=environment, check=True), 1) for _ in range(2))
    print(f"{N_SENTENCES:,} Poisson sentences at {100 * LOAD:.0f} % of the capacity, ALBERT-base on {DESIGN}")
    print(f"  process, nothing compiled before: {cold_s:.2f} s; compiled before: {warm_s:.2f} s (imports included)")
    print("  " + ", ".join(f"{name} {value:.4g}" for name, value in whole_stream().items()))


def print_interleaved() -> None:
    """Print how long a million sentences take that share the engine in turns."""
    program = albert_base()
    leaves, arrivals = poisson_stream(program)
    for n_slots in (2, 4):
        run_slots([program], leaves[:10], arrivals[:10], n_slots)  # compiles
        spent_s = seconds(lambda n_slots=n_slots: run_slots([program], leaves, arrivals, n_slots), 1)  # type: ignore[misc]
        n_turns = int(leaves.sum())
        print(f"  interleaved, {n_slots} resident: {spent_s:.2f} s, {n_turns / spent_s / 1e6:.2f} million turns/s")


def print_shared() -> None:
    """Print how long a million sentences take that share weights, of one length and of sixty."""
    leaves, arrivals = poisson_stream(albert_base())
    ragged = [albert_base(n_tokens) for n_tokens in range(4, 64)]
    index = np.random.default_rng(SEED).integers(0, len(ragged), N_SENTENCES)
    for programs, which, when in (([albert_base()], np.zeros_like(leaves), arrivals), (ragged, index, 0 * arrivals)):
        for n_slots in (2, 4, 16):
            given = programs, leaves, when, n_slots
            share_rounds(programs, leaves[:10], when[:10], n_slots)  # compiles
            spent_s = seconds(lambda given=given, which=which: share_rounds(*given, program_index=which), 1)  # type: ignore[misc]
            print(f"  sharing weights, {len(programs)} lengths, {n_slots} resident: {spent_s:.2f} s")


def print_beside_the_heap() -> int:
    """Print how long both simulators take for the same sentences, and return how many of these differ."""
    program = albert_base()
    all_leaves, all_arrivals = poisson_stream(program)
    leaves, arrivals = all_leaves[:N_BESIDE], all_arrivals[:N_BESIDE]
    heap = HeapSimulator(program, leaves.tolist(), arrivals.tolist())
    heap_s = seconds(heap.run, 1)
    result = simulate_stream([lone_sentence(program)], leaves, arrivals)
    start, finish, _ = run_slots([program], leaves, arrivals, 1)
    same = (result.start_cycle == heap.start) & (result.finish_cycle == heap.finish)
    same &= (start == heap.start) & (finish == heap.finish)
    own_s = seconds(lambda: simulate_stream([lone_sentence(program)], leaves, arrivals), 5)
    slots_s = seconds(lambda: run_slots([program], leaves, arrivals, 1), 5)
    million_s = seconds(lambda: simulate_stream([lone_sentence(program)], all_leaves, all_arrivals), 3)
    print(f"{N_BESIDE} sentences, {heap.n_tasks:,} tasks, in all three: {N_BESIDE - same.sum()} differ")
    print(f"  heap                      {heap_s:8.3f} s  {heap.n_tasks / heap_s / 1e6:8.3f} million tasks/s")
    print(
        f"  turns, alike ones once    {slots_s:8.4f} s  {heap.n_tasks / slots_s / 1e6:8.3f} million tasks/s", end="  "
    )
    print(f"{heap_s / slots_s:10,.0f} times")
    print(f"  stream, tasks run once    {own_s:8.5f} s  {'':24}  {heap_s / own_s:10,.0f} times")
    scaled_s = heap_s / N_BESIDE * N_SENTENCES
    print(f"  {N_SENTENCES:,}: heap {scaled_s:,.0f} s (scaled), stream {million_s:.3f} s", end="  ")
    print(f"{scaled_s / million_s:,.0f} times")
    rate = tasks_per_second(program)
    print(
        f"engine over one layer of {program.layer.n_tasks} tasks, one core, warm: {rate / 1e6:.0f} million tasks/s",
        end=", ",
    )
    print(f"{rate / (heap.n_tasks / heap_s):,.0f} times the heap")
    return int(N_BESIDE - same.sum())


if __name__ == "__main__":
    if ONCE in sys.argv:
        whole_stream()
    else:
        print_processes()
        print_interleaved()
        print_shared()
        sys.exit(1 if print_beside_the_heap() else 0)
