from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hexit.quant.errors import ConfigError
from hexit.quant.options import options_of
from hexit.sim.job.hls_record import HlsJob
from hexit.sim.job.record import Job, given, make_job, value_of
from hexit.sim.job.train_record import ReferenceJob, TrainJob


@pytest.mark.parametrize("record", [Job, HlsJob, TrainJob, ReferenceJob])
def test_every_option_has_one_name_one_flag_and_help(record: Any) -> None:
    options = options_of(record)
    for unique in ("key", "flag", "name"):
        names = [getattr(one, unique) for one in options]
        assert len(set(names)) == len(names)
    assert all(one.help and one.flag == f"--{one.name.replace('_', '-')}" for one in options)


def test_a_job_of_no_options_is_the_default_one_and_says_nothing() -> None:
    assert make_job() == Job()
    assert given(Job()) == {}
    assert repr(Job()) == "Job()"


def test_options_by_name_reach_their_keys_and_no_others() -> None:
    job = make_job(bits=4, seq_len=48, rule="pabee", threshold=3, device="u250", po2=True, text_column=["words"])
    assert (job.quantisation.bits, job.design.sequence_length, job.device) == (4, 48, "u250")
    assert (job.rule.name, job.rule.threshold, job.data.text_columns) == ("pabee", 3.0, ("words",))
    assert set(given(job)) == {"bits", "seq_len", "rule", "threshold", "device", "po2", "text_column"}
    assert make_job(**given(job)) == job
    assert dataclasses.replace(job, seed=1) != job


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bit": 4}, "bit = 4: is not an option of hexit run. Did you mean bits."),
        ({"bits": "eight"}, "--bits = eight: must be of type int. Correct the value."),
        ({"bits": True}, "--bits = True: must be of type int. Correct the value."),
        ({"overlap": "foo"}, "--overlap = foo: must be one of stall, speculate, interleave. Try --overlap stall."),
        ({"limit": -1}, "--limit = -1: must not be negative. Try --limit 0."),
        ({"batch": 0}, "--batch = 0: must be at least 1. Try --batch 1."),
        ({"threshold": float("inf")}, "--threshold = inf: must be a finite number. Try --threshold 2."),
        ({"profile": "p.csv", "limit": 3}, "--limit = 3: means nothing with --profile. Leave it out."),
        ({"shape": "bert-base"}, "--shape = bert-base: means nothing without --profile. Leave it out."),
    ],
)
def test_an_option_that_is_wrong_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        make_job(**options)
    assert str(error.value) == message


def test_a_record_that_is_built_directly_is_checked_too() -> None:
    with pytest.raises(ConfigError, match=r"--batch = 0: must be at least 1"):
        dataclasses.replace(Job().design, batch=0)


def test_defaults_are_values_that_the_record_allows() -> None:
    for one in options_of(Job):
        assert value_of(Job(), one.key) == one.default
        assert not one.choices or one.default in {None, *one.choices}
