"""Required and forbidden words: beside all translations that meet them, and as a person writes them."""

from typing import Any

import pytest

from seq2seq.data.tokenizer import EOS, Tokenizer, TokenizerConfig
from seq2seq.data.tokenizer_training import train_tokenizer
from seq2seq.data.units import ByteConfig, tokenizer_of
from seq2seq.decoding.constraints import Constraints, says
from seq2seq.decoding.prefix import Prefix
from seq2seq.decoding.requests import parse_constraints, requests_of
from seq2seq.decoding.search import (
    BeamSearch,
    DiverseBeamSearch,
    GreedySearch,
    Request,
    SampleSearch,
    wu_penalty,
)
from seq2seq.errors import UserError

A, B, AB, C, BA = range(4, 9)
WIDE = BeamSearch(beam_size=400, n_best=400, max_length=4, max_ratio=99.0, length_penalty=wu_penalty(0.0))
NARROW = BeamSearch(beam_size=4, n_best=4, max_length=12, max_ratio=99.0, length_penalty=wu_penalty(1.0))
GREEDY = GreedySearch(max_length=12, max_ratio=99.0)
SAMPLE = SampleSearch(
    n_best=3, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, epsilon=0.0, seed=1, max_length=12, max_ratio=99.0
)
DIVERSE = DiverseBeamSearch(
    beam_size=4, groups=2, diversity=0.5, n_best=4, max_length=12, max_ratio=99.0, length_penalty=wu_penalty(1.0)
)
LINES = ["der kleine Hund schläft .", "die Hunde schlafen , oder nicht", "das Haus , die Häuser", "ein Hut"]


def meets(target: list[int], required: Any) -> bool:
    """Whether each constraint has an alternative that stands in the target and ends with a word."""
    ends = (0, A, AB, C, EOS)
    whole = [*target, EOS]
    return all(
        any(
            tuple(whole[i : i + len(phrase)]) == phrase and whole[i + len(phrase)] in ends
            for phrase in alternatives
            for i in range(len(target) - len(phrase) + 1)
        )
        for alternatives in required
    )


@pytest.mark.parametrize(
    "required",
    [
        [[(C,)]],
        [[(A, B)]],
        [[(A,), (AB,)], [(C,)]],
        [[(A,)], [(A, B)]],
        [[(C, B, BA)]],
        [[(C,)], [(C, B), (A,)]],
    ],
)
def test_wide_beam_finds_all_that_meet_what_is_required_best_first(tiny: Any, kind: str, required: Any) -> None:
    model, sources = tiny.model(kind), tiny.sources(2)
    requests = [Request(0, None, Constraints(required, (), tiny.vocabulary)), Request(1)]
    targets = [target for target in tiny.all_targets if meets(target, required)]
    expected = tiny.best_first(tiny.scored(model, sources[0], targets))
    found, free = tiny.run(WIDE, model, sources, requests)
    assert [h.tokens for h in found] == expected
    assert [h.tokens for h in free] == [h.tokens for h in tiny.run(WIDE, model, sources[1:])[0]]


@pytest.mark.parametrize("search", [WIDE, GREEDY, SAMPLE, DIVERSE], ids=["beam", "greedy", "sample", "diverse"])
@pytest.mark.parametrize("forbidden", [["ab"], ["a", "c"], ["a▁c"], ["abb", "ab▁ab"]])
def test_what_is_forbidden_is_never_said_in_whatever_pieces(
    tiny: Any, kind: str, search: Any, forbidden: list[str]
) -> None:
    model, sources = tiny.model(kind, sharpness=1.0), tiny.sources(3)
    requests = [Request(i, None, Constraints((), forbidden, tiny.vocabulary)) for i in range(3)]
    spelled = [[tiny.vocabulary.spell(h.tokens) for h in found] for found in tiny.run(search, model, sources, requests)]
    assert all(spelled) and not any(
        says(text, phrase, ended=True) for found in spelled for text in found for phrase in forbidden
    )
    if search is WIDE:
        said = {
            tuple(t)
            for t in tiny.all_targets
            if not any(says(tiny.vocabulary.spell(t), phrase, ended=True) for phrase in forbidden)
        }
        found = {tuple(h.tokens) for h in tiny.run(search, model, sources, requests)[0]}
        assert found <= said and len(found) > 0.9 * len(said)  # an end that nothing may follow is not gone to


