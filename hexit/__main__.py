"""`python -m hexit ARGS` is `hexit ARGS`."""

from __future__ import annotations

if __name__ == "__main__":
    from hexit.sim.cli import main

    main()
