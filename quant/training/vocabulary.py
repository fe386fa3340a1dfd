"""The vocabulary of a new model: word pieces trained on text, or those of a teacher that text uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from hexit.quant.errors import ConfigError

ENCODED_AT_A_TIME = 20_000  # sentences; bounds the memory of their encodings
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def train_tokenizer(sentences: Iterable[str], vocabulary_size: int) -> Any:
    """Train a lower-casing word-piece tokenizer in the format of BERT; returns a transformers fast tokenizer.

    The same sentences give the same vocabulary: the trainer numbers characters in the order of a hash table, and breaks
    ties by these numbers, so all characters are given to it, sorted, as if they were special.
    """
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = Counter(word for text in sentences for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    bare = sorted({character for word in words for character in word})
    inner = sorted({f"##{character}" for word in words for character in word[1:]})
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.pre_tokenizer = splitter
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[*SPECIAL, *bare, *inner],
        limit_alphabet=len(bare),
        show_progress=False,
        min_frequency=2,
    )
    trained.train_from_iterator((f"{word} " * count for word, count in words.items()), trainer)
    return _fast_tokenizer(Tokenizer(models.WordPiece(trained.get_vocab(), unk_token="[UNK]")), normalizer)


def prune_tokenizer(tokenizer: Any, sentences: Sequence[str], vocabulary_size: int) -> Any:
    """Return a tokenizer with the pieces of a word-piece tokenizer that `sentences` use most often.

    Special tokens and the single characters that occur stay, so that every word which had a spelling keeps one. Ties
    go to the piece with the smaller number. Raises ConfigError for a tokenizer without word pieces.
    """
    backend = tokenizer.backend_tokenizer
    if not isinstance(backend.model, models.WordPiece) or not isinstance(
        backend.normalizer, normalizers.BertNormalizer
    ):
        raise ConfigError("--from-teacher", True, "needs a teacher with BERT's word pieces", "Leave it out")
    known = tokenizer.get_vocab()
    counts: Counter[str] = Counter()
    for start in range(0, len(sentences), ENCODED_AT_A_TIME):
        for encoding in backend.encode_batch(
            list(sentences[start : start + ENCODED_AT_A_TIME]), add_special_tokens=False
        ):
            counts.update(encoding.tokens)
    letters = {character for piece in counts for character in piece.removeprefix("##")}
    by_use = sorted(
        (piece for piece in known if piece not in SPECIAL), key=lambda piece: (-counts[piece], known[piece])
    )
    kept = {piece for piece in by_use if piece.removeprefix("##") in letters}
    kept |= set([piece for piece in by_use if piece not in kept][: max(0, vocabulary_size - len(SPECIAL) - len(kept))])
    pruned = {piece: number for number, piece in enumerate([*SPECIAL, *(piece for piece in by_use if piece in kept)])}
    return _fast_tokenizer(Tokenizer(models.WordPiece(pruned, unk_token="[UNK]")), backend.normalizer)


def _fast_tokenizer(tokenizer: Tokenizer, normalizer: normalizers.BertNormalizer) -> Any:
    """Complete a word-piece model to a transformers tokenizer in the format of BERT."""
    from transformers import PreTrainedTokenizerFast

    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    cls, sep = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", cls), ("[SEP]", sep)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
