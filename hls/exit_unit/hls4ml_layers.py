"""Layers that hexit adds to hls4ml: the exit unit and the requantisation of an exit head, by its Extension API.

Each layer has a PyTorch module that stands for it in a model, a layer of hls4ml's graph, a template of its
configuration (constants, from the same integers as everything else) and one of its call. `register` adds them, and our
kernels, to a backend; hls4ml's own layers, templates and flows stay as they are. It then copies our kernels into every
project of that backend.

The modules describe; they do not compute. What the hardware computes is defined by quant.exits.unit and
quant.integer.head.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import hls4ml
import torch
from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.attributes import Attribute
from hls4ml.model.layers import Layer
from hls4ml.model.optimizer import ModelOptimizerPass
from hls4ml.model.types import FixedPrecisionType
from hls4ml.utils.torch import HLS4MLModule

from hexit.hls.exit_unit.constants import constants, tables
from hexit.quant.exits.unit import ExitUnitSpec
from hexit.quant.integer.head import Requantisation, TanhTable
from hexit.quant.records import from_json, to_json

KERNELS = Path(__file__).parents[1] / "kernels"
EVENT_FIELDS = 2  # slot, layer
DECISION_FIELDS = 5  # slot, exit, class, layer, confidence
STAMP = "csim"  # in the name of the library that build_lib.sh makes; hls4ml's own is random

_registered: set[str] = set()


class HexitExitUnit(HLS4MLModule):  # type: ignore[misc]  # hls4ml has no types
    """An exit unit in a PyTorch model.

    logits [n_classes], event [slot, layer] -> [slot, exit, class, layer, confidence]
    """

    def __init__(self, spec: ExitUnitSpec) -> None:
        """Stand for the unit of `spec`."""
        super().__init__()
        self.spec = spec

    def forward(self, logits: torch.Tensor, event: torch.Tensor) -> torch.Tensor:
        """Raise: what the unit answers depends on the events before."""
        raise NotImplementedError("an exit unit does not run in PyTorch; quant.exits.unit.decide_events defines it")


class HexitRequantise(HLS4MLModule):  # type: ignore[misc]
    """Accumulators to integers in a PyTorch model, through a table of tanh where there is one."""

    def __init__(self, requantisation: Requantisation, accumulator_bits: int, table: TanhTable | None = None) -> None:
        """Stand for `requantisation` of accumulators of `accumulator_bits` bits, and `table` behind it."""
        super().__init__()
        self.requantisation = requantisation
        self.accumulator_bits = accumulator_bits
        self.table = table

    def forward(self, accumulators: torch.Tensor) -> torch.Tensor:
        """Raise: integers of this size are not exact in PyTorch's default type."""
        raise NotImplementedError("requantisation does not run in PyTorch; quant.integer.head.head_logits defines it")


def event_bits(spec: ExitUnitSpec) -> int:
    """Return the bits of the unsigned words [slot, layer]."""
    return max(spec.slot_bits, spec.layer_bits)


def decision_bits(spec: ExitUnitSpec) -> int:
    """Return the bits of the unsigned words [slot, exit, class, layer, confidence]."""
    return max(event_bits(spec), spec.class_bits, spec.confidence_bits)


class HexitExitUnitLayer(Layer):  # type: ignore[misc]
    """The exit unit in hls4ml's graph; `unit` is its specification as JSON."""

    _expected_attributes: ClassVar = [Attribute("unit", value_type=dict)]

    def initialize(self) -> None:
        """Add the output, as wide as the widest word of a decision."""
        bits = decision_bits(_spec(self))
        self.add_output_variable([DECISION_FIELDS], precision=FixedPrecisionType(bits, bits, signed=False))


class HexitRequantiseLayer(Layer):  # type: ignore[misc]
    """Requantisation in hls4ml's graph; every attribute is an integer or a list of integers."""

    _expected_attributes: ClassVar = [
        Attribute("accumulator_bits"),
        Attribute("multipliers", value_type=list),
        Attribute("multiplier_bits"),
        Attribute("shift"),
        Attribute("position_bits"),
        Attribute("output_bits"),
        Attribute("features", value_type=list),
        Attribute("thresholds", value_type=list),
        Attribute("threshold_bits"),
    ]

    def initialize(self) -> None:
        """Add the output, one integer of `output_bits` bits per channel."""
        bits = self.get_attr("output_bits")
        self.add_output_variable([len(self.get_attr("multipliers"))], precision=FixedPrecisionType(bits, bits))


