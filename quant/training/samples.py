"""The samples of an epoch: labelled ones, and sentences without a label that are drawn anew each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hexit.quant.data.tasks import UNLABELLED, TextSet
from hexit.quant.errors import ConfigError
from hexit.quant.network.checkpoint import Checkpoint
from hexit.quant.network.encoding import Batch, Encoded, encode, encode_strings
from hexit.quant.network.evaluate import all_logits
from hexit.quant.training.plan import Stage, TrainingPlan
from hexit.quant.training.start import teacher_numbers
from hexit.quant.training.unlabelled import load_sentences

TEACHER_BATCH = 64  # sentences


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """Encoded sentences, their labels (UNLABELLED where there is none) and, where a teacher labels them, its logits."""

    encoded: Encoded
    labels: NDArray[Any]
    teacher_logits: NDArray[Any] | None


def check_teacher(teacher: Checkpoint, texts: TextSet) -> None:
    """Raise ConfigError for a teacher of another task."""
    if texts.regression:
        raise ConfigError("--teacher", teacher.name, "distils classes, the labels are numbers", "Leave it out")
    if teacher.model.exits.label_names != texts.label_names:
        requirement = f"must have the classes {', '.join(texts.label_names)}"
        raise ConfigError("--teacher", teacher.name, requirement, "Train it on the same task")


def labelled_samples(texts: TextSet, tokenizer: Any, plan: TrainingPlan) -> Samples:
    """Encode the training set, without a teacher's logits."""
    labels = np.array(texts.labels, dtype=np.float32)
    return Samples(encoded=encode(texts, tokenizer, plan.max_length), labels=labels, teacher_logits=None)


def with_unlabelled(
    samples: Samples, plan: TrainingPlan, stage: Stage, tokenizer: Any, draw: int, label: Callable[..., Any] | None
) -> Samples:
    """Add this epoch's unlabelled sentences, the `draw`-th set that the plan's seed gives."""
    if not plan.unlabelled or not stage.unlabelled_per_epoch:
        return samples
    sentences = load_sentences(Path(plan.unlabelled), stage.unlabelled_per_epoch, plan.seed + draw)
    extra = encode_strings(sentences, tokenizer, plan.max_length)
    merged = Encoded(ids=samples.encoded.ids + extra.ids, types=samples.encoded.types + extra.types, n_truncated=0)
    logits = None
    if label is not None and samples.teacher_logits is not None:
        logits = np.concatenate([samples.teacher_logits, label(sentences, None)])
    return Samples(
        encoded=merged,
        labels=np.concatenate([samples.labels, np.full(len(extra), UNLABELLED, dtype=np.float32)]),
        teacher_logits=logits,
    )


def teacher_logits(
    teacher: Checkpoint,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    plan: TrainingPlan,
    device: str,
    advance: Callable[[int], None],
) -> NDArray[Any]:
    """Return the logits of the teacher's last exit, float32 [n, K], from its own spelling of the texts."""
    encoded = encode_strings(texts, teacher.tokenizer, min(plan.max_length, teacher.max_length), pairs)
    with torch.autocast(device, dtype=torch.bfloat16, enabled=plan.precision == "bf16"):
        logits = all_logits(
            teacher.model.to(device),
            encoded,
            n_layers=teacher.model.n_layers,
            n_classes=teacher.model.exits.n_classes,
            pad_id=teacher.tokenizer.pad_token_id,
            batch_size=TEACHER_BATCH,
            device=device,
            advance=advance,
        )
    last: NDArray[Any] = logits[-1]
    return last


class TeacherStates:
    """A teacher that reads the student's own tokens, so that both have one hidden state for each of them."""

    def __init__(self, teacher: Checkpoint, student_tokenizer: Any, hidden_size: int, device: str) -> None:
        """Match the vocabularies; ConfigError for a teacher of other pieces or of another width."""
        shape = teacher.model.shape()
        missing = set(student_tokenizer.get_vocab()) - set(teacher.tokenizer.get_vocab())
        if missing or shape.hidden_size != hidden_size:
            requirement = (
                f"must have the model's word pieces ({len(missing)} missing) and its hidden size {hidden_size}"
            )
            raise ConfigError("--teacher", teacher.name, requirement, "Start the model with --from-teacher")
        self.model = teacher.model.to(device)
        self.numbers = teacher_numbers(student_tokenizer, teacher.tokenizer).to(device)

    @torch.no_grad()
    def __call__(self, batch: Batch, device: str) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the logits of the teacher's last exit, [n, K], and its hidden states."""
        ids = self.numbers[batch.input_ids.to(device)]
        logits, states = self.model.logits_and_states(
            ids, batch.attention_mask.to(device), batch.token_type_ids.to(device)
        )
        return logits[-1], states
