"""What the model predicts for published designs, next to what was published.

Each row is one `expected` figure of one design: predicted by the task program that a run executes, published, the error

    error = predicted / published - 1

against the tolerance that the file states. A row counts as ``exact`` without a tolerance. Not checked here: that the
file describes the accelerator well; it says how it was configured, and which of its figures a constant was fitted to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import DATAFLOWS
from hexit.hw_model.design_files import list_published, load_design, load_unfitted
from hexit.hw_model.device import load_device
from hexit.hw_model.energy import EnergyCounts, energy_model, energy_uj
from hexit.hw_model.evidence import EvidenceKind, Expected, Network, Product
from hexit.hw_model.memory.channel import MemoryChannel, device_channel
from hexit.hw_model.stages import Region, Stage
from hexit.hw_model.work import group_work
from hexit.quant.errors import ConfigError
from hexit.quant.files import write_whole
from hexit.sim.core.stage_cycles import DesignCycles, design_cycles, published_ops, published_program
from hexit.sim.published.scale_sim import PRESETS, VERSION, ScaleSimJob, ScaleSimRun, run_scale_sim

_Cycles = tuple[DesignCycles, DesignCycles | None]  # without and with memory

SCHEMA = "hexit.validation"
SCHEMA_VERSION = 2
SCALE_SIM_JOBS = tuple(  # small enough for seconds, square and not, whole and uneven folds
    ScaleSimJob(m=m, k=k, n=n, rows=rows, columns=columns, dataflow=dataflow)
    for m, k, n, rows, columns in ((33, 70, 45, 16, 8), (64, 64, 64, 16, 16), (10, 130, 20, 4, 24))
    for dataflow in DATAFLOWS
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationRow:
    """One published figure and its prediction, in `unit` (cycles, ms or mW).

    `unfitted_error_fraction`: the error with nothing fitted to the design's paper, None where nothing was.
    """

    of: str
    unit: str
    predicted: float
    published: float
    error_fraction: float
    unfitted_error_fraction: float | None
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
class DesignValidation:
    """One design and all of its rows.

    `cycles` are those if off-chip memory never makes anything wait, `cycles_with_memory` those with the part's memory,
    None where no loop touches it or no part is named.
    """

    design: Accelerator
    cycles: DesignCycles
    cycles_with_memory: DesignCycles | None
    rows: tuple[ValidationRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The validation of several designs; the JSON keys are the field names."""

    schema: str
    schema_version: int
    designs: tuple[DesignValidation, ...]

    @property
    def misses(self) -> tuple[tuple[str, ValidationRow], ...]:
        """Rows outside their tolerance, with the name of their design."""
        return tuple((one.design.name, row) for one in self.designs for row in one.rows if not row.holds)


def validate(names: tuple[str, ...] = (), scale_sim: Path | None = None) -> Validation:
    """Predict every published figure of the named designs or files, of all published ones without names.

    `scale_sim`: the interpreter of an environment with SCALE-Sim, which runs and is one more design.
    """
    found = [validate_design(load_design(name, "design"), load_unfitted(name)) for name in names or list_published()]
    if scale_sim is not None:
        found.append(validate_design(scale_sim_design(SCALE_SIM_JOBS, run_scale_sim(SCALE_SIM_JOBS, scale_sim))))
    return Validation(schema=SCHEMA, schema_version=SCHEMA_VERSION, designs=tuple(found))


