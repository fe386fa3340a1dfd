from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hexit.hw_model.exit_unit.build import save_build
from hexit.hw_model.exit_unit.timing import unit_timing
from hexit.quant.records import from_json
from hexit.quant.traces.reference import REFERENCE_VERSION, Reference
from hexit.quant.traces.store import silent
from hexit.sim.job.record import make_job
from hexit.sim.job.resolve import simulate
from hexit.sim.job.setup import TextSource
from hexit.sim.report.build import build_report
from hexit.sim.report.record import SCHEMA, SCHEMA_VERSION, Report, report_json
from support.built_units import build_of, part
from support.command_line import Simulate
from support.designs import spatial_design
from support.paths import ROOT

DOCUMENT = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
EAGER = {"rule": "hardware:threshold=1.2,run_length=2"}  # sentences leave after layers 1 and 2 of the tiny model
KINDS = ("lut", "ff", "dsp", "bram18", "uram")
PROMISED = [
    *(f"accuracy.{key}" for key in ("float", "quantised", "with_exits")),
    *(f"exits.{key}" for key in ("mean_layer", "histogram")),
    *(f"speedup.{key}" for key in ("layer", "mac", "latency")),
    *(f"latency_us.{key}" for key in ("mean", "p50", "p95", "p99", "p99_9")),
    "throughput_per_s",
    "energy_uj",
    *(f"resources.{kind}.{key}" for kind in KINDS for key in ("used", "available")),
]


@pytest.fixture
def reference(simulated: Simulate) -> Reference:
    """What `hexit reference` would say of the ten sentences."""
    source = simulated().source
    assert isinstance(source, TextSource)
    return Reference(
        version=REFERENCE_VERSION,
        model="albert",
        checkpoint_hash=source.card.content_hash,
        data="ten",
        data_hash="beef",
        n_samples=10,
        n_truncated=0,
        max_length=24,
        metric="accuracy_fraction",
        scores=(0.4, 0.5, 0.6),
        compute="cpu",
        processor="a processor",
        driver="",
        torch="2",
        transformers="5",
    )


@pytest.fixture
def reports(
    simulated: Simulate, regression: dict[str, str], profile: str, reference: Reference, tmp_path: Path
) -> dict[str, Report]:
    save_build(build_of(simulated(**EAGER), head=part(700)), tmp_path / "exit_unit.json")
    replayed, _ = simulate(make_job(profile=profile), silent)
    design = Path(str(resources.files("hw_model") / "designs" / "default.toml")).read_text(encoding="utf-8")
    plain = "".join(line for line in design.splitlines(True) if not line.startswith("fold_overhead_cycles"))
    (tmp_path / "folds.toml").write_text(f"{plain}\n[fold]\ncontrol = {{ rows = 1 }}\n", encoding="utf-8")
    (tmp_path / "times.txt").write_text("\n".join(str(400 * index) for index in range(10)))
    stream = {"arrivals": f"file:{tmp_path / 'times.txt'}", "queue": 1, "deadline_us": 500.0, "lengths": "exact"}
    return {
        "stream": build_report(simulated(**EAGER, **stream)),
        "saturated": build_report(simulated(**EAGER, saturate=True, sentences=40)),
        "text": build_report(simulated(**EAGER)),
        "speculate": build_report(simulated(**EAGER, overlap="speculate")),
        "interleave": build_report(simulated(**EAGER, batch=3)),
        "shared": build_report(simulated(**EAGER, batch=3, share_weights=True)),
        "reference": build_report(simulated(rule="oracle"), reference),
        "truncated": build_report(simulated(rule="fixed-depth:layer=1")),
        "regression": build_report(simulated(**regression)),
        "profile": build_report(replayed),
        "folds": build_report(simulated(design=str(tmp_path / "folds.toml"))),
        "engines": build_report(simulated(**EAGER, design=spatial_design(tmp_path))),
        "engines_speculate": build_report(simulated(**EAGER, design=spatial_design(tmp_path), overlap="speculate")),
        "engines_full": build_report(
            simulated(**EAGER, design=spatial_design(tmp_path), arrivals="bursts:rate=1e6,size=10", queue=0)
        ),
        "stages": build_report(simulated(**EAGER, design="hls-bert-u280-opt6")),
        "stages_speculate": build_report(simulated(**EAGER, design="hls-bert-u280-opt6", overlap="speculate")),
        "loops": build_report(simulated(**EAGER, design="protea-u55c")),
        "built": build_report(simulated(exit_unit=str(tmp_path / "exit_unit.json"))),
    }


