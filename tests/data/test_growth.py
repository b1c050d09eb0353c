"""Vocabularies that grow: old ids and old text stay, new text is cut into fewer pieces."""

import pytest

from seq2seq.data.grammar import generate
from seq2seq.data.growth import LEAST, check_growth, grow, parts_of_new
from seq2seq.data.tokenizer import UNK, Tokenizer, TokenizerConfig, Tokenizers
from seq2seq.data.tokenizer_training import train_tokenizer
from seq2seq.data.units import WordConfig, tokenizer_of
from seq2seq.errors import UserError

TEXT = [text for pair in generate("val")[:200] for text in pair[:2]]
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
    words = {word for text in [*TEXT, *(pair.source for pair in generate("test"))] for word in text.split()}
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


def test_vocabulary_of_words_is_refused(old: Tokenizer) -> None:
    words = tokenizer_of(WordConfig(min_count=1, vocab_size=50, joint=False, normalization="nfc").train(TEXT))
    with pytest.raises(UserError, match="the target vocabulary is neither bpe nor unigram of ours"):
        check_growth(Tokenizers(old, words), 1000)
    assert parts_of_new(words, words.with_tags(["bt"])) == [[]]
