"""What the model predicts for published machines, next to what was published.

Each row is one figure of one machine file (hw_model.machine): predicted from the file, published, and the error

    error = predicted / published - 1

against the tolerance that the file states. A row counts as ``exact`` without a tolerance. Not checked here: that the
file describes the machine well; it says how it was configured, and which of its figures a constant was fitted to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hexit.hw_model.array import DATAFLOWS
from hexit.hw_model.machine.description import EvidenceKind, Expected, Machine, Product, Region, Stage
from hexit.hw_model.machine.files import list_machines, load_machine
from hexit.hw_model.machine.op_cycles import machine_channel
from hexit.quant.errors import ConfigError
from hexit.quant.files import write_whole
from hexit.sim.published.machine import MachineCycles, machine_cycles
from hexit.sim.published.scale_sim import PRESETS, VERSION, ScaleSimJob, ScaleSimRun, run_scale_sim

SCHEMA = "hexit.validation"
SCHEMA_VERSION = 1
SCALE_SIM_JOBS = tuple(  # small enough for seconds, square and not, whole and uneven folds
    ScaleSimJob(m=m, k=k, n=n, rows=rows, columns=columns, dataflow=dataflow)
    for m, k, n, rows, columns in ((33, 70, 45, 16, 8), (64, 64, 64, 16, 16), (10, 130, 20, 4, 24))
    for dataflow in DATAFLOWS
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationRow:
    """One published figure and its prediction, in `unit` (cycles or ms)."""

    of: str
    unit: str
    predicted: float
    published: float
    error_fraction: float
    tolerance_fraction: float
    with_memory: bool
    role: str
    kind: EvidenceKind
    note: str

    @property
    def holds(self) -> bool:
        """Whether the prediction lies within the tolerance."""
        return abs(self.error_fraction) <= self.tolerance_fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineValidation:
    """One machine and all of its rows.

    `cycles` are those if off-chip memory never makes anything wait, `cycles_with_memory` those with the memory as
    described, None where it is not.
    """

    machine: Machine
    cycles: MachineCycles
    cycles_with_memory: MachineCycles | None
    rows: tuple[ValidationRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The validation of several machines; the JSON keys are the field names."""

    schema: str
    schema_version: int
    machines: tuple[MachineValidation, ...]

    @property
    def misses(self) -> tuple[tuple[str, ValidationRow], ...]:
        """Rows outside their tolerance, with the name of their machine."""
        return tuple((one.machine.name, row) for one in self.machines for row in one.rows if not row.holds)


def validate(names: tuple[str, ...] = (), scale_sim: Path | None = None) -> Validation:
    """Predict every published figure of the named machines or files, of all published machines without names.

    `scale_sim`: the interpreter of an environment with SCALE-Sim, which runs and is one more machine.
    """
    machines = [load_machine(name) for name in names or list_machines()]
    if scale_sim is not None:
        machines.append(scale_sim_machine(SCALE_SIM_JOBS, run_scale_sim(SCALE_SIM_JOBS, scale_sim)))
    return Validation(
        schema=SCHEMA, schema_version=SCHEMA_VERSION, machines=tuple(validate_machine(machine) for machine in machines)
    )


def scale_sim_machine(jobs: Sequence[ScaleSimJob], runs: Sequence[ScaleSimRun]) -> Machine:
    """Return the arrays and products of SCALE-Sim's jobs as a machine whose published figures are its runs'."""
    names = [
        f"{PRESETS[job.dataflow].removeprefix('scalesim_')}_{job.rows}x{job.columns}_{job.m}_{job.k}_{job.n}"
        for job in jobs
    ]
    stages = tuple(Stage(name=name, ops=(name,), array=name) for name in names)
    return Machine(
        name="scale-sim-now",
        title=f"SCALE-Sim {VERSION}, run now",
        source=f"scalesim {VERSION} (PyPI), CALC mode",
        evidence="another simulator's output, of this moment",
        kind="simulator",
        configured="presets scalesim_os, scalesim_ws and scalesim_is; nothing fitted",
        clock_mhz=1000.0,
        products=tuple(Product(name=name, m=job.m, k=job.k, n=job.n) for name, job in zip(names, jobs, strict=True)),
        arrays={name: job.array for name, job in zip(names, jobs, strict=True)},
        regions=(Region(name="products", stages=stages),),
        expected=tuple(Expected(of=f"op {name}", cycles=run.cycles) for name, run in zip(names, runs, strict=True)),
    )


