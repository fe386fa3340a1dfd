"""One run for Python: `run(job)` or `run(bits=4, rule="pabee")` gives a `Result`, which writes and shows itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hexit.quant.errors import ConfigError
from hexit.quant.records import to_json
from hexit.quant.traces.store import Progress, silent
from hexit.sim.export.folder import check_folder, write_outputs
from hexit.sim.job.experiment import picture_data
from hexit.sim.job.outcome import Outcome
from hexit.sim.job.record import Job, make_job
from hexit.sim.job.resolve import simulate
from hexit.sim.report.build import build_report
from hexit.sim.report.record import Report, report_json
from hexit.sim.report.row import row


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Result:
    """One run: the job, the report of its figures (docs/report.md), and the arrays behind them."""

    job: Job
    report: Report
    outcome: Outcome

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, as report.json has them."""
        values: dict[str, Any] = to_json(self.report)
        return values

    def to_json(self) -> str:
        """Return the text of report.json."""
        return report_json(self.report)

    def row(self) -> dict[str, float | int | str]:
        """Return the main figures flat, by name, as a line of a table of runs; what is not known is NaN."""
        return row(self.report)

    def write(self, folder: str | Path, *, progress: Progress = silent) -> None:
        """Write report.json, job.toml, sentences.csv, pictures and timelines; ConfigError where that cannot be."""
        check_folder(Path(folder))
        data = picture_data(self.outcome)
        write_outputs(self.job, self.outcome, data, self.report, Path(folder), progress)

    def __repr__(self) -> str:
        """Show the main figures in one line."""
        report = self.report
        accuracy = report.accuracy
        score = "" if accuracy.with_exits is None else f"{accuracy.metric} {accuracy.with_exits:.4f}, "
        return (
            f"Result({report.configuration.rule}: {score}mean layer {report.exits.mean_layer:.2f}, "
            f"latency {report.latency_us.mean:.1f} us ({report.speedup.latency:.2f}x), "
            f"{report.throughput_per_s:,.0f} sentences/s, {report.energy_uj:,.0f} uJ)"
        )


def run(job: Job | None = None, *, progress: Progress = silent, **options: Any) -> Result:
    """Run a job, or the job of these options (names as on the command line: ``seq_len=48``), and return its result.

    Raises ConfigError for options that are not legal, DoesNotFit for a design that its part cannot hold.
    """
    if job is not None and options:
        raise ConfigError("job", sorted(options), "is complete", "Give a job or options, not both")
    job = job or make_job(**options)
    outcome, reference = simulate(job, progress)
    return Result(job=job, report=build_report(outcome, reference), outcome=outcome)
