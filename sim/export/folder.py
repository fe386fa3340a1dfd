"""What `--out` writes: report, table of sentences, pictures, timelines. Each file appears whole or not at all."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from pathlib import Path

from hexit.quant.errors import ConfigError
from hexit.quant.files import write_whole
from hexit.quant.traces.store import Progress
from hexit.sim.export.perfetto import chrome_trace_json
from hexit.sim.export.vcd import value_change_dump
from hexit.sim.job.experiment import PictureData
from hexit.sim.job.job_file import chosen_by, job_toml, settled
from hexit.sim.job.outcome import Outcome
from hexit.sim.job.record import Job
from hexit.sim.job.setup import TextSource
from hexit.sim.report.record import Report, report_json


def check_folder(folder: Path) -> None:
    """Make the folder and prove that it can be written, before anything slow is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or os.strerror(error.errno or 0)
        raise ConfigError("--out", str(folder), f"cannot be written ({reason})", "Name another folder") from None


def write_outputs(
    job: Job, outcome: Outcome, data: PictureData, report: Report, folder: Path, progress: Progress
) -> None:
    """Write report.json, job.toml, sentences.csv, timeline.json, timeline.vcd and the pictures."""
    from hexit.sim.plots.run import draw_all  # here, because matplotlib takes longer to load than a run to simulate

    write_whole(folder / "report.json", report_json(report))
    write_whole(folder / "job.toml", job_toml(settled(job, outcome.choice), chosen_by(outcome.choice)))
    write_whole(folder / "sentences.csv", sentences_csv(outcome))
    write_whole(folder / "timeline.json", chrome_trace_json(data.timeline, job.outputs.trace_level))
    write_whole(folder / "timeline.vcd", value_change_dump(data.timeline))
    draw_all(outcome, data, report, folder, progress)


def sentences_csv(outcome: Outcome) -> str:
    """Return one line per sentence of the stream: label, prediction, exit, latency, and the text where there is one."""
    stream, trace, clock_mhz = outcome.with_exits.result, outcome.source.trace, outcome.setup.design.clock_mhz
    texts = outcome.source.texts.texts if isinstance(outcome.source, TextSource) else ("",) * trace.n_samples
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("index", "label", "prediction", "exit_layer", "n_tokens", "start_us", "latency_us", "text"))
    columns = (trace.labels, outcome.decisions.integer.prediction, outcome.decisions.integer.exit_layer, trace.lengths)
    labels, predictions, layers, lengths = (column.tolist() for column in columns)
    times = zip(
        outcome.drawn.tolist(),
        stream.served.tolist(),
        stream.start_cycle.tolist(),
        stream.latency_cycles.tolist(),
        strict=True,
    )
    for index, served, start, latency in times:
        when = (start / clock_mhz, latency / clock_mhz) if served else ("", "")
        writer.writerow((index, labels[index], predictions[index], layers[index], lengths[index], *when, texts[index]))
    return buffer.getvalue()