def scale_sim_design(jobs: Sequence[ScaleSimJob], runs: Sequence[ScaleSimRun]) -> Accelerator:
    """Return the arrays and products of SCALE-Sim's jobs as a design whose published figures are its runs'."""
    names = [
        f"{PRESETS[job.dataflow].removeprefix('scalesim_')}_{job.rows}x{job.columns}_{job.m}_{job.k}_{job.n}"
        for job in jobs
    ]
    stages = tuple(Stage(name=name, ops=(name,), array=name) for name in names)
    return Accelerator(
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


def validate_design(design: Accelerator, unfitted: Accelerator | None = None) -> DesignValidation:
    """Predict every published figure of one design, and without what was fitted to it where that is given.

    Raises ConfigError for a design without stages to time.
    """
    if not design.regions:
        requirement = "has no regions of stages, whose cycles could be told one by one"
        raise ConfigError("design", design.name, requirement, f"Simulate it: hexit run --design {design.name}")
    kernel, with_memory = _both(design)
    plain = None if unfitted is None else _both(unfitted)
    return DesignValidation(
        design=design,
        cycles=kernel,
        cycles_with_memory=with_memory,
        rows=tuple(_row(design, expected, (kernel, with_memory), plain) for expected in design.expected),
    )


def _both(design: Accelerator) -> _Cycles:
    """The cycles without and with the part's memory."""
    channel = design_memory(design)
    return design_cycles(design), None if channel is None else design_cycles(design, channel)


def design_memory(design: Accelerator) -> MemoryChannel | None:
    """Return the off-chip memory as a design sees it, None where it names no part or no loop moves bytes."""
    if not design.device or not any(loop.off_chip_bytes for loop in design.loops.values()):
        return None
    return device_channel(design, load_device(design.device))


def _prediction(design: Accelerator, expected: Expected, cycles: _Cycles) -> float:
    """The figure in its own unit, cycles, ms or mW."""
    kernel, with_memory = cycles
    if expected.power_mw is not None:
        return predicted_power_mw(design, with_memory or kernel)
    if expected.memory and with_memory is None:
        requirement = "needs a device, and loops with off_chip_bytes"
        raise ConfigError(f"{design.name}.expected.memory", True, requirement, "Describe the memory, or drop it")
    predicted = predicted_cycles(expected.of, with_memory if expected.memory and with_memory is not None else kernel)
    return predicted if expected.time_ms is None else predicted / (design.clock_mhz * 1000)


def _row(design: Accelerator, expected: Expected, cycles: _Cycles, unfitted: _Cycles | None) -> ValidationRow:
    predicted = _prediction(design, expected, cycles)
    published = float(expected.cycles or expected.time_ms or expected.power_mw or 0)
    return ValidationRow(
        of=expected.of,
        unit="cycles" if expected.cycles is not None else "ms" if expected.time_ms is not None else "mW",
        predicted=predicted,
        published=published,
        error_fraction=predicted / published - 1,
        unfitted_error_fraction=None if unfitted is None else _prediction(design, expected, unfitted) / published - 1,
        tolerance_fraction=expected.tolerance_fraction,
        with_memory=expected.memory,
        role=expected.role,
        kind=expected.kind or design.kind,
        note=expected.note,
    )


def predicted_power_mw(design: Accelerator, cycles: DesignCycles) -> float:
    """Return the mean power while a design works on what it was published with: dynamic energy over time, and static.

    Raises ConfigError for a design on no part, whose static power is not known.
    """
    if not design.device:
        raise ConfigError(f"{design.name}.expected.power_mw", "(no device)", "needs a part", "Name the device")
    workload = (design.network or Network()).workload()
    ops = tuple(published_ops(design).ops.values())
    n_layers = 1 if design.products else workload.shape.n_layers
    work = group_work(ops, workload.quant, design) * n_layers
    n_bytes = n_layers * int(published_program(design).program.tasks.n_bytes.sum())
    duration_us = cycles.network_cycles / design.clock_mhz
    work += EnergyCounts(off_chip_bytes=n_bytes)
    return energy_uj(energy_model(load_device(design.device)), work, duration_us).average_power_mw(duration_us)


def predicted_cycles(of: str, cycles: DesignCycles) -> int:
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
    return f"{value:.3f}" if unit == "ms" else f"{round(value):,}"


def markdown(validation: Validation, heading: str) -> str:
    """Return the page that shows every row, `heading` first."""
    lines = [heading.rstrip(), ""]
    lines += ["| design | figure | predicted | published | error | nothing fitted | within | role |", "|---" * 8 + "|"]
    for validated in validation.designs:
        for row in validated.rows:
            figure = f"{row.of}, {row.unit}" + (", with memory" if row.with_memory else "")
            within = "exact" if row.tolerance_fraction == 0 else f"{row.tolerance_fraction:.4g}"
            values = (value_text(value, row.unit) for value in (row.predicted, row.published))
            error = error_text(row) + ("" if row.holds else " **missed**")
            unfitted = "" if row.unfitted_error_fraction is None else f"{row.unfitted_error_fraction:+.2%}"
            cells = (validated.design.name, figure, *values, error, unfitted, within, row.role)
            lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "## How each design was configured", ""]
    for design in (validated.design for validated in validation.designs):
        lines += [
            f"**{design.name}**: {design.title}.",
            f"Source: {design.source}.",
            f"Evidence: {design.evidence}.",
            f"Configured: {design.configured}.",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def page_heading(path: Path) -> str:
    """Return what a page says above its first table; raises ConfigError where there is no such page."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("--page", str(path), "cannot be read", "Start the page with a heading") from error
    return text.split("\n| design |")[0]


def write_page(path: Path, text: str) -> None:
    """Write the page whole, or not at all."""
    write_whole(path, text, "--page")
