"""The settings of a run's rule, chosen on text that the run is not evaluated on.

    --selection FILE                   labelled sentences
    selection.tsv beside the weights   the same, of a checkpoint that has them
    the calibration text               else: the network's own answers at full depth stand for labels, and what is
                                       measured is agreement with them

Sentences that are also evaluated are left out (equal up to case and white space). `hexit run` and `hexit hls` choose by
the same function, so that equal options give a run and the unit that is built for it the same settings.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from hexit.quant.config import QuantConfig
from hexit.quant.data.scores import Metric, metric_of
from hexit.quant.data.tasks import TextSet, load_texts, unlabelled_texts
from hexit.quant.errors import ConfigError
from hexit.quant.exits.goal import Goal
from hexit.quant.exits.rules import ExitRule, FixedDepthExit, OracleExit, parse_rule
from hexit.quant.hub import DEFAULT_MODEL, DEFAULT_SELECTION, SELECTION
from hexit.quant.traces.choice import Chosen, RivalRule, choose, describe, rival_rules, search
from hexit.quant.traces.store import Calibration, ModelCard, Store
from hexit.quant.traces.trace import ExitTrace
from hexit.sim.job.record import RuleOptions

Labels = Literal["given", "full depth"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionText:
    """What settings were chosen on: `n_left_out` more sentences are evaluated by the run.

    `labels` are given, or the network's own answers at full depth.
    """

    name: str
    n_sentences: int
    n_left_out: int
    labels: Labels
    content_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The goal, the text, the settings that were chosen, and the best settings of other rules at no more layers."""

    goal: Goal
    metric: Metric
    text: SelectionText
    chosen: Chosen
    rivals: tuple[RivalRule, ...]

    @property
    def rule(self) -> ExitRule:
        """The rule with the chosen settings."""
        return parse_rule(self.chosen.rule)


def chooses(rule: ExitRule, options: RuleOptions) -> bool:
    """Whether the settings of `rule` are to be chosen: none are typed, and it has some."""
    return options.goal is not None and (options.asked is not None or not isinstance(rule, OracleExit))


def undecided(rule: ExitRule, n_layers: int) -> ExitRule:
    """Return the rule that stands for one whose settings are still to be chosen, legal on every network."""
    return FixedDepthExit(layer=n_layers) if isinstance(rule, FixedDepthExit) else rule


def choose_rule(
    rule: ExitRule,
    options: RuleOptions,
    *,
    store: Store,
    card: ModelCard,
    evaluated: TextSet,
    quant: QuantConfig,
    calibration: Calibration,
    sequence_length: int,
    layers: tuple[int, ...] | None = None,
) -> Choice | None:
    """Return the settings that the options ask for, None where they are typed.

    `layers` have an exit, all by default. The logits of the selection text come from the cache or are recorded now.
    Raises ConfigError for a text with no sentence that is not evaluated, and for a goal that no setting reaches.
    """
    if not chooses(rule, options) or options.goal is None:
        return None
    texts, labels = _selection_texts(card, options.selection, calibration)
    kept = left_over(texts, evaluated)
    # both at once, so that the network is quantised once; the evaluated logits are only recorded here, not looked at
    trace, _ = store.quantised_traces(card, (kept, evaluated), quant, calibration, sequence_length)
    if labels == "full depth":
        trace = labelled_by_full_depth(trace)
    searched = search(undecided(rule, card.shape.n_layers), trace, layers)
    row = choose(searched, options.goal)
    return Choice(
        goal=options.goal,
        metric=metric_of(trace.n_classes),
        text=SelectionText(
            name=texts.name,
            n_sentences=len(kept),
            n_left_out=len(texts) - len(kept),
            labels=labels,
            content_hash=kept.content_hash,
        ),
        chosen=describe(searched, row),
        rivals=rival_rules(searched, row, trace, layers),
    )


def _selection_texts(card: ModelCard, chosen: str | None, calibration: Calibration) -> tuple[TextSet, Labels]:
    file = chosen or _selection_file(card)
    if file is not None:
        texts = load_texts(str(file), label_names=card.label_names, where="--selection")
        return (texts if chosen else dataclasses.replace(texts, name=f"{card.name}/{SELECTION}")), "given"
    return unlabelled_texts(calibration.source, calibration.sentences, card.label_names), "full depth"


def _selection_file(card: ModelCard) -> Path | None:
    """Return the selection text of a checkpoint: that beside its weights, of the shipped network the shipped one."""
    folder = Path(card.folder)
    beside = folder / SELECTION
    shipped = [DEFAULT_SELECTION] if folder.resolve() == DEFAULT_MODEL.resolve() else []
    return next((file for file in (beside, *shipped) if file.is_file()), None)


def left_over(texts: TextSet, evaluated: TextSet) -> TextSet:
    """Return the sentences that are not among the evaluated ones, compared without case and white space at ends.

    Raises ConfigError where none is left.
    """
    seen = set(_normalised(evaluated))
    kept = [index for index, one in enumerate(_normalised(texts)) if one not in seen]
    if not kept:
        requirement = f"every sentence of it is also evaluated ({evaluated.name})"
        remedy = "Give other labelled sentences with --selection, or settings with --threshold"
        raise ConfigError("--selection", texts.name, requirement, remedy)
    return texts if len(kept) == len(texts) else texts.subset(kept)


def _normalised(texts: TextSet) -> list[tuple[str, ...]]:
    columns = (texts.texts, *((texts.pairs,) if texts.pairs is not None else ()))
    return [tuple(" ".join(part.split()).casefold() for part in sample) for sample in zip(*columns, strict=True)]


def labelled_by_full_depth(trace: ExitTrace) -> ExitTrace:
    """Return the trace with the answers of its own last layer as labels."""
    if trace.n_classes == 1:
        return dataclasses.replace(trace, labels=np.ascontiguousarray(trace.real_logits[-1, :, 0]))
    return dataclasses.replace(trace, labels=trace.logits[-1].argmax(axis=1).astype(np.int64))
