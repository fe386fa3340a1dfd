from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import FoldTiming, SystolicArray
from hexit.hw_model.design_files import list_published, load_design
from hexit.hw_model.device import load_device
from hexit.hw_model.evidence import Expected, Network, Product
from hexit.hw_model.loops import Loop
from hexit.hw_model.memory.channel import MemoryChannel, device_channel
from hexit.hw_model.stages import Overlap, Region, Stage
from hexit.quant.arrays import Integers
from hexit.quant.errors import ConfigError
from hexit.quant.records import from_json, to_json
from hexit.sim.core.recurrence import run_alone
from hexit.sim.core.stage_cycles import design_cycles
from hexit.sim.core.stage_tasks import RegionWork, compile_regions
from hexit.sim.published.validation import design_memory
from support.strategies import LAWS

BUSY = st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=3, max_size=3)
PUBLISHED = list_published()


def pack_ends(busy: Integers, handshake: int, fifo_packs: int, first_result: Integers | None = None) -> Integers:
    """Ends [stage, pack] of a chain of stages; they stream where results come before a pack is done."""
    first = np.zeros(len(busy), np.int64) if first_result is None else first_result
    stages = tuple(Stage(name=str(s), first_result_cycles=int(cycles)) for s, cycles in enumerate(first))
    region = Region(
        name="chain",
        stages=stages,
        overlap="packs" if first_result is None else "streaming",
        handshake_cycles=handshake,
        fifo_packs=fifo_packs,
    )
    nothing = np.zeros_like(busy)
    program = compile_regions([RegionWork(region=region, busy_cycles=busy, macs=nothing, n_bytes=nothing)])
    ends: Integers = run_alone(program.tasks)[1][program.regions[0].end]
    return ends


def stepped_ends(busy: Integers, handshake: int, fifo_packs: int) -> Integers:
    """A chain of stages looked at in every cycle: who can start starts, who is through hands its pack on."""
    n_stages, n_packs = busy.shape
    start, end = (np.full(busy.shape, -1, np.int64) for _ in range(2))
    for now in range(int(busy.sum()) + (handshake + 1) * n_packs * n_stages + 1):
        for _ in range(n_stages * n_packs):  # packs of no cycles pass several stages in one
            for stage in range(n_stages):
                pack = int((start[stage] >= 0).sum())
                if pack == n_packs:
                    continue
                free = pack == 0 or end[stage, pack - 1] + handshake <= now
                there = stage == 0 or 0 <= end[stage - 1, pack] <= now
                place = stage == n_stages - 1 or pack < fifo_packs or 0 <= start[stage + 1, pack - fifo_packs] <= now
                if free and there and place:
                    start[stage, pack], end[stage, pack] = now, now + busy[stage, pack]
    return end


@given(BUSY, st.integers(0, 2), st.integers(1, 3))
@LAWS
def test_packs_pass_as_a_stepped_machine_passes_them(busy: list[list[int]], handshake: int, fifo_packs: int) -> None:
    cycles = np.array(busy, np.int64)
    assert pack_ends(cycles, handshake, fifo_packs).tolist() == stepped_ends(cycles, handshake, fifo_packs).tolist()


@given(BUSY, st.integers(0, 2), st.integers(1, 3), st.booleans(), st.lists(st.integers(0, 9), min_size=3, max_size=3))
@LAWS
def test_a_pipeline_is_no_faster_than_its_slowest_stage_and_no_slower_than_one_after_the_other(
    busy: list[list[int]], handshake: int, fifo_packs: int, streams: bool, first_result: list[int]
) -> None:
    cycles = np.array(busy, np.int64)
    first = np.minimum(np.array(first_result), cycles.min(axis=1))
    results = first if streams else None
    end = pack_ends(cycles, handshake, fifo_packs, results)
    assert end.max() >= cycles.sum(axis=1).max() + 3 * handshake
    assert end.max() <= cycles.sum() + 4 * handshake + 3 * first.sum()
    deeper = pack_ends(cycles, handshake, fifo_packs + 1, results)
    slower = pack_ends(cycles + 1, handshake, fifo_packs, results)
    assert (deeper <= end).all()
    assert (slower >= end).all()


def machine(**changes: Any) -> Accelerator:
    stages = (
        Stage(name="in", ops=("ffn_in",), array="array"),
        Stage(name="gelu", ops=("gelu",), loops=("rows",)),
        Stage(name="out", ops=("ffn_out",), array="array"),
    )
    design = Accelerator(
        name="x",
        title="x",
        source="x",
        evidence="x",
        configured="x",
        clock_mhz=100.0,
        network=Network(shape="bert-base", n_layers=3, hidden_size=12, n_heads=3, ffn_size=20, sequence_length=10),
        arrays={"array": SystolicArray(rows=4, columns=4)},
        loops={"rows": Loop(trips="rows * columns", initiation_interval=1, depth_cycles=1)},
        regions=(Region(name="r", stages=stages, overlap="packs", pack_rows=4),),
    )
    return replace(design, **changes)


