"""Runs the command line inside the test, and says how it ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from hexit.sim.cli import main
from hexit.sim.job.outcome import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Exit code, standard output and standard error of one command."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The report that `--json` printed, of a command that went well."""
        assert (self.code, self.err) == (0, "")
        report: dict[str, Any] = json.loads(self.out)
        return report


Hexit = Callable[..., Finished]
Simulate = Callable[..., Outcome]


def hexit(capsys: pytest.CaptureFixture[str], *words: object) -> Finished:
    """Run `hexit` with these words."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return Finished(code=end.value.code, out=out, err=err)
