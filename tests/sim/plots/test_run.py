from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.patches import Rectangle

from hexit.quant.traces.store import silent
from hexit.sim.analysis.timeline import sentence_timeline
from hexit.sim.core.lone_sentence import simulate_sentence
from hexit.sim.core.program import UNIT_NAMES, Program, Unit
from hexit.sim.job.experiment import evaluate, picture_data, sweep_rules
from hexit.sim.job.outcome import Outcome, layer_breakdown
from hexit.sim.plots.gantt import merged_slices
from hexit.sim.plots.latency_by_layer import unit_op_cycles
from hexit.sim.plots.run import PICTURES, STREAM_PICTURES, draw_all, pictures_of
from hexit.sim.plots.style import METADATA
from hexit.sim.report.build import build_report
from support.outcomes import (
    SHAPE,
    SPATIAL,
    STREAMED,
    drawn,
    outcome,
    profile_outcome,
    regression_outcome,
    setup,
    text_source,
    trace,
    waiting_outcome,
)
from support.strategies import LAWS, programs


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_every_picture_is_written_twice_with_progress_and_equal_bytes_whatever_the_users_style(tmp_path: Path) -> None:
    found = outcome()
    data, report, seen = picture_data(found), build_report(found), []

    def stage(title: str, n_total: int) -> Callable[[int], None]:
        seen.append((title, n_total))
        return lambda n_done: seen.append(("done", n_done))

    draw_all(found, data, report, tmp_path / "first", stage)
    with matplotlib.rc_context({"font.size": 30, "svg.hashsalt": None, "savefig.dpi": 10}):
        draw_all(found, data, report, tmp_path / "second", silent)
        assert matplotlib.rcParams["font.size"] == 30
    first = files(tmp_path / "first")
    assert sorted(first) == sorted(f"{name}.{kind}" for name in PICTURES for kind in METADATA)
    assert first == files(tmp_path / "second")
    assert seen == [("pictures", len(PICTURES)), *[("done", 1)] * len(PICTURES)]
    assert all(raw.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml") for name, raw in first.items())
    assert not any(b"<dc:date>" in raw or b"Software" in raw for raw in first.values())


def test_pictures_of_a_stream_are_drawn_where_somebody_waits() -> None:
    assert pictures_of(outcome()).keys() == PICTURES.keys()
    assert pictures_of(outcome("pabee", exit_overlap="interleave", n_interleaved=2)).keys() == PICTURES.keys()
    assert pictures_of(waiting_outcome(load=1e-6, n_sentences=20)).keys() == PICTURES.keys()
    assert pictures_of(waiting_outcome()).keys() == PICTURES.keys() | STREAM_PICTURES.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(outcome, id="two classes"),
        pytest.param(lambda: outcome("elbert", n_classes=3, **STREAMED), id="three classes, streamed, speculating"),
        pytest.param(lambda: outcome("pabee:patience=2", exit_overlap="interleave", n_interleaved=2), id="interleaved"),
        pytest.param(lambda: outcome("fixed-depth:layer=2", **STREAMED), id="fixed depth"),
        pytest.param(lambda: outcome("oracle"), id="oracle"),
        pytest.param(lambda: outcome("hardware:run_length=5", labelled=False), id="no labels"),
        pytest.param(lambda: outcome("max-probability", n_layers=1, n_samples=2), id="one layer"),
        pytest.param(lambda: outcome("pabee:patience=3", labelled=False, n_layers=1), id="one layer, no labels"),
        pytest.param(lambda: outcome("entropy", n_layers=24), id="24 layers"),
        pytest.param(lambda: outcome(**SPATIAL), id="spatial"),
        pytest.param(profile_outcome, id="profile"),
        pytest.param(regression_outcome, id="regression"),
        pytest.param(lambda: waiting_outcome(load=1.5, deadline_us=50.0, drop="late"), id="waiting, late ones dropped"),
    ],
)
def test_nothing_is_cut_off(make: Callable[[], Outcome]) -> None:
    found = make()
    report = build_report(found)
    report = dataclasses.replace(report, data=dataclasses.replace(report.data, name="$x_1$ & <b> " + 9 * "long name "))
    for name, picture in pictures_of(found).items():
        figure = drawn(picture, found, report)
        figure.draw_without_rendering()
        box = figure.get_tightbbox()
        width, height = figure.get_size_inches()
        assert min(box.x0, box.y0) >= 0, name
        assert box.x1 <= width, name
        assert box.y1 <= height, name


