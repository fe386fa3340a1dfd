from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.design_files import list_designs, load_design
from hexit.hw_model.device import DEVICE_FOLDER, load_device
from hexit.hw_model.memory.channel import memory_channel
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.config import LEGAL_BITS, QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.records import from_json, to_json
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import encoder_workload
from hexit.sim.core.compile import compile_program
from support.paths import ROOT
from support.strategies import DECISION, LAWS, designs

DEFAULT = load_design("default")
SHIPPED = replace(ALBERT_BASE, hidden_size=384, ffn_size=1536, embedding_size=384)
DEFAULT_TEXT = (ROOT / "hw_model" / "designs" / "default.toml").read_bytes()


@given(designs())
@LAWS
def test_a_design_survives_json(design: Accelerator) -> None:
    assert from_json(Accelerator, to_json(design)) == design


@pytest.mark.parametrize("name", list_designs())
def test_every_shipped_design_runs_albert_base_on_its_part(name: str) -> None:
    """At 128 tokens; the smallest board, whose block RAM does not hold their activations, the shipped network at 64."""
    design = load_design(name)
    shape, n_tokens = (SHIPPED, 64) if name == "pynq-z2" else (ALBERT_BASE, 128)
    device = load_device(design.device)
    channel = memory_channel(design, device.memory_bandwidth_gb_s, device.memory_latency_ns)
    workload = encoder_workload(shape, QuantConfig.uniform(8), n_tokens)
    assert design.name == name
    assert compile_program(workload, design, channel, DECISION).n_layers == 12


@pytest.mark.parametrize("bits", LEGAL_BITS)
def test_the_default_design_takes_every_bit_width(bits: int) -> None:
    workload = encoder_workload(ALBERT_BASE, QuantConfig.uniform(bits), 64)
    device = load_device(DEFAULT.device)
    channel = memory_channel(DEFAULT, device.memory_bandwidth_gb_s, device.memory_latency_ns)
    assert compile_program(workload, DEFAULT, channel, DECISION).layer.n_tasks > 0


def test_a_file_is_a_design_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(DEFAULT_TEXT.replace(b"array_rows = 32", b"array_rows = 16"))
    assert load_design(str(file)) == replace(DEFAULT, array_rows=16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"array_rows": 0}, r"design\.array_rows = 0: must be at least 1"),
        ({"gelu_depth_cycles": -1}, r"design\.gelu_depth_cycles = -1: must not be negative"),
        ({"clock_mhz": 0.0}, r"design\.clock_mhz = 0\.0: must be 1\.\.2000"),
        ({"macs_per_dsp": 3}, r"design\.macs_per_dsp = 3: must be 1, 2 or 4"),
        ({"memory_efficiency_fraction": 1.5}, r"design\.memory_efficiency_fraction = 1\.5: must be above 0"),
        ({"memory_latency_ns": -1.0}, r"design\.memory_latency_ns = -1\.0: must be finite"),
        ({"exit_overlap": "interleave"}, r"design\.n_interleaved = 1: must be at least 2 with exit_overlap interleave"),
        ({"n_engines": 2}, r"design\.n_engines = 2: must be 1 with mapping temporal"),
        (
            {"mapping": "spatial", "n_engines": 2, "engine_layers": (1, 0)},
            r"design\.engine_layers = \(1, 0\): must be 2 numbers",
        ),
        ({"mapping": "spatial", "engine_layers": (6, 6)}, r"design\.engine_layers = \(6, 6\): must be 1 numbers"),
        ({"mapping": "spatial", "exit_overlap": "interleave", "n_interleaved": 2}, r"keeps sentences in one engine"),
        (
            {"array_preset": "scalesim_os", "fold_overhead_cycles": 6},
            r"fold_overhead_cycles = array_preset, fold_overhead_cycles: tell what a",
        ),
        (
            {"array_preset": "scalesim_ws"},
            r"array_preset = scalesim_ws: is a count for weight",
        ),
        (
            {"share_weights": True},
            r"design\.share_weights = True: needs several resident sentences, exit_overlap stall",
        ),
        (
            {"share_weights": True, "mapping": "spatial", "n_engines": 2},
            r"design\.share_weights = True: needs several resident sentences",
        ),
        (
            {
                "share_weights": True,
                "exit_overlap": "interleave",
                "n_interleaved": 2,
                "fold_overhead_cycles": 0,
                "dataflow": "weight_stationary",
                "array_preset": "rtl_simple",
            },
            r"design\.share_weights = True: lets sentences change within a product, but the arrays hold the operands",
        ),
        ({"n_interleaved": 2}, r"design\.n_interleaved = 2: must be 1 with exit_overlap stall"),
    ],
)
def test_a_design_that_cannot_be_names_its_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(DEFAULT, **change)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name = ", r"--design = .*: is not TOML"),
        (b"\xff\xfe", r"--design = .*: is not TOML"),
        (b'name = "x"\n', r"design\.clock_mhz = \(missing\): is required"),
        (DEFAULT_TEXT + b'dataflow = "spiral"\n', r"design\.dataflow = spiral: must be one of output_stationary"),
        (DEFAULT_TEXT.replace(b"32", b"32.5"), r"design\.array_rows = 32\.5: must be of type int"),
        (b"array_rwos = 3\n", r"design\.array_rwos = 3: is not a known key"),
    ],
)
def test_a_bad_file_is_told_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_design(str(file))


@pytest.mark.parametrize(
    ("name", "message"),
    [("nothing", r"--design = nothing: is not one of .*default"), ("no/such.toml", r"cannot be read")],
)
def test_an_unknown_design_is_told_in_one_line(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_design(name)


def test_a_result_cannot_be_ready_before_its_unit_is_done() -> None:
    with pytest.raises(ConfigError, match=r"task\.latency_cycles = 2: must be at least occupancy_cycles 3"):
        TaskCycles(occupancy_cycles=3, latency_cycles=2)


def test_what_a_short_file_leaves_out_comes_from_its_part_however_it_is_named(tmp_path: Path) -> None:
    part = (DEVICE_FOLDER / "kv260.toml").read_text().replace('name = "kv260"', 'name = "ours"')
    (tmp_path / "part.toml").write_text(part)
    sizes = set()
    for device in ("kv260", "KV260", (tmp_path / "part.toml").as_posix()):
        keys = f'name = "mine"\ndevice = "{device}"\nclock_mhz = 200\narray_rows = 16\narray_columns = 32\n'
        (tmp_path / "mine.toml").write_text(keys)
        design = load_design(tmp_path / "mine.toml")
        sizes.add((design.weight_buffer_kib, design.activation_buffer_kib))
    on_chip_kib = load_device("kv260").on_chip_kib
    assert sizes == {(int(on_chip_kib / 4), int(on_chip_kib / 8))}
    (tmp_path / "mine.toml").write_text(keys.replace("part.toml", "none.toml"))
    with pytest.raises(ConfigError, match=r"^--device = .*none\.toml: cannot be read"):
        load_design(tmp_path / "mine.toml")
