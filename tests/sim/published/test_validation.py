from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.area.estimate import check_fit, estimate
from hexit.hw_model.area.resources import Resources
from hexit.hw_model.design_files import list_published, load_design
from hexit.hw_model.device import load_device
from hexit.hw_model.evidence import Expected
from hexit.hw_model.memory.channel import device_channel
from hexit.quant.arrays import Integers
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.shapes import BERT_BASE
from hexit.quant.workload import encoder_workload
from hexit.sim.core.compile import compile_program
from hexit.sim.core.program import TaskProgram
from hexit.sim.core.recurrence import run_alone
from hexit.sim.core.stage_cycles import design_cycles
from hexit.sim.published.validation import markdown, page_heading, predicted_cycles, validate, validate_design
from support.command_line import hexit
from support.paths import ROOT
from support.strategies import DECISION
from support.streams import table_of

PAGE = ROOT / "docs" / "validation.md"
BOUNDS = {  # what the project promises of published designs, whatever tolerance a file states
    "hls-bert-u280-opt5": 0.01,
    "hls-bert-u280-opt6": 0.01,
    "fq-bert-zcu102-8x16": 0.05,
    "fq-bert-zcu102-16x8": 0.05,
    "fq-bert-zcu111-16x16": 0.05,
    "tmma-kv260": 0.10,
    "tmma-kv260-tile16": 0.10,
    "lu-socc2020-mha": 0.05,
    "lu-socc2020-ffn": 0.15,
    "protea-u55c": 0.15,
}
EXACT = {"scale-sim-os", "scale-sim-ws", "scale-sim-is", "scale-sim-os-rtl", "buck008-ws-rtl"}


@pytest.mark.parametrize("name", list_published())
def test_every_published_figure_is_met(name: str) -> None:
    found = validate_design(load_design(name))
    assert found.rows
    assert all(row.holds for row in found.rows)
    bound = 0.0 if name in EXACT else BOUNDS.get(name, 0.01)
    assert max(abs(row.error_fraction) for row in found.rows) <= bound


