"""Files of accelerators as data: the published ones by name, a user's own by path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hexit.hw_model.machine.description import Machine
from hexit.hw_model.toml_files import list_names, load_table
from hexit.quant.errors import ConfigError
from hexit.quant.records import from_json

PUBLISHED_FOLDER = Path(__file__).parents[1] / "published"


def list_machines() -> tuple[str, ...]:
    """Names of the published machines, in alphabetical order."""
    return list_names(PUBLISHED_FOLDER)


def load_machine(name_or_path: str | Path) -> Machine:
    """Read a published machine by name, or one from a TOML file; ConfigError names the key that is wrong."""
    return from_json(Machine, _table(name_or_path), str(name_or_path))


def _table(name_or_path: str | Path) -> dict[str, Any]:
    """Return the keys of a file, put over those of the file that it is `based_on`."""
    table = load_table(name_or_path, PUBLISHED_FOLDER, "machine")
    base = table.pop("based_on", None)
    if base is None:
        return table
    path = Path(name_or_path)
    if base not in list_machines() or base == path.stem:
        requirement = f"must be one of {', '.join(list_machines())}"
        raise ConfigError(f"{path.stem}.toml.based_on", base, requirement, "Name a published machine")
    below = _table(base)
    below.pop("expected", None)  # figures of another machine
    return _merged(below, table)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Tables are merged key by key, everything else is replaced."""
    both = {
        key: _merged(below[key], value) if isinstance(value, dict) and isinstance(below.get(key), dict) else value
        for key, value in above.items()
    }
    return below | both
