from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pytest

from hexit.quant.config import QuantConfig
from hexit.quant.data.tasks import TextSet, load_texts
from hexit.quant.errors import ConfigError
from hexit.quant.hub import DEFAULT_CALIBRATION
from hexit.quant.network.checkpoint import Checkpoint
from hexit.quant.traces.reference import evaluate_reference
from hexit.quant.traces.store import FLOAT_SCALE, Calibration, ModelCard, Store, cache_folder, calibration_of, silent
from hexit.quant.traces.trace import ExitTrace, load_trace

CALIBRATION = Calibration(source="c.txt", sentences=("a good film", "a bore"))


class Watched:
    """A store that counts what it had to compute."""

    def __init__(self, folder: Path) -> None:
        self.titles: list[str] = []
        self.store = Store(folder=folder, progress=self._stage)

    def _stage(self, title: str, n_total: int) -> Callable[[int], None]:
        self.titles.append(title)
        return silent(title, n_total)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "cache")


@pytest.fixture
def texts(tiny_tsv: Path) -> TextSet:
    return load_texts(str(tiny_tsv), label_names=("bad", "good"))


def quantised(store: Store, card: ModelCard, texts: TextSet, **changes: Any) -> ExitTrace:
    given: dict[str, Any] = {"quant": QuantConfig.uniform(8), "calibration": CALIBRATION, "max_length": 24}
    return store.quantised_trace(card, texts, **(given | changes))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_card_is_read_from_the_model_once(
    watched: Watched, tiny_folders: dict[str, Path], tiny_checkpoints: dict[str, Checkpoint]
) -> None:
    cards = [watched.store.card(str(tiny_folders["albert"])) for _ in range(2)]
    assert watched.titles == ["load model"]
    assert cards[0] == cards[1]
    loaded = tiny_checkpoints["albert"]
    assert (cards[0].name, cards[0].content_hash) == ("albert", loaded.content_hash)
    assert (cards[0].shape, cards[0].label_names) == (loaded.model.shape(), ("bad", "good"))


def test_a_folder_s_name_is_known_even_from_inside(
    watched: Watched, tiny_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_folders["bert"])
    assert watched.store.card(".").name == "bert"


QUANTISED = ("quantise, 8-bit weights", "quantised model, 8-bit weights")


def test_traces_are_computed_once_and_come_back_the_same(
    watched: Watched, tiny_folders: dict[str, Path], texts: TextSet
) -> None:
    card = watched.store.card(str(tiny_folders["albert"]))
    computations: dict[tuple[str, ...], Callable[[], ExitTrace]] = {
        QUANTISED: lambda: quantised(watched.store, card, texts),
        ("float model",): lambda: watched.store.float_trace(card, texts, 24),
    }
    for titles, compute in computations.items():
        watched.titles.clear()
        first, second = compute(), compute()
        assert watched.titles == list(titles)
        assert np.array_equal(first.logits, second.logits)
        assert (first.scale, first.origin) == (second.scale, second.origin)
        assert first.labels.tolist() == second.labels.tolist() == [0, 1] * 5


def test_several_texts_share_one_quantised_network(
    watched: Watched, tiny_folders: dict[str, Path], texts: TextSet
) -> None:
    card = watched.store.card(str(tiny_folders["albert"]))
    halves = (texts.subset(range(4)), texts.subset(range(4, 10)))
    watched.titles.clear()
    both = watched.store.quantised_traces(card, halves, QuantConfig.uniform(8), CALIBRATION, 24)
    assert watched.titles == [QUANTISED[0], QUANTISED[1], QUANTISED[1]]
    whole = quantised(watched.store, card, texts)
    assert np.array_equal(np.concatenate([trace.logits for trace in both], axis=1), whole.logits)


def test_float_logits_lose_at_most_half_a_step(
    watched: Watched, tiny_folders: dict[str, Path], tiny_checkpoints: dict[str, Checkpoint], texts: TextSet
) -> None:
    trace = watched.store.float_trace(watched.store.card(str(tiny_folders["bert"])), texts, 24)
    run = evaluate_reference(tiny_checkpoints["bert"], texts, max_length=24, compute="cpu")
    assert np.abs(trace.real_logits - run.logits).max() <= FLOAT_SCALE / 2


