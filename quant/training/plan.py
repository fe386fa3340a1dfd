"""What decides the outcome of a training run, as records; without torch, so that a command line loads at once.

A recipe is a plan (the network, its text, its teacher) and the stages that it goes through, in a TOML file:

    [plan]                                  # keys of `TrainingPlan`
    model = "google-bert/bert-base-uncased"
    [[stages]]                              # keys of `Stage`, one table per stage
    name = "exits only"
    freeze = ["backbone.*"]
    loss = "equal"
    epochs = 1
    [[stages.rates]]                        # rates of single parameters
    match = "heads.0.*"
    learning_rate = 1e-3
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from hexit.quant.errors import ConfigError
from hexit.quant.options import Checked, option

LossName = Literal["elbert", "pabee", "equal", "last", "none"]
LOSSES = "elbert (learnt weights), pabee (weights by layer number), equal, last, none"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan(Checked):
    """The network that is trained, the text and the teacher that it learns from.

    `model` is a checkpoint to start from; empty means a new ALBERT of the sizes given here. With `from_teacher` its
    vocabulary is the teacher's, pruned, and its word vectors and layers start from the teacher's.
    """

    model: str = option(
        "",
        help="Checkpoint to start from: folder or hub name. Empty: a new ALBERT of the sizes "
        "below, with its own word-piece vocabulary.",
    )
    hidden_size: int = option(256, least=1, help="New model: columns of the hidden state.")
    n_layers: int = option(12, least=1, help="New model: layers.")
    n_layer_groups: int = option(
        1, least=1, help="New model: sets of layer weights, each shared by consecutive layers."
    )
    n_heads: int = option(4, least=1, help="New model: attention heads.")
    embedding_size: int = option(128, least=1, help="New model: columns of the factorised embedding.")
    vocabulary_size: int = option(8000, least=100, help="New model: word pieces.")
    from_teacher: bool = option(
        False,
        help="New model: vocabulary pruned from the teacher's; word vectors and layers start from the teacher's.",
    )
    pooler: bool = option(True, off_flag="--no-pooler", help="Exit head has a linear + tanh before its classifier.")
    pooling: Literal["first", "mean"] = option(
        "first", help="What an exit reads: first (token) or mean (of all tokens)."
    )
    shared_head: bool = option(
        True, off_flag="--no-shared-head", help="One exit head for all layers (ELBERT) or one per layer (PABEE)."
    )
    max_length: int = option(128, least=1, help="Tokens at which a sentence is cut.")
    teacher: str = option("", help="Trained checkpoint whose last exit labels every sentence softly.")
    unlabelled: str = option("", help="Json lines (.xz allowed) of reviews; the teacher labels their sentences.")
    held_out: int = option(
        0,
        least=0,
        help="Training samples that are not trained on but kept beside the weights, to choose the settings of exit "
        "rules and the best epoch with.",
    )
    precision: Literal["fp32", "bf16"] = option(
        "fp32", help="fp32, or bf16 (about 2x faster where the processor has it)."
    )
    seed: int = option(0, least=0, help="Decides initial weights, order and dropout.")

    def __post_init__(self) -> None:
        """Check ranges that would otherwise fail deep inside a library."""
        Checked.__post_init__(self)
        if self.hidden_size % self.n_heads:
            requirement = f"must divide --hidden-size {self.hidden_size}"
            raise ConfigError("--n-heads", self.n_heads, requirement, "Pick a divisor")
        if self.n_layers % self.n_layer_groups:
            requirement = f"must divide --n-layers {self.n_layers}"
            raise ConfigError("--n-layer-groups", self.n_layer_groups, requirement, "Pick a divisor")
        if self.unlabelled and not self.teacher:
            raise ConfigError("--unlabelled", self.unlabelled, "needs a teacher to label it", "Add --teacher MODEL")
        if self.from_teacher and (self.model or not self.teacher):
            requirement = "needs a teacher and a new model"
            raise ConfigError("--from-teacher", self.from_teacher, requirement, "Add --teacher, leave out --model")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterRate:
    """A learning rate of its own for the parameters whose names match, as in ``backbone.embeddings.*``."""

    match: str
    learning_rate: float

    def __post_init__(self) -> None:
        """Reject rates that train nothing."""
        _check_positive("stages.rates.learning_rate", self.learning_rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(Checked):
    """One stage of training: what is trained, on which loss, how fast, for how long.

    `unlabelled_per_epoch` sentences are drawn anew for every epoch and labelled by the teacher. `freeze` holds name
    patterns of parameters that stay as they are, `rates` patterns with a rate of their own; a recipe file sets them.
    """

    name: str = option("training", help="What the stage is called in progress and notes.")
    loss: LossName = option("elbert", help=f"Joint loss over the exits: {LOSSES}.")
    epochs: int = option(3, least=1, help="Passes over the training set.")
    batch_size: int = option(32, least=1, help="Sentences per step.")
    learning_rate: float = option(3e-5, help="Peak rate of the encoder (AdamW).")
    head_learning_rate: float = option(3e-4, help="Peak rate of the exit heads.")
    warmup_fraction: float = option(0.06, help="Part of all steps before the peak.")
    weight_decay: float = option(0.01, least=0, help="AdamW weight decay.")
    distill_fraction: float = option(0.9, help="Share of the teacher in the loss.")
    temperature: float = option(2.0, help="Softmax temperature of the distillation.")
    hidden_weight: float = option(
        0.0, least=0, help="Weight of the distance to the teacher's hidden states in the loss; 0: not looked at."
    )
    unlabelled_per_epoch: int = option(0, least=0, help="Sentences of --unlabelled drawn for each epoch.")
    keep: Literal["last", "best"] = option(
        "last", help="Weights that a stage ends with: last, or those of its epoch with the best score on --held-out."
    )
    freeze: tuple[str, ...] = option(
        (), help="Parameters that are not trained, by name pattern, e.g. `backbone.embeddings.word_embeddings.*`."
    )
    rates: tuple[ParameterRate, ...] = ()

    def __post_init__(self) -> None:
        """Check ranges that would otherwise fail deep inside a library."""
        Checked.__post_init__(self)
        for name in ("learning_rate", "head_learning_rate", "temperature"):
            _check_positive(f"--{name.replace('_', '-')}", getattr(self, name))
        for name in ("warmup_fraction", "distill_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"--{name.replace('_', '-')}", getattr(self, name), "must be 0..1", "Correct it")
        if self.loss == "none" and not self.hidden_weight:
            raise ConfigError("--loss", self.loss, "leaves nothing to train on", "Add --hidden-weight 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A plan and its stages, in order; `title` says what they are for."""

    title: str = ""
    plan: TrainingPlan
    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        """Check what a plan and its stages must agree on."""
        if not self.stages:
            raise ConfigError("stages", "(none)", "must be at least one", "Add a table [[stages]]")
        for stage in self.stages:
            if stage.hidden_weight and not self.plan.teacher:
                requirement = "needs a teacher with hidden states"
                raise ConfigError("--hidden-weight", stage.hidden_weight, requirement, "Add --teacher MODEL")
            if stage.keep == "best" and not self.plan.held_out:
                requirement = "needs samples to score epochs with that nothing is trained on"
                raise ConfigError("--keep", stage.keep, requirement, "Add --held-out 1000")


def _check_positive(where: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ConfigError(where, value, "must be positive", "Raise it")
