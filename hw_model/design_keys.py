"""What every key of a design file means: for `hexit run --list design-keys` and docs/design_file.md.

Names, types and defaults are those of the records; here stand units and words, and which record is which table.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.array import FoldTiming, SystolicArray
from hexit.hw_model.evidence import Expected, Network, Product
from hexit.hw_model.loops import Loop
from hexit.hw_model.stages import Region, Stage

BEGIN, END = "<!-- keys of {} -->", "<!-- end of keys -->"

_OURS_BY_FILE = {  # defaults that hw_model.design_files derives for an engine
    **dict.fromkeys(
        ("softmax_lanes", "layer_norm_lanes", "gelu_lanes", "add_lanes", "head_lanes"), "as many as array_columns"
    ),
    "weight_buffer_kib": "a quarter of the part's memory",
    "activation_buffer_kib": "an eighth of it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignKey:
    """One key: its table, name, unit, default in words, and meaning."""

    table: str
    name: str
    unit: str
    default: str
    meaning: str


TABLES: dict[str, tuple[Any, dict[str, tuple[str, str]]]] = {
    "design": (
        Accelerator,
        {
            "name": ("", "name"),
            "device": ("", "part of `hexit run --list devices`; a published design may name none"),
            "clock_mhz": ("MHz", "clock, 1..2000, at most what the part allows"),
            "array_rows": ("", "rows of positions of an engine's array"),
            "array_columns": ("", "columns of positions"),
            "n_arrays": ("", "arrays that share the folds of a product"),
            "products_per_position": ("", "multipliers behind one adder tree in each position"),
            "dataflow": ("", "`output_stationary`, `weight_stationary` or `input_stationary`"),
            "overlap_folds": ("", "fill and drain once per product, as our own RTL does; false: by every fold"),
            "fold_overhead_cycles": ("cycles", "control between two folds; our RTL needs none"),
            "array_preset": ("", "instead of our RTL and these two: the folds of a known tool or machine"),
            "fold": ("", "instead of these two: a table of its own"),
            "macs_per_dsp": ("", "1, 2 or 4 products per DSP where the widths allow it"),
            "softmax_lanes": ("per cycle", "elements that the softmax unit takes"),
            "layer_norm_lanes": ("per cycle", "the same, layer norm"),
            "gelu_lanes": ("per cycle", "the same, GELU"),
            "add_lanes": ("per cycle", "the same, residual adder"),
            "head_lanes": ("per cycle", "products of the exit head's own engine"),
            "softmax_depth_cycles": ("cycles", "last element in to last element out, softmax"),
            "layer_norm_depth_cycles": ("cycles", "the same, layer norm"),
            "gelu_depth_cycles": ("cycles", "the same, GELU"),
            "add_depth_cycles": ("cycles", "the same, residual adder"),
            "head_depth_cycles": ("cycles", "the same, exit head"),
            "vector_preset": ("", "`float_hls`: initiation intervals of floating-point accumulations in HLS"),
            "requantisation_lanes": ("per cycle", "results that leave an array (of stages: all of them)"),
            "requantisation_depth_cycles": ("cycles", "delay of a rescaled result"),
            "control_lut": ("LUT", "logic of an engine that belongs to no unit: state machines, address counters"),
            "control_ff": ("FF", "likewise"),
            "weight_buffer_kib": ("KiB", "weight buffer on chip"),
            "activation_buffer_kib": ("KiB", "activation buffer on chip"),
            "weight_placement": ("", "`on_chip`, `streamed`, or what fits"),
            "n_weight_buffers": ("", "panels of streamed weights in flight"),
            "memory_efficiency_fraction": ("fraction", "share of the part's peak bandwidth"),
            "memory_latency_ns": ("ns", "first word; the part's where absent"),
            "memory_channels": ("", "channels of the part that are used, all where absent"),
            "memory_port_bits": ("bit", "width of the AXI port of each channel; all ports of the part where absent"),
            "memory_burst_beats": ("beats", "length of a burst; 64 bytes where absent"),
            "memory_outstanding": ("", "requests under way at a port; no limit where absent"),
            "mapping": ("", "`spatial`: a pipeline of engines, [spatial.md](spatial.md)"),
            "n_engines": ("", "engines of a spatial pipeline"),
            "engine_layers": ("", "layers of each engine, e.g. `[1, 2, 3, 6]`; equal shares where absent"),
            "fifo_sentences": ("", "places between two engines"),
            "result_order": ("", "`as_finished` or `in_order`"),
            "exit_overlap": ("", "`stall`, `speculate` or `interleave` while an exit decides"),
            "n_interleaved": ("", "sentences resident at a time with `interleave`"),
            "share_weights": ("", "residents pass through each streamed weight panel together, "
                              "[simulator.md](simulator.md#sentences-that-share-weights)"),
            "regions": ("", "stages with hardware of their own instead of an engine"),
            "layer_extra_cycles": ("cycles", "around the regions of a layer"),
            "arrays": ("", "arrays of the stages, by name"),
            "array_presets": ("", "`NAME = \"preset\"`: an array's folds are those of a known tool or machine"),
            "same_hardware": ("", "`NAME = \"other\"`: an array is another one's multipliers, and takes no area"),
            "array_bits": ("", "`NAME = [left, right]`: widest operands in the cycles told, wider ones are refused"),
            "loops": ("", "loop nests of the stages, by name"),
            "constants": ("", "whole numbers of your own that expressions may name"),
            "network": ("", "what it was published with"),
            "products": ("", "matrix products that it was published with, instead of a network"),
            "title": ("", "what it is"),
            "source": ("", "where its figures come from"),
            "evidence": ("", "how they were obtained"),
            "configured": ("", "how the file was written, and what was fitted"),
            "kind": ("", "`rtl`, `hls_report`, `board`, `simulator` or `reported`"),
            "paper": ("", "designs of one paper share what is fitted to one of them"),
            "expected": ("", "published figures, or your own: what `hexit validate` compares with"),
        },
    ),
    "arrays.NAME": (
        SystolicArray,
        {
            "rows": ("", "rows of positions"),
            "columns": ("", "columns of positions"),
            "n_arrays": ("", "equal arrays that share the folds of a product"),
            "dataflow": ("", "`output_stationary`, `weight_stationary` or `input_stationary`"),
            "products_per_position": ("", "multipliers behind one adder tree in each position (dot products)"),
            "columns_per_dsp": ("", "products packed into one DSP: a fold has so many times `columns` results"),
            "fold": ("", "what a fold costs beyond the values that stream through it"),
        },
    ),
    "fold": (
        FoldTiming,
        {
            "load": ("cycles", "form: the stationary operand goes into the array before the fold streams"),
            "fill": ("cycles", "form: the first wavefront reaches the last corner; `{}` for none"),
            "drain": ("cycles", "form: results leave behind the last value"),
            "control": ("cycles", "form: between two folds"),
            "overlap_folds": ("", "a fold streams in while the one before drains"),
            "weight_load_overlap": ("", "the next stationary operand is loaded while a fold streams"),
            "depth_cycles": ("cycles", "once per product: registers, start of the control"),
            "stages_operands": ("", "operands are copied into the array's buffers first, results out afterwards"),
            "counts_from_zero": ("", "the published number is that of the last cycle, counted from 0 (SCALE-Sim)"),
        },
    ),
    "loops.NAME": (
        Loop,
        {
            "trips": ("", "number or expression: iterations"),
            "initiation_interval": ("cycles", "between two iterations of a pipelined loop; 0: not pipelined"),
            "depth_cycles": ("cycles", "pipelined: of one iteration; else what each trip adds to its body"),
            "extra_cycles": ("cycles", "once, around the loop"),
            "parallel": ("", "the loops of the body run side by side: the longest counts"),
            "off_chip_bytes": ("bytes", "expression: what the whole loop moves over the part's memory"),
            "body": ("", "names of the loops inside, one after the other; of loops that are not pipelined"),
        },
    ),
    "regions": (
        Region,
        {
            "name": ("", "name"),
            "stages": ("", "stages as below"),
            "overlap": ("", "`sequential`: stages take turns on all rows; `packs`: packs of rows pass from stage to "
                        "stage; `streaming`: as `packs`, and a stage begins before the one before is through"),
            "pack_rows": ("", "tokens of a pack; all rows where absent"),
            "handshake_cycles": ("cycles", "between two packs of one stage"),
            "fifo_packs": ("", "packs that fit between two stages: one does not start pack p before the next has "
                           "started pack p - fifo_packs"),
            "start_cycles": ("cycles", "once"),
            "parallel_with_next": ("", "the next region runs beside this one"),
        },
    ),
    "regions.stages": (
        Stage,
        {
            "name": ("", "name"),
            "ops": ("", "ops that it executes, one after the other; without ops its loops run once per pack"),
            "includes": ("", "ops that its loops execute together, or that hide behind its own"),
            "array": ("", "the array that takes the products"),
            "loops": ("", "loops that run for every op"),
            "call_cycles": ("cycles", "once per op and head"),
            "n_parallel_heads": ("", "heads side by side, each on hardware of its own; the others take turns"),
            "first_result_cycles": ("cycles", "`streaming`: after these the next stage may begin, and by these this "
                                    "one ends behind the one before"),
            "after": ("", "stages whose results it takes; the one before where absent"),
            "heads": ("", "a region inside this stage, whose packs are the heads of a pack"),
        },
    ),
    "network": (
        Network,
        {
            "shape": ("", "`bert-base`, `bert-large`, `albert-base` or `albert-large`"),
            "n_layers": ("", "what is different from that shape"),
            "hidden_size": ("", "the same"),
            "n_heads": ("", "the same"),
            "ffn_size": ("", "the same"),
            "sequence_length": ("tokens", "length"),
            "weight_bits": ("bit", "width of the weights"),
            "activation_bits": ("bit", "width of the activations"),
        },
    ),
    "products": (
        Product,
        {
            "name": ("", "name"),
            "m": ("", "rows of the left operand"),
            "k": ("", "columns of the left, rows of the right operand"),
            "n": ("", "columns of the right operand"),
            "count": ("", "equal products"),
        },
    ),
    "expected": (
        Expected,
        {
            "of": ("", "`layer`, `network`, `region NAME`, `stage NAME` or `op NAME` (one pack; one head inside "
                   "`heads`), `product NAME` (the array alone)"),
            "cycles": ("cycles", "the figure"),
            "time_ms": ("ms", "or the figure as a time"),
            "power_mw": ("mW", "or the mean power of the network, static power of the part included"),
            "memory": ("", "with the part's memory, else as if it never made anything wait"),
            "tolerance_fraction": ("fraction", "largest error that is still right; 0: exact"),
            "role": ("", "`check`, or `fit` where a constant of the file was chosen by this figure"),
            "kind": ("", "what the figure comes from; the design's `kind` where absent"),
            "note": ("", "text"),
        },
    ),
}  # fmt: skip


def design_keys() -> tuple[DesignKey, ...]:
    """Return every key of a design file, table by table, in the order of the records."""
    return tuple(
        DesignKey(table=table, name=field.name, unit=unit, default=_default(table, field), meaning=meaning)
        for table, (record, words) in TABLES.items()
        for field in dataclasses.fields(record)
        for unit, meaning in [words[field.name]]
    )


def _default(table: str, field: dataclasses.Field[Any]) -> str:
    if table == "design" and field.name in _OURS_BY_FILE:
        return _OURS_BY_FILE[field.name]
    if field.default_factory is not dataclasses.MISSING or field.default is None or field.default in ("", ()):
        return "none"
    if field.default is dataclasses.MISSING or (table == "design" and field.name in ("array_rows", "array_columns")):
        return "required"
    if dataclasses.is_dataclass(field.default):
        return "see below"
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


def with_key_tables(page: str) -> str:
    """Return a page of Markdown with the table of keys between each pair of its marks."""
    for table in TABLES:
        begin = BEGIN.format(table)
        before, found, rest = page.partition(begin)
        if found:
            page = before + begin + "\n" + _markdown(table) + END + rest.partition(END)[2]
    return page


def _markdown(table: str) -> str:
    lines = ["| key | unit | default | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{key.name}` | {key.unit} | {'' if key.default == 'none' else key.default} | {key.meaning} |"
        for key in design_keys()
        if key.table == table
    ]
    return "\n".join(lines) + "\n"
