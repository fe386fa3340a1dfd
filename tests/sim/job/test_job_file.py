from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.quant.errors import ConfigError
from hexit.quant.options import options_of
from hexit.sim.job.job_file import deciding_table, job_hash, job_of, job_toml, load_job, merged_job, reference_page
from hexit.sim.job.record import Job, make_job
from support.command_line import Hexit
from support.paths import ROOT


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """Jobs with some options changed, texts of any characters among them."""
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    changes = {
        "bits": st.integers(2, 8),
        "weight_bits": st.integers(2, 8),
        "po2": st.booleans(),
        "data": texts,
        "text_column": st.lists(texts, max_size=2),
        "seed": st.integers(0, 99),
        "threshold": st.floats(allow_nan=False, allow_infinity=False),
        "overlap": st.sampled_from(["stall", "speculate", "interleave"]),
        "rate": st.floats(1, 1e6),
        "trace_level": st.sampled_from(["op", "tile"]),
    }
    return make_job(**{name: draw(values) for name, values in changes.items() if draw(st.booleans())})


@given(jobs())
def test_a_job_file_gives_the_job_back(job: Job) -> None:
    assert job_of(tomllib.loads(job_toml(job))) == job
    assert job_toml(job_of(tomllib.loads(job_toml(job)))) == job_toml(job)


@given(jobs(), jobs())
def test_equal_jobs_have_equal_hashes_and_others_have_not(one: Job, other: Job) -> None:
    assert (job_hash(one) == job_hash(other)) == (deciding_table(one) == deciding_table(other))


def test_where_results_go_is_no_part_of_a_job_file_or_a_hash(tmp_path: Path) -> None:
    elsewhere = make_job(out=tmp_path, cache_dir=tmp_path, json=True)
    assert job_toml(elsewhere) == job_toml(Job())
    assert job_hash(elsewhere) == job_hash(Job())


def test_the_hash_follows_the_content_of_the_files_that_a_job_names(tmp_path: Path) -> None:
    (tmp_path / "d.tsv").write_text("sentence\tlabel\n")
    job = make_job(data=str(tmp_path / "d.tsv"))
    before = job_hash(job)
    (tmp_path / "d.tsv").write_text("sentence\tlabel\na film\t1\n")
    assert job_hash(job) != before


def test_the_file_is_changed_by_set_and_both_by_options(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text('seed = 3\n[stream]\narrivals = "poisson"\nrate = 5\n[rule]\nname = "pabee"\n')
    job = merged_job(path, ["stream.rate=900", "rule.name=entropy", "design.batch = 2", "seed=4"], {"seed": 5})
    assert (job.stream.rate, job.rule.name, job.design.batch, job.seed) == (900.0, "entropy", 2, 5)
    assert load_job(path, "stream.rate=7").stream.rate == 7.0


@pytest.mark.parametrize(
    ("content", "assignments", "message"),
    [
        ("[stream]\nrat = 900", (), r"job\.stream\.rat = 900: is not a known key\. .*Did you mean rate\."),
        ("[steam]\nrate = 900", (), r"job\.steam = .*: is not a known key\. .*Did you mean stream\."),
        ('[quantisation]\nbits = "8"', (), r"job\.quantisation\.bits = 8: must be of type int"),
        ("stream = 3", (), r"job\.stream = 3: must be a table of the keys of StreamOptions"),
        ("[design]\noverlap = 'x'", (), r"job\.design\.overlap = x: must be one of stall, speculate, interleave"),
        ("= 3", (), r"--config = .*job\.toml: is not TOML \(.*line 1"),
        ("", ("stream.rat=900",), r"job\.stream\.rat = 900: is not a known key"),
        ("", ("stream.rate",), r"--set = stream\.rate: must be KEY=VALUE\. Try --set stream\.rate=900"),
        ("seed = 3", ("seed.x=1",), r"seed\.x = 1: has no place: seed is not a section"),
        ("", ("data.limit=-1",), r"--limit = -1: must not be negative"),
    ],
)
def test_what_no_job_is_is_one_line(content: str, assignments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(content)
    with pytest.raises(ConfigError) as error:
        load_job(tmp_path / "job.toml", *assignments)
    assert re.search(message, str(error.value)), error.value


@pytest.mark.slow
def test_the_job_of_an_out_folder_gives_the_same_bytes(run: Hexit, tmp_path: Path) -> None:
    words = ("--rule", "pabee:patience=1", "--sentences", 20, "--rate", 30000, "--trace-level", "tile", "--seed", 2)
    assert run("--out", tmp_path / "a", *words).code == 0
    assert run("--config", tmp_path / "a" / "job.toml", "--out", tmp_path / "b").code == 0
    files = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert {"job.toml", "report.json"} <= set(files)
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}


def test_options_on_the_command_line_win_over_the_file(run: Hexit, tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text('[rule]\nname = "fixed-depth"\nthreshold = 1\n')
    by_file = run("--config", tmp_path / "job.toml", "--json").report
    by_set = run("--config", tmp_path / "job.toml", "--set", "rule.threshold=2", "--json").report
    by_option = run("--config", tmp_path / "job.toml", "--set", "rule.threshold=2", "--threshold", 3, "--json").report
    assert [report["exits"]["mean_layer"] for report in (by_file, by_set, by_option)] == [1, 2, 3]


def test_the_reference_page_is_that_of_the_record() -> None:
    page = (ROOT / "docs" / "job.md").read_text(encoding="utf-8")
    assert reference_page() in page, "write it again: make docs"
    assert all(f"| `{one.key}` | `{one.flag}` |" in page for one in options_of(Job))