def test_the_story_of_three_packs_through_three_stages() -> None:
    found = design_cycles(machine())
    region = found.region("r")
    # ffn_in: 5 folds of 12 and 6 of fill; gelu: 4 rows of 20, then 2 rows; ffn_out: 3 folds of 20 and 6 of fill
    assert [(s.pack_cycles, s.last_pack_cycles) for s in region.stages] == [(66, 66), (80, 40), (66, 66)]
    # ends: in 66 132 198, gelu 146 226 266, out 212 292 358
    assert (region.n_packs, region.cycles) == (3, 358)
    assert (found.layer_cycles, found.network_cycles) == (358, 3 * 358)


def test_regions_side_by_side_cost_the_longer_one() -> None:
    first = Region(name="a", stages=(Stage(name="key", ops=("key",), array="array"),), parallel_with_next=True)
    second = Region(name="b", stages=(Stage(name="gelu", ops=("gelu",), loops=("rows",)),))
    apart = design_cycles(machine(regions=(replace(first, parallel_with_next=False), second)))
    beside = design_cycles(machine(regions=(first, second)))
    lengths = [region.cycles for region in apart.regions]
    assert (apart.layer_cycles, beside.layer_cycles) == (sum(lengths), max(lengths))


def test_heads_pass_through_the_stages_inside_a_stage() -> None:
    inside = Region(
        name="heads",
        stages=(Stage(name="s", ops=("scores",), array="array"), Stage(name="c", ops=("context",), array="array")),
        overlap="packs",
    )
    stage = Stage(name="attention", heads=inside)
    found = design_cycles(machine(regions=(Region(name="r", stages=(stage,)),)))
    scores, context = found.op("scores").total, found.op("context").total
    assert found.stage("attention").pack_cycles == scores + context + 2 * max(scores, context)
    halved = replace(stage, n_parallel_heads=3)
    alone = design_cycles(machine(regions=(Region(name="r", stages=(halved,)),)))
    assert alone.stage("attention").pack_cycles == scores + context


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_design_survives_json_and_memory_never_makes_it_faster(name: str) -> None:
    known = load_design(name)
    assert from_json(Accelerator, to_json(known)) == known
    channel = design_memory(known) or MemoryChannel(bytes_per_cycle=1.0, latency_cycles=50)
    assert design_cycles(known, channel).network_cycles >= design_cycles(known).network_cycles


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('based_on = "nothing"', r"mine\.toml\.based_on = nothing: is not one of albert-base-u280"),
        ('based_on = "tmma-kv260"\nclock_mhz = 0.5', r"design\.clock_mhz = 0\.5: must be 1\.\.2000"),
        (
            'based_on = "tmma-kv260"\n[loops.tiles]\nbody = ["steps", "nothing"]',
            r"loops\.tiles\.body = nothing: must be",
        ),
        ('based_on = "tmma-kv260"\nclock = 3', r"clock = 3: is not a known key"),
        ("clock_mhz = ", r"is not TOML"),
        ('based_on = "tmma-kv260"\n[loops.tiles]\ntrips = "9" * 9', r"is not TOML"),
        ('based_on = "tmma-kv260"\n[loops.tiles]\ntrips = 9999999999999', r"trips = 9999999999999: must be at most"),
        (
            'based_on = "tmma-kv260"\nmemory_port_bits = 0',
            r"design\.memory_port_bits = 0: must be at least 1",
        ),
        (
            'based_on = "tmma-kv260"\nmemory_efficiency_fraction = 0.0',
            r"memory_efficiency_fraction = 0\.0: must be above",
        ),
        ('based_on = "tmma-kv260"\n[[expected]]\nof = "layer"\ncycles = 0', r"expected\.cycles = 0: must be above 0"),
        (
            'based_on = "tmma-kv260"\n[[expected]]\nof = "layer"',
            r"expected\.layer = .*: needs cycles, time_ms or",
        ),
        (
            'based_on = "fq-bert-zcu102-8x16"\n[network]\nsequence_length = 0',
            r"sequence_length = 0: must be 1\.\.1000000",
        ),
        (
            'based_on = "scale-sim-os"\n[[products]]\nname = "qkvo"\nm = 1\nk = 9999999999999999\nn = 1',
            r"must be one of",
        ),
        ('based_on = "scale-sim-os"\n[array_presets]\narray = "scalesim_ws"', r"is a count for weight_stationary"),
    ],
)
def test_a_file_that_cannot_be_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        design_cycles(load_design(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": Network(shape="gpt")}, r"network\.shape = gpt: must be one of albert-base"),
        ({"regions": ()}, r"design\.device = \(none\): must be a part"),
        ({"arrays": {}}, r"in\.array = array: must be one of \(none described\)"),
    ],
)
def test_a_machine_that_cannot_be_names_its_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        design_cycles(machine(**changes))


