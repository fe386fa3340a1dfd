"""Sentences to token numbers, and token numbers to padded batches.

Batches hold sentences of similar length, so that little of the work is padding; results are put back in the
order of the input by their indices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hexit.quant.data.tasks import TextSet
from hexit.quant.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Token numbers of every sample, type numbers for pairs, and how many samples were cut to `max_length`."""

    ids: tuple[tuple[int, ...], ...]
    types: tuple[tuple[int, ...], ...]
    n_truncated: int

    def __len__(self) -> int:
        """Count samples."""
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        """Tokens of each sample, int32 [n_samples]."""
        return np.array([len(ids) for ids in self.ids], dtype=np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Padded tensors, int64 [n, length]; `indices`: which samples they are."""

    indices: list[int]
    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    token_type_ids: torch.Tensor


def encode(texts: TextSet, tokenizer: Any, max_length: int) -> Encoded:
    """Tokenise every text (or pair) with its special tokens, cutting at `max_length` tokens and counting the cuts."""
    return encode_strings(texts.texts, tokenizer, max_length, texts.pairs)


def encode_strings(
    texts: Sequence[str], tokenizer: Any, max_length: int, pairs: Sequence[str] | None = None
) -> Encoded:
    """Tokenise plain strings; see `encode`."""
    second = list(pairs) if pairs is not None else None
    least = tokenizer.num_special_tokens_to_add(pair=second is not None) + (1 if second is None else 2)
    if max_length < least:
        requirement = f"must be at least {least} tokens, special tokens and one of text"
        raise ConfigError("maximum length", max_length, requirement, f"Use {least} or more")
    out = tokenizer(list(texts), second, add_special_tokens=True, return_token_type_ids=True, verbose=False)
    n_truncated = sum(len(ids) > max_length for ids in out["input_ids"])
    if n_truncated:
        out = tokenizer(
            list(texts),
            second,
            add_special_tokens=True,
            return_token_type_ids=True,
            truncation=True,
            max_length=max_length,
        )
    return Encoded(
        ids=tuple(map(tuple, out["input_ids"])), types=tuple(map(tuple, out["token_type_ids"])), n_truncated=n_truncated
    )


def make_batch(encoded: Encoded, indices: list[int], pad_id: int) -> Batch:
    """Pad the samples `indices` to the longest of them."""
    longest = max(len(encoded.ids[i]) for i in indices)
    input_ids = np.full((len(indices), longest), pad_id, dtype=np.int64)
    mask = np.zeros_like(input_ids)
    types = np.zeros_like(input_ids)
    for row, index in enumerate(indices):
        ids = encoded.ids[index]
        input_ids[row, : len(ids)] = ids
        mask[row, : len(ids)] = 1
        types[row, : len(ids)] = encoded.types[index]
    return Batch(
        indices=indices,
        input_ids=torch.from_numpy(input_ids),
        attention_mask=torch.from_numpy(mask),
        token_type_ids=torch.from_numpy(types),
    )


def evaluation_batches(encoded: Encoded, batch_size: int, pad_id: int) -> Iterator[Batch]:
    """Yield batches of similar length, longest first (so that memory trouble shows at once)."""
    order = sorted(range(len(encoded)), key=lambda i: -len(encoded.ids[i]))
    for start in range(0, len(order), batch_size):
        yield make_batch(encoded, order[start : start + batch_size], pad_id)


def equal_length_batches(encoded: Encoded, batch_size: int) -> Iterator[Batch]:
    """Yield batches of samples of exactly one length each, shortest first, so that none is padded."""
    groups: dict[int, list[int]] = {}
    for index, ids in enumerate(encoded.ids):
        groups.setdefault(len(ids), []).append(index)
    for _, indices in sorted(groups.items()):
        for start in range(0, len(indices), batch_size):
            yield make_batch(encoded, indices[start : start + batch_size], pad_id=0)


def training_order(lengths: Sequence[int], batch_size: int, generator: np.random.Generator) -> list[list[int]]:
    """Return batches of samples of similar length in random order.

    Shuffle the samples, sort pools of 64 batches by length, cut them into batches, shuffle the batches.
    """
    order = generator.permutation(len(lengths))
    pool = batch_size * 64
    batches: list[list[int]] = []
    for start in range(0, len(order), pool):
        chunk = sorted(order[start : start + pool].tolist(), key=lambda i: lengths[i])
        batches += [chunk[i : i + batch_size] for i in range(0, len(chunk), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]
