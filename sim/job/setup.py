"""What is simulated: the setup, and where its exits come from (a model on text, or a published profile); checks."""

from __future__ import annotations

from dataclasses import dataclass

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.device import Device
from hexit.hw_model.exit_unit.build import ExitUnitBuild
from hexit.quant.config import EncoderShape, QuantConfig
from hexit.quant.data.tasks import TextSet
from hexit.quant.exits.rules import ExitRule
from hexit.quant.traces.profile import Profile, profile_trace
from hexit.quant.traces.store import Calibration, ModelCard, Store
from hexit.quant.traces.trace import ExitTrace
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextSource:
    """Exits of a model on sentences: the quantised trace, and the float model's at the same exits."""

    card: ModelCard
    texts: TextSet
    calibration: Calibration
    float_trace: ExitTrace
    trace: ExitTrace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProfileSource:
    """Exits of a published profile; its predictions are not known."""

    trace: ExitTrace


Source = TextSource | ProfileSource


def text_source(
    store: Store, card: ModelCard, texts: TextSet, quant: QuantConfig, calibration: Calibration, sequence_length: int
) -> TextSource:
    """Return the logits of both models on the sentences, recorded now or found in the cache."""
    return TextSource(
        card=card,
        texts=texts,
        calibration=calibration,
        float_trace=store.float_trace(card, texts, sequence_length),
        trace=store.quantised_trace(card, texts, quant, calibration, sequence_length),
    )


def profile_source(profile: Profile, sequence_length: int) -> ProfileSource:
    """Turn a published profile into logit distances that the integer exit units read."""
    return ProfileSource(trace=profile_trace(profile, sequence_length))
