from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

import hexit.sim.plots.run
from hexit.quant.errors import ConfigError
from hexit.quant.traces.store import silent
from hexit.sim.analysis.timeline import sentence_timeline
from hexit.sim.export.folder import check_folder, sentences_csv, write_outputs
from hexit.sim.export.vcd import value_change_dump
from hexit.sim.job.experiment import picture_data
from hexit.sim.job.record import make_job
from hexit.sim.job.resolve import simulate
from hexit.sim.report.build import build_report
from hexit.sim.report.record import report_json
from support.command_line import Simulate

EAGER = {"rule": "hardware:threshold=1.2,run_length=2"}


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_sentences_csv_has_a_line_per_sentence(simulated: Simulate) -> None:
    outcome = simulated(**EAGER)
    rows = rows_of(sentences_csv(outcome))
    assert list(rows[0]) == ["index", "label", "prediction", "exit_layer", "n_tokens", "start_us", "latency_us", "text"]
    assert [int(row["index"]) for row in rows] == list(range(10))
    assert [row["label"] for row in rows] == ["0", "1"] * 5
    assert [int(row["exit_layer"]) for row in rows] == outcome.decisions.integer.exit_layer.tolist()
    assert rows[3]["text"] == "the plot is dull , but the actors are wonderful"
    assert [float(row["latency_us"]) for row in rows] == (outcome.with_exits.result.latency_cycles / 200).tolist()
    starts = [float(row["start_us"]) for row in rows]
    assert starts[0] == 0
    assert starts[1] == float(rows[0]["latency_us"])


def test_sentences_of_a_profile_have_neither_text_nor_prediction(profile: str) -> None:
    rows = rows_of(sentences_csv(simulate(make_job(profile=profile), silent)[0]))
    assert len(rows) == 6
    assert {(row["text"], row["prediction"], row["label"]) for row in rows} == {("", "-1", "-1")}


def test_the_timeline_ends_at_the_median_exit(
    simulated: Simulate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hexit.sim.plots.run, "draw_all", lambda *arguments: None)
    outcome = simulated(**EAGER)
    assert outcome.sentence.exit_layer == sorted(outcome.decisions.integer.exit_layer.tolist())[5]
    report = build_report(outcome)
    job = make_job(**EAGER)
    write_outputs(job, outcome, picture_data(outcome), report, tmp_path, silent)
    written = {"job.toml", "report.json", "sentences.csv", "timeline.json", "timeline.vcd"}
    assert {path.name for path in tmp_path.iterdir()} == written
    timeline = sentence_timeline(outcome.sentence.run, outcome.sentence.exit_layer)
    assert (tmp_path / "timeline.vcd").read_text() == value_change_dump(timeline)
    assert (tmp_path / "report.json").read_text() == report_json(report)
    events = json.loads((tmp_path / "timeline.json").read_text())["traceEvents"]
    decided_us = report.latency_us.by_exit[outcome.sentence.exit_layer - 1]
    assert decided_us is not None
    assert 0 < max(event["ts"] + event["dur"] for event in events if event["ph"] == "X") <= decided_us


def test_a_folder_is_made_with_its_parents_and_left_empty(tmp_path: Path) -> None:
    check_folder(tmp_path / "a" / "b")
    check_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_folder_that_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^--out = .*: cannot be written \(.+\)\. Name another folder\.$"):
        check_folder(tmp_path / name)
