"""Design files that cannot be: each is refused in one line that names the key, the value, the rule and what to do."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from hexit.hw_model.area.clock import check_clock
from hexit.hw_model.area.resources import Resources
from hexit.hw_model.design_files import load_design
from hexit.hw_model.device import load_device
from hexit.hw_model.memory.channel import UNLIMITED, device_channel
from hexit.hw_model.task_cycles import TaskCycles
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.shapes import ALBERT_BASE
from hexit.quant.workload import encoder_workload
from hexit.sim.core.compile import compile_program
from hexit.sim.published.validation import validate_design

Table = dict[str, Any]
OPS = ["query", "key", "value", "scores", "context", "output", "ffn_in", "ffn_out"]
STAGES: Table = {
    "name": "mine",
    "device": "zcu102",
    "clock_mhz": 200.0,
    "network": {"shape": "albert-base", "sequence_length": 32},
    "arrays": {"one": {"rows": 8, "columns": 8}},
    "loops": {"norm": {"trips": "rows", "initiation_interval": 1}, "outer": {"trips": 2, "body": ["norm"]}},
    "regions": [
        {
            "name": "layer",
            "overlap": "packs",
            "pack_rows": 16,
            "stages": [
                {"name": "products", "ops": OPS, "array": "one"},
                {"name": "norm", "ops": ["ffn_norm"], "loops": ["outer"]},
            ],
        }
    ],
    "expected": [{"of": "layer", "cycles": 100, "tolerance_fraction": 0.5}],
}
ENGINE: Table = {"name": "mine", "device": "zcu102", "clock_mhz": 200.0, "array_rows": 8, "array_columns": 8}
HEADS = {"name": "heads", "stages": [{"name": "inner", "ops": ["scores"]}]}

IN_STAGES: list[tuple[str, Any, str]] = [  # path to the key, what it is set to, how the line begins or goes on
    ("name", None, r"design\.name = \(missing\): is required"),
    ("name", 3, r"design\.name = 3: must be of type str"),
    ("clock_mhz", None, r"design\.clock_mhz = \(missing\): is required"),
    ("clock_mhz", 0, r"design\.clock_mhz = 0\.0: must be 1\.\.2000"),
    ("clock_mhz", -1.0, r"design\.clock_mhz = -1\.0: must be 1\.\.2000"),
    ("clock_mhz", 2001, r"design\.clock_mhz = 2001\.0: must be 1\.\.2000"),
    ("clock_mhz", "fast", r"design\.clock_mhz = fast: must be of type float"),
    ("clock_mhz", True, r"design\.clock_mhz = True: must be of type float"),
    ("clock_mhz", 1500.0, r"--clock-mhz = 1500: is more than the 775 MHz of the clock tree of xczu9eg.*DS925"),
    ("device", "zcu999", r"--device = zcu999: is not a known part.*Did you mean --device zcu1"),
    ("clok_mhz", 3, r"design\.clok_mhz = 3: is not a known key.*Did you mean clock_mhz"),
    ("layer_extra_cycles", -1, r"design\.layer_extra_cycles = -1: must not be negative"),
    ("head_lanes", 0, r"design\.head_lanes = 0: must be at least 1"),
    ("head_depth_cycles", -1, r"design\.head_depth_cycles = -1: must not be negative"),
    ("softmax_lanes", -1, r"design\.softmax_lanes = -1: must be at least 0"),
    ("weight_buffer_kib", -1, r"design\.weight_buffer_kib = -1: must be at least 0"),
    ("requantisation_lanes", 0, r"design\.requantisation_lanes = 0: must be at least 1"),
    ("vector_preset", "fast", r"design\.vector_preset = fast: must be one of fixed_point"),
    ("exit_overlap", "wait", r"design\.exit_overlap = wait: must be one of stall"),
    ("n_interleaved", 0, r"design\.n_interleaved = 0: must be at least 1"),
    ("n_interleaved", 2, r"design\.n_interleaved = 2: must be 1 with exit_overlap stall"),
    ("exit_overlap", "interleave", r"design\.n_interleaved = 1: must be at least 2 with exit_overlap interleave"),
    ("mapping", "spatial", r"design\.mapping = spatial: is for engines without regions"),
    ("n_engines", 2, r"design\.n_engines = 2: must be 1 with mapping temporal"),
    ("array_rows", 16, r"design\.array_rows = 16: is of an engine\. Describe it in \[arrays\]"),
    ("n_arrays", 2, r"design\.n_arrays = 2: is of an engine"),
    ("array_preset", "ispass", r"design\.array_preset = ispass: is of an engine"),
    ("regions.0.stages.0.name", "head", r"design\.regions\.stages = head: is a name that units.*Call it my_head"),
    ("regions.0.stages.1.name", "call", r"design\.regions\.stages = call: is a name that units"),
    ("regions.0.stages.1.name", "engine_gelu", r"design\.regions\.stages = engine_gelu: is a name that units"),
    ("share_weights", True, r"design\.share_weights = True: "),
    ("memory_port_bits", 0, r"design\.memory_port_bits = 0: must be at least 1"),
    ("memory_channels", 0, r"design\.memory_channels = 0: must be at least 1"),
    ("memory_channels", 2, r"design\.memory_channels = 2: must be at most the part's 1"),
    ("memory_outstanding", 0, r"design\.memory_outstanding = 0: must be at least 1"),
    ("memory_burst_beats", 0, r"design\.memory_burst_beats = 0: must be at least 1"),
    ("memory_burst_beats", 100_000, r"design\.memory_burst_beats = 100000: makes bursts of 800000 bytes"),
    ("memory_efficiency_fraction", 0, r"design\.memory_efficiency_fraction = 0\.0: must be above 0"),
    ("memory_efficiency_fraction", 1.5, r"design\.memory_efficiency_fraction = 1\.5: must be above 0 and at most 1"),
    ("memory_latency_ns", -1.0, r"design\.memory_latency_ns = -1\.0: must be finite"),
    ("arrays", {}, r"products\.array = one: must be one of \(none described\)"),
    ("arrays", [1], r"design\.arrays = \[1\]: must be a table"),
    ("arrays.one.rows", 0, r"array\.rows = 0: must be at least 1"),
    ("arrays.one.rows", 1.5, r"design\.arrays\.one\.rows = 1\.5: must be of type int"),
    ("arrays.one.columns", -3, r"array\.columns = -3: must be at least 1"),
    ("arrays.one.n_arrays", 0, r"array\.n_arrays = 0: must be at least 1"),
    ("arrays.one.columns_per_dsp", 0, r"array\.columns_per_dsp = 0: must be at least 1"),
    ("arrays.one.products_per_position", 0, r"array\.products_per_position = 0: must be at least 1"),
    ("arrays.one.dataflow", "os", r"design\.arrays\.one\.dataflow = os: must be one of output_stationary"),
    ("arrays.one.row", 3, r"design\.arrays\.one\.row = 3: is not a known key.*Did you mean rows"),
    ("arrays.one.fold", {"depth_cycles": -1}, r"fold\.depth_cycles = -1: must not be negative"),
    ("arrays.one.fold", {"load": {"row": 1}}, r"design\.arrays\.one\.fold\.load\.row = 1: is not a known key"),
    ("array_presets", {"two": "ispass"}, r"design\.array_presets = two: must be one of one"),
    ("array_presets", {"one": "fast"}, r"design\.array_presets\.one = fast: must be one of scalesim_os"),
    ("array_presets", {"one": "scalesim_ws"}, r"array_presets\.one = scalesim_ws: is a count for weight_stationary"),
    ("same_hardware", {"two": "one"}, r"design\.same_hardware = two: must be one of one"),
    ("same_hardware", {"one": "two"}, r"design\.same_hardware\.one = two: must be one of one"),
    ("array_bits", {"two": [8, 8]}, r"design\.array_bits = two: must be one of one"),
    ("array_bits", {"one": [8]}, r"design\.array_bits\.one = .*: must"),
    ("array_bits", {"one": [4, 4]}, r"design\.array_bits\.one = 4 x 4: is narrower than 8 x 8 bits of query"),
    ("loops", {}, r"norm\.loops = outer: must be one of \(none described\)"),
    ("loops.norm.trips", "rows *", r"loops\.norm\.trips = rows \*: is not an expression"),
    ("loops.norm.trips", "lanes", r"loops\.norm\.trips = lanes: is not an expression of"),
    ("loops.norm.trips", "rows / 2", r"loops\.norm\.trips = rows / 2: is not an expression"),
    ("loops.norm.trips", "rows // 0", r"loops\.norm\.trips = rows // 0: is not an expression"),
    ("loops.norm.trips", "rows - 99", r"loops\.norm\.trips = rows - 99: is -83, must not be negative"),
    ("loops.norm.trips", "10 ** 3", r"loops\.norm\.trips = 10 \*\* 3: is not an expression"),
    ("loops.norm.trips", "9" * 20, r"loops\.norm\.trips = 9{20}: must be at most"),
    ("loops.norm.trips", "__import__('os')", r"loops\.norm\.trips = __import__\('os'\): is not an expression"),
    ("loops.norm.trips", [1], r"design\.loops\.norm\.trips = \[1\]: must be"),
    ("loops.norm.initiation_interval", -1, r"loop\.initiation_interval = -1: must not be negative"),
    ("loops.norm.depth_cycles", -1, r"loop\.depth_cycles = -1: must not be negative"),
    ("loops.norm.extra_cycles", -1, r"loop\.extra_cycles = -1: must not be negative"),
    ("loops.norm.parallel", 3, r"design\.loops\.norm\.parallel = 3: must be of type bool"),
    ("loops.norm.off_chip_bytes", "0 - 1", r"loops\.norm\.off_chip_bytes = 0 - 1: is -1, must not be negative"),
    ("loops.outer.body", ["inner"], r"loops\.outer\.body = inner: must be one of norm, outer"),
    ("loops.outer.body", ["outer"], r"loops\.outer\.body = outer: must not contain itself"),
    ("loops.norm", {"body": ["outer"]}, r"loops\.outer\.body = norm: must not contain itself|norm\.body = outer: must"),
    ("loops.outer.initiation_interval", 1, r"loop\.initiation_interval = 1: is of a pipelined loop, which has no body"),
    ("loops.norm", {"trips": 10**12, "initiation_interval": 10**6}, r"loops\.norm = .*: must be at most 10{15} cycles"),
    ("regions.0.name", None, r"design\.regions\[?0?\]?.*name = \(missing\): is required"),
    ("regions.0.stages", [], r"layer\.stages = \[\]: must be stages with names of their own"),
    ("regions.0.overlap", "parallel", r"overlap = parallel: must be one of sequential, packs, streaming"),
    ("regions.0.pack_rows", 0, r"layer\.pack_rows = 0: must be 1\.\."),
    ("regions.0.pack_rows", -4, r"layer\.pack_rows = -4: must be 1\.\."),
    ("regions.0.pack_rows", 1.5, r"pack_rows = 1\.5: must be"),
    ("regions.0.fifo_packs", 0, r"layer\.fifo_packs = 0: must be 1\.\."),
    ("regions.0.handshake_cycles", -1, r"layer\.handshake_cycles = -1: must be 0\.\."),
    ("regions.0.start_cycles", -1, r"layer\.start_cycles = -1: must be 0\.\."),
    ("regions.0.parallel_with_next", "yes", r"parallel_with_next = yes: must be of type bool"),
    ("regions.0.stages.0.name", "norm", r"layer\.stages = \['norm', 'norm'\]: must be stages with names of their own"),
    ("regions.0.stages.0.ops", ["conv"], r"layer\.ops = conv: must be one of query, key, value"),
    ("regions.0.stages.0.ops", "query", r"ops = query: must be a list"),
    ("regions.0.stages.0.ops", OPS[:-1], r"design\.regions = layer: execute no ffn_out\. Name every product"),
    ("regions.0.stages.0.includes", ["conv"], r"layer\.ops = conv: must be one of query, key, value"),
    ("regions.0.stages.0.array", "two", r"products\.array = two: must be one of one"),
    ("regions.0.stages.0.call_cycles", -1, r"products\.call_cycles = -1: must be 0\.\."),
    ("regions.0.stages.0.n_parallel_heads", 0, r"products\.n_parallel_heads = 0: must be at least 1"),
    (
        "regions.0.stages.0.first_result_cycles",
        10**13,
        r"products\.first_result_cycles = 10000000000000: must be 0\.\.",
    ),
    ("regions.0.stages.0.heads", HEADS, r"products\.ops = .*: must be empty in a stage with heads of its own"),
    ("regions.0.stages.1.loops", ["none"], r"norm\.loops = none: must be one of norm, outer"),
    ("regions.0.stages.0.after", ["norm"], r"products\.after = norm: must be one of \(none\)\. Order the stages"),
    ("regions.0.stages.1.after", ["norm"], r"norm\.after = norm: must be one of products\. Order the stages"),
    ("regions.0.stages.1.after", ["nothing"], r"norm\.after = nothing: must be one of products"),
    ("regions.0.stages.1.ops", ["nothing"], r"layer\.ops = nothing: must be one of query"),
    ("regions.0.stages.1.stage", 1, r"stage = 1: is not a known key"),
    ("network.shape", "gpt", r"network\.shape = gpt: must be one of albert-base"),
    ("network.n_layers", 0, r"n_layers = 0: must be"),
    ("network.hidden_size", 0, r"hidden_size = 0: must be"),
    ("network.hidden_size", 100, r"shape\.n_heads = 12: must divide hidden_size 100"),
    ("network.n_heads", 0, r"n_heads = 0: must be"),
    ("network.ffn_size", -1, r"ffn_size = -1: must be"),
    ("network.sequence_length", 0, r"network\.sequence_length = 0: must be 1\.\.1000000"),
    ("network.sequence_length", 2_000_000, r"network\.sequence_length = 2000000: must be 1\.\.1000000"),
    ("network.weight_bits", 3.5, r"design\.network\.weight_bits = 3\.5: must be of type int"),
    ("network.weight_bits", 64, r"--weight-bits = 64: must be 2\.\.8 or 16"),
    ("network.tokens", 3, r"design\.network\.tokens = 3: is not a known key"),
    ("products", [{"name": "p", "m": 1, "k": 1, "n": 1}], r"layer\.ops = query: must be one of p"),
    ("products", [{"name": "p", "m": 1, "k": 1}], r"n = \(missing\): is required"),
    ("constants", {"a": 1.5}, r"design\.constants\.a = 1\.5: must be of type int"),
    ("constants", {"rows": 1}, r"design\.constants = rows: is the name of a size"),
    ("expected.0.cycles", None, r"expected\.layer = .*: needs cycles, time_ms or power_mw"),
    ("expected.0.time_ms", 1.0, r"expected\.layer = .*: needs cycles, time_ms or power_mw"),
    ("expected.0.cycles", 0, r"expected\.cycles = 0: must be above 0"),
    ("expected.0.tolerance_fraction", 1.0, r"expected\.tolerance_fraction = 1\.0: must be 0 or more and below 1"),
    ("expected.0.role", "guess", r"role = guess: must be one of check, fit"),
    ("expected.0.kind", "rumour", r"kind = rumour: must be one of rtl"),
    ("expected.0.of", "layers", r"expected\.of = layers: must be layer, network, region NAME"),
    ("expected.0.of", "stage nothing", r"expected\.of = stage nothing: must be one of products, norm"),
    ("expected.0.of", "op nothing", r"expected\.of = op nothing: must be one of query"),
    ("expected.0.of", "region nothing", r"expected\.of = region nothing: must be one of layer"),
    ("expected.0.of", "product ffn_norm", r"expected\.of = product ffn_norm: is of an op without an array"),
    ("expected.0.memory", True, r"mine\.expected\.memory = True: needs a device, and loops with off_chip_bytes"),
    ("based_on", "nothing", r"mine\.toml\.based_on = nothing: is not one of"),
    ("based_on", "mine", r"mine\.toml\.based_on = mine: must be the name of another design"),
    ("based_on", "../other.toml", r"mine\.toml\.based_on = \.\./other\.toml: must be the name of another design"),
    ("based_on", 3, r"mine\.toml\.based_on = 3: must be the name of another design"),
]
IN_AN_ENGINE: list[tuple[str, Any, str]] = [
    ("device", None, r"design\.device = \(none\): must be a part"),
    ("array_rows", None, r"design\.array_rows = 0: must be at least 1"),
    ("array_rows", 0, r"design\.array_rows = 0: must be at least 1"),
    ("array_columns", "wide", r"design\.array_columns = wide: must be of type int"),
    ("n_arrays", 0, r"design\.n_arrays = 0: must be at least 1"),
    ("n_weight_buffers", 0, r"design\.n_weight_buffers = 0: must be at least 1"),
    ("macs_per_dsp", 3, r"design\.macs_per_dsp = 3: must be 1, 2 or 4"),
    ("dataflow", "spiral", r"design\.dataflow = spiral: must be one of output_stationary"),
    ("array_preset", "scalesim_ws", r"design\.array_preset = scalesim_ws: is a count for weight_stationary"),
    ("arrays", {"one": {"rows": 1, "columns": 1}}, r"design\.arrays = .*: is of a design with regions of stages"),
    ("loops", {"a": {}}, r"design\.loops = .*: is of a design with regions of stages"),
    ("constants", {"a": 1}, r"design\.constants = .*: is of a design with regions of stages"),
    ("layer_extra_cycles", 3, r"design\.layer_extra_cycles = 3: is of a design with regions of stages"),
    ("n_engines", 2, r"design\.n_engines = 2: must be 1 with mapping temporal"),
    ("engine_layers", [1, 2], r"design\.engine_layers = .*: must be 1 numbers of at least 1"),
    ("clock_mhz", 900.0, r"--clock-mhz = 900: is more than the 775 MHz of the clock tree"),
]


def changed(base: Table, path: str, value: Any) -> Table:
    """The table with one key set, or taken out where the value is None."""
    table = copy.deepcopy(base)
    *parents, last = path.split(".")
    here: Any = table
    for key in parents:
        here = here[int(key)] if isinstance(here, list) else here.setdefault(key, {})
    if value is None:
        del here[last]
    else:
        here[last] = value
    return table


def toml(value: Any) -> str:
    """A TOML value; tables inline."""
    match value:
        case dict():
            return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case _:
            return json.dumps(value)


def use(path: Path) -> None:
    """Everything that a validation or a run does with a design before it simulates."""
    design = load_design(path)
    device = load_device(design.device)
    if design.regions:
        validate_design(design)
    check_clock(design.clock_mhz, device, Resources())
    workload = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 32)
    device_channel(design, device)
    compile_program(workload, design, UNLIMITED, TaskCycles(occupancy_cycles=1, latency_cycles=1))


def file_of(table: Table, folder: Path) -> Path:
    path = folder / "mine.toml"
    path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in table.items()))
    return path


@pytest.mark.parametrize("base", [STAGES, ENGINE], ids=["stages", "engine"])
def test_the_files_that_are_changed_are_right(base: Table, tmp_path: Path) -> None:
    use(file_of(base, tmp_path))


@pytest.mark.parametrize(
    ("base", "path", "value", "message"),
    [(STAGES, *case) for case in IN_STAGES] + [(ENGINE, *case) for case in IN_AN_ENGINE],
)
def test_a_wrong_file_is_one_line(base: Table, path: str, value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        use(file_of(changed(base, path, value), tmp_path))
    line = str(refused.value)
    assert "\n" not in line
    assert re.fullmatch(r"\S.* = .*: .+\. .+", line, re.DOTALL)


def test_there_are_more_than_a_hundred() -> None:
    assert len(IN_STAGES) + len(IN_AN_ENGINE) > 100
