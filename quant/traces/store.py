"""The cache: what a network has computed once is read from files ever after.

Four kinds of files, each under the hash of everything that it depends on: model cards (shape and classes of a
checkpoint), float logits with their reference record, integer traces, integer exit heads with what enters them. A file
that cannot be read is made again. Torch is imported only where something has to be computed.

The folder is `--cache-dir`, else the environment variable HEXIT_CACHE, else the operating system's cache folder.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import platformdirs

from hexit.quant.config import EncoderShape, QuantConfig
from hexit.quant.data.tasks import TextSet, read_lines
from hexit.quant.errors import ConfigError
from hexit.quant.files import write_whole
from hexit.quant.hub import CALIBRATION, DEFAULT_CALIBRATION, checkpoint_hash, locate
from hexit.quant.integer.head import HeadRun, IntegerHead
from hexit.quant.records import from_json, to_json
from hexit.quant.traces.head_files import load_head_run, load_heads, save_head_run, save_heads
from hexit.quant.traces.trace import ExitTrace, TraceOrigin, load_trace, save_trace, trace_key

if TYPE_CHECKING:
    from hexit.quant.network.checkpoint import Checkpoint

PIPELINE_VERSION = 4  # raised whenever the same inputs give other integers
HEADS_VERSION = 3  # raised whenever the same network gives other heads
FLOAT_SCALE = float(np.float32(2.0**-20))  # step at which float logits are kept: finer than float32 noise of their sum

Cached = TypeVar("Cached")

Progress = Callable[[str, int], Callable[[int], None]]
"""Called with a title and a total when slow work begins; returns what to call with the number of finished items."""


def silent(title: str, n_total: int) -> Callable[[int], None]:
    """Show nothing."""
    return lambda n_done: None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What the simulator needs of a checkpoint; `label_names` is empty for regression."""

    name: str
    folder: str
    content_hash: str
    shape: EncoderShape
    label_names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Sentences that set the activation ranges, and where they came from."""

    source: str
    sentences: tuple[str, ...]

    @property
    def content_hash(self) -> str:
        """SHA-256 of the sentences."""
        return hashlib.sha256("\n".join(self.sentences).encode()).hexdigest()


def cache_folder(chosen: Path | None) -> Path:
    """Return the cache folder, not created yet."""
    environment = os.environ.get("HEXIT_CACHE")
    return chosen or Path(environment or platformdirs.user_cache_dir("hexit"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """The cached results of networks; `progress` shows progress of what has to be computed."""

    folder: Path
    progress: Progress = silent

    def card(self, model: str) -> ModelCard:
        """Return the card of a checkpoint (folder or hub name), loading the checkpoint only the first time."""
        folder = locate(model)
        content_hash = checkpoint_hash(folder)
        path = self.folder / "cards" / f"{content_hash}.json"
        try:
            card = from_json(ModelCard, json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):  # absent, or damaged: ConfigError and JSON errors are ValueErrors
            self.progress("load model", 1)
            network = _load(str(folder)).model
            card = ModelCard(
                name=folder.name,
                folder=str(folder),
                content_hash=content_hash,
                shape=network.shape(),
                label_names=network.exits.label_names,
            )
            write_whole(path, json.dumps(to_json(card), indent=2) + "\n", "--cache-dir")
        name = folder.resolve().name if Path(os.path.expanduser(model)).is_dir() else model
        return dataclasses.replace(card, name=name, folder=str(folder), content_hash=content_hash)

    def float_trace(self, card: ModelCard, texts: TextSet, max_length: int) -> ExitTrace:
        """Return the float model's logits at every exit, kept as integers of step FLOAT_SCALE."""
        content = {"float": PIPELINE_VERSION, "data": texts.content_hash} | _model(card, max_length)

        def compute() -> ExitTrace:
            from hexit.quant.traces.reference import evaluate_reference

            advance = self.progress("float model", len(texts))
            checkpoint = _load(card.folder)
            run = evaluate_reference(checkpoint, texts, max_length=max_length, compute="cpu", advance=advance)
            origin = TraceOrigin(
                checkpoint_hash=card.content_hash,
                model=card.name,
                data=texts.name,
                data_hash=texts.content_hash,
                quant=None,
                n_truncated=run.record.n_truncated,
            )
            integers = np.rint(run.logits.astype(np.float64) / FLOAT_SCALE).astype(np.int64)
            return ExitTrace(
                logits=integers, scale=FLOAT_SCALE, labels=texts.label_array, lengths=run.lengths, origin=origin
            )

        return self._cached("traces", content, load_trace, compute, save_trace)

    def quantised_trace(
        self, card: ModelCard, texts: TextSet, quant: QuantConfig, calibration: Calibration, max_length: int
    ) -> ExitTrace:
        """Return the integer logits of the quantised model at every exit."""
        return self.quantised_traces(card, (texts,), quant, calibration, max_length)[0]

    def quantised_traces(
        self, card: ModelCard, sets: Sequence[TextSet], quant: QuantConfig, calibration: Calibration, max_length: int
    ) -> tuple[ExitTrace, ...]:
        """Return the integer logits of several texts; the model is quantised once for all that must be recorded."""

        @functools.cache
        def network() -> Any:
            from hexit.quant.traces.recording import calibrated

            self.progress(f"quantise, {quant.weight_bits}-bit weights", 1)
            return calibrated(_load(card.folder), quant, calibration.sentences, max_length=max_length)

        def trace(texts: TextSet) -> ExitTrace:
            def compute() -> ExitTrace:
                from hexit.quant.traces.recording import record_trace

                quantised = network()
                advance = self.progress(f"quantised model, {quant.weight_bits}-bit weights", len(texts))
                return record_trace(_load(card.folder), quantised, texts, quant, max_length=max_length, advance=advance)

            content = {"data": texts.content_hash} | _network(card, quant, calibration, max_length)
            return self._cached("traces", content, load_trace, compute, save_trace)

        return tuple(trace(texts) for texts in sets)

    def heads(
        self, card: ModelCard, quant: QuantConfig, calibration: Calibration, max_length: int
    ) -> tuple[IntegerHead, ...]:
        """Return the exit heads of the quantised model in integers: one that all layers share, or one per layer."""
        content = {"heads": HEADS_VERSION} | _network(card, quant, calibration, max_length)

        def compute() -> tuple[IntegerHead, ...]:
            from hexit.quant.quantisation.heads import integer_heads
            from hexit.quant.traces.recording import calibrated

            self.progress(f"exit heads, {quant.weight_bits}-bit weights", 1)
            network = calibrated(_load(card.folder), quant, calibration.sentences, max_length=max_length)
            return integer_heads(network)

        return self._cached("heads", content, load_heads, compute, save_heads)

    def head_run(
        self,
        card: ModelCard,
        texts: TextSet,
        quant: QuantConfig,
        calibration: Calibration,
        max_length: int,
        *,
        n_sentences: int,
    ) -> HeadRun:
        """Return what enters the heads for the first `n_sentences` of `texts`, and the network's own logits."""
        first = texts.subset(range(min(n_sentences, len(texts))))
        content = {"head run": HEADS_VERSION, "data": first.content_hash}
        content |= _network(card, quant, calibration, max_length)

        def compute() -> HeadRun:
            from hexit.quant.traces.recording import calibrated, record_head_run

            advance = self.progress(f"inputs of the exit heads, {quant.weight_bits}-bit weights", len(first))
            checkpoint = _load(card.folder)
            network = calibrated(checkpoint, quant, calibration.sentences, max_length=max_length)
            return record_head_run(checkpoint, network, first, max_length=max_length, advance=advance)

        return self._cached("heads", content, load_head_run, compute, save_head_run)

    def _cached(
        self,
        kind: str,
        content: dict[str, object],
        load: Callable[[Path], Cached],
        compute: Callable[[], Cached],
        save: Callable[[Cached, Path], None],
    ) -> Cached:
        """Return what the file of `content` holds; where it is absent or damaged, compute it and write the file."""
        path = self.folder / kind / f"{trace_key(content)}.npz"
        try:
            return load(path)
        except ConfigError:
            computed = compute()
            save(computed, path)
            return computed


