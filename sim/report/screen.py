"""The report on one terminal screen."""

from __future__ import annotations

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from hexit.hw_model.accelerator import Accelerator
from hexit.sim.report.record import PERCENTILES, Report
from hexit.sim.report.verdicts import choice_lines, comparison_lines

BAR_WIDTH = 24  # characters of the longest bar
TWO_COLUMNS = 150  # characters that both halves need side by side


def print_report(report: Report, console: Console) -> None:
    """Print the report: what ran, how good, how early, how fast, how large, and how far it was checked."""
    console.print(_title(report))
    console.print()
    if console.width >= TWO_COLUMNS:
        grid = Table.grid(padding=(0, 3))
        grid.add_row(
            Group(_accuracy(report), Text(), _speed(report), Text(), _exit_unit(report)),
            Group(_exits(report), Text(), _resources(report)),
        )
        console.print(grid)
    else:
        console.print(
            Group(
                _accuracy(report),
                Text(),
                _exits(report),
                Text(),
                _speed(report),
                Text(),
                _exit_unit(report),
                Text(),
                _resources(report),
            )
        )
    console.print(Text())
    console.print(_stream(report))
    console.print(_waiting(report))
    console.print(_units(report))
    console.print(_checks(report))


def _title(report: Report) -> Text:
    configuration, data = report.configuration, report.data
    shape, design, bits = configuration.shape, configuration.design, configuration.bits
    text = Text()
    text.append(
        f"{shape.n_layers} layers x {shape.hidden_size}, {shape.layer_weights}, "
        f"{report.n_parameters / 1e6:.2f} M parameters; "
    )
    text.append(f"W{bits.weight_bits}A{bits.activation_bits}{' power-of-two scales' if bits.power_of_two else ''}; ")
    text.append(f"rule {configuration.rule}\n", style="bold")
    text.append(
        f"{data.name}: {data.n_samples} sentences, {data.mean_tokens:.1f} tokens on average, padded to "
        f"{configuration.sequence_length}"
    )
    if data.n_truncated:
        text.append(f", {data.n_truncated} cut", style="yellow")
    text.append(
        f"\n{configuration.device.title}: design {design.name}, {_hardware(design)} "
        f"at {design.clock_mhz:g} MHz, {design.exit_overlap}"
        + (f" {design.n_interleaved}" if design.n_interleaved > 1 else "")
        + (" with shared weights" if design.share_weights else "")
        + f", weights {'on chip' if report.weights_on_chip else 'streamed'}"
    )
    return text


def _hardware(design: Accelerator) -> str:
    if not design.regions:
        return f"{design.array_rows} x {design.array_columns} array"
    n_stages = sum(len(region.stages) for region in design.regions)
    return f"{n_stages} stages, {f'{design.n_macs:,} MACs together' if design.n_macs else 'all loop nests'}"


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    return table


