"""Recipes of training as TOML files: shipped ones by name, a user's own by path (quant.training.plan has the keys)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hexit.quant.training as training_package
from hexit.hw_model.toml_files import list_names, load_table
from hexit.quant.errors import ConfigError
from hexit.quant.options import options_of
from hexit.quant.records import from_json
from hexit.quant.training.plan import Recipe, Stage, TrainingPlan

RECIPES = Path(training_package.__path__[0]) / "recipes"


def list_recipes() -> tuple[str, ...]:
    """Names of the shipped recipes, in alphabetical order."""
    return list_names(RECIPES)


def load_recipe(name_or_path: str, typed: Mapping[str, Any] | None = None) -> Recipe:
    """Return a recipe with options by name in place of its own: those of the plan, and of the stage if there is one.

    Raises ConfigError for unknown names, for keys and values that are not legal, and for options of a stage where the
    recipe has several.
    """
    table = load_table(name_or_path, RECIPES, "--recipe")
    stages = table.get("stages")
    for one in options_of(Stage):
        if typed and one.name in typed:
            if not isinstance(stages, list) or len(stages) != 1:
                requirement = f"could mean any stage of {name_or_path}"
                raise ConfigError(one.flag, typed[one.name], requirement, "Set it in a copy of the recipe")
            stages[0] |= {one.key: typed[one.name]}
    plan = {one.key: typed[one.name] for one in options_of(TrainingPlan) if typed and one.name in typed}
    own = table.get("plan", {})
    return from_json(Recipe, table | {"plan": own | plan if isinstance(own, dict) else own}, f"--recipe {name_or_path}")
