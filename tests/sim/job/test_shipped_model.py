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
ONE_POINT = 0.01  # accuracy fraction; what quantisation, and what leaving early, may cost
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
def test_the_default_rule_halves_the_layers_for_at_most_a_point(report: Report) -> None:
    found = report.accuracy
    assert found.with_exits is not None
    assert found.quantised is not None
    assert found.with_exits >= found.quantised - ONE_POINT
    assert report.speedup.layer >= 2


def test_the_weights_are_small_and_cannot_run_code() -> None:
    files = [path for path in DEFAULT_MODEL.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= LARGEST_ASSET_BYTES
    assert {path.suffix for path in files} == {".json", ".safetensors"}
