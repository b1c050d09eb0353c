import pickle
from dataclasses import replace

import pytest

from seq2seq.data.tokenizer import BOS, EOS, PAD, UNK, Tokenizer, TokenizerConfig, train_tokenizer
from seq2seq.errors import UserError

LINES = [
    "The small dog opens the garden door .",
    "A man has seen twenty-one dogs in the garden .",
    "Der kleine Hund macht die Gartentür auf .",
    "Ein Mann hat einundzwanzig Hunde im Garten gesehen .",
    "Es ist 1 ½ kg , fine und schön … x y",
] * 5

CONFIG = TokenizerConfig(
    model_type="bpe",
    vocab_size=67,
    joint=True,
    sampling=0.0,
    normalization="nfc",
    character_coverage=1.0,
    input_sentence_size=1000,
)


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer(train_tokenizer(LINES, replace(CONFIG, model_type=request.param)))


def words(tokenizer: Tokenizer, text: str) -> list[str]:
    """The piece and the word it was given to, for every piece."""
    ids, words = tokenizer.word_of_piece(text)
    return [f"{piece}:{text.split()[word]}" for piece, word in zip(tokenizer.pieces(ids), words, strict=True)]


def test_special_ids_are_fixed(tokenizer: Tokenizer) -> None:
    assert tokenizer.pieces([UNK, PAD, BOS, EOS]) == ["<unk>", "<pad>", "<s>", "</s>"]
    assert len(tokenizer) == 67


@pytest.mark.parametrize("text", LINES[:5])
def test_decoding_restores_the_normalised_text(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text.replace("½", "1⁄2").replace("…", "...")


def test_encoding_adds_no_special_ids_and_decoding_hides_them(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("The dog")
    assert not {PAD, BOS, EOS} & set(ids)
    assert tokenizer.decode([BOS, *ids, EOS, PAD]) == "The dog"


def test_names_of_special_pieces_in_a_text_are_only_text(tokenizer: Tokenizer) -> None:
    assert not {PAD, BOS, EOS} & set(tokenizer.encode("<s> dog </s> <pad>"))


def test_model_survives_its_bytes_and_a_worker_process(tokenizer: Tokenizer) -> None:
    for copy in (Tokenizer(tokenizer.model_proto), pickle.loads(pickle.dumps(tokenizer))):
        assert copy.encode(LINES[3]) == tokenizer.encode(LINES[3])


@pytest.mark.parametrize("text", [*LINES[:5], "", " ", "  The\u00a0dog \u2028 auf  ", "日本 ﬁne 12½kg\u200b z"])
def test_word_of_piece_gives_the_ids_of_encode(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.word_of_piece(text).ids == tokenizer.encode(text)


@pytest.mark.parametrize("text", [*LINES[:4], "  The\u00a0dog \u2028 auf  ", "dog\u3000dog\tdog"])
def test_pieces_spell_the_word_they_belong_to(tokenizer: Tokenizer, text: str) -> None:
    spelt = [""] * len(text.split())
    ids, words = tokenizer.word_of_piece(text)
    for piece, word in zip(tokenizer.pieces(ids), words, strict=True):
        spelt[word] += piece.removeprefix("▁")
    assert spelt == text.split()


def test_normalisation_that_lengthens_a_word_shifts_no_other(tokenizer: Tokenizer) -> None:
    # ½ becomes three characters, the ligature ﬁ two, … three: one word each all the same.
    belonging = words(tokenizer, "½ ﬁne … dog")
    found = [pair.split(":")[1] for pair in belonging]
    assert list(dict.fromkeys(found)) == ["½", "ﬁne", "…", "dog"]
    assert "".join(pair.split(":")[0] for pair in belonging if pair.endswith(":ﬁne")).removeprefix("▁") == "fine"


def test_lone_space_piece_belongs_to_the_next_word(tokenizer: Tokenizer) -> None:
    assert words(tokenizer, "dog 日本")[-2:] == ["▁:日本", "<unk>:日本"]


def test_word_that_normalises_to_nothing_has_no_piece(tokenizer: Tokenizer) -> None:
    assert set(tokenizer.word_of_piece("dog \u200b auf").words) == {0, 2}


def test_sampling_follows_the_seed_and_varies_with_it(tokenizer: Tokenizer) -> None:
    def sample(seed: int) -> list[int]:
        return tokenizer.encode_sampled(LINES[3], alpha=0.3, seed=seed)

    samples = [sample(seed) for seed in range(11)]
    assert samples == [sample(seed) for seed in range(11)]
    assert len(set(map(tuple, samples))) > 5
    assert {tokenizer.decode(ids) for ids in samples} == {LINES[3]}


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
def test_training_is_deterministic(model_type: str) -> None:
    config = replace(CONFIG, model_type=model_type)
    assert train_tokenizer(LINES, config) == train_tokenizer(iter(LINES), config)


def test_every_character_of_the_training_text_is_in_the_vocabulary(tokenizer: Tokenizer) -> None:
    assert all(UNK not in tokenizer.encode(line) for line in LINES)


def test_long_line_is_trained_on() -> None:
    line = "ab " * 3000 + "q"
    assert UNK not in Tokenizer(train_tokenizer([line, "ab"], replace(CONFIG, vocab_size=9))).encode("q")


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
def test_vocabulary_larger_than_the_text_allows_names_the_value_to_use(model_type: str) -> None:
    config = replace(CONFIG, model_type=model_type, vocab_size=5003)
    with pytest.raises(
        UserError, match=r"tokenizer\.vocab_size=5003 is more .* use tokenizer\.vocab_size=\d+ or"
    ) as error:
        train_tokenizer(LINES, config)
    allowed = int(str(error.value).split("=")[-1].split()[0])
    assert len(Tokenizer(train_tokenizer(LINES, replace(config, vocab_size=allowed)))) == allowed


def test_vocabulary_smaller_than_the_alphabet_names_the_value_to_use() -> None:
    with pytest.raises(
        UserError, match=r"tokenizer\.vocab_size=11 is less .* use tokenizer\.vocab_size=\d+ or"
    ) as error:
        train_tokenizer(LINES, replace(CONFIG, vocab_size=11))
    needed = int(str(error.value).split("vocab_size=")[2].split()[0])
    assert len(Tokenizer(train_tokenizer(LINES, replace(CONFIG, vocab_size=needed)))) == needed


def test_text_of_empty_lines_is_refused() -> None:
    with pytest.raises(UserError, match="nothing but empty lines"):
        train_tokenizer(["", ""], CONFIG)


def test_mistake_in_the_lines_is_reported_as_it_is() -> None:
    def lines():
        yield "a dog"
        raise UserError("train.en:2: not UTF-8")

    with pytest.raises(UserError, match=r"^train\.en:2: not UTF-8$"):
        train_tokenizer(lines(), CONFIG)


def test_damaged_model_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(UserError, match="not a SentencePiece model"):
        Tokenizer(tokenizer.model_proto[:1000])


@pytest.mark.parametrize(("key", "value"), [("model_type", "word"), ("sampling", 1.5), ("sampling", -0.1)])
def test_setting_out_of_range_names_itself(key: str, value: str | float) -> None:
    with pytest.raises(UserError, match=rf"tokenizer\.{key}={value}"):
        replace(CONFIG, **{key: value})
