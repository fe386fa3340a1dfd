"""How fast a part can be clocked: hard blocks by speed grade, and published accelerators as full."""

from __future__ import annotations

import dataclasses

import pytest

from hexit.hw_model.area.clock import check_clock, clock_limit, speed_grade
from hexit.hw_model.area.resources import NOTHING, Resources
from hexit.hw_model.device import list_devices, load_device
from hexit.quant.errors import ConfigError

ALL = Resources(lut=1, ff=1, dsp=1, bram18=1)


@pytest.mark.parametrize("name", list_devices())
def test_every_shipped_part_has_a_speed_grade(name: str) -> None:
    device = load_device(name)
    grade = speed_grade(device)
    assert grade is not None
    assert (grade.uram_mhz is not None) or device.uram == 0
    assert clock_limit(device, ALL).highest_mhz == min(grade.dsp_mhz, grade.bram_mhz, grade.clock_tree_mhz)


@pytest.mark.parametrize(
    ("part", "highest", "block"),
    [
        ("xczu9eg-ffvb1156-3-e", 825, "block RAM"),
        ("xczu9eg-ffvb1156-2-e", 738, "block RAM"),
        ("xczu9eg-ffvb1156-1-e", 645, "DSP slices"),
        ("xck26-sfvc784-2LV-c", 585, "block RAM"),
        ("xcu280-fsvh2892-2L-e", 738, "block RAM"),
    ],
)
def test_the_part_number_tells_the_grade(part: str, highest: float, block: str) -> None:
    limit = clock_limit(dataclasses.replace(load_device("zcu102"), part=part), ALL)
    assert (limit.highest_mhz, limit.limited_by) == (highest, block)


@pytest.mark.parametrize(
    ("used", "highest", "block"),
    [
        (Resources(lut=1), 775, "the clock tree"),
        (Resources(dsp=1), 775, "DSP slices"),
        (Resources(bram18=1), 738, "block RAM"),
        (Resources(dsp=1, bram18=1, uram=1), 600, "UltraRAM"),
    ],
)
def test_only_blocks_that_are_used_limit(used: Resources, highest: float, block: str) -> None:
    limit = clock_limit(load_device("zcu104"), used)
    assert (limit.highest_mhz, limit.limited_by) == (highest, block)


@pytest.mark.parametrize("part", ["mine", "xczu9eg-ffvb1156-9-e", "xc7z045ffg900-3"])
def test_an_unknown_grade_limits_nothing_and_says_so(part: str) -> None:
    device = dataclasses.replace(load_device("zc706"), part=part)
    assert clock_limit(device, ALL).highest_mhz is None
    check_clock(2000, device, ALL)


def test_a_clock_out_of_reach_is_refused_with_limit_and_source() -> None:
    device = load_device("zcu102")
    check_clock(738, device, ALL)
    message = (
        r"--clock-mhz = 738\.5: is more than the 738 MHz of block RAM of xczu9eg-ffvb1156-2-e "
        r"\(DS925.* -2 at 0\.85 V\)\. Lower it; the fastest published accelerator as full runs at 245 MHz"
    )
    with pytest.raises(ConfigError, match=message):
        check_clock(738.5, device, ALL)


def test_the_fuller_a_part_the_fewer_accelerators_show_its_clock() -> None:
    device = load_device("zcu102")
    found = [clock_limit(device, Resources(dsp=int(share * device.dsp))) for share in (0.1, 0.5, 0.72, 0.9)]
    assert [limit.published and limit.published.clock_mhz for limit in found] == [245, 214, 200, None]
    assert found[1].fill_fraction == pytest.approx(0.5)
    assert clock_limit(device, NOTHING).fill_fraction == 0
    assert clock_limit(load_device("zc706"), NOTHING).published is None  # none of its family is listed
