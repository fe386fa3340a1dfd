"""Is the depth of a network worth something? Its exits, with the words shuffled, its states, and what exits gain.

    .venv/bin/python benchmarks/depth.py --data ../shared/data/glue/SST-2

For every model and data set (`--model` and `--data` may be repeated; defaults are the shipped ones):

* the float accuracy of every exit, in the order of the words and with the words of each sentence shuffled (the mean of
  three shuffles): a bag of words does not notice;
* the cosine of each hidden state with the one before, the mean over all tokens: 1 means that a layer does nothing;
* the quantised network with exits at 2, 3 and 4 times fewer layers, its settings chosen on the selection text, against
  the best fixed depth at that cost: difference, its 95 % interval, McNemar's p-value.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from hexit.quant.arrays import Floats
from hexit.quant.data.scores import exit_scores
from hexit.quant.data.tasks import TextSet, load_texts
from hexit.quant.hub import DEFAULT_DATA, DEFAULT_MODEL
from hexit.quant.network.checkpoint import Checkpoint, load_checkpoint
from hexit.quant.network.encoding import encode, evaluation_batches
from hexit.sim.commands.progress import progress_bars
from hexit.sim.job.record import make_job
from hexit.sim.job.resolve import DEFAULT_LENGTH, simulate
from hexit.sim.report.build import build_report

N_SHUFFLES = 3
SPEEDUPS = (2.0, 3.0, 4.0)  # in layers
BATCH = 32  # sentences


@torch.inference_mode()
def curves(checkpoint: Checkpoint, texts: TextSet, length: int) -> tuple[tuple[float, ...], Floats]:
    """Return the accuracy of every exit, and the mean cosine of states 1..L with the states before them."""
    encoded = encode(texts, checkpoint.tokenizer, length)
    model, n_layers = checkpoint.model, checkpoint.model.n_layers
    logits = np.zeros((n_layers, len(encoded), model.exits.n_classes), dtype=np.float32)
    cosines, n_tokens = np.zeros(n_layers), 0
    for batch in evaluation_batches(encoded, BATCH, checkpoint.tokenizer.pad_token_id):
        found, states = model.logits_and_states(batch.input_ids, batch.attention_mask, batch.token_type_ids)
        logits[:, batch.indices] = found.numpy()
        present = batch.attention_mask.bool()
        for layer in range(n_layers):
            both = torch.cosine_similarity(states[layer], states[layer + 1], dim=-1)
            cosines[layer] += float(both[present].sum())
        n_tokens += int(present.sum())
    return exit_scores(logits, np.array(texts.labels)), cosines / n_tokens


def shuffled(texts: TextSet, seed: int) -> TextSet:
    """Return the set with the words of each sentence in random order."""
    generator = np.random.default_rng(seed)
    return dataclasses.replace(texts, texts=tuple(" ".join(generator.permutation(t.split())) for t in texts.texts))


def gains(model: str, data: str, limit: int, length: int, progress: Any) -> list[dict[str, Any]]:
    """Run the quantised network at every speed-up against the best fixed depth of that cost."""
    rows = []
    for speedup in SPEEDUPS:
        job = make_job(model=model, data=data, bits=8, speedup=speedup, limit=limit, seq_len=length)
        report = build_report(*simulate(job, progress))
        assert report.comparison is not None
        assert report.accuracy.with_exits is not None
        rival = report.comparison.fixed_depth
        rows.append(
            {
                "asked": speedup,
                "rule": report.configuration.rule,
                "mean_layer": report.exits.mean_layer,
                "score": report.accuracy.with_exits,
                "fixed_depth": rival.layer,
                "fixed_score": rival.score,
                "difference": rival.difference,
                "interval": [rival.difference_interval.low, rival.difference_interval.high],
                "p_value": rival.p_value,
            }
        )
    return rows


def main(
    model: Annotated[list[str], typer.Option()] = [str(DEFAULT_MODEL)],  # noqa: B006 - typer reads defaults once
    data: Annotated[list[str], typer.Option()] = [str(DEFAULT_DATA)],  # noqa: B006
    limit: Annotated[int, typer.Option(help="Draw only N sentences of each set; 0: all.")] = 0,
    max_length: Annotated[int, typer.Option(help="Tokens that longer texts are cut to.")] = DEFAULT_LENGTH,
    gain: Annotated[bool, typer.Option(help="Also run the quantised network with exits.")] = True,
    out: Annotated[Path | None, typer.Option(help="JSON file with the figures.")] = None,
) -> None:
    console, figures = Console(highlight=False), []
    for name in model:
        checkpoint = load_checkpoint(name)
        length = min(max_length, checkpoint.max_length)
        for source in data:
            texts = load_texts(source, label_names=checkpoint.model.exits.label_names).sample(limit, 0)
            accuracies, cosines = curves(checkpoint, texts, length)
            mixed = [curves(checkpoint, shuffled(texts, seed), length)[0] for seed in range(N_SHUFFLES)]
            bag = np.mean(mixed, axis=0).tolist()
            table = Table("exit", "accuracy", "words shuffled", "cosine with the state before",
                          title=f"{checkpoint.name}, {texts.name}, {len(texts)} sentences, float")  # fmt: skip
            for layer in range(len(accuracies)):
                table.add_row(str(layer + 1), f"{accuracies[layer]:.4f}", f"{bag[layer]:.4f}", f"{cosines[layer]:.3f}")
            console.print(table)
            found: dict[str, Any] = {
                "model": checkpoint.name,
                "checkpoint_hash": checkpoint.content_hash,
                "data": texts.name,
                "n_samples": len(texts),
                "accuracy": accuracies,
                "shuffled": bag,
                "cosine": cosines.tolist(),
            }
            if gain:
                with progress_bars(Console(stderr=True)) as progress:
                    found["gains"] = gains(name, source, limit, length, progress)
                console.print(_gain_table(found["gains"]))
            figures.append(found)
    if out is not None:
        out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _gain_table(rows: list[dict[str, Any]]) -> Table:
    table = Table("fewer layers", "rule", "mean layer", "accuracy", "best fixed depth", "difference", "95 %", "p",
                  title="8 bits, with exits")  # fmt: skip
    for row in rows:
        low, high = (100 * end for end in row["interval"])
        table.add_row(f"{row['asked']:g}x", row["rule"], f"{row['mean_layer']:.2f}", f"{row['score']:.4f}",
                      f"{row['fixed_score']:.4f} ({row['fixed_depth']})", f"{100 * row['difference']:+.2f}",
                      f"{low:+.1f} .. {high:+.1f}", f"{row['p_value']:.2g}")  # fmt: skip
    return table


if __name__ == "__main__":
    typer.run(main)
