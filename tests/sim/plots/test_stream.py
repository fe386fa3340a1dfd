from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.patches import StepPatch
from matplotlib.text import Annotation

from hexit.quant.arrays import Floats
from hexit.sim.core.program import UNIT_NAMES, Unit
from hexit.sim.core.stream_levels import stream_levels
from hexit.sim.plots.stream import (
    LEAST_UTILISATION,
    N_BINS,
    anyone_waits,
    bin_edges,
    draw_latency,
    draw_queue,
    tail,
    waiting_sentences,
)
from hexit.sim.report.build import build_report
from support.outcomes import drawn, marks, outcome, waiting_outcome
from support.strategies import LAWS

Reals = Floats


def steps(axes: Axes) -> dict[str, tuple[Reals, Reals]]:
    """Values and edges of the step curves of an axes, by their names in the legend."""
    found = {str(patch.get_label()): patch.get_data() for patch in axes.patches if isinstance(patch, StepPatch)}
    return {name: (np.asarray(values), np.asarray(edges)) for name, (values, edges, _) in found.items()}


LATENCIES = st.lists(st.integers(1, 60), min_size=1, max_size=60)


@given(LATENCIES)
@LAWS
def test_a_tail_counts_the_sentences_that_take_longer(latencies: list[int]) -> None:
    value, longer = tail(np.array(latencies))
    assert value.tolist() == sorted(set(latencies))
    assert longer.tolist() == [sum(other > one for other in latencies) / len(latencies) for one in value]


@given(st.integers(0, 2**32 - 1), st.integers(3, 40))
@LAWS
def test_a_thinned_tail_is_part_of_the_whole_one_with_both_ends_and_the_rarest(seed: int, n_points: int) -> None:
    latencies = np.random.default_rng(seed).integers(1, 100_000, 3000)
    whole = dict(zip(*(column.tolist() for column in tail(latencies, 3000)), strict=True))
    value, longer = tail(latencies, n_points)
    assert len(value) <= n_points
    assert all(whole[one] == share for one, share in zip(value.tolist(), longer.tolist(), strict=True))
    assert (value[0], value[-1], longer[-1]) == (latencies.min(), latencies.max(), 0)


def test_the_queue_of_the_picture_is_that_of_the_stream_sentence_by_sentence() -> None:
    found = waiting_outcome(load=1.2, n_sentences=150)
    stream, report = found.with_exits.result, build_report(found)
    levels = waiting_sentences(stream)
    for cycle in [*stream.arrival_cycle.tolist(), *stream.start_cycle.tolist()]:
        waiting = int(np.sum((stream.arrival_cycle <= cycle) & (cycle < stream.start_cycle)))
        assert levels.level[np.searchsorted(levels.cycle, cycle, side="right") - 1] == waiting
    above, below = drawn(draw_queue, found, report).axes
    (largest, edges_ms), (mean, _) = steps(above).values()
    assert largest.max() == report.stream.max_waiting
    waits = stream.start_cycle - stream.arrival_cycle
    assert mean @ np.diff(edges_ms) * 200e3 == pytest.approx(waits.sum())
    assert edges_ms[-1] == stream.total_cycles / 200e3
    assert (mean <= largest).all()
    used = stream_levels(stream, N_BINS).utilisation_fraction
    seen = [unit for unit in Unit if used[:, unit].max() >= LEAST_UTILISATION]
    assert steps(below).keys() == {UNIT_NAMES[unit].replace("_", " ") for unit in seen}
    assert steps(below)["array"][0].tolist() == (100 * used[:, Unit.ARRAY]).tolist()


def test_latencies_of_the_picture_are_those_of_the_stream() -> None:
    found = waiting_outcome(n_sentences=1500)
    report = build_report(found)
    (axes,) = drawn(draw_latency, found, report).axes
    lines = {str(line.get_label()): line for line in axes.lines}
    stream = found.with_exits.result
    service = stream.finish_cycle - stream.start_cycle
    wanted = {
        "without early exit": found.full_depth.result.latency_cycles,
        "in service": service,
        "with early exits": stream.latency_cycles,
    }
    for name, latencies in wanted.items():
        x, y = (np.asarray(values) for values in lines[name].get_data())
        assert y[-1] < axes.get_ylim()[0]  # the longest falls below the edge
        assert (x[0], y[0]) == (pytest.approx(latencies.min() / 200e3), 100)
        for one, share in zip(x[1:-1], y[1:-1], strict=True):
            assert share == pytest.approx(100 * np.mean(latencies > round(one * 200e3)))
    latency = report.latency_us
    assert marks(axes) == [
        pytest.approx((value / 1000, 100 - q))
        for q, value in ((50, latency.p50), (95, latency.p95), (99, latency.p99), (99.9, latency.p99_9))
    ]
    assert [label.xy for label in axes.texts if isinstance(label, Annotation)] == marks(axes)


def test_a_percentile_that_so_few_sentences_do_not_have_is_not_marked() -> None:
    (axes,) = drawn(draw_latency, waiting_outcome(n_sentences=150)).axes
    assert [label.get_text().split(":")[0] for label in axes.texts] == ["p50", "p95", "p99"]


def test_a_deadline_is_a_line_and_the_dropped_are_counted_in_the_title() -> None:
    found = waiting_outcome(load=2.0, n_sentences=200, deadline_us=60.0, drop="late")
    n_dropped = int((~found.with_exits.result.served).sum())
    assert n_dropped > 0
    (axes,) = drawn(draw_latency, found).axes
    (deadline,) = [line for line in axes.lines if line.get_label() == "deadline"]
    assert np.asarray(deadline.get_xdata())[0] == 0.06
    figure = drawn(draw_queue, found)
    assert (
        figure.texts[0].get_text() == f"Queue and utilisation over time: 200 sentences, {n_dropped:,} of them dropped"
    )


def test_nobody_waits_in_a_closed_loop() -> None:
    stream = outcome().with_exits.result
    assert not anyone_waits(stream)
    later = stream.start_cycle.copy()
    later[3] += 1
    assert anyone_waits(dataclasses.replace(stream, start_cycle=later))


@pytest.mark.parametrize(("last", "n_bins"), [(3, 3), (N_BINS, N_BINS), (10**12 + 7, N_BINS)])
def test_bins_are_whole_cycles_from_the_first_to_the_last(last: int, n_bins: int) -> None:
    edges = bin_edges(last)
    assert (edges[0], edges[-1], edges.size) == (0, last, n_bins + 1)
    assert np.ptp(np.diff(edges)) <= 1
