"""The accuracy reference: the float model at every exit, on a GPU where there is one.

A `Reference` names what it was computed on, so that a report can show it beside the quantised model and a reader
can repeat it. GPU and processor sum in different orders; accuracies may differ by single sentences. References that
came with a checkpoint lie beside its weights, in a folder `references`.
"""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hexit.quant.data.scores import exit_scores
from hexit.quant.data.tasks import TextSet
from hexit.quant.errors import ConfigError
from hexit.quant.files import write_whole
from hexit.quant.records import from_json, to_json

if TYPE_CHECKING:
    from hexit.quant.network.checkpoint import Checkpoint

REFERENCE_VERSION = 2  # of the file format
REFERENCES = "references"  # folder beside the weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Scores of the float model, one per exit, with everything that identifies them.

    `metric` is accuracy_fraction or pearson; `processor` the GPU or CPU by name; `driver` the GPU's, empty on a CPU.
    """

    version: int
    model: str
    checkpoint_hash: str
    data: str
    data_hash: str
    n_samples: int
    n_truncated: int
    max_length: int
    metric: str
    scores: tuple[float, ...]
    compute: str
    processor: str
    driver: str
    torch: str
    transformers: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FloatRun:
    """The record of a float run, its logits, float32 [n_layers, n, K], and the lengths in tokens, int32 [n]."""

    record: Reference
    logits: NDArray[np.float32]
    lengths: NDArray[np.int32]


def evaluate_reference(
    checkpoint: Checkpoint,
    texts: TextSet,
    *,
    max_length: int,
    compute: str,
    batch_size: int = 64,
    advance: Callable[[int], None] = lambda n_done: None,
) -> FloatRun:
    """Evaluate the float model at every exit."""
    import torch  # here, so that a report can hold a Reference without torch

    from hexit.quant.network.encoding import encode
    from hexit.quant.network.evaluate import all_logits

    encoded = encode(texts, checkpoint.tokenizer, max_length)
    model = checkpoint.model.to(compute)
    logits = all_logits(
        model,
        encoded,
        n_layers=model.n_layers,
        n_classes=model.exits.n_classes,
        pad_id=checkpoint.tokenizer.pad_token_id,
        batch_size=batch_size,
        device=compute,
        advance=advance,
    )
    model.to("cpu")
    record = Reference(
        version=REFERENCE_VERSION,
        model=checkpoint.name,
        checkpoint_hash=checkpoint.content_hash,
        data=texts.name,
        data_hash=texts.content_hash,
        n_samples=len(texts),
        n_truncated=encoded.n_truncated,
        max_length=max_length,
        metric="pearson" if texts.regression else "accuracy_fraction",
        scores=exit_scores(logits, np.array(texts.labels)),
        compute=compute,
        processor=torch.cuda.get_device_name() if compute == "cuda" else processor_name(),
        driver=gpu_driver() if compute == "cuda" else "",
        torch=torch.__version__,
        transformers=metadata.version("transformers"),
    )
    return FloatRun(record=record, logits=logits, lengths=encoded.lengths)


def processor_name() -> str:
    """Return the processor's model name as the system reports it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpu_driver() -> str:
    """Return the version of the NVIDIA driver as its own tool reports it, "unknown" where that tool is missing."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.split("\n")[0].strip() or "unknown"


def save_reference(reference: Reference, path: Path) -> None:
    """Write the record as JSON, whole or not at all."""
    write_whole(path, json.dumps(to_json(reference), indent=2) + "\n")


def load_reference(path: Path) -> Reference:
    """Read a record that `save_reference` wrote; ConfigError for anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError("--reference", str(path), f"cannot be read ({error})", "Make it: hexit reference") from None
    reference = from_json(Reference, value, f"--reference {path}")
    if reference.version != REFERENCE_VERSION:
        requirement = f"must be {REFERENCE_VERSION}"
        raise ConfigError(
            f"--reference {path}.version", reference.version, requirement, "Make it again: hexit reference"
        )
    return reference


def find_reference(folder: Path, checkpoint_hash: str, data_hash: str, max_length: int) -> Reference | None:
    """Return the reference beside a checkpoint's weights that is of these weights, data and length, None without."""
    wanted = (checkpoint_hash, data_hash, max_length)
    for path in sorted((folder / REFERENCES).glob("*.json")):
        found = load_reference(path)
        if (found.checkpoint_hash, found.data_hash, found.max_length) == wanted:
            return found
    return None
