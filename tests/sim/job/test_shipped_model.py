"""What the shipped weights must keep: accuracy in float, at 8 bits, and with the default rule as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from hexit.quant.hub import DEFAULT_DATA, DEFAULT_MODEL
from hexit.quant.traces.store import silent
from hexit.sim.job.record import make_job
from hexit.sim.job.resolve import simulate
from hexit.sim.report.build import build_report
from hexit.sim.report.record import Report
from support.paths import SHARED_DATA

SST2_DEV = SHARED_DATA / "glue" / "SST-2" / "dev.tsv"
ONE_POINT = 0.01  # accuracy fraction; what quantisation may cost at any exit
LARGEST_DROP = {"reviews.tsv": 0.03, "dev.tsv": 0.01}  # what the default, chosen for 0.01 on other text, may cost here
# In layers. Another number of threads rounds logits otherwise, and a neighbouring threshold may be chosen: 3.08 and
# 2.95 on SST-2 dev were measured with two threads and with one.
LEAST_SPEEDUP = {"reviews.tsv": 2.3, "dev.tsv": 2.75}
LEAST_GAIN = {"reviews.tsv": -0.03, "dev.tsv": 0.01}  # over the best fixed depth of equal cost
LEAST_RISE = {"reviews.tsv": 0.04, "dev.tsv": 0.05}  # of accuracy from the first exit to the last: the worth of depth
LEAST_ACCURACY = {"reviews.tsv": 0.77, "dev.tsv": 0.89}  # of the float model at full depth
LARGEST_ASSET_BYTES = 16_000_000


@pytest.fixture(scope="module", params=[DEFAULT_DATA, SST2_DEV], ids=["reviews", "SST-2 dev"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Report:
    if not request.param.is_file():
        pytest.skip("the SST-2 data set is not beside this checkout")
    options = make_job(data=str(request.param), cache_dir=tmp_path_factory.mktemp("cache"))
    return build_report(*simulate(options, silent))


@pytest.mark.slow
def test_eight_bits_cost_at_most_a_point(report: Report) -> None:
    found = report.accuracy
    assert found.float is not None
    assert found.quantised is not None
    assert found.quantised >= found.float - ONE_POINT
    assert found.float >= LEAST_ACCURACY[Path(report.data.name).name]


@pytest.mark.slow
def test_the_default_settings_are_chosen_elsewhere_and_hold_here(report: Report) -> None:
    found, name = report.accuracy, Path(report.data.name).name
    assert report.choice is not None
    assert report.comparison is not None
    assert report.choice.text.name.endswith("selection.tsv")
    assert found.with_exits is not None
    assert found.quantised is not None
    assert found.with_exits >= found.quantised - LARGEST_DROP[name]
    assert report.speedup.layer >= LEAST_SPEEDUP[name]
    assert report.comparison.fixed_depth.difference >= LEAST_GAIN[name]


@pytest.mark.slow
def test_depth_is_worth_something(report: Report) -> None:
    exits = report.accuracy.quantised_by_exit
    assert exits is not None
    assert exits[-1] - exits[0] >= LEAST_RISE[Path(report.data.name).name]


@pytest.mark.slow
def test_the_report_cites_the_reference_beside_the_weights(report: Report) -> None:
    reference = report.accuracy.reference
    assert reference is not None
    assert report.accuracy.float is not None
    # one sentence may tip where another processor sums in another order
    assert abs(reference.scores[-1] - report.accuracy.float) <= 1 / report.data.n_samples


def test_the_weights_are_small_and_cannot_run_code() -> None:
    files = [path for path in DEFAULT_MODEL.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= LARGEST_ASSET_BYTES
    assert {path.suffix for path in files} == {".json", ".safetensors"}
