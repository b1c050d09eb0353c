"""Characters, bytes and words as units, beside SentencePiece's pieces; and tags, which no text can make."""

import pickle
from dataclasses import replace
from typing import Any

import pytest

from seq2seq.alignment.sentence import hypothesis_of, readable, sentence_of
from seq2seq.data.fidelity import Losses
from seq2seq.data.pair import Pair
from seq2seq.data.tags import NO_WORD, tag_name
from seq2seq.data.text import NORMALIZATIONS, nfc, words
from seq2seq.data.tokenizer import EOS, PAD, SPECIAL, UNK, Tokenizer, TokenizerConfig, Tokenizers
from seq2seq.data.units import ByteConfig, VocabularyConfig, WordConfig, tokenizer_of
from seq2seq.errors import UserError

LINES = ["The small dog opens the garden door .", "Der kleine Hund macht die Gartentür auf .", "x<2de> <2de> dog"] * 3
TEXTS = [*LINES[:3], "  Tiếng  Việt\t x ", "a\u00a0b ½ \u200b z \u0085q", "中文 ab 句子", "<s> ⁇ ▁ a▁b", "", " \t"]
PIECES = TokenizerConfig(
    model_type="bpe", vocab_size=70, joint=True, sampling=0.0, normalization="nfc", character_coverage=1.0,
    input_sentence_size=0,
)  # fmt: skip
CONFIGS: dict[str, Any] = {
    "bpe": PIECES,
    "char": replace(PIECES, model_type="char", vocab_size=9999),
    "byte": ByteConfig(vocab_size=260, joint=True, normalization="nfc"),
    "word": WordConfig(min_count=1, vocab_size=100, joint=True, normalization="nfc"),
}


def made(config: VocabularyConfig, lines: list[str] = LINES) -> Tokenizer:
    return tokenizer_of(config.train(lines))


