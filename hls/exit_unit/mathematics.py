"""The mathematics of an exit unit as text: its operations, and how wrong its tables can be."""

from __future__ import annotations

from hexit.hls.exit_unit.comparison import PartError
from hexit.hls.exit_unit.table_error import table_error
from hexit.quant.exits.operations import rule_operations
from hexit.quant.exits.unit import ExitUnitSpec


def mathematics_lines(spec: ExitUnitSpec) -> tuple[str, ...]:
    """Return the operations of a unit and the measured errors of its tables in lines of text for people."""
    operations = rule_operations(spec)
    sizes = {table.name: f"{table.name} {table.entries:,} x {table.bits} bits" for table in operations.tables}
    lines = [f"the rule asks for {', '.join(operations.published) or 'no exp, log, division or product'}"]
    for item in operations.treatments:
        what = "removed exactly" if item.fate == "removed" else item.fate
        named = f" ({', '.join(sizes[name] for name in item.tables)})" if item.tables else ""
        lines.append(f"{item.part}: {', '.join(item.operations)}: {what}{named}: {item.how}")
    n = operations.count
    lines.append(
        f"per event: subtractions {n.subtractions}, additions {n.additions}, comparisons {n.comparisons}, "
        f"look-ups {n.look_ups}, products {n.multiplications}; bits of state per sentence {operations.state_bits}"
    )
    return (*lines, *(f"{part.part}: {error_text(part)}" for part in table_error(spec).parts))


def error_text(part: PartError) -> str:
    """Return an error in one line: the worst measured, what is proven, and over how many inputs."""
    over = f"{part.n_inputs:,} inputs" if part.exhaustive else f"a share of {part.n_inputs:,} inputs"
    if part.n_wrong == 0 and part.worst == 0.0:
        return f"exact over {over}" if part.exhaustive else f"nothing wrong in {over}"
    wrong = f"{part.n_wrong:,} wrong of {over}" if part.n_wrong else f"over {over}"
    return f"worst {part.worst:.2g} {part.unit}, proven {part.bound:.2g}; {wrong}"


def error_cells(part: PartError) -> tuple[str, ...]:
    """Return an error as cells of a table: what is compared, inputs, wrong, early, worst, proven."""
    return (
        part.part,
        f"{part.n_inputs:,}" if part.exhaustive else f"{part.n_inputs:,} of more",
        f"{part.n_wrong:,}",
        f"{part.n_early:,}",
        f"{part.worst:.2g} {part.unit}" if part.worst else "0",
        f"{part.bound:.2g}",
    )
