"""Area, logic depth, latency and table error of every rule's exit unit, one table; synthesised with Yosys.

    .venv/bin/python benchmarks/exit_units.py            # 16-bit logits
    .venv/bin/python benchmarks/exit_units.py --all      # 8, 12 and 16 bits
    .venv/bin/python benchmarks/exit_units.py --write    # refreshes hw_model/measured/exit_units.json

A unit that the file holds, of the RTL and the Yosys of today, is taken from there; the others are synthesised, which
takes about ten seconds each. `--write` measures the further units, too, on which hw_model.exit_unit.area fits its
formula. Logits have a range of +-8, rules their default parameters.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from hexit.hls.exit_unit.rtl_project import write_rtl
from hexit.hls.tools.yosys import source_digest, synthesise, yosys_version
from hexit.hw_model.exit_unit.measured import (
    MEASURED_UNITS,
    MeasuredUnit,
    UnitRecipe,
    measured_units,
    save_measured_units,
    unit_digest,
)
from hexit.hw_model.exit_unit.timing import unit_timing
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import RULES, Bias, ElbertExit, OracleExit, check_serves, format_rule, parse_rule
from hexit.quant.exits.table_format import TableFormat

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.error_tables import table_error

N_CLASSES = (1, 2, 3, 10)  # 1 is a regression
LOGIT_BITS = (16, 12, 8)
COMPARED_BITS = 16  # of the table's units for 3 classes, which are synthesised for 7-series, too
LARGEST_LOGIT = 8.0  # real
N_LAYERS = 12
PROCESSES = 2
WIDTH = 120  # characters of the table
ATHEENA = (
    "ATHEENA's decision for 10 classes of 16 bits: 180 cycles, about 1.8k LUT, 1.5k FF, 10 DSP (float32 exp).\n"
    "Source: Biggs, Bouganis, Constantinides, FCCM 2023 (arXiv 2304.08400); latency and fitted area coefficients in\n"
    "github.com/biggsbenjamin/ATHEENA, optimiser/.../models/layers/SoftMaxCmpLayer.py; ZC706, Vivado 2019.1."
)


def recipe(
    rule: str,
    n_classes: int,
    logit_bits: int = 16,
    *,
    n_layers: int = N_LAYERS,
    n_slots: int = 1,
    confidence: bool = False,
    tables: TableFormat | None = None,
) -> UnitRecipe:
    tables = tables or TableFormat()
    return UnitRecipe(
        rule=format_rule(parse_rule(rule)),
        n_classes=n_classes,
        logit_bits=logit_bits,
        scale=2 * LARGEST_LOGIT / 2**logit_bits,
        n_layers=n_layers,
        n_slots=n_slots,
        confidence=confidence,
        address_bits=tables.address_bits,
        fraction_bits=tables.fraction_bits,
    )


def table_recipes(widths: tuple[int, ...]) -> Iterator[UnitRecipe]:
    """Every rule with every number of classes that it serves; ELBERT with each of its trends."""
    texts = [name for name, kind in RULES.items() if kind not in (ElbertExit, OracleExit)]
    texts += [f"{ElbertExit.name}:bias={bias}" for bias in get_args(Bias)]
    for bits, text, n_classes in product(widths, texts, N_CLASSES):
        try:
            check_serves(parse_rule(text), N_LAYERS, n_classes)
        except ConfigError:
            continue
        yield recipe(text, n_classes, bits)


def further_recipes() -> Iterator[UnitRecipe]:
    """Units that differ from those of the table in one thing each, so that a formula sees what the thing costs."""
    small = [("hardware", 2), ("pabee", 3), ("pabee-regression", 1)]
    windows = [("elbert:bias=bias_2", 2), ("elbert:bias=bias_3", 2)]
    tabled = [("max-probability", 10), ("entropy", 3)]
    for (rule, n_classes), n_slots in product([*small, *windows], (2, 4)):
        yield recipe(rule, n_classes, n_slots=n_slots)
    for rule, n_classes, n_slots in (("pabee-regression", 1, 32), ("pabee", 10, 16), ("elbert:bias=bias_1", 3, 4)):
        yield recipe(rule, n_classes, n_slots=n_slots)
    for (rule, n_classes), n_layers in product([*small, *tabled], (6, 24)):
        yield recipe(rule, n_classes, n_layers=n_layers)
    for rule, n_classes in (*small, *windows, *tabled):
        yield recipe(rule, n_classes, 24)
    for (rule, n_classes), tables in product(
        tabled,
        (
            TableFormat(address_bits=8),
            TableFormat(address_bits=10),
            TableFormat(fraction_bits=10),
            TableFormat(fraction_bits=20),
        ),
    ):
        yield recipe(rule, n_classes, tables=tables)
    for rule, n_classes in (*small, *tabled, ("elbert:bias=bias_1", 2)):
        yield recipe(rule, n_classes, confidence=True)
    for rule, n_classes in product(("pabee", "max-probability", "entropy"), (5, 16)):
        yield recipe(rule, n_classes)
    yield recipe("elbert:bias=bias_1", 5)
    for text, n_classes in (
        ("hardware:run_length=2", 2),
        ("hardware:threshold=1.5,run_length=10", 2),
        ("pabee:patience=2", 3),
        ("pabee-regression:patience=3,tolerance=0.5", 1),
        ("elbert:bias=bias_3,window=2", 2),
        ("elbert:bias=bias_3,window=4", 2),
        ("elbert:bias=bias_2,window=4,margin=0.2", 2),
        ("entropy:threshold=0.6", 3),
        ("max-probability:threshold=0.5", 10),
        # the integers of `hexit run`: the chosen 3.508 at the shipped network's scale, 0.000315428
        ("hardware:threshold=2.71533,run_length=7", 2),
    ):
        yield recipe(text, n_classes)


def measure(unit: UnitRecipe, known: dict[str, MeasuredUnit], tool: str) -> MeasuredUnit:
    """Synthesise one unit, unless the file has it."""
    spec, timing = unit.spec, unit_timing(unit.spec)
    with tempfile.TemporaryDirectory(prefix="hexit_exit_unit_") as name:
        folder = Path(name)
        top = write_rtl(spec, folder)
        rtl, row = source_digest(folder), known.get(unit_digest(spec))
        if row is not None and (row.rtl, row.tool) == (rtl, tool):
            return dataclasses.replace(row, recipe=unit)
        xcup = synthesise(folder, "xcup", top=top)
        memories = xcup.resources.dsp + xcup.resources.bram18
        both = memories and unit.n_classes == 3 and unit in list(table_recipes((COMPARED_BITS,)))
        xc7 = synthesise(folder, "xc7", top=top).resources if both else None
    return MeasuredUnit(
        recipe=unit,
        latency_cycles=timing.latency_cycles,
        initiation_interval_cycles=timing.initiation_interval_cycles,
        xcup=xcup.resources,
        xc7=xc7,
        carry=xcup.carry,
        logic_levels=xcup.logic_levels,
        delay_ps=xcup.delay_ps,
        tool=tool,
        unit=unit_digest(spec),
        rtl=rtl,
    )


def measured(units: list[UnitRecipe], console: Console, write: bool) -> list[MeasuredUnit]:
    """Measure units; with `write` the file grows with every one, so that a run that is cut off is not lost."""
    known = {row.unit: row for row in measured_units()} if MEASURED_UNITS.exists() else {}
    tool = yosys_version()
    rows: list[MeasuredUnit] = []
    with ThreadPoolExecutor(PROCESSES) as pool, Progress(console=console) as bar:
        task = bar.add_task("synthesis", total=len(units))
        for row in pool.map(lambda unit: measure(unit, known, tool), units):
            rows.append(row)
            bar.advance(task)
            if write:
                later = [old for key, old in known.items() if key not in {new.unit for new in rows}]
                kept = [*rows, *(later if len(rows) < len(units) else ())]
                save_measured_units(tuple(sorted(kept, key=lambda kept_row: dataclasses.astuple(kept_row.recipe))))
    return rows


def error_shown(unit: UnitRecipe) -> str:
    """The largest error of a unit's tables against the published rule, in each unit of measure; `-` where exact."""
    worst: dict[str, float] = {}
    for part in table_error(unit.spec).parts:
        worst[part.unit] = max(part.worst, worst.get(part.unit, 0.0))
    return ", ".join(f"{error:.1e} {name}" for name, error in worst.items() if error) or "-"


