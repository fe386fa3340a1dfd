"""Area of the exit unit: measured rows as they are, the formula against rows that it has not seen."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hexit.hw_model.exit_unit.area
from hexit.hw_model.exit_unit.area import (
    exit_unit_resources,
    fitted_lut_per_bit,
    fitted_units,
    memory_blocks,
    modelled_resources,
    multipliers,
)
from hexit.hw_model.exit_unit.measured import (
    MEASURED_UNITS,
    MeasuredUnit,
    UnitRecipe,
    find_measured,
    measured_units,
    save_measured_units,
    unit_digest,
)
from hexit.hw_model.exit_unit.timing import unit_timing
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import RULES, Bias, OracleExit, parse_rule
from hexit.quant.exits.unit import exit_unit_spec
from support.examples import examples
from support.paths import ROOT

ROWS = measured_units()
MODEL_TEXT = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")


def row_of(rule: str, n_classes: int, logit_bits: int = 16) -> MeasuredUnit:
    """The measured unit of a rule with its default parameters, 12 layers and one sentence at a time."""
    wanted = UnitRecipe(
        rule=rule,
        n_classes=n_classes,
        logit_bits=logit_bits,
        scale=2.0 ** (4 - logit_bits),
        n_layers=12,
        n_slots=1,
        confidence=False,
        address_bits=12,
        fraction_bits=16,
    )
    return next(row for row in ROWS if replace(row.recipe, rule=row.recipe.rule.split(":")[0]) == wanted)


# --- the measured units


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.unit)
def test_a_measured_unit_is_found_by_its_integers_and_taken_as_it_is(row: MeasuredUnit) -> None:
    spec, timing = row.recipe.spec, unit_timing(row.recipe.spec)
    assert row.unit == unit_digest(spec)
    assert exit_unit_resources(spec) == (row.resources, f"measured: {row.tool}")
    assert exit_unit_resources(replace(spec, rule="another name"))[0] == row.resources
    assert (row.latency_cycles, row.initiation_interval_cycles) == (timing.latency_cycles, 1)


def test_every_rule_is_measured_for_all_its_classes() -> None:
    measured = {(row.recipe.rule.split(":")[0], row.recipe.n_classes) for row in ROWS if row.recipe.logit_bits == 16}
    for name, kind in RULES.items():
        classes = {"hardware": {2}, "pabee-regression": {1}, "fixed-depth": {1, 2, 3, 10}}.get(name, {2, 3, 10})
        assert kind is OracleExit or {(name, n_classes) for n_classes in classes} <= measured
    biases = {
        (row.recipe.rule.split("bias=")[1][:6], row.recipe.n_classes) for row in ROWS if "bias=" in row.recipe.rule
    }
    assert {(bias, n_classes) for bias in get_args(Bias) for n_classes in (2, 3, 10)} <= biases
    assert len({row.unit for row in ROWS}) == len({row.recipe for row in ROWS}) == len(ROWS)
    assert len({row.tool for row in ROWS}) == 1


def test_both_families_take_the_same_multipliers_and_memories() -> None:
    both = [row for row in ROWS if row.xc7 is not None]
    assert len(both) >= 8
    for row in both:
        assert row.xc7 is not None
        assert (row.xc7.dsp, row.xc7.bram18, row.xc7.uram) == (row.xcup.dsp, row.xcup.bram18, 0)


@pytest.mark.parametrize(
    ("rule", "n_classes", "most_cycles", "most_lut"), [("hardware", 2, 3, 80), ("max-probability", 10, 12, 900)]
)
def test_limits_of_the_decision(rule: str, n_classes: int, most_cycles: int, most_lut: int) -> None:
    row = row_of(rule, n_classes)
    assert row.latency_cycles <= most_cycles
    assert row.initiation_interval_cycles == 1
    assert row.resources.lut <= most_lut
    assert row.resources.dsp == 0


# --- the formula


def held_out_errors(kind: str) -> list[float]:
    pairs = [(getattr(modelled_resources(row.recipe.spec), kind), getattr(row.resources, kind)) for row in CHECKED]
    return sorted(abs(found / truth - 1) for found, truth in pairs)


FITTED = {row.unit for row in fitted_units()}
CHECKED = [row for row in ROWS[1::2] if row.unit not in FITTED]


def test_the_formula_is_checked_on_units_that_it_has_not_seen() -> None:
    assert len(CHECKED) >= len(ROWS) // 2 - 1
    assert len(fitted_lut_per_bit()) < len(fitted_units()) / 3


@pytest.mark.parametrize("kind", ["lut", "ff"])
@pytest.mark.parametrize("text", [hexit.hw_model.exit_unit.area.__doc__ or "", MODEL_TEXT], ids=["module", "docs"])
def test_held_out_errors_are_those_that_are_stated(kind: str, text: str) -> None:
    stated = re.search(rf"{kind.upper()} mean ([\d.]+) %, largest ([\d.]+) %", text)
    assert stated is not None
    errors = held_out_errors(kind)
    assert 100 * sum(errors) / len(errors) == pytest.approx(float(stated[1]), abs=0.051)
    assert 100 * errors[-1] == pytest.approx(float(stated[2]), abs=0.051)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.unit)
def test_block_ram_and_multipliers_are_counted_exactly(row: MeasuredUnit) -> None:
    spec = row.recipe.spec
    assert (memory_blocks(spec), multipliers(spec)) == (row.resources.bram18, row.resources.dsp)


def test_prices_of_operators_are_those_of_their_circuits() -> None:
    lut_per_bit = fitted_lut_per_bit()
    assert min(lut_per_bit.values()) >= 0
    assert 0.7 < lut_per_bit["added"] < 1.1  # one LUT and a carry per bit
    assert 0.4 < lut_per_bit["compared"] < 1.1  # one or two bits per LUT
    assert 0.8 < lut_per_bit["selected"] < 1.2  # a multiplexer of two
    assert lut_per_bit["against constants"] < 0.5  # up to five bits to a LUT, and the tests have two sides
    assert lut_per_bit["tabled"] == pytest.approx(1 / 64, rel=0.2)  # a LUT of six inputs holds 64 bits


rules = st.sampled_from([name for name, kind in RULES.items() if kind is not OracleExit])


@pytest.mark.slow
@examples(60)
@given(rules, st.integers(3, 40), st.integers(16, 23), st.integers(1, 8))
def test_more_classes_bits_and_sentences_never_take_less(name: str, n_classes: int, bits: int, n_slots: int) -> None:
    n_classes = {"hardware": 2, "pabee-regression": 1}.get(name, n_classes)

    def unit(more_classes: int = 0, more_bits: int = 0, more_slots: int = 0) -> tuple[int, int]:
        spec = exit_unit_spec(
            parse_rule(name),
            n_layers=12,
            n_classes=n_classes + more_classes,
            scale=2.0**-10,  # the same for all, so that tables stay as they are
            logit_bits=bits + more_bits,
            n_slots=n_slots + more_slots,
        )
        area = modelled_resources(spec)
        return area.lut + area.ff, unit_timing(spec).state_cycles

    area, state_cycles = unit()
    assert area <= unit(more_bits=1)[0]
    assert name in ("hardware", "pabee-regression") or area <= unit(more_classes=1)[0]
    larger, its_state_cycles = unit(more_slots=1)
    assert area <= larger or state_cycles != its_state_cycles  # registers, or a memory


@pytest.mark.parametrize(
    ("name", "n_classes"), [("hardware", 2), ("entropy", 2), ("pabee", 2), ("pabee-regression", 1)]
)
def test_two_classes_and_one_real_output_need_neither_multiplier_nor_table(name: str, n_classes: int) -> None:
    spec = exit_unit_spec(parse_rule(name), n_layers=11, n_classes=n_classes, scale=0.003, logit_bits=16)
    area, source = exit_unit_resources(spec)
    assert source.startswith("fitted: ")
    assert find_measured(spec) is None
    assert (area.dsp, area.bram18) == (0, 0)
    assert area.lut < 80


# --- the file


def test_rows_are_written_one_per_line_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "units.json"
    save_measured_units(ROWS, path)
    assert path.read_bytes() == MEASURED_UNITS.read_bytes()
    assert len(path.read_text(encoding="utf-8").splitlines()) == len(ROWS) + 2


@pytest.mark.parametrize(("content", "said"), [("[{", "cannot be read"), ("{}", "must be a list"), ("[{}]", "missing")])
def test_a_damaged_file_is_told_in_one_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "units.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        measured_units(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        measured_units(tmp_path / "none.json")


def test_the_file_is_plain_json_without_surprises() -> None:
    rows = json.loads(MEASURED_UNITS.read_text(encoding="utf-8"))
    assert all(math.isfinite(row["recipe"]["scale"]) for row in rows)