class ExitUnitConfig(LayerConfigTemplate):  # type: ignore[misc]
    """The constants and tables of an exit unit."""

    def __init__(self) -> None:
        """Serve the exit unit."""
        super().__init__(HexitExitUnitLayer)

    def format(self, node: Layer) -> str:
        """Return the struct that the kernel takes its constants from."""
        return unit_config(f"config{node.index}", _spec(node))


class ExitUnitCall(FunctionCallTemplate):  # type: ignore[misc]
    """The call of the exit unit."""

    def __init__(self) -> None:
        """Serve the exit unit, with plain and stream ports."""
        super().__init__(HexitExitUnitLayer, include_header=["nnet_utils/exit_unit.h", "nnet_utils/exit_unit_stream.h"])

    def format(self, node: Layer) -> str:
        """Return the call, logits first."""
        logits, event = (node.get_input_variable(name) for name in node.inputs)
        decision = node.get_output_variable()
        types = f"{logits.type.name}, {event.type.name}, {decision.type.name}, config{node.index}"
        return f"hexit_kernels::exit_unit<{types}>({logits.name}, {event.name}, {decision.name});"


class RequantiseConfig(LayerConfigTemplate):  # type: ignore[misc]
    """The multipliers and the table of a requantisation."""

    def __init__(self) -> None:
        """Serve the requantisation."""
        super().__init__(HexitRequantiseLayer)

    def format(self, node: Layer) -> str:
        """Return the struct that the kernel takes its constants from."""
        names = ("accumulator_bits", "multiplier_bits", "shift", "position_bits", "output_bits", "reuse_factor")
        multipliers, features = node.get_attr("multipliers"), node.get_attr("features")
        numbers = {"N_CHANNELS": len(multipliers)} | {name.upper(): node.get_attr(name) for name in names}
        inside = _definitions(numbers | {"HAS_TANH": int(bool(features))})
        inside.append(_look_up("long", "MULTIPLIER", "channel", multipliers))
        if features:
            bits = len(features).bit_length() - 1
            tanh = _definitions({"ADDRESS_BITS": bits, "THRESHOLD_BITS": node.get_attr("threshold_bits")})
            tanh.append(_look_up("int", "feature", "address", features))
            tanh.append(_look_up("int", "threshold", "address", node.get_attr("thresholds")))
            inside.append(_struct("tanh", tanh))
        return _struct(f"config{node.index}", inside) + "\n"


class RequantiseCall(FunctionCallTemplate):  # type: ignore[misc]
    """The call of a requantisation."""

    def __init__(self) -> None:
        """Serve the requantisation, with plain and stream ports."""
        super().__init__(
            HexitRequantiseLayer, include_header=["nnet_utils/exit_head.h", "nnet_utils/exit_head_stream.h"]
        )

    def format(self, node: Layer) -> str:
        """Return the call."""
        params = self._default_function_params(node)
        return "hexit_kernels::requantise<{input_t}, {output_t}, {config}>({input}, {output});".format(**params)


class FixedStamp(ModelOptimizerPass):  # type: ignore[misc]
    """Gives a project the same stamp whenever it is written, so that equal models make equal files."""

    def __init__(self) -> None:
        """Carry the name under which it is registered."""
        self.name = "hexit_fixed_stamp"

    def transform(self, model: Any) -> bool:
        """Set the stamp; the graph stays as it is."""
        model.config.config["Stamp"] = STAMP
        return False


