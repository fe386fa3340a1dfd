"""A deliberately naive array: every fold's cycles are laid out one after the other, and the last one counts."""

from __future__ import annotations

import itertools

from hexit.hw_model.array import SystolicArray


def fold_sizes(m: int, k: int, n: int, array: SystolicArray, count: int) -> list[int]:
    """Values streamed through every fold of the busiest array, folds dealt in turn."""
    down, across, steps = {
        "output_stationary": (m, n, -(-k // array.products_per_position)),
        "weight_stationary": (k, n, m),
        "input_stationary": (k, m, n),
    }[array.dataflow]
    places = itertools.product(
        range(count), range(0, down, array.rows), range(0, across, array.columns * array.columns_per_dsp)
    )
    return [steps for _ in places][:: array.n_arrays]


def stepped_cycles(m: int, k: int, n: int, array: SystolicArray, count: int = 1) -> int:
    """Step every fold: its operand is loaded, values enter one a cycle, the wavefront runs through, results leave.

    Returns the cycles from the first to the last in which anything happens, and the depth. A value is in the last
    position `fill` cycles after it has entered.
    """
    fold, size = array.fold, (array.rows, array.columns)
    load, fill, drain, control = (form.cycles(*size) for form in (fold.load, fold.fill, fold.drain, fold.control))
    now = 0  # first cycle in which nothing is decided yet
    port_free = 0  # the port through which results leave
    operand_at = 0  # when the operand of the fold that comes next has been loaded
    for number, steps in enumerate(fold_sizes(m, k, n, array, count)):
        if number == 0 or not fold.weight_load_overlap:
            for _ in range(load):
                now += 1
            operand_at = now
        begin = now
        for _ in range(control):
            begin += 1
        while begin < operand_at:
            begin += 1
        entered = begin
        for _ in range(steps):
            entered += 1
        while entered + fill < port_free:  # results wait inside, and so does what would follow them
            entered += 1
        arrived = entered + fill
        left = arrived
        for _ in range(drain):
            left += 1
        port_free = left
        if fold.weight_load_overlap:
            operand_at = begin + load
        now = entered if fold.overlap_folds else left
    return port_free + fold.depth_cycles
