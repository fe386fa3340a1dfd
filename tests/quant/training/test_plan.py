from __future__ import annotations

from typing import Any

import pytest

from hexit.quant.errors import ConfigError
from hexit.quant.options import options_of
from hexit.quant.training.plan import ParameterRate, Recipe, Stage, TrainingPlan


def recipe(**options: Any) -> Recipe:
    """A recipe of one stage from options of its plan and its stage."""
    of_stage = {name: value for name, value in options.items() if name in {one.name for one in options_of(Stage)}}
    of_plan = {name: value for name, value in options.items() if name not in of_stage}
    return Recipe(plan=TrainingPlan(**({"hidden_size": 48} | of_plan)), stages=(Stage(**of_stage),))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(
            ({name: 0}, rf"^--{name.replace('_', '-')} = 0: must be at least 1")
            for name in ("hidden_size", "n_layers", "n_heads", "embedding_size", "epochs", "batch_size", "max_length")
        ),
        *(
            ({name: value}, rf"^--{name.replace('_', '-')} = {value}: must be positive")
            for name in ("learning_rate", "head_learning_rate", "temperature")
            for value in (0.0, -1.0, float("inf"), float("nan"))
        ),
        *(
            ({name: value}, rf"^--{name.replace('_', '-')} = {value}: must be 0\.\.1")
            for name in ("warmup_fraction", "distill_fraction")
            for value in (-0.1, 1.1, float("nan"))
        ),
        *(
            ({name: -1}, rf"^--{name.replace('_', '-')} = -1: must not be negative")
            for name in ("seed", "weight_decay", "unlabelled_per_epoch")
        ),
        ({"n_heads": 5}, r"^--n-heads = 5: must divide --hidden-size 48"),
        ({"vocabulary_size": 99}, r"^--vocabulary-size = 99: must be at least 100"),
        ({"unlabelled": "u.jsonl"}, r"^--unlabelled = u\.jsonl: needs a teacher to label it\. Add --teacher"),
        ({"n_layer_groups": 5}, r"^--n-layer-groups = 5: must divide --n-layers 12\. Pick a divisor"),
        ({"from_teacher": True}, r"^--from-teacher = True: needs a teacher and a new model\. Add --teacher"),
        ({"loss": "none"}, r"^--loss = none: leaves nothing to train on\. Add --hidden-weight 1"),
        ({"hidden_weight": 1.0}, r"^--hidden-weight = 1\.0: needs a teacher with hidden states\. Add --teacher"),
        ({"keep": "best"}, r"^--keep = best: needs samples to score epochs with .*\. Add --held-out 1000"),
    ],
)
def test_impossible_plans_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe(**change)


def test_a_recipe_has_a_stage() -> None:
    with pytest.raises(ConfigError, match=r"^stages = \(none\): must be at least one\. Add a table"):
        Recipe(plan=TrainingPlan(), stages=())
    with pytest.raises(ConfigError, match=r"^stages\.rates\.learning_rate = 0\.0: must be positive"):
        ParameterRate(match="heads.*", learning_rate=0.0)
