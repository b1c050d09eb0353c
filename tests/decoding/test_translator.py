"""Lines in, lines out: their order and number, what is cut, and word links by forced decoding."""

import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from seq2seq.alignment.words import argmax_links, link_pairs, merge_pieces
from seq2seq.attention import Additive, ScaledDot, Softmax
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.data.batching import collate
from seq2seq.data.tokenizer import PAD, Tokenizer, TokenizerConfig, Tokenizers
from seq2seq.data.tokenizer_training import train_tokenizer
from seq2seq.decoding import translator
from seq2seq.decoding.search import BeamSearch, GreedySearch, Hypothesis, SampleSearch, wu_penalty
from seq2seq.decoding.translator import Translator
from seq2seq.errors import UserError
from seq2seq.models import (
    GRU,
    BahdanauDecoder,
    EncoderDecoder,
    RecurrentEncoder,
    SinusoidalPositions,
    TransformerDecoder,
)
from seq2seq.models.embedding import embedding_table
from seq2seq.reading import norms, record_pass

ENGLISH = [
    "the small dog opens the garden door",
    "a man has seen twenty-one dogs in the garden",
    "",
    "it was tired",
    "   ",
    "the animal did not cross the road because it was tired",
    "dogs",
]
GERMAN = [
    "der kleine Hund macht die Gartentür auf",
    "ein Mann hat einundzwanzig Hunde im Garten gesehen",
    "",
    "es war müde",
    "leer",
    "das Tier überquerte die Straße nicht , weil es müde war",
    "Hunde",
]
BAHDANAU, TRANSFORMER = "decoder.attention", "decoder.layers.1.cross_attention.attention"


@pytest.fixture(scope="module")
def tokenizers() -> Tokenizers:
    config = TokenizerConfig(
        model_type="bpe",
        vocab_size=53,
        joint=False,
        sampling=0.0,
        normalization="nfc",
        character_coverage=1.0,
        input_sentence_size=1000,
    )
    return Tokenizers(*(Tokenizer(train_tokenizer(lines * 5, config)) for lines in (ENGLISH, GERMAN)))


