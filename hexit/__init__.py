"""Co-design of early-exit BERT and ALBERT with the FPGA that runs them.

    import hexit
    result = hexit.run(bits=8, rule="pabee", threshold=3)
    result.row()

`run` takes a `Job` or its options by name (``hexit run --help`` explains them, docs/job.md lists them) and returns a
`Result`. `job` makes a job of options, `load_job` reads one from a file. Errors that a user can cause are `ConfigError`
and `DoesNotFit`.

The folders quant, hw_model, sim and hls beside this one are the packages hexit.quant, hexit.hw_model, hexit.sim and
hexit.hls: an installation maps them, and in a checkout the line below finds them, so that no module of a user's own can
stand in for one of ours. Everything under them may change from release to release; what this module names does not.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin make two processes on two cores 5x slower

_ROOT = Path(__file__).resolve().parents[1]
if (_ROOT / "pyproject.toml").is_file() and (_ROOT / "sim" / "run.py").is_file():  # a checkout, installed or not
    __path__.insert(0, str(_ROOT))

if TYPE_CHECKING:
    from hexit.quant.errors import ConfigError, DoesNotFit
    from hexit.sim.export.result import Result, run
    from hexit.sim.job.job_file import load_job
    from hexit.sim.job.record import Job
    from hexit.sim.job.record import make_job as job

__all__ = ["ConfigError", "DoesNotFit", "Job", "Result", "__version__", "job", "load_job", "run"]

_FOUND_IN = {  # loaded when first used, so that a command line starts at once
    "ConfigError": ("hexit.quant.errors", "ConfigError"),
    "DoesNotFit": ("hexit.quant.errors", "DoesNotFit"),
    "Job": ("hexit.sim.job.record", "Job"),
    "Result": ("hexit.sim.export.result", "Result"),
    "job": ("hexit.sim.job.record", "make_job"),
    "load_job": ("hexit.sim.job.job_file", "load_job"),
    "run": ("hexit.sim.export.result", "run"),
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name == "__version__":
        from importlib import metadata

        value: Any = metadata.version("hexit")
    elif name in _FOUND_IN:
        module, attribute = _FOUND_IN[name]
        value = getattr(import_module(module), attribute)
    else:
        raise AttributeError(f"module 'hexit' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
