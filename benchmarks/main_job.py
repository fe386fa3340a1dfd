"""Wall time of the main job, caches empty and warm, each in a process of its own.

    .venv/bin/python benchmarks/main_job.py

Prints seconds and the ratio. The bound that the project keeps on 2 cores: 60 s cold, 2 s warm.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUN = Path(__file__).resolve().parent.parent / "sim" / "run.py"


def seconds(cache: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, RUN, "--bits", "8", "--cache-dir", cache], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        cold, warm = seconds(cache), seconds(cache)
    print(f"main job: {cold:.1f} s with empty caches, {warm:.1f} s repeated, ratio {cold / warm:.1f}")


if __name__ == "__main__":
    main()
