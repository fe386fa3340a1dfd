"""A new model from text: train a word-piece tokenizer, build an ALBERT, borrow a teacher's word vectors.

Borrowing: every new piece is spelled in the teacher's pieces, gets the mean of their vectors, and the table is
reduced to `embedding_size` columns by its leading principal axes, rescaled to the usual initial deviation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from hexit.quant.network.model import EarlyExitEncoder, ExitConfig

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
INITIAL_DEVIATION = 0.02  # standard deviation of new weights, BERT and ALBERT


def train_tokenizer(sentences: Iterable[str], vocabulary_size: int) -> Any:
    """Train a lower-casing word-piece tokenizer in the format of BERT; returns a transformers fast tokenizer.

    The same sentences give the same vocabulary: the trainer numbers characters in the order of a hash table, and breaks
    ties by these numbers, so all characters are given to it, sorted, as if they were special.
    """
    from transformers import PreTrainedTokenizerFast

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
    tokenizer = Tokenizer(models.WordPiece(trained.get_vocab(), unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
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


def new_albert(
    *,
    tokenizer: Any,
    hidden_size: int,
    n_layers: int,
    n_heads: int,
    embedding_size: int,
    n_positions: int,
    exits: ExitConfig,
) -> EarlyExitEncoder:
    """Build an untrained ALBERT (ffn = 4 x hidden, no encoder dropout as in ALBERT v2) with exits."""
    from transformers import AlbertConfig, AlbertModel

    config = AlbertConfig(
        vocab_size=len(tokenizer),
        embedding_size=embedding_size,
        hidden_size=hidden_size,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        intermediate_size=4 * hidden_size,
        max_position_embeddings=n_positions,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
    )
    return EarlyExitEncoder(AlbertModel(config, add_pooling_layer=False), exits, dropout=0.1)


@torch.no_grad()
def borrow_embeddings(
    model: EarlyExitEncoder, tokenizer: Any, teacher: EarlyExitEncoder, teacher_tokenizer: Any
) -> None:
    """Initialise the word vectors of `model` from those of `teacher`, in place.

    Columns beyond the width of the teacher's vectors keep their random start.
    """
    source = teacher.backbone.embeddings.word_embeddings.weight
    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    known = teacher_tokenizer.get_vocab()
    rows = []
    for piece in pieces:
        bare = piece.removeprefix("##")
        ids = [known[piece]] if piece in known else teacher_tokenizer(bare, add_special_tokens=False)["input_ids"]
        rows.append(source[ids or [teacher_tokenizer.unk_token_id]].mean(0))
    table = torch.stack(rows)
    table = table - table.mean(0)
    target = model.backbone.embeddings.word_embeddings.weight
    _, _, axes = torch.linalg.svd(table, full_matrices=False)
    reduced = table @ axes[: target.shape[1]].T
    target[:, : reduced.shape[1]] = reduced * (INITIAL_DEVIATION / reduced.std())