@pytest.mark.parametrize("length", [5, 7, 12])
def test_narrow_beam_meets_many_constraints_and_forbidden_ones_in_little_room(
    tiny: Any, kind: str, length: int
) -> None:
    required: list[list[tuple[int, ...]]] = [[(C, BA), (C, B)], [(A,)], [(AB,)]]
    constraints = Constraints(required, ["c"], tiny.vocabulary)
    search = BeamSearch(beam_size=3, n_best=3, max_length=length, max_ratio=99.0, length_penalty=wu_penalty(1.0))
    requests = [Request(i, None, constraints if i != 1 else None) for i in range(3)]
    model, sources = tiny.model(kind), tiny.sources(3)
    together = tiny.run(search, model, sources, requests)
    for i, found in enumerate(together):
        assert found and (i == 1 or all(meets(h.tokens, required) for h in found))
        (alone,) = tiny.run(search, model, sources[i : i + 1], requests[i : i + 1])
        assert [h.tokens for h in alone] == [h.tokens for h in found]


def test_constraints_come_after_a_prefix(tiny: Any, kind: str) -> None:
    required: list[list[tuple[int, ...]]] = [[(C, B)], [(AB,)]]
    request = Request(0, Prefix([A, B], "", tiny.vocabulary), Constraints(required, (), tiny.vocabulary))
    search = BeamSearch(beam_size=3, n_best=3, max_length=6, max_ratio=99.0, length_penalty=wu_penalty(1.0))
    (found,) = tiny.run(search, tiny.model(kind), tiny.sources(1), [request])
    assert found and all(h.tokens[:2] == [A, B] and meets(h.tokens, required) for h in found)


def test_a_beam_that_meets_its_constraints_is_as_likely_as_can_be(tiny: Any) -> None:
    """With the constraint that the free translation meets anyway, it is found."""
    model, sources = tiny.model("bahdanau"), tiny.sources(4)
    for source, (free, *_) in zip(sources, tiny.run(NARROW, model, sources), strict=True):
        words = [token for token in free.tokens if token == C]
        if words:
            request = Request(0, None, Constraints([[(C,)]], (), tiny.vocabulary))
            (found,) = tiny.run(NARROW, model, [source], [request])
            assert found[0].score >= free.score - 1e-5 or not meets(free.tokens, [[(C,)]])


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    config = TokenizerConfig(
        model_type="bpe", vocab_size=50, joint=False, sampling=0.0, normalization="nfc", character_coverage=1.0,
        input_sentence_size=1000,
    )  # fmt: skip
    return Tokenizer(train_tokenizer(LINES * 5, config))


def ask(tokenizer: Tokenizer, given: Any, *, search: Any = NARROW, prefix: str = "") -> Request:
    (request,) = requests_of(tokenizer, search=search, constraints=[given], prefixes=[prefix])
    return request


def test_words_are_cut_into_pieces_as_inside_a_sentence(tokenizer: Tokenizer) -> None:
    constraints = ask(tokenizer, {"require": ["Hunde", ["Haus", "ein Hut"], ","]}).constraints
    assert constraints is not None
    hunde, either, comma = constraints.required
    assert hunde == (tuple(tokenizer.encode("Hunde")),)
    assert either == (tuple(tokenizer.encode("Haus")), tuple(tokenizer.encode("ein Hut")))
    spelled = {constraints.vocabulary.spell(phrase) for phrase in comma}
    assert "▁," in spelled  # after a space, and where the vocabulary has it alone, after a letter
    state = constraints.start
    for token in tokenizer.encode("die Hunde"):
        state = constraints.advance(state, token)
    assert state.ending == {0} and not state.met


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"require": ["Hund"], "forbid": ["Hund"]}, "requires Hund, and forbids it; take one away"),
        ({"require": [["der Hund", "Hund ."]], "forbid": ["Hund"]}, "requires der Hund or Hund ., and forbids it"),
        ({"require": ["☃ Hund"]}, "the vocabulary has no pieces for ☃"),
        ({"require": ["schlafen oder nicht schläft"] * 2 + ["Häuser"]}, "pieces, and one more for the end, but a tr"),
        ({"required": ["Hund"]}, "required is not known; expected such as"),
        ({"require": "Hund"}, "require takes a list"),
        ({"require": [[]]}, "require takes texts, or lists of texts"),
        ({"forbid": [["Hund"]]}, "is no text with a word"),
        ({"forbid": ["\ud83c"]}, "'\\ud83c' holds half of a surrogate pair"),
        ({"forbid": [" "]}, "' ' is no text with a word"),
        ({"forbid": ["der\nHund"]}, "'der\\nHund' has the end of a line in it, and a translation is one line"),
        ({"require": ["Hund\n"]}, "'Hund\\n' has the end of a line in it"),
    ],
)
def test_what_cannot_be_met_is_refused(tokenizer: Tokenizer, given: Any, message: str) -> None:
    with pytest.raises(UserError) as raised:
        ask(tokenizer, given)
    assert str(raised.value).startswith("constraints[0]: ") and message in str(raised.value)


