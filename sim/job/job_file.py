"""Jobs as TOML files: read, changed key by key, written so that the file repeats the run.

    [quantisation]            hexit run --config job.toml --set quantisation.bits=4 --out runs/w4
    bits = 8

Every option has its key in docs/job.md. Relative paths in a file are relative to the working directory, as on the
command line. Later values win: the file, then --set in the order given, then the options of the command line.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from hexit.hw_model.toml_files import read_toml
from hexit.quant.errors import ConfigError
from hexit.quant.files import write_whole
from hexit.quant.options import Option, options_of, put
from hexit.quant.records import content_hash, from_json, to_json
from hexit.sim.job.record import Job, value_of
from hexit.sim.job.selection import Choice

HEADER = "# Everything that decided this run; repeat it with: hexit run --config job.toml --out FOLDER\n\n"


def set_keys(table: dict[str, Any], assignments: Iterable[str]) -> None:
    """Apply ``KEY=VALUE`` texts to a table: values as TOML has them, other words as text."""
    for text in assignments:
        key, equals, value = text.partition("=")
        if not (equals and key.strip()):
            raise ConfigError("--set", text, "must be KEY=VALUE", "Try --set stream.rate=900")
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = value.strip()
        put(table, key.strip(), parsed)


def job_of(table: Mapping[str, Any]) -> Job:
    """Return the job of a nested table; ConfigError for an unknown key and a value that is not legal."""
    return from_json(Job, dict(table), "job")


def merged_job(path: Path | None, assignments: Iterable[str], named: Mapping[str, Any]) -> Job:
    """Return the job of a file, changed by ``KEY=VALUE`` texts and then by options by name."""
    table = read_toml(path, "--config") if path is not None else {}
    set_keys(table, assignments)
    keys = {one.name: one.key for one in options_of(Job)}
    for name, value in named.items():
        put(table, keys[name], value)
    return job_of(table)


def load_job(path: str | Path, *assignments: str) -> Job:
    """Return the job of a TOML file, with ``KEY=VALUE`` changes."""
    return merged_job(Path(path), assignments, {})


def deciding_table(job: Job) -> dict[str, Any]:
    """Return what decides the results of a job, defaults included, as a nested table."""
    table: dict[str, Any] = {}
    for one in options_of(Job):
        value = value_of(job, one.key)
        if value is not None and not one.local:
            put(table, one.key, to_json(value))
    return table


def job_toml(job: Job, note: str = "") -> str:
    """Return a job as TOML text, without where its results go; equal jobs give equal texts. `note`: a comment more."""
    comment = f"# {note}\n" if note else ""
    return comment + HEADER + tomli_w.dumps(deciding_table(job))


def settled(job: Job, choice: Choice | None) -> Job:
    """Return the job with the settings that were chosen for it typed, so that it repeats its run on any machine."""
    if choice is None:
        return job
    options = dataclasses.replace(job.rule, name=choice.chosen.rule, max_drop=None, speedup=None, selection=None)
    return dataclasses.replace(job, rule=options)


def chosen_by(choice: Choice | None) -> str:
    """Return the sentence of a job file that says where its settings come from; nothing where they were typed."""
    if choice is None:
        return ""
    goal, text, found = choice.goal, choice.text, choice.chosen
    asked = f"max_drop = {goal.max_drop:g}" if goal.speedup is None else f"speedup = {goal.speedup:g}"
    return (
        f"rule.name was chosen with {asked} on {text.n_sentences} sentences of {text.name} (labels: {text.labels}): "
        f"mean layer {found.mean_layer:.4g}, score {found.score:.4f}, at full depth {found.score_full_depth:.4f}"
    )


def job_hash(job: Job) -> str:
    """Return the SHA-256 of what decides the results of a job: its options, and the content of files that they name.

    A checkpoint of the hub and a data set by name count by their names.
    """
    files: dict[str, str] = {}
    for one in options_of(Job):
        value = value_of(job, one.key)
        if isinstance(value, str) and not one.local and (digest := _content(one, value)):
            files[one.key] = digest
    return content_hash({"job": deciding_table(job), "files": files})


def _content(one: Option, value: str) -> str | None:
    """Return the hash of the file, or of the files of the folder, that an option names; None where it names none."""
    path = Path(value.removeprefix("file:") if one.key == "stream.arrivals" else value).expanduser()
    if path.is_file():
        return content_hash({path.name: path.read_bytes().hex()})
    if path.is_dir() and one.key in {"model.checkpoint", "data.source"}:
        return content_hash({item.name: item.read_bytes().hex() for item in sorted(path.iterdir()) if item.is_file()})
    return None


def reference_page() -> str:
    """Return the table of all options of a job in Markdown, a row each, from the record."""
    rows = ["| key | option | default | legal | what it is |", "|---|---|---|---|---|"]
    for one in options_of(Job):
        default = "" if one.default is None else f"`{_toml(one.default)}`"
        cells = (f"`{one.key}`", f"`{one.flag}`", default, _legal(one), one.help)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def write_reference_page(path: str | Path) -> None:
    """Replace the table at the end of a Markdown page by that of the record."""
    page = Path(path).read_text(encoding="utf-8")
    first_line = reference_page().partition("\n")[0]
    write_whole(Path(path), page.partition(first_line)[0] + reference_page())


def _toml(value: Any) -> str:
    return tomli_w.dumps({"x": to_json(value)}).removeprefix("x = ").strip()


def _legal(one: Option) -> str:
    words = {int: "whole number", float: "number", bool: "true, false", str: "text", Path: "path"}
    legal = ", ".join(one.choices) or words.get(one.plain_kind, "list of texts")
    return legal if one.least is None else f"{legal}, at least {one.least:g}"
