"""Loop nests as HLS tools schedule them, and sizes as short expressions.

    pipelined loop       cycles = (trips - 1) initiation_interval + depth_cycles
    loop with a body     cycles = trips (body + depth_cycles),   body = sum of its loops, or the longest if `parallel`
    around either        + extra_cycles, once

A loop of no trips takes no cycles beyond its extra ones. A loop that touches off-chip memory states how many bytes it
moves; with a memory channel it takes at least as long as the channel needs for them (hw_model.machine.loop_cycles).
Trip counts are expressions of sizes, ``ceil_div(k, 64) * n``: integers, names, + - * //, max, min, ceil_div.
Not modelled: loops that the tool flattens or reorders by itself; write the nest as it is built.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hexit.hw_model.rounding import ceil_div
from hexit.quant.errors import ConfigError

Sizes = Mapping[str, int]
SIZES = {"rows", "columns", "heads", "m", "k", "n", "sequence", "hidden", "ffn", "head_size"}  # that expressions name
MAX_SIZE = 10**12  # of an expression
MAX_CYCLES = 10**15  # of a loop nest; two weeks at 1 GHz, and far below what 64 bits hold
FUNCTIONS: dict[str, Callable[..., int]] = {"max": max, "min": min, "ceil_div": ceil_div}
OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.FloorDiv: lambda left, right: left // right,
}


def size_of(expression: int | str, sizes: Sizes, where: str) -> int:
    """Return the value of a number or an expression of sizes, 0 to MAX_SIZE; ConfigError otherwise.

    >>> size_of("ceil_div(k, 32) * 2", {"k": 65}, "trips")
    6
    """
    try:
        value = _value(ast.parse(str(expression), mode="eval").body, sizes)
    except (SyntaxError, ValueError, ArithmeticError, TypeError, KeyError, RecursionError, MemoryError) as error:
        names = ", ".join(sizes)
        raise ConfigError(
            where,
            expression,
            f"is not an expression of {names} with + - * //, max, min, ceil_div",
            "Correct the expression",
        ) from error
    if not 0 <= value <= MAX_SIZE:
        requirement = f"is {value}, must not be negative" if value < 0 else f"must be at most {MAX_SIZE}"
        raise ConfigError(where, expression, requirement, "Correct the expression")
    return value


def _value(node: ast.expr, sizes: Sizes) -> int:
    match node:
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            return value
        case ast.Name(id=name):
            return sizes[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, sizes)
        case ast.BinOp(left=left, op=operator, right=right):
            return OPERATORS[type(operator)](_value(left, sizes), _value(right, sizes))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return FUNCTIONS[name](*(_value(argument, sizes) for argument in arguments))
        case _:
            raise ValueError(ast.dump(node))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """One loop of a nest; `initiation_interval` 0 means not pipelined.

    `depth_cycles`: of a pipelined loop the cycles of one iteration, else what each trip adds around the body.
    `off_chip_bytes`: bytes that the whole loop moves, an expression like `trips`. `body`: names of other loops.
    """

    trips: int | str = 1
    initiation_interval: int = 0
    depth_cycles: int = 0
    extra_cycles: int = 0
    parallel: bool = False
    off_chip_bytes: int | str = 0
    body: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Reject negative times and pipelined loops that contain others."""
        for key in ("initiation_interval", "depth_cycles", "extra_cycles"):
            if getattr(self, key) < 0:
                raise ConfigError(f"loop.{key}", getattr(self, key), "must not be negative", f"Try {key} = 0")
        if self.initiation_interval and self.body:
            requirement = "is of a pipelined loop, which has no body"
            raise ConfigError("loop.initiation_interval", self.initiation_interval, requirement, "Leave one out")


def check_nest(loops: Mapping[str, Loop]) -> None:
    """Raise ConfigError where a loop's body is not described, or contains the loop itself."""

    def descend(name: str, outside: tuple[str, ...]) -> None:
        for inner in loops[name].body:
            if inner not in loops:
                raise ConfigError(f"loops.{name}.body", inner, f"must be one of {', '.join(loops)}", "Describe it")
            if inner in (*outside, name):
                raise ConfigError(f"loops.{name}.body", inner, "must not contain itself", "Break the circle")
            descend(inner, (*outside, name))

    for name in loops:
        descend(name, ())