def register(backend: str) -> None:
    """Add our layers and kernels to an hls4ml backend ("vivado" or "vitis"); a second time changes nothing.

    Must come before hls4ml's config_from_pytorch_model.
    """
    if not _registered:
        hls4ml.model.layers.register_layer("HexitExitUnitLayer", HexitExitUnitLayer)
        hls4ml.model.layers.register_layer("HexitRequantiseLayer", HexitRequantiseLayer)
        hls4ml.converters.register_pytorch_layer_handler("HexitExitUnit", _parse_exit_unit)
        hls4ml.converters.register_pytorch_layer_handler("HexitRequantise", _parse_requantise)
    if backend in _registered:
        return
    _registered.add(backend)
    target = hls4ml.backends.get_backend(backend)
    for template in (ExitUnitConfig, ExitUnitCall, RequantiseConfig, RequantiseCall):
        target.register_template(template)
    for header in sorted(KERNELS.glob("*.h")):
        target.register_source(header)
    target.register_pass("hexit_fixed_stamp", FixedStamp)
    hls4ml.model.flow.register_flow(
        "hexit_write",
        [f"{backend}:hexit_fixed_stamp", f"{backend}:write_hls"],
        requires=[f"{backend}:ip"],
        backend=target.name,
    )


def write_flow(backend: str) -> str:
    """Return the name of the flow that writes a project the same way every time."""
    return f"{backend}:hexit_write"


def unit_config(name: str, spec: ExitUnitSpec) -> str:
    """Return the C++ struct `name` with every constant and table of a unit."""
    values = constants(spec)
    mask = values.pop("EXIT_MASK")
    layers = [mask >> layer & 1 for layer in range(1 << spec.layer_bits)]  # every layer that a word can spell
    inside = [*_definitions(values), _look_up("bool", "EXIT_MASK", "layer", layers)]
    for table_name, table in tables(spec).items():
        widths = {part: values[f"{table_name.upper()}_{part}"] for part in ("SHIFT", "ENTRIES", "BITS")}
        reads = _look_up("long long" if widths["BITS"] > 31 else "int", "entry", "address", table.entries)
        inside.append(_struct(table_name, [*_definitions(widths), reads]))
    return _struct(name, inside) + "\n"


def _struct(name: str, lines: Sequence[str]) -> str:
    body = "\n".join(f"    {line}" for text in lines for line in text.splitlines())
    return f"struct {name} {{\n{body}\n}};"


def _definitions(values: dict[str, int]) -> list[str]:
    return [
        f"static const {'int' if -(2**31) < value < 2**31 else 'long long'} {name} = {value};"
        for name, value in values.items()
    ]


def _look_up(kind: str, name: str, index: str, entries: Sequence[int]) -> str:
    """A function of an index, as a ROM; HLS makes it as wide as its entries are."""
    listed = ", ".join(map(str, entries))
    return (
        f"static {kind} {name}(unsigned {index}) {{\n"
        f"    static const {kind} entries[{len(entries)}] = {{{listed}}};\n"
        f"    return entries[{index}];\n"
        "}"
    )


def _spec(node: Layer) -> ExitUnitSpec:
    return from_json(ExitUnitSpec, node.get_attr("unit"), "exit unit")


def _parse_exit_unit(
    _operation: str,
    layer_name: str,
    input_names: list[str],
    input_shapes: list[list[int]],
    _node: Any,
    module: HexitExitUnit,
    *_: Any,
) -> tuple[dict[str, Any], list[int]]:
    layer = {"class_name": "HexitExitUnitLayer", "name": layer_name, "inputs": input_names}
    return layer | {"unit": to_json(module.spec)}, [*input_shapes[0][:-1], DECISION_FIELDS]


def _parse_requantise(
    _operation: str,
    layer_name: str,
    input_names: list[str],
    input_shapes: list[list[int]],
    _node: Any,
    module: HexitRequantise,
    *_: Any,
) -> tuple[dict[str, Any], list[int]]:
    requantisation, table = module.requantisation, module.table
    layer = {
        "class_name": "HexitRequantiseLayer",
        "name": layer_name,
        "inputs": input_names,
        "accumulator_bits": module.accumulator_bits,
        "multipliers": requantisation.multipliers.tolist(),
        "multiplier_bits": requantisation.multiplier_bits,
        "shift": requantisation.shift,
        "position_bits": requantisation.output_bits,
        "output_bits": requantisation.output_bits if table is None else table.feature_bits,
        "features": [] if table is None else table.features.tolist(),
        "thresholds": [] if table is None else table.thresholds.tolist(),
        "threshold_bits": 0 if table is None else table.threshold_bits,
    }
    return layer, list(input_shapes[0])
