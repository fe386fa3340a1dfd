"""An hls4ml model of the exit unit, alone or behind its exit head: compile(), predict() and build() as usual.

    inputs   event [slot, layer] and logits [n_classes] (or, with a head, features [hidden])
    output   [slot, exit, class, layer, confidence]

All are integers: hls4ml's fixed<w,w>, so that predict() takes and gives whole floating-point numbers. float64 is exact
for all of them; float32 for those of up to 24 bits, which only a confidence can exceed. The pooler and the classifier
are hls4ml's own dense layers. State lives in the compiled library: it starts afresh with each sentence's first exit.

Not modelled: cycles; predict() answers one event after the other.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hexit.hls.exit_unit.vectors import EventStream
from hexit.quant.arrays import Integers
from hexit.quant.errors import ConfigError
from hexit.quant.exits.unit import ExitUnitSpec
from hexit.quant.integer.head import IntegerDense, IntegerHead

if TYPE_CHECKING:
    import torch

Backend = Literal["vivado", "vitis"]
Interface = Literal["parallel", "stream"]


def hls_model(
    spec: ExitUnitSpec,
    folder: Path,
    *,
    backend: Backend,
    interface: Interface,
    part: str,
    clock_period_ns: float,
    project_name: str,
    head: IntegerHead | None = None,
    reuse_factor: int = 1,
) -> Any:
    """Return hls4ml's ModelGraph of a unit, with its head in front of it if given; nothing is written or compiled yet.

    `interface`: plain ports with valid flags, or AXI streams. `reuse_factor`: multiplications per multiplier in the
    widest linear layer of the head (1: hls4ml's Latency strategy, more: Resource); smaller layers take the largest that
    is possible for them. Above 1 the top function is a dataflow region, in which a plain `event` port is read last and
    must hold still until the decision; streams have no such condition. `project_name` must be a C++ identifier.

    Raises ConfigError for a head that does not fit the unit, and a reuse factor that its layers cannot have.
    """
    from hls4ml.converters import convert_from_pytorch_model
    from hls4ml.utils import config_from_pytorch_model

    from hexit.hls.exit_unit import hls4ml_layers

    hls4ml_layers.register(backend)
    if head is not None:
        _check_head(spec, head)
    model = _model(spec, head)
    width = spec.n_classes if head is None else head.hidden_size
    with contextlib.redirect_stdout(io.StringIO()):  # hls4ml prints every layer
        config = config_from_pytorch_model(
            model,
            [(hls4ml_layers.EVENT_FIELDS,), (width,)],
            granularity="name",
            backend=backend,
            default_precision=_integer(spec.logit_bits),
            channels_last_conversion="internal",  # "off" would leave the weights of dense layers transposed
        )
        config["LayerName"] = _layers(spec, head, reuse_factor, backend)
        graph = convert_from_pytorch_model(
            model,
            output_dir=str(folder),
            project_name=project_name,
            backend=backend.capitalize(),
            hls_config=config,
            io_type=f"io_{interface}",
            part=part,
            clock_period=clock_period_ns,
        )
    # hls4ml_config.yml then holds plain values only: it depends on no code, and hls4ml can link to the project
    del graph.config.config["PytorchModel"]
    graph.config.config["InputShape"] = [list(shape) for shape in config["InputShape"]]
    return graph


def write_project(model: Any) -> None:
    """Write the project of an hls4ml model, with the same files every time.

    hls4ml's own `write` and `compile` do the same but for a random name of the compiled library, which lets a process
    load it again after a change.
    """
    from hexit.hls.exit_unit import hls4ml_layers

    model.apply_flow(hls4ml_layers.write_flow(model.config.backend.name.lower()))


def predict_events(model: Any, stream: EventStream, inputs: Integers | None = None) -> Integers:
    """Return the decisions [n, 5] of a compiled model: slot, exit, class, layer, confidence.

    `inputs` [n, hidden]: what the head reads, for a model with a head; the logits of the stream otherwise.
    """
    event = np.column_stack([stream.slot, stream.layer])
    ports = (event, stream.logits if inputs is None else inputs)
    decisions = model.predict([np.ascontiguousarray(values, dtype=np.float64) for values in ports])
    return np.asarray(decisions).reshape(stream.n_events, -1).astype(np.int64)


def _model(spec: ExitUnitSpec, head: IntegerHead | None) -> torch.nn.Module:
    """The PyTorch model that hls4ml traces; the names of its parts are those of the layers."""
    import torch

    from hexit.hls.exit_unit.hls4ml_layers import HexitExitUnit, HexitRequantise

    class Decision(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decision = HexitExitUnit(spec)

        def forward(self, event: torch.Tensor, logits: torch.Tensor) -> Any:
            return self.decision(logits, event)

    class Classifier(Decision):
        def __init__(self, head: IntegerHead) -> None:
            super().__init__()
            self.classifier = _linear(head.classifier)
            self.scores = HexitRequantise(head.requantisation, head.classifier.accumulator_bits)

        def forward(self, event: torch.Tensor, features: torch.Tensor) -> Any:
            return self.decision(self.scores(self.classifier(features)), event)

    class Head(Classifier):
        def __init__(self, head: IntegerHead) -> None:
            super().__init__(head)
            assert head.pooler is not None
            pooler = head.pooler
            self.pooler = _linear(pooler.dense)
            self.activation = HexitRequantise(pooler.requantisation, pooler.dense.accumulator_bits, pooler.table)

        def forward(self, event: torch.Tensor, features: torch.Tensor) -> Any:
            return self.decision(self.scores(self.classifier(self.activation(self.pooler(features)))), event)

    if head is None:
        return Decision()
    return Classifier(head) if head.pooler is None else Head(head)


def _linear(dense: IntegerDense) -> torch.nn.Linear:
    import torch

    layer = torch.nn.Linear(dense.n_in, dense.n_out, dtype=torch.float64)  # biases may have more than 24 bits
    layer.weight.data = torch.from_numpy(dense.weights.astype(np.float64))
    layer.bias.data = torch.from_numpy(dense.bias.astype(np.float64))
    return layer


def _layers(spec: ExitUnitSpec, head: IntegerHead | None, reuse_factor: int, backend: Backend) -> dict[str, Any]:
    """The precision, strategy and reuse factor of every layer; nothing is left to hls4ml's defaults."""
    from hexit.hls.exit_unit.hls4ml_layers import decision_bits, event_bits

    layers: dict[str, Any] = {
        "event": {"Precision": {"result": _integer(event_bits(spec), signed=False)}},
        "decision": {"Precision": {"result": _integer(decision_bits(spec), signed=False)}},
    }
    if head is None:
        return layers | {"logits": {"Precision": {"result": _integer(spec.logit_bits)}}}
    layers["features"] = {"Precision": {"result": _integer(head.input_bits)}}
    if head.pooler is not None:
        pooler = head.pooler.dense
        layers |= {"pooler": _dense(pooler, _exact_reuse(pooler, reuse_factor, backend))}
        layers |= {"activation": _requantise(pooler.n_out, head.feature_bits, reuse_factor)}
        classifier_reuse = _possible_reuse(head.classifier, reuse_factor, backend)
    else:
        classifier_reuse = _exact_reuse(head.classifier, reuse_factor, backend)
    layers |= {"classifier": _dense(head.classifier, classifier_reuse)}
    return layers | {"scores": _requantise(head.n_classes, head.logit_bits, reuse_factor)}


def _dense(dense: IntegerDense, reuse_factor: int) -> dict[str, Any]:
    accumulator = _integer(dense.accumulator_bits)
    return {
        "Strategy": "Latency" if reuse_factor == 1 else "Resource",
        "ReuseFactor": reuse_factor,
        "Precision": {
            # fixed, not int: hls4ml takes an int of 2 bits for -1, 0 and 1
            "weight": _integer(dense.weight_bits),
            "bias": _integer(dense.bias_bits),
            "accum": accumulator,
            "result": accumulator,
        },
    }


def _requantise(n_channels: int, bits: int, reuse_factor: int) -> dict[str, Any]:
    shared = max(factor for factor in range(1, reuse_factor + 1) if n_channels % factor == 0)
    return {"ReuseFactor": shared, "Precision": {"result": _integer(bits)}}


def _integer(bits: int, signed: bool = True) -> str:
    return f"{'' if signed else 'u'}fixed<{bits},{bits}>"


def _reuse_factors(dense: IntegerDense, backend: Backend) -> list[int]:
    from hls4ml.backends import get_backend

    return sorted(get_backend(backend).get_valid_reuse_factors(dense.n_in, dense.n_out))


def _possible_reuse(dense: IntegerDense, reuse_factor: int, backend: Backend) -> int:
    return max(factor for factor in _reuse_factors(dense, backend) if factor <= reuse_factor)


def _exact_reuse(dense: IntegerDense, reuse_factor: int, backend: Backend) -> int:
    possible = _reuse_factors(dense, backend)
    if reuse_factor not in possible:
        requirement = f"is not possible for {dense.n_in} x {dense.n_out} weights"
        raise ConfigError("--reuse-factor", reuse_factor, requirement, f"Use one of {', '.join(map(str, possible))}")
    return reuse_factor


def _check_head(spec: ExitUnitSpec, head: IntegerHead) -> None:
    if (head.n_classes, head.logit_bits) != (spec.n_classes, spec.logit_bits):
        output = f"{head.n_classes} logits of {head.logit_bits} bits"
        requirement = f"must be {spec.n_classes} logits of {spec.logit_bits} bits, as the exit unit reads them"
        raise ConfigError("exit head", output, requirement, "Make both from the same model")
