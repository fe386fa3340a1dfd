from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from hexit.hw_model.exit_unit.build import save_build
from hexit.sim.cli import app
from support.built_units import build_of
from support.command_line import Hexit, Simulate, hexit
from support.designs import changed_design
from support.paths import ROOT

COMMAND: Any = typer.main.get_command(app)
PROFILE = ",".join(["0.5", *["0.05"] * 11])


def copied(folder: Path, into: Path) -> Path:
    into.mkdir(parents=True)
    for path in folder.iterdir():
        (into / path.name).write_bytes(path.read_bytes())
    return into


# Bad input ------------------------------------------------------------------------------------------------------------


def text(name: str, content: str | bytes) -> Callable[[Path], str]:
    """A file to make in the test's folder."""

    def make(folder: Path) -> str:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(folder / name)

    return make


def checkpoint(change: Callable[[Path], object]) -> Callable[[Path], str]:
    """The tiny ALBERT, spoilt."""

    def make(folder: Path) -> str:
        spoilt = copied(folder / "albert", folder / "spoilt")
        change(spoilt)
        return str(spoilt)

    return make


def config(**keys: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | keys))

    return change


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def pickle_instead(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


BAD_INPUT = [
    (
        ["--device", "zcu120"],
        r"--device = zcu120: is not a known part\. Known: kv260, .*zcu104.*Did you mean .* zcu104",
    ),
    (["--device", "xczu9egg"], r"Did you mean --device zcu102"),
    (["--device", "none.toml"], r"--device = none\.toml: cannot be read \(No such file"),
    (["--design", "defualt"], r"--design = defualt: is not one of .*default"),
    (["--design", "none.toml"], r"--design = none\.toml: cannot be read"),
    (["--design", text("d.toml", "array_rows = = 1")], r"d\.toml: is not TOML \(.*line 1"),
    (
        ["--design", text("d.toml", "arry_rows = 1")],
        r"design\.arry_rows = 1: is not a known key\. Known keys: .*array_rows",
    ),
    (
        ["--design", text("d.toml", 'name = "mine"\ndevice = "u250"\nclock_mhz = "fast"')],
        r"is required|clock_mhz = fast",
    ),
    (["--clock-mhz", 0], r"clock_mhz = 0\.0: must be 1\.\.2000"),
    (["--clock-mhz", "nan"], r"clock_mhz = nan: must be 1\.\.2000"),
    (["--clock-mhz", "fast"], r"'--clock-mhz'.*valid number"),
    (["--rule", "patience"], r"--rule = patience: is not a known rule\. Known rules: hardware, elbert, pabee"),
    (
        ["--rule", "elbert:foo=1"],
        r"--rule elbert foo = 1: is not a parameter of this rule\. elbert takes threshold, window",
    ),
    (["--rule", "elbert:threshold=7"], r"elbert threshold = 7\.0: must be a number above 0 and at most 1"),
    (["--rule", "pabee:patience=1.5"], r"patience = 1\.5: must be a whole number"),
    (["--rule", "pabee:patience"], r"patience = \(no value\): needs a value"),
    (["--rule", "pabee-regression"], r"needs one real output, but the exits have 2 classes"),
    (["--rule", "fixed-depth", "--threshold", 4], r"layer = 4: the model has 3 layers"),
    (["--threshold", -1], r"--threshold = -1\.0: must be a number at least 0"),
    (["--threshold", "nan"], r"--threshold = nan: must be a finite number"),
    (["--threshold", "inf"], r"--threshold = inf: must be a finite number"),
    (["--threshold", "much"], r"'--threshold'.*valid number"),
    (["--rule", "oracle", "--threshold", 1], r"--threshold = 1\.0: means nothing to the rule oracle"),
    (["--exit-unit", "none.json"], r"--exit-unit = none\.json: is not a file\. Make it with hexit hls"),
    (["--exit-unit", text("u.json", "{}")], r"u\.json: is not a hexit\.exit_unit of version 1"),
    (
        ["--profile", text("p.csv", PROFILE), "--exit-unit", "u.json"],
        r"--exit-unit = u\.json: means nothing with --prof",
    ),
    (["--batch", 65], r"--batch = 65: must be at most 64, the states of an exit unit"),
    (["--bits", 0], r"--bits = 0: must be 2\.\.8 or 16"),
    (["--bits", 1], r"--bits = 1: must be 2\.\.8 or 16"),
    (["--bits", 9], r"--bits = 9: must be 2\.\.8 or 16"),
    (["--bits", "abc"], r"'--bits'.*valid integer"),
    (["--bits"], r"'--bits' requires an argument"),
    (["--weight-bits", 9], r"--weight-bits = 9: must be 2\.\.8 or 16"),
    (["--activation-bits", 1], r"--activation-bits = 1: must be 2\.\.8 or 16"),
    (["--logit-bits", 25], r"--logit-bits = 25: must be 4\.\.24"),
    (["--data", "none.tsv"], r"--data = none\.tsv: no such file"),
    (["--data", text("d.tsv", "")], r"d\.tsv: is empty"),
    (["--data", text("d.tsv", "sentence\tlabel\n")], r"holds a header and nothing else"),
    (["--data", text("d.tsv", "words\tlabel\na\tgood\n")], r"words, label: no column of text.*--text-column"),
    (["--data", text("d.tsv", "sentence\tclass\na\tgood\n")], r"no column of labels.*--label-column"),
    (["--data", text("d.tsv", "sentence\tlabel\nalone\n")], r"d\.tsv:2 = alone: must have 2 columns, has 1"),
    (
        ["--data", text("d.tsv", b"sentence\tlabel\n\xe9t\xe9\tgood\n")],
        r"must be UTF-8 text; byte 15 \(line 2\) is not",
    ),
    (["--data", text("d.tsv", "sentence\tlabel\na\tugly\n")], r"d\.tsv:2 label = ugly: must be one of bad, good"),
    (["--data", lambda folder: str(folder / "albert")], r"must hold dev\.tsv or dev\.jsonl"),
    (["--data", lambda folder: str(folder / "albert"), "--split", "test"], r"must hold test\.tsv or test\.jsonl"),
    (["--data", "a" * 300 + ".tsv"], r"(?i)name too long|no such file"),
    (["--text-column", "words"], r"= words: is not a column of the file \(sentence, label\)"),
    (["--label-column", "class"], r"= class: is not a column of the file \(sentence, label\)"),
    (["--limit", -1], r"--limit = -1: must not be negative"),
    (["--max-drop", -0.1], r"--max-drop = -0\.1: must not be negative"),
    (["--max-drop", "inf"], r"--max-drop = inf: must be a finite number\. Try --max-drop 0\.01"),
    (["--max-drop", 2], r"--max-drop = 2\.0: is a fraction, at most 1\. One percent is --max-drop 0\.01"),
    (["--speedup", 0.5], r"--speedup = 0\.5: must be at least 1"),
    (["--speedup", 3, "--max-drop", 0.1], r"--speedup = 3\.0: is another goal than --max-drop.*Give one of the two"),
    (["--speedup", 3.5], r"--speedup = 3\.5: is more than the rule hardware reaches on the selection text, 3\."),
    (["--max-drop", 0.1, "--threshold", 2], r"--max-drop = 0\.1: is for settings .* but --threshold 2 gives them"),
    (["--selection", "s.tsv", "--rule", "pabee:patience=2"], r"--selection = s\.tsv: .* --rule pabee:patience=2 gives"),
    (["--max-drop", 0.1, "--rule", "oracle"], r"--rule = oracle: has no settings to choose"),
    (["--selection", "none.tsv"], r"--selection = none\.tsv: no such file"),
    (
        ["--selection", text("s.tsv", "sentence\tlabel\nA GOOD  film\tgood\n")],
        r"every sentence of it is also evaluated",
    ),
    (["--selection", text("s.tsv", "sentence\tlabel\na\tugly\n")], r"--selection .*s\.tsv:2 label = ugly: must be one"),
    (["--profile", text("p.csv", PROFILE), "--max-drop", 0.1], r"--max-drop = 0\.1: means nothing with --profile"),
    (["--seed", -1], r"--seed = -1: must not be negative"),
    (["--batch", 0], r"--batch = 0: must be at least 1"),
    (["--overlap", "foo"], r"--overlap = foo: must be one of stall, speculate, interleave"),
    (["--batch", 2, "--overlap", "stall"], r"--batch = 2: keeps several sentences resident, --overlap stall only one"),
    (["--share-weights"], r"--share-weights = True: is for several resident .* Add --overlap interleave --batch 4"),
    (["--batch", 1, "--overlap", "interleave"], r"--overlap = interleave: needs at least two resident sentences"),
    (["--seq-len", 0], r"--seq-len = 0: must be 1\.\.24 \(positions of the model\)"),
    (["--seq-len", 25], r"--seq-len = 25: must be 1\.\.24 \(positions of the model\)"),
    (["--seq-len", 2], r"= 2: must be at least 3 tokens"),
    (["--model", "./none"], r"--model = \./none: no such folder"),
    (["--model", "albert-base-v2"], r"--model = albert-base-v2: is no folder here and cannot be fetched from the hub"),
    (["--model", text("m.safetensors", "")], r"must be a checkpoint folder or a hub name, not a file"),
    (["--model", checkpoint(cut_weights)], r"model\.safetensors: is damaged or no safetensors file"),
    (["--model", checkpoint(pickle_instead)], r"pytorch_model\.bin: is a pickle, which can run code"),
    (["--model", checkpoint(lambda folder: (folder / "config.json").unlink())], r"holds no config\.json"),
    (["--model", checkpoint(lambda folder: (folder / "tokenizer.json").unlink())], r"holds no tokenizer"),
    (["--model", checkpoint(config(model_type="gpt2"))], r"model_type = gpt2: must be one of albert, bert"),
    (["--model", checkpoint(config(hidden_size=64))], r"weights and config\.json disagree"),
    (["--calibration", "none.txt"], r"--calibration = none\.txt: cannot be read"),
    (["--calibration", text("c.txt", " \n")], r"--calibration = .*c\.txt: is empty"),
    (["--reference", "none.json"], r"--reference = none\.json: cannot be read"),
    (["--reference", text("r.json", "{")], r"--reference = .*r\.json: cannot be read"),
    (["--reference", text("r.json", "{}")], r"r\.json\.version = \(missing\): is required"),
    (["--profile", "none.csv"], r"--profile none\.csv = No such file or directory: cannot be read"),
    (["--profile", text("p.csv", "")], r"has no rows of numbers"),
    (["--profile", text("p.csv", "a,b\nc,d\n"), "--profile-columns", "1-2"], r"row 2 column 1 = c: must be an entropy"),
    (["--profile", text("p.csv", "0.1,0.2\n")], r"--profile-columns = 1-11: the file has 2 columns"),
    (
        ["--profile", text("p.csv", "0.1,0.2\n"), "--profile-columns", "1-2"],
        r"has 2 columns, albert-base has 12 layers",
    ),
    (["--profile", text("p.csv", PROFILE), "--profile-columns", "2-3"], r"--profile-columns = 2-3: must be 1-N"),
    (["--profile", text("p.csv", PROFILE.replace("0.5", "1.05"))], r"= 1\.05: must be an entropy of two classes"),
    (["--profile", text("p.csv", '"' + "x" * 200_000)], r"is no csv table"),
    (["--profile", text("p.csv", PROFILE), "--model", "albert-base-v2"], r"--model = .*: means nothing with --profile"),
    (["--profile", text("p.csv", PROFILE), "--limit", 2], r"--limit = 2: means nothing with --profile"),
    (["--profile", text("p.csv", PROFILE), "--rule", "pabee"], r"pabee: follows the winning class.*Use --rule entropy"),
    (["--profile", text("p.csv", PROFILE), "--shape", "gpt"], r"--shape = gpt: must be one of albert-base"),
    (["--profile", text("p.csv", PROFILE), "--seq-len", 0], r"--seq-len = 0: must be 1\.\.512"),
    (["--shape", "bert-base"], r"--shape = bert-base: means nothing without --profile"),
    (["--profile-columns", "1-3"], r"--profile-columns = 1-3: means nothing without --profile"),
    (["--trace-level", "foo"], r"--trace-level = foo: must be one of op, tile"),
    (["--list", "foo"], r"--list = foo: must be one of rules, devices, designs, design-keys, shapes, options"),
    (["--cache-dir", text("file", "")], r"--cache-dir = .*: cannot be written"),
    (["--colour"], r"No such option: --colour"),
    (["reviews.tsv"], r"unexpected extra argument"),
]


def streaming(folder: Path) -> str:
    """The default design with all weights streamed."""
    return changed_design(folder, "streaming", weight_placement='"streamed"')


def made(words: list[Any], folder: Path) -> list[object]:
    return [word(folder) if callable(word) else word for word in words]


@pytest.mark.parametrize(("words", "message"), BAD_INPUT)
def test_bad_input_is_one_line_exit_code_2_and_nothing_half_written(
    words: list[Any], message: str, run: Hexit, tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    inputs, out = tmp_path / "inputs", tmp_path / "out"
    copied(tiny_folders["albert"], inputs / "albert")
    done = run("--out", out, *made(words, inputs))
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), done
    assert re.search(message, done.err), done.err
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.parametrize("below", ["", "folder"])
def test_an_output_that_cannot_be_written_is_told_before_anything_slow(below: str, run: Hexit, tiny_tsv: Path) -> None:
    done = run("--out", tiny_tsv / below, "--model", "./none")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert re.search(r"--out = .*: cannot be written \((File exists|Not a directory)\)", done.err)


def test_a_design_that_does_not_fit_says_what_how_much_and_which_levers(run: Hexit, tmp_path: Path) -> None:
    done = run("--device", "pynq-z2", "--out", tmp_path / "out")
    assert (done.code, done.out) == (2, "")
    assert re.search(
        r"DoesNotFit: .*dsp 1382 needed, 220 on pynq-z2 \(6\.3x\)\. Largest: systolic_array", done.err, re.S
    )
    assert re.search(r"Try --design pynq-z2, or --device zcu104", done.err)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("command", ["train", "reference"])
def test_the_other_commands_answer_bad_input_alike(
    command: str,
    capsys: pytest.CaptureFixture[str],
    tiny_folders: dict[str, Path],
    warm_cache: Path,
    tmp_path: Path,
    tiny_tsv: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEXIT_CACHE", str(warm_cache))
    model = ("--model", tiny_folders["albert"])
    for words, message in (
        ((), r"Missing (parameter|option)"),
        ((*model, "--data", tmp_path / "none.tsv", "--out", tmp_path / "out"), r"--data = .*none\.tsv: no such file"),
        (("--data", tiny_tsv, "--out", tmp_path / "out", "--compute", "tpu"), r"--compute = tpu: must be auto, cpu or"),
        (("--data", tiny_tsv, "--out", tiny_tsv / "x", *SMALL[command]), r"--out = .*: cannot be written"),
    ):
        done = hexit(capsys, command, *words)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), done
        assert re.search(message, done.err), done.err
    assert not (tmp_path / "out").exists()


SMALL = {
    "train": (
        "--hidden-size",
        32,
        "--n-layers",
        2,
        "--n-heads",
        2,
        "--embedding-size",
        16,
        "--vocabulary-size",
        120,
        "--max-length",
        64,
        "--batch-size",
        4,
        "--epochs",
        1,
    ),
    "reference": (),
}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--dtype", "int8"), r"--dtype = int8: must be one of fp16, fp32, fp8"),
        (("--recipe", "none"), r"--recipe = none: is not one of albert-from-nothing, "),
        (("--freeze", "x.*"), r"stages\.freeze = x\.\*: names no parameter\. One is called"),
        (("--loss", "hinge"), r"loss = hinge: must be one of elbert, pabee, equal, last"),
        (("--limit", -1), r"--limit = -1: must not be negative"),
        (("--epochs", 0), r"epochs = 0: must be at least 1"),
        (("--precision", "fp8"), r"precision = fp8: must be one of fp32, bf16"),
        (("--calibration", "none.txt"), r"--calibration = none\.txt: cannot be read"),
    ],
)
def test_train_answers_bad_options_in_one_line(
    words: tuple[object, ...], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_tsv: Path
) -> None:
    done = hexit(capsys, "train", "--data", tiny_tsv, "--out", tmp_path / "out", *SMALL["train"], *words)
    assert (done.code, done.err.count("\n")) == (2, 1), done
    assert re.search(message, done.err), done.err
    assert not (tmp_path / "out").exists()


