"""Exit rules and integer logits for hypothesis, and what the rule's own exit unit decides on them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from hexit.quant.arrays import Integers
from hexit.quant.exits.published import Decision
from hexit.quant.exits.rules import RULES, ExitRule, parameters
from hexit.quant.exits.table_format import TableFormat
from hexit.quant.exits.unit import exit_unit_spec, unit_decision


@st.composite
def rules(draw: st.DrawFn, name: str) -> ExitRule:
    """Any rule of a name: the ranges of the fields are the rule's own, cut to where decisions vary."""
    values: dict[str, Any] = {}
    for p in parameters(RULES[name]):
        if p.kind == "choice":
            values[p.name] = draw(st.sampled_from(p.choices))
        elif p.kind == "int":
            values[p.name] = draw(st.integers(int(p.low), 8))
        else:
            below = p.high_open and p.high <= 6.0
            real = st.floats(p.low, min(p.high, 6.0), exclude_min=p.low_open, exclude_max=below, allow_subnormal=False)
            values[p.name] = draw(real)
    return RULES[name](**values)


@st.composite
def integer_logits(draw: st.DrawFn, n_classes: int, *, largest: int = 1 << 14) -> Integers:
    """Logits that wander from layer to layer, with plenty of ties and repeats."""
    depth, n, step = draw(st.integers(8, 13)), draw(st.integers(1, 12)), draw(st.integers(1, largest // 8))
    seed = draw(st.integers(0, 2**32 - 1))
    walk = np.random.default_rng(seed).integers(-step, step + 1, (depth, n, n_classes)).cumsum(axis=0)
    return np.asarray(np.clip(walk // draw(st.sampled_from([1, 1, max(1, step // 2)])), -largest, largest))


def classes_of(name: str) -> int:
    return 1 if name == "pabee-regression" else 2


def decision_of_unit(rule: ExitRule, q: Integers, scale: float, *, tables: TableFormat | None = None) -> Decision:
    """What the unit of `rule`, with an exit after every layer, decides on logits [n_layers, n_samples, n_classes]."""
    spec = exit_unit_spec(rule, n_layers=q.shape[0], n_classes=q.shape[2], scale=scale, tables=tables)
    return unit_decision(spec, q)