OWN_NAMES = {  # tables of a design file with names of its own
    f"configuration.design.{key}" for key in
    ("arrays", "array_presets", "same_hardware", "array_bits", "loops", "constants", "network")
}  # fmt: skip


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and path not in OWN_NAMES:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    else:
        yield path, value


def test_the_promised_keys_are_numbers_of_a_report_on_text(reports: dict[str, Report]) -> None:
    found = dict(leaves(json.loads(report_json(reports["text"]))))
    for key in PROMISED:
        kind = list if key == "exits.histogram" else (int, float)
        assert isinstance(found[key], kind), key
    assert (found["schema"], found["schema_version"]) == (SCHEMA, SCHEMA_VERSION) == ("hexit.report", 2)


def test_a_report_comes_back_from_its_json(reports: dict[str, Report]) -> None:
    for name, report in reports.items():
        assert from_json(Report, json.loads(report_json(report))) == report, name


def test_the_document_explains_every_key_and_no_other(reports: dict[str, Report]) -> None:
    documented = re.findall(r"^\| `([\w.]+)` \|", DOCUMENT, re.M)
    patterns = {key: re.compile(re.sub(r"\b[A-Z]+\b", "[a-z0-9_]+", key.replace(".", r"\."))) for key in documented}
    keys = {key for report in reports.values() for key, _ in leaves(json.loads(report_json(report)))}
    explained = {key: [name for name, pattern in patterns.items() if pattern.fullmatch(key)] for key in keys}
    assert {key: names for key, names in explained.items() if len(names) != 1} == {}
    assert {name for name, pattern in patterns.items() if not any(map(pattern.fullmatch, keys))} == set()
    assert len(documented) == len(patterns)
    assert f"`{SCHEMA}` version {SCHEMA_VERSION}\n" in DOCUMENT


def test_what_units_wait_for_adds_up_and_memory_only_adds(reports: dict[str, Report]) -> None:
    for report in reports.values():
        memory, clock_mhz = report.memory, report.configuration.design.clock_mhz
        latency_cycles = round(memory.with_transfers_us * clock_mhz)
        n_engines = report.configuration.design.n_engines
        assert {sum(causes.values()) for causes in report.stall_cycles.units.values()} == {latency_cycles * n_engines}
        slack = 1e-9  # us; cycles divided by MHz are rounded
        assert memory.kernel_us <= memory.with_transfers_us <= memory.kernel_us + memory.transfers_us + slack
        assert memory.exposed_us == pytest.approx(memory.with_transfers_us - memory.kernel_us)
        waits = sum(n for causes in report.stall_cycles.ops.values() for n in causes.values())
        units = [causes for unit, causes in report.stall_cycles.units.items() if unit != "dma"]
        known = {"busy", "squashed", "no_work"}
        assert waits == sum(n for causes in units for cause, n in causes.items() if cause not in known)
        assert latency_cycles == round((report.latency_us.by_exit[memory.exit_layer - 1] or 0) * clock_mhz)


def test_engines_share_their_time_between_work_and_waiting(reports: dict[str, Report]) -> None:
    found = reports["engines"].engines
    assert found is not None
    assert [(engine.first_layer, engine.last_layer) for engine in found.engines] == [(1, 1), (2, 2), (3, 3)]
    for one in found.engines:
        parts = (one.busy_fraction, one.blocked_fraction, one.squashed_fraction, one.starved_fraction)
        assert sum(parts) == pytest.approx(1)
    assert found.buffers is not None
    dropped = reports["engines_full"].engines
    assert dropped is not None
    assert dropped.buffers is None


def test_figures_are_those_of_hand_formulas(simulated: Simulate) -> None:
    outcome = simulated(**EAGER)
    report = build_report(outcome)
    layers = outcome.decisions.integer.exit_layer.tolist()
    cycles = outcome.sentence.table.latency_cycles.tolist()
    latencies_us = sorted(cycles[layer - 1] / 200 for layer in layers)
    full_us = report.latency_us.full_depth
    assert report.exits.mean_layer == sum(layers) / 10
    assert report.exits.histogram == tuple(layers.count(layer) for layer in (1, 2, 3))
    assert report.speedup.layer == pytest.approx(3 / (sum(layers) / 10))
    assert report.latency_us.mean == pytest.approx(sum(latencies_us) / 10)
    assert (report.latency_us.p50, report.latency_us.p99) == (latencies_us[5], latencies_us[9])  # never interpolated
    assert report.latency_us.max == latencies_us[9]
    assert report.latency_us.by_exit == tuple(c / 200 for c in cycles)
    assert report.speedup.latency == pytest.approx(full_us / report.latency_us.mean)
    assert report.throughput_per_s == pytest.approx(10 / (sum(latencies_us) * 1e-6))
    work = outcome.design.workload
    macs = 10 * work.prologue_macs + sum(layers) * (work.layer_macs + work.exit_macs)
    assert report.speedup.mac == pytest.approx(10 * (work.prologue_macs + 3 * work.layer_macs + work.exit_macs) / macs)
    assert report.average_power_mw == pytest.approx(report.energy_uj * report.throughput_per_s / 1000)
    assert report.sentences_per_joule == pytest.approx(1e6 / report.energy_uj)
    assert report.energy_parts_uj.total_uj == pytest.approx(report.energy_uj)
    labels = outcome.source.trace.labels
    assert report.accuracy.with_exits == float(np.mean(outcome.decisions.integer.prediction == labels))
    by_exit = [float(np.mean(layer.argmax(1) == labels)) for layer in outcome.source.trace.logits]
    assert report.accuracy.quantised_by_exit == tuple(by_exit)
    assert report.accuracy.quantised == by_exit[-1]
    sufficient = [layer for layer, score in enumerate(by_exit, 1) if score >= by_exit[-1] - 0.01]
    assert report.exits.sufficient_layer == sufficient[0]


