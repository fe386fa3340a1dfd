from __future__ import annotations

import functools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.quant.errors import ConfigError
from hexit.quant.exits.published import Decision, entropy
from hexit.quant.exits.rules import (
    ElbertExit,
    EntropyExit,
    ExitRule,
    FixedDepthExit,
    HardwareOrientedExit,
    MaximumProbabilityExit,
    NormalizedEntropyExit,
    OracleExit,
    PabeeExit,
)
from hexit.quant.traces.profile import Profile, load_profile, profile_trace
from hexit.quant.traces.replay import profile_decision
from hexit.quant.traces.trace import ExitTrace
from support.paths import OWN_PROFILE, PUBLISHED_PROFILE

RESOLUTION = 3e-7  # nats


@functools.lru_cache(maxsize=1)
def trace_of(profile: Profile) -> ExitTrace:
    return profile_trace(profile, 128)


def decided(rule: ExitRule, profile: Profile) -> Decision:
    return profile_decision(rule, trace_of(profile))


def profile_at(path: Path) -> Profile:
    if not path.exists():
        pytest.skip("the published EdgeBERT profile is not beside this checkout")
    return load_profile(path)


@pytest.fixture(scope="module", params=[OWN_PROFILE, PUBLISHED_PROFILE], ids=["ours", "EdgeBERT"])
def profile(request: pytest.FixtureRequest) -> Profile:
    """Entropies of a real network at twelve exits: of the shipped model, and published ones."""
    return profile_at(request.param)


@pytest.mark.parametrize(("threshold", "total"), [(0.1, 4968), (0.2, 3959), (0.3, 3320)])
def test_published_albert_exits_after_5_70_4_54_3_81_layers(threshold: float, total: int) -> None:
    published = profile_at(PUBLISHED_PROFILE)
    decision = decided(EntropyExit(threshold=threshold), published)
    assert (published.n_samples, published.n_layers) == (872, 12)
    assert decision.exit_layer.sum() == total
    assert f"{decision.mean_layer:.2f}" == {0.1: "5.70", 0.2: "4.54", 0.3: "3.81"}[threshold]


@pytest.mark.parametrize(("threshold", "total"), [(0.05, 1110), (0.1, 705), (0.2, 530), (0.3, 444)])
def test_the_shipped_model_exits_where_its_entropies_say(threshold: float, total: int) -> None:
    profile = load_profile(OWN_PROFILE)
    rows = [[float(cell) for cell in line.split(",")] for line in OWN_PROFILE.read_text().splitlines()[1:]]
    by_hand = [next((layer for layer in range(1, 12) if row[layer - 1] < threshold), 12) for row in rows]
    decision = decided(EntropyExit(threshold=threshold), profile)
    assert (profile.n_samples, profile.n_layers) == (120, 12)
    assert decision.exit_layer.tolist() == by_hand
    assert sum(by_hand) == total


@pytest.mark.slow
def test_a_real_profile_exits_where_its_entropies_say(profile: Profile) -> None:
    for threshold in np.arange(0.001, 0.7, 0.001):
        below = profile.entropies < threshold
        plain = np.where(below.any(axis=0), below.argmax(axis=0) + 1, 12)
        layers = decided(EntropyExit(threshold=float(threshold)), profile).exit_layer
        tied = (np.abs(profile.entropies - threshold) < RESOLUTION).any(axis=0)
        assert (layers == plain)[~tied].all()
        assert tied.sum() <= 1


def write(path: Path, text: str) -> Path:
    file = path / "profile.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_small_profile_read_and_decided(tmp_path: Path) -> None:
    path = write(tmp_path, "layer_1, layer_2, layer_3\n 0.05, 0.6, nan\n0.5,0.01,x\n\n0.69314719,0.4,\n")
    profile = load_profile(path, "1-2")
    assert profile.entropies.tolist() == [[0.05, 0.5, math.log(2)], [0.6, 0.01, 0.4]]
    decision = decided(EntropyExit(threshold=0.1), profile)
    assert decision.exit_layer.tolist() == [1, 2, 3]
    assert decision.prediction.tolist() == [-1, -1, -1]


