"""`hexit run --list rules|devices|designs|design-keys|shapes|options`: what there is, with numbers and sources."""

from __future__ import annotations

import itertools

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hexit.hw_model.design_files import list_designs, list_published, load_design
from hexit.hw_model.design_keys import design_keys
from hexit.hw_model.device import list_devices, load_device
from hexit.hw_model.machine.op_cycles import missing_products
from hexit.quant.config import QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import RULES, parameters
from hexit.quant.options import options_of
from hexit.quant.shapes import SHAPES, parameter_counts
from hexit.quant.workload import encoder_workload
from hexit.sim.commands.table import plain_table
from hexit.sim.job.record import Job

ANY_NETWORK = encoder_workload(SHAPES["albert-base"], QuantConfig.uniform(8), 1)  # ops have the same names in all


def print_list(what: str, console: Console) -> None:
    """Print one catalogue; ConfigError for a name that is none."""
    catalogues = {
        "rules": _rules,
        "devices": _devices,
        "designs": _designs,
        "design-keys": _design_keys,
        "shapes": _shapes,
        "options": _options,
    }
    if what not in catalogues:
        raise ConfigError("--list", what, f"must be one of {', '.join(catalogues)}", "Try --list rules")
    console.print(*catalogues[what](), sep="\n")


def _rules() -> tuple[Table]:
    table = plain_table("rule", "exits when", "parameters (* set by --threshold)", "source")
    for name, kind in RULES.items():
        lines = [
            f"{'*' if p.name == kind.principal else ' '}{p.name}={p.default}: {p.help} ({p.legal})"
            for p in parameters(kind)
        ]
        table.add_row(name, kind.equation, "\n".join(lines), kind.source)
        table.add_section()
    return (table,)


def _devices() -> tuple[Table, Table]:
    table = plain_table("device", "# LUT", "# FF", "# DSP", "# BRAM18", "# URAM", "# GB/s", "memory")
    origins = plain_table("device", "part", "source")
    for name in list_devices():
        part = load_device(name)
        counts = (f"{n:,}" for n in (part.lut, part.ff, part.dsp, part.bram18, part.uram))
        table.add_row(name, *counts, f"{part.memory_bandwidth_gb_s:g}", part.memory_kind)
        origins.add_row(name, part.part, part.source)
    return table, origins


def _designs() -> tuple[Table, Table]:
    table = plain_table("design", "device", "# MHz", "# arrays", "# KiB", "exits")
    for name in list_designs():
        design = load_design(name)
        products = f"x{design.products_per_position}" * (design.products_per_position > 1)
        table.add_row(
            name,
            design.device,
            f"{design.clock_mhz:g}",
            f"{design.n_arrays} of " * (design.n_arrays > 1) + f"{design.array_rows}x{design.array_columns}{products}",
            f"{design.weight_buffer_kib}+{design.activation_buffer_kib}",
            design.exit_overlap
            + f" {design.n_interleaved}" * (design.n_interleaved > 1)
            + ", shared weights" * design.share_weights
            + f", {design.n_engines} engines" * (design.n_engines > 1),
        )
    table.caption = "arrays: rows x columns (x products of a position); KiB: weights + activations"
    published = plain_table("published", "device", "# MHz", "# stages", "# MACs", "runs", "# figures")
    for name in list_published():
        design = load_design(name)
        runs = "products" if design.products else "a block" if missing_products(design, ANY_NETWORK) else "networks"
        n_stages = sum(len(region.stages) for region in design.regions)
        macs = f"{design.n_macs:,}" if design.n_macs else "loops"
        cells = (f"{design.clock_mhz:g}", str(n_stages), macs, runs, str(len(design.expected)))
        published.add_row(name, design.device or "none", *cells)
    published.caption = "for hexit validate, and where networks run for hexit run --design"
    return table, published


def _design_keys() -> tuple[Table]:
    table = plain_table("key", "meaning")
    for name, keys in itertools.groupby(design_keys(), key=lambda key: key.table):
        table.add_row(Text(name, style="bold"), "")
        for key in keys:
            unit = f" ({key.unit})" * bool(key.unit)
            default = {"none": "", "required": "; required"}.get(key.default, f"; default: {key.default}")
            table.add_row(f"  {key.name}", Text(key.meaning.replace("`", "") + unit + default))
        table.add_section()
    table.caption = "a page with examples: docs/design_file.md"
    return (table,)


def _shapes() -> tuple[Table]:
    table = plain_table("shape", "# layers", "# hidden", "# heads", "# ffn", "# embedding", "weights", "# M parameters")
    for name, shape in SHAPES.items():
        numbers = (shape.n_layers, shape.hidden_size, shape.n_heads, shape.ffn_size, shape.embedding_size)
        table.add_row(
            name,
            *map(str, numbers),
            shape.layer_weights,
            f"{parameter_counts(shape).n_published / 1e6:.2f}",
        )
    return (table,)


def _options() -> tuple[Table]:
    table = plain_table("key in a job file", "option", "default")
    for one in options_of(Job):
        table.add_row(one.key, one.flag, "" if one.default is None else str(one.default))
    table.caption = "what each one is: hexit run --help"
    return (table,)
