"""The rules as records: text, JSON, sweeps, and errors that name what would be legal."""

from __future__ import annotations

import math
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hexit.quant.errors import ConfigError
from hexit.quant.exits.published import decide
from hexit.quant.exits.rules import (
    RULES,
    ElbertExit,
    FixedDepthExit,
    HardwareOrientedExit,
    PabeeExit,
    format_rule,
    parameters,
    parse_rule,
)
from hexit.quant.records import from_json, to_json
from support.exit_rules import integer_logits, rules

NAMES = list(RULES)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_a_rule_survives_text_and_json(name: str, data: st.DataObject) -> None:
    rule = data.draw(rules(name))
    assert parse_rule(format_rule(rule)) == rule
    assert from_json(type(rule), to_json(rule)) == rule


@pytest.mark.parametrize("name", [n for n in NAMES if n != "oracle"])
@pytest.mark.parametrize("n_classes", [2, 3])
@given(data=st.data())
def test_a_sweep_goes_from_eager_to_never(name: str, n_classes: int, data: st.DataObject) -> None:
    if name == "hardware":
        n_classes = 2
    q = data.draw(integer_logits(1 if name == "pabee-regression" else n_classes))
    sweep = RULES[name]().sweep(len(q), n_classes)
    layers = np.array([decide(rule, q * 2.0**-9).exit_layer for rule in sweep])
    assert (np.diff(layers, axis=0) >= 0).all()
    assert 8 <= len(sweep) + (12 - len(q)) <= 24


@given(threshold=st.floats(0.001, 1.0))
@example(threshold=1.0)
def test_threshold_option_sets_the_principal_parameter(threshold: float) -> None:
    assert parse_rule("elbert:window=5", threshold) == ElbertExit(threshold=threshold, window=5)
    assert parse_rule("pabee", 3.0) == PabeeExit(patience=3)
    assert parse_rule("fixed-depth", 4) == FixedDepthExit(layer=4)
    assert parse_rule("hardware: run-length = 4 ,threshold=1") == HardwareOrientedExit(threshold=1.0, run_length=4)


@pytest.mark.parametrize(
    ("text", "threshold", "message"),
    [
        ("bert", None, r"--rule = bert: is not a known rule\. Known rules: hardware, elbert, pabee, "),
        ("", None, r"--rule = : is not a known rule"),
        ("elbert:d=0.3", None, r"--rule elbert d = 0\.3: is not a parameter.*takes threshold, window, bias"),
        ("oracle:layer=3", None, r"--rule oracle layer = 3: is not a parameter.*takes no parameters"),
        ("elbert:window", None, r"--rule elbert window = \(no value\): needs a value\. Write window=8"),
        ("elbert:window=3,window=4", None, r"--rule elbert window = 4: is given twice"),
        ("elbert:bias=bias_4", None, r"--rule elbert bias = bias_4: must be one of bias_1, bias_2, bias_3\."),
        ("elbert:threshold=0", None, r"--rule elbert threshold = 0\.0: must be a number above 0 and at most 1\."),
        ("elbert:margin=0.5", None, r"margin = 0\.5: must be a number at least 0 and below 0\.5"),
        ("elbert:window=2.5", None, r"--rule elbert window = 2\.5: must be a whole number at least 1"),
        ("entropy:threshold=soon", None, r"threshold = soon: must be a number at least 0"),
        ("entropy:threshold=nan", None, r"threshold = nan: must be a number at least 0"),
        ("hardware:threshold=inf", None, r"threshold = inf: must be a number .* at most 1000"),
        ("pabee:patience=0", None, r"--rule pabee patience = 0: must be a whole number at least 1"),
        ("max-probability", 1.5, r"--threshold = 1\.5: must be a number at least 0 and at most 1\."),
        ("hardware", math.nan, r"--threshold = nan: must be"),
        ("pabee", 2.5, r"--threshold \(patience of pabee\) = 2\.5: must be a whole number"),
        ("oracle", 0.5, r"--threshold = 0\.5: means nothing to the rule oracle"),
        ("elbert:threshold=0.1", 0.2, r"--threshold = 0\.2: sets threshold of elbert a second time"),
    ],
)
def test_bad_rule_text_gets_one_clear_line(text: str, threshold: float | None, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^.*{message}") as caught:
        parse_rule(text, threshold)
    assert "\n" not in str(caught.value)


@given(text=st.text(max_size=30) | st.from_regex(r"(elbert|pabee|hardware):[a-z_]{1,9}=[-0-9.e]{0,6}", fullmatch=True))
def test_any_text_is_a_rule_or_a_clear_error(text: str) -> None:
    try:
        message = f"--rule {parse_rule(text).name}"
    except ConfigError as error:
        message = str(error)
    assert re.match("--rule ", message)


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_tells_what_it_is(name: str) -> None:
    kind = RULES[name]
    assert kind.name == name
    assert kind().name in re.findall(r"[a-z-]+", name)
    assert all((kind.title, kind.source, kind.equation, kind.__doc__))
    assert kind.principal in {None, *(p.name for p in parameters(kind))}
    for parameter in parameters(kind):
        assert parameter.help
        assert parameter.read("", str(parameter.default)) == parameter.default


def test_rules_and_traces_need_no_torch() -> None:
    modules = "hexit.quant.exits.unit, hexit.quant.traces.replay, hexit.quant.traces.profile"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
