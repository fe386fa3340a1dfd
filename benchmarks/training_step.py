"""Training steps per second on one core, and what each part of today's step has brought, side by side in one process.

    .venv/bin/python benchmarks/training_step.py --data ../shared/data/glue/SST-2 --model PATH_OF_MINILM

MiniLM with six exits in bf16, 32 sentences a step, batches in turn through all variants; `before` is the step that the
first recipes of this project ran with. The fixed cost is a step of one phrase of FEWEST_TOKENS tokens: what a step
takes whatever its batch holds. All in processor time, which other work on the machine disturbs less than the clock.
"""

from __future__ import annotations

import time
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from hexit.quant.data.tasks import load_texts
from hexit.quant.network.encoding import make_batch, training_order
from hexit.quant.training.loop import CPU_ATTENTION
from hexit.quant.training.plan import Stage, TrainingPlan
from hexit.quant.training.samples import Samples, labelled_samples
from hexit.quant.training.stage import StageRun
from hexit.quant.training.start import starting_point

FEWEST_TOKENS = 4  # with both special tokens
WORDS = ("backbone.embeddings.word_embeddings.*",)
VARIANTS = {  # attention of transformers, fused optimiser, frozen parameters
    "before: flash attention, AdamW parameter by parameter": ("sdpa", False, ()),
    "plain attention": (CPU_ATTENTION, False, ()),
    "and fused AdamW: today's step": (CPU_ATTENTION, True, ()),
    "and word vectors frozen": (CPU_ATTENTION, True, WORDS),
}


def main(
    data: Annotated[str, typer.Option()],
    model: Annotated[str, typer.Option()],
    steps: int = 40,
    batch_size: int = 32,
    threads: Annotated[int, typer.Option()] = 1,
) -> None:
    torch.set_num_threads(threads)
    plan = TrainingPlan(model=model, pooling="mean", shared_head=False, precision="bf16")
    texts = load_texts(data, split="train").sample(64 * batch_size, seed=0)
    runs = {}
    for name, (attention, fused, frozen) in VARIANTS.items():
        network, tokenizer = starting_point(plan, texts, None)
        network.backbone.set_attn_implementation(attention)
        stage = Stage(loss="pabee", learning_rate=5e-5, head_learning_rate=5e-4, freeze=frozen)
        run = StageRun(plan, stage, network, None, regression=False, device="cpu")
        if not fused:
            run.optimizer = torch.optim.AdamW(run.optimizer.param_groups, weight_decay=stage.weight_decay)
        runs[name] = run
    samples = labelled_samples(texts, tokenizer, plan)
    lengths = [len(ids) for ids in samples.encoded.ids]
    order = training_order(lengths, batch_size, np.random.default_rng(0))[: steps + 2]
    short = lengths.index(FEWEST_TOKENS)
    table = Table("step", "steps/s", "ratio", "fixed cost, ms", title=f"{batch_size} sentences, {threads} thread(s)")
    whole, fixed = (
        timed(runs, samples, tokenizer.pad_token_id, batches) for batches in (order, [[short]] * len(order))
    )
    first = next(iter(whole.values()))
    for name, taken in whole.items():
        cells = f"{1 / taken:.2f}", f"{first / taken:.2f}x", f"{1000 * fixed[name]:.0f}"
        table.add_row(name, *cells)
    Console(highlight=False).print(table)


def timed(runs: dict[str, StageRun], samples: Samples, pad_id: int, batches: list[list[int]]) -> dict[str, float]:
    """Return the seconds of a step for each run; the first two steps, which set up kernels, do not count."""
    seconds = dict.fromkeys(runs, 0.0)
    for number, indices in enumerate(batches):
        batch = make_batch(samples.encoded, indices, pad_id)
        for name, run in runs.items():
            started = time.process_time()
            run.step(batch, samples, number, len(batches))
            seconds[name] += time.process_time() - started if number > 1 else 0.0
    return {name: taken / (len(batches) - 2) for name, taken in seconds.items()}


if __name__ == "__main__":
    typer.run(main)
