"""The README of a generated folder: what the unit is, how it was proven, how to run each of its machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hexit.hls.tools.naming import markdown_text
from hexit.hls.tools.template_files import fill
from hexit.hls.tools.vendor import TOOLS

Rows = Sequence[Sequence[str]]


def project_readme(
    *,
    name: str,
    facts: Sequence[tuple[str, str]],
    area: Rows,
    constants: Mapping[str, int],
    backends: Sequence[str],
    interface: str,
    part: str,
    clock_period_ns: float,
    n_events: int,
    hidden_size: int = 0,
) -> str:
    """Return the text of README.md.

    `facts`: what there is to say, names and values; `area`: a header and one row per part; `constants`: those of
    hls.exit_unit.constants; `hidden_size`: inputs of the head, 0 without one. Texts are shown as they are, whatever
    they hold.
    """
    proofs = [f"| C simulation of `{backend}/` | `make -C {backend} csim` | g++, make |" for backend in backends]
    proofs.append("| RTL simulation | `make -C rtl sim`, waves: `make -C rtl vcd` | Verilator 5, g++, make |")
    behind_head = "they are pooled states of real sentences, since a project begins with the head"
    inputs = f"{hidden_size} integers of the pooled state" if hidden_size else f"{constants['N_CLASSES']} logits"
    return fill(
        "README.md",
        name=markdown_text(name),
        facts=_table(("", ""), facts),
        area=_table(area[0], area[1:]),
        ports=_table(("port", "direction", "bits", "meaning"), _ports(constants)),
        interface={"stream": "AXI-Stream", "parallel": "plain ports with valid flags"}[interface],
        inputs=inputs,
        first_exit_layer=str(constants["FIRST_EXIT_LAYER"]),
        proofs="\n".join(proofs),
        n_events=f"{n_events:,}",
        project_vectors=behind_head if hidden_size else "they are the same",
        builds="\n".join(f"| `make -C {backend} build` | {', '.join(TOOLS[backend])} |" for backend in backends),
        part=markdown_text(part),
        clock_period_ns=f"{clock_period_ns:g}",
        constants="\n".join(f"| `{key}` | {value} |" for key, value in constants.items()),
    )


def _ports(constants: Mapping[str, int]) -> list[tuple[str, str, str, str]]:
    """The fields of an event and of a decision, with their widths on the RTL."""
    logits = f"{constants['N_CLASSES']} x {constants['LOGIT_BITS']}"
    slot, layer = str(constants["SLOT_BITS"]), str(constants["LAYER_BITS"])
    confidence = "the integer that is compared" if constants["CONFIDENCE_BITS"] else "not built: 0"
    return [
        ("slot", "in", slot, "which of the sentences in flight, from 0"),
        ("layer", "in", layer, f"layer of the network, 1 to {constants['N_LAYERS']}"),
        ("logits", "in", logits, "integers in two's complement"),
        ("slot", "out", slot, "as it came in"),
        ("exit", "out", "1", "the sentence leaves here"),
        ("class", "out", str(constants["CLASS_BITS"]), "the largest logit, the first of equals"),
        ("layer", "out", layer, "as it came in"),
        ("confidence", "out", str(max(1, constants["CONFIDENCE_BITS"])), confidence),
    ]


def _table(header: Sequence[str], rows: Rows) -> str:
    lines = [header, ["---"] * len(header), *([markdown_text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
