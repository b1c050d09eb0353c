"""Vocabularies that grow: old ids and old text stay, new text is cut into fewer pieces."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from seq2seq.data.foreign import pack_foreign
from seq2seq.data.growth import check_growth, grown_model, parts_of_new
from seq2seq.data.piece_growth import LEAST, grow
from seq2seq.data.tokenizer import UNK, Tokenizer, TokenizerConfig, Tokenizers
from seq2seq.data.tokenizer_training import train_tokenizer
from seq2seq.data.units import ByteConfig, VocabularyConfig, WordConfig, tokenizer_of
from seq2seq.errors import UserError
from tests.sentences import sentences

TEXT = [text for pair in sentences("val")[:200] for text in pair[:2]]
NEW = [text.replace(" .", " ?").replace("The", "The lynx жук") for text in TEXT]


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def old(request: pytest.FixtureRequest) -> Tokenizer:
    config = TokenizerConfig(model_type=request.param, vocab_size=300, joint=True, sampling=0.0, normalization="nfc",
                             character_coverage=1.0, input_sentence_size=0)  # fmt: skip
    return Tokenizer(train_tokenizer(TEXT, config)).with_tags(["2de"])


@pytest.fixture(scope="module")
def grown(old: Tokenizer) -> Tokenizer:
    return Tokenizer(grow(old, NEW, vocab_size=420))


def test_old_pieces_keep_their_ids_and_new_ones_follow(old: Tokenizer, grown: Tokenizer) -> None:
    assert len(old) < len(grown) <= 420
    assert grown.pieces(range(len(old))) == old.pieces(range(len(old)))
    assert grown.tag_ids == old.tag_ids
    assert len(set(grown.pieces(range(len(grown))))) == len(grown)


def test_text_without_a_new_piece_is_cut_as_before(old: Tokenizer, grown: Tokenizer) -> None:
    new = set(range(len(old), len(grown)))
    words = {word for text in [*TEXT, *(pair.source for pair in sentences("test"))] for word in text.split()}
    cut = {word: grown.encode(word) for word in words}
    kept = [word for word, ids in cut.items() if not new & set(ids)]
    assert len(kept) > 100 and all(cut[word] == old.encode(word) for word in kept)


def test_new_text_comes_back_whole_in_fewer_pieces(old: Tokenizer, grown: Tokenizer) -> None:
    assert all(grown.decode(grown.encode(text)) == text and UNK not in grown.encode(text) for text in NEW + TEXT)
    assert sum(len(grown.encode(text)) for text in NEW) < 0.85 * sum(len(old.encode(text)) for text in NEW)
    assert {"▁lynx", "▁жук"} <= set(grown.pieces(range(len(old), len(grown))))


def test_new_pieces_have_the_parts_that_the_old_vocabulary_sees_in_them(old: Tokenizer, grown: Tokenizer) -> None:
    parts = dict(zip(grown.pieces(range(len(old), len(grown))), parts_of_new(old, grown), strict=True))
    assert parts["▁lynx"] == old.encode("lynx")
    assert parts["ж"] == [] == parts["?"]
    assert parts_of_new(grown, grown.with_tags(["bt"])) == [[]]


def test_growth_is_the_same_again_and_rare_neighbours_stay_apart(old: Tokenizer, grown: Tokenizer) -> None:
    assert grow(old, NEW, vocab_size=420) == grown.model_proto
    sizes = [len(Tokenizer(grow(old, ["жу"] * times, vocab_size=420))) - len(old) for times in (LEAST - 1, LEAST)]
    assert sizes == [2, 4]  # the letters; and both together, with a space before them


def test_letters_are_not_joined_with_signs_or_with_letters_of_another_script(old: Tokenizer) -> None:
    mixed = ["a,б3"] * 50
    pieces = Tokenizer(grow(old, mixed, vocab_size=400))
    found = [piece.lstrip("▁") for piece in pieces.pieces(range(len(old), len(pieces)))]
    assert all(len(piece) <= 1 for piece in found), found


@pytest.mark.parametrize("size", [100, 301])
def test_vocabulary_without_room_is_refused(old: Tokenizer, size: int) -> None:
    with pytest.raises(UserError, match=f"has {len(old)} pieces already, so tokenizer.vocab_size={size} leaves no"):
        check_growth(Tokenizers(old, old), size)


PIECES: dict[str, Any] = {"sampling": 0.0, "character_coverage": 1.0, "input_sentence_size": 0}
SHARED: dict[str, Any] = {"joint": True, "normalization": "nfc"}
UNITS: dict[str, Callable[[int], VocabularyConfig]] = {
    "char": lambda size: TokenizerConfig(model_type="char", vocab_size=size, **PIECES, **SHARED),
    "word": lambda size: WordConfig(min_count=2, vocab_size=size, **SHARED),
    "byte": lambda size: ByteConfig(vocab_size=size, **SHARED),
}


@pytest.mark.parametrize("units", UNITS)
def test_other_units_keep_their_ids_and_get_what_they_lack(units: str) -> None:
    config = UNITS[units](5000)
    old = tokenizer_of(config.train(2 * TEXT)).with_tags(["2de"])
    text = [*NEW, *NEW, "the rare quokka 🦘"]
    new = tokenizer_of(grown_model(old, text, config))
    assert new.pieces(range(len(old))) == old.pieces(range(len(old))) and new.tag_ids == old.tag_ids
    assert [new.encode(line) for line in TEXT] == [old.encode(line) for line in TEXT]
    assert all(new.decode(new.encode(line)) == line for line in NEW)
    found = new.pieces(range(len(old), len(new)))
    assert parts_of_new(old, new) == [[]] * len(found)
    expected = {"char": set("жукq🦘?") - set("".join(TEXT)), "word": {"▁жук", "▁lynx", "▁?"}, "byte": set()}[units]
    assert set(found) >= expected and (units == "word") == (UNK in new.encode("quokka"))
    assert len(found) == len(set(found)) and (units != "byte" or new.model_proto == old.model_proto)
    assert grown_model(new, text, config) == new.model_proto  # nothing is lacking now


@pytest.mark.parametrize("units", ["char", "word"])
def test_other_units_grow_to_a_size_by_what_is_frequent(units: str) -> None:
    old = tokenizer_of(UNITS[units](5000).train(TEXT))
    more = ["ж ж ж к к у"] * 3
    new = tokenizer_of(grown_model(old, more, UNITS[units](len(old) + 2)))
    assert [piece.lstrip("▁") for piece in new.pieces(range(len(old), len(new)))] == ["ж", "к"]


def test_word_that_is_called_as_a_tag_is_learnt_like_others() -> None:
    config = UNITS["word"](5000)
    old = tokenizer_of(config.train(2 * TEXT)).with_tags(["2de"])
    new = tokenizer_of(grown_model(old, ["the <2de> tag", "the <2de> tag"], config))
    assert new.decode(new.encode("<2de>")) == "<2de>" and new.encode("<2de>") != [new.tag_ids["2de"]]


@pytest.mark.parametrize("units", UNITS)
def test_room_is_needed_but_for_bytes(units: str) -> None:
    old = tokenizer_of(UNITS[units](5000).train(TEXT))
    with nullcontext() if units == "byte" else pytest.raises(UserError, match="leaves no room"):
        check_growth(Tokenizers(old, old), len(old))


def test_vocabulary_from_elsewhere_is_refused(old: Tokenizer) -> None:
    foreign = tokenizer_of(pack_foreign(old.model_proto, old.pieces(range(len(old))), tags={}))
    with pytest.raises(UserError, match="the target vocabulary was made elsewhere, and cannot grow"):
        check_growth(Tokenizers(old, foreign), 1000)
