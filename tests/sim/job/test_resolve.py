from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.design_files import load_design
from hexit.hw_model.device import DEVICE_FOLDER
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import format_rule
from hexit.quant.records import to_json
from hexit.quant.traces.reference import REFERENCE_VERSION, Reference
from hexit.quant.traces.store import silent
from hexit.sim.job.record import make_job
from hexit.sim.job.resolve import default_length, quantisation, simulate
from hexit.sim.job.setup import TextSource
from support.command_line import Simulate


def design_file(folder: Path, **changes: Any) -> str:
    """The default design with changes, as a file."""
    table = to_json(dataclasses.replace(load_design("default"), **changes))
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if value is not None]
    (folder / "mine.toml").write_text("\n".join(lines) + "\n")
    return str(folder / "mine.toml")


def designed(profile: str, **options: Any) -> Accelerator:
    return simulate(make_job(profile=profile, **options), silent)[0].setup.design


@pytest.mark.parametrize(
    ("own", "options", "expected"),
    [
        ({}, {}, ("stall", 1)),
        ({}, {"overlap": "stall"}, ("stall", 1)),
        ({}, {"overlap": "speculate"}, ("speculate", 1)),
        ({}, {"overlap": "interleave"}, ("interleave", 2)),
        ({}, {"overlap": "interleave", "batch": 3}, ("interleave", 3)),
        ({}, {"batch": 2}, ("interleave", 2)),
        ({}, {"batch": 1}, ("stall", 1)),
        ({"exit_overlap": "speculate"}, {}, ("speculate", 1)),
        ({"exit_overlap": "speculate"}, {"batch": 1}, ("speculate", 1)),
        ({"exit_overlap": "speculate"}, {"batch": 1, "overlap": "stall"}, ("stall", 1)),
        ({"exit_overlap": "speculate"}, {"batch": 2}, ("interleave", 2)),
        ({"exit_overlap": "interleave", "n_interleaved": 3}, {}, ("interleave", 3)),
        ({"exit_overlap": "interleave", "n_interleaved": 3}, {"overlap": "interleave"}, ("interleave", 3)),
        ({"exit_overlap": "interleave", "n_interleaved": 3}, {"batch": 2}, ("interleave", 2)),
        ({"exit_overlap": "interleave", "n_interleaved": 3}, {"batch": 1}, ("stall", 1)),
        ({"exit_overlap": "interleave", "n_interleaved": 3}, {"overlap": "speculate"}, ("speculate", 1)),
    ],
)
def test_overlap_and_batch_change_the_design_as_far_as_they_say(
    own: dict[str, Any], options: dict[str, Any], expected: tuple[str, int], profile: str, tmp_path: Path
) -> None:
    mine = design_file(tmp_path, activation_buffer_kib=1600, **own)  # room for three sentences
    design = designed(profile, design=mine, device="u250", **options)
    assert (design.exit_overlap, design.n_interleaved) == expected


def test_sharing_weights_needs_residents_and_leaves_with_them(profile: str, tmp_path: Path) -> None:
    own = {"exit_overlap": "interleave", "n_interleaved": 2, "share_weights": True}
    mine = design_file(tmp_path, activation_buffer_kib=1600, **own)
    for options, shares in (
        ({"batch": 2, "share_weights": True}, True),
        ({"design": mine}, True),
        ({"design": mine, "batch": 1}, False),
        ({"design": mine, "overlap": "stall"}, False),
        ({"batch": 2}, False),
    ):
        assert designed(profile, **({"design": "albert-base-u280"} | options)).share_weights is shares
    with pytest.raises(ConfigError, match=r"^--share-weights = True: is for several resident sentences"):
        designed(profile, share_weights=True)
    for design, has in (("hls-bert-u280-opt5", "stages"), ("albert-base-u280-spatial", "several")):
        with pytest.raises(ConfigError, match=rf"^--share-weights = True: is for one engine, {design} has {has}\."):
            designed(profile, design=design, share_weights=True)
    asks = 'exit_overlap = "interleave"\nn_interleaved = 2\nshare_weights = true\n'
    (tmp_path / "stages.toml").write_text(f'name = "s"\nbased_on = "protea-u55c"\n{asks}')
    with pytest.raises(ConfigError, match=r"^design\.share_weights = True: is for engines without regions"):
        designed(profile, design=str(tmp_path / "stages.toml"))


@pytest.mark.parametrize("more", [{}, {"device": "pynq-z2"}, {"device": "u280"}])
def test_a_design_of_products_is_refused_for_that_whatever_else_is_wrong(more: dict[str, str], profile: str) -> None:
    with pytest.raises(ConfigError, match=r"^design\.products = .*: run alone, in no network\. Try hexit validate"):
        designed(profile, design="scale-sim-os", **more)


def test_weights_of_stages_stay_where_the_weight_buffer_or_the_part_holds_them(profile: str, tmp_path: Path) -> None:
    """albert-base has one layer of 7 MB; the part is one of the user's own, known by its file alone."""

    def on_chip(bram18: int, **keys: int) -> bool:
        text = (DEVICE_FOLDER / "u55c.toml").read_text()
        changes = {"name": '"mine"', "uram": "0", "bram18": str(bram18)}
        for key, value in changes.items():
            text = re.sub(rf"(?m)^{key} = .*", f"{key} = {value}", text)
        (tmp_path / "part.toml").write_text(text)
        lines = ['name = "d"', 'based_on = "protea-u55c"', *(f"{key} = {value}" for key, value in keys.items())]
        (tmp_path / "design.toml").write_text("\n".join(lines))
        files = {"design": str(tmp_path / "design.toml"), "device": str(tmp_path / "part.toml")}
        outcome, _ = simulate(make_job(profile=profile, **files), silent)
        return not outcome.design.program.placement.layer_streamed

    assert on_chip(4000)
    assert not on_chip(2000)
    assert not on_chip(4000, weight_buffer_kib=1000)


