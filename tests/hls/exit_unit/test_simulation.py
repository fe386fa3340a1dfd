"""The test benches of generated projects: an RTL folder alone, its wrong decisions named, its waves.

Those of HLS projects are tested with the projects (test_hls_project).
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from hexit.hls.exit_unit import simulation
from hexit.hls.exit_unit.rtl_project import TOP, write_rtl
from hexit.hls.exit_unit.simulation import simulate_rtl_project
from hexit.hls.exit_unit.vectors import decisions_text, events_text, proof_events
from hexit.hls.tools.verilator import compile_model, verilator_root
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import parse_rule
from hexit.quant.exits.unit import exit_unit_spec

N_EVENTS = 400


def write_project(folder: Path, rule: str, n_classes: int) -> Path:
    """The RTL of a unit with its vectors beside it."""
    spec = exit_unit_spec(parse_rule(rule), n_layers=12, n_classes=n_classes, scale=2.0**-7, logit_bits=12)
    events = proof_events(spec, N_EVENTS, seed=2)
    write_rtl(spec, folder / "rtl")
    (folder / "vectors").mkdir()
    (folder / "vectors" / "events.txt").write_text(events_text(events))
    (folder / "vectors" / "decisions.txt").write_text(decisions_text(events))
    return folder / "rtl"


@pytest.mark.slow
def test_a_moved_folder_simulates_itself_with_waves_whose_names_a_reader_knows(tmp_path: Path) -> None:
    write_project(tmp_path / "made here", "elbert:bias=bias_1,window=3", 3)
    folder = (tmp_path / "made here").rename(tmp_path / "moved") / "rtl"
    (tmp_path / "pattern").write_text("0 1\n1 0\n" * 5)
    for target, pauses in (("sim", "--seed 7"), ("vcd", f"--pattern {tmp_path / 'pattern'}")):
        ran = subprocess.run(
            ["make", "-C", folder, target, f"VERILATOR_ROOT={verilator_root()}", f"PAUSES={pauses}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert f"hexit: {N_EVENTS} events, 0 different\n" in ran.stdout
    waves = (folder / "build" / "exit_unit.vcd").read_text()
    names = set(re.findall(r"^\s*\$var wire +\d+ \S+ (\S+)", waves, re.M))
    assert {"in_layer", "out_exit", "logit", "winner_front", "old_count", "state_front", "valid"} <= names


@pytest.mark.slow
def test_a_wrong_decision_is_named_with_its_event_and_cycle(
    tmp_path: Path, verilator_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_project(tmp_path, "hardware", 2)
    program = compile_model(folder, tmp_path / "work", folder / "test_bench.cpp", top=TOP, cache=verilator_cache)
    monkeypatch.setattr(simulation, "compile_model", lambda *_, **__: program)  # once for three simulations
    right = simulate_rtl_project(folder)
    assert (right.n_events, right.n_different, right.first_difference) == (N_EVENTS, 0, "")

    decisions = tmp_path / "vectors" / "decisions.txt"
    lines = decisions.read_text().splitlines()
    slot, leaves, winner, layer, _ = lines[99].split()
    lines[99] = f"{slot} {leaves} {1 - int(winner)} {layer} 0"
    decisions.write_text("\n".join(lines) + "\n")
    wrong = simulate_rtl_project(folder)
    assert wrong.n_different == 1
    assert wrong.first_difference == (
        f"event 100 in cycle 101: the RTL says slot {slot} exit {leaves} class {winner} layer {layer} confidence 0, "
        f"but must say slot {slot} exit {leaves} class {1 - int(winner)} layer {layer} confidence 0"
    )
    decisions.write_text("\n".join(lines[1:]) + "\n")
    with pytest.raises(ConfigError, match=r"^rtl = .*: the files of events and decisions differ in length"):
        simulate_rtl_project(folder)


def test_a_folder_without_a_test_bench_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder of RTL"):
        simulate_rtl_project(tmp_path)