def test_reference_answers_bad_options_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_folders: dict[str, Path], tiny_tsv: Path
) -> None:
    base = ("reference", "--model", tiny_folders["albert"], "--data", tiny_tsv, "--cache-dir", tmp_path / "cache")
    for words, message in (
        (("--batch-size", 0), r"--batch-size = 0: must be at least 1"),
        (("--seq-len", 25), r"--seq-len = 25: must be 1\.\.24 \(positions of the model\)"),
    ):
        done = hexit(capsys, *base, "--out", tmp_path / "reference.json", *words)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert re.search(message, done.err), done.err
    assert not (tmp_path / "reference.json").exists()


def test_a_full_disk_or_an_interrupt_is_one_line_too(run: Hexit, monkeypatch: pytest.MonkeyPatch) -> None:
    for error, code, message in (
        (
            OSError(28, "No space left on device", "/cache/x"),
            2,
            "ConfigError: file = /cache/x: No space left on device\n",
        ),
        (KeyboardInterrupt(), 130, "interrupted; nothing half-written, a repeated command resumes\n"),
    ):

        def fail(*arguments: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr("hexit.sim.export.result.simulate", fail)
        done = run()
        assert (done.code, done.out, done.err) == (code, "", message)


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_crash(profile: str) -> None:
    command = [sys.executable, str(ROOT / "sim" / "run.py"), "--profile", profile, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


# What the commands do -------------------------------------------------------------------------------------------------


def test_sentences_over_the_length_are_cut_and_counted(run: Hexit) -> None:
    done = run("--seq-len", 8, "--json")
    report = json.loads(done.out)
    n_cut = report["data"]["n_truncated"]
    assert 0 < n_cut < 10
    assert done.code == 0
    assert done.err == f"warning: {n_cut} of 10 sentences are longer than 8 tokens and were cut; raise --seq-len\n"
    assert report["data"]["max_tokens"] == 8


def test_run_py_is_hexit_run_from_any_folder(tmp_path: Path) -> None:
    words = ["--list", "rules"]
    hexit_run = [sys.executable, "-c", "from hexit.sim.cli import main; main()", "run", *words]
    outputs = [
        subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout
        for command, folder in (([sys.executable, str(ROOT / "sim" / "run.py"), *words], tmp_path), (hexit_run, ROOT))
    ]
    assert outputs[0] == outputs[1]
    assert b"elbert" in outputs[0]


@pytest.mark.parametrize("what", ["rules", "devices", "designs", "shapes", "options"])
def test_list_shows_what_there_is_and_stops(what: str, run: Hexit, tmp_path: Path) -> None:
    done = run("--list", what, "--model", "./none", "--out", tmp_path / "out")
    assert (done.code, done.err) == (0, "")
    shown = {
        "rules": "pabee",
        "devices": "zcu102",
        "designs": "default",
        "shapes": "bert-large",
        "options": "--seq-len",
    }
    assert shown[what] in done.out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [[], ["--help"], ["run", "-h"], ["train", "--help"], ["reference", "--help"]])
def test_help_tells_every_option(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    done = hexit(capsys, *words)
    assert (done.code, done.err) == (0, "")
    shown = COMMAND.commands[words[0]].params if len(words) > 1 else ()
    for parameter in shown:
        assert parameter.help, parameter.name
        assert all(option in done.out for option in parameter.opts), parameter.name
    assert all(name in done.out for name in (COMMAND.commands if len(words) < 2 else ()))


OTHER_TASK = "sentence\tlabel\tphrase\tverdict\na film\tgood\tlifeless\tbad\ngood film\tbad\twonderful\tbad\n"
CHANGES: dict[str, tuple[list[Any], list[Any]]] = {
    "model": ([], ["--model", lambda folder: str(folder / "bert")]),
    "bits": ([], ["--bits", 4]),
    "weight_bits": ([], ["--weight-bits", 4]),
    "activation_bits": ([], ["--activation-bits", 4]),
    "logit_bits": ([], ["--logit-bits", 6]),
    "po2": ([], ["--po2"]),
    "calibration": ([], ["--calibration", text("c.txt", "a good film\na bore\n")]),
    "data": ([], ["--data", text("d.tsv", OTHER_TASK)]),
    "split": (["--data", lambda f: str(f / "splits")], ["--data", lambda f: str(f / "splits"), "--split", "test"]),
    "text_column": (
        ["--data", text("d.tsv", OTHER_TASK)],
        ["--data", text("d.tsv", OTHER_TASK), "--text-column", "phrase"],
    ),
    "label_column": (
        ["--data", text("d.tsv", OTHER_TASK)],
        ["--data", text("d.tsv", OTHER_TASK), "--label-column", "verdict"],
    ),
    "limit": ([], ["--limit", 5]),
    "seed": (["--limit", 5], ["--limit", 5, "--seed", 1]),
    "profile": ([], ["--profile", text("p.csv", PROFILE)]),
    "profile_columns": (
        ["--profile", text("p.csv", PROFILE)],
        ["--profile", text("p.csv", PROFILE), "--profile-columns", "1-1"],
    ),
    "shape": (["--profile", text("p.csv", PROFILE)], ["--profile", text("p.csv", PROFILE), "--shape", "bert-base"]),
    "rule": ([], ["--rule", "pabee:patience=1"]),
    "threshold": ([], ["--threshold", 0.01]),
    "max_drop": ([], ["--max-drop", 0.5]),
    "speedup": ([], ["--speedup", 1.5]),
    "selection": ([], ["--selection", text("s.tsv", "sentence\tlabel\na lovely film\tgood\na dull story\tbad\n")]),
    "device": ([], ["--device", "u250"]),
    "design": ([], ["--design", "albert-base-zcu102"]),
    "clock_mhz": ([], ["--clock-mhz", 100]),
    "seq_len": ([], ["--seq-len", 20]),
    "overlap": ([], ["--overlap", "speculate"]),
    "batch": ([], ["--batch", 2]),
    "share_weights": (
        ["--batch", 2, "--design", streaming],
        ["--batch", 2, "--design", streaming, "--share-weights"],
    ),
    "arrivals": ([], ["--arrivals", "poisson:rate=20000"]),
    "rate": ([], ["--rate", 20000]),
    "queue": (["--arrivals", "poisson:rate=1e6"], ["--arrivals", "poisson:rate=1e6", "--queue", 0]),
    "deadline_us": ([], ["--deadline-us", 20]),
    "drop": (
        ["--arrivals", "poisson:rate=1e6", "--deadline-us", 20],
        ["--arrivals", "poisson:rate=1e6", "--deadline-us", 20, "--drop", "late"],
    ),
    "sentences": ([], ["--sentences", 30]),
    "lengths": ([], ["--lengths", "exact"]),
    "saturate": ([], ["--saturate"]),
    "exit_unit": ([], ["--exit-unit", lambda folder: str(folder / "exit_unit.json")]),
    "reference": ([], ["--reference", lambda folder: str(folder / "reference.json")]),
}
SHOWN_ELSEWHERE = {"out", "trace_level", "json", "cache_dir", "listing", "config", "assignments"}


def test_the_table_of_changes_has_every_option_of_run() -> None:
    assert set(CHANGES) | SHOWN_ELSEWHERE == {parameter.name for parameter in COMMAND.commands["run"].params} - {"help"}


@pytest.mark.slow
@pytest.mark.parametrize("option", CHANGES)
def test_every_option_changes_the_result(
    option: str,
    run: Hexit,
    capsys: pytest.CaptureFixture[str],
    simulated: Simulate,
    tiny_folders: dict[str, Path],
    tiny_tsv: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "bert").symlink_to(tiny_folders["bert"])
    (tmp_path / "splits").mkdir()
    lines = tiny_tsv.read_text().splitlines(keepends=True)
    for name, kept in (("dev", lines[:4]), ("test", lines[:1] + lines[4:])):
        (tmp_path / "splits" / f"{name}.tsv").write_text("".join(kept))
    if option == "reference":
        words = ("--model", tiny_folders["albert"], "--data", tiny_tsv, "--out", tmp_path / "reference.json")
        assert hexit(capsys, "reference", *words).code == 0
    if option == "exit_unit":
        save_build(build_of(simulated(), latency_cycles=9), tmp_path / "exit_unit.json")
    reports = [json.loads(run("--json", *made(words, tmp_path)).out) for words in CHANGES[option]]
    for report in reports:
        del report["configuration"]  # that an option is repeated there is not enough
        report["data"].pop("name")
    assert reports[0] != reports[1]


def test_cache_dir_holds_the_cache_and_the_variable_is_its_default(
    run: Hexit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = run("--json", "--cache-dir", tmp_path / "chosen").report
    assert {path.name for path in (tmp_path / "chosen").iterdir()} == {"cards", "traces"}
    monkeypatch.setenv("HEXIT_CACHE", str(tmp_path / "variable"))
    assert run("--json").report == chosen
    assert {path.name for path in (tmp_path / "variable").iterdir()} == {"cards", "traces"}


def test_trace_level_decides_how_fine_the_timeline_is(
    run: Hexit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hexit.sim.plots.run.draw_all", lambda *arguments: None)
    n_events = []
    for level in ("op", "tile"):
        assert (
            run("--out", tmp_path / level, "--trace-level", level, "--rule", "fixed-depth", "--threshold", 2).code == 0
        )
        n_events.append(len(json.loads((tmp_path / level / "timeline.json").read_text())["traceEvents"]))
    assert n_events[0] < n_events[1]


# The same again -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_same_command_gives_the_same_bytes_cold_warm_and_in_another_cache(run: Hexit, tmp_path: Path) -> None:
    outputs = [run("--json", "--bits", 4, "--cache-dir", tmp_path / folder).out for folder in ("a", "a", "b")]
    assert outputs[0] == outputs[1] == outputs[2]
    assert json.loads(outputs[0])["schema"] == "hexit.report"


def test_the_report_names_this_run_s_file_even_if_the_cache_knew_its_text_by_another_name(
    run: Hexit, tiny_tsv: Path, tmp_path: Path
) -> None:
    assert run("--json").report["data"]["name"].endswith("/ten.tsv")
    (tmp_path / "again.tsv").write_bytes(tiny_tsv.read_bytes())
    assert run("--json", "--data", tmp_path / "again.tsv").report["data"]["name"].endswith("/again.tsv")


@pytest.mark.slow
def test_every_file_of_out_is_the_same_twice(run: Hexit, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        done = run("--out", tmp_path / folder)
        assert (done.code, done.err) == (0, "")
        assert f"written to {tmp_path / folder}" in done.out
    files = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert {"report.json", "sentences.csv", "timeline.json", "gantt.png", "roofline.svg"} <= set(files)
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    assert files["report.json"].decode() == run("--json").out


def test_the_seed_decides_what_limit_draws_and_nothing_else(run: Hexit) -> None:
    all_0, all_1 = (run("--json", "--seed", seed).report for seed in (0, 1))
    assert (all_0["configuration"].pop("seed"), all_1["configuration"].pop("seed")) == (0, 1)
    assert all_0 == all_1
    some_0, some_1 = (run("--json", "--limit", 5, "--seed", seed).report for seed in (0, 1))
    assert some_0["data"]["n_samples"] == some_1["data"]["n_samples"] == 5
    assert some_0["hashes"]["data"] != some_1["hashes"]["data"]


@pytest.mark.slow
def test_a_warm_run_does_without_torch(
    run: Hexit, tiny_folders: dict[str, Path], tiny_tsv: Path, warm_cache: Path
) -> None:
    words = ["run", "--model", str(tiny_folders["albert"]), "--data", str(tiny_tsv), "--json"]
    cold = run("--json").out
    script = f"""
import sys
from hexit.sim.cli import main
try:
    main({words!r})
finally:
    assert not {{"torch", "transformers", "brevitas", "matplotlib"}} & set(sys.modules)
"""
    environment = os.environ | {"HEXIT_CACHE": str(warm_cache)}
    warm = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (warm.returncode, warm.stderr, warm.stdout) == (0, "", cold)


# Train, refer, run ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_train_reference_and_run_follow_each_other(
    capsys: pytest.CaptureFixture[str], tiny_tsv: Path, tmp_path: Path
) -> None:
    task, model = tmp_path / "task", tmp_path / "model"
    task.mkdir()
    for split in ("train", "dev"):
        (task / f"{split}.tsv").write_bytes(tiny_tsv.read_bytes())
    trained = hexit(capsys, "train", "--data", task, "--out", model, *SMALL["train"])
    assert trained.code == 0, trained
    assert "epoch 1: loss" in trained.out
    assert "dev score by exit" in trained.out
    inputs: tuple[object, ...] = ("--model", model, "--data", task, "--seq-len", 64, "--cache-dir", tmp_path / "cache")
    referred = hexit(capsys, "reference", *inputs, "--compute", "cpu", "--out", tmp_path / "reference.json")
    assert referred.code == 0, referred
    reference = json.loads((tmp_path / "reference.json").read_text())
    inputs += ("--threshold", 2)  # the ten sentences are all there is: none is left to choose settings on
    report = hexit(capsys, "run", *inputs, "--reference", tmp_path / "reference.json", "--json").report
    assert report["accuracy"]["reference"] == reference
    assert report["accuracy"]["float_by_exit"] == reference["scores"]
    assert len(reference["scores"]) == 2
    for words, what in ((("--seq-len", 12), "max_length"), (("--limit", 3), "data")):
        done = hexit(capsys, "run", *inputs, "--reference", tmp_path / "reference.json", *words)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert re.search(rf"--reference = .*: is of another {what} than this run .*Make it again", done.err)


def test_train_of_a_single_file_with_a_limit_logs_lines_and_has_no_dev_scores(
    capsys: pytest.CaptureFixture[str], tiny_tsv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hexit.sim.commands.train.LOG_EVERY_S", 0.0)  # a line a step instead of a minute
    words = ("--data", tiny_tsv, "--out", tmp_path / "model", *SMALL["train"], "--limit", 6, "--dtype", "fp32")
    done = hexit(capsys, "train", *words, "--calibration", tiny_tsv)
    assert done.code == 0, done
    assert "dev score" not in done.out
    assert re.search(r"^epoch 1/1: 2/2 loss 0\.\d+$", done.out, re.M), done.out
    assert json.loads((tmp_path / "model" / "config.json").read_text())["hexit"]["label_names"] == ["bad", "good"]
