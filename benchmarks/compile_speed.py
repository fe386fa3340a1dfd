"""Designs per second on one core: a network is compiled for a design, and a sentence runs through all of its layers.

    .venv/bin/python benchmarks/compile_speed.py [--designs N]

The shape of the shipped network at its default length, by the Python calls `compile_program` and `lone_sentence`, and
with `check_design` in front as a run has it (exit unit, area, fit, clock). No two designs have arrays of the same
size. Everything that is remembered is forgotten before every round, so that no round finds what the one before has
compiled; "shared" are the groups of tasks that a design has in common with an earlier one of its round. Beside them the
straightforward compiler (`tests/support/oracles_compile.py`), which is how programs were compiled before, on the same
designs, everything forgotten before each of them. Its programs must be equal, entry by entry, else the status is 1.
Designs are made before the clock starts. Processor time, the best of several rounds.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hexit.hw_model.accelerator import Accelerator, ExitOverlap
from hexit.hw_model.design_files import load_design
from hexit.hw_model.device import load_device
from hexit.hw_model.memory.channel import device_channel
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.config import QuantConfig
from hexit.quant.errors import DoesNotFit
from hexit.quant.exits.rules import parse_rule
from hexit.quant.hub import DEFAULT_MODEL
from hexit.quant.traces.store import Store, cache_folder, silent
from hexit.quant.workload import encoder_workload
from hexit.sim.core.compile import compile_program, shared_group
from hexit.sim.core.lone_sentence import lone_sentence
from hexit.sim.core.program import Program
from hexit.sim.job.design import check_design
from hexit.sim.job.resolve import DEFAULT_LENGTH, default_rule
from hexit.sim.job.setup import Setup

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from support.oracles_compile import assert_same_tasks, naive_program

N_DESIGNS = 400
N_ROUNDS = 5
SEED = 0
DEVICE = load_device("zcu102")
BASE = load_design("default")
DECISION = TaskCycles(occupancy_cycles=1, latency_cycles=3)  # of most exit units


def remembering() -> list[Any]:
    """Return every function of the packages that remembers what it returned for earlier arguments.

    Tables that are read from a file once have no arguments, and stay.
    """
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("hexit.")]
    found = [value for module in modules for value in vars(module).values() if hasattr(value, "cache_clear")]
    found.append(inspect.getattr_static(Accelerator, "array").fget)
    return [function for function in found if inspect.signature(function).parameters]


REMEMBERING = remembering()


def forget() -> None:
    """Forget everything that was remembered of earlier designs."""
    for function in REMEMBERING:
        function.cache_clear()


def default_setup() -> Setup:
    """Return the shipped network on the default design."""
    shape = Store(folder=cache_folder(None), progress=silent).card(str(DEFAULT_MODEL)).shape
    return Setup(
        shape=shape,
        quant=QuantConfig.uniform(8),
        rule=default_rule(shape, None),
        design=BASE,
        device=DEVICE,
        sequence_length=DEFAULT_LENGTH,
        seed=SEED,
    )


def different_designs(setup: Setup, n: int) -> list[Setup]:
    """Return designs that fit, no two with arrays of the same size, which differ in everything else as well."""
    random = np.random.default_rng(SEED)
    sizes = [(rows, columns) for rows in range(16, 49) for columns in range(16, 49)]
    found: list[Setup] = []
    for index in random.permutation(len(sizes)).tolist():
        rows, columns = sizes[index]
        lanes: dict[str, Any] = {
            key: int(random.choice([8, 12, 16, 24, 32, 48]))
            for key in ("softmax_lanes", "layer_norm_lanes", "gelu_lanes", "add_lanes", "head_lanes")
        }
        design = replace(
            BASE,
            array_rows=rows,
            array_columns=columns,
            clock_mhz=float(random.integers(100, 301)),
            n_weight_buffers=int(random.integers(2, 5)),
            weight_buffer_kib=int(random.integers(1024, 1793)),
            memory_latency_ns=float(random.integers(50, 400)),
            memory_outstanding=int(random.integers(1, 9)),
            requantisation_lanes=int(random.choice([16, 32, 64])),
            **lanes,
        )
        candidate = replace(setup, design=design, quant=QuantConfig.uniform(int(random.choice([4, 8]))))
        try:
            check_design(candidate)
        except DoesNotFit:
            continue
        found.append(candidate)
        if len(found) == n:
            return found
    raise SystemExit(f"only {len(found)} of these designs fit: ask for fewer --designs")


def other_clocks_and_exits(setup: Setup, n: int) -> list[Setup]:
    """Return designs that differ in clock, in the rule that decides and in what the next layer does meanwhile."""
    rules = [parse_rule("entropy", threshold / 10) for threshold in range(1, 6)] + [parse_rule("hardware", None)]
    found = []
    for index in range(n):
        overlap: ExitOverlap = "stall" if index % 2 else "speculate"
        design = replace(BASE, clock_mhz=100 + 150 * index / n, exit_overlap=overlap)
        found.append(replace(setup, rule=rules[index % len(rules)], design=design))
    return found


def compiled(setup: Setup, compiler: Callable[..., Program] = compile_program) -> Program:
    """Return the program of a design whose exit unit decides in DECISION cycles."""
    workload = encoder_workload(setup.shape, setup.quant, setup.sequence_length)
    return compiler(workload, setup.design, device_channel(setup.design, setup.device), DECISION)


def fastest(run: Callable[[Setup], object], setups: Sequence[Setup], *, each_anew: bool = False) -> tuple[float, int]:
    """Return the processor time per design of the fastest round, and the groups that were shared in a round.

    `each_anew`: everything is forgotten before each design, outside of the measured time, in one round.
    """
    best_s, n_shared = float("inf"), 0
    for _ in range(1 if each_anew else N_ROUNDS):
        forget()
        total_s = 0.0
        for setup in setups:
            if each_anew:
                forget()
            start_s = time.process_time()
            run(setup)
            total_s += time.process_time() - start_s
        best_s, n_shared = min(best_s, total_s / len(setups)), shared_group.cache_info().hits
    return best_s, n_shared


def differing(setups: Sequence[Setup]) -> int:
    """Return how many programs are not those of the straightforward compiler."""
    n = 0
    for setup in setups:
        try:
            for ours, theirs in zip(compiled(setup).groups, compiled(setup, naive_program).groups, strict=True):
                assert_same_tasks(ours, theirs)
        except AssertionError as error:
            n += 1
            print(f"{setup.design}: {error}")
    return n


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--designs", type=int, default=N_DESIGNS)
    setup, n_designs = default_setup(), parser.parse_args().designs
    different, alike = different_designs(setup, n_designs), other_clocks_and_exits(setup, n_designs)
    shape = setup.shape
    print(
        f"{shape.n_layers} layers of {shape.hidden_size}, {setup.sequence_length} tokens;"
        f" {sum(group.n_tasks for group in compiled(setup).groups)} tasks on the default design; {n_designs} designs"
    )
    rows: list[tuple[str, Callable[[Setup], object], list[Setup], bool]] = [
        ("before: compile", lambda one: compiled(one, naive_program), different, True),
        ("before: compile, run", lambda one: lone_sentence(compiled(one, naive_program)), different, True),
        ("all different: compile", compiled, different, False),
        ("all different: compile, run", lambda one: lone_sentence(compiled(one)), different, False),
        ("all different: check, compile, run", lambda one: lone_sentence(check_design(one).program), different, False),
        ("other clock, rule, exits: compile, run", lambda one: lone_sentence(compiled(one)), alike, False),
        ("... check, compile, run", lambda one: lone_sentence(check_design(one).program), alike, False),
    ]
    compiled(setup)
    for name, run, setups, each_anew in rows:
        each_s, n_shared = fastest(run, setups, each_anew=each_anew)
        shared = f"{n_shared} of {3 * len(setups)} groups shared"
        print(f"{name:40s}{1000 * each_s:8.3f} ms {1 / each_s:8.0f} designs/s   {shared}")
    n_wrong = differing([*different, *alike])
    print(f"programs that are not the straightforward compiler's: {n_wrong} of {2 * n_designs}")
    raise SystemExit(1 if n_wrong else 0)


if __name__ == "__main__":
    main()
