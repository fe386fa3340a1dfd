"""A report from the outcome of a run: what ran, the figures of the whole run, and how far each has been checked."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from importlib import metadata

import numpy as np

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.area.clock import clock_limit
from hexit.hw_model.area.estimate import ResourceEstimate, on_chip_buffers
from hexit.hw_model.area.published import AreaTrust, published_area_trust
from hexit.hw_model.area.resources import KINDS, available
from hexit.hw_model.area.units import ArrayBasis
from hexit.hw_model.device import Device
from hexit.hw_model.energy import EnergyBreakdown
from hexit.hw_model.gemm import roofline_cycles
from hexit.quant.exits.rules import format_rule
from hexit.quant.records import to_json
from hexit.quant.shapes import parameter_counts
from hexit.quant.traces.reference import Reference
from hexit.sim.analysis.array_use import ArrayUse, array_use
from hexit.sim.core.program import Program
from hexit.sim.job.outcome import Outcome, layer_breakdown
from hexit.sim.job.setup import Setup, TextSource
from hexit.sim.published.trust import area_trust_text, published_validation, share_text, trust_text
from hexit.sim.report.exits import accuracy_report, exit_report, exit_unit_report
from hexit.sim.report.record import (
    SCHEMA,
    SCHEMA_VERSION,
    BufferReport,
    Check,
    Configuration,
    DataReport,
    Report,
    SpeedupReport,
    StreamConfiguration,
    Usage,
)
from hexit.sim.report.timing import latency_report, memory_report, pipeline_report, stall_report, stream_report
from hexit.sim.traffic.arrivals import RecordedArrivals, format_arrivals
from hexit.sim.traffic.lengths import format_lengths


def build_report(outcome: Outcome, reference: Reference | None = None) -> Report:
    """Derive every figure of the report from the outcome of a run; nothing is simulated."""
    setup, design, energy = outcome.setup, outcome.design, outcome.with_exits.energy
    stream, full = outcome.with_exits.result, outcome.full_depth.result
    n = stream.n_served
    seconds = stream.total_cycles / (setup.design.clock_mhz * 1e6)
    parts, full_parts = _share(energy, n), _share(outcome.full_depth.energy, full.n_served)
    busy, wasted = int(stream.busy_cycles.sum()), int(stream.wasted_cycles.sum())
    return Report(
        schema=SCHEMA,
        schema_version=SCHEMA_VERSION,
        configuration=_configuration(setup),
        versions=versions(),
        hashes=_hashes(outcome),
        data=_data_report(outcome),
        accuracy=accuracy_report(outcome, reference),
        exits=exit_report(outcome),
        choice=outcome.choice,
        comparison=outcome.comparison,
        speedup=_speedup_report(outcome),
        latency_us=latency_report(outcome),
        stream=stream_report(outcome),
        throughput_per_s=n / seconds,
        energy_uj=energy.total_uj / n,
        energy_full_depth_uj=outcome.full_depth.energy.total_uj / full.n_served,
        energy_parts_uj=parts,
        energy_full_depth_parts_uj=full_parts,
        energy_saved_static_fraction=saved_static_fraction(parts, full_parts),
        average_power_mw=energy.average_power_mw(seconds * 1e6),
        sentences_per_joule=1e6 * n / energy.total_uj,
        utilisation=_utilisation(outcome),
        array_use=_array_use(outcome),
        bank_use=outcome.sentence.bank_use,
        busiest_unit=design.program.unit_names[design.program.busiest_unit],
        wasted_fraction=wasted / (busy + wasted),
        layer_cycles=outcome.sentence.last_layer_cycles,
        layer_roofline_cycles=roofline_cycles(design.workload.layer_macs, setup.design),
        layer_busy_cycles=layer_breakdown(outcome),
        layer_macs=design.workload.layer_macs,
        n_parameters=parameter_counts(setup.shape).n_total,
        weights_on_chip=_weights_on_chip(design.program),
        off_chip_bytes_per_sentence=(stream.off_chip_bytes + stream.wasted_bytes) / n,
        resources=_usage(design.resources, setup.device),
        clock=clock_limit(setup.device, design.resources.total),
        resource_parts={
            name: {str(kind): getattr(used, kind) for kind in KINDS} for name, used in design.resources.parts.items()
        },
        buffers=_buffers(design.resources),
        exit_unit=exit_unit_report(outcome),
        memory=memory_report(outcome),
        stall_cycles=stall_report(outcome.sentence.stalls),
        engines=pipeline_report(outcome),
        checks=checks(outcome),
        published_figures=outcome.trust,
    )


def saved_static_fraction(with_exits: EnergyBreakdown, full_depth: EnergyBreakdown) -> float | None:
    """Return how much of the energy that exits save is static power over the shorter time; None if none is saved."""
    saved = full_depth.total_uj - with_exits.total_uj
    return (full_depth.static_uj - with_exits.static_uj) / saved if saved > 0 else None


def _share(energy: EnergyBreakdown, n: int) -> EnergyBreakdown:
    return EnergyBreakdown(**{name: value / n for name, value in to_json(energy).items()})


def _utilisation(outcome: Outcome) -> dict[str, float]:
    program, share = outcome.design.program, outcome.with_exits.result.utilisation_fraction
    return {program.unit_names[unit]: float(share[unit]) for unit in program.shown_units}


def _array_use(outcome: Outcome) -> ArrayUse | None:
    """The lengths of a profile's sentences were not published."""
    known = isinstance(outcome.source, TextSource)
    tokens = outcome.source.trace.lengths[outcome.drawn].astype(np.int64) if known else None
    return array_use(outcome.design.programs, outcome.with_exits.result, tokens)