def calibration_of(card: ModelCard, chosen: str) -> Calibration:
    """Return the calibration text: the chosen file, else that beside the weights, else the shipped one."""
    beside = Path(card.folder) / CALIBRATION
    if chosen:
        return Calibration(source=Path(chosen).name, sentences=read_lines(chosen))
    if beside.is_file():
        return Calibration(source=f"{card.name}/{CALIBRATION}", sentences=read_lines(str(beside)))
    return Calibration(source=f"hexit {CALIBRATION}", sentences=read_lines(str(DEFAULT_CALIBRATION)))


def _network(card: ModelCard, quant: QuantConfig, calibration: Calibration, max_length: int) -> dict[str, object]:
    """Everything that the integers of a quantised network depend on."""
    return {
        "quantised": PIPELINE_VERSION,
        "quant": quant,
        "calibration": calibration.content_hash,
        "brevitas": metadata.version("brevitas"),
        **_model(card, max_length),
    }


def _model(card: ModelCard, max_length: int) -> dict[str, object]:
    """Everything that the numbers of a float network depend on, the text aside."""
    return {
        "checkpoint": card.content_hash,
        "max_length": max_length,
        "torch": metadata.version("torch"),
        "transformers": metadata.version("transformers"),
    }


def _load(folder: str) -> Checkpoint:
    from hexit.quant.network.checkpoint import load_checkpoint

    return load_checkpoint(folder)