def rule_shown(unit: UnitRecipe) -> str:
    """The rule without its default parameters, but with the trend of ELBERT."""
    rule = parse_rule(unit.rule)
    return f"{rule.name} {rule.bias}" if isinstance(rule, ElbertExit) else rule.name


def shown(rows: list[MeasuredUnit]) -> Table:
    table = Table(
        box=SIMPLE,
        padding=(0, 1, 0, 0),
        title=f"exit units, {rows[0].tool} synth_xilinx -family xcup",
    )
    columns = ("K", "bits", "LUT", "FF", "DSP", "BRAM18", "levels", "cells ns", "latency", "II", "table error")
    table.add_column("rule")
    for name in columns:
        table.add_column(name, justify="right")
    for row in rows:
        unit, area = row.recipe, row.resources
        numbers = (unit.n_classes, unit.logit_bits, area.lut, area.ff, area.dsp, area.bram18, row.logic_levels)
        cycles = (row.latency_cycles, row.initiation_interval_cycles)
        table.add_row(
            rule_shown(unit), *map(str, numbers), f"{row.delay_ps / 1000:.2f}", *map(str, cycles), error_shown(unit)
        )
    return table


def main(
    every: Annotated[bool, typer.Option("--all", help="All logit widths, not 16 bits alone.")] = False,
    write: Annotated[bool, typer.Option(help="Measure all units that the formula needs, and write the file.")] = False,
) -> None:
    widths = LOGIT_BITS if every else (COMPARED_BITS,)
    units = list(table_recipes(widths))
    if write:
        first = table_recipes((COMPARED_BITS,))
        units = list(dict.fromkeys([*first, *further_recipes(), *table_recipes(LOGIT_BITS)]))
        units.sort(key=lambda unit: unit.rule.startswith(ElbertExit.name) and unit.n_classes > 2)  # the long ones last
    rows = measured(units, Console(stderr=True), write)
    printed = set(table_recipes(widths))
    console = Console(highlight=False, width=WIDTH)
    console.print(shown([row for row in rows if row.recipe in printed]))
    console.print(ATHEENA, soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
