from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from hexit.hw_model.design_files import list_designs, list_published
from hexit.hw_model.design_keys import design_keys
from hexit.hw_model.device import list_devices, load_device
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import RULES, parameters
from hexit.quant.options import options_of
from hexit.quant.shapes import SHAPES
from hexit.sim.commands.listing import print_list
from hexit.sim.commands.run import LISTS
from hexit.sim.job.record import Job


def shown(what: str, width: int = 400) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_list(what, console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_every_rule_shows_its_equation_its_parameters_and_its_source() -> None:
    text = shown("rules")
    for name, kind in RULES.items():
        assert all(part in text for part in (name, kind.equation, kind.source))
        for parameter in parameters(kind):
            assert f"{'*' if parameter.name == kind.principal else ' '}{parameter.name}={parameter.default}: " in text


def test_every_device_shows_its_resources_and_its_source() -> None:
    text = shown("devices")
    for name in list_devices():
        part = load_device(name)
        assert all(figure in text for figure in (name, part.part, f"{part.lut:,}", f"{part.dsp:,}", part.source))


def test_every_design_and_every_shape_is_listed() -> None:
    designs, shapes = shown("designs"), shown("shapes")
    assert all(name in designs for name in list_designs())
    assert "32x32" in designs
    assert all(name in designs for name in list_published())
    assert "stall, 4 engines" in designs
    assert all(name in shapes for name in SHAPES)
    assert "11.68" in shapes or "11.69" in shapes  # M parameters of ALBERT-base


def test_the_lists_that_help_promises_exist_and_no_other() -> None:
    assert all(shown(name) for name in LISTS)
    with pytest.raises(ConfigError, match=r"--list = parts: must be one of rules, devices, designs, design-keys"):
        shown("parts")


@pytest.mark.parametrize("what", LISTS)
def test_names_and_numbers_are_whole_on_80_columns(what: str) -> None:
    lines = shown(what, 80).splitlines()
    names = {
        "rules": RULES,
        "devices": list_devices(),
        "designs": (*list_designs(), *list_published()),
        "design-keys": {key.name for key in design_keys()},
        "shapes": SHAPES,
        "options": [one.key for one in options_of(Job)],
    }[what]
    for name in names:
        assert any(line.strip().startswith(f"{name} ") for line in lines), name
    assert max(map(len, lines)) <= 80
    if what == "devices":
        assert any(re.search(r"zcu102 +274,080 +548,160 +2,520 +1,824 +0 +17.072 +ddr4", line) for line in lines)


def test_meanings_of_design_keys_are_sentences_on_80_columns_not_columns_of_words() -> None:
    lines = shown("design-keys", 80).splitlines()
    assert len(lines) < 2.5 * len(design_keys())
    assert any("pack_rows" in line and "tokens of a pack" in line for line in lines)
    assert "(MHz); required" in shown("design-keys")


def test_stages_are_counted_as_a_run_counts_them() -> None:
    line = next(line for line in shown("designs").splitlines() if "hls-bert-u280-opt5" in line)
    assert line.split()[3] == "20"  # those inside another one are part of it
