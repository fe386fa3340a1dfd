"""Where the exits of a run come from: a model on text, or a published profile of entropies."""

from __future__ import annotations

from dataclasses import dataclass

from hexit.quant.config import QuantConfig
from hexit.quant.data.tasks import TextSet
from hexit.quant.traces.profile import Profile, profile_trace
from hexit.quant.traces.store import Calibration, ModelCard, Store
from hexit.quant.traces.trace import ExitTrace


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

    profile: Profile
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
    return ProfileSource(profile=profile, trace=profile_trace(profile, sequence_length))
