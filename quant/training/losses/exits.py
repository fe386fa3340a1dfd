"""Joint losses over all exits, as published, and distillation towards a teacher.

ELBERT: sum_{i<L} w_i CE_i + w_L CE_L with w_i = sigmoid(W_i) trainable (W_i starts at 4) and w_L = L - sum w_i.
PABEE: sum_j j CE_j / sum_j j. `equal`: the mean of all CE_j. `last`: CE_L alone. `none`: no exit is trained.
Distillation: CE_j becomes (1 - a) CE_j + a T^2 KL(softmax(t / T) || softmax(z_j / T)), t the teacher's logits;
samples without a label have the second term only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hexit.quant.data.tasks import UNLABELLED
from hexit.quant.training.plan import LossName

ELBERT_INITIAL = 4.0  # W_i before training: "w_init" in config.json of github.com/shakeley/ELBERT


class LayerWeights(nn.Module):
    """The weight of each exit in the joint loss."""

    def __init__(self, name: LossName, n_layers: int) -> None:
        """Build fixed weights, or ELBERT's trainable ones."""
        super().__init__()
        self.name = name
        self.n_layers = n_layers
        self.raw = nn.Parameter(torch.full((n_layers - 1,), ELBERT_INITIAL)) if name == "elbert" else None

    def forward(self) -> Tensor:
        """Return the weights, [n_layers], summing to 1, or to 0 for `none`."""
        if self.raw is not None:
            early = torch.sigmoid(self.raw)
            return torch.cat([early, (self.n_layers - early.sum()).unsqueeze(0)]) / self.n_layers
        weights = torch.ones(self.n_layers)
        if self.name == "pabee":
            weights = torch.arange(1, self.n_layers + 1, dtype=torch.float32)
        elif self.name == "last":
            weights = torch.zeros(self.n_layers)
            weights[-1] = 1.0
        elif self.name == "none":
            return torch.zeros(self.n_layers)
        return weights / weights.sum()


def exit_losses(
    logits: Tensor,
    labels: Tensor,
    teacher: Tensor | None,
    *,
    regression: bool,
    distill_fraction: float,
    temperature: float,
) -> Tensor:
    """Return the loss of every exit, [n_layers], from logits [n_layers, n, K], labels [n] and teacher logits [n, K].

    A label of -1 means none; regression takes mean squared errors. Each term is a mean over the whole batch.
    """
    n_layers, n_samples, n_classes = logits.shape
    if regression:
        return (logits.squeeze(-1) - labels).square().mean(1)
    labelled = labels != UNLABELLED
    flat = logits.reshape(-1, n_classes)
    targets = labels.long().clamp_min(0).repeat(n_layers)
    hard = functional.cross_entropy(flat, targets, reduction="none").reshape(n_layers, n_samples)
    if teacher is None:
        return (hard * labelled).sum(1) / labelled.sum().clamp_min(1)
    soft_target = functional.log_softmax(teacher / temperature, -1)
    soft = (
        functional.kl_div(
            functional.log_softmax(logits / temperature, -1),
            soft_target.expand_as(logits),
            reduction="none",
            log_target=True,
        ).sum(-1)
        * temperature**2
    )
    hard_fraction = (1.0 - distill_fraction) * labelled
    return (hard_fraction * hard + (1.0 - hard_fraction) * soft).mean(1)