def test_alternative_that_is_not_forbidden_is_enough(tokenizer: Tokenizer) -> None:
    constraints = ask(tokenizer, {"require": [["Hund", "Hut"]], "forbid": ["Hund"]}).constraints
    assert constraints is not None and constraints.required == ((tuple(tokenizer.encode("Hut")),),)


def test_prefix_that_says_what_is_forbidden_is_refused(tokenizer: Tokenizer) -> None:
    assert ask(tokenizer, {"forbid": ["Hund"]}, prefix="der Hund").prefix is not None  # it may go on as `Hunde`
    with pytest.raises(UserError, match="forbids Hund, which its prefix says"):
        ask(tokenizer, {"forbid": ["Hund"]}, prefix="der Hund ")


def test_forbidden_sign_forbids_no_byte_that_is_shown_with_it() -> None:
    tokenizer = tokenizer_of(ByteConfig(vocab_size=260, joint=False, normalization="nfc").train([]))
    constraints = ask(tokenizer, {"forbid": ["<"]}).constraints
    assert constraints is not None
    assert constraints.ruled_out([], 9) == set(tokenizer.encode("<"))


@pytest.mark.parametrize("search", [GREEDY, SAMPLE, DIVERSE])
def test_words_are_required_of_a_beam_alone(tokenizer: Tokenizer, search: Any) -> None:
    assert ask(tokenizer, {"forbid": ["Hund"]}, search=search).constraints is not None
    with pytest.raises(UserError, match="words can be required of search=beam only"):
        ask(tokenizer, {"require": ["Hund"]}, search=search)


def test_a_line_is_json_or_blank() -> None:
    assert parse_constraints('{"forbid": ["a"]}', "f:1") == {"forbid": ["a"]} and parse_constraints(" ", "f:1") is None
    twice, deep = '{"require": ["a"], "require": ["b"]}', "[" * 5000
    for line, message in (
        ("{", "f:3: not JSON"),
        ("[]", "f:3: no JSON object"),
        (twice, "f:3: .*a key comes twice: require"),
        (deep, "f:3: not JSON"),
    ):
        with pytest.raises(UserError, match=message):
            parse_constraints(line, "f:3")


@pytest.mark.parametrize(
    ("text", "phrase", "said"),
    [
        ("▁der▁Hund", "Hund", True),
        ("▁der▁Hunde", "Hund", False),
        ("▁der▁Hund,", "Hund", True),
        ("▁(Hund)", "Hund", True),
        ("▁Schoßhund", "hund", False),
        ("Hund▁a", "Hund", True),
        ("▁der▁Hund", "der▁Hund", True),
        ("▁我爱你", "爱", True),
    ],
)
def test_words_are_whole(text: str, phrase: str, said: bool) -> None:
    assert says(text, phrase, ended=True) is said


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("das Haus", True),
        ("Haus da", True),
        ("das Haus,", True),
        ("das KHaus", False),
        ("das Hausö", False),
        ("das Menü Haus", True),
    ],
)
def test_words_of_bytes_are_whole(text: str, met: bool) -> None:
    bytes_ = tokenizer_of(ByteConfig(vocab_size=260, joint=False, normalization="nfc").train([]))
    constraints = ask(bytes_, {"require": ["Haus"]}).constraints
    assert constraints is not None
    state = constraints.start
    for token in bytes_.encode(text):
        state = constraints.advance(state, token)
    assert constraints.may_end(state) is met