def test_clock_and_device_replace_the_design_s_own(profile: str) -> None:
    outcome, _ = simulate(make_job(profile=profile, clock_mhz=150, device="U250"), silent)
    assert (outcome.setup.design.clock_mhz, outcome.setup.design.device) == (150, "u250")
    assert outcome.setup.device.name == "u250"


def test_a_part_of_one_s_own_is_used_under_its_own_name(profile: str, tmp_path: Path) -> None:
    text = (DEVICE_FOLDER / "zcu102.toml").read_text()
    (tmp_path / "board.toml").write_text(text.replace('name = "zcu102"', 'name = "ours"').replace("17.072", "34.144"))
    outcome, _ = simulate(make_job(profile=profile, device=str(tmp_path / "board.toml")), silent)
    assert (outcome.setup.device.name, outcome.setup.design.device) == ("ours", "ours")
    assert outcome.setup.device.memory_bandwidth_gb_s == 34.144


def test_one_dial_sets_both_widths_and_the_finer_ones_win() -> None:
    assert quantisation(make_job(bits=4).quantisation) == QuantConfig(weight_bits=4, activation_bits=4)
    finer = make_job(bits=8, weight_bits=3, activation_bits=16, logit_bits=12, po2=True)
    widths = QuantConfig(weight_bits=3, activation_bits=16, logit_bits=12, power_of_two=True)
    assert quantisation(finer.quantisation) == widths


def test_the_length_is_the_chosen_one_else_64_as_far_as_positions_go(simulated: Simulate) -> None:
    outcome = simulated()
    assert outcome.setup.sequence_length == 24
    assert isinstance(outcome.source, TextSource)
    card = outcome.source.card
    longer = dataclasses.replace(card, shape=dataclasses.replace(card.shape, n_positions=512))
    assert (default_length(None, longer), default_length(7, longer), default_length(0, longer)) == (64, 7, 0)


def test_every_kind_of_task_has_a_default_rule(simulated: Simulate, regression: dict[str, str], profile: str) -> None:
    real = simulated(model=regression["model"], data=regression["data"])
    replayed, _ = simulate(make_job(profile=profile, threshold=0.3), silent)
    assert format_rule(simulated(threshold=1.5).setup.rule).startswith("hardware:threshold=1.5,")
    assert real.setup.rule.name == "pabee-regression"
    assert format_rule(replayed.setup.rule) == "entropy:threshold=0.3"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"checkpoint_hash": "0" * 64}, "is of another checkpoint than this run"),
        ({"data_hash": "0" * 64}, "is of another data than this run"),
        ({"max_length": 12}, r"--reference = 12: is of another max_length than this run \(24\)"),
    ],
)
def test_a_reference_of_something_else_is_refused_before_anything_slow(
    change: dict[str, Any],
    message: str | None,
    simulated: Simulate,
    tiny_folders: dict[str, Path],
    tiny_tsv: Path,
    tmp_path: Path,
) -> None:
    source = simulated().source
    assert isinstance(source, TextSource)
    known: dict[str, Any] = {
        "version": REFERENCE_VERSION,
        "model": "albert",
        "checkpoint_hash": source.card.content_hash,
        "data": "ten.tsv",
        "data_hash": source.texts.content_hash,
        "n_samples": 10,
        "n_truncated": 0,
        "max_length": 24,
        "metric": "accuracy_fraction",
        "scores": (0.1, 0.2, 0.3),
        "compute": "cpu",
        "processor": "p",
        "driver": "",
        "torch": "2",
        "transformers": "5",
    }
    reference = Reference(**(known | change))
    (tmp_path / "reference.json").write_text(json.dumps(to_json(reference)))
    options = make_job(
        model=str(tiny_folders["albert"]),
        data=str(tiny_tsv),
        cache_dir=tmp_path / "cache",
        reference=str(tmp_path / "reference.json"),
    )
    titles, stage = watched()
    beside = shutil.copytree(tiny_folders["albert"], tmp_path / "model")
    (beside / "references").mkdir()
    (beside / "references" / "ten.json").write_text(json.dumps(to_json(reference)))
    unnamed = make_job(model=str(beside), data=str(tiny_tsv), cache_dir=tmp_path / "cache")
    assert simulate(unnamed, lambda *_: lambda _: None)[1] == (reference if message is None else None)
    if message is None:
        assert simulate(options, stage)[1] == reference
        assert titles == []  # the same weights: everything is recorded
        return
    with pytest.raises(ConfigError, match=message):
        simulate(options, stage)
    assert titles == []


def watched() -> tuple[list[str], Callable[[str, int], Callable[[int], None]]]:
    """The titles of the slow stages, and the function that collects them."""
    titles: list[str] = []

    def stage(title: str, n_total: int) -> Callable[[int], None]:
        titles.append(title)
        return lambda n_done: None

    return titles, stage
