"""Streams for proofs: they reach both sides of every threshold, and their answers are the golden model's."""

from __future__ import annotations

import numpy as np
import pytest

from hexit.hls.exit_unit.constants import constants
from hexit.hls.exit_unit.vectors import (
    EventStream,
    decisions_text,
    edge_logits,
    event_stream,
    events_text,
    proof_events,
    proof_logits,
    read_events,
)
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import parse_rule
from hexit.quant.exits.unit import ExitUnitSpec, decide_events, exit_unit_spec

CASES = (
    ("hardware", 2),
    ("elbert:bias=bias_2,window=3", 2),
    ("elbert:bias=bias_3,window=3,range_limit=0.2", 3),
    ("pabee:patience=2", 3),
    ("pabee-regression:patience=2", 1),
    ("entropy:threshold=0.5", 3),
    ("max-probability:threshold=0.7", 10),
)


def spec_of(rule: str, n_classes: int, **options: object) -> ExitUnitSpec:
    given: dict[str, object] = {"n_layers": 6, "scale": 2.0**-5, "logit_bits": 10, "n_classes": n_classes}
    return exit_unit_spec(parse_rule(rule), **(given | options))  # type: ignore[arg-type]


def replay(spec: ExitUnitSpec, stream: EventStream) -> list[int]:
    """The exit flag of every event, sentence by sentence, from the golden model of complete sentences."""
    flags = [-1] * stream.n_events
    for slot in range(spec.n_slots):
        events = np.flatnonzero(stream.slot == slot)
        starts = [i for i, e in enumerate(events) if i == 0 or stream.layer[e] <= stream.layer[events[i - 1]]]
        for first, last in zip(starts, [*starts[1:], len(events)], strict=True):
            of_sentence = events[first:last]
            logits = np.zeros((spec.n_layers, 1, spec.n_classes), dtype=np.int64)
            logits[stream.layer[of_sentence] - 1, 0] = stream.logits[of_sentence]
            output = decide_events(spec, logits)
            for event in of_sentence:
                flags[event] = int(output.exit[stream.layer[event] - 1, 0])
    return flags


@pytest.mark.parametrize(("rule", "n_classes"), CASES)
def test_answers_are_those_of_whole_sentences(rule: str, n_classes: int) -> None:
    spec = spec_of(rule, n_classes, n_slots=3, evaluated_layers=(2, 3, 4, 6))
    stream = proof_events(spec, 600, seed=1)
    assert stream.n_events == 600
    assert stream.exit.tolist() == replay(spec, stream)
    assert 0.02 < stream.exit[stream.layer < 6].mean() < 0.98  # both answers occur
    assert set(stream.slot) == {0, 1, 2}
    assert {1, 5} <= set(stream.layer)  # layers without an exit are sent


@pytest.mark.parametrize(("rule", "n_classes"), [CASES[0], *CASES[-2:]])
def test_edges_are_one_step_from_the_other_answer(rule: str, n_classes: int) -> None:
    spec = spec_of(rule.replace("hardware", "hardware:run_length=9"), n_classes)
    edges = edge_logits(spec, (6, 400, n_classes), seed=2)
    exits = decide_events(spec, edges).exit[:5]
    flipped = np.zeros_like(exits)
    for position in range(n_classes):
        for step in (-2, -1, 1, 2):
            moved = edges.copy()
            moved[..., position] = np.clip(moved[..., position] + step, -512, 511)
            flipped |= decide_events(spec, moved).exit[:5] != exits
    assert flipped.mean() > 0.5


@pytest.mark.parametrize(("rule", "n_classes"), CASES)
def test_events_read_back_get_the_answers_that_they_were_written_with(rule: str, n_classes: int) -> None:
    spec = spec_of(rule, n_classes, n_slots=4, evaluated_layers=(1, 2, 4, 6))
    stream = proof_events(spec, 3000, seed=7)
    again = read_events(spec, events_text(stream))
    assert decisions_text(again) == decisions_text(stream)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1 x 3\n", "events.txt = "),
        ("0 1 3\n", "events.txt = 3: must have 4 columns."),
        ("1 1 3 4\n", "events slot = 1: must be 0..0."),
        ("0 7 3 4\n", "events layer = 7: must be 1..6."),
        ("0 1 3 9999\n", "logits = 9999: must fit 10 bits."),
    ],
)
def test_lines_that_are_no_events_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_events(spec_of("hardware", 2), text)
    assert str(caught.value).startswith(message)


def test_the_ends_of_the_range_and_ties_occur() -> None:
    logits = proof_logits(spec_of("hardware", 2), 500, seed=3)
    difference = abs(logits[..., 0] - logits[..., 1])
    assert (logits.min(), logits.max(), difference.max()) == (-512, 511, 1023)
    least = constants(spec_of("hardware", 2))["MIN_DIFFERENCE"]
    assert {0, 1, least - 1, least, least + 1} <= set(difference.ravel().tolist())


def test_half_of_the_sentences_are_real_where_there_is_a_trace() -> None:
    spec = spec_of("hardware", 2)
    trace = np.arange(6 * 2 * 2).reshape(6, 2, 2)
    logits = proof_logits(spec, 40, seed=4, trace_logits=trace)
    real = [any((logits[:, i] == trace[:, j]).all() for j in range(2)) for i in range(40)]
    assert sum(real) >= 20


def test_files_hold_a_line_per_event_and_the_same_seed_gives_the_same_bytes() -> None:
    spec = spec_of("hardware", 2)
    stream = event_stream(spec, np.array([[[3, -4]]] * 6), seed=0)
    assert events_text(stream).splitlines()[0] == "0 1 3 -4"
    assert decisions_text(stream).splitlines()[0] == "0 0 0 1 0"
    again = [events_text(proof_events(spec, 50, seed=s)) for s in (5, 5, 6)]
    assert again[0] == again[1] != again[2]
