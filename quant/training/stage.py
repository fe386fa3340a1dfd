"""One stage of a run: which parameters it trains at which rate, and what one step does."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from hexit.quant.errors import ConfigError
from hexit.quant.network.encoding import Batch
from hexit.quant.network.model import EarlyExitEncoder
from hexit.quant.training.losses.exits import LayerWeights, exit_losses
from hexit.quant.training.losses.hidden_states import hidden_state_loss
from hexit.quant.training.plan import Stage, TrainingPlan
from hexit.quant.training.samples import Samples, TeacherStates

LAYER_WEIGHT_RATE = (
    1e-2  # learning rate of ELBERT's trainable exit weights: "w_lr" in config.json of github.com/shakeley/ELBERT
)
LARGEST_GRADIENT = 1.0  # norm to which gradients are cut, as in the fine-tuning scripts of BERT
BEST_SCORE = "best_score"


class StageRun:
    """The model in one stage, with the optimiser and the best weights so far."""

    def __init__(
        self,
        plan: TrainingPlan,
        stage: Stage,
        model: EarlyExitEncoder,
        teacher: TeacherStates | None,
        *,
        regression: bool,
        device: str,
    ) -> None:
        """Freeze what the stage freezes; ConfigError for a pattern that names no parameter, or if nothing is left."""
        self.plan, self.stage, self.model, self.teacher = plan, stage, model, teacher
        self.regression, self.device = regression, device
        self.layer_weights = LayerWeights(stage.loss, model.n_layers).to(device)
        self.best: dict[str, Tensor] = {}
        self.optimizer = torch.optim.AdamW(self._parameter_groups(), weight_decay=stage.weight_decay, fused=True)

    def _parameter_groups(self) -> list[dict[str, Any]]:
        stage, rates = self.stage, self.stage.rates
        names = [name for name, _ in self.model.named_parameters()]
        for where, pattern in [("freeze", one) for one in stage.freeze] + [("rates.match", one.match) for one in rates]:
            if not any(fnmatchcase(name, pattern) for name in names):
                first = next((name for name in names if name.startswith(pattern.split(".")[0])), names[0])
                raise ConfigError(f"stages.{where}", pattern, "names no parameter", f"One is called {first}")
        by_rate: dict[float, list[torch.nn.Parameter]] = {}
        for name, parameter in self.model.named_parameters():
            parameter.grad = None  # of the stage before, which would count in the norm of a frozen parameter's gradient
            parameter.requires_grad_(not any(fnmatchcase(name, pattern) for pattern in stage.freeze))
            usual = stage.head_learning_rate if name.startswith("heads.") else stage.learning_rate
            rate = next((one.learning_rate for one in rates if fnmatchcase(name, one.match)), usual)
            if parameter.requires_grad:
                by_rate.setdefault(rate, []).append(parameter)
        if not by_rate:
            raise ConfigError("stages.freeze", list(stage.freeze), "leaves nothing to train", "Freeze less")
        groups: list[dict[str, Any]] = [{"params": params, "lr": rate} for rate, params in by_rate.items()]
        if self.layer_weights.raw is not None:
            groups.append({"params": [self.layer_weights.raw], "lr": LAYER_WEIGHT_RATE, "weight_decay": 0.0})
        for group in groups:
            group["peak"] = group["lr"]
        return groups

    def step(self, batch: Batch, samples: Samples, now: int, steps_per_epoch: int) -> float:
        """Take step `now` of the stage; return its loss."""
        self.model.train()
        self._set_rates(now, steps_per_epoch * self.stage.epochs)
        loss = self._loss(batch, samples)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), LARGEST_GRADIENT)
        self.optimizer.step()
        return float(loss.detach())

    def _loss(self, batch: Batch, samples: Samples) -> Tensor:
        """The loss of a batch: all exits by their weights, and the distance to the teacher's hidden states."""
        stage, device = self.stage, self.device
        labels = torch.from_numpy(samples.labels[batch.indices]).to(device)
        known, teacher_states = samples.teacher_logits, None
        soft = torch.from_numpy(known[batch.indices]).to(device) if known is not None else None
        with torch.autocast(device, dtype=torch.bfloat16, enabled=self.plan.precision == "bf16"):
            if self.teacher is not None:
                soft, teacher_states = self.teacher(batch, device)
            logits, states = self.model.logits_and_states(
                batch.input_ids.to(device), batch.attention_mask.to(device), batch.token_type_ids.to(device)
            )
        losses = exit_losses(
            logits.float(),
            labels,
            soft.float() if soft is not None else None,
            regression=self.regression,
            distill_fraction=stage.distill_fraction,
            temperature=stage.temperature,
        )
        loss: Tensor = (self.layer_weights().to(device) * losses).sum()
        if teacher_states is not None:
            mask = batch.attention_mask.to(device)
            loss = loss + stage.hidden_weight * hidden_state_loss(states, teacher_states, mask)
        return loss

    def _set_rates(self, now: int, n_steps: int) -> None:
        """Linear warm-up, then linear decay to zero at the end of the stage."""
        warmup = max(1, int(n_steps * self.stage.warmup_fraction))
        factor = (now + 1) / warmup if now < warmup else max(0.0, (n_steps - now) / max(1, n_steps - warmup))
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor

    def remember(self, score: float | None) -> None:
        """Keep the weights of an epoch that scored better than all before it, if the stage ends with the best."""
        if self.stage.keep == "last" or score is None:
            return
        if not self.best or score > float(self.best[BEST_SCORE]):
            weights = {name: value.detach().clone() for name, value in self._named_parameters().items()}
            self.best = weights | {BEST_SCORE: torch.tensor(score, dtype=torch.float64)}

    def finish(self) -> None:
        """Put the best weights back if the stage ends with them."""
        for name, parameter in self._named_parameters().items() if self.best else ():
            parameter.data.copy_(self.best[name])

    def _named_parameters(self) -> dict[str, torch.nn.Parameter]:
        return dict(self.model.named_parameters()) | {f"loss.{k}": v for k, v in self.layer_weights.named_parameters()}

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on, by name."""
        tensors: dict[str, Tensor] = {f"best.{name}": value for name, value in self.best.items()}
        for name, parameter in self._named_parameters().items():
            tensors[f"parameter.{name}"] = parameter.detach()
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{key}"] = value
        return tensors

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from what `tensors` returned."""
        for name, parameter in self._named_parameters().items():
            parameter.data.copy_(tensors[f"parameter.{name}"])
            prefix = f"optimizer.{name}."
            state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            if state:
                self.optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in state.items()}
        best = {name.removeprefix("best."): value for name, value in tensors.items() if name.startswith("best.")}
        self.best = {name: value.to(self.device) for name, value in best.items()}
