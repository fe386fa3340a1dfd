"""How the inputs of a weight matrix go together on the calibration text, which decides how its weights are rounded.

Weights are rounded one input after the other. What rounding w_i does to the product can be undone by the weights of
inputs that are not rounded yet, as far as these explain x_i; what they leave, the variance of x_i given all of them, is
what the rounding error of w_i costs in the end:

    C = cov(x) + damping,    C^-1 = U^T U (U upper triangular, inputs in the order of rounding),    left_i = 1 / U_ii^2

(Frantar and Alistarh, arXiv 2208.11933, and GPTQ, arXiv 2210.17323, for the second moment; here the mean is taken out,
because a bias makes up for it.) One factorisation serves every width: with channels scaled by f it is U diag(f).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hexit.quant.quantisation.histogram import SMALLEST

DAMPING = 0.1  # of the mean variance, on the diagonal: rounded inputs are noisier, and other texts correlate otherwise


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InputCorrelation:
    """Inputs in the order of rounding, int64 [n_in], loudest first, and U in this order, float64 [n_in, n_in]."""

    order: Tensor
    factor: Tensor

    @property
    def left(self) -> Tensor:
        """Variance of each input that those rounded after it do not explain, float64 [n_in], in the inputs' order."""
        found = torch.empty(len(self.order), dtype=torch.float64)
        found[self.order] = self.factor.diagonal().square().reciprocal()
        return found

    def scaled(self, shifts: Tensor | None) -> InputCorrelation:
        """Return the same of inputs / 2^shifts, int64 [n_in]."""
        if shifts is None:
            return self
        return InputCorrelation(order=self.order, factor=torch.ldexp(self.factor, shifts[self.order]))


def input_correlation(rows: Tensor) -> InputCorrelation:
    """Return how the columns of float32 rows [n, n_in] go together."""
    centred = rows - rows.mean(0)
    covariance = (centred.T @ centred / max(1, len(rows))).double()
    variances = covariance.diagonal().clone()
    covariance.diagonal().add_(DAMPING * variances.mean().clamp_min(SMALLEST))
    order = torch.argsort(variances, descending=True, stable=True)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(covariance[order][:, order]))
    return InputCorrelation(order=order, factor=torch.linalg.cholesky(inverse, upper=True))
