"""A complete HLS project: hls4ml's files, and beside them a test bench with golden vectors and ways to run it.

    hls4ml writes   firmware/ (top function, kernels, weights, ap_types), project.tcl, build_prj.tcl, its own test bench
    we add          golden/{events,decisions}.txt, tb/, Makefile (make csim, make build), build_hexit.tcl

hls4ml's files stay as it wrote them. Equal arguments give equal files, none of which knows where it was made.

Not covered: what the top function computes (hls.exit_unit.hls4ml_model and the kernels), and running anything
(hls.exit_unit.simulation, hls.tools.vendor).
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
from pathlib import Path
from typing import Any, get_args

from hexit.hls.exit_unit.hls4ml_model import Backend, Interface, hls_model, write_project
from hexit.hls.exit_unit.vectors import EventStream, decisions_text, events_text
from hexit.hls.tools.folder import check_target, new_folder
from hexit.hls.tools.naming import comment_text, identifier
from hexit.hls.tools.template_files import fill, template
from hexit.hls.tools.vendor import SCRIPT, TOOLS
from hexit.quant.arrays import Integers
from hexit.quant.errors import ConfigError
from hexit.quant.exits.unit import ExitUnitSpec
from hexit.quant.files import write_whole
from hexit.quant.integer.head import IntegerHead


def write_hls_project(
    spec: ExitUnitSpec,
    folder: Path,
    *,
    backend: Backend,
    interface: Interface,
    part: str,
    clock_period_ns: float,
    name: str,
    stream: EventStream,
    head: IntegerHead | None = None,
    head_inputs: Integers | None = None,
    reuse_factor: int = 1,
) -> None:
    """Make `folder` an HLS project of a unit, with a head in front of it if given, or leave it as it was.

    `stream`: the golden vectors; with a head, `head_inputs` [n_events, hidden_size] are what the head reads at each of
    them. `name` may be any text (hls.tools.naming). An older project in `folder` is replaced. Raises ConfigError for a
    folder with something else in it, a part or a clock that cannot be, and vectors that are not the unit's.
    """
    check_target(folder, SCRIPT)
    _check(spec, backend, interface, part, clock_period_ns, stream)
    inputs = stream.logits if head is None else _head_inputs(head, head_inputs, stream)
    top = identifier(name)
    with new_folder(folder, SCRIPT) as made:
        with contextlib.chdir(made):  # hls4ml notes the folder that it was given
            model = hls_model(
                spec,
                Path(),
                backend=backend,
                interface=interface,
                part=part,
                clock_period_ns=clock_period_ns,
                project_name=top,
                head=head,
                reuse_factor=reuse_factor,
            )
            write_project(model)
        about = f"{spec.rule}, {spec.n_classes} classes, {spec.n_layers} layers; made as {name}"
        write_whole(made / "tb" / "test_bench.cpp", template("test_bench.cpp"))
        write_whole(made / "tb" / "project.h", fill("project.h", **_ports(model, top), about=comment_text(about)))
        write_whole(made / "golden" / "events.txt", events_text(dataclasses.replace(stream, logits=inputs)))
        write_whole(made / "golden" / "decisions.txt", decisions_text(stream))
        write_whole(made / "Makefile", fill("Makefile", tools=" ".join(TOOLS[backend])))
        write_whole(made / SCRIPT, template(SCRIPT))


def _ports(model: Any, top: str) -> dict[str, str]:
    """Types, sizes and order of the top function's ports, as hls4ml named them."""
    (decision,) = model.get_output_variables()
    ports = {"event" if port.name == "event" else "inputs": port for port in model.get_input_variables()}
    return {
        "top": top,
        "kind": "stream" if model.config.get_config_value("IOType") == "io_stream" else "plain",
        "input_type": ports["inputs"].type.name,
        "n_inputs": str(math.prod(ports["inputs"].shape)),
        "input_meaning": ports["inputs"].name,
        "event_type": ports["event"].type.name,
        "n_event": str(math.prod(ports["event"].shape)),
        "decision_type": decision.type.name,
        "n_decision": str(math.prod(decision.shape)),
        "arguments": ", ".join([*ports, "decision"]),
    }


def _check(
    spec: ExitUnitSpec, backend: str, interface: str, part: str, clock_period_ns: float, stream: EventStream
) -> None:
    """Reject values that would make files that no tool can read."""
    choices_of = {"--backend": (backend, tuple(TOOLS)), "--interface": (interface, get_args(Interface))}
    for where, (value, choices) in choices_of.items():
        if value not in choices:
            raise ConfigError(where, value, f"must be {' or '.join(choices)}", "Choose one of these")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}", part):
        raise ConfigError("--part", part, "is no part number", "Try --part xczu9eg-ffvb1156-2-e")
    if not (math.isfinite(clock_period_ns) and clock_period_ns > 0):
        raise ConfigError("--clock-period", clock_period_ns, "must be more than 0 ns", "Try --clock-period 5")
    if not stream.n_events or stream.logits.shape[1] != spec.n_classes:
        shown = "x".join(map(str, stream.logits.shape))
        raise ConfigError("golden vectors", shown, f"must be events of {spec.n_classes} logits", "Check the trace")


def _head_inputs(head: IntegerHead, inputs: Integers | None, stream: EventStream) -> Integers:
    if inputs is None or inputs.shape != (stream.n_events, head.hidden_size):
        shown = "none" if inputs is None else "x".join(map(str, inputs.shape))
        requirement = f"must be {stream.n_events}x{head.hidden_size}, a row per event"
        raise ConfigError("head inputs", shown, requirement, "Check the trace")
    return inputs
