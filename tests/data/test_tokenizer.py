import io
import os
import pickle
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import sentencepiece

from seq2seq.data.text import NORMALIZATIONS, words
from seq2seq.data.tokenizer import BOS, EOS, PAD, SPECIAL, UNK, Tokenizer, TokenizerConfig
from seq2seq.data.tokenizer_training import drawn_lines, train_tokenizer
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


@pytest.fixture(scope="module")
def rewriting(tokenizer: Tokenizer) -> Tokenizer:
    """One of the same kind whose normalisation rewrites characters, and takes every blank for a space."""
    kind = "bpe" if tokenizer.encode_sampled("dog", alpha=0.0, seed=1) == tokenizer.encode("dog") else "unigram"
    return Tokenizer(train_tokenizer(LINES, replace(CONFIG, model_type=kind, normalization="nmt_nfkc")))


def belonging(tokenizer: Tokenizer, text: str) -> list[str]:
    """The piece and the word it was given to, for every piece."""
    ids, found = tokenizer.word_of_piece(text)
    return [f"{piece}:{words(text)[word]}" for piece, word in zip(tokenizer.pieces(ids), found, strict=True)]


def test_special_ids_are_fixed(tokenizer: Tokenizer) -> None:
    assert tokenizer.pieces([UNK, PAD, BOS, EOS]) == ["<unk>", "<pad>", "<s>", "</s>"]
    assert len(tokenizer) == 67


@pytest.mark.parametrize("text", LINES[:5])
def test_decoding_restores_the_text(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("text", LINES[:5])
def test_decoding_restores_the_text_as_the_rules_left_it(rewriting: Tokenizer, text: str) -> None:
    assert rewriting.decode(rewriting.encode(text)) == text.replace("½", "1⁄2").replace("…", "...")


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
def test_pieces_spell_the_word_they_belong_to(rewriting: Tokenizer, text: str) -> None:
    spelt = [""] * len(words(text))
    ids, found = rewriting.word_of_piece(text)
    for piece, word in zip(rewriting.pieces(ids), found, strict=True):
        spelt[word] += piece.removeprefix("▁")
    assert spelt == ["".join(word.split()) for word in words(text)]


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_words_end_at_spaces_and_tabs_alone(normalization: str) -> None:
    text = "a\u00a0b c\u3000d\te\x1cf  g\x0bh\u0085i \u2028 j"
    tokenizer = Tokenizer(train_tokenizer([text] * 3, replace(CONFIG, vocab_size=26, normalization=normalization)))
    assert len(words(text)) == 6
    letters = {letter: i for i, word in enumerate(words(text)) for letter in word if letter.isalpha()}
    ids, found = tokenizer.word_of_piece(text)
    for piece, word in zip(tokenizer.pieces(ids), found, strict=True):
        assert all(letters[letter] == word for letter in piece if letter.isalpha())


def test_normalisation_that_lengthens_a_word_shifts_no_other(rewriting: Tokenizer) -> None:
    # ½ becomes three characters, the ligature ﬁ two, … three: one word each all the same.
    pairs = belonging(rewriting, "½ ﬁne … dog")
    found = [pair.split(":")[1] for pair in pairs]
    assert list(dict.fromkeys(found)) == ["½", "ﬁne", "…", "dog"]
    assert "".join(pair.split(":")[0] for pair in pairs if pair.endswith(":ﬁne")).removeprefix("▁") == "fine"


def test_lone_space_piece_belongs_to_the_next_word(tokenizer: Tokenizer) -> None:
    assert belonging(tokenizer, "dog 日本")[-2:] == ["▁:日本", "<unk>:日本"]


def test_word_that_normalises_to_nothing_has_no_piece(rewriting: Tokenizer) -> None:
    assert set(rewriting.word_of_piece("dog \u200b auf").words) == {0, 2}


KEPT = [
    "می‌خواهم m² ½ № 5 … ™ Å\u00a0! ｆｕｌｌ \ufeff\u200e",
    "<s> a </s> <unk> <pad> <0x41> x<s>y ⁇ <unk ><s > < s >",
    "▁ a▁b ▁▁ ▅ \x1f \0 \x0b\x1c\u0085\u2028\ufffd",
]


@pytest.mark.parametrize("normalization", ["nfc", "identity"])
@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
def test_every_character_comes_back(model_type: str, normalization: str) -> None:
    size = {"bpe": 110, "unigram": 59}[model_type]
    config = replace(CONFIG, model_type=model_type, vocab_size=size, normalization=normalization)
    tokenizer = Tokenizer(train_tokenizer(KEPT * 9, config))
    for text in KEPT:
        ids = tokenizer.encode(text)
        assert min(ids) > EOS
        assert tokenizer.decode(ids) == text.replace("Å", unicodedata.normalize("NFC", "Å"))
        assert tokenizer.decode(tokenizer.encode_sampled(text, alpha=0.3, seed=2)) == tokenizer.decode(ids)


@pytest.mark.parametrize("normalization", ["nfc", "identity"])
def test_characters_that_stand_in_for_others_come_back_as_well(normalization: str) -> None:
    text = "\ufdd0 a\ufdd1b\ufdd2 ▁\ufdd3 \ufdd4\ufdd5 \ufdd5\ufdd0▁ \ufdd5\ufdd5 \ufdd6 a\ufdd5"
    config = replace(CONFIG, model_type="bpe", vocab_size=40, normalization=normalization)
    tokenizer = Tokenizer(train_tokenizer([text] * 9, config))
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode(tokenizer.encode_sampled(text, alpha=0.5, seed=3)) == text
    found = tokenizer.word_of_piece(text)
    assert found.ids == tokenizer.encode(text) and sorted(set(found.words)) == list(range(len(words(text))))


def test_letters_are_composed_but_left_alone_by_identity() -> None:
    composed, apart = (unicodedata.normalize(form, "Tiếng Việt được viết") for form in ("NFC", "NFD"))
    made = Tokenizer(train_tokenizer([apart, "ab"], replace(CONFIG, vocab_size=22)))
    assert made.encode(apart) == made.encode(composed) and made.decode(made.encode(apart)) == composed
    assert made.word_of_piece(apart).words[-1] == 3
    plain = Tokenizer(train_tokenizer([apart, "ab"], replace(CONFIG, vocab_size=24, normalization="identity")))
    assert plain.decode(plain.encode(apart)) == apart


def test_blanks_are_one_space_but_left_alone_by_identity() -> None:
    text = "  if a:\t b  c "
    made = Tokenizer(train_tokenizer([text], replace(CONFIG, vocab_size=13)))
    assert made.decode(made.encode(text)) == "if a: b c"
    plain = Tokenizer(train_tokenizer([text], replace(CONFIG, vocab_size=13, normalization="identity")))
    assert plain.decode(plain.encode(text)) == text
    assert made.encode(" \t ") == plain.encode(" \t ") == []  # a line without words is empty


def test_model_of_an_earlier_version_reads_text_as_it_did() -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, model_type="bpe", vocab_size=67, character_coverage=1.0,
        unk_id=UNK, pad_id=PAD, bos_id=BOS, eos_id=EOS, minloglevel=2,
    )  # fmt: skip
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    tokenizer = Tokenizer(model.getvalue())
    assert tokenizer.normalization == "nmt_nfkc"
    for text in (*LINES[:5], "a▁dog ﬁne\u00a0½", " ", "<s> dog"):
        assert tokenizer.encode(text) == processor.encode(text)
    assert tokenizer.pieces(range(67)) == [processor.id_to_piece(i) for i in range(67)]


