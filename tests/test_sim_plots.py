from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from strategies import LAWS, programs

from hw_model.accelerator import load_design
from hw_model.device import load_device
from quant.config import EncoderShape, QuantConfig
from quant.exits import parse_rule
from quant.profile import Profile
from quant.store import Calibration, ModelCard, silent
from quant.tasks import TextSet
from quant.trace import ExitTrace, TraceOrigin
from sim.experiment import (
    Outcome,
    Setup,
    TextSource,
    evaluate,
    layer_breakdown,
    profile_source,
    shown_exit,
    sweep_rules,
)
from sim.plot_style import METADATA, STYLE
from sim.plots import PICTURES, draw_all, merged_slices, roofline_points, unit_op_cycles
from sim.report import Report, build_report
from sim.schedule import UNIT_NAMES, Program, Unit
from sim.stream import simulate_sentence
from sim.timeline import sentence_timeline

SHAPE = EncoderShape(
    n_layers=4,
    hidden_size=16,
    n_heads=2,
    ffn_size=32,
    embedding_size=8,
    vocabulary_size=50,
    n_positions=32,
    n_token_types=2,
    shared_layers=True,
    n_classes=2,
    pooler=True,
    pooling="first",
    shared_head=True,
)
STREAMED: dict[str, Any] = {"weight_placement": "streamed", "exit_overlap": "speculate"}


def trace(n_layers: int = 4, n_classes: int = 2, *, labelled: bool = True, n_samples: int = 30) -> ExitTrace:
    random = np.random.default_rng(7)
    target = random.normal(size=(n_samples, n_classes))
    noise = random.normal(size=(n_layers, n_samples, n_classes))
    logits = target * np.linspace(0.5, 3, n_layers)[:, None, None] + noise
    labels = target.argmax(1) if n_classes > 1 else target[:, 0]
    origin = TraceOrigin(
        checkpoint_hash="c", model="random", data="random.tsv", data_hash="d", quant=None, n_truncated=0
    )
    return ExitTrace(
        logits=np.rint(1024 * logits).astype(np.int32),
        scale=2.0**-10,
        labels=labels if labelled else np.full_like(labels, -1),
        lengths=np.full(n_samples, 8, np.int32),
        origin=origin,
    )


def text_source(recorded: ExitTrace, shape: EncoderShape) -> TextSource:
    names = tuple(str(k) for k in range(shape.n_classes)) if shape.n_classes > 1 else ()
    texts = TextSet(
        name="random.tsv",
        texts=("a",) * recorded.n_samples,
        pairs=None,
        label_names=names,
        labels=tuple(recorded.labels.tolist()),
        content_hash="d",
    )
    card = ModelCard(name="random", folder="", content_hash="c", shape=shape, label_names=names)
    calibration = Calibration(source="none", sentences=("a",))
    return TextSource(card=card, texts=texts, calibration=calibration, float_trace=recorded, trace=recorded)


def setup(rule: str, shape: EncoderShape = SHAPE, **design: Any) -> Setup:
    accelerator = dataclasses.replace(load_design("default"), **design)
    return Setup(
        shape=shape,
        quant=QuantConfig.uniform(8),
        rule=parse_rule(rule),
        design=accelerator,
        device=load_device("zcu102"),
        sequence_length=8,
        seed=0,
    )


def outcome(
    rule: str = "hardware:threshold=1,run_length=3",
    *,
    labelled: bool = True,
    n_layers: int = 4,
    n_classes: int = 2,
    n_samples: int = 30,
    **design: Any,
) -> Outcome:
    shape = dataclasses.replace(SHAPE, n_layers=n_layers, n_classes=n_classes)
    recorded = trace(n_layers, n_classes, labelled=labelled, n_samples=n_samples)
    return evaluate(setup(rule, shape, **design), text_source(recorded, shape))


