"""An unknown piece is said as the source has it, where attention points; nothing else of the text changes."""

from typing import Any

import pytest
import torch

from seq2seq.alignment.sentence import sentence_of
from seq2seq.build_ensemble import unknown_copy
from seq2seq.checkpoint import AlignmentChoice, Checkpoint
from seq2seq.data.tokenizer import EOS, UNK, Tokenizer, TokenizerConfig, Tokenizers
from seq2seq.data.tokenizer_training import train_tokenizer
from seq2seq.decoding.search import GreedySearch
from seq2seq.decoding.translator import Translator
from seq2seq.decoding.unknown import UnknownCopy, pointed_at, with_parts
from seq2seq.errors import UserError
from tests.decoding.test_translator import BAHDANAU, ENGLISH, GERMAN, TRANSFORMER, make_model


def tokenizers_of(german: list[str]) -> Tokenizers:
    config = TokenizerConfig(
        model_type="bpe", vocab_size=53, joint=False, sampling=0.0, normalization="nfc", character_coverage=1.0,
        input_sentence_size=1000,
    )  # fmt: skip
    return Tokenizers(*(Tokenizer(train_tokenizer(lines * 5, config)) for lines in (ENGLISH, german)))


@pytest.fixture(scope="module")
def tokenizers() -> Tokenizers:
    return tokenizers_of([*GERMAN, "was ⁇ ist ⁇"])


def weights_on(tokenizer: Tokenizer, text: str, word: int) -> torch.Tensor:
    """Return weights of the pieces of a text of which one word has most, though each other piece has more."""
    of = sentence_of(tokenizer, text).word_of_piece
    return torch.tensor([0.6 / of.count(word) if w == word else 0.4 / (len(of) - of.count(word)) for w in of])


@pytest.mark.parametrize(
    ("word", "copied"),
    [(1, "☃"), (2, "☂☁"), (3, "dogs"), (4, "Ωμέγα"), (0, "the")],
)
def test_unknown_part_of_the_word_is_copied_or_all_of_it(tokenizers: Tokenizers, word: int, copied: str) -> None:
    text = "the dog☃s ☂☁ dogs Ωμέγα"
    read = sentence_of(tokenizers.source, text)
    assert UNK in read.ids
    assert pointed_at(read, weights_on(tokenizers.source, text, word)) == copied


def test_of_several_unknown_parts_the_one_of_most_weight_is_copied(tokenizers: Tokenizers) -> None:
    read = sentence_of(tokenizers.source, "☃dog☂")
    weights = [0.5 if read.ids[i] == UNK and i > 1 else 0.1 for i in range(len(read.ids))]
    assert read.ids.count(UNK) == 2 and pointed_at(read, torch.tensor(weights)) == "☂"


@pytest.mark.parametrize(
    ("text", "parts", "said"),
    [
        ("der ☃ Hund", ["Ωμέγα"], "der Ωμέγα Hund"),
        ("☃", ["x"], "x"),
        ("☃ Hund ☂", ["eins", "zwei"], "eins Hund zwei"),
        ("was ⁇ ☃ ist ⁇ Hund☂e", ["drei", "vier"], "was ⁇ drei ist ⁇ Hundviere"),
        ("der Hund", [], "der Hund"),
    ],
)
def test_parts_stand_where_the_unknown_pieces_were(
    tokenizers: Tokenizers, text: str, parts: list[str], said: str
) -> None:
    assert with_parts(tokenizers.target, tokenizers.target.encode(text), parts) == said


@pytest.mark.parametrize(
    ("kind", "choice"),
    [
        ("bahdanau", AlignmentChoice(BAHDANAU, None)),
        ("transformer", AlignmentChoice(TRANSFORMER, 1)),
        ("transformer", AlignmentChoice(TRANSFORMER, None, row="input", quantity="norms")),
    ],
)
def test_translation_without_marks_has_words_of_the_source(kind: str, choice: AlignmentChoice) -> None:
    tokenizers = tokenizers_of(GERMAN)  # whose text has no mark of its own, which would stay
    model = make_model(tokenizers, kind)
    with torch.no_grad():
        model.output.weight[UNK] = 3 * model.output.weight[EOS - 1 + 20]  # it says little else
    options: dict[str, Any] = {"tokens_per_batch": 97, "max_length": 89}
    search = GreedySearch(max_length=6, max_ratio=9.0)
    plain = [t[0] for t in Translator(model, tokenizers, **options).translate(ENGLISH, search)]
    copy = UnknownCopy(model, tokenizers.target, choice)
    found = [t[0] for t in Translator(model, tokenizers, **options, unknown=copy).translate(ENGLISH, search)]
    assert sum("⁇" in t.text for t in plain) > 2 and not any("⁇" in t.text for t in found)
    for line, before, after in zip(ENGLISH, plain, found, strict=True):
        assert after.score == before.score and ("⁇" in before.text or after.text == before.text)
        if "⁇" in before.text:
            assert any(word in after.text for word in line.split())
    busy: list[str] = []

    def meanwhile(*_: Any) -> None:
        """Search with the model in the middle of the pass, as another thread does."""
        if not busy:
            busy.append("search")
            list(Translator(model, tokenizers, **options).translate(ENGLISH[:3], search))
            busy.clear()

    copy.model.get_submodule("encoder").register_forward_hook(meanwhile)
    disturbed = Translator(model, tokenizers, **options, unknown=copy).translate(ENGLISH, search)
    assert [t[0] for t in disturbed] == found


def test_model_without_attention_is_refused(tokenizers: Tokenizers) -> None:
    checkpoint = Checkpoint({}, [], None, {}, "best.ckpt")
    with pytest.raises(
        UserError, match="unknown=copy: best.ckpt has no attention to point at a word; say unknown=keep"
    ):
        unknown_copy([checkpoint], make_model(tokenizers), tokenizers)