@pytest.mark.parametrize(
    "change",
    [
        {"quant": QuantConfig.uniform(4)},
        {"quant": QuantConfig(weight_bits=8, activation_bits=8, power_of_two=True)},
        {"calibration": dataclasses.replace(CALIBRATION, sentences=("a shame",))},
        {"max_length": 12},
    ],
)
def test_a_trace_depends_on_widths_calibration_and_length(
    change: dict[str, Any], watched: Watched, tiny_folders: dict[str, Path], texts: TextSet
) -> None:
    card = watched.store.card(str(tiny_folders["albert"]))
    quantised(watched.store, card, texts)
    quantised(watched.store, card, texts, **change)
    assert sum(title.startswith("quantised") for title in watched.titles) == 2
    assert len(files(watched.store.folder / "traces")) == 2


def test_a_trace_depends_on_checkpoint_and_data_but_not_on_their_names(
    watched: Watched, tiny_folders: dict[str, Path], texts: TextSet
) -> None:
    cards = [watched.store.card(str(tiny_folders[kind])) for kind in ("albert", "bert")]
    fewer, renamed = texts.subset(range(5)), dataclasses.replace(texts, name="elsewhere")
    for card, data in ((cards[0], texts), (cards[1], texts), (cards[0], fewer), (cards[0], renamed)):
        quantised(watched.store, dataclasses.replace(card, name="any"), data)
        watched.store.float_trace(card, data, 24)
    assert sum(title.startswith("quantised") for title in watched.titles) == 3
    assert watched.titles.count("float model") == 3
    watched.store.float_trace(cards[0], texts, 12)
    assert watched.titles.count("float model") == 4


def test_another_version_of_a_library_is_another_trace(
    watched: Watched, tiny_folders: dict[str, Path], texts: TextSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = watched.store.card(str(tiny_folders["albert"]))
    quantised(watched.store, card, texts)
    monkeypatch.setattr("hexit.quant.traces.store.metadata.version", lambda name: "0")
    quantised(watched.store, card, texts)
    assert sum(title.startswith("quantised") for title in watched.titles) == 2


@pytest.mark.parametrize("damage", [b"", b"{", b'{"name": 1}', b"\xff\xfe"])
def test_a_damaged_file_is_made_again(
    damage: bytes, watched: Watched, tiny_folders: dict[str, Path], texts: TextSet
) -> None:
    def ask() -> tuple[ModelCard, ExitTrace]:
        card = watched.store.card(str(tiny_folders["albert"]))
        return card, quantised(watched.store, card, texts)

    card, trace = ask()
    before = {path: path.read_bytes() for path in files(watched.store.folder)}
    for path in before:
        path.write_bytes(damage)
    again, same = ask()
    assert again == card
    assert np.array_equal(same.logits, trace.logits)
    assert {path: path.read_bytes() for path in files(watched.store.folder)} == before
    assert watched.titles == ["load model", *QUANTISED] * 2


def test_a_cache_that_cannot_be_written_is_refused(tiny_folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"--cache-dir = .*: cannot be written"):
        Store(folder=tmp_path / "file").card(str(tiny_folders["albert"]))


def test_a_trace_file_is_named_by_its_content_alone(
    watched: Watched, tiny_folders: dict[str, Path], texts: TextSet, tmp_path: Path
) -> None:
    other = Watched(tmp_path / "other")
    for one in (watched, other):
        quantised(one.store, one.store.card(str(tiny_folders["albert"])), texts)
    names = [[path.name for path in files(one.store.folder)] for one in (watched, other)]
    assert names[0] == names[1]
    path = files(watched.store.folder / "traces")[0]
    assert load_trace(path).origin.quant == QuantConfig.uniform(8)


def test_the_cache_folder_is_the_chosen_one_else_the_variable_else_the_system_s(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEXIT_CACHE", "/variable")
    assert cache_folder(tmp_path) == tmp_path
    assert cache_folder(None) == Path("/variable")
    monkeypatch.delenv("HEXIT_CACHE")
    assert cache_folder(None) == Path(platformdirs.user_cache_dir("hexit"))


def test_calibration_is_the_chosen_text_else_the_model_s_else_the_shipped(
    watched: Watched, tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    card = watched.store.card(str(tiny_folders["albert"]))
    (tmp_path / "mine.txt").write_text("one\n\ntwo \n")
    assert calibration_of(card, str(tmp_path / "mine.txt")) == Calibration(source="mine.txt", sentences=("one", "two"))
    beside = calibration_of(card, "")
    assert beside.source == "albert/calibration.txt"
    assert beside.sentences[0] == "a good film"
    shipped = calibration_of(dataclasses.replace(card, folder=str(tmp_path)), "")
    assert shipped.source == "hexit calibration.txt"
    assert len(shipped.sentences) == len(DEFAULT_CALIBRATION.read_text(encoding="utf-8").splitlines())
    assert len({beside.content_hash, shipped.content_hash}) == 2