def test_the_exit_unit_is_shown_with_its_shares_and_where_its_figures_come_from(
    simulated: Simulate, reports: dict[str, Report]
) -> None:
    outcome = simulated(**EAGER)
    report = build_report(outcome)
    unit, path = report.exit_unit, outcome.design.exit_path
    assert (unit.built, unit.part, unit.evaluated_layers, unit.n_slots) == (False, None, (1, 2, 3), 1)
    assert unit.decision.latency_cycles == unit_timing(path.spec).latency_cycles == 2
    assert unit.head.layer_fraction == path.head.latency_cycles / report.layer_cycles
    mean_cycles = report.latency_us.mean * 200
    assert unit.decision.sentence_fraction == pytest.approx(2 * report.exits.mean_layer / mean_cycles)
    for step, name in ((unit.head, "exit_head"), (unit.decision, "exit_decision")):
        assert {kind: share.used for kind, share in step.area.items()} == report.resource_parts[name]
        assert step.evidence in ("modelled", "synthesised")
        assert step.tool
    assert reports["built"].exit_unit.decision.evidence == "vendor"
    assert reports["interleave"].exit_unit.n_slots == 3


def test_squashed_work_counts_as_work(simulated: Simulate) -> None:
    outcome = simulated(**EAGER, overlap="speculate")
    report, stream = build_report(outcome), outcome.with_exits.result
    assert stream.wasted_macs > 0
    assert report.speedup.mac == pytest.approx(outcome.full_depth.result.macs / (stream.macs + stream.wasted_macs))
    busy, wasted = int(stream.busy_cycles.sum()), int(stream.wasted_cycles.sum())
    assert report.wasted_fraction == pytest.approx(wasted / (busy + wasted))
    assert report.energy_parts_uj.wasted_uj > 0


def test_figures_keep_within_their_bounds(reports: dict[str, Report]) -> None:
    for name, report in reports.items():
        assert all(0 <= share <= 1 for share in report.utilisation.values()), name
        assert 0 <= report.wasted_fraction < 1
        assert (report.wasted_fraction > 0) == name.endswith("speculate")
        assert sum(report.exits.histogram) == report.data.n_samples
        assert report.latency_us.p50 <= report.latency_us.p95 <= report.latency_us.p99 <= report.latency_us.max
        assert (report.layer_roofline_cycles or 0) <= report.layer_cycles
        assert report.exits.is_bound == (name == "reference")
        for kind, usage in report.resources.items():
            assert usage.used == sum(part[kind] for part in report.resource_parts.values()) <= usage.available


def test_what_nobody_knows_is_null(reports: dict[str, Report]) -> None:
    accuracy = reports["profile"].accuracy
    assert (accuracy.float, accuracy.quantised, accuracy.with_exits, accuracy.reference) == (None,) * 4
    assert reports["profile"].exits.agree_with_float_fraction is None
    assert reports["profile"].exits.sufficient_layer is None
    assert reports["profile"].data.calibration is None
    assert set(reports["profile"].hashes) == {"data", "trace"}
    assert reports["truncated"].latency_us.by_exit[1] is None
    assert reports["text"].accuracy.reference is None
    assert reports["regression"].accuracy.metric == "pearson"


def test_the_reference_stands_beside_the_result(reports: dict[str, Report], reference: Reference) -> None:
    assert reports["reference"].accuracy.reference == reference
    assert json.loads(report_json(reports["reference"]))["accuracy"]["reference"]["scores"] == [0.4, 0.5, 0.6]
