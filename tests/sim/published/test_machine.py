from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.array import FoldTiming, SystolicArray
from hexit.hw_model.machine.description import Expected, Machine, Network, Product, Region, Stage
from hexit.hw_model.machine.files import list_machines, load_machine
from hexit.hw_model.machine.loops import Loop
from hexit.hw_model.machine.op_cycles import machine_channel
from hexit.hw_model.memory.channel import MemoryChannel
from hexit.quant.arrays import Integers
from hexit.quant.errors import ConfigError
from hexit.quant.records import from_json, to_json
from hexit.sim.published.machine import machine_cycles, pack_times
from support.strategies import LAWS

CHAIN = np.eye(3, k=1, dtype=np.bool_)
BUSY = st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=3, max_size=3)
PUBLISHED = list_machines()


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
    _, found = pack_times(cycles, np.zeros(3, np.int64), CHAIN, handshake, fifo_packs, False)
    assert found.tolist() == stepped_ends(cycles, handshake, fifo_packs).tolist()


@given(BUSY, st.integers(0, 2), st.integers(1, 3), st.booleans(), st.lists(st.integers(0, 9), min_size=3, max_size=3))
@LAWS
def test_a_pipeline_is_no_faster_than_its_slowest_stage_and_no_slower_than_one_after_the_other(
    busy: list[list[int]], handshake: int, fifo_packs: int, streams: bool, first_result: list[int]
) -> None:
    cycles = np.array(busy, np.int64)
    first = np.minimum(np.array(first_result), cycles.min(axis=1))
    _, end = pack_times(cycles, first, CHAIN, handshake, fifo_packs, streams)
    assert end.max() >= cycles.sum(axis=1).max() + 3 * handshake
    assert end.max() <= cycles.sum() + 4 * handshake + 3 * first.sum()
    _, deeper = pack_times(cycles, first, CHAIN, handshake, fifo_packs + 1, streams)
    _, slower = pack_times(cycles + 1, first, CHAIN, handshake, fifo_packs, streams)
    assert (deeper <= end).all()
    assert (slower >= end).all()


