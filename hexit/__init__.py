"""Co-design of early-exit BERT and ALBERT with the FPGA that runs them.

The folders quant, hw_model, sim and hls beside this one are the packages hexit.quant, hexit.hw_model, hexit.sim and
hexit.hls: an installation maps them, and in a checkout the line below finds them, so that no module of a user can
stand in for one of ours.
"""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
if (_ROOT / "sim" / "run.py").is_file() and (_ROOT / "pyproject.toml").is_file():  # a checkout, installed or not
    __path__.append(str(_ROOT))
