"""`python sim/run.py ARGS` is exactly `hexit run ARGS`, from any working directory."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # Python put sim/ here, where the packages are not
    from hexit.sim.cli import main

    main(["run", *sys.argv[1:]])
