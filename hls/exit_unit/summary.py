"""One unit in figures, its cycles and area with their evidence: for the screen, as JSON, for the project's README."""

from __future__ import annotations

from dataclasses import dataclass

from hexit.hls.exit_unit.mathematics import mathematics_lines
from hexit.hw_model.area.resources import KINDS, available
from hexit.hw_model.device import Device
from hexit.hw_model.exit_unit.build import BuiltPart, ExitUnitBuild
from hexit.hw_model.exit_unit.timing import unit_timing


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSummary:
    """A build on a device, with the mathematical operations of its rule; `n_events` vectors prove it."""

    build: ExitUnitBuild
    device: str
    device_shares: dict[str, dict[str, float | None]]
    stages: tuple[str, ...]
    mathematics: tuple[str, ...]
    n_events: int

    def lines(self) -> tuple[tuple[str, str], ...]:
        """Return names and values, ready to be shown."""
        spec, decision = self.build.spec, self.build.decision
        clock_ns = self.build.clock_period_ns
        classes = "one real output" if spec.n_classes == 1 else f"{spec.n_classes} classes"
        layers = spec.evaluated_layers
        exits = "every layer" if len(layers) == spec.n_layers else ", ".join(map(str, layers))
        lines = [
            ("rule", spec.rule),
            ("reads", f"{classes}, {spec.logit_bits}-bit logits, real logit = {spec.form.scale:.6g} x integer"),
            ("exits", f"{exits} of {spec.n_layers}; {spec.n_slots} sentence{'s' * (spec.n_slots > 1)} in flight"),
            (
                "latency",
                f"{decision.latency_cycles} cycles, {decision.latency_cycles * clock_ns:g} ns at {clock_ns:g} ns; one "
                f"decision every {_cycles(decision.initiation_interval_cycles)}",
            ),
            ("stages", " > ".join(stage.replace("_", " ") for stage in self.stages)),
            ("state", f"{spec.state_bits} bits a sentence"),
            *((("mathematics", line) if index == 0 else ("", line)) for index, line in enumerate(self.mathematics)),
            ("vectors", f"{self.n_events:,} events with golden answers"),
        ]
        if self.build.head is not None:
            head = self.build.head
            text = f"{head.latency_cycles} cycles, a new state every {_cycles(head.initiation_interval_cycles)}"
            lines.insert(4, ("head", f"{text} ({head.evidence})"))
        return tuple(lines)

    def area_lines(self) -> tuple[tuple[str, ...], ...]:
        """Return a header and a line per part: amounts, their share of the device, and how they are known."""
        parts = _parts(self.build)
        used = {kind for kind in KINDS if any(getattr(part.resources, kind) for part in parts.values())}
        kinds = [kind for kind in KINDS if kind in used | {"lut", "ff", "dsp"}]
        lines = [(f"on {self.device}", *(kind.upper() for kind in kinds), "known by")]
        for name, part in parts.items():
            cells = []
            for kind in kinds:
                share = self.device_shares[name][kind]
                amount = f"{getattr(part.resources, kind):,}"
                cells.append(f"{amount} ({_percent(share)})" if share else amount)
            lines.append((name, *cells, part.tool))
        return tuple(lines)


def summarise(build: ExitUnitBuild, device: Device, n_events: int) -> UnitSummary:
    """Return the summary of a build; shares are of everything that the device has, None where it has none."""
    on_device = {kind: getattr(available(device), kind) for kind in KINDS}
    shares = {
        name: {str(kind): getattr(part.resources, kind) / n if n else None for kind, n in on_device.items()}
        for name, part in _parts(build).items()
    }
    return UnitSummary(
        build=build,
        device=device.name,
        device_shares=shares,
        stages=unit_timing(build.spec).stages,
        mathematics=mathematics_lines(build.spec),
        n_events=n_events,
    )


def _parts(build: ExitUnitBuild) -> dict[str, BuiltPart]:
    """Decision, and head where there is one."""
    return {"decision": build.decision} | ({"head": build.head} if build.head is not None else {})


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share >= 0.0001 else "below 0.01 %"


def _cycles(n: int) -> str:
    return "cycle" if n == 1 else f"{n} cycles"
