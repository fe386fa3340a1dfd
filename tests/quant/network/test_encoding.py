from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.quant.data.tasks import TextSet
from hexit.quant.errors import ConfigError
from hexit.quant.network.encoding import (
    Encoded,
    encode,
    encode_strings,
    equal_length_batches,
    evaluation_batches,
    make_batch,
    training_order,
)
from support.models import SENTENCES

PAD = 77
lengths = st.lists(st.integers(1, 9), min_size=1, max_size=40)


def encoded_of(sizes: list[int]) -> Encoded:
    """Samples whose token numbers say which sample they are."""
    ids = tuple(tuple(100 * index + position for position in range(size)) for index, size in enumerate(sizes))
    return Encoded(ids=ids, types=tuple((1,) * size for size in sizes), n_truncated=0)


def test_a_sentence_stands_between_its_marks(tokenizer: Any) -> None:
    encoded = encode_strings(["A good film"], tokenizer, 16)
    assert tokenizer.convert_ids_to_tokens(list(encoded.ids[0])) == ["[CLS]", "a", "good", "film", "[SEP]"]
    assert (encoded.types, encoded.n_truncated) == (((0, 0, 0, 0, 0),), 0)


def test_pairs_have_two_types(tokenizer: Any) -> None:
    texts = TextSet(name="", texts=("a film",), pairs=("good",), labels=(0.0,), label_names=("a", "b"), content_hash="")
    encoded = encode(texts, tokenizer, 16)
    assert tokenizer.convert_ids_to_tokens(list(encoded.ids[0])) == ["[CLS]", "a", "film", "[SEP]", "good", "[SEP]"]
    assert encoded.types == ((0, 0, 0, 0, 1, 1),)


@pytest.mark.parametrize("max_length", [3, 5, 6, 8, 30])
def test_long_sentences_are_cut_and_counted(max_length: int, tokenizer: Any) -> None:
    whole, cut = encode_strings(SENTENCES, tokenizer, 1000), encode_strings(SENTENCES, tokenizer, max_length)
    assert whole.n_truncated == 0
    assert cut.n_truncated == sum(whole.lengths > max_length)
    for before, after in zip(whole.ids, cut.ids, strict=True):
        assert after == (before if len(before) <= max_length else (*before[: max_length - 1], tokenizer.sep_token_id))


def test_a_cut_leaves_the_tokenizer_as_it_was(tokenizer: Any) -> None:
    before = encode_strings(SENTENCES, tokenizer, 100)
    encode_strings(SENTENCES, tokenizer, 4)
    assert encode_strings(SENTENCES, tokenizer, 100) == before


@pytest.mark.parametrize(("pairs", "least"), [(None, 3), (["film"], 5)])
def test_the_maximum_length_leaves_room_for_text(pairs: list[str] | None, least: int, tokenizer: Any) -> None:
    assert encode_strings(["a good film"], tokenizer, least, pairs).lengths.tolist() == [least]
    with pytest.raises(ConfigError, match=rf"^maximum length = {least - 1}: must be at least {least} tokens"):
        encode_strings(["a good film"], tokenizer, least - 1, pairs)


@given(lengths, st.integers(1, 7))
def test_batches_hold_every_sample_once_and_pad_to_the_longest(sizes: list[int], batch_size: int) -> None:
    encoded = encoded_of(sizes)
    seen: list[int] = []
    for batch in evaluation_batches(encoded, batch_size, PAD):
        seen += batch.indices
        assert len(batch.indices) <= batch_size
        assert batch.input_ids.shape[1] == max(sizes[i] for i in batch.indices)
        for row, index in enumerate(batch.indices):
            n = sizes[index]
            assert batch.input_ids[row].tolist() == [*encoded.ids[index], *[PAD] * (batch.input_ids.shape[1] - n)]
            assert batch.attention_mask[row].tolist() == [int(i < n) for i in range(batch.input_ids.shape[1])]
            assert batch.token_type_ids[row].tolist() == batch.attention_mask[row].tolist()
    assert sorted(seen) == list(range(len(sizes)))
    assert [sizes[i] for i in seen] == sorted(sizes, reverse=True)


@given(lengths, st.integers(1, 7))
def test_batches_of_equal_length_are_never_padded(sizes: list[int], batch_size: int) -> None:
    encoded = encoded_of(sizes)
    batches = list(equal_length_batches(encoded, batch_size))
    assert all(batch.attention_mask.all() for batch in batches)
    assert sorted(i for batch in batches for i in batch.indices) == list(range(len(sizes)))
    assert max(len(batch.indices) for batch in batches) <= batch_size


@given(lengths, st.integers(1, 7), st.integers(0, 9))
def test_the_training_order_is_a_permutation_made_by_the_seed(sizes: list[int], batch_size: int, seed: int) -> None:
    order = training_order(sizes, batch_size, np.random.default_rng(seed))
    assert sorted(i for batch in order for i in batch) == list(range(len(sizes)))
    assert len(order) == -(-len(sizes) // batch_size)
    assert order == training_order(sizes, batch_size, np.random.default_rng(seed))


def test_other_seeds_give_other_orders_and_batches_alike_in_length() -> None:
    sizes = np.random.default_rng(0).integers(1, 50, 500).tolist()
    orders = [training_order(sizes, 10, np.random.default_rng(seed)) for seed in range(2)]
    assert orders[0] != orders[1]
    spread = max(max(sizes[i] for i in batch) - min(sizes[i] for i in batch) for batch in orders[0])
    assert spread <= 3  # 500 samples of 49 lengths in sorted batches of 10; shuffled ones would spread over 40


def test_a_batch_of_types_and_padding() -> None:
    batch = make_batch(encoded_of([3, 1]), [1, 0], PAD)
    assert batch.input_ids.tolist() == [[100, PAD, PAD], [0, 1, 2]]
    assert batch.attention_mask.tolist() == [[1, 0, 0], [1, 1, 1]]
