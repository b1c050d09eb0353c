"""A forced beginning: beside all translations that begin so, and as a person types it."""

from typing import Any

import pytest
import torch

from seq2seq.data.tokenizer import EOS, Tokenizer, TokenizerConfig
from seq2seq.data.tokenizer_training import train_tokenizer
from seq2seq.data.units import ByteConfig, WordConfig, tokenizer_of
from seq2seq.decoding.prefix import Prefix, prefix_of
from seq2seq.decoding.search import BeamSearch, GreedySearch, Request, wu_penalty
from seq2seq.decoding.vocabulary import Vocabulary
from seq2seq.errors import UserError

A, B, AB, C, BA = range(4, 9)
WIDE = BeamSearch(beam_size=400, n_best=400, max_length=4, max_ratio=99.0, length_penalty=wu_penalty(0.0))
LINES = ["der kleine Hund schläft", "die Hunde schlafen", "das Haus , die Häuser", "ein Hut"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    config = TokenizerConfig(
        model_type="bpe", vocab_size=48, joint=False, sampling=0.0, normalization="nfc", character_coverage=1.0,
        input_sentence_size=1000,
    )  # fmt: skip
    return Tokenizer(train_tokenizer(LINES * 5, config))


def read(text: str, tokenizer: Tokenizer, max_length: int = 99) -> Prefix | None:
    return prefix_of(text, tokenizer, Vocabulary.of(tokenizer), max_length=max_length, where="file:7")


@pytest.mark.parametrize(
    ("ids", "open", "closed"),
    [
        ([C], "", False),
        ([], "▁a", False),
        ([], "▁ab", False),
        ([], "▁aba", False),
        ([A], "", True),
        ([C, A], "", True),
    ],
)
def test_wide_beam_finds_all_that_begin_so_best_first(
    tiny: Any, kind: str, ids: list[int], open: str, closed: bool
) -> None:
    model, sources = tiny.model(kind), tiny.sources(2)
    prefix = Prefix(ids, open, tiny.vocabulary, closed=closed)

    def begins_so(target: list[int]) -> bool:
        rest = target[len(ids) :]
        whole = not closed or not rest or rest[0] in (0, A, AB, C)
        return target[: len(ids)] == ids and tiny.vocabulary.spell(rest).startswith(open) and whole

    def known(target: list[int]) -> bool:
        """Unknown pieces spell nothing: none of them stands inside what is spelled letter by letter."""
        needed = next(n for n in range(len(target) + 1) if len(tiny.vocabulary.spell(target[:n])) >= len(open))
        return 0 not in target[:needed]

    targets = [target for target in tiny.all_targets if begins_so(target) and known(target)]
    for source, found in zip(sources, tiny.run(WIDE, model, sources, [Request(0, prefix)] * 2), strict=True):
        expected = tiny.best_first(tiny.scored(model, source, targets))
        assert len(expected) > 3
        assert [h.tokens for h in found] == expected
        assert [h.score for h in found] == pytest.approx(
            sorted((s.log_probability for s in tiny.scored(model, source, targets)), reverse=True), rel=1e-4
        )


@pytest.mark.parametrize("search", [
    GreedySearch(max_length=9, max_ratio=1.0),
    BeamSearch(beam_size=3, n_best=2, max_length=9, max_ratio=1.0, length_penalty=wu_penalty(1.0)),
])  # fmt: skip
def test_sentence_alone_gives_what_it_gives_beside_others(tiny: Any, kind: str, search: Any) -> None:
    model, sources = tiny.model(kind), tiny.sources(4)
    given: list[tuple[list[int], str] | None] = [([C, C, C], ""), None, ([], "▁abbb"), ([], "▁a")]
    prefixes = [None if one is None else Prefix(one[0], one[1], tiny.vocabulary) for one in given]
    requests = [Request(i, prefix) for i, prefix in enumerate(prefixes)]
    together = tiny.run(search, model, sources, requests)
    for source, request, found in zip(sources, requests, together, strict=True):
        (alone,) = tiny.run(search, model, [source], [request])
        assert [h.tokens for h in alone] == [h.tokens for h in found]
        assert [h.score for h in found] == pytest.approx([h.score for h in alone], rel=1e-4)
        if request.prefix is not None:
            begin = tiny.vocabulary.spell(request.prefix.ids) + request.prefix.open
            assert all(tiny.vocabulary.spell(h.tokens).startswith(begin) for h in found)


@pytest.mark.parametrize("length", [4, 5, 6])
def test_letters_are_spelled_by_as_many_pieces_as_there_is_room_for(tiny: Any, length: int) -> None:
    """`▁ab` `b` `b` is three pieces at least, and `▁a` `b` `b` `b` one more."""
    search = BeamSearch(beam_size=99, n_best=99, max_length=length, max_ratio=9.0, length_penalty=wu_penalty(0.0))
    prefix = Prefix([], "▁abbb", tiny.vocabulary)
    assert prefix.least == 3
    (found,) = tiny.run(search, tiny.model("transformer"), tiny.sources(1), [Request(0, prefix)])
    assert {len(h.tokens) for h in found} == set(range(3, length))
    assert all(tiny.vocabulary.spell(h.tokens).startswith("▁abbb") for h in found)


def test_prefix_has_room_beyond_the_ratio(tiny: Any) -> None:
    """A source of one piece allows 12 tokens; 14 are forced, and the translation goes on."""
    prefix = Prefix([C] * 14, "", tiny.vocabulary)
    search = BeamSearch(beam_size=2, n_best=2, max_length=99, max_ratio=1.0, length_penalty=wu_penalty(0.0))
    (found,) = tiny.run(search, tiny.model("bahdanau"), [torch.tensor([5, EOS])], [Request(0, prefix)])
    assert found and all(h.tokens[:14] == [C] * 14 for h in found)


def test_last_word_is_half_a_word_unless_a_space_follows(tokenizer: Tokenizer) -> None:
    vocabulary = Vocabulary.of(tokenizer)
    half, whole = read("die Hu", tokenizer), read("die Hu ", tokenizer)
    assert half is not None and whole is not None
    assert (half.ids, half.open, half.closed) == (tokenizer.encode("die"), "▁Hu", False)
    assert (whole.ids, whole.open, whole.closed) == (tokenizer.encode("die Hu"), "", True)
    for text in ("die Hunde", "die Hut", "die Hu", "die Huschläft"):
        ids = tokenizer.encode(text)
        for at in range(len(ids)):
            allowed = half.allowed(ids[:at], 99)
            assert allowed is None or ids[at] in allowed, text
    assert tokenizer.encode("das")[0] not in (half.allowed(half.ids, 99) or ())
    after = whole.allowed(whole.ids, 99)
    assert after is not None and EOS in after
    assert {vocabulary.spellings[i][:1] for i in after} == {"▁", ""}


def test_blank_text_is_no_prefix(tokenizer: Tokenizer) -> None:
    assert read("", tokenizer) is read("  \t", tokenizer) is None


def test_what_cannot_be_said_is_refused_with_file_and_line(tokenizer: Tokenizer) -> None:
    with pytest.raises(UserError, match=r"file:7: the vocabulary has no pieces for qqq; write"):
        read("die qqq Hunde", tokenizer)
    with pytest.raises(UserError, match=r"file:7: the vocabulary has no pieces for Hunq; write"):
        read("die Hunq", tokenizer)
    needed = len(tokenizer.encode("die Hunde "))
    assert read("die Hunde ", tokenizer, needed + 1) is not None
    with pytest.raises(UserError, match=rf"file:7: the prefix needs {needed} pieces.* may have {needed}; shorten it"):
        read("die Hunde ", tokenizer, needed)


@pytest.mark.parametrize("units", ["byte", "word"])
def test_bytes_and_words_begin_like_pieces(units: str) -> None:
    made = ByteConfig(vocab_size=260, joint=False, normalization="nfc") if units == "byte" else WordConfig(
        min_count=1, vocab_size=99, joint=False, normalization="nfc"
    )  # fmt: skip
    tokenizer = tokenizer_of(made.train(LINES))
    prefix, closed = read("das Hä", tokenizer), read("das Häuser ", tokenizer)
    assert prefix is not None and closed is not None and closed.closed
    ids = tokenizer.encode("das Häuser")
    for at in range(len(ids)):
        allowed = prefix.allowed(ids[:at], 99)
        assert allowed is None or ids[at] in allowed
    assert {tokenizer.decode([*prefix.ids, i]) for i in prefix.allowed(prefix.ids, 99) or ()} <= {"das Häuser", "das "}
    if units == "byte":  # a letter of two bytes is not spelled by the signs that its bytes are shown with
        assert prefix.allowed(tokenizer.encode("das H"), 99) == [ids[5]]


@pytest.mark.parametrize("text", ["<", "a <", "<2", "<2de>", "<0"])
def test_what_a_byte_or_a_tag_is_called_begins_with_no_letter(text: str) -> None:
    made = ByteConfig(vocab_size=260, joint=False, normalization="nfc").train([])
    tokenizer = tokenizer_of(made).with_tags(["2de"])
    prefix, ids = read(text, tokenizer), tokenizer.encode(text)
    assert prefix is not None
    assert [prefix.allowed(ids[:at], 99) for at in range(len(ids))] == [[i] for i in ids]


def test_what_stands_for_no_text_spells_nothing() -> None:
    made = ByteConfig(vocab_size=260, joint=False, normalization="nfc").train([])
    tokenizer = tokenizer_of(made).with_tags(["2de"])
    spellings = Vocabulary.of(tokenizer).spellings
    assert [spellings[i] for i in tokenizer.silent] == [""] * 4
