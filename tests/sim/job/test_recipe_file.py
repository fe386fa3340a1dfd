from __future__ import annotations

from pathlib import Path

import pytest

from hexit.quant.errors import ConfigError
from hexit.quant.training.plan import ParameterRate, Recipe, Stage, TrainingPlan
from hexit.sim.job.recipe_file import list_recipes, load_recipe

TWO_STAGES = """
title = "two"
[plan]
seed = 3
[[stages]]
name = "first"
freeze = ["backbone.*"]
[[stages]]
name = "second"
keep = "last"
[[stages.rates]]
match = "heads.*"
learning_rate = 1e-3
"""


@pytest.mark.parametrize("name", list_recipes())
def test_shipped_recipes_are_whole_once_their_files_are_named(name: str) -> None:
    recipe = load_recipe(name, {"teacher": "runs/teacher", "unlabelled": "reviews.jsonl"})
    assert recipe.title
    assert recipe.plan.teacher == "runs/teacher"
    assert recipe.plan.precision == "bf16"


def test_a_file_has_a_plan_and_stages(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TWO_STAGES)
    expected = Recipe(
        title="two",
        plan=TrainingPlan(seed=3),
        stages=(
            Stage(name="first", freeze=("backbone.*",)),
            Stage(name="second", rates=(ParameterRate(match="heads.*", learning_rate=1e-3),)),
        ),
    )
    assert load_recipe(str(path)) == expected
    assert load_recipe(str(path), {"seed": 4}).plan.seed == 4
    with pytest.raises(ConfigError, match=r"^--epochs = 2: could mean any stage of .*mine\.toml\. Set it in a copy"):
        load_recipe(str(path), {"epochs": 2})


def test_options_of_the_one_stage_replace_the_recipes() -> None:
    recipe = load_recipe("minilm-exits", {"epochs": 1, "model": "other", "out": "ignored"})
    assert (recipe.stages[0].epochs, recipe.plan.model, recipe.stages[0].loss) == (1, "other", "pabee")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[plan]\nepochs = 1\n[[stages]]\n", r"\.plan\.epochs = 1: is not a known key.*"),
        ("[plan]\n", r"\.stages = \(missing\): is required"),
        ("plan = 3\n[[stages]]\n", r"\.plan = 3: must be a table"),
        ("[[stages]]\nepochs = 0\n", r"^--epochs = 0: must be at least 1"),
        ("[[stages]]\nrates = [{match = 'x'}]\n", r"\.stages\[0\]\.rates\[0\]\.learning_rate = \(missing\)"),
        ("stages = []\n", r"^stages = \(none\): must be at least one"),
    ],
)
def test_other_files_are_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(content)
    with pytest.raises(ConfigError, match=message):
        load_recipe(str(tmp_path / "r.toml"))
