"""The parts: silicon totals against the data sheets, files that load, errors that help."""

from pathlib import Path

import pytest

from hexit.hw_model.device import DEVICE_FOLDER, Device, list_devices, load_device
from hexit.quant.errors import ConfigError
from hexit.quant.records import from_json, to_json
from support.paths import ROOT

# LUT, FF, DSP, 36 Kb block RAMs, UltraRAMs: DS891 (ZU9EG, ZU7EV, ZU5EV), DS889, DS190, DS962, DS963, DS965
DATA_SHEETS = {
    "zcu102": (274_080, 548_160, 2_520, 912, 0),
    "zcu104": (230_400, 460_800, 1_728, 312, 96),
    "zcu111": (425_280, 850_560, 4_272, 1_080, 80),
    "kv260": (117_120, 234_240, 1_248, 144, 64),
    "zc706": (218_600, 437_200, 900, 545, 0),
    "pynq-z2": (53_200, 106_400, 220, 140, 0),
    "u50": (871_680, 1_743_360, 5_952, 1_344, 640),
    "u200": (1_182_240, 2_364_480, 6_840, 2_160, 960),
    "u250": (1_728_000, 3_456_000, 12_288, 2_688, 1_280),
    "u280": (1_303_680, 2_607_360, 9_024, 2_016, 960),
    "u55c": (1_303_680, 2_607_360, 9_024, 2_016, 960),
}


@pytest.mark.parametrize("name", DATA_SHEETS)
def test_totals_are_those_of_the_data_sheet(name: str) -> None:
    device = load_device(name)
    assert (device.lut, device.ff, device.dsp, device.bram18, device.uram) == (
        *DATA_SHEETS[name][:3],
        2 * DATA_SHEETS[name][3],
        DATA_SHEETS[name][4],
    )
    assert device.name == name
    assert device.source


def test_every_file_is_listed() -> None:
    assert set(list_devices()) == set(DATA_SHEETS)
    assert list(list_devices()) == sorted(list_devices())


@pytest.mark.parametrize("name", DATA_SHEETS)
def test_dsp_and_uram_belong_to_the_family(name: str) -> None:
    device = load_device(name)
    old = device.family == "7series"
    assert device.dsp_primitive == ("DSP48E1" if old else "DSP48E2")
    assert device.uram == 0 or not old
    assert from_json(Device, to_json(device)) == device


@pytest.mark.parametrize(
    ("name", "mega_transfers", "bits", "channels"),
    [
        ("zcu102", 2134, 64, 1),
        ("zcu104", 2134, 64, 1),
        ("zcu111", 2667, 64, 1),
        ("kv260", 2400, 64, 1),
        ("zc706", 1600, 64, 1),
        ("pynq-z2", 1050, 16, 1),
        ("u200", 2400, 64, 4),
        ("u250", 2400, 64, 4),
        ("u280", 1796.875, 64, 32),  # 14.375 GB/s of a pseudo-channel: UG1393
        ("u50", 1234.375, 64, 32),  # below the memory's 1,800: the card's limit of 316 GB/s
    ],
)
def test_bandwidth_is_transfers_times_width(name: str, mega_transfers: float, bits: int, channels: int) -> None:
    device = load_device(name)
    assert (device.memory_channel_bits, device.memory_channels) == (bits, channels)
    assert device.memory_bytes_per_second == pytest.approx(mega_transfers * 1e6 * bits * channels / 8, rel=1e-9)


def test_a_file_that_tells_no_channels_has_one_of_64_bits(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    lines = (DEVICE_FOLDER / "u250.toml").read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith("memory_channel")))
    device = load_device(path)
    assert (device.memory_channels, device.memory_channel_bits) == (1, 64)
    assert device.memory_bandwidth_gb_s == load_device("u250").memory_bandwidth_gb_s


def test_a_name_is_found_in_any_case() -> None:
    assert load_device("ZCU102") == load_device("zcu102") == load_device(DEVICE_FOLDER / "zcu102.toml")


@pytest.mark.parametrize(("typed", "nearest"), [("zcu12", "zcu102"), ("xcu250", "u250"), ("xc7z045", "zc706")])
def test_unknown_part_lists_the_known_ones_and_the_nearest(typed: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=rf"--device = {typed}: .*kv260, .*zcu111\. Did you mean .* {nearest}\?"):
        load_device(typed)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lut = 274080", "lut = 0", r"device\.lut = 0: must be positive"),
        ("uram = 0", "uram = -1", r"device\.uram = -1: must not be negative"),
        ("memory_bandwidth_gb_s = 17.072", "memory_bandwidth_gb_s = nan", "must be positive"),
        ("static_power_mw = 9069.0", "static_power_mw = inf", "must not be negative"),
        ("memory_channels = 1", "memory_channels = 0", r"device\.memory_channels = 0: must be positive"),
        ("memory_channel_bits = 64", "memory_channel_bits = -8", r"device\.memory_channel_bits = -8: must be positive"),
        ('power_source = "fitted', 'power_source = "somehow', "must begin with one of measured, fitted"),
        ("dsp = 2520", "dsps = 2520", r"board\.toml\.dsps = 2520: is not a known key"),
        ('family = "ultrascale_plus"', 'family = "versal"', "must be one of ultrascale_plus, 7series"),
        ("lut = 274080", "lut = ", "is not TOML"),
    ],
)
def test_a_wrong_file_is_told_by_its_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "board.toml"
    path.write_text((DEVICE_FOLDER / "zcu102.toml").read_text().replace(old, new))
    with pytest.raises(ConfigError, match=message):
        load_device(str(path))


def test_unreadable_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_device(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_device(tmp_path / "latin.toml")


@pytest.mark.parametrize("name", DATA_SHEETS)
def test_documented_table_is_that_of_the_files(name: str) -> None:
    text = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    d = load_device(name)
    silicon = f"{d.part} | {d.lut:,} | {d.ff:,} | {d.dsp:,} | {d.bram18:,} | {d.uram:,}"
    memory = f"{d.memory_kind.upper()}, {d.memory_bandwidth_gb_s:g}"
    static = f"{d.static_power_mw / 1000:.3f} {d.power_source.split(':')[0]}"
    assert f"| {name} | {silicon} | {memory} | {static} |" in text
