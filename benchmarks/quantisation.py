"""Accuracy at every exit at 2 .. 8 and 16 bits: float, quantised as hexit does it, and by plain Brevitas.

    .venv/bin/python benchmarks/quantisation.py --model runs/minilm --data ../shared/data/glue/SST-2 --json table.json
    .venv/bin/python benchmarks/quantisation.py --bits 8 --bits 4 --n-sentences 200      # a quick look

Three sweeps: weights and activations alike, activations apart (weights at 8 bits), weights apart (activations at 8
bits). The encoder is calibrated once. Every row is kept in the cache folder as soon as it is known, under a hash of
checkpoint, data, calibration text and widths, so that a table that was stopped goes on where it was. SST-2 dev is the
default where it is at hand, else the shipped reviews.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from hexit.quant.config import LEGAL_BITS, QuantConfig
from hexit.quant.data.scores import exit_scores
from hexit.quant.data.tasks import TextSet, load_texts
from hexit.quant.files import write_whole
from hexit.quant.hub import DEFAULT_DATA, DEFAULT_MODEL
from hexit.quant.network.checkpoint import Checkpoint, load_checkpoint
from hexit.quant.network.encoding import Batch, Encoded, encode, encode_strings, equal_length_batches
from hexit.quant.network.evaluate import all_logits
from hexit.quant.quantisation.network import CalibratedEncoder, calibrate, quantised
from hexit.quant.records import content_hash
from hexit.quant.traces.recording import CALIBRATION_BATCH, record_trace
from hexit.quant.traces.store import PIPELINE_VERSION, Calibration, Store, cache_folder, calibration_of

sys.path.insert(0, str(Path(__file__).parent))

from plain_brevitas import plain_brevitas

SST2 = Path(__file__).parents[2] / "shared/data/glue/SST-2"
BESIDE = 8  # bits of the one width while the other is swept
PLAIN_VERSION = 1  # raised whenever plain_brevitas.py gives other numbers
METHODS = ("hexit", "plain")


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A checkpoint on a data set; what is expensive is made when a row first needs it."""

    checkpoint: Checkpoint
    texts: TextSet
    calibration: Calibration
    max_length: int

    @cached_property
    def encoded(self) -> Encoded:
        return encode(self.texts, self.checkpoint.tokenizer, self.max_length)

    @cached_property
    def batches(self) -> list[Batch]:
        encoded = encode_strings(self.calibration.sentences, self.checkpoint.tokenizer, self.max_length)
        return list(equal_length_batches(encoded, CALIBRATION_BATCH))

    @cached_property
    def observations(self) -> CalibratedEncoder:
        return calibrate(self.checkpoint.model, self.batches)

    def float_scores(self) -> list[float]:
        return self._scores(self._logits(self.checkpoint.model))

    def scores(self, method: str, config: QuantConfig) -> list[float]:
        """Return the accuracy at every exit, in percent."""
        if method == "plain":
            return self._scores(self._logits(plain_brevitas(self.checkpoint.model, config, self.batches)))
        network = quantised(self.observations, config)
        trace = record_trace(self.checkpoint, network, self.texts, config, max_length=self.max_length)
        return self._scores(trace.logits)

    def key(self, method: str, config: QuantConfig | None) -> str:
        version = {"hexit": PIPELINE_VERSION, "plain": PLAIN_VERSION}.get(method, 0)
        return content_hash(
            {
                "method": [method, version],
                "checkpoint": self.checkpoint.content_hash,
                "data": self.texts.content_hash,
                "calibration": self.calibration.content_hash,
                "max_length": self.max_length,
                "quant": config,
            }
        )

    def _logits(self, model: Any) -> Any:
        return all_logits(
            model,
            self.encoded,
            n_layers=self.checkpoint.model.n_layers,
            n_classes=self.checkpoint.model.exits.n_classes,
            pad_id=self.checkpoint.tokenizer.pad_token_id,
            batch_size=64,
        )

    def _scores(self, logits: Any) -> list[float]:
        return [100 * score for score in exit_scores(logits, np.array(self.texts.labels))]


def sweep(widths: list[int]) -> Iterator[QuantConfig]:
    """Yield W = A, then A apart, then W apart, each pair once."""
    pairs = [(bits, bits) for bits in widths]
    pairs += [(BESIDE, bits) for bits in widths] + [(bits, BESIDE) for bits in widths]
    for weight_bits, activation_bits in dict.fromkeys(pairs):
        yield QuantConfig(weight_bits=weight_bits, activation_bits=activation_bits)


def kept(path: Path, compute: Callable[[], list[float]]) -> list[float]:
    """Return the row in the file; where there is none, compute and write it."""
    if path.is_file():
        return cast(list[float], json.loads(path.read_text(encoding="utf-8")))
    row = compute()
    write_whole(path, json.dumps(row) + "\n", "--cache-dir")
    return row


def main(
    model: str = str(DEFAULT_MODEL),
    data: str = str(SST2 if SST2.is_dir() else DEFAULT_DATA),
    bits: Annotated[list[int], typer.Option()] = list(LEGAL_BITS),  # noqa: B006 - typer reads defaults once
    method: Annotated[list[str], typer.Option(help="hexit, plain")] = list(METHODS),  # noqa: B006
    n_sentences: Annotated[int, typer.Option(help="0: all")] = 0,
    max_length: int = 64,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    cache_dir: Path | None = None,
) -> None:
    checkpoint = load_checkpoint(model)
    texts = load_texts(data, label_names=checkpoint.model.exits.label_names)
    texts = texts.sample(n_sentences, seed=0) if n_sentences else texts
    folder = cache_folder(cache_dir)
    calibration = calibration_of(Store(folder=folder).card(model), "")
    bench = Bench(checkpoint=checkpoint, texts=texts, calibration=calibration, max_length=max_length)
    title = f"accuracy (%) at every exit: {Path(model).name} on {texts.name}, {len(texts)} sentences"
    table = Table("method", "W", "A", *map(str, range(1, checkpoint.model.n_layers + 1)), "worst loss", title=title)
    rows: list[dict[str, Any]] = []
    reference = kept(folder / "quantisation" / f"{bench.key('float', None)}.json", bench.float_scores)
    rows.append({"method": "float", "weight_bits": None, "activation_bits": None, "accuracy_percent": reference})
    table.add_row("float", "", "", *(f"{score:.2f}" for score in reference), "", end_section=True)
    with Console(stderr=True).status("") as status:
        for config in sweep(bits):
            for name in method:
                status.update(f"{name} W{config.weight_bits}A{config.activation_bits}")
                path = folder / "quantisation" / f"{bench.key(name, config)}.json"
                scores = kept(path, lambda name=name, config=config: bench.scores(name, config))  # type: ignore[misc]
                loss = max(full - score for full, score in zip(reference, scores, strict=True))
                widths = {"weight_bits": config.weight_bits, "activation_bits": config.activation_bits}
                rows.append({"method": name, **widths, "accuracy_percent": scores})
                cells = (f"{score:.2f}" for score in scores)
                table.add_row(name, *map(str, widths.values()), *cells, f"{loss:+.2f}", end_section=name == method[-1])
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)
    if json_file is not None:
        about = {"model": checkpoint.name, "checkpoint": checkpoint.content_hash, "data": texts.name, "rows": rows}
        write_whole(json_file, json.dumps(about, indent=2) + "\n", "--json")


if __name__ == "__main__":
    typer.run(main)
