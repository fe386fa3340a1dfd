"""Design files for the tests."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def changed_design(folder: Path, name: str, **keys: str) -> str:
    """The default design with other values of some keys, as TOML writes them."""
    text = (Path(str(resources.files("hexit.hw_model"))) / "designs" / "default.toml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.split(" ")[0] not in keys]
    path = folder / f"{name}.toml"
    path.write_text("\n".join([*lines, *(f"{key} = {value}" for key, value in keys.items())]) + "\n", encoding="utf-8")
    return str(path)


def spatial_design(folder: Path, n_engines: int = 3) -> str:
    """The default design as a spatial pipeline of smaller engines."""
    text = (Path(str(resources.files("hexit.hw_model"))) / "designs" / "default.toml").read_text(encoding="utf-8")
    text = text.replace("array_rows = 32", "array_rows = 8")
    for kib in (1792, 1280):
        text = text.replace(f"_kib = {kib}", "_kib = 256")
    path = folder / "spatial.toml"
    path.write_text(f'{text}\nmapping = "spatial"\nn_engines = {n_engines}\n', encoding="utf-8")
    return str(path)