def test_stages_name_ops_of_the_network_and_stages_before_them() -> None:
    stage = Stage(name="x", ops=("conv",))
    with pytest.raises(ConfigError, match=r"r\.ops = conv: must be one of query, key"):
        design_cycles(machine(regions=(Region(name="r", stages=(stage,)),)))
    late = Stage(name="x", ops=("gelu",), loops=("rows",), after=("y",))
    with pytest.raises(ConfigError, match=r"x\.after = y: must be one of \(none\)"):
        design_cycles(machine(regions=(Region(name="r", stages=(late,), overlap="packs"),)))


def test_heads_side_by_side_are_one_call() -> None:
    def cycles(n_parallel_heads: int) -> int:
        stage = Stage(name="s", ops=("scores",), array="array", n_parallel_heads=n_parallel_heads)
        return design_cycles(machine(regions=(Region(name="r", stages=(stage,)),))).layer_cycles

    assert [cycles(n) for n in (1, 2, 3)] == [3 * cycles(3), 2 * cycles(3), cycles(4)]


def test_counts_that_no_64_bits_hold_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"in = .*: must be at most 1000000000000000 cycles"):
        design_cycles(machine(arrays={"array": SystolicArray(rows=4, columns=4, fold=FoldTiming(depth_cycles=10**16))}))
    with pytest.raises(ConfigError, match=r"loops\.rows = .*: must be at most 1000000000000000 cycles"):
        design_cycles(machine(loops={"rows": Loop(trips=10**12, initiation_interval=10**6, depth_cycles=1)}))
    inside = Region(name="heads", stages=(Stage(name="z"),))
    with pytest.raises(ConfigError, match=r"s\.heads = heads: needs stages with ops"):
        Stage(name="s", heads=inside)
    with pytest.raises(ConfigError, match=r"expected\.tolerance_fraction = 1\.0: must be 0 or more"):
        Expected(of="layer", cycles=1, tolerance_fraction=1.0)


def test_ports_of_several_channels_add_up() -> None:
    tmma, kv260 = load_design("tmma-kv260"), load_device("kv260")
    rates = []
    for n_channels in (1, 4):
        part = replace(kv260, memory_channels=n_channels, memory_bandwidth_gb_s=19.2 * n_channels)
        rates.append(device_channel(replace(tmma, memory_channels=n_channels), part).bytes_per_cycle)
    assert rates[0] == 16 / 31  # a burst of 16 bytes behind a latency of 15 cycles
    assert rates[1] == 4 * rates[0]


HEADS = Region(name="heads", stages=(Stage(name="z", ops=("scores",)),))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Stage(name="s", call_cycles=-1), r"s\.call_cycles = -1: must be 0"),
        (lambda: Stage(name="s", n_parallel_heads=0), r"s\.n_parallel_heads = 0: must be at least 1"),
        (lambda: Stage(name="s", ops=("query",), heads=HEADS), r"s\.ops = .*: must be empty in a stage with heads"),
        (lambda: Region(name="r", stages=()), r"r\.stages = \[\]: must be stages with names"),
        (lambda: Region(name="r", stages=(Stage(name="s"), Stage(name="s"))), r"r\.stages = .*: must be stages with"),
        (lambda: Region(name="r", stages=(Stage(name="s"),), fifo_packs=0), r"r\.fifo_packs = 0: must be 1"),
        (lambda: Loop(extra_cycles=-1), r"loop\.extra_cycles = -1: must not be negative"),
    ],
)
def test_hardware_that_cannot_be_names_its_key(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


def test_packs_need_ops_of_one_number_of_rows() -> None:
    two = machine(products=(Product(name="a", m=4, k=4, n=4), Product(name="b", m=8, k=4, n=4)))
    stage = Stage(name="s", ops=("a", "b"), array="array")
    with pytest.raises(ConfigError, match=r"r\.pack_rows = 2: needs ops of one number of rows, not \[4, 8\]"):
        design_cycles(replace(two, regions=(Region(name="r", stages=(stage,), overlap="packs", pack_rows=2),)))


@pytest.mark.parametrize("overlap", ["sequential", "packs", "streaming"])
def test_heads_side_by_side_have_an_array_each(overlap: Overlap) -> None:
    stage = Stage(name="s", ops=("scores",), array="array", n_parallel_heads=3)
    design = machine(regions=(Region(name="r", stages=(stage,), overlap=overlap),))
    assert len(design.built_arrays) == len(design.arrays_of_stage(stage)) == 3
    outer = Stage(name="o", n_parallel_heads=3, heads=Region(name="h", stages=(replace(stage, n_parallel_heads=1),)))
    inside = machine(regions=(Region(name="r", stages=(outer,), overlap=overlap),))
    assert len(inside.built_arrays) == len(inside.arrays_of_stage(outer)) == 3
