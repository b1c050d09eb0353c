"""Sentences in pieces and in words, and the axes of attention they make."""

import pytest

from seq2seq.alignment.sentence import Sentence, hypothesis_of, readable, sentence_of
from seq2seq.data.tokenizer import Tokenizer, TokenizerConfig
from seq2seq.data.tokenizer_training import train_tokenizer

TEXTS = ["the old man saw a garden door .", "der alte Mann sah eine Gartentür .", "今日は天気がいいです", "ok 今日 ok"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    config = TokenizerConfig(
        model_type="bpe",
        vocab_size=75,
        joint=True,
        sampling=0.0,
        normalization="nfc",
        character_coverage=1.0,
        input_sentence_size=0,
    )
    return Tokenizer(train_tokenizer(TEXTS, config))


@pytest.mark.parametrize("text", [*TEXTS, "", "  the  man ", "saw"])
def test_words_are_those_between_spaces(tokenizer: Tokenizer, text: str) -> None:
    sentence = sentence_of(tokenizer, text)
    assert sentence.words == text.split()
    assert sentence.ids == tokenizer.encode(text)
    assert len(sentence.pieces) == len(sentence.word_of_piece) == len(sentence.ids)
    joined = [
        "".join(p for p, w in zip(sentence.pieces, sentence.word_of_piece, strict=True) if w == i)
        for i in range(len(sentence.words))
    ]
    assert [word.replace("▁", "") for word in joined] == sentence.words


def test_cut_sentence_has_the_words_that_were_read(tokenizer: Tokenizer) -> None:
    whole = sentence_of(tokenizer, TEXTS[0])
    cut = sentence_of(tokenizer, TEXTS[0], max_length=3)
    assert cut.ids == whole.ids[:3]
    assert cut.words == whole.words[: whole.word_of_piece[2] + 1]


def test_axes_end_in_eos_or_begin_with_bos() -> None:
    sentence = Sentence("a bc", [7, 8, 9], ["▁a", "▁b", "c"], ["a", "bc"], [0, 1, 1])
    assert sentence.ending() == (["▁a", "▁b", "c", "</s>"], ["a", "bc", "</s>"], [0, 1, 1, 2])
    assert sentence.beginning() == (["<s>", "▁a", "▁b", "c"], ["<s>", "a", "bc"], [0, 1, 2, 2])


def test_word_without_pieces_shifts_no_other() -> None:
    sentence = Sentence("a x", [7], ["▁a"], ["a", "x"], [0])
    assert sentence.ending().word_of_piece == [0, 2]


def test_hypothesis_is_cut_as_it_was_said_not_as_its_text_would_be(tokenizer: Tokenizer) -> None:
    inner = [i for i in range(len(tokenizer)) if tokenizer.pieces([i])[0] in ("o", "l", "d")]
    sentence = hypothesis_of(tokenizer, [*tokenizer.encode("old"), *inner])
    assert sentence.ids[-3:] == inner != tokenizer.encode(sentence.text)[-3:]
    assert sentence.words == [sentence.text] and sentence.text.startswith("old")
    whole = hypothesis_of(tokenizer, tokenizer.encode(TEXTS[0]))
    assert whole == sentence_of(tokenizer, TEXTS[0])


def test_empty_hypothesis_has_no_words(tokenizer: Tokenizer) -> None:
    assert hypothesis_of(tokenizer, []) == Sentence("", [], [], [], [])


def test_script_without_spaces_is_read_piece_by_piece(tokenizer: Tokenizer) -> None:
    sentence = readable(sentence_of(tokenizer, TEXTS[2]))
    assert len(sentence.words) > 1
    assert "".join(sentence.words) == TEXTS[2]
    assert sentence.word_of_piece == sorted(sentence.word_of_piece)
    mixed = readable(sentence_of(tokenizer, TEXTS[3]))
    assert mixed.words[0] == mixed.words[-1] == "ok"
    assert "".join(mixed.words) == TEXTS[3].replace(" ", "")
    latin = sentence_of(tokenizer, TEXTS[0])
    assert readable(latin) is latin
