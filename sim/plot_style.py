"""How every picture looks and is saved: colours, sizes, and files that are the same bytes for the same figure."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design" (2008): distinct for every common kind of colour vision
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
GREY, PALE = "#767676", "#D9D9D9"

ONE_COLUMN, TWO_COLUMNS = 3.5, 7.16  # inches; widths of a figure in a two-column IEEE paper
PNG_DPI = 200  # dots per inch

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelsize": 9,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 8.5,
    "figure.dpi": PNG_DPI,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine draws the same
    "font.size": 9,
    "grid.color": PALE,
    "grid.linewidth": 0.5,
    "hatch.color": GREY,
    "hatch.linewidth": 0.5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "savefig.dpi": PNG_DPI,
    "svg.hashsalt": "hexit",  # ids in the SVG from its content alone
    "text.parse_math": False,  # names of files may contain a dollar sign
    "xtick.labelsize": 8,
    "xtick.major.width": 0.6,
    "ytick.labelsize": 8,
    "ytick.major.width": 0.6,
}
METADATA: dict[str, dict[str, None]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


@contextlib.contextmanager
def plot_style() -> Iterator[None]:
    """Draw in this style, whatever the user's matplotlibrc says."""
    import matplotlib.style

    with matplotlib.style.context([STYLE], after_reset=True):
        yield


def render(figure: Figure) -> dict[str, bytes]:
    """Return the file contents of a figure by kind, without dates; equal figures give equal bytes."""
    contents = {}
    for kind, metadata in METADATA.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata)
        contents[kind] = buffer.getvalue()
        figure.set_layout_engine("none")  # the second kind keeps the places of the first
    return contents