def versions() -> dict[str, str]:
    """Return the versions of everything that computes."""
    names = ("hexit", "torch", "transformers", "brevitas", "numpy", "numba")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in names}


def _configuration(setup: Setup) -> Configuration:
    return Configuration(
        rule=format_rule(setup.rule),
        bits=setup.quant,
        shape=setup.shape,
        design=setup.design,
        device=setup.device,
        sequence_length=setup.sequence_length,
        seed=setup.seed,
        stream=StreamConfiguration(
            arrivals=format_arrivals(setup.stream.arrivals),
            lengths=format_lengths(setup.stream.lengths),
            admission=setup.stream.admission,
            n_sentences=setup.stream.n_sentences,
            saturates=setup.stream.saturates,
        ),
    )


def _hashes(outcome: Outcome) -> dict[str, str]:
    trace = outcome.source.trace
    hashes = {"data": trace.origin.data_hash, "trace": trace.content_hash}
    if isinstance(outcome.source, TextSource):
        hashes |= {
            "checkpoint": outcome.source.card.content_hash,
            "calibration": outcome.source.calibration.content_hash,
        }
    if isinstance(outcome.setup.stream.arrivals, RecordedArrivals):
        hashes["arrivals"] = outcome.setup.stream.arrivals.content_hash
    if outcome.setup.exit_unit is not None:
        hashes["exit_unit"] = hashlib.sha256(json.dumps(to_json(outcome.setup.exit_unit)).encode()).hexdigest()
    return dict(sorted(hashes.items()))


def _data_report(outcome: Outcome) -> DataReport:
    source = outcome.source
    trace = source.trace
    return DataReport(
        name=source.texts.name if isinstance(source, TextSource) else trace.origin.data,  # a cached trace has its own
        n_samples=trace.n_samples,
        n_truncated=trace.origin.n_truncated,
        mean_tokens=float(trace.lengths.mean()),
        max_tokens=int(trace.lengths.max()),
        calibration=source.calibration.source if isinstance(source, TextSource) else None,
    )


