"""What is simulated, as records only, and the check of its stream before anything slow is done."""

from __future__ import annotations

from dataclasses import dataclass

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.device import Device
from hexit.hw_model.exit_unit.build import ExitUnitBuild
from hexit.quant.config import EncoderShape, QuantConfig
from hexit.quant.exits.rules import ExitRule
from hexit.sim.traffic.arrivals import arrival_cycles
from hexit.sim.traffic.lengths import hardware_lengths
from hexit.sim.traffic.load import StreamSetup


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Network shape, widths, rule, design and part; the stream; the exit unit, if one was built."""

    shape: EncoderShape
    quant: QuantConfig
    rule: ExitRule
    design: Accelerator
    device: Device
    sequence_length: int
    seed: int
    exit_unit: ExitUnitBuild | None = None
    stream: StreamSetup = StreamSetup()  # noqa: RUF009 - frozen


def check_stream(setup: Setup, n_samples: int) -> None:
    """Raise ConfigError for arrivals that do not fit the data, and buckets that no sentence could need."""
    stream = setup.stream
    arrival_cycles(stream.arrivals, stream.n_sentences or n_samples, setup.design.clock_mhz, setup.seed)
    hardware_lengths(stream.lengths, [setup.sequence_length], setup.sequence_length)