def test_no_piece_of_text_is_named_as_a_special_one() -> None:
    made = Tokenizer(train_tokenizer(["<s> <s>x </s> <unk> <pad>"] * 9, replace(CONFIG, vocab_size=24)))
    assert not set(SPECIAL) & set(made.pieces(range(EOS + 1, len(made))))
    assert made.pieces(range(EOS + 1)) == list(SPECIAL)


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


def test_lines_that_are_drawn_are_the_same_in_every_process() -> None:
    code = (
        "import hashlib; from seq2seq.data.tokenizer_training import *\n"
        f"config = {replace(CONFIG, vocab_size=60, input_sentence_size=101)!r}\n"
        "lines = [f'{number * 7919 % 1000003} {chr(97 + number % 26) * 3}' for number in range(400)]\n"
        "print(hashlib.sha256(train_tokenizer(lines, config)).hexdigest())"
    )
    environments = ({"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1"}, {"PYTHONHASHSEED": "2", "OMP_NUM_THREADS": "2"})
    made = [
        subprocess.run([sys.executable, "-c", code], env=os.environ | more, capture_output=True, text=True, check=True)
        for more in environments
    ]
    assert made[0].stdout == made[1].stdout != ""


def test_drawn_lines_come_from_all_of_the_text() -> None:
    drawn = [int(line) for line in drawn_lines(map(str, range(1000)), 200)]
    assert len(set(drawn)) == 200 and 400 < sum(drawn) / 200 < 600
    assert list(drawn_lines(map(str, range(7)), 7)) == list(drawn_lines(map(str, range(7)), 0)) == list("0123456")


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
    def lines() -> Iterator[str]:
        yield "a dog"
        raise UserError("train.en:2: not UTF-8")

    with pytest.raises(UserError, match=r"^train\.en:2: not UTF-8$"):
        train_tokenizer(lines(), CONFIG)


def test_damaged_model_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(UserError, match="not a SentencePiece model"):
        Tokenizer(tokenizer.model_proto[:-7])


@pytest.mark.parametrize(("key", "value"), [
        ("model_type", "word"), ("sampling", 1.5), ("sampling", -0.1), ("normalization", "nfd"),
        ("character_coverage", 0.97), ("character_coverage", 1.01),
    ],
)  # fmt: skip
def test_setting_out_of_range_names_itself(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"tokenizer\.{key}={value}"):
        replace(CONFIG, **{key: value})
