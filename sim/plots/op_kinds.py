"""The kinds of ops as pictures colour them, and the legend of these colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hexit.quant.workload import Add, Embed, ExitDecision, ExitHead, Gelu, LayerNorm, MatMul, Op, Softmax
from hexit.sim.core.program import Program
from hexit.sim.plots.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, YELLOW, legend_below

MOVES = "data movement"  # of stages without ops
KIND_COLOURS = {
    "product with weights": BLUE,
    "attention product": SKY,
    "softmax": VERMILION,
    "layer norm": PURPLE,
    "GELU": ORANGE,
    "residual add": YELLOW,
    "embedding": "#999999",
    MOVES: "#999999",
    "exit head": GREEN,
    "exit decision": BLACK,
}


def program_kinds(program: Program) -> dict[str, str]:
    """Return the kind of every op of a program by its name; a stage is of the kind of its first op."""
    prologue = {op.name: _kind(op) for op in program.workload.prologue}
    names = (*program.prologue.op_names, *program.layer.op_names, *program.exit.op_names)
    ops = dict(zip((*program.layer.op_names, *program.exit.op_names), program.ops_by_name, strict=True))
    kinds = {name: _kind(ops[name][0]) if ops.get(name) else MOVES for name in names}
    return kinds | prologue


def _kind(op: Op) -> str:
    match op:
        case MatMul(weights=weights):
            return "product with weights" if weights else "attention product"
        case Softmax():
            return "softmax"
        case LayerNorm():
            return "layer norm"
        case Gelu():
            return "GELU"
        case Add():
            return "residual add"
        case Embed():
            return "embedding"
        case ExitHead():
            return "exit head"
        case ExitDecision():
            return "exit decision"
        case _:
            assert_never(op)


def kind_legend(figure: Figure, used: set[str], extra: Sequence[Any] = ()) -> None:
    """Put a legend of the kinds in sight under a figure, with `extra` entries behind them."""
    handles = [Patch(facecolor=colour, label=kind) for kind, colour in KIND_COLOURS.items() if kind in used]
    legend_below(figure, [*handles, *extra], most_columns=6)


def ink(kind: str) -> str:
    """Return the colour of text on the colour of a kind."""
    return "white" if KIND_COLOURS[kind] in (BLUE, BLACK, GREEN, VERMILION) else BLACK