def validate_machine(machine: Machine) -> MachineValidation:
    """Predict every published figure of one machine."""
    channel = machine_channel(machine)
    kernel = machine_cycles(machine)
    with_memory = None if channel is None else machine_cycles(machine, channel)
    return MachineValidation(
        machine=machine,
        cycles=kernel,
        cycles_with_memory=with_memory,
        rows=tuple(_row(machine, expected, kernel, with_memory) for expected in machine.expected),
    )


def _row(
    machine: Machine, expected: Expected, kernel: MachineCycles, with_memory: MachineCycles | None
) -> ValidationRow:
    cycles = kernel
    if expected.memory:
        if with_memory is None:
            raise ConfigError(
                f"{machine.name}.expected.memory", True, "needs a table [memory]", "Describe the memory, or drop it"
            )
        cycles = with_memory
    predicted: float = predicted_cycles(expected.of, cycles)
    if expected.time_ms is not None:
        predicted /= machine.clock_mhz * 1000
    published = float(expected.time_ms if expected.time_ms is not None else expected.cycles or 0)
    return ValidationRow(
        of=expected.of,
        unit="cycles" if expected.time_ms is None else "ms",
        predicted=predicted,
        published=published,
        error_fraction=predicted / published - 1,
        tolerance_fraction=expected.tolerance_fraction,
        with_memory=expected.memory,
        role=expected.role,
        kind=expected.kind or machine.kind,
        note=expected.note,
    )


def predicted_cycles(of: str, cycles: MachineCycles) -> int:
    """Return the cycles of ``layer``, ``network``, ``region NAME``, ``stage NAME``, ``op NAME`` or ``product NAME``.

    A stage's and an op's are those of one pack (one head, if heads pass through), a product's those of the array alone.
    """
    kind, _, name = of.partition(" ")
    match kind:
        case "layer" if not name:
            return cycles.layer_cycles
        case "network" if not name:
            return cycles.network_cycles
        case "region":
            return cycles.region(name).cycles
        case "stage":
            return cycles.stage(name).pack_cycles
        case "op":
            return cycles.op(name).total
        case "product":
            product = cycles.op(name).product
            if product is None:
                raise ConfigError("expected.of", of, "is of an op without an array", f"Try op {name}")
            return product.total
        case _:
            kinds = "layer, network, region NAME, stage NAME, op NAME or product NAME"
            raise ConfigError("expected.of", of, f"must be {kinds}", "Correct the row")


def error_text(row: ValidationRow) -> str:
    """Return the error for people: ``exact``, or per cent with its sign."""
    return "exact" if row.error_fraction == 0 else f"{row.error_fraction:+.2%}"


def value_text(value: float, unit: str) -> str:
    """Return a figure with thousands separators."""
    return f"{round(value):,}" if unit == "cycles" else f"{value:.3f}"


def markdown(validation: Validation, heading: str) -> str:
    """Return the page that shows every row, `heading` first."""
    lines = [heading.rstrip(), ""]
    lines += ["| machine | figure | predicted | published | error | within | role |", "|---|---|---|---|---|---|---|"]
    for validated in validation.machines:
        for row in validated.rows:
            figure = f"{row.of}, {row.unit}" + (", with memory" if row.with_memory else "")
            within = "exact" if row.tolerance_fraction == 0 else f"{row.tolerance_fraction:.4g}"
            values = (value_text(value, row.unit) for value in (row.predicted, row.published))
            error = error_text(row) + ("" if row.holds else " **missed**")
            cells = (validated.machine.name, figure, *values, error, within, row.role)
            lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "## How each machine was configured", ""]
    for machine in (validated.machine for validated in validation.machines):
        lines += [
            f"**{machine.name}**: {machine.title}.",
            f"Source: {machine.source}.",
            f"Evidence: {machine.evidence}.",
            f"Configured: {machine.configured}.",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def page_heading(path: Path) -> str:
    """Return what a page says above its first table; raises ConfigError where there is no such page."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("--page", str(path), "cannot be read", "Start the page with a heading") from error
    return text.split("\n| machine |")[0]


def write_page(path: Path, text: str) -> None:
    """Write the page whole, or not at all."""
    write_whole(path, text, "--page")
