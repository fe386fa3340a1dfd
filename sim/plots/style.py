"""How every picture looks and is saved: colours, sizes, titles, axes, and files that are the same bytes for the same
figure.
"""

from __future__ import annotations

import contextlib
import io
import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    from hexit.sim.report.record import Report

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


def titled_figure(width: float, height: float, title: str, report: Report) -> Figure:
    """Return an empty figure (inches) under a title, and under that what was simulated, in small."""
    from matplotlib.figure import Figure

    configuration = report.configuration
    bits, design, stream = configuration.bits, configuration.design, configuration.stream
    parts = (
        configuration.rule,
        f"W{bits.weight_bits}A{bits.activation_bits}",
        f"{design.name} on {configuration.device.name}, {design.clock_mhz:g} MHz",
        design.exit_overlap
        if design.n_interleaved == 1
        else f"{design.n_interleaved} sentences interleaved" + ", weights shared" * design.share_weights,
        f"{configuration.sequence_length} tokens" + f", {stream.lengths}" * (stream.lengths != "padded"),
        f"{report.data.n_samples} of {report.data.name}",
        *([f"arrivals {stream.arrivals}"] if stream.arrivals != "closed" else []),
    )
    text = " · ".join(part.replace(" ", "\u00a0") for part in parts)  # no line ends within a part
    lines = textwrap.wrap(text, int(width * 72 / 3.75))  # 3.75 pt: mean width of a letter at 6.5 pt
    line_inches = 0.125
    header = 0.27 + line_inches * len(lines)
    figure = Figure(figsize=(width, height + line_inches * (len(lines) - 1)))
    height = figure.get_figheight()
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - header / height), w_pad=0.05, h_pad=0.05)
    figure.text(0.05 / width, 1 - 0.06 / height, title, va="top", fontsize=9, fontweight="bold")
    for number, line in enumerate(lines):
        top = 1 - (0.24 + line_inches * number) / height
        figure.text(0.05 / width, top, line.strip(" ·"), va="top", fontsize=6.5, color=GREY)
    return figure


def log_axis(axes: Axes, direction: str, limits: tuple[float, float], ticks: Sequence[float]) -> None:
    """Make an axis logarithmic, with these plain numbers as its only ticks."""
    from matplotlib.ticker import NullLocator

    axes.set(**{f"{direction}scale": "log", f"{direction}lim": limits})
    axis = axes.xaxis if direction == "x" else axes.yaxis
    axis.set_ticks(ticks, [f"{tick:,g}" for tick in ticks])
    axis.set_minor_locator(NullLocator())


def round_numbers(low: float, high: float) -> list[float]:
    """Powers of ten between two numbers, with 2 and 5 times them where these would be few."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if math.log10(high / low) < 2.5 else (1,)
    return [step * 10.0**exponent for exponent in exponents for step in steps if low <= step * 10.0**exponent <= high]


def three_figures(value: float) -> str:
    """Write a number with at least three significant figures and no exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def plain_ticks() -> FuncFormatter:
    """Return a formatter that writes ticks as plain numbers, with commas and without exponents."""
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{value:,.10g}")


def layer_ticks(axes: Axes, n_layers: int) -> None:
    """Number every layer on the x axis, or as many as there is room for."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(n_layers + 1 if n_layers <= 12 else 12, integer=True, min_n_ticks=1))


def legend_below(figure: Figure, handles: Sequence[Any], most_columns: int) -> None:
    """Put a legend under a figure, in as many columns as its width has room for."""
    for columns in range(most_columns, 0, -1):
        legend = figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=columns,
            columnspacing=1.2,
            handlelength=1.0,
            handletextpad=0.5,
            fontsize=7.5,
        )
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()
