"""Runs of a tiny encoder on random logits, for the tests of pictures."""

from __future__ import annotations

import dataclasses
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hexit.hw_model.design_files import load_design
from hexit.hw_model.device import load_device
from hexit.quant.config import EncoderShape, QuantConfig
from hexit.quant.data.tasks import TextSet
from hexit.quant.exits.rules import parse_rule
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.traces.profile import Profile
from hexit.quant.traces.store import Calibration, ModelCard
from hexit.quant.traces.trace import ExitTrace, TraceOrigin
from hexit.sim.core.queueing import AdmissionPolicy
from hexit.sim.job.experiment import evaluate, picture_data
from hexit.sim.job.outcome import Outcome
from hexit.sim.job.setup import Setup, TextSource, profile_source
from hexit.sim.plots.run import Picture
from hexit.sim.plots.style import STYLE
from hexit.sim.report.build import build_report
from hexit.sim.report.record import Report
from hexit.sim.traffic.arrivals import PoissonArrivals
from hexit.sim.traffic.load import StreamSetup

SHAPE = dataclasses.replace(
    ALBERT_BASE,
    n_layers=4,
    hidden_size=16,
    n_heads=2,
    ffn_size=32,
    embedding_size=8,
    vocabulary_size=50,
    n_positions=32,
)
SPATIAL: dict[str, Any] = {"mapping": "spatial", "n_engines": 2, "device": "u280", "array_rows": 8}
STREAMED: dict[str, Any] = {"weight_placement": "streamed", "exit_overlap": "speculate"}


def trace(n_layers: int = 4, n_classes: int = 2, *, labelled: bool = True, n_samples: int = 30) -> ExitTrace:
    random = np.random.default_rng(7)
    target = random.normal(size=(n_samples, n_classes))
    noise = random.normal(size=(n_layers, n_samples, n_classes))
    logits = target * np.linspace(0.5, 3, n_layers)[:, None, None] + noise
    labels = target.argmax(1) if n_classes > 1 else target[:, 0]
    origin = TraceOrigin(
        checkpoint_hash="c", model="random", data="random.tsv", data_hash="d", quant=None, n_truncated=0
    )
    return ExitTrace(
        logits=np.rint(1024 * logits).astype(np.int64),
        scale=2.0**-10,
        labels=labels if labelled else np.full_like(labels, -1),
        lengths=np.full(n_samples, 8, np.int32),
        origin=origin,
    )


def text_source(recorded: ExitTrace, shape: EncoderShape) -> TextSource:
    names = tuple(str(k) for k in range(shape.n_classes)) if shape.n_classes > 1 else ()
    texts = TextSet(
        name="random.tsv",
        texts=("a",) * recorded.n_samples,
        pairs=None,
        label_names=names,
        labels=tuple(recorded.labels.tolist()),
        content_hash="d",
    )
    card = ModelCard(name="random", folder="", content_hash="c", shape=shape, label_names=names)
    calibration = Calibration(source="none", sentences=("a",))
    return TextSource(card=card, texts=texts, calibration=calibration, float_trace=recorded, trace=recorded)


def setup(rule: str, shape: EncoderShape = SHAPE, stream: StreamSetup | None = None, **design: Any) -> Setup:
    accelerator = dataclasses.replace(load_design("default"), **design)
    return Setup(
        shape=shape,
        quant=QuantConfig.uniform(8),
        rule=parse_rule(rule),
        design=accelerator,
        device=load_device(accelerator.device),
        sequence_length=8,
        seed=0,
        stream=stream or StreamSetup(),
    )


def outcome(
    rule: str = "hardware:threshold=1,run_length=3",
    *,
    labelled: bool = True,
    n_layers: int = 4,
    n_classes: int = 2,
    n_samples: int = 30,
    stream: StreamSetup | None = None,
    **design: Any,
) -> Outcome:
    shape = dataclasses.replace(SHAPE, n_layers=n_layers, n_classes=n_classes)
    recorded = trace(n_layers, n_classes, labelled=labelled, n_samples=n_samples)
    return evaluate(setup(rule, shape, stream, **design), text_source(recorded, shape))


def profile_outcome() -> Outcome:
    entropies = np.random.default_rng(3).uniform(0, 0.69, (3, 25))
    profile = Profile(entropies=entropies, n_layers=4, source="entropies.csv", data_hash="d")
    return evaluate(setup("entropy:threshold=0.3"), profile_source(profile, 8))


def regression_outcome() -> Outcome:
    return outcome("pabee-regression:patience=1,tolerance=0.5", n_classes=1)


def waiting_outcome(load: float = 0.9, n_sentences: int = 400, **admission: Any) -> Outcome:
    """Poisson arrivals at `load` times the rate of the closed loop; `admission` is a field of AdmissionPolicy."""
    closed = outcome().with_exits.result
    per_s = load * closed.n_sentences / (closed.total_cycles / 200e6)
    stream = StreamSetup(
        arrivals=PoissonArrivals(rate_per_s=per_s), admission=AdmissionPolicy(**admission), n_sentences=n_sentences
    )
    return outcome(stream=stream)


def drawn(picture: Picture, outcome: Outcome, report: Report | None = None) -> Figure:
    with matplotlib.style.context([STYLE], after_reset=True):
        return picture(outcome, picture_data(outcome), report or build_report(outcome))


def marks(axes: Axes) -> list[tuple[float, float]]:
    """Places of the lines of an axes that are a single point with a marker, in the order in which they were drawn."""
    lines = [line for line in axes.lines if line.get_marker() != "None"]
    places = [(np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in lines]
    return [(float(x[0]), float(y[0])) for x, y in places if x.size == 1]
