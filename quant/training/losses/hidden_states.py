"""The distance to a teacher's hidden states, which gives every pass of a student its own share of the work.

State s of an L-layer student follows state s T / L of a T-layer teacher wherever that is a whole number, state 0 (the
embedding) included: a 12-layer student of a 6-layer teacher is led after every second layer. With h and t the two
states, both [n, length, hidden], and sums over the tokens that are there:

    loss = mean over the pairs of  sum |h - t|^2 / sum |t|^2

The relative form weighs all depths alike, though the teacher's states grow. Hidden-state distillation: TinyBERT (arXiv
1909.10351) equation 8, there with a learnt projection, absolute errors and one layer of the student per block of the
teacher's. Not included: attention maps, and students of another width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def state_pairs(n_layers: int, n_teacher_layers: int) -> tuple[tuple[int, int], ...]:
    """Return which state of the teacher each led state of the student follows.

    >>> state_pairs(4, 2)
    ((0, 0), (2, 1), (4, 2))
    """
    steps = [(state, state * n_teacher_layers) for state in range(n_layers + 1)]
    return tuple((state, scaled // n_layers) for state, scaled in steps if scaled % n_layers == 0)


def hidden_state_loss(states: Sequence[Tensor], teacher_states: Sequence[Tensor], attention_mask: Tensor) -> Tensor:
    """Return the mean relative squared distance of the paired states, a scalar; the mask is [n, length]."""
    present = attention_mask.unsqueeze(-1).float()
    distances = []
    for own, teachers in state_pairs(len(states) - 1, len(teacher_states) - 1):
        target = teacher_states[teachers].float()
        error = (states[own].float() - target).square() * present
        distances.append(error.sum() / (target.square() * present).sum())
    return torch.stack(distances).mean()