def profile_outcome() -> Outcome:
    entropies = np.random.default_rng(3).uniform(0, 0.69, (3, 25))
    profile = Profile(entropies=entropies, n_layers=4, source="entropies.csv", data_hash="d")
    return evaluate(setup("entropy:threshold=0.3"), profile_source(profile, 8))


def regression_outcome() -> Outcome:
    return outcome("pabee-regression:patience=1,tolerance=0.5", n_classes=1)


def drawn(name: str, found: Outcome, report: Report | None = None) -> Figure:
    with matplotlib.style.context([STYLE], after_reset=True):
        return PICTURES[name](found, report or build_report(found))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_picture_is_written_twice_with_progress_and_equal_bytes_whatever_the_users_style(tmp_path: Path) -> None:
    found = outcome()
    report, seen = build_report(found), []

    def stage(title: str, n_total: int) -> Callable[[int], None]:
        seen.append((title, n_total))
        return lambda n_done: seen.append(("done", n_done))

    draw_all(found, report, tmp_path / "first", stage)
    with matplotlib.rc_context({"font.size": 30, "svg.hashsalt": None, "savefig.dpi": 10}):
        draw_all(found, report, tmp_path / "second", silent)
        assert matplotlib.rcParams["font.size"] == 30
    first = files(tmp_path / "first")
    assert sorted(first) == sorted(f"{name}.{kind}" for name in PICTURES for kind in METADATA)
    assert first == files(tmp_path / "second")
    assert seen == [("pictures", 5), *[("done", 1)] * 5]
    assert all(raw.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml") for name, raw in first.items())
    assert not any(b"<dc:date>" in raw or b"Software" in raw for raw in first.values())


@pytest.mark.parametrize("name", PICTURES)
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
        pytest.param(profile_outcome, id="profile"),
        pytest.param(regression_outcome, id="regression"),
    ],
)
def test_nothing_is_cut_off(name: str, make: Callable[[], Outcome]) -> None:
    found = make()
    report = build_report(found)
    report = dataclasses.replace(report, data=dataclasses.replace(report.data, name="$x_1$ & <b> " + 9 * "long name "))
    figure = drawn(name, found, report)
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height


def test_bars_of_exits_are_the_histogram() -> None:
    found = outcome()
    counts, shares = drawn("exits", found).axes
    bars = [patch.get_height() for patch in counts.patches if isinstance(patch, Rectangle)]
    assert bars == [int(np.sum(found.decision.exit_layer == layer)) for layer in (1, 2, 3, 4)]
    (line,) = shares.lines
    assert np.asarray(line.get_ydata()).tolist() == (100 * np.cumsum(bars) / sum(bars)).tolist()
    (mean,) = counts.lines
    assert np.asarray(mean.get_xdata())[0] == found.decision.mean_layer


def test_curves_of_accuracy_are_the_sweep_and_the_star_is_this_run() -> None:
    found = outcome()
    report = build_report(found)
    (axes,) = drawn("accuracy_speed", found).axes
    lines = {str(line.get_label()).removesuffix(" (bound)"): line for line in axes.lines}
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


def test_a_bound_far_above_the_curves_is_named_with_its_value() -> None:
    guesses = dataclasses.replace(trace(n_samples=400), labels=np.random.default_rng(0).integers(0, 2, 400))
    blind = evaluate(setup("hardware"), text_source(guesses, SHAPE))  # exits that know nothing: about 50 %
    (axes,) = drawn("accuracy_speed", blind).axes
    (oracle,) = sweep_rules(blind.source, blind.setup.rule)["oracle"]
    assert [text.get_text() for text in axes.texts] == [f"oracle {100 * (oracle.score or 0):.4g} ↑"]
    (mark,) = [line for line in axes.lines if str(line.get_label()).startswith("oracle")]
    assert axes.get_ylim()[0] < np.ravel(mark.get_ydata())[0] < axes.get_ylim()[1] < 100 * (oracle.score or 0)


