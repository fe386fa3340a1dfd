"""Events for proofs, with what the unit must answer: random, at the thresholds, at the ends of the range, and real.

A stream is what reaches the unit one event after the other: sentences in several slots take turns at random, half of
them end with their first exit, and layers without an exit are sent or left out. Test benches of every kind read the
same two files, a line per event:

    events.txt     slot layer q_0 .. q_(K-1)
    decisions.txt  slot exit class layer confidence

Not covered: when events arrive; the unit's answers do not depend on it.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hexit.quant.arrays import Integers
from hexit.quant.errors import ConfigError
from hexit.quant.exits.integer_rule import IntegerRule, Limits, SideRun, SmallStepRun, fires
from hexit.quant.exits.unit import ExitUnitSpec, UnitOutput, decide_events

EDGE_STEPS = (-1, 0, 1)  # a threshold, and its two neighbours
BISECTIONS = 26  # more than the bits of a logit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EventStream:
    """Events in the order of their arrival, [n] and logits [n, n_classes], with the golden answers, [n]."""

    slot: Integers
    layer: Integers
    logits: Integers
    exit: Integers
    winner: Integers
    confidence: Integers

    @property
    def n_events(self) -> int:
        """Events of the stream."""
        return int(self.slot.size)

    @property
    def decisions(self) -> Integers:
        """The golden answers as [n, 5]: slot, exit, class, layer, confidence."""
        return np.column_stack([self.slot, self.exit, self.winner, self.layer, self.confidence])

    def first(self, n_events: int) -> EventStream:
        """The first events alone."""
        return EventStream(**{f.name: getattr(self, f.name)[:n_events] for f in dataclasses.fields(self)})


def joined(streams: Sequence[EventStream]) -> EventStream:
    """Return the events of several streams, one stream after the other."""
    names = [field.name for field in dataclasses.fields(EventStream)]
    return EventStream(**{name: np.concatenate([getattr(stream, name) for stream in streams]) for name in names})


def event_stream(spec: ExitUnitSpec, logits: Integers, seed: int) -> EventStream:
    """Return sentences [n_layers, n_samples, n_classes] as one stream of events, slots taking turns at random."""
    random = np.random.default_rng(seed)
    output = decide_events(spec, logits)
    n_layers, n_samples = output.exit.shape
    layer = np.arange(1, n_layers + 1)[:, None]
    ends = np.where(random.random(n_samples) < 0.5, 1 + output.exit.argmax(axis=0), n_layers)
    has_exit = np.isin(layer, spec.evaluated_layers)
    sent = (layer <= ends) & (has_exit | (random.random(output.exit.shape) < 0.5))
    sample, index = np.nonzero(sent.T)  # sentence by sentence, layer by layer
    slot = sample % spec.n_slots
    turns = random.permutation(slot)
    order = np.empty_like(turns)
    for number in range(spec.n_slots):
        order[turns == number] = np.flatnonzero(slot == number)
    sample, index = sample[order], index[order]
    return _stream(output, turns, index, sample, logits[index, sample])


def answer(spec: ExitUnitSpec, slot: Integers, layer: Integers, logits: Integers) -> EventStream:
    """Return events, [n] and logits [n, n_classes], with the golden answers.

    A sentence of a slot ends where the layer does not rise. Raises ConfigError for slots and layers that the unit
    does not have.
    """
    for where, values, low, high in (("slot", slot, 0, spec.n_slots - 1), ("layer", layer, 1, spec.n_layers)):
        if values.size and not low <= values.min() <= values.max() <= high:
            worst = int(values.min() if values.min() < low else values.max())
            raise ConfigError(f"events {where}", worst, f"must be {low}..{high}", "Write the events again: hexit hls")
    order = np.argsort(slot, kind="stable")
    starts = np.append(True, (np.diff(slot[order]) != 0) | (np.diff(layer[order]) <= 0))[: order.size]
    sentence = np.empty(order.size, dtype=np.int64)
    sentence[order] = starts.cumsum() - 1
    whole = np.zeros((spec.n_layers, int(starts.sum()), spec.n_classes), dtype=np.int64)
    whole[layer - 1, sentence] = logits  # exits that were not sent come after an exit, or are layers without one
    return _stream(decide_events(spec, whole), slot, layer - 1, sentence, logits)


def _stream(output: UnitOutput, slot: Integers, index: Integers, sample: Integers, logits: Integers) -> EventStream:
    """Events of samples [n] at layers index + 1 [n], with the golden answers out of those of whole sentences."""
    return EventStream(
        slot=slot,
        layer=index + 1,
        logits=logits,
        exit=output.exit[index, sample].astype(np.int64),
        winner=output.winner[index, sample],
        confidence=output.confidence[index, sample],
    )


def read_events(spec: ExitUnitSpec, text: str) -> EventStream:
    """Return the events of events.txt with fresh golden answers; ConfigError for lines that are no events."""
    remedy = "Write the events again: hexit hls"
    try:
        rows = np.loadtxt(io.StringIO(text), dtype=np.int64, ndmin=2)
    except ValueError as error:
        raise ConfigError("events.txt", str(error), "is not a table of integers", remedy) from None
    if rows.shape[1:] != (2 + spec.n_classes,):
        raise ConfigError("events.txt", rows.shape[-1], f"must have {2 + spec.n_classes} columns", remedy)
    return answer(spec, rows[:, 0], rows[:, 1], rows[:, 2:])


def proof_events(spec: ExitUnitSpec, n_events: int, seed: int, trace_logits: Integers | None = None) -> EventStream:
    """Return a stream of exactly `n_events` events of every kind of logits, see `proof_logits`."""
    n_samples = 16 + n_events // len(spec.evaluated_layers)
    while True:
        stream = event_stream(spec, proof_logits(spec, n_samples, seed, trace_logits), seed)
        if stream.n_events >= n_events:
            return stream.first(n_events)
        n_samples *= 2  # sentences that end early make fewer events than there are layers


def proof_logits(spec: ExitUnitSpec, n_samples: int, seed: int, trace_logits: Integers | None = None) -> Integers:
    """Return logits [n_layers, n_samples, n_classes] that try the unit where it could be wrong.

    Random walks of small and large steps, uniform noise, the ends of the range, ties, the thresholds and their
    neighbours, trends that just hold or break, and mixtures of these from layer to layer. Every other sentence is one
    of `trace_logits`, if given.
    """
    random = np.random.default_rng(seed)
    shape = (spec.n_layers, n_samples, spec.n_classes)
    low, high = -(1 << (spec.logit_bits - 1)), (1 << (spec.logit_bits - 1)) - 1
    step = 1 << random.integers(0, max(1, spec.logit_bits - 2), (1, n_samples, 1))
    walks = random.integers(-1, 2, shape) * random.integers(0, step + 1, shape)
    noise = random.integers(low, high + 1, shape)
    ends = random.choice(np.array([low, low + 1, -1, 0, high - 1, high]), shape)
    ties = np.repeat(random.integers(low, high + 1, (spec.n_layers, n_samples, 1)), spec.n_classes, axis=2)
    ties += random.integers(-1, 2, shape) * (random.random(shape) < 0.2)
    wanders = np.clip(walks.cumsum(axis=0), low, high)
    kinds = np.stack([wanders, noise, ends, ties, edge_logits(spec, shape, seed), trend_logits(spec, shape, seed)])
    of_sample = random.integers(0, len(kinds) + 1, (1, n_samples))
    mixed = random.integers(0, len(kinds), shape[:2])
    kind = np.where(of_sample == len(kinds), mixed, of_sample)
    logits: Integers = np.take_along_axis(kinds, kind[None, :, :, None], axis=0)[0]
    if trace_logits is not None:
        chosen = random.integers(0, trace_logits.shape[1], len(range(0, n_samples, 2)))
        logits[:, ::2] = trace_logits[:, chosen]
    return np.asarray(np.clip(logits, low, high))


def edge_logits(spec: ExitUnitSpec, shape: tuple[int, int, int], seed: int) -> Integers:
    """Return logits at the thresholds of the unit's tests, and one step to either side.

    On the line from logits that do not hold to logits that do, the first that holds is found by bisection; classes
    are drawn at random. Where no point of a line holds, its end stays.
    """
    random = np.random.default_rng(seed + 1)
    low, high = -(1 << (spec.logit_bits - 1)), (1 << (spec.logit_bits - 1)) - 1
    start = np.repeat(random.integers(low, high + 1, (*shape[:2], 1)), shape[2], axis=2)
    end = random.integers(low, high + 1, shape)
    forms = _single_exit_tests(spec.form)
    which = random.integers(0, max(1, len(forms)), shape[:2])
    found = end.copy()
    for number, form in enumerate(forms):
        beyond, before = np.full(shape[:2], 1 << BISECTIONS), np.zeros(shape[:2], dtype=np.int64)
        for _ in range(BISECTIONS):
            middle = (before + beyond) // 2
            holds = fires(form, _between(start, end, middle).reshape(1, -1, shape[2]))[0].reshape(shape[:2])
            before, beyond = np.where(holds, before, middle), np.where(holds, middle, beyond)
        found = np.where((which == number)[..., None], _between(start, end, beyond), found)
    moved = random.integers(0, shape[2], shape[:2])[..., None] == np.arange(shape[2])
    return np.asarray(np.clip(found + moved * random.choice(np.array(EDGE_STEPS), (*shape[:2], 1)), low, high))


def trend_logits(spec: ExitUnitSpec, shape: tuple[int, int, int], seed: int) -> Integers:
    """Return logits whose trend holds or breaks by one step: steps as large as allowed, windows as wide as allowed.

    Without such a trend they are the same at every layer but for a step in one of eight.
    """
    random = np.random.default_rng(seed + 2)
    low, high = -(1 << (spec.logit_bits - 1)), (1 << (spec.logit_bits - 1)) - 1
    edge = random.choice(np.array(EDGE_STEPS), shape[:2])
    logits = np.repeat(random.integers(low // 2, high // 2 + 1, (1, *shape[1:])), shape[0], axis=0)
    match spec.form.trend:
        case SmallStepRun(minimum=minimum):
            steps = (min(minimum, high // 4) + edge - 1) * random.choice(np.array([-1, 1]), shape[:2])
            logits[..., 0] += np.where(random.random(shape[:2]) < 0.5, 0, steps).cumsum(axis=0)
        case SideRun(limits=Limits(shift=shift, entries=entries)) if spec.n_classes == 2:
            nearest = random.integers(0, len(entries) + 1, shape[1]) << shift
            widest = np.array([*entries, high])[np.minimum(nearest >> shift, len(entries))]
            distance = np.where(random.random(shape[:2]) < 0.5, nearest, widest + edge)
            logits[..., 0] = distance // 2 * random.choice(np.array([-1, 1]), shape[1])
            logits[..., 1] = logits[..., 0] - distance * np.sign(logits[..., 0])
        case _:
            logits[..., 0] += np.where(random.random(shape[:2]) < 0.125, edge, 0).cumsum(axis=0)
    return np.asarray(np.clip(logits, low, high))


def _between(start: Integers, end: Integers, position: Integers) -> Integers:
    return np.asarray(start + (((end - start) * position[..., None]) >> BISECTIONS))


def _single_exit_tests(form: IntegerRule) -> tuple[IntegerRule, ...]:
    """The tests of a rule that one exit alone can pass: its confidence test, and being on a side."""
    tests = []
    if form.confidence is not None:
        tests.append(dataclasses.replace(form, trend=None))
    if isinstance(form.trend, SideRun):
        side = dataclasses.replace(form.trend, run_length=1, trend="bias_1", limits=None)
        tests.append(dataclasses.replace(form, confidence=None, trend=side))
    return tuple(tests)


def events_text(stream: EventStream) -> str:
    """Return the lines of events.txt."""
    return _lines(np.column_stack([stream.slot, stream.layer, stream.logits]))


def decisions_text(stream: EventStream) -> str:
    """Return the lines of decisions.txt."""
    return _lines(stream.decisions)


def _lines(columns: Integers) -> str:
    buffer = io.StringIO()
    np.savetxt(buffer, columns, fmt="%d")
    return buffer.getvalue()