@pytest.mark.parametrize("name", list_published())
def test_every_figure_of_a_region_a_layer_or_a_network_is_read_off_the_program(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the one recurrence runs twice as long, so does every such figure: no second simulator computes any."""
    design = load_design(name)
    known = design_cycles(design)

    def twice(program: TaskProgram) -> tuple[Integers, Integers]:
        start, time = run_alone(program)
        return 2 * start, 2 * time

    monkeypatch.setattr("hexit.sim.core.stage_cycles.run_alone", twice)
    flat = all(stage.heads is None for stage in design.stages)  # else the heads' own program is doubled twice
    slower = design_cycles(design)
    assert slower.layer_cycles == 2 * known.layer_cycles if flat else slower.layer_cycles >= 2 * known.layer_cycles
    assert [region.cycles for region in slower.regions] >= [2 * region.cycles for region in known.regions]


def test_the_stages_of_the_hls_bert_layer_are_exact() -> None:
    rows = validate_design(load_design("hls-bert-u280-opt5")).rows
    stages = [row for row in rows if row.of.split()[0] in {"product", "op", "stage"}]
    assert len(stages) == 15
    assert all(row.error_fraction == 0 for row in stages)


def test_only_one_point_of_a_family_is_fitted() -> None:
    rows = [(name, row) for name in list_published() for row in load_design(name).expected if row.power_mw is None]
    fitted = {name for name, row in rows if row.role == "fit"}
    assert fitted == {"hls-bert-u280-opt5", "fq-bert-zcu102-8x16", "tmma-kv260", "protea-u55c"}


def test_the_page_is_the_output_of_the_command() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(validate(), page_heading(PAGE))


def test_a_figure_out_of_tolerance_is_a_miss() -> None:
    known = load_design("scale-sim-os")
    wrong = Expected(of="op qkvo", cycles=79_680)
    assert not validate_design(_with(known, wrong)).rows[0].holds
    assert validate_design(_with(known, Expected(of="op qkvo", cycles=79_680, tolerance_fraction=0.001))).rows[0].holds


@pytest.mark.parametrize("of", ["op nothing", "stage nothing", "region nothing", "layers", "product"])
def test_a_row_of_nothing_names_itself(of: str) -> None:
    with pytest.raises(ConfigError, match=r"expected\.of = "):
        validate_design(_with(load_design("tmma-kv260"), Expected(of=of, cycles=1)))


def test_a_row_with_memory_needs_one() -> None:
    with pytest.raises(ConfigError, match=r"expected\.memory = True: needs a device, and loops with off_chip_bytes"):
        validate_design(_with(load_design("scale-sim-os"), Expected(of="op qkvo", cycles=1, memory=True)))


def test_the_command_prints_tables_stages_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = hexit(capsys, "validate", "tmma-kv260", "hls-bert-u280-opt6", "--stages")
    assert shown.code == 0
    assert "1,952,070" in shown.out
    assert "with memory 9,781,824 cycles = 97.819 ms" in shown.out
    mine = tmp_path / "mine.toml"
    mine.write_text('based_on = "tmma-kv260"\nname = "mine"\n[constants]\ntile = 16\n')
    found = hexit(capsys, "validate", mine, "--json").report
    assert found["schema"] == "hexit.validation"
    assert found["designs"][0]["cycles"]["network_cycles"] > 7_524_063


def test_a_miss_is_an_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('based_on = "tmma-kv260"\n[[expected]]\nof = "network"\ncycles = 1\n')
    missed = hexit(capsys, "validate", mine)
    assert missed.code == 1
    assert "1 out of tolerance" in missed.out


def _with(design: Accelerator, expected: Expected) -> Accelerator:
    return replace(design, expected=(expected,))


def test_names_of_figures_are_checked() -> None:
    cycles = design_cycles(load_design("tmma-kv260"))
    with pytest.raises(ConfigError, match="is of an op without an array"):
        predicted_cycles("product product", cycles)


@pytest.mark.parametrize(
    ("name", "board_ms"),
    [("fq-bert-zcu102-8x16", 43.89), ("fq-bert-zcu102-16x8", 45.35), ("fq-bert-zcu111-16x16", 23.79)],
)
def test_one_file_has_the_latency_of_the_board_and_runs_exits(name: str, board_ms: float) -> None:
    """FQ-BERT as `hexit run` runs it, the exit unit behind its last layer included; it fits its part."""
    design = load_design(name)
    device = load_device(design.device)
    workload = encoder_workload(BERT_BASE, QuantConfig(weight_bits=4, activation_bits=8), 128)
    program = compile_program(workload, design, device_channel(design, device), DECISION)
    latency_ms = table_of(program, (12,)).latency_cycles[-1] / design.clock_mhz / 1000
    assert latency_ms == pytest.approx(board_ms, rel=0.05)
    check_fit(estimate(workload, design, device, Resources()), device)


def test_a_page_is_written_below_its_heading(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Mine\n\n| design |\nold rows")
    assert hexit(capsys, "validate", "tmma-kv260", "--page", page).code == 0
    assert page.read_text() == markdown(validate(("tmma-kv260",)), "# Mine\n")
    missing = hexit(capsys, "validate", "--page", tmp_path / "none.md")
    assert (missing.code, missing.out) == (2, "")
    assert "cannot be read. Start the page with a heading." in missing.err


def test_the_power_of_a_board_is_predicted_from_its_design_file() -> None:
    """Static power of two parts is fitted to FQ-BERT; TMMA's board is a check, and draws more than the model says."""
    powers = {one.design.name: row for one in validate().designs for row in one.rows if row.unit == "mW"}
    assert {name: row.role for name, row in powers.items()} == {
        "fq-bert-zcu102-8x16": "fit", "fq-bert-zcu111-16x16": "fit", "tmma-kv260": "check",
    }  # fmt: skip
    assert all(abs(row.error_fraction) < 0.002 for row in powers.values() if row.role == "fit")
    assert -0.031 < powers["tmma-kv260"].error_fraction < 0
    with pytest.raises(ConfigError, match=r"expected\.power_mw = \(no device\): needs a part"):
        validate_design(_with(load_design("lu-socc2020-mha"), Expected(of="network", power_mw=1.0)))
    with pytest.raises(ConfigError, match=r"expected\.of = layer: has no power of its own"):
        Expected(of="layer", power_mw=1.0)
