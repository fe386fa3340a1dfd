"""A run with `--out` computes everything once: programs, lone sentences and streams."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hexit.sim.core.compile import compile_program
from hexit.sim.core.interleaved import run_interleaved
from hexit.sim.core.queueing import serve
from hexit.sim.core.recurrence import run_sentence
from hexit.sim.core.shared_stream import run_rounds
from hexit.sim.core.spatial import run_engines
from hexit.sim.export.result import run
from hexit.sim.job.record import make_job
from support.designs import spatial_design

EAGER = {"rule": "hardware:threshold=1.2,run_length=2"}
Parts = Callable[..., tuple[Any, ...]]  # what a call depends on, of its arguments
COMPUTING: tuple[tuple[str, Callable[..., Any], Parts], ...] = (
    ("programs", compile_program, lambda workload, *others: (repr(workload), repr(others))),
    ("sentences", run_sentence, lambda flat, evaluated, waits, *_: (*flat, evaluated, waits)),
    ("streams", serve, lambda admission, _, arrival, service, *__: (*admission, arrival, service)),
    ("streams", run_interleaved, lambda *given: (*given[0], *given[1:5], *given[5], given[7])),
    ("streams", run_rounds, lambda *given: (*given[0], *given[2], *given[3:6], *given[6], given[9].sentence.size)),
    ("streams", run_engines, lambda *given: (*given[0], *given[1:5], *given[5])),
)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, Counter[str]]:
    """Everything that computes, counted by what it depends on."""
    counts: dict[str, Counter[str]] = {name: Counter() for name, *_ in COMPUTING}
    modules = [module for name, module in sys.modules.items() if name.startswith("hexit.")]
    for name, function, parts in COMPUTING:

        def counting(*given: Any, name: str = name, function: Any = function, parts: Parts = parts) -> Any:
            texts = (part if isinstance(part, str) else np.asarray(part).tobytes().hex() for part in parts(*given))
            counts[name][hashlib.sha256("|".join(texts).encode()).hexdigest()] += 1
            return function(*given)

        for module in modules:
            for attribute in [key for key, value in vars(module).items() if value is function]:
                monkeypatch.setattr(module, attribute, counting)
    return counts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "n_programs", "n_sentences", "n_streams"),
    [
        ({}, 1, 5, 2),
        ({"batch": 3, "design": "albert-base-u280"}, 1, 3, 2),
        ({"batch": 3, "design": "albert-base-u280", "share_weights": True}, 1, 3, 2),
        ({"overlap": "speculate", "rule": "fixed-depth:layer=2"}, 1, 6, 2),
        ({"lengths": "buckets:8", "arrivals": "poisson:rate=9000"}, 2, 7, 2),
        ({"design": "spatial"}, 1, 6, 3),
    ],
)
def test_nothing_is_computed_twice(
    options: dict[str, Any],
    n_programs: int,
    n_sentences: int,
    n_streams: int,
    calls: dict[str, Counter[str]],
    tiny_folders: dict[str, Path],
    tiny_tsv: Path,
    warm_cache: Path,
    tmp_path: Path,
) -> None:
    """Programs: one a length. Sentences: with exits and at full depth for each length, the kernel, and one with every
    exit where some are left out, each of these for every engine; and two runs of one layer where the ports of a bank
    may bound it. Streams: with exits, at full depth, and one with
    FIFOs that are never full. When reports and pictures simulated on their own, these were 2, 2, 2, 3, 2 programs,
    8, 8, 8, 10, 22 sentences and 2, 2, 2, 2, 5 streams.
    """
    given = EAGER | options
    if given.get("design") == "spatial":
        given["design"] = spatial_design(tmp_path, n_engines=2)
    job = make_job(model=str(tiny_folders["albert"]), data=str(tiny_tsv), cache_dir=warm_cache, **given)
    run(job).write(tmp_path / "out")
    assert {name: count.total() for name, count in calls.items()} == {
        "programs": n_programs,
        "sentences": n_sentences,
        "streams": n_streams,
    }
    assert set(calls["programs"].values()) == set(calls["streams"].values()) == {1}


def test_a_run_without_files_draws_no_rule_sweep(
    monkeypatch: pytest.MonkeyPatch, tiny_folders: dict[str, Path], tiny_tsv: Path, warm_cache: Path
) -> None:
    def refuse(*given: Any) -> Any:
        raise AssertionError(given)

    for name in ("sweep_rules", "sentence_timeline", "roofline"):
        monkeypatch.setattr(f"hexit.sim.job.experiment.{name}", refuse)
    job = make_job(model=str(tiny_folders["albert"]), data=str(tiny_tsv), cache_dir=warm_cache)
    assert run(job).report.data.n_samples == 10
