"""The file that a stopped run continues from: every number that the next step depends on.

Parameters, the optimiser's moments, random generators, and where the run is. Written whole or not at all.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from hexit.quant.errors import ConfigError
from hexit.quant.records import from_json, to_json

STATE_FILE = "training_state.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochResult:
    """What one epoch ended with; `dev_scores` has one score per exit, empty without a dev set.

    `held_out_score` is the last exit's on the samples that were kept back, None without.
    """

    stage: str
    epoch: int
    mean_loss: float
    dev_scores: tuple[float, ...]
    wall_s: float
    held_out_score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a run is: the next step of an epoch of a stage, the loss so far, the epochs that are done."""

    stage: int = 0
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    results: tuple[EpochResult, ...] = ()


def save_state(out: Path, fingerprint: str, position: Position, tensors: Mapping[str, Tensor], device: str) -> None:
    """Write the state file into the folder `out`; ConfigError where it cannot be written."""
    everything = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    everything |= {f"generator.{name}": state for name, state in _generators(device).items()}
    metadata = {"fingerprint": fingerprint, "position": json.dumps(to_json(position))}
    temporary = out / f".{STATE_FILE}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        save_file(everything, temporary, metadata=metadata)
        temporary.replace(out / STATE_FILE)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise ConfigError("--out", str(out), f"cannot be written ({error})", "Name another folder") from None


def load_state(out: Path, fingerprint: str, device: str) -> tuple[Position, dict[str, Tensor]] | None:
    """Return position and tensors of a stopped run and set the generators; None where `out` holds no such file.

    Raises ConfigError for a damaged file and for one of another plan or other data.
    """
    path = out / STATE_FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as handle:
            metadata = handle.metadata() or {}
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ConfigError("--out", str(path), f"is damaged ({error})", "Remove it to start again") from None
    if metadata.get("fingerprint") != fingerprint:
        raise ConfigError(
            "--out",
            str(out),
            "holds a stopped run of another plan or other data",
            "Repeat the old command to resume it, or name another folder",
        )
    torch.set_rng_state(tensors.pop("generator.cpu"))
    cuda = tensors.pop("generator.cuda", None)
    if device == "cuda" and cuda is not None:
        torch.cuda.set_rng_state(cuda)
    return from_json(Position, json.loads(metadata["position"])), tensors


def _generators(device: str) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device == "cuda":
        states["cuda"] = torch.cuda.get_rng_state()
    return states
