"""What only the files of `--out` show, computed once: the sweep of all rules, a timeline, a roofline."""

from __future__ import annotations

from dataclasses import dataclass

from hexit.sim.analysis.roofline import Roofline, roofline
from hexit.sim.analysis.timeline import Timeline, sentence_timeline
from hexit.sim.job.experiment import RulePoint, sweep_rules
from hexit.sim.job.outcome import Outcome


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureData:
    """`curves`: settings of every rule, by its name. `timeline` and `roofline` are those of `Outcome.sentence`."""

    curves: dict[str, tuple[RulePoint, ...]]
    timeline: Timeline
    roofline: Roofline


def picture_data(outcome: Outcome) -> PictureData:
    """Compute what the pictures and timelines of a run need beside its outcome."""
    sentence = outcome.sentence
    return PictureData(
        curves=sweep_rules(outcome.source, outcome.setup.rule),
        timeline=sentence_timeline(sentence.run, sentence.exit_layer),
        roofline=roofline(sentence.run, sentence.exit_layer, outcome.with_exits.result),
    )
