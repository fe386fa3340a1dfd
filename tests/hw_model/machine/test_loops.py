from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hexit.hw_model.loops
from hexit.hw_model.loops import Loop, check_nest, size_of
from hexit.hw_model.machine.loop_cycles import loop_cycles
from hexit.hw_model.memory.channel import MemoryChannel
from hexit.quant.errors import ConfigError
from support.strategies import LAWS


def test_the_example_in_the_docstring_holds() -> None:
    assert doctest.testmod(hexit.hw_model.loops) == (0, 1)


@pytest.mark.parametrize(
    ("expression", "value"),
    [("7", 7), ("m * k - 1", 11), ("ceil_div(m + k, 2) * 3", 12), ("max(m, k) // min(m, 2)", 2), ("m - 3", 0)],
)
def test_sizes_are_whole_numbers_made_of_named_ones(expression: str, value: int) -> None:
    assert size_of(expression, {"m": 3, "k": 4}, "trips") == value


@pytest.mark.parametrize(
    "expression", ["n", "m / k", "m ** 9", "m -", "__import__('os')", "m.real", "1.5", "m // 0", "max()", "True", "-m"]
)
def test_an_expression_of_anything_else_is_refused_in_one_line(expression: str) -> None:
    with pytest.raises(ConfigError, match=r"trips = .*: (is not an expression of m, k|is -3, must not be negative)"):
        size_of(expression, {"m": 3, "k": 4}, "trips")


def stepped(n_trips: int, initiation_interval: int, depth: int) -> int:
    """Cycles of a pipelined loop, iteration by iteration."""
    end = 0
    for trip in range(n_trips):
        end = max(end, trip * initiation_interval + depth)
    return end


@given(st.integers(0, 30), st.integers(1, 8), st.integers(8, 40))
@LAWS
def test_a_pipelined_loop_takes_what_its_iterations_take(n_trips: int, interval: int, depth: int) -> None:
    loop = Loop(trips=str(n_trips), initiation_interval=interval, depth_cycles=depth, extra_cycles=5)
    assert loop_cycles({"x": loop}, "x", {}) == stepped(n_trips, interval, depth) + 5


def test_a_nest_adds_its_loops_or_waits_for_the_longest() -> None:
    inner = {"a": Loop(trips="m", initiation_interval=1, depth_cycles=3), "b": Loop(extra_cycles=20)}
    for parallel, body in ((False, 12 + 20), (True, 20)):
        nest = inner | {"nest": Loop(trips="4", depth_cycles=2, parallel=parallel, body=("a", "b"))}
        assert loop_cycles(nest, "nest", {"m": 10}) == 4 * (body + 2)


def test_a_loop_waits_for_memory_only_where_there_is_a_channel() -> None:
    loops = {"copy": Loop(trips="m", initiation_interval=1, depth_cycles=1, off_chip_bytes="4 * m")}
    narrow = MemoryChannel(bytes_per_cycle=2.0, latency_cycles=7)
    assert loop_cycles(loops, "copy", {"m": 100}) == 100
    assert loop_cycles(loops, "copy", {"m": 100}, narrow) == 207


def test_a_circle_and_a_missing_loop_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"loops\.b\.body = a: must not contain itself"):
        check_nest({"a": Loop(body=("b",)), "b": Loop(body=("a",))})
    with pytest.raises(ConfigError, match=r"loops\.a\.body = c: must be one of a"):
        check_nest({"a": Loop(body=("c",))})
    with pytest.raises(ConfigError, match=r"loop\.initiation_interval = 1: is of a pipelined loop"):
        Loop(initiation_interval=1, body=("a",))
