"""What one unit is and costs, in figures with their evidence: for the screen, as JSON, for the project's README."""

from __future__ import annotations

from dataclasses import dataclass

from hexit.hw_model.area.resources import KINDS, Kind, available
from hexit.hw_model.device import Device
from hexit.hw_model.exit_unit.build import BuiltPart, ExitUnitBuild
from hexit.hw_model.exit_unit.timing import unit_timing
from hexit.quant.exits.cost import cost_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSummary:
    """A build on a device, with what its rule costs in mathematics; `n_events` vectors prove it."""

    build: ExitUnitBuild
    device: str
    device_shares: dict[str, dict[str, float | None]]
    stages: tuple[str, ...]
    mathematics: tuple[str, ...]
    n_events: int

    @property
    def parts(self) -> dict[str, BuiltPart]:
        """Decision, and head where there is one."""
        head = {"head": self.build.head} if self.build.head is not None else {}
        return {"decision": self.build.decision} | head

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of resources of which anything is used, LUTs and flip-flops always."""
        used = [kind for kind in KINDS if any(getattr(part.resources, kind) for part in self.parts.values())]
        return tuple(kind for kind in KINDS if kind in used or kind in ("lut", "ff", "dsp"))

    def lines(self) -> tuple[tuple[str, str], ...]:
        """Return names and values, ready to be shown."""
        spec, decision = self.build.spec, self.build.decision
        clock_ns = self.build.clock_period_ns
        classes = "one real output" if spec.n_classes == 1 else f"{spec.n_classes} classes"
        exits = (
            "every layer" if len(spec.evaluated_layers) == spec.n_layers else ", ".join(map(str, spec.evaluated_layers))
        )
        found = [
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
            found.insert(4, ("head", f"{text} ({head.evidence})"))
        return tuple(found)

    def area_lines(self) -> tuple[tuple[str, ...], ...]:
        """Return a header and a line per part: amounts, their share of the device, and how they are known."""
        lines = [(f"on {self.device}", *(kind.upper() for kind in self.kinds), "known by")]
        for name, part in self.parts.items():
            cells = []
            for kind in self.kinds:
                share = self.device_shares[name][kind]
                amount = f"{getattr(part.resources, kind):,}"
                cells.append(f"{amount} ({_percent(share)})" if share else amount)
            lines.append((name, *cells, part.tool))
        return tuple(lines)


def summarise(build: ExitUnitBuild, device: Device, n_events: int) -> UnitSummary:
    """Return the summary of a build; shares are of everything that the device has, None where it has none."""
    has = available(device)
    parts = {"decision": build.decision} | ({"head": build.head} if build.head is not None else {})
    shares = {
        name: {
            str(kind): getattr(part.resources, kind) / getattr(has, kind) if getattr(has, kind) else None
            for kind in KINDS
        }
        for name, part in parts.items()
    }
    return UnitSummary(
        build=build,
        device=device.name,
        device_shares=shares,
        stages=unit_timing(build.spec).stages,
        mathematics=cost_lines(build.spec),
        n_events=n_events,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share >= 0.0001 else "below 0.01 %"


def _cycles(n: int) -> str:
    return "cycle" if n == 1 else f"{n} cycles"
