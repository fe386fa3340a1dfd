"""A report as one row of a table: what runs are compared by, flat."""

from __future__ import annotations

import math

from hexit.sim.analysis.comparison import Rival
from hexit.sim.report.record import PERCENTILES, Report


def row(report: Report) -> dict[str, float | int | str]:
    """Return the main figures of a run by name, for a line of a sweep; what is not known is NaN.

    >>> pandas.DataFrame([row(report) for report in reports])  # doctest: +SKIP
    """
    configuration, latency, stream = report.configuration, report.latency_us, report.stream
    choice, comparison = report.choice, report.comparison
    bits, design, saturation = configuration.bits, configuration.design, report.stream.saturation
    return {
        "rule": configuration.rule,
        "weight_bits": bits.weight_bits,
        "activation_bits": bits.activation_bits,
        "logit_bits": bits.logit_bits,
        "design": design.name,
        "device": configuration.device.name,
        "clock_mhz": design.clock_mhz,
        "exit_overlap": design.exit_overlap,
        "n_interleaved": design.n_interleaved,
        "n_sharing_weights": design.n_interleaved if design.share_weights else 1,
        "sequence_length": configuration.sequence_length,
        "data": report.data.name,
        "arrivals": configuration.stream.arrivals,
        "seed": configuration.seed,
        "metric": report.accuracy.metric,
        "accuracy": _known(report.accuracy.with_exits),
        "accuracy_full_depth": _known(report.accuracy.quantised),
        "accuracy_float": _known(report.accuracy.float),
        **_rival("fixed_depth", comparison.fixed_depth if comparison else None),
        **_rival("full_depth", comparison.full_depth if comparison else None),
        "fixed_depth_layer": _known(comparison.fixed_depth.layer if comparison else None),
        "chosen_on": choice.text.name if choice else "",
        "chosen_score": _known(choice.chosen.score if choice else None),
        "chosen_drop": _known(choice.chosen.drop if choice else None),
        "chosen_mean_layer": _known(choice.chosen.mean_layer if choice else None),
        "mean_layer": report.exits.mean_layer,
        "speedup_layer": report.speedup.layer,
        "speedup_mac": report.speedup.mac,
        "speedup_latency": report.speedup.latency,
        "latency_mean_us": latency.mean,
        **{f"latency_{name}_us": getattr(latency, name) for name in PERCENTILES},
        "latency_max_us": latency.max,
        "latency_full_depth_us": latency.full_depth,
        "n_sentences": stream.n_sentences,
        "n_dropped": stream.n_dropped_full + stream.n_dropped_late,
        "mean_wait_us": stream.mean_wait_us,
        "throughput_per_s": report.throughput_per_s,
        "sustained_per_s": _known(saturation.sustained_per_s if saturation else None),
        "energy_uj": report.energy_uj,
        "energy_full_depth_uj": report.energy_full_depth_uj,
        "average_power_mw": report.average_power_mw,
        "sentences_per_joule": report.sentences_per_joule,
        "array_fraction": report.utilisation["array"],
        "wasted_fraction": report.wasted_fraction,
        **{kind: usage.used for kind, usage in report.resources.items()},
        **{f"{kind}_fraction": _share(usage.used, usage.available) for kind, usage in report.resources.items()},
    }


def _rival(name: str, rival: Rival | None) -> dict[str, float]:
    """The run against a fixed depth: gain in score, the ends of its interval, the p-value."""
    figures = (
        (rival.difference, rival.difference_interval.low, rival.difference_interval.high) if rival else (None,) * 3
    )
    p_value = rival.p_value if rival else None
    names = (f"gain_over_{name}{part}" for part in ("", "_low", "_high", "_p"))
    return dict(zip(names, map(_known, (*figures, p_value)), strict=True))


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _share(used: int, available: int) -> float:
    return used / available if available else math.nan
