"""Folders that appear whole or not at all, and never over somebody else's files."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hexit.quant.errors import ConfigError


def check_target(folder: Path, mark: str) -> None:
    """Refuse a place that holds something else: a folder of ours, which may be replaced, has a file called `mark`."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / mark).is_file():
        raise ConfigError("--out", str(folder), "is not empty and was not made by hexit", "Name another folder")
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        raise ConfigError("--out", str(folder), "is not a folder", "Name another one")


@contextlib.contextmanager
def new_folder(folder: Path, mark: str) -> Iterator[Path]:
    """Give an empty folder beside `folder`, and make it `folder` at the end; after an error all is as it was.

    Raises ConfigError where `check_target` does, and where nothing can be written.
    """
    check_target(folder, mark)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise _not_writable(folder, error) from None
    new, old = beside / "new", beside / "old"
    try:
        new.mkdir()  # with the user's own permissions, unlike mkdtemp's
        yield new
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except OSError as error:
        raise _not_writable(folder, error) from None
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(beside, ignore_errors=True)


def _not_writable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError("--out", str(folder), f"cannot be written ({error.strerror})", "Name another folder")
