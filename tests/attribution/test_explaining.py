"""From text to an explanation: words of several pieces, contrasts, and what cannot be explained."""

import math
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from seq2seq.alignment.sentence import sentence_of
from seq2seq.attribution import (
    Erasure,
    Explanation,
    Forced,
    GradientTimesInput,
    IntegratedGradients,
    Method,
    Rollout,
    explain,
    explain_beside_runner_up,
)
from seq2seq.attribution.figure import figure
from seq2seq.attribution.sentences import read_sentence, read_target
from seq2seq.attribution.table import table
from seq2seq.build import build_model
from seq2seq.data.tokenizer import EOS, Tokenizer, TokenizerConfig, Tokenizers
from seq2seq.data.tokenizer_training import train_tokenizer
from seq2seq.errors import UserError
from seq2seq.models import EncoderDecoder
from seq2seq.options import compose_defaults
from tests.sentences import sentences

SOURCE, TARGET = "the wolf opened the door", "der Wolf machte die Tür auf"


def tokenizer(normalization: str) -> Tokenizer:
    lines = [text for pair in sentences("val")[:60] for text in (pair.source, pair.target)]
    config = TokenizerConfig(
        model_type="bpe", vocab_size=300, joint=True, sampling=0.0, normalization=normalization,
        character_coverage=1.0, input_sentence_size=0,
    )  # fmt: skip
    return Tokenizer(train_tokenizer(lines, config))


@pytest.fixture(scope="module")
def tokenizers() -> Tokenizers:
    return Tokenizers(*[tokenizer("nfc")] * 2)


@pytest.fixture(scope="module")
def model(tokenizers: Tokenizers) -> EncoderDecoder:
    torch.manual_seed(4)
    sizes = ["model.d_model=16", "model.d_embedding=16", "model.num_layers=2", "encoder.num_heads=2"]
    config = compose_defaults("train", ["model=transformer", *sizes, "decoder.num_heads=2", "output=none"])
    return build_model(config, tokenizers).eval()


@pytest.fixture
def ask(model: EncoderDecoder, tokenizers: Tokenizers) -> Callable[..., Explanation]:
    def asked(method: Method, source: str = SOURCE, target: str = TARGET, **options: Any) -> Explanation:
        return explain(model, tokenizers, source, target, method=method, **options)

    return asked


def test_rows_and_columns_are_words_and_the_end_and_the_beginning(ask: Callable[..., Explanation]) -> None:
    made = ask(Erasure())
    assert made.source == [*SOURCE.split(), "</s>"]
    assert made.prefix == ["<s>", *TARGET.split()]
    assert made.target == [*TARGET.split(), "</s>"]
    assert made.from_source.shape == (7, 6) and made.from_prefix.shape == (7, 7)
    # Of what comes after it a word gets nothing, and "<s>" reaches all.
    assert made.from_prefix.triu(2).count_nonzero() == 0 and made.from_prefix[:, 0].all()


def test_word_has_the_sum_of_its_pieces(ask: Callable[..., Explanation], tokenizers: Tokenizers) -> None:
    words, pieces = ask(GradientTimesInput()), ask(GradientTimesInput(), unit="pieces")
    assert len(pieces.target) > len(words.target)
    of_target = [*tokenizers.target.word_of_piece(TARGET).words, 6]
    of_source = [*tokenizers.source.word_of_piece(SOURCE).words, 5]
    added = torch.zeros(7, 6)
    for i, row in enumerate(of_target):
        for j, column in enumerate(of_source):
            added[row, column] += pieces.from_source[i, j]
    assert_close(words.from_source, added, rtol=1e-4, atol=1e-5)
    assert_close(words.log_probability[-1], pieces.log_probability[-1])


def test_shares_of_a_word_are_the_mean_of_its_pieces_and_sum_to_one(ask: Callable[..., Explanation]) -> None:
    made = ask(Rollout())
    assert_close(made.from_source.sum(-1) + made.from_prefix.sum(-1), torch.ones(7))
    assert_close(made.source_share, made.from_source.sum(-1))


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
@pytest.mark.parametrize("method", [GradientTimesInput(), Erasure()], ids=lambda method: method.name)
def test_it_is_the_same_where_a_caller_wants_no_gradients(
    ask: Callable[..., Explanation], mode: Any, method: Method
) -> None:
    with mode():
        made = ask(method)
    assert_close(made.from_source, ask(method).from_source)


def test_share_of_the_source_is_that_of_the_sizes(ask: Callable[..., Explanation]) -> None:
    made = ask(GradientTimesInput())
    row = made.from_source[2].abs().sum().item(), made.from_prefix[2].abs().sum().item()
    assert made.source_share[2].item() == pytest.approx(row[0] / sum(row))
    source, prefix = made.relative
    assert_close(source.abs().sum(-1) + prefix.abs().sum(-1), torch.ones(7))


