from __future__ import annotations

import pytest

from hexit.quant.errors import ConfigError
from hexit.quant.training.vocabulary import prune_tokenizer, train_tokenizer


def test_the_same_text_gives_the_same_vocabulary() -> None:
    # words in equal numbers, so that every merge of pieces is a tie
    words = [f"{a}{b}{c}" for a in "abcd" for b in "efgh" for c in "ijkl"]
    vocabularies = [train_tokenizer([" ".join(words)] * 2, 100).get_vocab() for _ in range(5)]
    assert all(vocabulary == vocabularies[0] for vocabulary in vocabularies)
    assert len(vocabularies[0]) == 100


def test_the_tokenizer_is_that_of_bert() -> None:
    tokenizer = train_tokenizer(["Good films, GOOD actors", "good film; good actor"] * 3, 100)
    assert tokenizer.convert_ids_to_tokens(range(5)) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert tokenizer.convert_ids_to_tokens(tokenizer("GOOD, film")["input_ids"]) == [
        "[CLS]",
        "good",
        ",",
        "film",
        "[SEP]",
    ]
    assert tokenizer.convert_ids_to_tokens(tokenizer("good §")["input_ids"])[1:-1] == ["good", "[UNK]"]
    assert tokenizer.decode(tokenizer("good actor")["input_ids"], skip_special_tokens=True) == "good actor"


def test_a_pruned_vocabulary_holds_the_pieces_that_are_used_most() -> None:
    whole = train_tokenizer(["good films and good actors play a fine plot"] * 2, 120)
    text = ["good good films", "a good plot"]
    pruned = prune_tokenizer(whole, text, len(set("goodfilmsaplot")) * 2 + 5 + 2)
    assert set(pruned.get_vocab()) <= set(whole.get_vocab())
    assert pruned.convert_ids_to_tokens(range(5)) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert "good" in pruned.get_vocab()  # the piece that is used most
    assert pruned.get_vocab()["good"] == 5
    assert pruned.tokenize("GOOD") == ["good"]
    assert "[UNK]" not in pruned.tokenize("films a plot")  # every letter of the text stays
    large = prune_tokenizer(whole, text, 1000)
    assert large.tokenize(" ".join(text)) == whole.tokenize(" ".join(text))


def test_only_word_pieces_can_be_pruned() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    other = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    with pytest.raises(ConfigError, match=r"^--from-teacher = True: needs a teacher with BERT's word pieces"):
        prune_tokenizer(other, ["a"], 100)
