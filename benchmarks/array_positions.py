"""Area of a position of our systolic arrays, for operands and sums of many widths, and of whole grids; Yosys.

    .venv/bin/python benchmarks/array_positions.py            # the table, with the formula beside it
    .venv/bin/python benchmarks/array_positions.py --write    # refreshes hw_model/measured/array_positions.json

A row that the file holds, of the RTL and the Yosys of today, is taken from there; the others are synthesised, a
position in three seconds, a grid of 16 x 16 in a minute. The RTL is that of tests/support/rtl, which Verilator runs
against the model of cycles. Ends with status 1 where the formula of hw_model.area.positions differs from a position.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hexit.hls.tools.yosys import source_digest, synthesise, yosys_version
from hexit.hw_model.area.positions import (
    MEASURED_POSITIONS,
    RTL_FILES,
    SYNTHESIS_FAMILY,
    MeasuredGrid,
    Position,
    RtlDataflow,
    grid_resources,
    measured_positions,
    position_resources,
    save_measured_positions,
)
from hexit.hw_model.packing import DSP_PORTS_BITS

RTL = Path(__file__).parents[1] / "tests" / "support" / "rtl"
WIDTHS = (  # x, y, sum: Yosys gives a slice to products of 9 bits and more
    *((8, 8, 32), (8, 8, 28), (8, 8, 20), (8, 4, 32), (8, 4, 24), (8, 2, 32), (4, 8, 32), (6, 6, 24), (7, 7, 32)),
    *((5, 5, 22), (12, 12, 36), (16, 8, 40), (16, 16, 44), (16, 16, 48)),
)
GRIDS = ((4, 4), (8, 8), (8, 2), (2, 8), (16, 16))
SLICES = {"ultrascale_plus": "DSP48E2", "7series": "DSP48E1"}


def fits_the_port(position: Position) -> bool:
    """Whether two values of y, apart by x + y + 2 bits, fit the wide port with the bit that the least of them needs."""
    if position.lanes == 1:
        return True
    wide, _ = DSP_PORTS_BITS[SLICES[position.family]]  # type: ignore[index]
    return position.x_bits + 2 * position.y_bits + 3 <= wide


def recipes() -> Iterator[tuple[Position, int, int]]:
    """Every position, then grids of 8 x 8 bits."""
    for dataflow, family, lanes, overlap in product(get_args(RtlDataflow), SYNTHESIS_FAMILY, (1, 2), (False, True)):
        for x, y, sums in WIDTHS:
            position = Position(
                dataflow=dataflow, family=family, x_bits=x, y_bits=y, sum_bits=sums, lanes=lanes, overlap=overlap
            )
            if fits_the_port(position):
                yield position, 0, 0
    for dataflow, overlap in product(get_args(RtlDataflow), (False, True)):
        for (rows, columns), lanes in product(GRIDS, (1, 2)):
            if rows * columns * lanes <= 256:
                grid = Position(
                    dataflow=dataflow,
                    family="ultrascale_plus",
                    x_bits=8,
                    y_bits=8,
                    sum_bits=32,
                    lanes=lanes,
                    overlap=overlap,
                )
                yield grid, rows, columns


def parameters(position: Position, rows: int, columns: int) -> dict[str, int]:
    """The parameters of the RTL module."""
    overlap = "OVERLAP_FOLDS" if position.dataflow == "output_stationary" else "DOUBLE_BUFFER"
    values = {
        "X_BITS": position.x_bits,
        "Y_BITS": position.y_bits,
        "ACC_BITS": position.sum_bits,
        "LANES": position.lanes,
        overlap: int(position.overlap),
    }
    return values | ({"ROWS": rows, "COLUMNS": columns} if rows else {})


def copy_rtl(folder: Path) -> Path:
    """Copy what is synthesised into an empty folder: Yosys does not read the ports of gemm_os.sv and gemm_ws.sv."""
    for name in RTL_FILES:
        shutil.copy(RTL / name, folder)
    return folder


def measure(position: Position, rows: int, columns: int, folder: Path, tool: str) -> MeasuredGrid:
    """Synthesise one position or grid from the RTL in `folder`."""
    top = f"{'os' if position.dataflow == 'output_stationary' else 'ws'}_{'grid' if rows else 'position'}"
    family = SYNTHESIS_FAMILY[position.family]
    found = synthesise(folder, family, top=top, parameters=parameters(position, rows, columns))
    digest = source_digest(folder)
    return MeasuredGrid(position=position, rows=rows, columns=columns, resources=found.resources, tool=tool, rtl=digest)


def shown(rows: list[MeasuredGrid]) -> Table:
    """The table, with the formula."""
    table = Table(title=f"positions and grids of our arrays, {rows[0].tool} synth_xilinx")
    for column in ("data flow", "family", "overlap", "lanes", "x", "y", "sum", "grid", "LUT", "FF", "DSP", "formula"):
        table.add_column(column, justify="left" if column in {"data flow", "family"} else "right")
    for row in rows:
        place, area = row.position, row.resources
        told = grid_resources(place, row.rows, row.columns) if row.rows else position_resources(place)
        grid = f"{row.rows} x {row.columns}" if row.rows else ""
        numbers = (place.lanes, place.x_bits, place.y_bits, place.sum_bits, grid, area.lut, area.ff, area.dsp)
        overlap = "yes" if place.overlap else "no"
        formula = f"{told.lut:,} {told.ff:,} {told.dsp:,}"
        table.add_row(place.dataflow, place.family, overlap, *map(str, numbers), formula)
    return table


def main(write: Annotated[bool, typer.Option(help="Write the file.")] = False) -> None:
    known = (
        {(row.position, row.rows, row.columns): row for row in measured_positions()}
        if MEASURED_POSITIONS.exists()
        else {}
    )
    tool, rows = yosys_version(), []
    with tempfile.TemporaryDirectory(prefix="hexit_array_positions_") as name:
        folder = copy_rtl(Path(name))
        digest = source_digest(folder)
        for recipe in track(list(recipes()), "synthesis", console=Console(stderr=True)):
            row = known.get(recipe)
            if row is None or (row.rtl, row.tool) != (digest, tool):
                row = measure(*recipe, folder, tool)
            rows.append(row)
            if write:
                save_measured_positions(tuple(rows))
    Console(width=140, highlight=False).print(shown(rows))
    wrong = [row for row in rows if not row.rows and row.resources != position_resources(row.position)]
    raise typer.Exit(code=int(bool(wrong)))


if __name__ == "__main__":
    typer.run(main)