@given(values=st.lists(st.floats(0.0, math.log(2)), min_size=1, max_size=20))
def test_the_distance_of_two_logits_gives_the_entropy_back(values: list[float]) -> None:
    profile = Profile(entropies=np.array([values]), n_layers=2, source="", data_hash="")
    trace = profile_trace(profile, 128)
    assert trace.lengths.tolist() == [128] * len(values)
    again = entropy(trace.real_logits)[0]
    known = np.array(values) > 2e-6  # nearly certain exits are all the same
    assert (np.abs(again - values)[known] < RESOLUTION).all()
    assert (again[~known] <= 2.1e-6).all()


@given(threshold=st.floats(0.01, 0.69))
def test_rules_that_ask_the_same_question_agree(profile: Profile, threshold: float) -> None:
    at_distance = NormalizedEntropyExit(threshold=threshold / math.log(2))
    window_off = ElbertExit(threshold=threshold / math.log(2), window=12)
    entropies, fastbert, elbert = (
        decided(rule, profile).exit_layer for rule in (EntropyExit(threshold=threshold), at_distance, window_off)
    )
    assert entropies.tolist() == fastbert.tolist() == elbert.tolist()


@pytest.mark.parametrize("rule", [PabeeExit(), OracleExit(), HardwareOrientedExit(run_length=2), ElbertExit(window=2)])
def test_rules_that_follow_the_winner_are_refused(rule: ExitRule) -> None:
    profile = Profile(entropies=np.full((3, 2), 0.3), n_layers=4, source="", data_hash="")
    with pytest.raises(ConfigError, match=rf"--rule = {rule.name}: follows the winning class.* Use --rule entropy"):
        decided(rule, profile)


@pytest.mark.parametrize("rule", [HardwareOrientedExit(threshold=1.0), MaximumProbabilityExit(threshold=0.8)])
def test_certainty_rules_serve_a_profile(rule: ExitRule) -> None:
    profile = Profile(entropies=np.array([[0.6, 0.05], [0.1, 0.6]]), n_layers=3, source="", data_hash="")
    assert decided(rule, profile).exit_layer.tolist() == [2, 1]
    assert decided(FixedDepthExit(layer=3), profile).exit_layer.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("", "1-11", r"profile\.csv = \(empty\): has no rows of numbers"),
        ("a,b\n", "1-2", r"has no rows of numbers"),
        ("0.1,0.2\n", "1-3", r"--profile-columns = 1-3: the file has 2 columns\. Use at most 1-2\."),
        ("0.1,0.2\n", "2-3", r"--profile-columns = 2-3: must be 1-N"),
        ("0.1,0.2\n", "1-0", r"--profile-columns = 1-0"),
        ("0.1,0.2\n0.1\n", "1-2", r"row 2 = 1 columns: must have 2"),
        ("0.1,0.2\n0.1,0.9\n", "1-2", r"row 2 column 2 = 0\.9: must be an entropy of two classes in nats"),
        ("0.1,-0.2\n", "1-2", r"row 1 column 2 = -0\.2: must be"),
        ("0.1,nan\n", "1-2", r"row 1 column 2 = nan: must be"),
        ("0.1,\n", "1-2", r"row 1 column 2 = \(empty\): must be"),
        ("x,y\n0.1,soon\n", "1-2", r"row 2 column 2 = soon: must be"),
    ],
)
def test_a_bad_profile_gets_one_clear_line(text: str, columns: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_profile(write(tmp_path, text), columns)


def test_a_profile_that_is_no_text_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"0.1,\xe4\n")
    with pytest.raises(ConfigError, match=r"latin\.csv = byte 4: is not UTF-8 text"):
        load_profile(tmp_path / "latin.csv")
    with pytest.raises(ConfigError, match=r"none\.csv = No such file or directory: cannot be read"):
        load_profile(tmp_path / "none.csv")