@pytest.mark.parametrize("method", [Erasure(), IntegratedGradients()], ids=lambda method: method.name)
def test_contrast_is_the_difference_of_two_explanations(ask: Callable[..., Explanation], method: Method) -> None:
    made = ask(method, contrast="das", at=4)
    one, other = ask(method), ask(method, target="der Wolf machte das")
    assert made.target == ["die - das"] and made.contrast
    assert made.prefix[:4] == ["<s>", "der", "Wolf", "machte"]
    assert_close(made.from_source[0], one.from_source[3] - other.from_source[3], rtol=1e-3, atol=1e-4)
    assert_close(made.from_prefix[0, :4], (one.from_prefix - other.from_prefix[:, :1].new_zeros(1))[3, :4]
                 - other.from_prefix[3, :4], rtol=1e-3, atol=1e-4)  # fmt: skip
    assert_close(made.log_probability[0], one.log_probability[3] - other.log_probability[3])
    assert (made.gap is None) == (one.gap is None)


def test_word_beside_its_runner_up_is_the_difference_of_their_first_pieces(
    model: EncoderDecoder, tokenizers: Tokenizers
) -> None:
    source, target = sentence_of(tokenizers.source, SOURCE), sentence_of(tokenizers.target, TARGET)
    with torch.inference_mode():  # where a caller wants no gradients it is the same
        made = explain_beside_runner_up(model, tokenizers, source, target, method=GradientTimesInput())
    pair = Forced(
        model, source.ids, target.ids, source_units=source.ending().word_of_piece,
        prefix_units=target.beginning().word_of_piece,
    )  # fmt: skip
    logs = pair.log_softmax(pair.source, pair.prefix)[0]
    for word in range(7):
        step = target.ending().word_of_piece.index(word)
        said = (*target.ids, EOS)[step]
        likeliest = logs[step].argsort(descending=True).tolist()
        rival = next(i for i in likeliest if i != said)
        assert made.log_probability[word].item() == pytest.approx(
            (logs[step, said] - logs[step, rival]).item(), abs=1e-5
        )
        if said != EOS:
            assert made.target[word].endswith(tokenizers.target.pieces([rival])[0].removeprefix("▁"))
        rows = []
        for token in (said, rival):
            pair.batch.target_output[step] = token
            source_row, prefix_row, *_ = GradientTimesInput()(pair)
            rows.append((source_row[step].clone(), prefix_row[step].clone()))
        pair.batch.target_output[step] = said
        assert_close(made.from_source[word], rows[0][0] - rows[1][0], atol=1e-5, rtol=1e-4)
        before = target.beginning().word_of_piece[step] + 1
        assert_close(made.from_prefix[word, :before], (rows[0][1] - rows[1][1])[:before], atol=1e-5, rtol=1e-4)
        assert not made.from_prefix[word, before:].any()


