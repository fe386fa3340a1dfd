"""One external program at a time, ended with all that it started when its time is over or the user interrupts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO


def run_group(
    command: Sequence[str], *, cwd: Path, output: IO[bytes], environment: Mapping[str, str], timeout_s: float
) -> int | None:
    """Run a program in its own process group, both of its outputs into `output`; None where it took too long.

    Tools of vendors are scripts that start other programs, which would outlive a script that is killed alone.
    """
    process = subprocess.Popen(
        list(command),
        cwd=cwd,
        stdin=subprocess.DEVNULL,  # a tool that asks at its prompt gets the end of file instead of waiting
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
