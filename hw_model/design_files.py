"""Designs by name, and files of a user's own; what a file leaves out comes from the design it is `based_on`.

A file of a few lines (name, device, clock_mhz, array_rows, array_columns) is a whole design: lanes are as many as the
array has columns, and the two buffers take a quarter and an eighth of the part's block RAM and UltraRAM.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.device import load_device
from hexit.hw_model.toml_files import is_path, list_names, load_table
from hexit.quant.errors import ConfigError
from hexit.quant.records import from_json

DESIGN_FOLDER = Path(__file__).parent / "designs"
PUBLISHED_FOLDER = DESIGN_FOLDER / "published"
LANES = ("softmax_lanes", "layer_norm_lanes", "gelu_lanes", "add_lanes", "head_lanes")
WITHOUT_FIT = "without_fit"
BUFFER_SHARES = {"weight_buffer_kib": 4, "activation_buffer_kib": 8}  # of the part's memory on chip: one of so many


def list_designs() -> tuple[str, ...]:
    """Return the names of the shipped designs, in alphabetical order."""
    return list_names(DESIGN_FOLDER)


def list_published() -> tuple[str, ...]:
    """Return the names of the published accelerators, in alphabetical order."""
    return list_names(PUBLISHED_FOLDER)


def load_design(name_or_path: str | Path, where: str = "--design") -> Accelerator:
    """Return a shipped or published design by name, or one from a TOML file; ConfigError names a wrong key."""
    table = _table(name_or_path, where)
    table.pop(WITHOUT_FIT, None)
    return from_json(Accelerator, _completed(table), "design")


def load_unfitted(name_or_path: str | Path, where: str = "--design") -> Accelerator | None:
    """Return a design with the values of its table `without_fit`, None where nothing of it was fitted.

    The keys of that table are paths (``constants.tile``, ``regions.0.stages.1.loops``), its values what one would have
    written without looking at the published figures.
    """
    table = _table(name_or_path, where)
    values = table.pop(WITHOUT_FIT, None)
    if values is None:
        return None
    for path, value in values.items():
        _put(table, path, value)
    return from_json(Accelerator, _completed(table), f"design.{WITHOUT_FIT}")


def _put(table: dict[str, Any], path: str, value: object) -> None:
    """Set one key of nested tables and lists, which must be there."""
    *outer, last = path.split(".")
    place: Any = table
    try:
        for key in outer:
            place = place[int(key)] if isinstance(place, list) else place[key]
        if isinstance(place, list):
            place[int(last)] = value
        else:
            place[last] = value
    except (KeyError, IndexError, ValueError, TypeError) as error:
        requirement = "is no key of this file"
        raise ConfigError(f"design.{WITHOUT_FIT}", path, requirement, "Name a table or list that is there") from error


def _table(name_or_path: str | Path, where: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the keys of a file, put over those of the design that it is `based_on`."""
    published = not is_path(name_or_path) and name_or_path in list_published()
    if not is_path(name_or_path) and not published and name_or_path not in list_designs():
        requirement = f"is not one of {', '.join((*list_designs(), *list_published()))}"
        raise ConfigError(where, name_or_path, requirement, "Pick one of these, or give the path of a .toml file")
    table = load_table(name_or_path, PUBLISHED_FOLDER if published else DESIGN_FOLDER, where)
    base = table.pop("based_on", None)
    if base is None:
        return table
    mine = Path(name_or_path).stem
    if not isinstance(base, str) or is_path(base) or base in (*above, mine):
        requirement = "must be the name of another design"
        raise ConfigError(f"{mine}.toml.based_on", base, requirement, "Pick one: hexit run --list designs")
    below = _table(base, f"{mine}.toml.based_on", (*above, mine))
    below.pop("expected", None)  # figures of another design
    if WITHOUT_FIT in table:  # paths of this one
        below.pop(WITHOUT_FIT, None)
    return _merged(below, table)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Tables are merged key by key, everything else is replaced."""
    both = {
        key: _merged(below[key], value) if isinstance(value, dict) and isinstance(below.get(key), dict) else value
        for key, value in above.items()
    }
    return below | both


def _completed(table: dict[str, Any]) -> dict[str, Any]:
    """Return the table with the sizes that it leaves out."""
    if "regions" in table:
        return table
    columns = table.get("array_columns")
    lanes = dict.fromkeys(LANES, columns) if isinstance(columns, int) else {}
    name = table.get("device")
    if not isinstance(name, str) or not name or set(BUFFER_SHARES) <= set(table):
        return lanes | table  # what is missing or wrong has its own line
    device = load_device(name)
    return lanes | {key: int(device.on_chip_kib / share) for key, share in BUFFER_SHARES.items()} | table
