"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from hexit.quant.errors import ConfigError


def write_whole(path: Path, content: str | bytes, where: str = "--out") -> None:
    """Write a file under another name, then rename it; ConfigError where the place is not writable."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    raw = content.encode("utf-8") if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(raw)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise ConfigError(where, str(path), f"cannot be written ({error.strerror})", "Name another place") from None