def machine(**changes: Any) -> Machine:
    stages = (
        Stage(name="in", ops=("ffn_in",), array="array"),
        Stage(name="gelu", ops=("gelu",), loops=("rows",)),
        Stage(name="out", ops=("ffn_out",), array="array"),
    )
    given_machine = Machine(
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
    return replace(given_machine, **changes)


def test_the_story_of_three_packs_through_three_stages() -> None:
    found = machine_cycles(machine())
    region = found.region("r")
    # ffn_in: 5 folds of 12 and 6 of fill; gelu: 4 rows of 20, then 2 rows; ffn_out: 3 folds of 20 and 6 of fill
    assert [(s.pack_cycles, s.last_pack_cycles) for s in region.stages] == [(66, 66), (80, 40), (66, 66)]
    # ends: in 66 132 198, gelu 146 226 266, out 212 292 358
    assert (region.n_packs, region.cycles) == (3, 358)
    assert (found.layer_cycles, found.network_cycles) == (358, 3 * 358)


def test_regions_side_by_side_cost_the_longer_one() -> None:
    first = Region(name="a", stages=(Stage(name="key", ops=("key",), array="array"),), parallel_with_next=True)
    second = Region(name="b", stages=(Stage(name="gelu", ops=("gelu",), loops=("rows",)),))
    apart = machine_cycles(machine(regions=(replace(first, parallel_with_next=False), second)))
    beside = machine_cycles(machine(regions=(first, second)))
    lengths = [region.cycles for region in apart.regions]
    assert (apart.layer_cycles, beside.layer_cycles) == (sum(lengths), max(lengths))


def test_heads_pass_through_the_stages_inside_a_stage() -> None:
    inside = Region(
        name="heads",
        stages=(Stage(name="s", ops=("scores",), array="array"), Stage(name="c", ops=("context",), array="array")),
        overlap="packs",
    )
    stage = Stage(name="attention", heads=inside)
    found = machine_cycles(machine(regions=(Region(name="r", stages=(stage,)),)))
    scores, context = found.op("scores").total, found.op("context").total
    assert found.stage("attention").pack_cycles == scores + context + 2 * max(scores, context)
    halved = replace(stage, n_parallel_heads=3)
    alone = machine_cycles(machine(regions=(Region(name="r", stages=(halved,)),)))
    assert alone.stage("attention").pack_cycles == scores + context


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_machine_survives_json_and_memory_never_makes_it_faster(name: str) -> None:
    known = load_machine(name)
    assert from_json(Machine, to_json(known)) == known
    channel = machine_channel(known) or MemoryChannel(bytes_per_cycle=1.0, latency_cycles=50)
    assert machine_cycles(known, channel).network_cycles >= machine_cycles(known).network_cycles


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('based_on = "nothing"', r"based_on = nothing: must be one of buck008"),
        ('based_on = "tmma-kv260"\nclock_mhz = 0.5', r"machine\.clock_mhz = 0\.5: must be 1\.\.2000"),
        (
            'based_on = "tmma-kv260"\n[loops.tiles]\nbody = ["steps", "nothing"]',
            r"loops\.tiles\.body = nothing: must be",
        ),
        ('based_on = "tmma-kv260"\nclock = 3', r"clock = 3: is not a known key"),
        ("clock_mhz = ", r"is not TOML"),
        ('based_on = "tmma-kv260"\n[loops.tiles]\ntrips = "9" * 9', r"is not TOML"),
        ('based_on = "tmma-kv260"\n[loops.tiles]\ntrips = 9999999999999', r"trips = 9999999999999: must be at most"),
        (
            'based_on = "tmma-kv260"\n[memory]\nmemory_port_bits = 0',
            r"memory\.memory_port_bits = 0: must be at least 1",
        ),
        ('based_on = "tmma-kv260"\n[memory]\nbandwidth_gb_s = 0.0', r"memory\.bandwidth_gb_s = 0\.0: must be 1e-06"),
        ('based_on = "tmma-kv260"\n[[expected]]\nof = "layer"\ncycles = 0', r"expected\.cycles = 0: must be above 0"),
        ('based_on = "tmma-kv260"\n[[expected]]\nof = "layer"', r"expected\.layer = .*: needs cycles or time_ms"),
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
        machine_cycles(load_machine(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": Network(shape="gpt")}, r"network\.shape = gpt: must be one of albert-base"),
        ({"regions": ()}, r"machine\.regions = .*: must be regions with names"),
        ({"arrays": {}}, r"in\.array = array: must be one of \(none described\)"),
    ],
)
def test_a_machine_that_cannot_be_names_its_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        machine_cycles(machine(**changes))


def test_stages_name_ops_of_the_network_and_stages_before_them() -> None:
    stage = Stage(name="x", ops=("conv",))
    with pytest.raises(ConfigError, match=r"r\.ops = conv: must be one of query, key"):
        machine_cycles(machine(regions=(Region(name="r", stages=(stage,)),)))
    late = Stage(name="x", ops=("gelu",), loops=("rows",), after=("y",))
    with pytest.raises(ConfigError, match=r"x\.after = y: must be one of \(none\)"):
        machine_cycles(machine(regions=(Region(name="r", stages=(late,), overlap="packs"),)))


def test_heads_side_by_side_are_one_call() -> None:
    def cycles(n_parallel_heads: int) -> int:
        stage = Stage(name="s", ops=("scores",), array="array", n_parallel_heads=n_parallel_heads)
        return machine_cycles(machine(regions=(Region(name="r", stages=(stage,)),))).layer_cycles

    assert [cycles(n) for n in (1, 2, 3)] == [3 * cycles(3), 2 * cycles(3), cycles(4)]


def test_counts_that_no_64_bits_hold_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"in = .*: must be at most 1000000000000000 cycles"):
        machine_cycles(
            machine(arrays={"array": SystolicArray(rows=4, columns=4, fold=FoldTiming(depth_cycles=10**16))})
        )
    with pytest.raises(ConfigError, match=r"loops\.rows = .*: must be at most 1000000000000000 cycles"):
        machine_cycles(machine(loops={"rows": Loop(trips=10**12, initiation_interval=10**6, depth_cycles=1)}))
    inside = Region(name="heads", stages=(Stage(name="z"),))
    with pytest.raises(ConfigError, match=r"s\.heads = heads: needs stages with ops"):
        Stage(name="s", heads=inside)
    with pytest.raises(ConfigError, match=r"expected\.tolerance_fraction = 1\.0: must be 0 or more"):
        Expected(of="layer", cycles=1, tolerance_fraction=1.0)


def test_ports_of_several_channels_add_up() -> None:
    tmma = load_machine("tmma-kv260")
    assert tmma.memory is not None
    rates = []
    for n_channels in (1, 4):
        channel = machine_channel(replace(tmma, memory=replace(tmma.memory, memory_channels=n_channels)))
        assert channel is not None
        rates.append(channel.bytes_per_cycle)
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
        machine_cycles(replace(two, regions=(Region(name="r", stages=(stage,), overlap="packs", pack_rows=2),)))
