"""What the tests of the hardware share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def verilator_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Verilator's compiled runtime, one for all workers."""
    return tmp_path_factory.getbasetemp().parent / "verilator"
