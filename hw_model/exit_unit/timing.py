"""The pipeline of the exit unit: which stages a rule needs, and when a sentence's state is read and written.

An event that is accepted in cycle t is at the output in cycle t + D, with D = `latency_cycles` register stages, if
nothing blocks; a stage takes a new event when it is empty or handed its own on (one event per cycle). Stage i holds
the results of the logic that carries its name:

    logits         no logic: keeps the logit of a regression                                     (one class)
    difference     q_0 - q_1, whose sign is the class                                            (two classes)
    argmax_i       one level of the tree of comparators: the larger of two logits and its class  (more classes)
    distance       (m + 2^shift/2) - q_j for the largest logit m and every class: the address, before its shift
    exponential    read of the tables e^-y and, for the entropy, y e^-y
    sum_i          one level of the adder trees: A and, for the entropy, B
    logarithm      read of ln A, from A - 1
    excess         ln A - threshold
    product        A (ln A - threshold), in DSP slices
    log_odds       (q_0 - m') - ln A' of class 0 against the others; its own sums run beside those of the entropy
    side           v against the margin on either side of 0
    state          read, update and write of a sentence's state, where a window is looked at afterwards  (bias_3)
    window_i       one level of the trees for the smallest and the largest distance of the window
    limit          read of the largest distance that the smallest one allows
    decision       comparison with the thresholds, run counter, exit flag; without a window the state, too; for a
                   fixed layer, whose flag waits for nothing else, the last level of the search for the class

Between a register and the next one lie at most a carry chain and a few levels of look-up tables: a comparison with a
constant takes one per five bits and no chain. The state is updated on the way from stage `state_stage` to the next.
It is kept in registers (`state_cycles` = 1), or in a synchronous memory that is read into stage `state_stage`
(`state_cycles` = 2): then an event waits while the event before it, of the same slot, has not been written.

With two classes every test on entropy or probability is one on the difference (quant.exits.integer_rule). Not modelled
here: area (hw_model.exit_unit.area), the head that makes the logits.
"""

from __future__ import annotations

from dataclasses import dataclass

from hexit.hw_model.rounding import ceil_log2
from hexit.quant.exits.integer_rule import EntropyTest, FixedLayer, ProbabilityTest, SideRun
from hexit.quant.exits.unit import ExitUnitSpec

MAX_REGISTER_STATE_BITS = 256  # bits; reading them costs about 85 LUTs (4 to 1 each), as much as a whole small unit


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitUnitTiming:
    """Stages of an exit unit in order, stage 1 first, and when it reads and writes the state of a sentence.

    `state_stage`: the update happens on the way from this stage to the next, 0 for a unit without state.
    `state_cycles`: 1 for registers, 2 for a memory that is read into `state_stage`.
    """

    stages: tuple[str, ...]
    state_stage: int
    state_cycles: int

    @property
    def latency_cycles(self) -> int:
        """Cycles from the acceptance of an event to its decision at the output, if nothing blocks."""
        return len(self.stages)

    @property
    def initiation_interval_cycles(self) -> int:
        """Cycles between two events; only two of one slot in a row may be further apart, by `state_cycles`."""
        return 1


def unit_timing(spec: ExitUnitSpec) -> ExitUnitTiming:
    """Return the pipeline of a unit, derived from what its integers compare."""
    front = _stages_before_the_decision(spec)
    if not spec.state_bits:
        return ExitUnitTiming(stages=(*front, "decision"), state_stage=0, state_cycles=1)
    in_registers = spec.n_slots == 1 or spec.n_slots * spec.state_bits <= MAX_REGISTER_STATE_BITS
    return ExitUnitTiming(
        stages=(*front, *_window_stages(spec), "decision"),
        state_stage=len(front),
        state_cycles=1 if in_registers else 2,
    )


def _stages_before_the_decision(spec: ExitUnitSpec) -> tuple[str, ...]:
    """The longest of the paths that run side by side: winner, confidence test, log-odds."""
    winner = _winner_stages(spec)
    summed = (*winner, "distance", "exponential", *_levels("sum", spec.n_classes))
    match spec.form.confidence:
        case EntropyTest():
            confidence = (*summed, "logarithm", "excess", "product")
        case ProbabilityTest():
            confidence = summed
        case FixedLayer() if not spec.state_bits:
            confidence = winner[:-1]  # the flag is known at once, the decision waits for the class alone
        case _:
            confidence = winner
    return max(confidence, _log_odds_stages(spec), key=len)


def _winner_stages(spec: ExitUnitSpec) -> tuple[str, ...]:
    match spec.n_classes:
        case 1:
            return ("logits",)
        case 2:
            return ("difference",)
        case classes if _has_log_odds(spec):  # the tree over the other classes is needed by itself; class 0 joins last
            others = _levels("argmax", classes - 1)
            return (*others, f"argmax_{len(others) + 1}")
        case classes:
            return _levels("argmax", classes)


def _log_odds_stages(spec: ExitUnitSpec) -> tuple[str, ...]:
    if not _has_log_odds(spec):
        return ()
    others = spec.n_classes - 1
    sums = ("distance", "exponential", *_levels("sum", others))
    return (*_levels("argmax", others), *sums, "logarithm", "log_odds", "side")


def _has_log_odds(spec: ExitUnitSpec) -> bool:
    return isinstance(spec.form.trend, SideRun) and spec.form.trend.log_odds is not None


def _window_stages(spec: ExitUnitSpec) -> tuple[str, ...]:
    trend = spec.form.trend
    if not isinstance(trend, SideRun) or trend.limits is None:
        return ()
    return ("state", *_levels("window", trend.run_length), "limit")


def _levels(name: str, n_leaves: int) -> tuple[str, ...]:
    """The levels of a tree that takes two at a time: ceil(log2 n_leaves)."""
    return tuple(f"{name}_{level + 1}" for level in range(ceil_log2(n_leaves)))
