"""What shipped designs ask of the two banks of the activation buffer, and what two ports a bank could cost.

    .venv/bin/python benchmarks/bank_use.py [DESIGN ...]

ALBERT-base, 8 bits, a layer of a lone sentence of 128 and of 32 tokens (`sim.analysis.bank_use`): pressure on the left
and on the right bank in attention and in the group of ops that is worst beside it, with one address for a bank and, in
parentheses, with a memory per lane that has its own; bounds of the layer's slow-down; 18 Kb block RAMs of both banks as
areas count them, and as memories per lane, where a matrix is written along rows and read along columns.
"""

from __future__ import annotations

import argparse

from hexit.hw_model.design_files import load_design
from hexit.hw_model.device import load_device
from hexit.hw_model.memory.channel import device_channel
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.config import QuantConfig
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import encoder_workload
from hexit.sim.analysis.bank_use import BankLoad, bank_use
from hexit.sim.core.compile import compile_program
from hexit.sim.core.lone_sentence import simulate_sentence

DESIGNS = ("default", "albert-base-zcu102", "albert-base-u280")
COLUMNS = ("left, attention", "left, other", "right, attention", "right, other", "at least", "own addresses", "at most")
DECISION = TaskCycles(occupancy_cycles=1, latency_cycles=2)  # two logits, one compare
LAYER = 2  # any but the first, whose weights nothing could hide


def pressure(load: BankLoad) -> str:
    """Return the pressure on a bank, and in parentheses that on a memory of one lane."""
    own = load.row_bank_pressure_fraction
    return f"{load.pressure_fraction:.2f}" + ("" if own is None else f" ({own:.2f})")


def row(name: str, n_tokens: int) -> str:
    """Return a line of the table."""
    design = load_design(name)
    workload = encoder_workload(ALBERT_BASE, QuantConfig(weight_bits=8, activation_bits=8), n_tokens)
    program = compile_program(workload, design, device_channel(design, load_device(design.device)), DECISION)
    use = bank_use(simulate_sentence(program), LAYER)
    if use is None:
        return f"| {name} | {n_tokens} | no banks |"
    attention = next(group for group in use.groups if "softmax" in group.ops)
    others = [group for group in use.groups if group is not attention]
    worst_left = max(others, key=lambda group: group.left.pressure_fraction)
    worst_right = max(others, key=lambda group: group.right.pressure_fraction)
    own = use.slowdown_at_least_row_banks
    cells = (
        *(name, str(n_tokens), f"{use.cycles:,}"),
        *(pressure(attention.left), f"{pressure(worst_left.left)} {worst_left.ops[0]}"),
        *(pressure(attention.right), f"{pressure(worst_right.right)} {worst_right.ops[0]}"),
        *(f"{use.slowdown_at_least:.3f}", "" if own is None else f"{own:.3f}", f"{use.slowdown_at_most:.3f}"),
        " + ".join(f"{bank.counted_bram18:,}" for bank in (use.left, use.right)),
        " + ".join(f"{bank.row_bank_bram18:,}" if bank.turned else "not turned" for bank in (use.left, use.right)),
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("designs", nargs="*", default=DESIGNS)
    names = ("design", "tokens", "cycles", *COLUMNS, "BRAM18 counted", "BRAM18, memory per lane")
    print(f"| {' | '.join(names)} |\n|{'---|' * len(names)}")
    for name in parser.parse_args().designs:
        for n_tokens in (128, 32):
            print(row(name, n_tokens), flush=True)


if __name__ == "__main__":
    main()
