"""Where things lie: the repository, its small data for tests, and data sets that are not part of it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OWN_PROFILE = ROOT / "tests" / "data" / "reviews_entropy.csv"
SHARED_DATA = ROOT.parent / "shared" / "data"
PUBLISHED_PROFILE = SHARED_DATA / "published" / "edgebert" / "albert_sst2_dev_entropy.csv"
