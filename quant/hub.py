"""Where a checkpoint lies and what identifies it; without torch, so that a cached run starts at once."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from hexit.quant.errors import ConfigError

ASSETS = Path(__file__).parent / "assets"
DEFAULT_MODEL = ASSETS / "albert-sst2"
DEFAULT_DATA = ASSETS / "reviews.tsv"
CALIBRATION = "calibration.txt"  # beside the weights: sentences that quantisation calibrates on
SELECTION = "selection.tsv"  # beside the weights: labelled sentences that nothing was trained on
DEFAULT_SELECTION = ASSETS / SELECTION  # of the shipped network alone: labels belong to a task
DEFAULT_CALIBRATION = ASSETS / CALIBRATION  # for checkpoints from elsewhere
BACKBONES = ("albert", "bert")  # transformers' model types that have an exit-ready encoder here
HUB_PATTERNS = ["*.json", "*.safetensors", "vocab.txt", "merges.txt", "*.model"]
TOKENIZER_FILES = {"tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model"}


def locate(model: str, where: str = "--model") -> Path:
    """Return the local folder of a checkpoint, fetching a hub name into the hub's own cache."""
    path = Path(os.path.expanduser(model))
    if model and path.is_dir():
        return path
    if path.is_file():
        raise ConfigError(where, model, "must be a checkpoint folder or a hub name, not a file", "Name its folder")
    if model.startswith((".", "/", "~")) or model.count("/") > 1 or not model:
        raise ConfigError(where, model, "no such folder", "Check the path")
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(model, allow_patterns=HUB_PATTERNS))
    except Exception as error:  # the hub raises a dozen kinds of errors; to the user they are one
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        requirement = f"is no folder here and cannot be fetched from the hub ({reason})"
        raise ConfigError(where, model, requirement, "Check the name and the network") from None


def checkpoint_hash(folder: Path) -> str:
    """Hash the files that decide what a checkpoint computes: configuration, tokenizer and weights."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.name in {"config.json", *TOKENIZER_FILES} or path.suffix == ".safetensors":
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def read_config(folder: Path, where: str = "--model") -> dict[str, Any]:
    """Read config.json and check that it is an encoder that this project supports."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(where, str(folder), "holds no config.json", "Give a Hugging Face checkpoint folder") from None
    except (OSError, ValueError) as error:
        raise ConfigError(where, str(path), f"is not JSON ({error})", "Fetch the checkpoint again") from None
    if not isinstance(config, dict) or config.get("model_type") not in BACKBONES:
        kind = config.get("model_type") if isinstance(config, dict) else config
        requirement = f"must be one of {', '.join(BACKBONES)}"
        raise ConfigError(f"{where} {path}: model_type", kind, requirement, "Pick an ALBERT or BERT checkpoint")
    return config
