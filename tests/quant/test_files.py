from __future__ import annotations

from pathlib import Path

import pytest

from hexit.quant.errors import ConfigError
from hexit.quant.files import write_whole


@pytest.mark.parametrize(("content", "stored"), [("Größe\n", "Größe\n".encode()), (b"\x00\xff", b"\x00\xff")])
def test_a_file_is_written_with_its_folders(content: str | bytes, stored: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_whole(path, content)
    assert path.read_bytes() == stored
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in ("long content", "short"):
        write_whole(path, content)
    assert path.read_text() == "short"


def test_what_cannot_be_finished_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_whole(path, "old")

    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ConfigError, match=r"^--out = .*file: cannot be written \(No space left on device\)"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^--cache-dir = .*below: cannot be written"):
        write_whole(tmp_path / "file" / "below", "x", "--cache-dir")
