"""What decides the outcome of a training run, as one record; without torch, so that a command line loads at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from hexit.quant.errors import ConfigError
from hexit.quant.options import Checked, option

LossName = Literal["elbert", "pabee", "equal", "last"]
LOSSES = "elbert (learnt weights), pabee (weights by layer number), equal, last"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan(Checked):
    """Everything that decides the outcome of a training run, except the text itself.

    `model` is a checkpoint to start from; empty means a new ALBERT of the sizes given here.
    `unlabelled_per_epoch` sentences are drawn anew for every epoch and labelled by the teacher.
    """

    model: str = option(
        "",
        help="Checkpoint to start from: folder or hub name. Empty: a new ALBERT of the sizes "
        "below, with its own word-piece vocabulary.",
    )
    hidden_size: int = option(256, least=1, help="New model: columns of the hidden state.")
    n_layers: int = option(12, least=1, help="New model: layers, all sharing one set of weights.")
    n_heads: int = option(4, least=1, help="New model: attention heads.")
    embedding_size: int = option(128, least=1, help="New model: columns of the factorised embedding.")
    vocabulary_size: int = option(8000, least=100, help="New model: word pieces.")
    pooler: bool = option(True, off_flag="--no-pooler", help="Exit head has a linear + tanh before its classifier.")
    pooling: Literal["first", "mean"] = option(
        "first", help="What an exit reads: first (token) or mean (of all tokens)."
    )
    shared_head: bool = option(
        True, off_flag="--no-shared-head", help="One exit head for all layers (ELBERT) or one per layer (PABEE)."
    )
    loss: LossName = option("elbert", help=f"Joint loss over the exits: {LOSSES}.")
    epochs: int = option(3, least=1, help="Passes over the training set.")
    batch_size: int = option(32, least=1, help="Sentences per step.")
    learning_rate: float = option(3e-5, help="Peak rate of the encoder (AdamW).")
    head_learning_rate: float = option(3e-4, help="Peak rate of the exit heads.")
    warmup_fraction: float = option(0.06, help="Part of all steps before the peak.")
    weight_decay: float = option(0.01, least=0, help="AdamW weight decay.")
    max_length: int = option(128, least=1, help="Tokens at which a sentence is cut.")
    teacher: str = option("", help="Trained checkpoint whose last exit labels every sentence softly.")
    distill_fraction: float = option(0.9, help="Share of the teacher in the loss.")
    temperature: float = option(2.0, help="Softmax temperature of the distillation.")
    unlabelled: str = option("", help="Json lines (.xz allowed) of reviews; the teacher labels their sentences.")
    unlabelled_per_epoch: int = option(0, least=0, help="Sentences of --unlabelled drawn for each epoch.")
    precision: Literal["fp32", "bf16"] = option(
        "fp32", help="fp32, or bf16 (about 2x faster where the processor has it)."
    )
    seed: int = option(0, least=0, help="Decides initial weights, order and dropout.")

    def __post_init__(self) -> None:
        """Check ranges that would otherwise fail deep inside a library."""
        Checked.__post_init__(self)
        for name in ("learning_rate", "head_learning_rate", "temperature"):
            if not 0 < getattr(self, name) < math.inf:
                flag = f"--{name.replace('_', '-')}"
                raise ConfigError(flag, getattr(self, name), "must be positive", "Raise it")
        for name in ("warmup_fraction", "distill_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"--{name.replace('_', '-')}", getattr(self, name), "must be 0..1", "Correct it")
        if self.hidden_size % self.n_heads:
            requirement = f"must divide --hidden-size {self.hidden_size}"
            raise ConfigError("--n-heads", self.n_heads, requirement, "Pick a divisor")
        if self.unlabelled and not self.teacher:
            raise ConfigError("--unlabelled", self.unlabelled, "needs a teacher to label it", "Add --teacher MODEL")
