from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.traces.trace import ExitTrace, TraceOrigin, load_trace, save_trace, trace_key

ORIGIN = TraceOrigin(
    checkpoint_hash="c0ffee",
    model="tiny",
    data="dev.tsv",
    data_hash="beef",
    quant=QuantConfig.uniform(8),
    n_truncated=1,
)


def trace(n_classes: int = 2, **changes: Any) -> ExitTrace:
    logits = np.arange(3 * 4 * n_classes, dtype=np.int64).reshape(3, 4, n_classes) - 9
    labels = np.array([0, 1, -1, 1]) if n_classes > 1 else np.array([0.5, 2.0, 3.25, 1.0])
    fields: dict[str, Any] = {
        "logits": logits,
        "scale": 2.0**-4,
        "labels": labels,
        "lengths": np.array([4, 5, 6, 7], dtype=np.int32),
        "origin": ORIGIN,
    }
    return ExitTrace(**(fields | changes))


@pytest.mark.parametrize("n_classes", [1, 2, 5])
@pytest.mark.parametrize("origin", [ORIGIN, dataclasses.replace(ORIGIN, quant=None, model="größer 'x'")])
def test_a_saved_trace_comes_back(n_classes: int, origin: TraceOrigin, tmp_path: Path) -> None:
    saved = trace(n_classes, origin=origin)
    save_trace(saved, tmp_path / "new" / "t.npz")
    loaded = load_trace(tmp_path / "new" / "t.npz")
    for name in ("logits", "labels", "lengths"):
        before, after = getattr(saved, name), getattr(loaded, name)
        assert after.dtype == before.dtype
        assert after.tolist() == before.tolist()
    assert (loaded.scale, loaded.origin) == (saved.scale, origin)
    assert (loaded.n_layers, loaded.n_samples, loaded.n_classes) == (3, 4, n_classes)


def test_real_logits_are_scale_times_integers() -> None:
    assert trace().real_logits[0, :2].tolist() == [[-9 / 16, -8 / 16], [-7 / 16, -6 / 16]]


def test_labelled_means_every_sample() -> None:
    assert not trace().labelled
    assert trace(labels=np.array([0, 1, 1, 1])).labelled


def test_saving_twice_gives_equal_bytes_and_leaves_nothing_else(tmp_path: Path) -> None:
    for name in ("a", "b", "a"):
        save_trace(trace(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logits": np.zeros((3, 4), np.int64)}, r"trace logits = 3x4: must be n_layers x n_samples x n_classes"),
        ({"logits": np.zeros((3, 0, 2), np.int64)}, r"trace logits = 3x0x2"),
        ({"logits": np.zeros((3, 4, 2))}, r"trace logits = float64: must be int64 with 2 classes"),
        ({"logits": np.full((3, 4, 2), 1 << 31)}, r"trace logits = 2147483648: must fit 32 bits"),
        ({"labels": np.zeros(4)}, r"trace labels = float64: must be int64 with 2 classes"),
        ({"labels": np.array([0, 1])}, r"trace labels = \(2,\): must be one number for each of the 4 samples"),
        ({"labels": np.array([0, 1, 2, 0])}, r"trace labels = .*2.*: must be classes 0\.\.1, or -1"),
        ({"lengths": np.zeros(4, np.int32)}, r"trace lengths = .*0.*: must be at least 1 token"),
        ({"scale": 0.1}, r"trace scale = 0\.1: must be a positive float32 number"),
        ({"scale": 0.0}, r"trace scale = 0\.0: must be a positive"),
        ({"scale": float("nan")}, r"trace scale = nan: must be a positive"),
    ],
)
def test_contradicting_arrays_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        trace(**changes)


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_loads_unchanged_or_is_refused(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    save_trace(trace(), path)
    raw = bytearray(path.read_bytes())
    where = data.draw(st.integers(0, len(raw) - 1))
    if data.draw(st.booleans()):
        raw = raw[:where]
    else:
        raw[where] ^= data.draw(st.integers(1, 255))
    path.write_bytes(raw)
    try:
        survived = load_trace(path).logits.tolist() == trace().logits.tolist()
    except ConfigError as error:
        survived = "is not a trace, or a damaged one" in str(error)
    assert survived


def test_other_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "pickle.npz", logits=np.array([{}, None]))
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "text").write_text("hello")
    for path in tmp_path.iterdir():
        with pytest.raises(ConfigError, match=r"is not a trace, or a damaged one\. Delete it"):
            load_trace(path)
    with pytest.raises(ConfigError, match=r"none = \(missing\): is not a file"):
        load_trace(tmp_path / "none")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/t\.npz = .*: cannot be written"):
        save_trace(trace(), tmp_path / "file" / "t.npz")


@pytest.mark.parametrize("step", [(np, "savez_compressed"), (Path, "replace")])
def test_a_failed_write_leaves_the_old_file_alone(
    step: tuple[Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.npz"
    save_trace(trace(), path)
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*step, full)
    with pytest.raises(ConfigError, match="No space left on device: cannot be written"):
        save_trace(trace(1), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["t.npz"]


def test_the_key_depends_on_content_and_nothing_else() -> None:
    content = {"checkpoint": "c0ffee", "data": "beef", "quant": QuantConfig.uniform(8), "calibration": ["a", 128]}
    keys = {
        trace_key(content),
        trace_key(content | {"quant": QuantConfig.uniform(7)}),
        trace_key(content | {"quant": None}),
        trace_key(content | {"calibration": ["a", 127]}),
        trace_key(content | {"checkpoint": "c0ffef"}),
    }
    assert len(keys) == 5
    assert trace_key(dict(reversed(content.items()))) == trace_key(content)
    assert trace_key({}) == "3f0a99256beeb89a6b9f2793885291a6454928fd74903159ab2e51452b13df6f"
