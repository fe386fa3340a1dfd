from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.quant.config import EncoderShape, QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.shapes import ALBERT_BASE, BERT_BASE, parameter_counts
from hexit.quant.workload import ExitHead, Gelu, MatMul, encoder_workload, op_macs, packed_bytes
from support.strategies import LAWS, shapes

INT8 = QuantConfig.uniform(8)


@pytest.mark.parametrize("shape", [ALBERT_BASE, BERT_BASE])
def test_base_layer_at_128_tokens_has_the_published_macs(shape: EncoderShape) -> None:
    workload = encoder_workload(shape, INT8, 128)
    attention = sum(op_macs(op) for op in workload.layer if isinstance(op, MatMul) and not op.weights)
    assert workload.layer_macs == 931_135_488
    assert attention == 25_165_824  # FQ-BERT (arXiv 2103.02800): 905,969,664 weight MACs and these
    assert 12 * workload.layer_macs == 11_173_625_856  # EdgeBERT: 11.17 G for twelve dense layers


@pytest.mark.parametrize(("shape", "n_published"), [(ALBERT_BASE, 11_683_584), (BERT_BASE, 109_482_240)])
def test_base_parameters_equal_the_published_checkpoints(shape: EncoderShape, n_published: int) -> None:
    assert parameter_counts(shape).n_published == n_published


def test_an_exit_head_per_layer_stores_a_pooler_and_a_classifier_per_layer() -> None:
    shared, own = parameter_counts(replace(BERT_BASE, shared_head=True)), parameter_counts(BERT_BASE)
    head = 768 * 768 + 768 + 768 * 2 + 2
    assert shared.n_total == shared.n_published + 768 * 2 + 2
    assert own.n_total - shared.n_total == 11 * head
    assert encoder_workload(BERT_BASE, INT8, 8).exit_macs == 768 * 768 + 768 * 2


def test_sentence_macs_grow_by_one_layer_and_one_head_per_exit() -> None:
    workload = encoder_workload(ALBERT_BASE, INT8, 128)
    assert workload.prologue_macs == 128 * 128 * 768
    assert workload.sentence_macs(3) == 128 * 128 * 768 + 3 * (931_135_488 + 768 * 770)


@given(shape=shapes(), length=st.integers(1, 16))
@LAWS
def test_every_op_reads_what_an_earlier_op_of_its_group_delivers(shape: EncoderShape, length: int) -> None:
    workload = encoder_workload(shape, INT8, length)
    for group in (workload.prologue, workload.layer, workload.exit):
        known = {"input"}
        for op in group:
            assert set(op.inputs) <= known
            known.add(op.name)


@given(st.integers(1, 500).map(lambda n: 8 * n), st.sampled_from([4, 8, 16]))
@LAWS
def test_halving_the_bits_halves_the_packed_bytes(n_values: int, bits: int) -> None:
    assert 2 * packed_bytes(n_values, bits // 2) == packed_bytes(n_values, bits)


def test_halving_the_bits_of_albert_halves_its_weight_bytes() -> None:
    wide, narrow = (encoder_workload(ALBERT_BASE, QuantConfig.uniform(bits), 128) for bits in (8, 4))
    assert wide.layer_weight_bytes == 2 * narrow.layer_weight_bytes == 4 * 768 * 768 + 2 * 768 * 3072
    assert wide.exit_weight_bytes == 2 * narrow.exit_weight_bytes == 768 * 770
    assert wide.prologue_weight_bytes == 2 * narrow.prologue_weight_bytes == 128 * 768
    assert wide.embedding_bytes == 2 * narrow.embedding_bytes == 3 * 128 * 128


def test_mean_pooling_reads_every_row() -> None:
    head = encoder_workload(replace(ALBERT_BASE, pooling="mean"), INT8, 40).exit[0]
    assert isinstance(head, ExitHead)
    assert head.pooled_rows == 40


@pytest.mark.parametrize("length", [0, 513])
def test_a_length_outside_the_model_is_refused(length: int) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"--seq-len = {length}: must be 1..512")):
        encoder_workload(ALBERT_BASE, INT8, length)


def test_ops_refuse_shapes_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match=r"g\.rows = 0: must be at least 1"):
        Gelu(name="g", rows=0, columns=1)
    with pytest.raises(ConfigError, match=r"x\.weights = True: takes one input"):
        MatMul(name="x", m=1, k=1, n=1, count=2, weights=True)
