"""How far every rule's exit unit may be from the published rule: the table of docs/exit_unit.md.

    .venv/bin/python benchmarks/exit_errors.py                                  # the table
    .venv/bin/python benchmarks/exit_errors.py --sweep entropy --classes 3      # sizes of tables against errors

Rules have their default parameters but for windows of 4, logits a range of +-8. `--sweep` prints table bits, block RAMs
of 18 Kb, worst error and wrong decisions for tables of 2^6 .. 2^14 entries and 8 .. 16 fraction bits.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from hexit.hw_model.area.memory_blocks import bram18_blocks
from hexit.quant.exits.operations import rule_operations
from hexit.quant.exits.rules import parse_rule
from hexit.quant.exits.table_format import TableFormat
from hexit.quant.exits.unit import ExitUnitSpec, exit_unit_spec

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.error_tables import error_cells, table_error

HEADER = ("rule", "K", "bits", "compared", "inputs", "wrong", "early", "worst", "proven")
SWEEP_HEADER = ("addresses", "fraction", "table bits", "BRAM18", "compared", "wrong", "worst", "proven")
ROWS = (
    ("hardware", ((2, 16), (2, 24))),
    ("normalized-entropy", ((2, 16), (3, 12))),
    ("pabee-regression", ((1, 16),)),
    ("max-probability", ((2, 16), (3, 8), (3, 12), (3, 16), (10, 8), (10, 12), (10, 16))),
    ("entropy", ((2, 16), (3, 8), (3, 12), (3, 16), (10, 8), (10, 12), (10, 16))),
    ("elbert:window=4", ((2, 16), (3, 8), (3, 12), (3, 16), (10, 12))),
    ("elbert:window=4,bias=bias_3", ((2, 12), (2, 16), (3, 12))),
)


def spec_of(rule: str, n_classes: int, logit_bits: int, tables: TableFormat | None = None) -> ExitUnitSpec:
    scale = 2.0 ** (4 - logit_bits)
    return exit_unit_spec(
        parse_rule(rule), n_layers=12, n_classes=n_classes, scale=scale, logit_bits=logit_bits, tables=tables
    )


def line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def sweep(rule: str, n_classes: int, logit_bits: int) -> Iterator[tuple[str, ...]]:
    for address_bits, fraction_bits in itertools.product(range(6, 15), range(8, 17, 2)):
        tables = TableFormat(address_bits=address_bits, fraction_bits=fraction_bits)
        spec = spec_of(rule, n_classes, logit_bits, tables)
        cost = rule_operations(spec)
        blocks = sum(bram18_blocks(table.entries, table.bits) for table in cost.tables)
        for part in table_error(spec).parts:
            compared, _, wrong, _, worst, proven = error_cells(part)
            sizes = (str(address_bits), str(fraction_bits), f"{cost.table_bits:,}", str(blocks))
            yield (*sizes, compared, wrong, worst, proven)


def main(
    swept: Annotated[str, typer.Option("--sweep", help="Sweep the tables of this rule.")] = "",
    classes: Annotated[int, typer.Option(help="Classes of the sweep.")] = 3,
    bits: Annotated[int, typer.Option(help="Logit bits of the sweep.")] = 12,
) -> None:
    header = SWEEP_HEADER if swept else HEADER
    print(line(header))
    print(line(("---",) * len(header)))
    if swept:
        for cells in sweep(swept, classes, bits):
            print(line(cells), flush=True)
        return
    for rule, widths in ROWS:
        for n_classes, logit_bits in widths:
            for part in table_error(spec_of(rule, n_classes, logit_bits)).parts:
                print(line((rule, str(n_classes), str(logit_bits), *error_cells(part))), flush=True)


if __name__ == "__main__":
    typer.run(main)
