"""The training loop: stages, joint exits, optional teacher, exact resume.

Every random choice follows from the seed and the step (batch order from (seed, epoch), dropout from the saved
generator), so a run that was stopped and resumed, within a stage or between two, ends with the same weights as one that
was not. Not included: several GPUs, gradient accumulation.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hexit.quant.data.scores import exit_scores
from hexit.quant.data.tasks import TextSet
from hexit.quant.errors import ConfigError
from hexit.quant.network.checkpoint import Checkpoint, Storage, load_checkpoint, save_checkpoint
from hexit.quant.network.encoding import encode, make_batch, training_order
from hexit.quant.network.evaluate import all_logits
from hexit.quant.network.model import EarlyExitEncoder
from hexit.quant.records import to_json
from hexit.quant.training.plan import Recipe, TrainingPlan
from hexit.quant.training.samples import (
    Samples,
    TeacherStates,
    check_teacher,
    labelled_samples,
    teacher_logits,
    with_unlabelled,
)
from hexit.quant.training.stage import StageRun
from hexit.quant.training.start import starting_point
from hexit.quant.training.state import STATE_FILE, EpochResult, Position, load_state, save_state

N_CALIBRATION = 256  # training sentences kept for quantisation; ranges settle well before that
CPU_ATTENTION = "eager"  # on 10 to 30 tokens the backward pass of torch's flash attention takes 30 % of a CPU step
RECENT_STEPS = 100  # over which the loss on the progress bar is averaged


@dataclass(frozen=True, slots=True, kw_only=True)
class Watchers:
    """Callbacks for a user interface; the loop itself prints nothing."""

    begin: Callable[[str, int], None] = lambda title, n_total: None
    advance: Callable[[int, str], None] = lambda n_done, note: None
    epoch: Callable[[EpochResult], None] = lambda result: None


def train(
    recipe: Recipe,
    training_set: TextSet,
    dev_set: TextSet | None,
    out: Path,
    *,
    device: str = "cpu",
    save_every_s: float = 120.0,
    storage: Storage = "fp16",
    calibration: Sequence[str] = (),
    watchers: Watchers | None = None,
) -> tuple[EpochResult, ...]:
    """Train the exits of one model, stage by stage, and write the checkpoint folder `out`.

    Resumes if `out` holds a stopped run of the same recipe. `calibration` replaces the training sentences that the
    checkpoint keeps for quantisation. Raises ConfigError where `out` holds something else or cannot be written, where
    a model has fewer positions than the plan's max_length, and for a teacher that does not fit the task.
    """
    _check_out(out)
    plan = recipe.plan
    torch.manual_seed(plan.seed)
    teacher = load_checkpoint(plan.teacher, where="--teacher") if plan.teacher else None
    if teacher is not None:
        check_teacher(teacher, training_set)
    trained_on, held_out = _held_out(training_set, plan)
    model, tokenizer = starting_point(plan, trained_on, teacher)
    if device == "cpu":
        _use_cpu_attention([model] if teacher is None else [model, teacher.model])
    run = _Run(
        recipe=recipe,
        model=model.to(device),
        tokenizer=tokenizer,
        texts=trained_on,
        held_out=held_out,
        dev_set=dev_set,
        teacher=teacher,
        device=device,
        watch=watchers or Watchers(),
    )
    results = run.train(out, _fingerprint(recipe, training_set, teacher, tokenizer), save_every_s)
    notes = {
        "recipe": to_json(recipe),
        "training_set": training_set.name,
        "training_hash": training_set.content_hash,
        "teacher_hash": teacher.content_hash if teacher else None,
        "torch": torch.__version__,
        "device": device,
        "epochs": to_json(results),
    }
    chosen = np.random.default_rng(plan.seed).permutation(len(trained_on))[:N_CALIBRATION]
    save_checkpoint(
        model,
        tokenizer,
        out,
        storage=storage,
        notes=notes,
        calibration=calibration or [trained_on.texts[i] for i in sorted(chosen)],
        selection=held_out,
    )
    (out / STATE_FILE).unlink(missing_ok=True)
    return results


def _use_cpu_attention(networks: Sequence[EarlyExitEncoder]) -> None:
    """Choose the attention for the whole run, so that a resumed one computes the same."""
    for network in networks:
        network.backbone.set_attn_implementation(CPU_ATTENTION)


def _check_out(out: Path) -> None:
    """Refuse a finished or unwritable folder before hours are spent."""
    if (out / "config.json").exists() and not (out / STATE_FILE).exists():
        raise ConfigError("--out", str(out), "holds a finished checkpoint", "Name another folder or remove it")
    existing = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ConfigError("--out", str(out), "cannot be written", "Name another folder")


def _held_out(texts: TextSet, plan: TrainingPlan) -> tuple[TextSet, TextSet | None]:
    """Divide the training set into what is trained on and what is kept back, drawn by the seed."""
    if not plan.held_out:
        return texts, None
    if plan.held_out >= len(texts):
        requirement = f"must be below the {len(texts)} training samples"
        raise ConfigError("--held-out", plan.held_out, requirement, "Keep fewer")
    order = np.random.default_rng(plan.seed).permutation(len(texts)).tolist()
    return texts.subset(sorted(order[plan.held_out :])), texts.subset(sorted(order[: plan.held_out]))


def _fingerprint(recipe: Recipe, training_set: TextSet, teacher: Checkpoint | None, tokenizer: Any) -> str:
    teacher_hash = teacher.content_hash if teacher else ""
    parts = [to_json(recipe), training_set.content_hash, teacher_hash, tokenizer.get_vocab()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(kw_only=True)
class _Run:
    """A run between two steps: what it trains, on what, and where it is."""

    recipe: Recipe
    model: EarlyExitEncoder
    tokenizer: Any
    texts: TextSet
    held_out: TextSet | None
    dev_set: TextSet | None
    teacher: Checkpoint | None
    device: str
    watch: Watchers

    def train(self, out: Path, fingerprint: str, save_every_s: float) -> tuple[EpochResult, ...]:
        """Go through all stages from where a stopped run was, or from the beginning."""
        position, tensors = load_state(out, fingerprint, self.device) or (Position(), None)
        stage = self._stage(position)
        if tensors is not None:
            stage.load_tensors(tensors)

        def save() -> None:
            save_state(out, fingerprint, position, stage.tensors(), self.device)

        while True:
            started = last_save = time.monotonic()
            samples, order = self._epoch(position)
            self.watch.begin(self._title(position), len(order))
            self.watch.advance(position.step, "")
            recent: deque[float] = deque(maxlen=RECENT_STEPS)
            for indices in order[position.step :]:
                batch = make_batch(samples.encoded, indices, self.tokenizer.pad_token_id)
                recent.append(stage.step(batch, samples, position.epoch * len(order) + position.step, len(order)))
                position = replace(position, step=position.step + 1, loss_sum=position.loss_sum + recent[-1])
                self.watch.advance(1, f"loss {sum(recent) / len(recent):.3f}")
                if time.monotonic() - last_save > save_every_s:
                    save()
                    last_save = time.monotonic()
            position = self._end_epoch(position, stage, len(order), time.monotonic() - started)
            if position.epoch == stage.stage.epochs:
                stage.finish()
                position = replace(position, stage=position.stage + 1, epoch=0)
                if position.stage == len(self.recipe.stages):
                    return position.results
                stage = self._stage(position)
            save()

    def _stage(self, position: Position) -> StageRun:
        stage = self.recipe.stages[position.stage]
        states = None
        if stage.hidden_weight and self.teacher is not None:
            states = TeacherStates(self.teacher, self.tokenizer, self.model.shape().hidden_size, self.device)
        return StageRun(
            self.recipe.plan, stage, self.model, states, regression=self.texts.regression, device=self.device
        )

    def _title(self, position: Position) -> str:
        stage = self.recipe.stages[position.stage]
        title = f"epoch {position.epoch + 1}/{stage.epochs}"
        return title if len(self.recipe.stages) == 1 else f"{stage.name}, {title}"

    def _epoch(self, position: Position) -> tuple[Samples, list[list[int]]]:
        """Return the samples of an epoch and its batches; both depend on the seed and on the epochs before."""
        plan, stage = self.recipe.plan, self.recipe.stages[position.stage]
        n_before = len(position.results)
        online = stage.hidden_weight > 0  # the teacher then runs beside the student
        label = self._label if self.teacher is not None and not online else None
        known = self._samples if label is None else self._samples_with_teacher
        samples = with_unlabelled(known, plan, stage, self.tokenizer, n_before + 1, label)
        lengths = [len(ids) for ids in samples.encoded.ids]
        return samples, training_order(lengths, stage.batch_size, np.random.default_rng((plan.seed, n_before)))

    @cached_property
    def _samples(self) -> Samples:
        return labelled_samples(self.texts, self.tokenizer, self.recipe.plan)

    @cached_property
    def _samples_with_teacher(self) -> Samples:
        return replace(self._samples, teacher_logits=self._label(self.texts.texts, self.texts.pairs))

    def _label(self, texts: Sequence[str], pairs: Sequence[str] | None) -> NDArray[Any]:
        assert self.teacher is not None
        self.watch.begin("teacher labels", len(texts))
        advance = self.watch.advance
        return teacher_logits(
            self.teacher, texts, pairs, self.recipe.plan, self.device, lambda n_done: advance(n_done, "")
        )

    def _end_epoch(self, position: Position, stage: StageRun, n_steps: int, wall_s: float) -> Position:
        score = self._scores(self.held_out)[-1] if self.held_out is not None else None
        result = EpochResult(
            stage=stage.stage.name,
            epoch=position.epoch + 1,
            mean_loss=position.loss_sum / n_steps,
            dev_scores=self._scores(self.dev_set) if self.dev_set is not None else (),
            wall_s=round(wall_s, 1),
            held_out_score=score,
        )
        self.watch.epoch(result)
        stage.remember(score)
        return replace(position, epoch=position.epoch + 1, step=0, loss_sum=0.0, results=(*position.results, result))

    def _scores(self, texts: TextSet) -> tuple[float, ...]:
        logits = all_logits(
            self.model,
            encode(texts, self.tokenizer, self.recipe.plan.max_length),
            n_layers=self.model.n_layers,
            n_classes=self.model.exits.n_classes,
            pad_id=self.tokenizer.pad_token_id,
            device=self.device,
        )
        return exit_scores(logits, np.array(texts.labels))
