"""Cycles of the folds of a matrix product on a design's arrays: those of hw_model.array, with requantisation.

A fold at an edge takes as long as a full one. Results leave an array through `requantisation_lanes`, and a fold that
finishes results keeps it busy until the last one is in the lanes:

    finishing fold:  occupancy = max(cycles of the fold, ceil(results / lanes)),  result `requantisation_depth` later

Every output-stationary fold finishes rows x columns results. Where an operand stands still, partial sums stay on chip
and the last slice of k alone finishes columns x T results, T values streamed. With several arrays a round, one fold on
each, takes as long as its slowest fold.
Not modelled: bank conflicts, operands that come too late (the schedule's business).
"""

from __future__ import annotations

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import fold_interval
from hexit.hw_model.rounding import ceil_div
from hexit.hw_model.task_cycles import TaskCycles


def fold_cycles(
    streamed: int, accelerator: Accelerator, n_folds: int = 1, n_finishing: int | None = None
) -> TaskCycles:
    """Return the cycles of `n_folds` consecutive folds through which `streamed` values go each.

    `n_finishing` of them finish results, all where it is None. Overlapped, the array is free for the next fold while
    the last results are on their way, unless that fold waits for its operand or for the port of the results; otherwise
    it stays busy until they are out.
    """
    interval, behind = fold_interval(streamed, accelerator.array)
    finishing = max(interval, requantisation_cycles(streamed, accelerator))
    n_last = n_folds if n_finishing is None else n_finishing
    occupancy = (n_folds - n_last) * interval + n_last * finishing
    return TaskCycles(
        occupancy_cycles=occupancy, latency_cycles=occupancy + behind + accelerator.requantisation_depth_cycles
    )


def requantisation_cycles(streamed: int, accelerator: Accelerator) -> int:
    """Return the cycles in which the results of a finishing fold enter the lanes, 0 without a limit."""
    array, lanes = accelerator.array, accelerator.requantisation_lanes
    rows = array.rows if array.dataflow == "output_stationary" else streamed
    return 0 if lanes is None else ceil_div(rows * array.fold_columns, lanes)


def roofline_cycles(macs: int, accelerator: Accelerator) -> int | None:
    """Return the cycles that `macs` need if every MAC of the arrays works in every cycle, None where loops make all."""
    return ceil_div(macs, accelerator.n_macs) if accelerator.n_macs else None
