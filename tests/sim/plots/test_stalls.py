from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from hexit.sim.analysis.stalls import CAUSES, NO_WORK
from hexit.sim.core.program import UNIT_NAMES, Unit
from hexit.sim.plots.stalls import CAUSE_LOOKS, array_ops, draw_stalls
from support.outcomes import STREAMED, drawn, outcome


def pieces(axes: Axes, row: int) -> list[tuple[float, float, tuple[float, ...]]]:
    """Start, width and colour of the pieces of a bar."""
    bars = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
    mine = [bar for bar in bars if round(bar.get_y() + bar.get_height() / 2) == row]
    return [(bar.get_x(), bar.get_width(), to_rgba(bar.get_facecolor())) for bar in mine]


@pytest.mark.parametrize("design", [{}, STREAMED, {"exit_overlap": "speculate"}])
def test_a_unit_is_a_bar_of_the_whole_latency_in_the_cycles_of_the_breakdown(design: dict[str, Any]) -> None:
    found = outcome(**design)
    breakdown = found.sentence.stalls
    left, _ = drawn(draw_stalls, found).axes
    worked = breakdown.busy_cycles + breakdown.squashed_cycles
    units = [unit for unit in Unit if worked[unit]]
    assert [text.get_text() for text in left.get_yticklabels()] == [UNIT_NAMES[u].replace("_", " ") for u in units]
    for row, unit in enumerate(units):
        bar = pieces(left, row)
        assert sum(width for _, width, _ in bar) == pytest.approx(100)
        assert [start for start, _, _ in bar] == pytest.approx(np.cumsum([0, *(width for _, width, _ in bar[:-1])]))
        cycles = [breakdown.busy_cycles[unit], breakdown.squashed_cycles[unit]]
        cycles += [breakdown.waiting_cycles[unit, cause] for cause in CAUSE_LOOKS]
        shown = [100 * n / breakdown.latency_cycles for n in cycles if n]
        assert [width for _, width, _ in bar] == pytest.approx(shown)
        waiting = [cause for cause in CAUSE_LOOKS if breakdown.waiting_cycles[unit, cause]]
        colours = [to_rgba(CAUSE_LOOKS[cause]["facecolor"]) for cause in waiting]
        assert [colour for _, _, colour in bar[len(bar) - len(waiting) :]] == colours


def test_bars_of_products_are_all_waits_of_the_arrays_before_their_last_task() -> None:
    found = outcome(**STREAMED)
    breakdown = found.sentence.stalls
    _, right = drawn(draw_stalls, found).axes
    ops = array_ops(found.design.program)
    names = [text.get_text() for text in right.get_yticklabels()]
    assert names == [breakdown.op_names[op] for op in ops]
    assert {"embed_projection", "scores", "ffn_out"} < set(names)
    assert not {"softmax", "head", "attention_add"} & set(names)
    for row, op in enumerate(ops):
        waits = breakdown.op_waiting_cycles[op, list(CAUSE_LOOKS)]
        assert [width for _, width, _ in pieces(right, row)] == [n for n in waits.tolist() if n]
    array = breakdown.waiting_cycles[Unit.ARRAY]
    total = array.sum() - array[NO_WORK]
    assert sum(width for row in range(len(ops)) for _, width, _ in pieces(right, row)) == total > 0
    assert right.get_title(loc="left") == f"Array waits in front of: {total:,} cycles"


def test_every_cause_has_a_look_of_its_own() -> None:
    assert sorted(CAUSE_LOOKS) == list(range(len(CAUSES)))
    assert len({str(look) for look in CAUSE_LOOKS.values()}) == len(CAUSES)
