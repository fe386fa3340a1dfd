from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hexit.hw_model.design_files import list_published, load_design
from hexit.sim.core.stage_cycles import design_cycles
from hexit.sim.published.trace import stage_trace_json
from support.command_line import hexit


def events(name: str) -> list[dict[str, Any]]:
    design = load_design(name)
    found: list[dict[str, Any]] = json.loads(stage_trace_json(design))["traceEvents"]
    return found


@pytest.mark.parametrize("name", list_published())
def test_packs_of_a_stage_never_overlap_and_the_last_one_ends_the_layer(name: str) -> None:
    design = load_design(name)
    cycles = design_cycles(design)
    tracks: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for event in events(name):
        if event["ph"] == "X":
            span = event["args"]["start_cycle"], event["args"]["end_cycle"]
            assert event["ts"] == pytest.approx(span[0] / design.clock_mhz)
            tracks.setdefault((event["pid"], event["tid"]), []).append(span)
    assert len(tracks) == len([stage for region in design.regions for stage in region.stages])
    for spans in tracks.values():
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
    last = max(end for spans in tracks.values() for _, end in spans)
    assert last + design.layer_extra_cycles == cycles.layer_cycles


def test_packs_on_their_way_are_counted_and_fit_the_fifos() -> None:
    design = load_design("hls-bert-u280-opt5")
    counters = [event for event in events(design.name) if event["ph"] == "C"]
    assert {event["name"] for event in counters} >= {"packs from query to attention", "packs from gelu to ffn_out"}
    for region, process in zip(design.regions, range(1, 5), strict=True):
        levels = [event["args"]["packs"] for event in counters if event["pid"] == process]
        assert max(levels, default=0) <= region.fifo_packs
        assert min(levels, default=0) == 0


def test_a_named_design_has_its_timeline_in_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hexit(capsys, "validate", "tmma-kv260", "--out", tmp_path / "v").code == 0
    assert json.loads((tmp_path / "v" / "tmma-kv260.trace.json").read_text())["otherData"]["design"] == "tmma-kv260"