def _score(report: Report, value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{100 * value:.2f} %" if report.accuracy.metric == "accuracy_fraction" else f"{value:.3f}"


def _accuracy(report: Report) -> RenderableType:
    accuracy = report.accuracy
    table = _table(
        "accuracy" if accuracy.metric == "accuracy_fraction" else accuracy.metric, "full depth", "with exits"
    )
    table.add_row("float", _score(report, accuracy.float), _score(report, accuracy.float_with_exits))
    table.add_row("quantised", _score(report, accuracy.quantised), _score(report, accuracy.with_exits), style="bold")
    if accuracy.reference is not None:
        reference = accuracy.reference
        table.add_row(
            f"reference ({reference.compute}, {reference.processor})", _score(report, reference.scores[-1]), ""
        )
    return table


def _exits(report: Report) -> RenderableType:
    histogram, total = report.exits.histogram, report.data.n_samples
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("exit", justify="right")
    table.add_column("sentences", justify="right")
    table.add_column(f"mean layer {report.exits.mean_layer:.2f} of {len(histogram)}")
    table.add_column("this exit alone", justify="right")
    longest = max(histogram)
    alone = report.accuracy.quantised_by_exit or (None,) * len(histogram)
    for layer, (count, value) in enumerate(zip(histogram, alone, strict=True), 1):
        bar = f"[cyan]{'█' * round(BAR_WIDTH * count / longest)}[/] {100 * count / total:.1f} %"
        table.add_row(str(layer), str(count), bar, _score(report, value))
    lines = [] if report.comparison is None else [comparison_lines(report.comparison, report.accuracy.metric)]
    lines += [] if report.choice is None else [choice_lines(report.choice)]
    return Group(table, *lines)


def _speed(report: Report) -> RenderableType:
    latency, speedup = report.latency_us, report.speedup
    table = _table("", "with exits", "full depth", "gain")
    clock = report.configuration.design.clock_mhz
    table.add_row("layers", f"{report.exits.mean_layer:.2f}", str(len(report.exits.histogram)), f"{speedup.layer:.2f}x")
    table.add_row("multiply-accumulates", "", "", f"{speedup.mac:.2f}x")
    table.add_row(
        "latency mean",
        f"{latency.mean:.1f} us",
        f"{latency.full_depth:.1f} us",
        f"{speedup.latency:.2f}x",
        style="bold",
    )
    for name in PERCENTILES:
        table.add_row(f"latency {name.replace('_', '.')}", f"{getattr(latency, name):.1f} us", "", "")
    table.add_row("throughput", f"{report.throughput_per_s:,.0f} /s", "", "")
    ratio = report.energy_full_depth_uj / report.energy_uj
    table.add_row(
        "energy a sentence", f"{report.energy_uj:,.0f} uJ", f"{report.energy_full_depth_uj:,.0f} uJ", f"{ratio:.2f}x"
    )
    static = report.energy_parts_uj.static_uj / report.energy_uj
    table.add_row("power (static part)", f"{report.average_power_mw / 1000:.2f} W ({_percent(static)})", "", "")
    table.add_row("sentences/s/W", f"{report.sentences_per_joule:,.1f}", "", "")
    table.add_row(
        "one layer and its exit", f"{report.layer_cycles:,} cycles", f"{report.layer_cycles / clock:.1f} us", ""
    )
    if report.layer_roofline_cycles is not None:
        table.add_row(
            f"  of which array{'s at their' if report.configuration.design.regions else ' at its'} peak",
            f"{report.layer_roofline_cycles:,} cycles",
            f"{100 * report.layer_roofline_cycles / report.layer_cycles:.0f} %",
            "",
        )
    return table


def _resources(report: Report) -> RenderableType:
    table = _table("resource", "used", "available", "share", "largest user")
    for kind, usage in report.resources.items():
        largest = max(report.resource_parts, key=lambda part: report.resource_parts[part][kind])
        share = f"{100 * usage.used / usage.available:.1f} %" if usage.available else "-"
        table.add_row(
            kind.upper(),
            f"{usage.used:,}",
            f"{usage.available:,}",
            share,
            largest.replace("_", " ") if usage.used else "",
        )
    if report.configuration.design.regions:
        return Group(table, Text(_not_counted(report), style="yellow"), _clock(report))
    return Group(table, _clock(report))


def _not_counted(report: Report) -> str:
    """What stages have beside the units of the table (hw_model.area.stage_units)."""
    design, parts = report.configuration.design, ["loop nests", "FIFOs"]
    parts += ["weights"] * (not design.weight_buffer_kib) + ["activations"] * (not design.activation_buffer_kib)
    return f"not counted: {', '.join(parts)}; the whole design takes more"


def _clock(report: Report) -> Text:
    limit, fill = report.clock, f"{100 * report.clock.fill_fraction:.0f} %"
    text = f"clock: {report.configuration.design.clock_mhz:g} MHz"
    if limit.highest_mhz is None:
        text += f"; what {report.configuration.device.part} allows is not known"
    else:
        text += f" of at most {limit.highest_mhz:g} ({limit.limited_by})"
    if limit.published is None:
        return Text(f"{text}; no published accelerator here is as full ({fill})")
    return Text(f"{text}; published and as full ({fill}): {limit.published.clock_mhz:g} MHz, {limit.published.name}")


def _exit_unit(report: Report) -> RenderableType:
    unit = report.exit_unit
    parts = {"head": unit.head, "decision": unit.decision}
    times = _table("exit", "cycles", "of a layer and its exit", "of latency", "evidence")
    for name, part in parts.items():
        shares = (_share(part.layer_fraction), _share(part.sentence_fraction))
        times.add_row(name, f"{part.latency_cycles:,}", *shares, part.evidence)
    kinds = [kind for kind in unit.head.area if any(part.area[kind].used for part in parts.values())]
    area = _table("exit", *map(str.upper, kinds))
    for name, part in parts.items():
        area.add_row(name, *(f"{part.area[kind].used:,}" for kind in kinds))
    for name, field in (("both, of the design", "design_fraction"), ("both, of the part", "device_fraction")):
        both = (sum(getattr(part.area[kind], field) or 0 for part in parts.values()) for kind in kinds)
        area.add_row(name, *map(_share, both))
    source = f"area of the decision: {unit.decision.tool}"
    if unit.built:
        source = f"built for {unit.part} at {unit.clock_period_ns:g} ns; head: {unit.head.tool}; {source}"
    return Group(times, Text(), area, Text(source, style="dim"))


def _share(fraction: float) -> str:
    """Two digits, so that a part of a few cycles or LUTs is not nothing."""
    return f"{float(f'{100 * fraction:.2g}'):g} %"


def _stream(report: Report) -> Text:
    stream, configuration = report.stream, report.configuration.stream
    closed = stream.offered_per_s is None
    text = Text(f"stream: {stream.n_sentences:,} sentences, {configuration.arrivals}")
    if closed:
        text.append(" loop: each comes when the design can take it, so nobody waits and latency is service")
    else:
        text.append(
            f", {stream.offered_per_s:,.1f} /s offered; mean wait {stream.mean_wait_us:,.1f} us, "
            f"{stream.mean_waiting:,.2f} waiting on average, {stream.max_waiting:,} at most"
        )
    n_dropped = stream.n_dropped_full + stream.n_dropped_late
    if n_dropped:
        share = _share(n_dropped / stream.n_sentences)
        text.append(f"\n{n_dropped:,} dropped ({share}): ", style="yellow")
        text.append(f"{stream.n_dropped_full:,} found the queue full, {stream.n_dropped_late:,} waited too long")
    if stream.n_missed is not None:
        share = _share(stream.n_missed / stream.n_sentences)
        style = "yellow" if stream.n_missed else ""
        text.append(
            f"\n{stream.n_missed:,} served after the deadline of {configuration.admission.deadline_us:g} us ({share})",
            style=style,
        )
    if stream.n_lengths > 1:
        text.append(f"\nlengths {configuration.lengths}: {stream.n_lengths} of them")
        text.append(f", {stream.mean_hardware_tokens:.1f} tokens on average")
    saturation = stream.saturation
    if saturation is not None:
        p99 = "" if saturation.p99_latency_us is None else f", p99 {saturation.p99_latency_us:,.1f} us"
        text.append(f"\nhighest sustained rate {saturation.sustained_per_s:,.1f} /s", style="bold")
        text.append(f" ({saturation.arrivals.partition(':')[0]}{p99}), capacity {saturation.capacity_per_s:,.1f} /s")
    return text


def _waiting(report: Report) -> Text:
    memory, array = report.memory, report.stall_cycles.units[report.busiest_unit]
    latency_cycles = sum(array.values())
    waits = sorted(((n, cause) for cause, n in array.items() if cause not in {"busy", "squashed"}), reverse=True)
    causes = ", ".join(f"{_share(n / latency_cycles)} {cause.replace('_', ' ')}" for n, cause in waits[:3])
    text = Text(f"a lone sentence to exit {memory.exit_layer}: kernel {memory.kernel_us:,.1f} us, with transfers ")
    text.append(f"{memory.with_transfers_us:,.1f} us ({memory.bytes_per_cycle:.4g} bytes per cycle, limited by ")
    text.append(f"{memory.limited_by}); {_worker(report)} waits: {causes or 'never'}")
    use = report.array_use
    if use is not None:
        whose = "; all arrays at their" if report.configuration.design.regions else "; at its"
        text.append(f"{whose} peak {_percent(use.peak_fraction)} of the time")
    if use is not None and use.token_fraction is not None:
        text.append(f", on tokens that are not padding {_percent(use.token_fraction)}")
    if report.engines is not None:
        shares = ", ".join(
            f"layers {engine.first_layer}-{engine.last_layer} {100 * engine.busy_fraction:.0f} %"
            for engine in report.engines.engines
        )
        text.append(f"\nengines at work: {shares}")
        buffers = report.engines.buffers
        if buffers is not None:
            text.append(
                f"; this stream needs a FIFO of {buffers.fifo_sentences}, {buffers.reorder_results} places to put "
                f"results in order, {buffers.conditional_states} for undecided hidden states"
            )
    return text


def _worker(report: Report) -> str:
    stages = report.configuration.design.regions
    return f"stage {report.busiest_unit}" if stages else "the array"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def _units(report: Report) -> RenderableType:
    shown = ", ".join(f"{name.replace('_', ' ')} {_percent(share)}" for name, share in report.utilisation.items())
    text = Text(f"utilisation: {shown}")
    if report.energy_saved_static_fraction is not None:
        text.append(f"; {_percent(report.energy_saved_static_fraction)} of saved energy is static")
    if report.wasted_fraction:
        text.append(f"; {100 * report.wasted_fraction:.1f} % of all busy cycles squashed", style="yellow")
    return text


def _checks(report: Report) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("figures", style="dim")
    table.add_column("how far checked", style="dim")
    for check in report.checks:
        table.add_row(check.figures, check.how)
    return table
