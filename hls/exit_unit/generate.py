"""One exit unit as a folder: test vectors, RTL, HLS projects, cycles and area, and a README that says how to prove it.

    vectors/     events.txt and decisions.txt: real sentences first, then events at the thresholds and at random
    rtl/         SystemVerilog, tables, Verilator test bench
    vitis/ vivado/   hls4ml projects with the same vectors, or with pooled states where the head is inside
    exit_unit.json   what was built, its cycles and area: `hexit run --exit-unit` reads it

Everything follows from the `UnitRequest`: equal requests give equal bytes, and nothing refers to where it was made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hexit.hls.exit_unit.constants import constants
from hexit.hls.exit_unit.hls4ml_model import Backend, Interface
from hexit.hls.exit_unit.hls_project import write_hls_project
from hexit.hls.exit_unit.readme import project_readme
from hexit.hls.exit_unit.rtl_project import write_rtl
from hexit.hls.exit_unit.summary import UnitSummary, summarise
from hexit.hls.exit_unit.vectors import (
    EventStream,
    answer,
    decisions_text,
    event_stream,
    events_text,
    joined,
    proof_events,
)
from hexit.hls.tools.folder import new_folder
from hexit.hw_model.device import Device
from hexit.hw_model.exit_unit.build import ExitUnitBuild, modelled_decision, save_build
from hexit.hw_model.exit_unit.head import modelled_head
from hexit.quant.arrays import Integers
from hexit.quant.exits.unit import ExitUnitSpec
from hexit.quant.files import write_whole
from hexit.quant.integer.head import IntegerHead, head_logits
from hexit.quant.traces.store import Progress

MARK = "exit_unit.json"  # a folder with this file was made by us, so that it may be replaced


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnitRequest:
    """What is to be built: the unit, real logits [n_layers, n, n_classes] to prove it on, part, tools, names.

    With a `head`, `head_inputs` [n_layers, n, hidden_size] are its integers for real sentences.
    """

    spec: ExitUnitSpec
    trace_logits: Integers
    device: Device
    part: str
    clock_period_ns: float
    name: str
    backends: tuple[Backend, ...]
    interface: Interface
    head: IntegerHead | None
    head_inputs: Integers | None
    reuse_factor: int
    n_vectors: int
    seed: int


def generate(request: UnitRequest, folder: Path, progress: Progress, extras: Callable[[Path], None]) -> ExitUnitBuild:
    """Make `folder` with everything in it, or leave it as it was; `extras` adds files of the caller.

    Cycles and area in it are those of our models, see `record_build`. Raises ConfigError for a folder that is not ours
    and for what cannot be written.
    """
    advance = progress("write project", 2 + len(request.backends))
    with new_folder(folder, MARK) as made:
        stream = unit_stream(request)
        _write(request, stream, made, advance)
        build = modelled_build(request)
        record_build(request, build, stream.n_events, made)
        extras(made)
        advance(1)
    return build


def record_build(request: UnitRequest, build: ExitUnitBuild, n_events: int, folder: Path) -> UnitSummary:
    """Write exit_unit.json and README.md of a build, and return its summary."""
    summary = summarise(build, request.device, n_events)
    readme = project_readme(
        name=request.name,
        facts=summary.lines(),
        area=summary.area_lines(),
        constants=constants(request.spec),
        backends=request.backends,
        interface=request.interface,
        part=request.part,
        clock_period_ns=request.clock_period_ns,
        n_events=n_events,
        hidden_size=0 if request.head is None else request.head.hidden_size,
    )
    write_whole(folder / "README.md", readme)
    save_build(build, folder / MARK)
    return summary


def _write(request: UnitRequest, stream: EventStream, folder: Path, advance: Callable[[int], None]) -> None:
    spec = request.spec
    write_whole(folder / "vectors" / "events.txt", events_text(stream))
    write_whole(folder / "vectors" / "decisions.txt", decisions_text(stream))
    write_rtl(spec, folder / "rtl")
    advance(1)
    project_stream, head_inputs = head_stream(request) or (stream, None)
    for backend in request.backends:
        write_hls_project(
            spec,
            folder / backend,
            backend=backend,
            interface=request.interface,
            part=request.part,
            clock_period_ns=request.clock_period_ns,
            name=request.name,
            stream=project_stream,
            head=request.head,
            head_inputs=head_inputs,
            reuse_factor=request.reuse_factor,
        )
        advance(1)


def unit_stream(request: UnitRequest) -> EventStream:
    """Return the events of the unit: every real sentence, then `n_vectors` that look for mistakes."""
    real = event_stream(request.spec, request.trace_logits, request.seed)
    if not request.n_vectors:
        return real
    tried = proof_events(request.spec, request.n_vectors, request.seed, request.trace_logits)
    return joined([real, tried])


def head_stream(request: UnitRequest) -> tuple[EventStream, Integers] | None:
    """Return the events of a unit behind its head, and the head's inputs of each event, [n_events, hidden_size].

    Sentences follow one another, each with all its layers; None where the project has no head.
    """
    if request.head is None or request.head_inputs is None:
        return None
    n_layers, n_sentences, width = request.head_inputs.shape
    inputs = request.head_inputs.transpose(1, 0, 2).reshape(-1, width)
    sentence, index = np.divmod(np.arange(n_sentences * n_layers), n_layers)
    stream = answer(request.spec, sentence % request.spec.n_slots, index + 1, head_logits(request.head, inputs))
    return stream, inputs


def modelled_build(request: UnitRequest) -> ExitUnitBuild:
    """Return cycles and area as our models have them, before any tool has run."""
    return ExitUnitBuild(
        spec=request.spec,
        decision=modelled_decision(request.spec),
        head=None if request.head is None else modelled_head(request.head, request.reuse_factor),
        part=request.part,
        clock_period_ns=request.clock_period_ns,
    )
