from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hexit.quant.errors import ConfigError
from hexit.sim.export.folder import sentences_csv
from hexit.sim.job.record import make_job
from hexit.sim.job.resolve import stream_setup
from hexit.sim.report.build import build_report
from hexit.sim.traffic.arrivals import ClosedLoop, PoissonArrivals
from hexit.sim.traffic.load import StreamSetup, draw_sentences
from support.command_line import Simulate

EAGER = {"rule": "hardware:threshold=1.2,run_length=2"}  # sentences leave after layers 1 and 2 of the tiny model
BUSY = {"arrivals": "poisson:rate=1e6", "sentences": 300, "queue": 2, "deadline_us": 30.0}


def test_sentences_are_the_data_once_or_drawn_evenly_with_replacement() -> None:
    """10,000 draws of 10: each about 1,000 times, within 4 of its standard deviation, 30."""
    assert draw_sentences(10, 0, seed=3).tolist() == list(range(10))
    drawn = draw_sentences(10, 10_000, seed=3)
    assert np.abs(np.bincount(drawn, minlength=10) - 1000).max() < 4 * 30
    assert (drawn == draw_sentences(10, 10_000, seed=3)).all()
    assert (drawn != draw_sentences(10, 10_000, seed=4)).any()


def test_arrivals_and_sentences_do_not_depend_on_each_other(simulated: Simulate) -> None:
    """The correlation of 10,000 draws from the run's one seed: of independent ones within 4 x 1 / 100."""
    stream = simulated(**EAGER, arrivals="poisson:rate=10", sentences=10_000).with_exits.result
    gaps = np.diff(stream.arrival_cycle, prepend=0)
    assert abs(np.corrcoef(gaps, stream.exit_layer)[0, 1]) < 0.04


def test_a_long_stream_repeats_the_data_and_its_decisions(simulated: Simulate) -> None:
    outcome = simulated(**EAGER, sentences=300)
    stream, leaves = outcome.with_exits.result, outcome.decisions.integer.exit_layer
    assert stream.exit_layer.tolist() == leaves[outcome.drawn].tolist()
    assert outcome.full_depth.result.exit_layer.tolist() == [3] * 300
    assert stream.total_cycles == outcome.sentence.table.latency_cycles[stream.exit_layer - 1].sum()
    assert leaves.size == build_report(outcome).data.n_samples == 10


def test_full_depth_meets_the_same_arrivals(simulated: Simulate) -> None:
    outcome = simulated(**EAGER, **BUSY)
    assert outcome.full_depth.result.arrival_cycle.tolist() == outcome.with_exits.result.arrival_cycle.tolist()
    assert outcome.full_depth.result.n_served < outcome.with_exits.result.n_served < 300


def test_figures_per_sentence_are_those_of_the_served(simulated: Simulate) -> None:
    outcome = simulated(**EAGER, **BUSY)
    report, stream = build_report(outcome), outcome.with_exits.result
    served = stream.latency_cycles[stream.served] / 200
    assert report.stream.n_served + report.stream.n_dropped_full == 300
    assert report.stream.n_dropped_full > 0
    assert report.stream.n_missed == int((served > 30).sum())
    assert report.latency_us.mean == pytest.approx(served.mean())
    assert report.latency_us.p99_9 == np.percentile(served, 99.9, method="higher") == report.latency_us.max
    assert report.throughput_per_s == pytest.approx(len(served) / (stream.total_cycles / 200e6))
    assert report.energy_uj == pytest.approx(outcome.with_exits.energy.total_uj / len(served))
    assert report.stream.max_waiting == 2


def test_the_table_of_sentences_has_a_line_for_each_of_the_stream(simulated: Simulate) -> None:
    outcome = simulated(**EAGER, **BUSY)
    lines = list(csv.DictReader(sentences_csv(outcome).splitlines()))
    assert [int(line["index"]) for line in lines] == outcome.drawn.tolist()
    assert [line["latency_us"] != "" for line in lines] == outcome.with_exits.result.served.tolist()
    assert all((line["start_us"] == "") == (line["latency_us"] == "") for line in lines)


def test_a_queue_drops_who_finds_it_full_unless_told_otherwise() -> None:
    assert stream_setup(make_job().stream) == StreamSetup()
    arrivals = PoissonArrivals(rate_per_s=5.0)
    queued = stream_setup(make_job(arrivals="poisson:rate=5", queue=4).stream)
    assert (queued.arrivals, queued.admission.drop, queued.admission.n_places) == (arrivals, "full", 4)
    late = stream_setup(make_job(arrivals="poisson:rate=5", queue=4, drop="late", deadline_us=9.0).stream)
    assert late.admission.drop == "late"
    assert isinstance(stream_setup(make_job(saturate=True, queue=4).stream).arrivals, ClosedLoop)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queue": 4}, r"--queue = 4: drops nobody in a closed loop, where nobody waits. Add --arrivals"),
        ({"deadline_us": 4.0, "drop": "late"}, r"--drop = late: drops nobody in a closed loop"),
        ({"drop": "sometimes"}, r"--drop = sometimes: must be one of never, full, late"),
        ({"sentences": -1}, r"--sentences = -1: must not be negative"),
        ({"sentences": 20_000_001}, r"--sentences = 20000001: must be at most 20000000"),
        ({"arrivals": "poisson"}, r"--arrivals = poisson: poisson needs rate"),
        ({"lengths": "long"}, r"--lengths = long: must be padded, exact or buckets"),
    ],
)
def test_impossible_streams_are_refused_before_anything_is_loaded(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        stream_setup(make_job(**options).stream)


def test_a_recording_that_is_too_short_is_refused_before_the_network_runs(simulated: Simulate, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("1\n2\n")
    with pytest.raises(ConfigError, match=r"file:log: has 2 arrivals for 10 sentences. Use --sentences 2"):
        simulated(arrivals=f"file:{tmp_path / 'log'}", cache_dir=tmp_path / "empty")
    assert not list((tmp_path / "empty").rglob("*.npz"))
