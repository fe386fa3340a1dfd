"""Training steps per second on one core, and what each part of today's step has brought, side by side in one process.

    .venv/bin/python benchmarks/training_step.py --data ../shared/data/glue/SST-2 --model PATH_OF_MINILM

MiniLM with six exits in bf16, 32 sentences a step, batches in turn through all variants; `before` is the step that the
first recipes of this project ran with. Steps are counted in processor time, which other work on the
machine disturbs less than the clock.
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
from hexit.quant.training.samples import labelled_samples
from hexit.quant.training.stage import StageRun
from hexit.quant.training.start import starting_point

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
    order = training_order([len(ids) for ids in samples.encoded.ids], batch_size, np.random.default_rng(0))
    seconds = dict.fromkeys(runs, 0.0)
    for number, indices in enumerate(order[: steps + 2]):
        batch = make_batch(samples.encoded, indices, tokenizer.pad_token_id)
        for name, run in runs.items():
            started = time.process_time()
            run.step(batch, samples, number, steps + 2)
            seconds[name] += time.process_time() - started if number > 1 else 0.0  # the first steps set up kernels
    table = Table("step", "steps/s", "ratio", title=f"training steps, {batch_size} sentences, {threads} thread(s)")
    first = next(iter(seconds.values()))
    for name, taken in seconds.items():
        table.add_row(name, f"{steps / taken:.2f}", f"{first / taken:.2f}x")
    Console(highlight=False).print(table)


if __name__ == "__main__":
    typer.run(main)
