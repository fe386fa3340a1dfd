"""Some rows of a tensor, kept as they are: evenly spread over all rows that came by, and no more than a bound."""

from __future__ import annotations

import torch
from torch import Tensor

MOST_ROWS = 2048  # 6 MB of float32 where a row has 768 columns


class RowSample:
    """Every 2^k-th row of all that were offered, k the least that keeps MOST_ROWS."""

    def __init__(self) -> None:
        """Start with no rows."""
        self._parts: list[Tensor] = []
        self._stride, self._seen, self._kept = 1, 0, 0

    @property
    def rows(self) -> Tensor:
        """The rows that are kept, [n, n_columns]."""
        return torch.cat(self._parts)

    def offer(self, rows: Tensor) -> None:
        """Keep those of `rows`, [n, n_columns], whose turn it is."""
        first = -self._seen % self._stride
        self._seen += len(rows)
        self._keep([*self._parts, rows[first :: self._stride].clone()])
        while self._kept > MOST_ROWS:
            self._stride *= 2
            self._keep([self.rows[::2].clone()])

    def _keep(self, parts: list[Tensor]) -> None:
        self._parts = [part for part in parts if len(part)]
        self._kept = sum(map(len, self._parts))
