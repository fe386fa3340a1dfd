"""Tiny models that the tests of a session share."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: its threads spin while another test runs
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["HF_HUB_OFFLINE"] = "1"

from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from hexit.quant.network.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from hexit.quant.traces.store import silent
from hexit.quant.training.vocabulary import train_tokenizer
from hexit.sim.job.outcome import Outcome
from hexit.sim.job.record import make_job
from hexit.sim.job.resolve import simulate
from support.command_line import Finished, Hexit, Simulate, hexit
from support.models import MODEL_KINDS, SELECTION, SENTENCES, tiny_model, write_labelled

settings.register_profile("hexit", deadline=None, derandomize=True)  # a loaded machine is no fault of the code
settings.register_profile("few", settings.get_profile("hexit"), max_examples=20)  # `make test-fast`
settings.register_profile("random", deadline=None, max_examples=1000, print_blob=True)  # `make random`
settings.load_profile(os.environ.get("HEXIT_PROPERTIES", "hexit"))


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return train_tokenizer(SENTENCES * 2, 120)


@pytest.fixture(scope="session")
def tiny_folders(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint folder of each kind of model: ALBERT with one shared head, BERT with one head per layer."""
    folders = {}
    for kind in MODEL_KINDS:
        folders[kind] = tmp_path_factory.mktemp("checkpoints") / kind
        model = tiny_model(kind, tokenizer, shared_head=kind == "albert")
        save_checkpoint(model, tokenizer, folders[kind], storage="fp32", notes={}, calibration=SENTENCES)
        write_labelled(folders[kind] / "selection.tsv", SELECTION)
    return folders


@pytest.fixture(scope="session")
def tiny_checkpoints(tiny_folders: dict[str, Path]) -> dict[str, Checkpoint]:
    """The checkpoints of `tiny_folders`, loaded; tests must not change their models."""
    return {kind: load_checkpoint(str(folder)) for kind, folder in tiny_folders.items()}


@pytest.fixture(scope="session")
def tiny_tsv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ten sentences with labels of the tiny models' classes, in turn."""
    path = tmp_path_factory.mktemp("data") / "ten.tsv"
    write_labelled(path, SENTENCES)
    return path


@pytest.fixture(scope="session")
def warm_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder for every test that does not look at the cache."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tiny_folders: dict[str, Path],
    tiny_tsv: Path,
    warm_cache: Path,
) -> Hexit:
    """`hexit run` of the tiny ALBERT on the ten sentences, of 24 tokens at most, but for what the test says."""
    monkeypatch.setenv("HEXIT_CACHE", str(warm_cache))

    def run_tiny(*words: object) -> Finished:
        given = [] if "--profile" in words else ["--model", tiny_folders["albert"], "--data", tiny_tsv]
        return hexit(capsys, "run", *given, *words)  # the last of two equal options counts

    return run_tiny


@pytest.fixture
def simulated(tiny_folders: dict[str, Path], tiny_tsv: Path, warm_cache: Path) -> Simulate:
    def run(**options: Any) -> Outcome:
        given: dict[str, Any] = {"model": str(tiny_folders["albert"]), "data": str(tiny_tsv), "cache_dir": warm_cache}
        return simulate(make_job(**(given | options)), silent)[0]

    return run


@pytest.fixture(scope="session")
def regression(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A tiny BERT with one real output, and the ten sentences with real labels."""
    folder = tmp_path_factory.mktemp("regression")
    model = tiny_model("bert", tokenizer, label_names=())
    save_checkpoint(model, tokenizer, folder / "model", storage="fp32", notes={}, calibration=SENTENCES)
    rows = [f"{text}\t{index / 2}" for index, text in enumerate(SENTENCES)]
    (folder / "scores.tsv").write_text("\n".join(["sentence\tscore", *rows]) + "\n")
    chosen_on = [f"{text}\t{len(text) / 9}" for text in SELECTION]
    (folder / "model" / "selection.tsv").write_text("\n".join(["sentence\tscore", *chosen_on]) + "\n")
    return {"model": str(folder / "model"), "data": str(folder / "scores.tsv"), "rule": "pabee-regression:patience=1"}


@pytest.fixture(scope="session")
def profile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Twelve layers that grow surer, sentence by sentence at another pace."""
    path = tmp_path_factory.mktemp("profile") / "profile.csv"
    rows = [",".join(f"{0.69 * 0.5 ** (pace * layer / 4):.4f}" for layer in range(12)) for pace in range(1, 7)]
    path.write_text("\n".join(rows) + "\n")
    return str(path)