def test_bars_of_exits_are_the_histogram() -> None:
    found = outcome()
    counts, shares = drawn(PICTURES["exits"], found).axes
    bars = [patch.get_height() for patch in counts.patches if isinstance(patch, Rectangle)]
    assert bars == [int(np.sum(found.decisions.integer.exit_layer == layer)) for layer in (1, 2, 3, 4)]
    (line,) = shares.lines
    assert np.asarray(line.get_ydata()).tolist() == (100 * np.cumsum(bars) / sum(bars)).tolist()
    (mean,) = counts.lines
    assert np.asarray(mean.get_xdata())[0] == found.decisions.integer.mean_layer


def test_curves_of_accuracy_are_the_sweep_and_the_star_is_this_run() -> None:
    found = outcome()
    report = build_report(found)
    (axes,) = drawn(PICTURES["accuracy_speed"], found).axes
    lines = {str(line.get_label()).partition(" (")[0]: line for line in axes.lines}
    star = lines.pop("this run")
    assert star.get_data() == ([report.speedup.layer], [100 * (report.accuracy.with_exits or math.nan)])
    assert report.accuracy.float is not None
    assert set(np.ravel(lines.pop("float, full depth").get_ydata())) == {100 * report.accuracy.float}
    sweep = sweep_rules(found.source, found.setup.rule)
    assert (
        set(lines)
        == set(sweep)
        == {"hardware", "elbert", "pabee", "normalized-entropy", "entropy", "max-probability", "fixed-depth", "oracle"}
    )
    for rule in set(sweep) - {"oracle"}:
        assert np.ravel(lines[rule].get_xdata()).tolist() == [4 / point.mean_layer for point in sweep[rule]]
        assert np.ravel(lines[rule].get_ydata()).tolist() == [100 * (point.score or 0) for point in sweep[rule]]


def test_the_band_and_the_bar_are_the_intervals_of_the_report() -> None:
    found = outcome()
    report = build_report(found)
    (axes,) = drawn(PICTURES["accuracy_speed"], found).axes
    assert report.comparison is not None
    band, bar = axes.collections
    corners = {(round(x, 6), round(y, 6)) for x, y in np.asarray(band.get_paths()[0].vertices).tolist()}
    for layer, one in enumerate(report.comparison.interval_by_exit, 1):
        assert {(round(4 / layer, 6), round(100 * end, 6)) for end in (one.low, one.high)} <= corners
    ends = np.asarray(bar.get_paths()[0].vertices).tolist()
    interval = report.comparison.interval
    assert ends == [[report.speedup.layer, 100 * interval.low], [report.speedup.layer, 100 * interval.high]]


def test_a_bound_far_above_the_curves_is_named_with_its_value() -> None:
    guesses = dataclasses.replace(trace(n_samples=400), labels=np.random.default_rng(0).integers(0, 2, 400))
    blind = evaluate(setup("hardware"), text_source(guesses, SHAPE))  # exits that know nothing: about 50 %
    (axes,) = drawn(PICTURES["accuracy_speed"], blind).axes
    (oracle,) = sweep_rules(blind.source, blind.setup.rule)["oracle"]
    assert [text.get_text() for text in axes.texts] == [f"oracle {100 * (oracle.score or 0):.4g} ↑"]
    (mark,) = [line for line in axes.lines if str(line.get_label()).startswith("oracle")]
    assert axes.get_ylim()[0] < np.ravel(mark.get_ydata())[0] < axes.get_ylim()[1] < 100 * (oracle.score or 0)


