"""What is decided of every named tensor before anything is rounded: its grid, and a shift for each channel.

The passes of a shared layer share shifts, which are in their weights, but each has the grid that suits its own values:
a pass is a step of a sequence anyway, and changes its constants with it. That costs memory for the integers of bias
and requantisation, which depend on scales: one set per pass instead of one per layer, 32 and 18 bits per output
channel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hexit.quant.config import QuantConfig
from hexit.quant.network.model import EarlyExitEncoder
from hexit.quant.quantisation.correlation import InputCorrelation, input_correlation
from hexit.quant.quantisation.grid import IntegerGrid
from hexit.quant.quantisation.ranges import best_grid
from hexit.quant.quantisation.shifts import Reader, channel_shifts
from hexit.quant.quantisation.wiring import Tap, TappedLinear


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorPlan:
    """The grid of a tensor; `shifts` int64 [n_channels]: channel c has scale 2^shifts[c], None where all have one."""

    grid: IntegerGrid
    shifts: Tensor | None

    @property
    def factors(self) -> Tensor | float:
        """2^shifts, float32 [n_channels], or 1."""
        return 1.0 if self.shifts is None else torch.exp2(self.shifts.float())

    def rounding_errors(self, rows: Tensor) -> Tensor:
        """Return x - Q(x) of float32 rows [n, n_channels], 0 where Q clips x."""
        scales = self.grid.scale * self.factors
        n = (rows / scales + self.grid.zero_point).round_().clamp_(self.grid.lowest, self.grid.highest)
        errors = rows - (n - self.grid.zero_point) * scales
        return torch.where(errors.abs() <= scales, errors, 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Users:
    """The tapped linears of one weight matrix, one for each pass of a shared layer, and how their inputs correlate."""

    linears: tuple[TappedLinear, ...]
    inputs: InputCorrelation

    @property
    def weights(self) -> Tensor:
        """The matrix, [n_out, n_in]."""
        return self.linears[0].linear.weight

    @property
    def mean(self) -> Tensor:
        """Mean input on the calibration text, float64 [n_in]."""
        return torch.stack([linear.input_sum for linear in self.linears]).sum(0) / self._n_inputs

    @property
    def squares(self) -> Tensor:
        """Mean square of the input, float64 [n_in]."""
        return torch.stack([linear.input_squares for linear in self.linears]).sum(0) / self._n_inputs

    @property
    def _n_inputs(self) -> int:
        return max(1, sum(linear.n_inputs for linear in self.linears))

    def mean_error(self, plans: dict[str, TensorPlan]) -> Tensor:
        """Return the mean rounding error of the input, x - Q(x) but for clipped values, float64 [n_in]."""
        errors = [plans[linear.tap.name].rounding_errors(linear.sample.rows) for linear in self.linears]
        return torch.cat(errors).double().mean(0)


def users_by_weights(encoder: nn.Module) -> dict[int, Users]:
    """Return the linears of a wired encoder that has seen its calibration text, by the identity of their weights."""
    found: dict[int, list[TappedLinear]] = {}
    for module in encoder.modules():
        if isinstance(module, TappedLinear):
            found.setdefault(id(module.linear.weight), []).append(module)
    correlations: dict[object, InputCorrelation] = {}  # query, key and value read the same
    users = {}
    for key, linears in found.items():
        read = tuple((linear.tap.name, linear.n_inputs) for linear in linears)
        if read not in correlations:
            correlations[read] = input_correlation(torch.cat([linear.sample.rows for linear in linears]))
        users[key] = Users(linears=tuple(linears), inputs=correlations[read])
    return users


def tensor_plans(encoder: EarlyExitEncoder, users: dict[int, Users], config: QuantConfig) -> dict[str, TensorPlan]:
    """Return the plan of every tap of a wired encoder that has seen its calibration text, by the tap's name."""
    plans: dict[str, TensorPlan] = {}
    for tensor, taps in _tensors(encoder):
        kind, shifts = taps[0].kind, None
        histograms = [tap.histogram for tap in taps]
        if histograms[0].n_channels > 1:
            readers = [
                Reader(weights=user.weights.detach(), squares=user.squares, left=user.inputs.left)
                for user in users.values()
                if any(linear.tap.tensor == tensor for linear in user.linears)
            ]
            largest = torch.stack([histogram.largest for histogram in histograms]).amax(0)
            shifts = channel_shifts(largest, kind, readers, config)
            histograms = [histogram.shifted(shifts) for histogram in histograms]
        for tap, histogram in zip(taps, histograms, strict=True):
            grid = best_grid(histogram, config.activation_bits, kind, power_of_two=config.power_of_two)
            plans[tap.name] = TensorPlan(grid=grid, shifts=shifts)
    return plans


def _tensors(encoder: nn.Module) -> Iterator[tuple[str, list[Tap]]]:
    tensors: dict[str, dict[str, Tap]] = {}
    for module in encoder.modules():
        if isinstance(module, Tap):
            tensors.setdefault(module.tensor, {})[module.name] = module
    for tensor, taps in tensors.items():
        yield tensor, list(taps.values())
