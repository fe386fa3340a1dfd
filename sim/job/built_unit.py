"""What an exit unit that was built must have in common with the run that uses it (`hexit run --exit-unit`).

Every error names the one thing that differs, and the option that would make it equal.
"""

from __future__ import annotations

import dataclasses

from hexit.hw_model.accelerator import Accelerator
from hexit.hw_model.exit_unit.build import ExitUnitBuild
from hexit.quant.config import EncoderShape, QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import RULES, ExitRule, format_rule, parse_rule

FLAG = "--exit-unit"
AGAIN = "build the unit again: hexit hls"


def built_rule(build: ExitUnitBuild, text: str, threshold: float | None) -> ExitRule:
    """Return the rule of a built unit; ConfigError where --rule or --threshold name another one.

    A rule named without parameters has no settings that could differ.
    """
    rule = parse_rule(build.spec.rule)
    requested = parse_rule(text, threshold) if text else rule
    if not text and threshold is not None:
        principal = RULES[rule.name].principal
        requested = parse_rule(rule.name, threshold)
        if principal is not None:
            requested = dataclasses.replace(rule, **{principal: getattr(requested, principal)})
    names_it_alone = bool(text) and not text.partition(":")[2].strip() and threshold is None
    if requested != rule and not (names_it_alone and requested.name == rule.name):
        flag = "--rule" if text else "--threshold"
        requirement = f"is not the rule that the unit of {FLAG} decides, {build.spec.rule}"
        raise ConfigError(
            flag, format_rule(requested), requirement, f"Leave {flag} out, or {AGAIN} --rule '{format_rule(requested)}'"
        )
    return rule


def check_build(build: ExitUnitBuild, shape: EncoderShape, quant: QuantConfig, design: Accelerator) -> None:
    """Raise ConfigError where a built unit cannot read the model's logits, or cannot keep up with the design."""
    spec = build.spec
    for value, requirement, remedy, fits in (
        (f"{spec.n_classes} classes", f"the model has {shape.n_classes}", AGAIN, spec.n_classes == shape.n_classes),
        (f"{spec.n_layers} layers", f"the model has {shape.n_layers}", AGAIN, spec.n_layers == shape.n_layers),
        (
            f"logits of {spec.logit_bits} bits",
            f"the run makes logits of {quant.logit_bits}",
            f"use --logit-bits {spec.logit_bits}, or {AGAIN} --logit-bits {quant.logit_bits}",
            spec.logit_bits == quant.logit_bits,
        ),
        (
            f"state of {spec.n_slots} sentences",
            f"the run keeps {design.n_interleaved} in flight",
            f"use --batch {spec.n_slots}, or {AGAIN} --interleave {design.n_interleaved}",
            spec.n_slots >= design.n_interleaved,
        ),
        (
            f"clock period of {build.clock_period_ns:g} ns",
            f"the design runs at {design.clock_mhz:g} MHz",
            f"use --clock-mhz {1000 / build.clock_period_ns:g}, or {AGAIN} --clock-period {1000 / design.clock_mhz:g}",
            design.clock_mhz * build.clock_period_ns <= 1000 * (1 + 1e-9),  # its cycles hold for a clock of its own
        ),
    ):
        if not fits:
            raise ConfigError(FLAG, value, requirement, remedy[0].upper() + remedy[1:])


def check_scale(build: ExitUnitBuild, scale: float) -> None:
    """Raise ConfigError where the constants of a built unit belong to logits of another scale."""
    if build.spec.form.scale != scale:
        requirement = f"the run's logits have {scale!r}: another model or calibration"
        raise ConfigError(FLAG, f"logit scale {build.spec.form.scale!r}", requirement, AGAIN[0].upper() + AGAIN[1:])
