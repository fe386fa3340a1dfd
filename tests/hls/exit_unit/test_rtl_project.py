"""The RTL is the golden model: every decision, in the cycle that the timing states, whatever blocks it."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from hexit.hls.exit_unit.constants import Test, Trend, constants, tables
from hexit.hls.exit_unit.rtl_project import RTL, TOP, module_files, top_module, write_rtl
from hexit.hls.exit_unit.vectors import EventStream, answer, proof_events
from hexit.hls.tools.verilator import verilate
from hexit.hw_model.exit_unit.timing import unit_timing
from hexit.quant.arrays import Integers
from hexit.quant.exits.rules import parse_rule
from hexit.quant.exits.unit import ExitUnitSpec, exit_unit_spec
from support.rtl_exit_unit import RtlModel, build_rtl, one_stream, timed_streams

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


def assert_golden(decisions: Integers, golden: EventStream) -> None:
    first = np.flatnonzero((decisions != golden.decisions).any(axis=1))[:1]
    assert first.size == 0, f"event {first[0]}: {decisions[first]} for {golden.decisions[first]}"


def lint(folder: Path) -> str:
    """Every warning of Verilator about the RTL of a folder."""
    return verilate(folder, top=TOP, options=["--lint-only", "-Wall"]).stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", UNITS)
def test_rtl_is_the_golden_model(name: str, tmp_path: Path, verilator_cache: Path) -> None:
    spec = UNITS[name]
    timing = unit_timing(spec)
    model = build_rtl(spec, tmp_path, cache=verilator_cache)

    events = proof_events(spec, N_EVENTS, seed=len(name))
    decisions, cycles = model.run(events, one_stream(events))
    assert_golden(decisions, events)
    assert 0 < events.exit.mean() < 1
    if timing.state_cycles == 1:  # nothing blocks: an event per cycle, each after the latency
        assert cycles.accepted.tolist() == list(range(events.n_events))
        assert set((cycles.taken - cycles.accepted).tolist()) == {timing.latency_cycles}

    golden, streams = timed_streams(spec, N_STREAMS, seed=1)
    assert_golden(model.run(golden, streams)[0], golden)  # the bench counts decisions, none lost and none twice


@pytest.fixture(scope="module")
def memory_model(tmp_path_factory: pytest.TempPathFactory, verilator_cache: Path) -> RtlModel:
    return build_rtl(NARROW["memory read at the input"], tmp_path_factory.mktemp("rtl"), cache=verilator_cache)


@pytest.mark.slow
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
    events = answer(memory_model.spec, slot, layer, logits)
    _, cycles = memory_model.run(events, one_stream(events))
    assert cycles.accepted.tolist() == accepted
    assert cycles.taken[0] == unit_timing(memory_model.spec).latency_cycles


@pytest.mark.slow
def test_a_consumer_that_stops_fills_the_pipeline_and_loses_nothing(memory_model: RtlModel) -> None:
    spec = memory_model.spec
    depth = unit_timing(spec).latency_cycles
    golden = answer(spec, np.arange(20) % 3, 1 + np.arange(20) // 3, np.arange(40).reshape(20, 2))
    decisions, cycles = memory_model.run(golden, one_stream(golden, ready_cycles=(False,) * 50))
    assert_golden(decisions, golden)
    assert (cycles.accepted < 50).sum() == depth  # one event in each stage, none beyond
    assert cycles.taken.tolist() == list(range(50, 70))
    assert (cycles.visible[0], cycles.visible[1]) == (depth, 51)


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
    ("changed", "message"),
    [
        ((".LATENCY_CYCLES(2)", ".LATENCY_CYCLES(3)"), "The generator expects a pipeline of another length"),
        ((".N_CLASSES(2)", ".N_CLASSES(3)"), "The difference test needs two classes."),
        ((".TEST(1)", ".TEST(7)"), "There is no such test."),
        ((".STATE_CYCLES(1)", ".STATE_CYCLES(3)"), "The state is updated within one cycle or two."),
    ],
)
def test_a_unit_that_contradicts_itself_does_not_elaborate(
    changed: tuple[str, str], message: str, tmp_path: Path
) -> None:
    write_rtl(unit("hardware", 2), tmp_path)
    top = tmp_path / "exit_unit_top.sv"
    top.write_text(top.read_text().replace(*changed))
    assert message in lint(tmp_path)


def test_names_and_numbers_of_the_rtl_are_those_of_the_constants() -> None:
    text = (RTL / "exit_unit.sv").read_text()
    named = set(re.findall(r"^    parameter (?:\w+ )*(?:\[N_LAYERS:0\] )?(\w+) =", text, re.M))
    files = {f"{table.upper()}_FILE" for table in ("exponential", "weighted", "logarithm", "limits")}
    files |= {"ODDS_EXPONENTIAL_FILE", "ODDS_LOGARITHM_FILE"}
    assert named == set(constants(unit("hardware", 2))) | files | {"STATE_CYCLES", "LATENCY_CYCLES"}
    kinds = {f"TEST_{test.name}": int(test) for test in Test} | {f"TREND_{trend.name}": int(trend) for trend in Trend}
    found = dict(re.findall(r"\b((?:TEST|TREND)_[A-Z_]+) = (\d)", text + (RTL / "trend.sv").read_text()))
    assert {name: int(number) for name, number in found.items()} == kinds


def test_a_module_has_the_name_of_its_file() -> None:
    for name in module_files():
        assert re.findall(r"^module (\w+)", (RTL / name).read_text(), re.M) == [name.removesuffix(".sv")]


def test_a_rule_s_text_stays_within_its_comment() -> None:
    spec = unit("hardware", 2)
    hostile = ExitUnitSpec(
        rule='x\nendmodule // " \\\nmodule y;', form=spec.form, n_layers=12, evaluated_layers=spec.evaluated_layers
    )
    assert len(top_module(hostile).splitlines()) == len(top_module(spec).splitlines())