def test_without_labels_the_picture_shows_mean_layers_by_setting_and_says_so() -> None:
    found = profile_outcome()
    figure = drawn("accuracy_speed", found)
    assert "no labels" in figure.texts[0].get_text()
    left, right = figure.axes
    sweep, star = left.lines
    points = sorted(sweep_rules(found.source, found.setup.rule)["entropy"], key=lambda p: p.rule.threshold)  # type: ignore[union-attr]
    assert np.ravel(sweep.get_ydata()).tolist() == [point.mean_layer for point in points]
    assert star.get_data() == ([0.3], [found.decision.mean_layer])
    here = [100 * float(np.mean(found.decision.exit_layer <= layer)) for layer in (1, 2, 3, 4)]
    assert np.ravel(right.lines[-1].get_ydata()).tolist() == pytest.approx(here)


def test_latency_picture_shows_busy_cycles_and_the_table_of_exits() -> None:
    found = outcome(**STREAMED)
    left, right = drawn("latency_by_layer", found).axes
    wanted = layer_breakdown(found)
    for place, name in enumerate(wanted):
        bars = [
            patch for patch in left.patches if isinstance(patch, Rectangle) and round(patch.get_y() + 0.35) == place
        ]
        assert sum(bar.get_width() for bar in bars) == wanted[name]
        assert len(bars) == len(unit_op_cycles(found, Unit[name.upper()]))
    clock_mhz = found.setup.design.clock_mhz
    latencies = [patch.get_height() for patch in right.patches if isinstance(patch, Rectangle)]
    assert latencies == (found.table.latency_cycles / clock_mhz).tolist()
    dashed = {float(np.ravel(line.get_ydata())[0]) for line in right.lines}
    in_stream = found.stream.latency_cycles / clock_mhz
    assert dashed == {float(np.percentile(in_stream, q, method="higher")) for q in (50, 95, 99)}


@pytest.mark.parametrize("design", [{}, STREAMED, STREAMED | {"memory_efficiency_fraction": 0.01}])
def test_points_of_the_roofline_count_all_work_and_lie_under_both_ceilings(design: dict[str, Any]) -> None:
    found = outcome(**design)
    *ops, whole = points = roofline_points(found)
    assert sum(point.macs * len(point.names) for point in ops) == found.workload.layer_macs + found.workload.exit_macs
    moved = sum(point.n_bytes * len(point.names) for point in ops)
    assert moved <= found.program.layer.n_bytes.sum() + found.program.exit.n_bytes.sum()
    assert (moved > 0) == bool(design)
    assert (whole.macs, whole.cycles) == (found.stream.macs, found.stream.total_cycles)
    for point in points:
        assert point.macs <= point.cycles * found.setup.design.n_macs
        assert point.n_bytes <= point.cycles * found.program.channel.bytes_per_cycle
    left, right = drawn("roofline", found).axes
    marks = [line for axes in (left, right) for line in axes.lines if len(np.ravel(line.get_xdata())) == 1]
    rates = sorted(float(np.ravel(mark.get_ydata())[0]) for mark in marks)
    assert rates == sorted(point.gmac_s(found.setup.design.clock_mhz) for point in points)
    assert sum(mark.axes is right for mark in marks) == sum(math.isinf(point.macs_per_byte) for point in points)


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
    leaves, clock_mhz = shown_exit(found), found.setup.design.clock_mhz
    whole, last, leaving = drawn("gantt", found).axes
    decided = (found.sentence.decision_cycle / clock_mhz).tolist()
    marks = [line for line in whole.lines if line.get_marker() == "v"]
    assert [np.ravel(mark.get_xdata()).tolist() for mark in marks] == [decided[:leaves]]
    assert any(patch.get_hatch() for patch in leaving.patches)
    assert all(axes.get_xlim()[0] < decided[leaves - 1] < axes.get_xlim()[1] for axes in (whole, last, leaving))
    assert whole.get_xlim()[0] == 0 < last.get_xlim()[0] < leaving.get_xlim()[0]