@pytest.fixture(scope="module", params=CONFIGS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return made(CONFIGS[request.param])


def test_text_comes_back_and_every_piece_has_its_word(tokenizer: Tokenizer) -> None:
    for text in LINES[:3]:
        ids, found = tokenizer.word_of_piece(text)
        assert ids == tokenizer.encode(text) and min(ids) > EOS
        assert tokenizer.decode([*ids, EOS, PAD]) == text
        spelt = [""] * len(words(text))
        for i, word in zip(ids, found, strict=True):
            spelt[word] += tokenizer.decode([i]).strip() if i < 260 or "▁" in tokenizer.pieces([i])[0] else ""
        assert found == sorted(found) and set(found) == set(range(len(words(text))))


def test_words_of_a_translation_are_those_of_its_text(tokenizer: Tokenizer) -> None:
    for text in LINES[:3]:
        said = hypothesis_of(tokenizer, tokenizer.encode(text))
        assert said.words == words(text) and said.text == text


def test_vocabulary_survives_its_bytes_and_a_worker_process(tokenizer: Tokenizer) -> None:
    for copy in (tokenizer_of(tokenizer.model_proto), pickle.loads(pickle.dumps(tokenizer))):
        assert copy.encode(LINES[1]) == tokenizer.encode(LINES[1]) and len(copy) == len(tokenizer)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("unit", ["byte", "word"])
def test_words_are_those_that_links_count_whatever_normalisation_does(unit: str, normalization: str) -> None:
    if (unit, normalization) == ("word", "identity"):
        with pytest.raises(UserError, match="normalization=identity keeps every blank"):
            replace(CONFIGS[unit], normalization=normalization)
        return
    tokenizer = made(replace(CONFIGS[unit], normalization=normalization), TEXTS)
    for text in TEXTS:
        ids, found = tokenizer.word_of_piece(text)
        assert ids == tokenizer.encode(text) and len(ids) == len(found) and found == sorted(found)
        assert max(found, default=-1) < max(1, len(words(text)))
        if normalization == "identity" and words(text):
            assert tokenizer.decode(ids) == text
        if normalization == "nfc":
            assert tokenizer.decode(ids) == " ".join(words(nfc(text)))


@pytest.mark.parametrize("normalization", ["nfc", "identity"])
def test_carriage_return_within_a_word_of_bytes_ends_no_word(normalization: str) -> None:
    tokenizer = made(replace(CONFIGS["byte"], normalization=normalization))
    text = "a\rb \r c"
    ids, found = tokenizer.word_of_piece(text)
    assert tokenizer.decode(ids) == "a b   c" and found == [0, 0, 0, 1, 1, 2, 2] and len(words(text)) == 3


def test_bytes_say_every_text_and_nothing_is_unknown() -> None:
    tokenizer = made(CONFIGS["byte"])
    for text in ("Ünïcödé 中文 \U0001f642", "\0 \x1f ▁ ▅ \ufdd0"):
        ids = tokenizer.encode(text)
        assert UNK not in ids and tokenizer.decode(ids) == text
        assert len(ids) == len(text.encode())


def test_bytes_that_are_no_text_are_shown_and_a_translation_is_one_line() -> None:
    tokenizer = made(CONFIGS["byte"])
    assert tokenizer.decode([4 + 0xC3, 4 + ord("a"), 4 + 10, 4 + 13, 4 + ord("b")]) == "�a  b"


def test_characters_of_a_script_without_spaces_are_words_for_the_eye_of_bytes_too() -> None:
    assert readable(sentence_of(made(CONFIGS["byte"]), "中文 ab")).words == ["中", "文", "ab"]


def test_rare_words_are_unknown_and_shown_as_question_marks() -> None:
    config = WordConfig(min_count=2, vocab_size=6, joint=True, normalization="nfc")
    tokenizer = made(config, ["a b c", "a b", "a c", "d"])  # of b and c, as frequent, the first by its letters
    assert tokenizer.pieces(range(len(tokenizer))) == [*SPECIAL, "▁a", "▁b"]
    assert tokenizer.decode(tokenizer.encode("a d b <unk>")) == "a ⁇ b ⁇"
    assert hypothesis_of(tokenizer, tokenizer.encode("a d b")).words == ["a", "⁇", "b"]
    lost = Losses(Tokenizers(tokenizer, tokenizer), sample=False)
    lost.add(Pair("a d", "a"), [tokenizer.encode("a d"), tokenizer.encode("a")], 1)
    assert (lost.sides[0].unknown, lost.sides[0].changed, lost.sides[1].changed) == (1, 1, 0)


def test_fewer_characters_than_there_are_leave_the_rarest_unknown() -> None:
    tokenizer = made(replace(CONFIGS["char"], vocab_size=7), ["aaa bbb", "aab c"])
    assert tokenizer.pieces(tokenizer.encode("ab c")) == ["▁", "a", "b", "▁", "<unk>"]


@pytest.mark.parametrize(("unit", "key", "value"), [
        ("byte", "vocab_size", 259), ("word", "vocab_size", 4), ("word", "min_count", 0), ("char", "sampling", 0.1),
        ("word", "normalization", "nfd"), ("byte", "normalization", "nfd"),
    ],
)  # fmt: skip
def test_setting_out_of_range_names_itself(unit: str, key: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"tokenizer\.{key}={value}"):
        replace(CONFIGS[unit], **{key: value})


def test_words_that_are_never_there_so_often_are_refused() -> None:
    with pytest.raises(UserError, match=r"min_count=9: no word is there so often; use 2 or less"):
        made(replace(CONFIGS["word"], min_count=9), ["a b", "a"])
    with pytest.raises(UserError, match="nothing but empty lines"):
        made(CONFIGS["word"], ["", " "])


@pytest.mark.parametrize("model", [b"{", b"{}", b'{"units": "syllable"}', b'{"units": "word", "entries": 3}'])
def test_damaged_vocabulary_is_refused(model: bytes) -> None:
    with pytest.raises(UserError, match="vocabulary"):
        tokenizer_of(model)


def test_tag_stands_before_every_text_and_no_text_can_make_it(tokenizer: Tokenizer) -> None:
    tagged = tokenizer.with_tags(["2de", "<news>"]).tagged("<2de>")
    tag = tagged.tag_ids["2de"]
    assert tagged.pieces([tag]) == ["<2de>"] and len(tagged) == len(tokenizer) + 2
    assert len(set(tagged.pieces(range(len(tagged))))) == len(tagged)
    for text in (LINES[0], "x<2de> <2de> <2de > 2de"):
        assert tagged.encode(text) == [tag, *tokenizer.encode(text)]
        assert tag not in tagged.encode(text)[1:]
        assert tagged.word_of_piece(text).words == [NO_WORD, *tokenizer.word_of_piece(text).words]
        assert tagged.decode(tagged.encode(text)) == tokenizer.decode(tokenizer.encode(text))
    assert tagged.encode(" ") == []
    copy = pickle.loads(pickle.dumps(tagged))
    assert copy.encode(LINES[0]) == tagged.encode(LINES[0]) and copy.tagged("").encode("dog") == tokenizer.encode("dog")


def test_unknown_tag_is_refused_with_those_that_are_known(tokenizer: Tokenizer) -> None:
    with pytest.raises(UserError, match="tag=2fr is not known to the model: it knows 2de, news"):
        tokenizer.with_tags(["news", "2de"]).tagged("2fr")
    with pytest.raises(UserError, match="tag=2de is not known to the model: it was trained without tags"):
        tokenizer.tagged("2de")


@pytest.mark.parametrize("name", ["", "a b", "<2de", "2de>", "12", "s", "<unk>", "pad", "0xC3", "a.b", "ä"])
def test_what_cannot_be_a_tag_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="is no name of a tag"):
        tag_name(name)


def test_tag_has_a_column_after_the_words_and_no_word_for_links(tokenizer: Tokenizer) -> None:
    source = sentence_of(tokenizer.with_tags(["2de"]).tagged("2de"), "The dog")
    assert source.ending().words == ["The", "dog", "<2de>", "</s>"] and source.ending().pieces[0] == "<2de>"
    assert (source.ending().word_of_piece[0], source.ending().word_of_piece[-1]) == (2, 3)
    assert (source.linked_words()[0], source.linked_words()[-1]) == (2, 2)
