from __future__ import annotations

import csv
import io
import math

from hexit.quant.traces.store import silent
from hexit.sim.job.record import make_job
from hexit.sim.job.resolve import simulate
from hexit.sim.report.build import build_report
from hexit.sim.report.row import row
from support.command_line import Simulate

EAGER = {"rule": "hardware:threshold=1.2,run_length=2"}


def test_a_row_has_the_figures_of_the_report(simulated: Simulate) -> None:
    report = build_report(simulated(**EAGER))
    figures = row(report)
    assert (figures["rule"], figures["weight_bits"], figures["design"]) == (EAGER["rule"], 8, "default")
    assert (figures["accuracy"], figures["accuracy_full_depth"]) == (
        report.accuracy.with_exits,
        report.accuracy.quantised,
    )
    assert figures["mean_layer"] == report.exits.mean_layer
    assert figures["latency_mean_us"] == report.latency_us.mean
    assert (figures["latency_p50_us"], figures["latency_p99_9_us"]) == (report.latency_us.p50, report.latency_us.p99_9)
    assert (figures["throughput_per_s"], figures["energy_uj"]) == (report.throughput_per_s, report.energy_uj)
    for kind, usage in report.resources.items():
        assert figures[kind] == usage.used
    assert figures["lut_fraction"] == report.resources["lut"].used / report.resources["lut"].available
    assert math.isnan(float(figures["sustained_per_s"]))


def test_rows_of_all_runs_have_the_same_columns_of_plain_values(simulated: Simulate, profile: str) -> None:
    saturated = build_report(simulated(**EAGER, saturate=True, sentences=40))
    replayed = build_report(simulate(make_job(profile=profile), silent)[0])
    rows = [row(saturated), row(replayed)]
    assert rows[0].keys() == rows[1].keys()
    assert {type(value) for figures in rows for value in figures.values()} == {str, int, float}
    assert saturated.stream.saturation is not None
    assert rows[0]["sustained_per_s"] == saturated.stream.saturation.sustained_per_s
    assert math.isnan(float(rows[1]["accuracy"]))
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    read = list(csv.DictReader(io.StringIO(table.getvalue())))
    assert float(read[1]["mean_layer"]) == replayed.exits.mean_layer


def test_a_row_has_the_choice_and_the_comparison_and_typed_settings_have_none(simulated: Simulate) -> None:
    report = build_report(simulated(max_drop=0.5))
    figures, choice, comparison = row(report), report.choice, report.comparison
    assert choice is not None
    assert comparison is not None
    assert figures["chosen_on"] == "albert/selection.tsv"
    assert (figures["chosen_score"], figures["chosen_drop"]) == (choice.chosen.score, choice.chosen.drop)
    assert figures["chosen_mean_layer"] == choice.chosen.mean_layer
    for name, rival in (("fixed_depth", comparison.fixed_depth), ("full_depth", comparison.full_depth)):
        ends = rival.difference_interval
        found = [figures[f"gain_over_{name}{part}"] for part in ("", "_low", "_high", "_p")]
        assert found == [rival.difference, ends.low, ends.high, rival.p_value]
    assert figures["fixed_depth_layer"] == comparison.fixed_depth.layer
    typed = row(build_report(simulated(**EAGER)))
    assert typed["chosen_on"] == ""
    assert math.isnan(float(typed["chosen_drop"]))