def test_without_labels_the_picture_shows_mean_layers_by_setting_and_says_so() -> None:
    found = profile_outcome()
    figure = drawn(PICTURES["accuracy_speed"], found)
    assert "no labels" in figure.texts[0].get_text()
    left, right = figure.axes
    sweep, star = left.lines
    points = sorted(sweep_rules(found.source, found.setup.rule)["entropy"], key=lambda p: p.rule.threshold)  # type: ignore[union-attr]
    assert np.ravel(sweep.get_ydata()).tolist() == [point.mean_layer for point in points]
    assert star.get_data() == ([0.3], [found.decisions.integer.mean_layer])
    here = [100 * float(np.mean(found.decisions.integer.exit_layer <= layer)) for layer in (1, 2, 3, 4)]
    assert np.ravel(right.lines[-1].get_ydata()).tolist() == pytest.approx(here)


def test_latency_picture_shows_busy_cycles_and_the_table_of_exits() -> None:
    found = outcome(**STREAMED)
    left, right = drawn(PICTURES["latency_by_layer"], found).axes
    wanted = layer_breakdown(found)
    for place, name in enumerate(wanted):
        bars = [
            patch for patch in left.patches if isinstance(patch, Rectangle) and round(patch.get_y() + 0.35) == place
        ]
        assert sum(bar.get_width() for bar in bars) == wanted[name]
        assert len(bars) == len(unit_op_cycles(found.design.program, Unit[name.upper()]))
    clock_mhz = found.setup.design.clock_mhz
    latencies = [patch.get_height() for patch in right.patches if isinstance(patch, Rectangle)]
    assert latencies == (found.sentence.table.latency_cycles / clock_mhz).tolist()
    dashed = {float(np.ravel(line.get_ydata())[0]) for line in right.lines}
    in_stream = found.with_exits.result.latency_cycles / clock_mhz
    assert dashed == {float(np.percentile(in_stream, q, method="higher")) for q in (50, 95, 99)}


@given(programs(), st.data())
@LAWS
def test_bars_of_the_gantt_chart_keep_all_work_in_their_window(program: Program, data: st.DataObject) -> None:
    run = simulate_sentence(program)
    timeline = sentence_timeline(run, data.draw(st.integers(1, run.program.n_layers)))
    ops = (*run.program.prologue.op_names, *run.program.layer.op_names, *run.program.exit.op_names)
    kinds = {op: "attention product" if op in ("scores", "context") else op for op in ops}
    first = data.draw(st.integers(0, timeline.total_cycles))
    gap = data.draw(st.sampled_from([0.0, 2.5, 40.0]))
    slices = merged_slices(timeline.intervals, kinds, first, timeline.total_cycles, gap)
    for unit in UNIT_NAMES:
        mine = [s for s in slices if s.unit == unit]
        busy = sum(max(0, i.end_cycle - max(first, i.start_cycle)) for i in timeline.intervals if i.unit == unit)
        assert sum(s.busy_cycles for s in mine) == busy
        assert all(first <= s.start_cycle < s.end_cycle <= timeline.total_cycles for s in mine)
        assert all(s.busy_cycles <= s.end_cycle - s.start_cycle for s in mine)
        assert all(before.end_cycle <= after.start_cycle for before, after in pairwise(mine))
    if gap == 0 and first == 0:
        assert sum(s.busy_cycles for s in slices if s.squashed) == sum(
            i.end_cycle - i.start_cycle for i in timeline.intervals if i.squashed
        )


def test_gantt_chart_marks_every_decision_and_hatches_what_was_squashed() -> None:
    found = outcome(**STREAMED)
    leaves, clock_mhz = found.sentence.exit_layer, found.setup.design.clock_mhz
    whole, last, leaving = drawn(PICTURES["gantt"], found).axes
    decided = (found.sentence.run.decision_cycle / clock_mhz).tolist()
    marks = [line for line in whole.lines if line.get_marker() == "v"]
    assert [np.ravel(mark.get_xdata()).tolist() for mark in marks] == [decided[:leaves]]
    assert any(patch.get_hatch() for patch in leaving.patches)
    assert all(axes.get_xlim()[0] < decided[leaves - 1] < axes.get_xlim()[1] for axes in (whole, last, leaving))
    assert whole.get_xlim()[0] == 0 < last.get_xlim()[0] < leaving.get_xlim()[0]