def test_contrast_stands_where_it_is_likeliest(ask: Callable[..., Explanation], tokenizers: Tokenizers) -> None:
    first = tokenizers.target.encode("das")[:1]
    likely = [
        ask(Erasure(), contrast=tokenizers.target.decode(first), at=place).log_probability[0].item()
        - ask(Erasure()).log_probability[place - 1].item()
        for place in range(1, 8)
    ]
    made = ask(Erasure(), contrast=tokenizers.target.decode(first))
    assert made.target[0].startswith([*TARGET.split(), "</s>"][likely.index(min(likely))])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contrast": "die", "at": 4}, "is what the target says as word 4"),
        ({"contrast": "das", "at": 8}, "at=8: the target has 6 words; .* from 1 to 7"),
        ({"contrast": "das", "at": 0}, "at=0"),
        ({"contrast": " "}, "contrast is empty"),
        ({"at": 2}, "at=2 is the word that a contrast stands for"),
        ({"unit": "letters"}, "unit=letters is not known; use words or pieces"),
        ({"source": " \t"}, "source is empty"),
        ({"target": ""}, "target is empty"),
        ({"target": "der ж"}, "target: the model's vocabulary cannot say 'ж', word 2"),
        ({"contrast": "ж"}, "contrast: the model's vocabulary cannot say 'ж'"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    ask: Callable[..., Explanation], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        ask(Erasure(), **options)


def test_method_that_knows_no_words_knows_no_contrast(ask: Callable[..., Explanation]) -> None:
    with pytest.raises(UserError, match="method=rollout says what a step's state is made of"):
        ask(Rollout(), contrast="das")


def test_source_that_the_vocabulary_does_not_have_is_read_as_unknown(ask: Callable[..., Explanation]) -> None:
    assert ask(Erasure(), source="the ж").source == ["the", "ж", "</s>"]


@pytest.mark.parametrize(
    "method", [Erasure(), GradientTimesInput(), IntegratedGradients(), Rollout()], ids=lambda m: m.name
)
def test_number_that_is_none_is_an_error(
    model: EncoderDecoder, ask: Callable[..., Explanation], method: Method
) -> None:
    table: Any = model.encoder
    weight = table.embedding.table.weight
    kept = weight.data.clone()
    weight.data[7:] = math.nan
    try:
        with pytest.raises(UserError, match=r"is (nan|no number)|contributes to .* is nan"):
            ask(method)
    finally:
        weight.data = kept


def test_words_that_normalisation_removes_are_left_out_and_named(caplog: pytest.LogCaptureFixture) -> None:
    nmt = tokenizer("nmt_nfkc")
    whole = read_sentence("source", nmt, "the \u200b wolf")
    assert whole.words == ["the", "wolf"] and set(whole.word_of_piece) == {0, 1}
    assert "source: the model does not read '\\u200b'" in caplog.text
    with pytest.raises(UserError, match="nothing that the model reads"):
        read_target("target", nmt, "\u200b")


@pytest.mark.parametrize("text", ["the \u200b wolf", "the wolf \u200b"])
@pytest.mark.parametrize("method", [Erasure(), Rollout()], ids=lambda method: method.name)
def test_words_that_normalisation_removes_are_left_out_of_sentences_that_are_given(
    model: EncoderDecoder, text: str, method: Method
) -> None:
    nmt = tokenizer("nmt_nfkc")
    given = sentence_of(nmt, text)
    assert len(given.words) == 3
    found = [explain(model, Tokenizers(nmt, nmt), given, given, method=method)]
    if method.of_token:
        found.append(explain_beside_runner_up(model, Tokenizers(nmt, nmt), given, given, method=method))
    for made in found:
        assert made.source == ["the", "wolf", "</s>"] and made.prefix == ["<s>", "the", "wolf"]
        assert made.from_source.shape == made.from_prefix.shape == (3, 3) and len(made.target) == 3


def test_long_sentence_is_cut_with_a_warning(tokenizers: Tokenizers, caplog: pytest.LogCaptureFixture) -> None:
    assert len(read_sentence("source", tokenizers.source, SOURCE, max_length=4).ids) == 4
    assert "are more than the model's 4; cut there" in caplog.text


def wide(text: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)


@pytest.mark.parametrize("method", [Erasure(), Rollout()], ids=lambda method: method.name)
def test_table_has_a_line_a_target_word_and_fits_the_terminal(ask: Callable[..., Explanation], method: Method) -> None:
    lines = table(ask(method, source=f"{SOURCE} 狼狼狼 " * 4)).splitlines()
    assert max(map(wide, lines)) <= 100
    assert [line.split()[0] for line in lines[-7:]] == [*TARGET.split(), "</s>"]


def test_table_of_a_word_of_thousands_of_characters_is_made_once_through(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, kind = 0, unicodedata.category

    def category(character: str) -> str:
        nonlocal looks
        looks += 1
        return kind(character)

    monkeypatch.setattr("seq2seq.attribution.table.unicodedata.category", category)
    for word, shown in (("狼" * 5000, "狼" * 7 + "…"), ("ก่" * 5000, "ก่" * 15 + "…"), ("ก่" * 16, "ก่" * 16)):
        made = explanation(
            source=[word, "b", "c"], from_source=torch.tensor([[2.0, 0, 0]]), from_prefix=torch.zeros(1, 1)
        )
        assert table(made).splitlines()[-1].split()[-2:] == [shown, "2.00"]
    assert looks < 50_000


def test_table_names_the_largest_first() -> None:
    made = explanation(from_source=torch.tensor([[0.5, -2.0, 0.01]]), from_prefix=torch.tensor([[0.25]]))
    line = table(made).splitlines()[-1]
    assert line.split() == ["x", "-1.00", "███████▎", "91%", "b", "-2.00", "a", "0.50", "<s>", "0.25"]


def test_table_of_a_contrast_has_a_line_a_word_read() -> None:
    made = explanation(from_source=torch.tensor([[0.5, -2.0, 0.01]]), from_prefix=torch.tensor([[0.25]]), contrast=True)
    assert [line.split()[:3] for line in table(made).splitlines()[-4:]] == [
        ["source", "a", "+0.50"], ["before", "<s>", "+0.25"], ["source", "c", "+0.01"], ["source", "b", "-2.00"]
    ]  # fmt: skip


def explanation(**parts: Any) -> Explanation:
    options: dict[str, Any] = {
        "method": "erasure", "meaning": "nats", "contrast": False, "signed": True, "source": ["a", "b", "c"],
        "prefix": ["<s>"], "target": ["x"], "log_probability": torch.tensor([-1.0]), "gap": None, "remark": "",
        "source_text": "a b c", "target_text": "x",
    }  # fmt: skip
    return Explanation(**{**options, **parts})


def test_figure_shows_both_sides_and_the_share_of_the_source() -> None:
    made = explanation(from_source=torch.tensor([[0.5, -2.0, 0.0]]), from_prefix=torch.tensor([[1.5]]))
    axes = figure(made).axes[0]
    panels = [image.get_array() for image in axes.images[:3]]
    assert [panel.shape for panel in panels if panel is not None] == [(1, 3), (1, 1), (1, 1)]
    assert panels[0] is not None and panels[0].tolist() == [[0.125, -0.5, 0.0]]
    assert panels[2] is not None and panels[2].tolist() == [[0.625]]
    assert min(axes.images[0].cmap(0.5)[:3]) > 0.98  # white
    written = {text.get_text() for text in axes.texts}
    assert {"a", "b", "c", "<s>", "x", "of the source", "source", "words before"} <= written
