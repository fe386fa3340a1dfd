"""Streams and exit tables straight from programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from hexit.sim.core.lone_sentence import ExitTable, lone_sentence
from hexit.sim.core.program import Program
from hexit.sim.core.stream import StreamResult, simulate_stream


def table_of(program: Program, evaluated_layers: tuple[int, ...] | None = None) -> ExitTable:
    return lone_sentence(program, evaluated_layers).table


def stream_of(
    programs: Program | Sequence[Program],
    exit_layer: npt.ArrayLike,
    arrivals: npt.ArrayLike | None = None,
    evaluated_layers: tuple[int, ...] | None = None,
    **options: Any,
) -> StreamResult:
    several = [programs] if isinstance(programs, Program) else programs
    return simulate_stream([lone_sentence(one, evaluated_layers) for one in several], exit_layer, arrivals, **options)
