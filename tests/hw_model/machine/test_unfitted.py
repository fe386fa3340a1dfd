"""Designs with what was fitted to them taken out."""

from __future__ import annotations

from pathlib import Path

import pytest

from hexit.hw_model.design_files import list_published, load_design, load_unfitted
from hexit.quant.errors import ConfigError


def test_every_fitted_design_says_what_it_would_be_without() -> None:
    fitted = {
        load_design(name).paper for name in list_published() if any(e.role == "fit" for e in load_design(name).expected)
    }
    for name in list_published():
        assert (load_unfitted(name) is not None) == (load_design(name).paper in fitted), name


def test_the_named_keys_change_and_nothing_else() -> None:
    known, plain = load_design("fq-bert-zcu102-8x16"), load_unfitted("fq-bert-zcu102-8x16")
    assert plain is not None
    assert [stage.loops for stage in known.stages] == [("load_input",), ("load_operands",), ("load_input",)]
    assert [stage.loops for stage in plain.stages] == [(), (), ()]
    assert (plain.arrays, plain.softmax_lanes, plain.expected) == (known.arrays, known.softmax_lanes, known.expected)


@pytest.mark.parametrize("path", ["regions.9.name", "loops.nothing.trips", "constants.tile.more", "regions.first.name"])
def test_a_path_that_is_not_there_is_one_line(path: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(f'based_on = "tmma-kv260"\n[without_fit]\n"{path}" = 1\n')
    assert load_design(mine).name == "tmma-kv260"
    with pytest.raises(ConfigError, match=rf"design\.without_fit = {path}: is no key of this file"):
        load_unfitted(mine)


def test_a_file_has_the_table_of_the_one_below_unless_it_has_its_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('based_on = "tmma-kv260"\n')
    below = load_unfitted(mine)
    mine.write_text('based_on = "tmma-kv260"\n[without_fit]\n"constants.tile" = 8\n')
    own = load_unfitted(mine)
    assert below is not None
    assert own is not None
    assert (below.memory_outstanding, below.constants["tile"]) == (16, 32)
    assert (own.memory_outstanding, own.constants["tile"]) == (1, 8)
