"""Folders of TOML files that are known by name, beside files of a user's own."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hexit.quant.errors import ConfigError


def is_path(name_or_path: str | Path) -> bool:
    """Whether a file is meant: a path, or a text that ends in ``.toml`` or contains a path separator."""
    text = str(name_or_path)
    return isinstance(name_or_path, Path) or text.endswith(".toml") or "/" in text or "\\" in text


def list_names(folder: Path) -> tuple[str, ...]:
    """Names of the files of a folder, in alphabetical order."""
    return tuple(sorted(path.stem for path in folder.glob("*.toml")))


def load_table(name_or_path: str | Path, folder: Path, where: str) -> dict[str, Any]:
    """Return the keys of a folder's file by its name, or of a file by its path.

    Raises ConfigError, which names `where`, for unknown names and for files that cannot be read.
    """
    source = name_or_path if is_path(name_or_path) else folder / f"{name_or_path}.toml"
    if not is_path(name_or_path) and name_or_path not in (known := list_names(folder)):
        requirement = f"is not one of {', '.join(known)}"
        raise ConfigError(where, name_or_path, requirement, "Pick one of these, or give the path of a .toml file")
    return read_toml(Path(source), where)


def read_toml(path: Path, where: str) -> dict[str, Any]:
    """Return the keys of a TOML file; ConfigError, which names `where`, for one that cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(where, str(path), f"cannot be read ({error.strerror})", "Check the path") from error
    except UnicodeDecodeError as error:
        raise ConfigError(where, str(path), "is not TOML (not UTF-8 text)", "Save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(where, str(path), f"is not TOML ({error})", "Correct that line") from error