def _speedup_report(outcome: Outcome) -> SpeedupReport:
    stream, full = outcome.with_exits.result, outcome.full_depth.result
    macs, full_macs = (result.macs + result.wasted_macs for result in (stream, full))
    return SpeedupReport(
        layer=outcome.setup.shape.n_layers / outcome.decisions.integer.mean_layer,
        mac=full_macs * stream.n_served / (macs * full.n_served),
        latency=float(full.served_latency_cycles.mean() / stream.served_latency_cycles.mean()),
    )


def _weights_on_chip(program: Program) -> bool:
    placement = program.placement
    return not (placement.layer_streamed or placement.exit_streamed or placement.prologue_streamed)


def _usage(resources: ResourceEstimate, device: Device) -> dict[str, Usage]:
    total, whole = resources.total, available(device)
    return {kind: Usage(used=getattr(total, kind), available=getattr(whole, kind)) for kind in KINDS}


def _buffers(resources: ResourceEstimate) -> dict[str, BufferReport]:
    return {
        buffer.name.replace(" ", "_"): BufferReport(
            capacity_kib=buffer.capacity_bits // 8192,
            bank_words=tuple(bank.words for bank in buffer.banks),
            bank_bits=tuple(bank.width_bits for bank in buffer.banks),
            bram18=buffer.blocks.bram18,
            uram=buffer.blocks.uram,
            wasted_fraction=buffer.wasted_fraction,
        )
        for buffer in on_chip_buffers(resources)
    }


ARRAY_BASES: dict[ArrayBasis, str] = {
    "measured": "array: RTL in Yosys",
    "calibrated": "array: calibrated on TMMA",
}


def resources_text(basis: ArrayBasis, found: AreaTrust, design: Accelerator) -> str:
    """Return what a design's resources come from, and how far published ones are."""
    array = ARRAY_BASES[basis] if design.n_macs else "no array"
    return f"{array}{', loop nests not counted' * bool(design.regions)}; {area_trust_text(found)}"


CHECKS = (
    Check(
        figures="accuracy, exits, layer speed-up",
        how="counted on the recorded integer logits; integer rules equal the published float rules on every two-class "
        "input, but for elbert's bias_3 above 14 bits, one sentence in 1,500 later (docs/exit_unit.md)",
    ),
    Check(
        figures="cycles of matrix products",
        how="closed form equals the schedule exactly, SystemVerilog arrays of ours in Verilator cycle by cycle "
        "(benchmarks/array_rtl.py), and SCALE-Sim 3.0.0 with its presets (benchmarks/scale_sim.py)",
    ),
    Check(
        figures="cycles of vector units and exit head",
        how="fixed_point: our own pipeline assumptions, exact against a naive cycle stepper of them, not against RTL; "
        "float_hls: initiation intervals of published HLS reports",
    ),
    Check(
        figures="cycles of the exit decision",
        how="equal to its RTL in Verilator, event by event, random back-pressure, 1..20 stages "
        "(benchmarks/exit_unit_cycles.py)",
    ),
    Check(
        figures="waiting, drops and deadlines",
        how="exact against a naive event loop; mean waiting of M/D/1 and of bursts within the error of the simulation",
    ),
    Check(
        figures="off-chip traffic",
        how="bytes counted exactly; bandwidth is the least of memory, ports and requests under way, no DRAM page or "
        "refresh effects; measured with its memory: {memory}",
    ),
    Check(
        figures="energy and power",
        how="per-operation energies from the literature plus static board power; boards: {power}; dynamic energy alone "
        "is unchecked",
    ),
)


def checks(outcome: Outcome) -> tuple[Check, ...]:
    """Return how far each kind of figure has been checked, errors counted from the published designs."""
    validation, design = published_validation(), outcome.setup.design
    found = {"memory": share_text(validation, with_memory=True), "power": share_text(validation, unit="mW")}
    resources = resources_text(outcome.design.resources.array_basis, published_area_trust(), design)
    return (
        *(dataclasses.replace(check, how=check.how.format_map(found)) for check in CHECKS),
        Check(figures="resources", how=resources),
        Check(figures="cycles of whole accelerators", how=trust_text(outcome.trust)),
    )
