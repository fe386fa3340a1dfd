"""Settings are chosen on text that is not evaluated, said on screen and in files, and the same for run and unit."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hexit.hw_model.exit_unit.build import load_build
from hexit.quant.data.tasks import TextSet, load_texts, unlabelled_texts
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import format_rule, parse_rule
from hexit.quant.traces.choice import choose, search
from hexit.quant.traces.store import Store, calibration_of
from hexit.sim.job.job_file import chosen_by, job_toml, load_job, settled
from hexit.sim.job.outcome import Outcome
from hexit.sim.job.record import DEFAULT_MAX_DROP, RuleOptions, make_job
from hexit.sim.job.resolve import simulate
from hexit.sim.job.selection import Choice, labelled_by_full_depth, left_over
from hexit.sim.report.build import build_report
from support.command_line import Hexit, Simulate, hexit
from support.models import SELECTION, SENTENCES, write_labelled

LOOSE = {"max_drop": 0.5}  # thirty sentences allow a tiny network no less


def choice_of(outcome: Outcome) -> Choice:
    assert outcome.choice is not None
    return outcome.choice


def test_the_default_run_chooses_on_the_text_beside_the_weights(simulated: Simulate) -> None:
    found = choice_of(simulated())
    assert (found.goal.max_drop, found.goal.speedup) == (DEFAULT_MAX_DROP, None)
    text = found.text
    assert (text.name, text.n_sentences, text.n_left_out, text.labels) == ("albert/selection.tsv", 30, 0, "given")
    assert len(SELECTION) == 30


def test_the_run_has_the_settings_that_the_choice_on_the_recorded_logits_gives(
    simulated: Simulate, tiny_folders: dict[str, Path], warm_cache: Path
) -> None:
    outcome = simulated(rule="elbert", **LOOSE)
    found = choice_of(outcome)
    store = Store(folder=warm_cache)
    card = store.card(str(tiny_folders["albert"]))
    texts = load_texts(str(tiny_folders["albert"] / "selection.tsv"), label_names=card.label_names)
    trace = store.quantised_trace(card, texts, outcome.setup.quant, calibration_of(card, ""), 24)
    searched = search(parse_rule("elbert"), trace)
    row = choose(searched, found.goal)
    assert format_rule(outcome.setup.rule) == found.chosen.rule == format_rule(searched.setting(row))
    assert found.chosen.mean_layer == searched.mean_layer[row] < 3
    assert outcome.design.exit_path.spec.rule == found.chosen.rule
    assert {rival.rule.partition(":")[0] for rival in found.rivals}.isdisjoint({"elbert", "fixed-depth", "oracle"})


def test_the_evaluated_labels_choose_nothing(simulated: Simulate, tmp_path: Path) -> None:
    write_labelled(tmp_path / "other.tsv", tuple(reversed(SENTENCES)))  # the same sentences, other labels
    one, other = simulated(**LOOSE), simulated(data=str(tmp_path / "other.tsv"), **LOOSE)
    assert one.source.trace.labels.tolist() != other.source.trace.labels[::-1].tolist()
    assert one.choice == other.choice


@pytest.mark.parametrize(
    "options",
    [{"threshold": 2.0}, {"rule": "hardware:run_length=2"}, {"rule": "oracle"}, {"rule": "pabee", "threshold": 1}],
)
def test_typed_settings_are_not_chosen(options: dict[str, Any], simulated: Simulate) -> None:
    assert simulated(**options).choice is None


def test_a_named_rule_without_parameters_is_chosen_for_as_the_default_one(simulated: Simulate) -> None:
    for name in ("pabee", "fixed-depth", "entropy", "max-probability"):
        found = simulated(rule=name, **LOOSE)
        assert found.setup.rule.name == name
        assert choice_of(found).chosen.rule == format_rule(found.setup.rule)
    depth = simulated(rule="fixed-depth", speedup=3)
    assert format_rule(depth.setup.rule) == "fixed-depth:layer=1"


def texts_of(*sentences: str, pairs: tuple[str, ...] | None = None) -> TextSet:
    return dataclasses.replace(unlabelled_texts("some", sentences, ("a", "b")), pairs=pairs)


def test_evaluated_sentences_are_left_out_whatever_their_case_and_spaces() -> None:
    texts = texts_of("A good\tfilm ", "a  bore", "a shame")
    assert left_over(texts, texts_of("a GOOD film", "another")).texts == ("a  bore", "a shame")
    assert left_over(texts, texts_of("something else")) is texts
    with pytest.raises(ConfigError, match=r"--selection = some: every sentence of it is also evaluated \(some\)\."):
        left_over(texts, texts_of("a good film", "a bore", "A SHAME", "more"))


def test_a_pair_is_evaluated_where_both_of_its_texts_are() -> None:
    texts = texts_of("one", "one", pairs=("two", "three"))
    assert left_over(texts, texts_of("One", pairs=("TWO",))).pairs == ("three",)


def test_sentences_left_out_are_counted(simulated: Simulate, tmp_path: Path) -> None:
    write_labelled(tmp_path / "shared.tsv", (*SELECTION[:12], *SENTENCES[:3]))
    text = choice_of(simulated(selection=str(tmp_path / "shared.tsv"))).text
    assert (text.n_sentences, text.n_left_out) == (12, 3)
    assert text.name == f"{tmp_path.name}/shared.tsv"


def test_without_selection_text_the_networks_own_answers_on_the_calibration_text_are_labels(
    simulated: Simulate, tmp_path: Path
) -> None:
    (tmp_path / "c.txt").write_text("\n".join(SELECTION[:20]) + "\n")
    (tmp_path / "model").mkdir()
    source = Path(simulated().source.card.folder)  # type: ignore[union-attr]
    for file in source.iterdir():
        if file.name != "selection.tsv":
            (tmp_path / "model" / file.name).write_bytes(file.read_bytes())
    found = choice_of(simulated(model=str(tmp_path / "model"), calibration=str(tmp_path / "c.txt"), **LOOSE))
    assert (found.text.name, found.text.labels, found.text.n_sentences) == ("c.txt", "full depth", 20)
    assert found.chosen.score_full_depth == 1


def test_answers_at_full_depth_are_classes_or_outputs(simulated: Simulate, regression: dict[str, str]) -> None:
    classes = labelled_by_full_depth(simulated().source.trace)
    assert classes.labels.tolist() == classes.logits[-1].argmax(axis=1).tolist()
    real = labelled_by_full_depth(simulated(**regression).source.trace)
    assert np.array_equal(real.labels, real.real_logits[-1, :, 0])


def test_a_regression_is_chosen_for_by_its_correlation(simulated: Simulate, regression: dict[str, str]) -> None:
    found = choice_of(simulated(model=regression["model"], data=regression["data"]))
    assert found.chosen.rule.startswith("pabee-regression:patience=")
    assert (found.metric, found.rivals) == ("pearson", ())


def test_the_logits_of_the_selection_text_are_recorded_once(
    tiny_folders: dict[str, Path], tiny_tsv: Path, tmp_path: Path
) -> None:
    titles: list[str] = []

    def stage(title: str, n_total: int) -> Any:
        titles.append(f"{title} {n_total}")
        return lambda n_done: None

    job = make_job(model=str(tiny_folders["albert"]), data=str(tiny_tsv), cache_dir=tmp_path)
    first, _ = simulate(job, stage)
    assert sorted(title for title in titles if title.startswith("quantised")) == [
        "quantised model, 8-bit weights 10",
        "quantised model, 8-bit weights 30",
    ]
    titles.clear()
    again, _ = simulate(job, stage)
    assert titles == []
    assert build_report(again) == build_report(first)


def test_a_job_file_holds_the_chosen_settings_and_repeats_the_run(simulated: Simulate, tmp_path: Path) -> None:
    given = {"bits": 8, **LOOSE}
    outcome = simulated(**given)
    job = settled(make_job(**given), outcome.choice)
    text = job_toml(job, chosen_by(outcome.choice))
    assert tomllib.loads(text)["rule"] == {"name": choice_of(outcome).chosen.rule}
    assert "max_drop = 0.5 on 30 sentences of albert/selection.tsv (labels: given)" in text.splitlines()[0]
    (tmp_path / "job.toml").write_text(text)
    options = load_job(tmp_path / "job.toml").rule
    again = simulated(rule=options.name)
    one, other = (dataclasses.replace(build_report(found), choice=None) for found in (outcome, again))
    assert (one, again.choice) == (other, None)
    typed = make_job(rule="pabee", threshold=1)
    assert (settled(typed, None), chosen_by(None)) == (typed, "")


@pytest.mark.slow
def test_out_writes_the_settled_job_and_the_choice(run: Hexit, tmp_path: Path) -> None:
    assert run("--out", tmp_path / "a", "--max-drop", 0.5).code == 0
    assert run("--config", tmp_path / "a" / "job.toml", "--out", tmp_path / "b").code == 0
    reports = [json.loads((tmp_path / name / "report.json").read_text()) for name in "ab"]
    assert reports[0].pop("choice")["chosen"]["rule"] == reports[0]["configuration"]["rule"]
    assert reports[1].pop("choice") is None
    assert reports[0] == reports[1]
    pictures = [{p.name: p.read_bytes() for p in (tmp_path / n).iterdir() if p.suffix != ".json"} for n in "ab"]
    for files in pictures:
        files.pop("job.toml")
    assert pictures[0] == pictures[1]


@pytest.mark.slow
def test_a_unit_built_with_the_same_options_has_the_settings_of_the_run(
    run: Hexit, capsys: pytest.CaptureFixture[str], tiny_folders: dict[str, Path], tiny_tsv: Path, tmp_path: Path
) -> None:
    chosen = run("--max-drop", 0.5, "--json").report["configuration"]["rule"]
    words = ("--model", tiny_folders["albert"], "--data", tiny_tsv, "--vectors", 300, "--backend", "vitis")
    built = hexit(capsys, "hls", *words, "--max-drop", 0.5, "--out", tmp_path / "unit")
    assert (built.code, built.err) == (0, "")
    assert "settings: --max-drop 0.5 on albert/selection.tsv, 30 sentences" in built.out
    assert load_build(tmp_path / "unit" / "exit_unit.json").spec.rule == chosen
    with_unit = run("--exit-unit", tmp_path / "unit" / "exit_unit.json", "--json").report
    assert (with_unit["configuration"]["rule"], with_unit["choice"]) == (chosen, None)


def test_settings_of_a_unit_with_fewer_exits_are_chosen_for_these_exits(
    capsys: pytest.CaptureFixture[str], tiny_folders: dict[str, Path], tiny_tsv: Path, warm_cache: Path, tmp_path: Path
) -> None:
    words = ("--model", tiny_folders["albert"], "--data", tiny_tsv, "--cache-dir", warm_cache, "--vectors", 300)
    more = ("--backend", "vitis", "--exits", "2,3", "--speedup", 1.5, "--out", tmp_path / "unit")
    built = hexit(capsys, "hls", *words, *more)
    assert (built.code, built.err) == (0, "")
    assert ": 2.00 layers" in built.out
    assert hexit(capsys, "hls", *words, *more, "--speedup", 2).code == 2  # nobody leaves before layer 2


def test_a_goal_is_asked_for_or_the_default_one_or_none() -> None:
    for options, expected in (
        ({}, (DEFAULT_MAX_DROP, None)),
        ({"name": "pabee"}, (DEFAULT_MAX_DROP, None)),
        ({"max_drop": 0.0}, (0.0, None)),
        ({"speedup": 3.0}, (None, 3.0)),
        ({"selection": "s.tsv"}, (DEFAULT_MAX_DROP, None)),
    ):
        goal = RuleOptions(**options).goal
        assert goal is not None
        assert (goal.max_drop, goal.speedup) == expected
    assert RuleOptions(threshold=1.0).goal is None
    assert RuleOptions(name="pabee:patience=2").goal is None
