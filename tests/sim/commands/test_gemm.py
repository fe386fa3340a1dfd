"""`hexit gemm`: one product, every part of its cycles, and how far that is checked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from hexit.hw_model.array import PRESETS
from hexit.sim.analysis.gemm import GemmAnswer, GemmOptions, answer, form_text, source
from support.command_line import Finished, hexit

Gemm = Callable[..., Finished]


@pytest.fixture
def gemm(capsys: pytest.CaptureFixture[str]) -> Gemm:
    return lambda *words: hexit(capsys, "gemm", *words)


def told(gemm: Gemm, words: str) -> dict[str, Any]:
    return gemm(*words.split(), "--json").report


def evaluated(formula: str) -> int:
    """The value of the sum with products in a formula, its words left out."""
    right = formula.split(" = ")[1]
    digits = re.sub(r"[a-zA-Z,]|(?<=counted) from 0", "", re.sub(r"counted from 0", "", right).replace(" x ", " * "))
    assert re.fullmatch(r"[\d\s()*+-]+", digits)
    outside = re.match(r"\s*(\d+)\s*\*\s*\(([^)]*)\)(.*)", digits)
    assert outside is not None
    once = re.findall(r"([+-])\s*(\d+)", outside[3])
    return int(outside[1]) * sum(map(int, outside[2].split("+"))) + sum(int(sign + number) for sign, number in once)


@pytest.mark.parametrize(
    ("words", "cycles"),
    [
        ("128 768 768 --preset scalesim_os", 79_679),
        ("128 768 768 --preset scalesim_ws", 127_871),  # the preset implies the data flow
        ("128 768 3072 --preset scalesim_is", 303_935),
        ("128 768 768 --preset ispass", 82_752),
        ("16 768 3072 --array 16x32 --columns-per-dsp 2 --preset hls_dataflow", 37_204),
        ("16 64 512 --array 16x16 --preset hls_dataflow --control 0,0,7", 2_308),
        ("64 64 64 --array 16x16 --preset rtl_simple --dataflow ws", 2_634),
        ("4 8 4 --array 4x4 --preset rtl_simple", 19),
        ("8 1 2 --array 8x1", 2 + 7 + 8 + 7),  # the second fold's results wait for those of the first
    ],
)
def test_it_answers_with_the_cycles_of_the_table(gemm: Gemm, words: str, cycles: int) -> None:
    report = told(gemm, words)
    assert report["total_cycles"] == cycles
    assert sum(report["parts"].values()) == cycles
    assert evaluated(report["cycles_formula"]) == cycles


def test_time_and_utilisation_are_those_of_the_cycles_that_pass(gemm: Gemm) -> None:
    report = told(gemm, "128 768 768 --preset scalesim_os --clock-mhz 100")
    assert (report["schema"], report["schema_version"]) == ("hexit.gemm", 1)
    assert (report["elapsed_cycles"], report["ideal_cycles"]) == (79_680, 73_728)
    assert report["time_us"] == 796.8
    assert report["utilisation_fraction"] == 73_728 / 79_680


EVERY_OPTION = {
    "--count": "3",
    "--array": "4x8",
    "--dataflow": "is",
    "--arrays": "2",
    "--columns-per-dsp": "2",
    "--preset": "ispass",
    "--load": "0,2,0",
    "--fill": "1,1,0",
    "--drain": "2,0,0",
    "--control": "0,0,3",
    "--separate-folds": "",
    "--weight-load-overlap": "",
    "--depth": "5",
    "--clock-mhz": "250",
}


@pytest.mark.parametrize("option", EVERY_OPTION)
def test_every_option_changes_the_answer(gemm: Gemm, option: str) -> None:
    plain = told(gemm, "20 30 40 --array 8x8 --dataflow ws")
    changed = told(gemm, f"20 30 40 --array 8x8 --dataflow ws {option} {EVERY_OPTION[option]}")
    assert {key: changed[key] for key in ("total_cycles", "time_us")} != {
        key: plain[key] for key in ("total_cycles", "time_us")
    }


def test_positions_with_several_multipliers_stream_fewer_values(gemm: Gemm) -> None:
    report = told(gemm, "8 30 8 --array 8x8 --products-per-position 4")
    assert (report["streamed_cycles_per_fold"], report["array"]["products_per_position"]) == (8, 4)


def test_the_screen_says_parts_formula_and_evidence(gemm: Gemm) -> None:
    done = gemm("128", "768", "768", "--array", "32x16", "--preset", "scalesim_ws")
    assert (done.code, done.err) == (0, "")
    for line in (
        "128 x 768 x 768 on an array of 32 x 16, weight stationary, preset scalesim_ws",
        "utilisation 62.1% of 512 MAC/cycle; 1,186.560 us at 200 MHz",
        "folds = ceil(k / rows) x ceil(n / columns) = ceil(768 / 32) x ceil(768 / 16) = 1,152; T = m = 128",
        "cycles = 1,152 folds x (128 T + 32 load + 46 fill) - 1 counted from 0 = 237,311",
        f"checked against: {source('scalesim_ws', 'weight_stationary')}",
    ):
        assert line in done.out.splitlines()
    assert re.search(r"load of the stationary operand +36,864 +15\.5%", done.out)


@pytest.mark.parametrize(
    ("words", "timing", "evidence"),
    [
        ({}, "folds as in our own RTL", "benchmarks/array_rtl.py"),
        ({"dataflow": "is", "control": "0,0,2", "overlap_folds": False}, "folds as in our own RTL", "Verilator"),
        ({"count": 2}, "folds as in our own RTL", "a naive stepper"),
        ({"arrays": 2}, "folds as in our own RTL", "a naive stepper"),
        ({"columns_per_dsp": 2}, "folds as in our own RTL", "a naive stepper"),
        ({"depth": 1}, "folds as told", "a naive stepper"),
        ({"preset": "hls_dataflow"}, "preset hls_dataflow", "seven loops"),
        ({"preset": "hls_dataflow", "depth": 1}, "preset hls_dataflow, changed", "a naive stepper"),
        ({"preset": "ispass", "arrays": 2}, "preset ispass", "several arrays or products: a naive stepper"),
    ],
)
def test_evidence_is_claimed_only_for_what_was_run(words: dict[str, Any], timing: str, evidence: str) -> None:
    found: GemmAnswer = answer(GemmOptions(m=9, k=9, n=9, **words))
    assert found.timing == timing
    assert evidence in found.checked_against


def test_the_list_has_every_preset_and_its_forms(gemm: Gemm) -> None:
    listed = gemm("--list", "presets").out
    assert all(preset in listed for preset in PRESETS)
    assert "R + C - 2" in listed
    assert all(source(preset, dataflow) for preset, timings in PRESETS.items() for dataflow in timings)
    assert {form_text(fold.drain) for timings in PRESETS.values() for fold in timings.values()} == {"0", "R"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "M K N = (missing): is required. Try hexit gemm 128 768 768."),
        ("3 3", "N = (missing): is required. Try hexit gemm 128 768 768."),
        ("3 3 0", "product.n = 0: must be at least 1. Correct the size."),
        ("3 3 3 --array 3", "--array = 3: must be ROWSxCOLUMNS. Try --array 32x16."),
        ("3 3 3 --array 0x4", "array.rows = 0: must be at least 1. Try rows = 1."),
        ("3 3 3 --dataflow rs", "--dataflow = rs: must be os, ws or is. Try --dataflow os."),
        (
            "3 3 3 --preset hls_dataflow --dataflow ws",
            "--preset = hls_dataflow: is a count for output_stationary, not weight_stationary. "
            "Try dataflow output_stationary.",
        ),
        (
            "3 3 3 --fill 1,1",
            "--fill = 1,1: must be three whole numbers A,B,C: A rows + B columns + C cycles. Try --fill 1,1,-2.",
        ),
        (
            "3 3 3 --weight-load-overlap",
            "--weight-load-overlap = on: has nothing to hide: output_stationary loads nothing. "
            "Try --dataflow ws, or --load 1,0,0.",
        ),
        ("3 3 3 --depth -1", "fold.depth_cycles = -1: must not be negative. Try depth_cycles = 0."),
        ("3 3 3 --clock-mhz 0", "--clock-mhz = 0.0: must be 1..2000. Try --clock-mhz 200."),
        ("--list devices", "--list = devices: must be presets. Try --list presets."),
    ],
)
def test_a_wrong_word_is_told_in_one_line(gemm: Gemm, words: str, said: str) -> None:
    done = gemm(*words.split())
    assert (done.code, done.out, done.err) == (2, "", f"ConfigError: {said}\n")


def test_an_answer_loads_no_network_and_draws_nothing() -> None:
    code = (
        "import sys\nfrom hexit.sim.cli import main\n"
        "try:\n    main(['gemm', '8', '8', '8', '--json'])\n"
        "finally:\n    print(sorted({'torch', 'matplotlib', 'hls4ml'} & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout)["total_cycles"] == 8 + 62 + 32
    assert ran.stderr.strip() == "[]"
