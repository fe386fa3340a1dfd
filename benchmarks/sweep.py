"""Time of a sweep from Python: 50 thresholds of one rule on the shipped model, a row of figures each.

    .venv/bin/python benchmarks/sweep.py

The first run fills the cache; then every run decides, compiles, simulates and reports anew.
"""

from __future__ import annotations

import time

import hexit


def main() -> None:
    hexit.run(bits=8)
    start, start_cpu = time.perf_counter(), time.process_time()
    rows = [hexit.run(rule="entropy", threshold=0.01 * step).row() for step in range(1, 51)]
    wall, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    print(f"{len(rows)} runs in {wall:.2f} s ({cpu:.2f} s of CPU), {1000 * wall / len(rows):.1f} ms each")
    for row in rows[::10]:
        print({name: row[name] for name in ("rule", "mean_layer", "accuracy", "latency_mean_us")})


if __name__ == "__main__":
    main()