def make_model(tokenizers: Tokenizers, kind: str = "bahdanau") -> EncoderDecoder:
    torch.manual_seed(3)
    source, target = (embedding_table(len(side), 10, padding_index=PAD) for side in tokenizers)
    encoder = RecurrentEncoder(source, d_model=10, num_layers=1, dropout=0.0, rnn=GRU)
    decoders: dict[str, Callable[..., Any]] = {
        "bahdanau": partial(
            BahdanauDecoder, d_model=7, d_readout=None, num_layers=1, dropout=0.0, attention_dropout=0.0, rnn=GRU
        ),
        "transformer": partial(
            TransformerDecoder, d_model=10, num_layers=2, num_heads=2, d_feedforward=11, dropout=0.0,
            attention_dropout=0.0, feedforward_dropout=0.0, norm_first=True, positions=SinusoidalPositions,
            self_score=ScaledDot, self_normalizer=Softmax,
        ),
    }  # fmt: skip
    decoder = decoders[kind](target, d_encoder=10, d_summary=encoder.d_summary, score=Additive, normalizer=Softmax)
    model = EncoderDecoder(encoder, decoder, vocab_size=len(tokenizers.target)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    return model


def make(tokenizers: Tokenizers, kind: str = "bahdanau", **options: Any) -> Translator:
    return Translator(
        make_model(tokenizers, kind), tokenizers, **({"tokens_per_batch": 97, "max_length": 89} | options)
    )


def echo(_: Any, source: Tensor, source_mask: Tensor, source_lengths: Tensor, **options: Any) -> list[list[Hypothesis]]:
    """A search that finds the source itself: what comes out tells what went in."""
    return [
        [Hypothesis(ids[: length - 1], -float(length), -1.0)]
        for ids, length in zip(source.tolist(), source_lengths.tolist(), strict=True)
    ]


def echoed(tokenizers: Tokenizers, lines: list[str], **options: Any) -> list[str]:
    same = Tokenizers(tokenizers.source, tokenizers.source)
    found = list(make(same, **options).translate(lines, echo))  # type: ignore[arg-type]
    assert all(len(translations) == 1 for translations in found)
    return [translations[0].text for translations in found]


@pytest.mark.parametrize("tokens_per_batch", [1, 30, 5000])
def test_order_and_number_of_lines_are_kept(tokenizers: Tokenizers, tokens_per_batch: int) -> None:
    lines = ENGLISH * 3
    expected = [line.strip() for line in lines]
    assert echoed(tokenizers, lines, tokens_per_batch=tokens_per_batch) == expected


def test_no_lines_give_no_lines(tokenizers: Tokenizers) -> None:
    assert echoed(tokenizers, []) == []


def test_only_empty_lines_give_as_many_empty_lines(tokenizers: Tokenizers) -> None:
    assert echoed(tokenizers, ["", " ", "\t"]) == ["", "", ""]


def test_lines_are_read_no_further_than_a_chunk_ahead(tokenizers: Tokenizers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translator, "CHUNK", 3)
    read: list[str] = []

    def watched() -> Iterator[str]:
        for line in ENGLISH:
            read.append(line)
            yield line

    same = Tokenizers(tokenizers.source, tokenizers.source)
    results = make(same).translate(watched(), echo)  # type: ignore[arg-type]
    assert next(results)[0].text == ENGLISH[0]
    assert len(read) == 3
    assert [translations[0].text for translations in results] == [line.strip() for line in ENGLISH[1:]]


def test_overlong_line_is_cut_with_a_warning_that_names_it(
    tokenizers: Tokenizers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(translator, "CHUNK", 2)
    pieces = tokenizers.source.encode(ENGLISH[5])
    limit = len(pieces) - 4
    same = Tokenizers(tokenizers.source, tokenizers.source)
    lines = ["dogs", "", "dogs", ENGLISH[5], "it was tired"]
    with caplog.at_level(logging.WARNING):
        found = [t[0].text for t in make(same, max_length=limit).translate(lines, echo, name="news.en")]  # type: ignore[arg-type]
    assert found == ["dogs", "", "dogs", tokenizers.source.decode(pieces[:limit]), "it was tired"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    message = record.getMessage()
    assert message.startswith("news.en:4: ") and f"{len(pieces)} pieces" in message and f"{limit};" in message


def test_line_just_within_the_limit_is_whole(tokenizers: Tokenizers, caplog: pytest.LogCaptureFixture) -> None:
    limit = len(tokenizers.source.encode(ENGLISH[5]))
    assert echoed(tokenizers, [ENGLISH[5]], max_length=limit) == [ENGLISH[5]]
    assert not caplog.records


@pytest.mark.parametrize("kind", ["bahdanau", "transformer"])
def test_translations_do_not_depend_on_the_size_of_batches(tokenizers: Tokenizers, kind: str) -> None:
    search = BeamSearch(beam_size=3, n_best=2, max_length=13, max_ratio=2.0, length_penalty=wu_penalty(1.0))
    one, some, all_ = (
        [t for line in make(tokenizers, kind, tokens_per_batch=n).translate(ENGLISH, search) for t in line]
        for n in (1, 67, 10000)
    )
    assert [t.text for t in one] == [t.text for t in some] == [t.text for t in all_]
    assert len({t.text for t in one}) > 5
    for other in (some, all_):
        assert [t.score for t in other] == pytest.approx([t.score for t in one], rel=1e-4)


def test_samples_of_a_line_do_not_depend_on_batches_or_threads(
    tokenizers: Tokenizers, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = SampleSearch(
        n_best=3, temperature=0.7, top_k=0, top_p=1.0, min_p=0.0, epsilon=0.0, seed=5, max_length=13, max_ratio=2.0
    )
    found = []
    threads = torch.get_num_threads()
    try:
        for tokens, chunk, count in ((1, 4096, 1), (67, 2, 1), (10000, 4096, 3)):
            monkeypatch.setattr(translator, "CHUNK", chunk)
            torch.set_num_threads(count)
            lines = make(tokenizers, "transformer", tokens_per_batch=tokens).translate(ENGLISH * 2, search)
            found.append([[t.text for t in line] for line in lines])
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1] == found[2]
    assert found[0][: len(ENGLISH)] != found[0][len(ENGLISH) :]  # the same lines at other places
    assert all(len(set(line)) == len(line) for line in found[0])


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_threads_search_batches_of_their_own_and_find_the_same(tokenizers: Tokenizers) -> None:
    search = BeamSearch(beam_size=3, n_best=2, max_length=13, max_ratio=2.0, length_penalty=wu_penalty(1.0))
    seen = set()

    def watched(*given: Any, **options: Any) -> list[list[Hypothesis]]:
        seen.add((threading.get_ident(), torch.get_num_threads()))
        return search(*given, **options)

    found = list(make(tokenizers, "transformer", tokens_per_batch=200).translate(ENGLISH, watched))  # type: ignore[arg-type]
    assert len(seen) > 1 and {threads for _, threads in seen} == {1}
    assert torch.get_num_threads() == 3
    torch.set_num_threads(1)
    alone = list(make(tokenizers, "transformer").translate(ENGLISH, search))
    assert [[t.text for t in line] for line in found] == [[t.text for t in line] for line in alone]


@pytest.mark.usefixtures("three_threads")
def test_no_more_searches_than_are_worth_it(tokenizers: Tokenizers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translator, "MOST_SEARCHES", 2)
    seen = set()

    def watched(*given: Any, **options: Any) -> list[list[Hypothesis]]:
        seen.add(threading.get_ident())
        return echo(*given, **options)

    list(make(tokenizers, tokens_per_batch=4).translate(ENGLISH, watched))  # type: ignore[arg-type]
    assert 1 <= len(seen) <= 2 and threading.get_ident() not in seen
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_error_in_a_thread_is_raised_and_leaves_the_threads_as_they_were(tokenizers: Tokenizers) -> None:
    def broken(*_: Any, **__: Any) -> list[list[Hypothesis]]:
        raise UserError("no such luck")

    with pytest.raises(UserError, match="no such luck"):
        list(make(tokenizers).translate(ENGLISH, broken))  # type: ignore[arg-type]
    assert torch.get_num_threads() == 3


def test_translation_is_what_search_finds_decoded(tokenizers: Tokenizers) -> None:
    search = GreedySearch(max_length=13, max_ratio=2.0)
    found = list(make(tokenizers).translate(ENGLISH, search))
    model = make_model(tokenizers)
    for line, (translation,) in zip(ENGLISH, found, strict=True):
        if line.strip():
            batch = collate([(tokenizers.source.encode(line), [], 0)])
            ((expected,),) = search(model, batch.source, batch.source_mask, batch.source_lengths)
            assert translation.text == tokenizers.target.decode(expected.tokens)
            assert translation.score == pytest.approx(expected.score, rel=1e-4)


def test_n_best_come_for_every_line_but_an_empty_one(tokenizers: Tokenizers) -> None:
    search = BeamSearch(beam_size=4, n_best=3, max_length=7, max_ratio=2.0, length_penalty=wu_penalty(1.0))
    found = list(make(tokenizers).translate(ENGLISH, search))
    assert [len(translations) for translations in found] == [3 if line.strip() else 1 for line in ENGLISH]
    for line, translations in zip(ENGLISH, found, strict=True):
        scores = [t.score for t in translations]
        assert scores == sorted(scores, reverse=True)
        assert line.strip() or translations[0] == ("", 0.0)


@pytest.mark.parametrize(
    ("kind", "choice"),
    [
        ("bahdanau", AlignmentChoice(BAHDANAU, None)),
        ("transformer", AlignmentChoice(TRANSFORMER, None)),
        ("transformer", AlignmentChoice(TRANSFORMER, 1)),
        ("transformer", AlignmentChoice(TRANSFORMER, 1, row="input")),
        ("transformer", AlignmentChoice(TRANSFORMER, None, quantity="norms")),
        ("bahdanau", AlignmentChoice(BAHDANAU, None, row="input", quantity="norms")),
    ],
)
@pytest.mark.parametrize("tokens_per_batch", [1, 10000])
def test_links_are_those_of_the_pair_alone(
    tokenizers: Tokenizers, kind: str, choice: AlignmentChoice, tokens_per_batch: int
) -> None:
    aligner = make(tokenizers, kind, tokens_per_batch=tokens_per_batch)
    pairs = list(zip(ENGLISH, GERMAN, strict=True))
    found = list(aligner.align(pairs, choice, argmax_links))
    assert len(found) == len(pairs)
    for (source, target), links in zip(pairs, found, strict=True):
        if not source.strip() or not target.strip():
            assert links == set()
            continue
        assert all(i < len(source.split()) and j < len(target.split()) for i, j in links)
        (source_ids, source_words), (target_ids, target_words) = (
            side.word_of_piece(text) for side, text in zip(tokenizers, (source, target), strict=True)
        )
        batch = collate([(source_ids, target_ids, 0)])
        with torch.no_grad(), record_pass(aligner.model, norms=True) as seen:
            aligner.model(
                batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
            )
        weights = seen.record[choice.layer][0]
        weights = weights.mean(0) if choice.head is None else weights[choice.head]
        if choice.quantity == "norms":
            weights = norms(seen, choice.layer)[0, 0]
            weights = weights / weights.sum(-1, keepdim=True)
        weights = weights.roll(-1, dims=0) if choice.row == "input" else weights
        words = [*target_words, target_words[-1] + 1], [*source_words, source_words[-1] + 1]
        assert links == link_pairs(argmax_links(merge_pieces(weights, *words)))
    assert sum(len(links) for links in found) > 10


@pytest.mark.parametrize("pair", [("", "Hunde"), ("dogs", ""), ("", ""), ("  ", "Hunde")])
def test_pair_with_an_empty_side_has_no_links(tokenizers: Tokenizers, pair: tuple[str, str]) -> None:
    assert list(make(tokenizers).align([pair], AlignmentChoice(BAHDANAU, None), argmax_links)) == [set()]


def test_links_of_a_cut_pair_stay_within_what_was_seen(
    tokenizers: Tokenizers, caplog: pytest.LogCaptureFixture
) -> None:
    limit = 9
    source_words, target_words = (
        side.word_of_piece(text).words[:limit] for side, text in zip(tokenizers, (ENGLISH[5], GERMAN[5]), strict=True)
    )
    pairs = [("dogs", "Hunde"), (ENGLISH[5], GERMAN[5])]
    _, links = make(tokenizers, max_length=limit).align(
        pairs, AlignmentChoice(BAHDANAU, None), argmax_links, name="text"
    )
    assert links
    assert all(i <= max(source_words) and j <= max(target_words) for i, j in links)
    assert [record.getMessage().split(" ")[0] for record in caplog.records] == ["text:2:", "text:2:"]


def test_alignment_by_a_layer_that_is_not_there_is_refused(tokenizers: Tokenizers) -> None:
    with pytest.raises(UserError, match=r"no attention decoder\.gone; train it again"):
        list(make(tokenizers).align([("dogs", "Hunde")], AlignmentChoice("decoder.gone", None), argmax_links))
