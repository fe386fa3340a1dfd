from __future__ import annotations

import matplotlib.style
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hexit.sim.plots.style import STYLE, TWO_COLUMNS, legend_below


@pytest.mark.parametrize(("letters", "columns"), [(4, 5), (20, 3), (30, 2), (60, 1)])
def test_a_legend_has_as_many_columns_as_its_figure_has_room_for(letters: int, columns: int) -> None:
    with matplotlib.style.context([STYLE], after_reset=True):
        figure = Figure(figsize=(TWO_COLUMNS, 3), layout="constrained")
        legend_below(figure, [Patch(label="m" * letters) for _ in range(5)], most_columns=5)
        figure.draw_without_rendering()
    (legend,) = figure.legends
    extent = legend.get_window_extent()
    assert 0 <= extent.x0 < extent.x1 <= figure.bbox.width
    assert len({round(text.get_window_extent().x0) for text in legend.get_texts()}) == columns
