from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hexit.hw_model.exit_unit.build import save_build
from hexit.quant.data.intervals import Interval
from hexit.quant.exits.goal import Goal
from hexit.quant.traces.reference import Reference
from hexit.quant.traces.store import silent
from hexit.sim.analysis.comparison import Rival
from hexit.sim.commands.progress import progress_bars
from hexit.sim.job.record import make_job
from hexit.sim.job.resolve import simulate
from hexit.sim.report.build import build_report
from hexit.sim.report.record import Report
from hexit.sim.report.screen import print_report
from support.built_units import build_of, part
from support.command_line import Simulate

EAGER = {"rule": "hardware:threshold=1.2,run_length=2"}


def screen(report: Report, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_report(report, console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


@pytest.mark.parametrize("width", [80, 160])
def test_the_screen_shows_every_figure(width: int, simulated: Simulate) -> None:
    report = build_report(simulated(**EAGER))
    scores: dict[str, Any] = {"float": 0.91, "float_with_exits": 0.92, "quantised": 0.93, "with_exits": 0.94}
    report = dataclasses.replace(report, accuracy=dataclasses.replace(report.accuracy, **scores))
    text = screen(report, width)
    for figure in (
        "hardware:threshold=1.2,run_length=2",
        *("91.00 %", "92.00 %", "93.00 %", "94.00 %"),
        f"mean layer {report.exits.mean_layer:.2f} of 3",
        f"{report.speedup.layer:.2f}x",
        f"{report.speedup.mac:.2f}x",
        f"{report.speedup.latency:.2f}x",
        *(
            f"{value:.1f} us"
            for value in (report.latency_us.mean, report.latency_us.p50, report.latency_us.p95, report.latency_us.p99)
        ),
        f"{report.throughput_per_s:,.0f}",
        f"{report.energy_uj:,.0f} uJ",
        f"{report.sentences_per_joule:,.1f}",
        f"array {100 * report.utilisation['array']:.1f} %",
        f"{report.resources['lut'].used:,}",
        f"{report.exit_unit.head.latency_cycles:,}",
        f"area of the decision: {report.exit_unit.decision.tool}",
        f"{report.resources['lut'].available:,}",
        "weights on chip" if width > 80 else "on",
    ):
        assert figure in text, figure
    assert all(check.figures.split(",")[0] in text for check in report.checks)
    assert max(map(len, text.splitlines())) <= width


def test_one_screen_of_60_lines_is_enough_for_a_wide_terminal(simulated: Simulate) -> None:
    assert len(screen(build_report(simulated()), 160).splitlines()) <= 60


def test_what_is_special_is_said(simulated: Simulate) -> None:
    cut = screen(build_report(simulated(seq_len=8, po2=True)))
    assert " cut" in cut
    assert "power-of-two scales" in cut
    squashed = screen(build_report(simulated(**EAGER, overlap="speculate")))
    assert "of all busy cycles squashed" in " ".join(squashed.split())
    assert "interleave 3, weights" in screen(build_report(simulated(**EAGER, batch=3)))
    shared = screen(build_report(simulated(**EAGER, batch=3, share_weights=True)))
    assert "interleave 3 with shared weights, weights on chip" in " ".join(shared.split())


def test_a_stream_is_told_in_a_few_lines(simulated: Simulate) -> None:
    closed = " ".join(screen(build_report(simulated(**EAGER))).split())
    assert "stream: 10 sentences, closed loop: each comes when the design can take it" in closed
    assert "latency p99.9" in closed
    stream = {"arrivals": "poisson:rate=1e6", "sentences": 400, "deadline_us": 20.0, "drop": "late", "queue": 3}
    report = build_report(simulated(**EAGER, **stream, lengths="exact", saturate=True))
    told, found = " ".join(screen(report).split()), report.stream
    assert found.saturation is not None
    for figure in (
        f"{found.n_sentences:,} sentences, poisson:rate=1000000, {found.offered_per_s:,.1f} /s offered",
        f"mean wait {found.mean_wait_us:,.1f} us",
        f"{found.mean_waiting:,.2f} waiting on average, {found.max_waiting} at most",
        f"{found.n_dropped_full} found the queue full, {found.n_dropped_late} waited too long",
        f"{found.n_missed} served after the deadline of 20 us",
        f"lengths exact: {found.n_lengths} of them, {found.mean_hardware_tokens:.1f} tokens on average",
        f"highest sustained rate {found.saturation.sustained_per_s:,.1f} /s (poisson",
        f"capacity {found.saturation.capacity_per_s:,.1f} /s",
    ):
        assert figure in told, figure


def test_a_profile_has_no_accuracy_and_a_reference_has_a_row(simulated: Simulate, profile: str) -> None:
    replayed, _ = simulate(make_job(profile=profile), silent)
    assert "unknown" in screen(build_report(replayed))
    report = build_report(simulated())
    reference = Reference(
        version=1,
        model="m",
        checkpoint_hash="c",
        data="d",
        data_hash="d",
        n_samples=10,
        n_truncated=0,
        max_length=24,
        metric="accuracy_fraction",
        scores=(0.5, 0.625),
        compute="cuda",
        processor="a GPU",
        driver="",
        torch="2",
        transformers="5",
    )
    text = screen(dataclasses.replace(report, accuracy=dataclasses.replace(report.accuracy, reference=reference)))
    assert "reference (cuda, a GPU)" in text
    assert "62.50 %" in text


def test_a_built_unit_says_by_what_and_small_shares_are_not_nothing(simulated: Simulate, tmp_path: Path) -> None:
    save_build(build_of(simulated(), latency_cycles=1, head=part(800)), tmp_path / "u.json")
    report = build_report(simulated(exit_unit=str(tmp_path / "u.json")))
    text = screen(report, 140)
    assert "built for xczu9eg-ffvb1156-2-e at 5 ns; head: Vitis HLS 2024.1; area of the decision: Vitis HLS" in text
    assert "vendor" in text
    assert f"{100 * report.exit_unit.decision.layer_fraction:.2g} %" in text
    assert f"{report.exit_unit.head.area['lut'].used:,}" in text


@pytest.mark.parametrize("terminal", [True, False])
def test_stages_are_bars_on_a_terminal_and_nothing_elsewhere(terminal: bool) -> None:
    file = io.StringIO()
    with progress_bars(Console(file=file, force_terminal=terminal, width=100)) as progress:
        advance = progress("quantised model", 4)
        advance(3)
        advance(1)
    assert ("quantised model" in file.getvalue()) == terminal


def test_a_correlation_is_no_percentage(simulated: Simulate) -> None:
    report = build_report(simulated())
    accuracy = dataclasses.replace(report.accuracy, metric="pearson", float=0.5, with_exits=None)
    text = screen(dataclasses.replace(report, accuracy=accuracy, choice=None))
    assert "0.500" in text
    assert "unknown" in text
    assert "50.00 %" not in text


def told(report: Report) -> str:
    return " ".join(screen(report, 100).split())


def test_what_exits_must_beat_is_said_in_two_lines(simulated: Simulate) -> None:
    report = build_report(simulated(**EAGER))
    assert report.comparison is not None
    gained = Interval(low=0.001, high=0.0249)
    best = Rival(
        layer=4,
        score=0.8,
        interval=Interval(low=0.75, high=0.85),
        difference=0.0125,
        difference_interval=gained,
        n_gained=20,
        n_lost=7,
        p_value=0.019,
    )
    full = dataclasses.replace(best, layer=12, score=0.82, difference=-0.0075, p_value=0.31)
    found = dataclasses.replace(report.comparison, fixed_depth=best, full_depth=full)
    text = told(dataclasses.replace(report, comparison=found))
    assert "best fixed depth (4): 80.00 % [75.0, 85.0]; exits +1.25 [+0.1, +2.5], p 0.019" in text
    assert "no exits: 82.00 % [75.0, 85.0]; exits -0.75 [+0.1, +2.5], p 0.31" in text
    real = dataclasses.replace(best, p_value=None, n_gained=None, n_lost=None)
    accuracy = dataclasses.replace(report.accuracy, metric="pearson")
    correlated = dataclasses.replace(report, accuracy=accuracy, comparison=dataclasses.replace(found, fixed_depth=real))
    assert "best fixed depth (4): 0.800 [0.75, 0.85]; exits +0.013 [+0.00, +0.02] no exits" in told(correlated)


def test_where_settings_come_from_and_how_other_rules_do_is_said(simulated: Simulate) -> None:
    report = build_report(simulated(max_drop=0.5))
    choice = report.choice
    assert choice is not None
    text = told(report)
    assert (
        f"settings: --max-drop 0.5 on albert/selection.tsv, 30 sentences: {choice.chosen.mean_layer:.2f} layers" in text
    )
    assert f"; drop {100 * choice.chosen.drop:.2f} +- {100 * choice.chosen.drop_error:.2f}" in text
    for rival in choice.rivals:
        assert f"{rival.rule.partition(':')[0]} {100 * rival.score:.2f}" in text
    assert "none better beyond noise" in text
    better = dataclasses.replace(
        choice.rivals[0], rule="elbert:window=3", better=True, difference=0.042, p_value=0.0012
    )
    own = dataclasses.replace(choice.text, labels="full depth", n_left_out=4)
    other = dataclasses.replace(choice, rivals=(better,), text=own, goal=Goal(max_drop=None, speedup=3.0))
    text = told(dataclasses.replace(report, choice=other))
    assert "elbert:window=3 is better by 4.20 points, p = 0.0012" in text
    assert "--speedup 3 on albert/selection.tsv, 30 sentences (4 more are evaluated here)" in text
    assert "(its own answers are the labels)" in text


def test_a_design_of_stages_says_what_is_not_counted_and_whose_peak_it_is(simulated: Simulate) -> None:
    stages = " ".join(screen(build_report(simulated(**EAGER, design="hls-bert-u280-opt6"))).split())
    assert "20 stages, 4,608 MACs together at" in stages
    assert "not counted: loop nests, FIFOs, weights, activations; the whole design takes more" in stages
    assert "of which arrays at their peak" in stages
    assert "; all arrays at their peak" in stages
    buffers = screen(build_report(simulated(**EAGER, design="fq-bert-zcu102-8x16", weight_bits=4)))
    assert "not counted: loop nests, FIFOs; the whole design" in buffers
    loops = screen(build_report(simulated(**EAGER, design="protea-u55c")))
    assert "6 stages, all loop nests at" in loops
    engine = screen(build_report(simulated(**EAGER)))
    assert "not counted" not in engine
    assert "array at its peak" in engine
