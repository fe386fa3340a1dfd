"""The training loop: joint exits, optional teacher, exact resume.

Every random choice follows from the seed and the step (batch order from (seed, epoch), dropout from the saved
generator), so a run that was stopped and resumed ends with the same weights as one that was not.
Not included: several GPUs, gradient accumulation, selection of the best epoch (the last weights are kept).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from hexit.quant.data.scores import exit_scores
from hexit.quant.data.tasks import UNLABELLED, TextSet
from hexit.quant.errors import ConfigError
from hexit.quant.network.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from hexit.quant.network.encoding import Encoded, encode, encode_strings, make_batch, training_order
from hexit.quant.network.evaluate import all_logits
from hexit.quant.network.model import EarlyExitEncoder, ExitConfig
from hexit.quant.records import from_json, to_json
from hexit.quant.training.losses import LayerWeights, exit_losses
from hexit.quant.training.plan import TrainingPlan
from hexit.quant.training.unlabelled import load_sentences
from hexit.quant.training.vocabulary import borrow_embeddings, new_albert, train_tokenizer

STATE_FILE = "training_state.safetensors"
N_CALIBRATION = 256  # training sentences kept for quantisation; ranges settle well before that
LAYER_WEIGHT_RATE = (
    1e-2  # learning rate of ELBERT's trainable exit weights: "w_lr" in config.json of github.com/shakeley/ELBERT
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochResult:
    """What one epoch ended with; `dev_scores` has one score per exit, empty without a dev set."""

    epoch: int
    mean_loss: float
    dev_scores: tuple[float, ...]
    wall_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Watchers:
    """Callbacks for a user interface; the loop itself prints nothing."""

    begin: Callable[[str, int], None] = lambda title, n_total: None
    advance: Callable[[int, str], None] = lambda n_done, note: None
    epoch: Callable[[EpochResult], None] = lambda result: None


def train(
    plan: TrainingPlan,
    training_set: TextSet,
    dev_set: TextSet | None,
    out: Path,
    *,
    device: str = "cpu",
    save_every_s: float = 120.0,
    half: bool = True,
    calibration: Sequence[str] = (),
    watchers: Watchers | None = None,
) -> tuple[EpochResult, ...]:
    """Train the exits of one model and write the checkpoint folder `out`.

    Resumes if `out` holds a stopped run of the same plan. `calibration` replaces the training sentences that the
    checkpoint keeps for quantisation. Raises ConfigError where `out` holds something else or cannot be written, where
    a model has fewer positions than the plan's max_length, and for a teacher that does not fit the task.
    """
    _check_out(out)
    watch = watchers or Watchers()
    torch.manual_seed(plan.seed)
    teacher = load_checkpoint(plan.teacher, where="--teacher") if plan.teacher else None
    model, tokenizer = _start(plan, training_set, teacher)
    fingerprint = _fingerprint(plan, training_set, teacher, tokenizer)
    run = _Run(plan, model.to(device), tokenizer, training_set, teacher, device, watch)
    run.resume(out, fingerprint)
    for epoch in range(run.epoch, plan.epochs):
        mean_loss, wall_s = run.train_epoch(epoch, lambda: run.save(out, fingerprint), save_every_s)
        scores = _dev_scores(model, tokenizer, dev_set, plan, device) if dev_set is not None else ()
        run.results.append(EpochResult(epoch=epoch + 1, mean_loss=mean_loss, dev_scores=scores, wall_s=wall_s))
        watch.epoch(run.results[-1])
        run.save(out, fingerprint)
    notes = {
        "plan": dataclasses.asdict(plan),
        "training_set": training_set.name,
        "training_hash": training_set.content_hash,
        "teacher_hash": teacher.content_hash if teacher else None,
        "torch": torch.__version__,
        "device": device,
        "epochs": [dataclasses.asdict(result) for result in run.results],
    }
    chosen = np.random.default_rng(plan.seed).permutation(len(training_set))[:N_CALIBRATION]
    save_checkpoint(
        model,
        tokenizer,
        out,
        half=half,
        notes=notes,
        calibration=calibration or [training_set.texts[i] for i in sorted(chosen)],
    )
    (out / STATE_FILE).unlink(missing_ok=True)
    return tuple(run.results)


def _check_out(out: Path) -> None:
    """Refuse a finished or unwritable folder before hours are spent."""
    if (out / "config.json").exists() and not (out / STATE_FILE).exists():
        raise ConfigError("--out", str(out), "holds a finished checkpoint", "Name another folder or remove it")
    existing = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ConfigError("--out", str(out), "cannot be written", "Name another folder")


def _fingerprint(plan: TrainingPlan, training_set: TextSet, teacher: Checkpoint | None, tokenizer: Any) -> str:
    teacher_hash = teacher.content_hash if teacher else ""
    parts = [dataclasses.asdict(plan), training_set.content_hash, teacher_hash, tokenizer.get_vocab()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _start(plan: TrainingPlan, training_set: TextSet, teacher: Checkpoint | None) -> tuple[EarlyExitEncoder, Any]:
    exits = ExitConfig(
        label_names=training_set.label_names, pooler=plan.pooler, pooling=plan.pooling, shared_head=plan.shared_head
    )
    if plan.model:
        checkpoint = load_checkpoint(plan.model, exits=exits)
        if plan.max_length > checkpoint.max_length:
            requirement = f"must be at most the {checkpoint.max_length} positions of {checkpoint.name}"
            raise ConfigError("--max-length", plan.max_length, requirement, f"Use --max-length {checkpoint.max_length}")
        return checkpoint.model, checkpoint.tokenizer
    sentences = [*training_set.texts, *(training_set.pairs or ())]
    if plan.unlabelled:
        sentences += load_sentences(Path(plan.unlabelled), len(sentences), plan.seed)
    tokenizer = train_tokenizer(sentences, plan.vocabulary_size)
    model = new_albert(
        tokenizer=tokenizer,
        hidden_size=plan.hidden_size,
        n_layers=plan.n_layers,
        n_heads=plan.n_heads,
        embedding_size=plan.embedding_size,
        n_positions=plan.max_length,
        exits=exits,
    )
    if teacher is not None:
        borrow_embeddings(model, tokenizer, teacher.model, teacher.tokenizer)
    return model, tokenizer


def _dev_scores(
    model: EarlyExitEncoder, tokenizer: Any, dev: TextSet, plan: TrainingPlan, device: str
) -> tuple[float, ...]:
    logits = all_logits(
        model,
        encode(dev, tokenizer, plan.max_length),
        n_layers=model.n_layers,
        n_classes=model.exits.n_classes,
        pad_id=tokenizer.pad_token_id,
        device=device,
    )
    return exit_scores(logits, np.array(dev.labels))


class _Run:
    """The state of a run between two steps: weights, optimiser, schedule, generator, position."""

    def __init__(
        self,
        plan: TrainingPlan,
        model: EarlyExitEncoder,
        tokenizer: Any,
        texts: TextSet,
        teacher: Checkpoint | None,
        device: str,
        watch: Watchers,
    ) -> None:
        self.plan, self.model, self.tokenizer, self.texts = plan, model, tokenizer, texts
        self.teacher, self.device, self.watch = teacher, device, watch
        self.layer_weights = LayerWeights(plan.loss, model.n_layers).to(device)
        self.encoded = encode(texts, tokenizer, plan.max_length)
        self.labelled_teacher = self._teacher_logits(texts.texts, texts.pairs)
        self.epoch, self.step, self.loss_sum = 0, 0, 0.0
        self.results: list[EpochResult] = []
        n_samples = len(texts) + (plan.unlabelled_per_epoch if plan.unlabelled else 0)
        self.steps_per_epoch = -(-n_samples // plan.batch_size)
        self.optimizer = torch.optim.AdamW(self._parameter_groups(), weight_decay=plan.weight_decay)

    def _parameter_groups(self) -> list[dict[str, Any]]:
        plan = self.plan
        groups: list[dict[str, Any]] = [
            {"params": list(self.model.backbone.parameters()), "lr": plan.learning_rate},
            {"params": list(self.model.heads.parameters()), "lr": plan.head_learning_rate},
        ]
        if self.layer_weights.raw is not None:
            groups.append({"params": [self.layer_weights.raw], "lr": LAYER_WEIGHT_RATE, "weight_decay": 0.0})
        for group in groups:
            group["peak"] = group["lr"]
        return groups

    def _teacher_logits(self, texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray[Any, Any] | None:
        """Logits of the teacher's last exit, float32 [n, K]."""
        if self.teacher is None:
            return None
        teacher = self.teacher
        if self.texts.regression:
            raise ConfigError("--teacher", teacher.name, "distils classes, the labels are numbers", "Leave it out")
        if teacher.model.exits.label_names != self.texts.label_names:
            raise ConfigError(
                "--teacher",
                teacher.name,
                f"must have the classes {', '.join(self.texts.label_names)}",
                "Train it on the same task",
            )
        encoded = encode_strings(texts, teacher.tokenizer, min(self.plan.max_length, teacher.max_length), pairs)
        self.watch.begin("teacher labels", len(encoded))
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.plan.precision == "bf16"):
            logits = all_logits(
                teacher.model.to(self.device),
                encoded,
                n_layers=teacher.model.n_layers,
                n_classes=teacher.model.exits.n_classes,
                pad_id=teacher.tokenizer.pad_token_id,
                batch_size=64,
                device=self.device,
                advance=lambda n_done: self.watch.advance(n_done, ""),
            )
        last: np.ndarray[Any, Any] = logits[-1]
        return last

    def _epoch_samples(self, epoch: int) -> tuple[Encoded, np.ndarray[Any, Any], np.ndarray[Any, Any] | None]:
        """Return encoded samples, labels and teacher logits of one epoch, this epoch's unlabelled part included."""
        plan = self.plan
        labels = np.array(self.texts.labels, dtype=np.float32)
        if not plan.unlabelled or not plan.unlabelled_per_epoch:
            return self.encoded, labels, self.labelled_teacher
        sentences = load_sentences(Path(plan.unlabelled), plan.unlabelled_per_epoch, plan.seed + 1 + epoch)
        extra = encode_strings(sentences, self.tokenizer, plan.max_length)
        soft = self._teacher_logits(sentences, None)
        assert soft is not None and self.labelled_teacher is not None  # noqa: PT018 - the plan requires a teacher here
        merged = Encoded(ids=self.encoded.ids + extra.ids, types=self.encoded.types + extra.types, n_truncated=0)
        labels = np.concatenate([labels, np.full(len(extra), UNLABELLED, dtype=np.float32)])
        return merged, labels, np.concatenate([self.labelled_teacher, soft])

    def train_epoch(self, epoch: int, save: Callable[[], None], save_every_s: float) -> tuple[float, float]:
        """Run the rest of one epoch; return the mean loss of all its steps and the wall time of this part."""
        plan = self.plan
        encoded, labels, soft = self._epoch_samples(epoch)
        order = training_order(
            [len(ids) for ids in encoded.ids], plan.batch_size, np.random.default_rng((plan.seed, epoch))
        )
        self.watch.begin(f"epoch {epoch + 1}/{plan.epochs}", len(order))
        self.watch.advance(self.step, "")
        started = last_save = time.monotonic()
        recent: deque[float] = deque(maxlen=100)
        self.model.train()
        while self.step < len(order):
            batch = make_batch(encoded, order[self.step], self.tokenizer.pad_token_id)
            recent.append(self._step(batch, labels, soft, epoch))
            self.loss_sum += recent[-1]
            self.step += 1
            self.watch.advance(1, f"loss {sum(recent) / len(recent):.3f}")
            if time.monotonic() - last_save > save_every_s:
                save()
                last_save = time.monotonic()
        mean_loss = self.loss_sum / len(order)
        self.epoch, self.step, self.loss_sum = epoch + 1, 0, 0.0
        return mean_loss, round(time.monotonic() - started, 1)

    def _step(self, batch: Any, labels: np.ndarray[Any, Any], soft: np.ndarray[Any, Any] | None, epoch: int) -> float:
        plan, device = self.plan, self.device
        self._set_rates(epoch)
        target = torch.from_numpy(labels[batch.indices]).to(device)
        teacher = torch.from_numpy(soft[batch.indices]).to(device) if soft is not None else None
        with torch.autocast(device, dtype=torch.bfloat16, enabled=plan.precision == "bf16"):
            logits = self.model(
                batch.input_ids.to(device), batch.attention_mask.to(device), batch.token_type_ids.to(device)
            )
        losses = exit_losses(
            logits.float(),
            target,
            teacher,
            regression=self.texts.regression,
            distill_fraction=plan.distill_fraction,
            temperature=plan.temperature,
        )
        loss = (self.layer_weights().to(device) * losses).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return float(loss.detach())

    def _set_rates(self, epoch: int) -> None:
        """Linear warm-up, then linear decay to zero at the end of the plan."""
        total = self.steps_per_epoch * self.plan.epochs
        now = epoch * self.steps_per_epoch + self.step
        warmup = max(1, int(total * self.plan.warmup_fraction))
        factor = (now + 1) / warmup if now < warmup else max(0.0, (total - now) / max(1, total - warmup))
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor

    def _named_parameters(self) -> dict[str, torch.nn.Parameter]:
        return dict(self.model.named_parameters()) | {f"loss.{k}": v for k, v in self.layer_weights.named_parameters()}

    def save(self, out: Path, fingerprint: str) -> None:
        """Write the state file, whole or not at all."""
        tensors: dict[str, torch.Tensor] = {"generator": torch.get_rng_state()}
        if self.device == "cuda":
            tensors["generator.cuda"] = torch.cuda.get_rng_state()
        for name, parameter in self._named_parameters().items():
            tensors[f"parameter.{name}"] = parameter.detach().cpu().contiguous()
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{key}"] = value.detach().cpu().contiguous()
        metadata = {
            "fingerprint": fingerprint,
            "epoch": str(self.epoch),
            "step": str(self.step),
            "loss_sum": repr(self.loss_sum),
            "results": json.dumps([to_json(result) for result in self.results]),
        }
        temporary = out / f".{STATE_FILE}"
        try:
            out.mkdir(parents=True, exist_ok=True)
            save_file(tensors, temporary, metadata=metadata)
            temporary.replace(out / STATE_FILE)
        except (OSError, SafetensorError) as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise ConfigError("--out", str(out), f"cannot be written ({error})", "Name another folder") from None

    def resume(self, out: Path, fingerprint: str) -> None:
        """Continue from the state file in `out` if there is one."""
        path = out / STATE_FILE
        if not path.is_file():
            return
        try:
            with safe_open(path, framework="pt") as handle:
                metadata = handle.metadata() or {}
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise ConfigError("--out", str(path), f"is damaged ({error})", "Remove it to start again") from None
        if metadata.get("fingerprint") != fingerprint:
            raise ConfigError(
                "--out",
                str(out),
                "holds a stopped run of another plan or other data",
                "Repeat the old command to resume it, or name another folder",
            )
        for name, parameter in self._named_parameters().items():
            parameter.data.copy_(tensors[f"parameter.{name}"])
            prefix = f"optimizer.{name}."
            state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            if state:
                self.optimizer.state[parameter] = {
                    k: v if k == "step" else v.to(parameter.device) for k, v in state.items()
                }
        torch.set_rng_state(tensors["generator"])
        if self.device == "cuda" and "generator.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["generator.cuda"])
        self.epoch, self.step = int(metadata["epoch"]), int(metadata["step"])
        self.loss_sum = float(metadata.get("loss_sum", "0"))
        self.results = [from_json(EpochResult, result) for result in json.loads(metadata["results"])]
