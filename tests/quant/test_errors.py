from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.quant.errors import ConfigError
from hexit.quant.network.compute import pick_compute


def test_the_message_names_place_value_rule_and_remedy() -> None:
    error = ConfigError("--bits", 9, "must be 2..8 or 16", "Try --bits 8")
    assert str(error) == "--bits = 9: must be 2..8 or 16. Try --bits 8."
    assert (error.where, error.value, error.requirement, error.remedy) == (
        "--bits",
        9,
        "must be 2..8 or 16",
        "Try --bits 8",
    )


def test_full_stops_are_not_doubled() -> None:
    assert str(ConfigError("a", 1, "is wrong.", "Change it.")) == "a = 1: is wrong. Change it."


@given(st.text(), st.text() | st.integers() | st.none() | st.lists(st.text()), st.text(), st.text())
def test_the_message_is_one_printable_line(where: str, value: object, rule: str, remedy: str) -> None:
    assert str(ConfigError(where, value, rule, remedy)).isprintable()


@pytest.mark.parametrize("value", ["x" * 1000, list(range(1000))])
def test_a_long_value_is_cut(value: object) -> None:
    message = str(ConfigError("--data", value, "is long", "Cut it"))
    assert len(message) == len("--data = : is long. Cut it.") + 120
    assert "..." in message


def test_compute_is_a_torch_device_or_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert (pick_compute("auto"), pick_compute("cpu")) == ("cpu", "cpu")
    with pytest.raises(ConfigError, match=r"--compute = cuda: torch sees no CUDA device here\. Use --compute cpu\."):
        pick_compute("cuda")
    with pytest.raises(ConfigError, match=r"--compute = tpu: must be auto, cpu or cuda"):
        pick_compute("tpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert (pick_compute("auto"), pick_compute("cuda"), pick_compute("cpu")) == ("cuda", "cuda", "cpu")
