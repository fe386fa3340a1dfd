"""Where the float network runs: CUDA where there is one, else the processor."""

from __future__ import annotations

import torch

from hexit.quant.errors import ConfigError


def pick_compute(name: str, where: str = "--compute") -> str:
    """Turn auto, cpu or cuda into a torch device name; ConfigError for cuda where there is none."""
    if name not in {"auto", "cpu", "cuda"}:
        raise ConfigError(where, name, "must be auto, cpu or cuda", f"Try {where} auto")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(where, name, "torch sees no CUDA device here", f"Use {where} cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
