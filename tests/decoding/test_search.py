"""Search beside what must be so by definition: greedy, exhaustive enumeration, teacher-forced scores, hand counts."""

import math
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from seq2seq.attention import Additive, Memory, ScaledDot, Softmax, padding_mask
from seq2seq.data.batching import collate
from seq2seq.data.tokenizer import BOS, EOS, PAD, UNK
from seq2seq.decoding.search import (
    BeamSearch,
    GreedySearch,
    Hypothesis,
    LengthPenalty,
    length_limits,
    power_penalty,
    search_batch,
    wu_penalty,
)
from seq2seq.errors import UserError
from seq2seq.models import (
    GRU,
    LSTM,
    BahdanauDecoder,
    BottleneckDecoder,
    DecoderState,
    EncoderDecoder,
    LuongDecoder,
    RecurrentEncoder,
    SinusoidalPositions,
    TransformerDecoder,
)
from seq2seq.models.embedding import embedding_table

SOURCE_VOCAB, VOCAB, TINY_VOCAB = 19, 13, 6
Search = GreedySearch | BeamSearch
DECODERS: dict[str, Callable[..., Any]] = {
    "bottleneck": partial(BottleneckDecoder, d_model=7, num_layers=1, dropout=0.0, rnn=GRU),
    "bahdanau": partial(
        BahdanauDecoder, d_model=7, d_readout=None, num_layers=1, dropout=0.0, attention_dropout=0.0, rnn=GRU
    ),
    "luong": partial(
        LuongDecoder, d_model=7, input_feeding=False, num_layers=1, dropout=0.0, attention_dropout=0.0, rnn=GRU
    ),
    "luong-feeding": partial(
        LuongDecoder, d_model=7, input_feeding=True, num_layers=2, dropout=0.0, attention_dropout=0.0, rnn=LSTM
    ),
    "transformer": partial(
        TransformerDecoder, d_model=6, num_layers=2, num_heads=2, d_feedforward=11, dropout=0.0,
        attention_dropout=0.0, feedforward_dropout=0.0, norm_first=True, positions=SinusoidalPositions,
        self_score=ScaledDot, self_normalizer=Softmax,
    ),
}  # fmt: skip
PENALTIES = [(name, alpha) for name in ("wu", "power") for alpha in (0.0, 0.6, 1.0)]
every_kind = pytest.mark.parametrize("kind", DECODERS)


def make_model(kind: str, *, vocab: int = VOCAB, sharpness: float = 5.0, seed: int = 0) -> EncoderDecoder:
    """Return a random model that is nearly certain of its next tokens, which differ between sources, as lengths do."""
    torch.manual_seed(seed)
    source, target = (embedding_table(size, 5, padding_index=PAD) for size in (SOURCE_VOCAB, vocab))
    encoder = RecurrentEncoder(
        source, d_model=10, num_layers=2 if kind == "luong-feeding" else 1, dropout=0.0,
        rnn=LSTM if kind == "luong-feeding" else GRU,
    )  # fmt: skip
    decoder = DECODERS[kind](
        target, d_encoder=encoder.d_model, d_summary=encoder.d_summary, score=Additive, normalizer=Softmax
    )
    model = EncoderDecoder(encoder, decoder, vocab_size=vocab).double().eval()
    with torch.no_grad():
        for parameter in (*encoder.parameters(), *decoder.parameters()):
            parameter.mul_(2.0)
        model.output.weight.mul_(sharpness)
        model.output.weight[EOS].mul_(2.0)  # ends are frequent
    return model


def make_sources(count: int = 11, longest: int = 9, seed: int = 0) -> list[Tensor]:
    """Return sources of many lengths, not sorted."""
    generator = torch.Generator().manual_seed(seed)
    lengths = [1 + (5 * i + 3) % longest for i in range(count)]
    return [
        torch.cat((torch.randint(4, SOURCE_VOCAB, (n,), generator=generator), torch.tensor([EOS]))) for n in lengths
    ]


def run(search: Search, model: Any, sources: list[Tensor], key: Any = None) -> list[list[Hypothesis]]:
    """Search all sources in one padded batch."""
    lengths = torch.tensor([len(source) for source in sources])
    source = pad_sequence(sources, batch_first=True, padding_value=PAD)
    return search(model, source, padding_mask(lengths, source.shape[1]), lengths, key=key)


def beam(beam_size: int, *, n_best: int | None = None, **options: Any) -> BeamSearch:
    defaults: dict[str, Any] = {"max_length": 12, "max_ratio": 99.0, "length_penalty": wu_penalty(0.0)}
    return BeamSearch(beam_size=beam_size, n_best=n_best or beam_size, **(defaults | options))


def penalty(name: str, alpha: float) -> LengthPenalty:
    return {"wu": wu_penalty, "power": power_penalty}[name](alpha)


@torch.no_grad()
def teacher_forced(model: EncoderDecoder, source: Tensor, targets: list[list[int]]) -> list[float]:
    """Return the log-probability of each target and EOS after one source, by one pass over known tokens."""
    batch = collate([(source[:-1].tolist(), target, i) for i, target in enumerate(targets)])
    logits = model(batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices)
    found = logits.log_softmax(-1).gather(1, batch.target_output[:, None]).squeeze(1)
    return [float(part.sum()) for part in found.split(batch.target_lengths.tolist())]


class Bigrams:
    """A model whose next token depends on the last one alone; unlike a real one, nothing of it is learned."""

    def __init__(self, probabilities: dict[int, dict[int, float]], vocab: int = 8) -> None:
        self.logits = torch.full((vocab, vocab), -60.0)  # all but impossible
        for last, following in probabilities.items():
            for token, probability in following.items():
                self.logits[last, token] = math.log(probability)
        self.batches: list[int] = []  # how many sentences each step was asked for

    def begin(self, source: Tensor, source_mask: Tensor, source_lengths: Tensor) -> DecoderState:
        return DecoderState((), (torch.zeros(len(source), 1, 1),))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        self.batches.append(len(tokens))
        return self.logits[tokens], state


class Watched:
    """A model that notes the memory of every step."""

    def __init__(self, model: EncoderDecoder) -> None:
        self.model = model
        self.memories: list[list[Tensor]] = []

    def begin(self, *args: Tensor) -> DecoderState:
        return self.model.begin(*args)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        self.memories.append([x for memory in state.memory for x in memory if x is not None])
        return self.model.step(tokens, state)


@every_kind
def test_one_beam_finds_what_greedy_search_finds(kind: str) -> None:
    sources = make_sources(12)
    found: list[Hypothesis] = []
    for seed in range(4):
        model = make_model(kind, seed=seed)
        greedy = run(GreedySearch(max_length=12, max_ratio=99.0), model, sources)
        narrow = run(beam(1), model, sources)
        for expected, hypotheses in zip(greedy, narrow, strict=True):
            assert [h.tokens for h in hypotheses] == [h.tokens for h in expected]
            assert hypotheses[0].score == pytest.approx(expected[0].score, rel=1e-4)
            assert hypotheses[0].log_probability == pytest.approx(expected[0].log_probability, rel=1e-4)
        found += [hypotheses[0] for hypotheses in greedy]
    # What is compared is worth comparing: lengths vary, and not all end at the limit.
    assert len({len(h.tokens) for h in found}) >= 3
    assert len({tuple(h.tokens) for h in found}) > 10


@every_kind
@pytest.mark.parametrize(("name", "alpha"), PENALTIES)
def test_a_beam_as_wide_as_everything_is_exhaustive_search(kind: str, name: str, alpha: float) -> None:
    model = make_model(kind, vocab=TINY_VOCAB, sharpness=2.0)
    # Up to three of the tokens that are allowed inside a translation, then EOS.
    targets = [list(tokens) for n in range(4) for tokens in product((UNK, 4, 5), repeat=n)]
    assert len(targets) == 40
    divide = penalty(name, alpha)
    sources = make_sources(3)
    found = run(beam(40, max_length=4, length_penalty=divide), model, sources)
    for source, hypotheses in zip(sources, found, strict=True):
        scores = [
            total / float(divide(torch.tensor(len(tokens) + 1.0)))
            for tokens, total in zip(targets, teacher_forced(model, source, targets), strict=True)
        ]
        expected = sorted(zip(scores, targets, strict=True), reverse=True)
        assert [h.tokens for h in hypotheses] == [tokens for _, tokens in expected]
        assert [h.score for h in hypotheses] == pytest.approx([score for score, _ in expected], rel=1e-4)


@every_kind
@pytest.mark.parametrize(
    "search",
    [
        GreedySearch(max_length=12, max_ratio=0.3),
        beam(3, max_ratio=0.3),
        # A strong penalty would like late hypotheses, which a sentence that has ended must not take any more.
        beam(4, n_best=2, length_penalty=power_penalty(2.0)),
    ],
    ids=["greedy", "beam3", "beam4"],
)
def test_a_sentence_alone_gives_what_it_gives_in_a_batch(kind: str, search: Search) -> None:
    model, sources = make_model(kind), make_sources()
    together = run(search, model, sources)
    for source, hypotheses in zip(sources, together, strict=True):
        (alone,) = run(search, model, [source])
        assert [h.tokens for h in hypotheses] == [h.tokens for h in alone]
        assert [h.score for h in hypotheses] == pytest.approx([h.score for h in alone], rel=1e-4)


@every_kind
@pytest.mark.parametrize(("name", "alpha"), [("wu", 0.7), ("power", 1.0)])
def test_score_is_the_teacher_forced_log_probability_over_the_penalty(kind: str, name: str, alpha: float) -> None:
    model, sources = make_model(kind, sharpness=2.0), make_sources(5)
    divide = {"wu": lambda n: ((5 + n) / 6) ** 0.7, "power": lambda n: n}[name]
    for source, hypotheses in zip(
        sources, run(beam(5, length_penalty=penalty(name, alpha)), model, sources), strict=True
    ):
        expected = teacher_forced(model, source, [h.tokens for h in hypotheses])
        assert [h.log_probability for h in hypotheses] == pytest.approx(expected, rel=1e-4)
        assert [h.score for h in hypotheses] == pytest.approx(
            [total / divide(len(h.tokens) + 1) for total, h in zip(expected, hypotheses, strict=True)], rel=1e-4
        )


@every_kind
def test_n_best_are_sorted_distinct_and_the_first_of_a_longer_list(kind: str) -> None:
    model, sources = make_model(kind, sharpness=2.0), make_sources(5)
    longer = run(beam(6), model, sources)
    for five, two in zip(longer, run(beam(6, n_best=2), model, sources), strict=True):
        assert len(five) == 6 and two == five[:2]
        assert [h.score for h in five] == sorted((h.score for h in five), reverse=True)
        assert len({tuple(h.tokens) for h in five}) == 6


def test_of_hypotheses_with_the_same_key_the_best_one_stays() -> None:
    model, sources = make_model("bahdanau", sharpness=2.0), make_sources(5)

    def key(tokens: list[int]) -> int:
        return len(tokens) // 2

    merged = run(beam(6, n_best=3), model, sources, key)
    for whole, found in zip(run(beam(6), model, sources), merged, strict=True):
        best = {key(h.tokens): h for h in reversed(whole)}
        keys = [key(h.tokens) for h in found]
        assert len(set(keys)) == len(keys) >= min(3, len(best))
        assert found[0] == whole[0] and all(best.get(k, h) == h for k, h in zip(keys, found, strict=True))


@pytest.mark.parametrize("n_best", [0, 4])
def test_n_best_beyond_the_beam_is_refused(n_best: int) -> None:
    with pytest.raises(UserError, match=f"search.n_best={n_best} must be from 1 to search.beam_size=3"):
        BeamSearch(beam_size=3, n_best=n_best, max_length=5, max_ratio=1.0, length_penalty=wu_penalty(1.0))


@pytest.mark.parametrize("search", [GreedySearch(max_length=7, max_ratio=99.0), beam(3, max_length=7)])
def test_no_translation_holds_padding_or_a_beginning(search: Search) -> None:
    # The model wants nothing else.
    following = {PAD: 0.5, BOS: 0.4, 4: 0.06, EOS: 0.04}
    (hypotheses,) = run(search, Bigrams(dict.fromkeys((BOS, PAD, 4), following)), make_sources(1))
    assert hypotheses
    for hypothesis in hypotheses:
        assert set(hypothesis.tokens) <= {4}
        # What is never taken keeps its share of the probability.
        assert hypothesis.log_probability == pytest.approx(
            len(hypothesis.tokens) * math.log(0.06) + (math.log(0.04)), rel=1e-4
        )


@every_kind
def test_hypotheses_hold_no_special_tokens_and_end_by_the_limit(kind: str) -> None:
    model, sources = make_model(kind, sharpness=0.3), make_sources()
    for hypotheses in run(beam(7, max_length=5), model, sources):
        for hypothesis in hypotheses:
            assert not {PAD, BOS, EOS} & set(hypothesis.tokens)
            assert len(hypothesis.tokens) + 1 <= 5


def test_limits_are_the_ratio_rounded_up_plus_ten_and_at_most_max_length() -> None:
    lengths = torch.tensor([1, 3, 4, 40])
    assert length_limits(lengths, 50, 1.5).tolist() == [12, 15, 16, 50]
    assert length_limits(lengths, 11, 1.5).tolist() == [11, 11, 11, 11]
    assert length_limits(lengths, 256, 0.0).tolist() == [10, 10, 10, 10]
    assert length_limits(lengths, 50, 1e30).tolist() == [50, 50, 50, 50]  # beyond all whole numbers


@pytest.mark.parametrize("make", [wu_penalty, power_penalty])
@pytest.mark.parametrize("alpha", [10.1, 200.0, math.inf, -math.inf, math.nan])
def test_length_penalty_beyond_what_numbers_hold_is_refused(make: Callable[..., Any], alpha: float) -> None:
    with pytest.raises(UserError, match=f"search.length_penalty.alpha={alpha} must be from -10 to 10;"):
        make(alpha)
    assert make(10.0)(torch.tensor(5000.0)).isfinite()


@pytest.mark.parametrize("make", [GreedySearch, partial(beam, 2), partial(beam, 5)], ids=["greedy", "beam2", "beam5"])
def test_each_sentence_must_end_at_its_own_limit(make: Callable[..., Search]) -> None:
    endless = {4: 0.7, 5: 0.29, EOS: 0.01}
    model = Bigrams(dict.fromkeys((BOS, 4, 5), endless))
    sources = [torch.full((n,), 4) for n in (3, 1, 8, 9)]
    # The best stay unended until they must: limits 16, 12, 25 by the ratio, and 25 by max_length.
    found = run(make(max_length=25, max_ratio=2.0), model, sources)
    for limit, hypotheses in zip((16, 12, 25, 25), found, strict=True):
        longest = max(hypotheses, key=lambda h: len(h.tokens))
        assert max(len(h.tokens) + 1 for h in hypotheses) <= limit
        if len(hypotheses) == 1:
            assert longest.tokens == [4] * (limit - 1)
            assert longest.log_probability == pytest.approx((limit - 1) * math.log(0.7) + math.log(0.01), rel=1e-4)


def test_eos_is_forced_on_every_beam_at_the_limit() -> None:
    never = Bigrams({last: {4: 0.6, 5: 0.4 - 1e-12, EOS: 1e-12} for last in (BOS, 4, 5)})
    ((best, second),) = run(beam(2, max_length=4), never, make_sources(1))
    assert best.tokens == [4, 4, 4]
    assert second.tokens in ([4, 4, 5], [4, 5, 4], [5, 4, 4])
    assert best.log_probability == pytest.approx(3 * math.log(0.6) + math.log(1e-12), rel=1e-4)
    assert second.log_probability == pytest.approx(math.log(0.6 * 0.6 * 0.4) + math.log(1e-12), rel=1e-4)


def test_beam_search_finds_what_greedy_search_walks_past() -> None:
    # Greedy takes 4 (0.6) and ends at 0.6 · 0.4 · 0.5; 5 and EOS have 0.4 · 0.9 = 0.36.
    model = Bigrams({BOS: {4: 0.6, 5: 0.4}, 4: {6: 0.4, 7: 0.35, EOS: 0.25}, 5: {EOS: 0.9, 4: 0.1},
                     6: {EOS: 0.5, 4: 0.5}, 7: {EOS: 0.5, 4: 0.5}})  # fmt: skip
    sources = make_sources(1)
    assert run(GreedySearch(max_length=3, max_ratio=1.0), model, sources)[0][0].tokens == [4, 6]
    ((best, second),) = run(beam(2, max_length=3), model, sources)
    assert [best.tokens, second.tokens] == [[5], [4, 6]]
    # 4 alone has 0.15, but fell out of the beam behind 4 6 with 0.24 so far, 0.12 in the end.
    assert [best.score, second.score] == pytest.approx([math.log(0.36), math.log(0.12)], rel=1e-5)


def test_length_penalty_decides_between_short_and_long() -> None:
    # 4: 0.30 of two tokens. 5 6 7: 0.7 · 0.4 = 0.28 of four.
    model = Bigrams({BOS: {4: 0.3, 5: 0.7}, 4: {EOS: 1.0}, 5: {6: 0.4, UNK: 0.6}, 6: {7: 1.0}, 7: {EOS: 1.0},
                     UNK: {UNK: 1.0}})  # fmt: skip
    sources = make_sources(1)
    first = [
        run(beam(4, max_length=4, length_penalty=divide), model, sources)[0][0]
        for divide in (wu_penalty(0.0), wu_penalty(1.0), power_penalty(1.0))
    ]
    assert [h.tokens for h in first] == [[4], [5, 6, 7], [5, 6, 7]]
    assert [h.score for h in first] == pytest.approx(
        [math.log(0.3), math.log(0.28) / (9 / 6), math.log(0.28) / 4], rel=1e-5
    )


def test_penalties_by_hand() -> None:
    length = torch.tensor([1.0, 4.0, 7.0])
    assert wu_penalty(1.0)(length).tolist() == pytest.approx([1.0, 1.5, 2.0])
    assert wu_penalty(0.6)(length).tolist() == pytest.approx([1.0, 1.2754245, 1.5157166])
    assert power_penalty(0.5)(length).tolist() == pytest.approx([1.0, 2.0, 2.6457513])
    assert wu_penalty(0.0)(length).tolist() == power_penalty(0.0)(length).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("kind", [kind for kind in DECODERS if kind != "bottleneck"])
@pytest.mark.parametrize("count", [1, 7])
def test_memory_is_never_copied_for_beams(kind: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only `select` may make a new memory, of fewer sentences; reordering beams must leave it where it is."""
    selected: list[int] = []
    select = DecoderState.select

    def note(state: DecoderState, sentences: Tensor) -> DecoderState:
        selected.append(len(sentences))
        return select(state, sentences)

    monkeypatch.setattr(DecoderState, "select", note)
    watched = Watched(make_model(kind, sharpness=2.0))
    run(beam(5), watched, make_sources(count))
    assert len(watched.memories) > 2
    assert {len(x) for memory in watched.memories for x in memory} <= {count, *selected}
    places = [tuple(x.data_ptr() for x in memory) for memory in watched.memories]
    changes = sum(before != after for before, after in zip(places, places[1:], strict=False))
    assert changes <= len(selected)
    if count == 1:
        assert not selected and len(set(places)) == 1


def test_reordering_beams_leaves_the_memory_where_it_is() -> None:
    memory = Memory(torch.randn(2, 5, 3), torch.randn(2, 5, 3), torch.ones(2, 1, 5, dtype=torch.bool))
    state = DecoderState((memory,), (torch.randn(2, 1, 7),)).reorder(torch.zeros(2, 4, dtype=torch.int64))
    assert state.memory[0] is memory
    assert state.beams[0].shape == (2, 4, 7)


@pytest.mark.parametrize("make", [GreedySearch, partial(beam, 1), partial(beam, 3)], ids=["greedy", "beam1", "beam3"])
def test_finished_sentences_are_left_out_of_later_steps(make: Callable[..., Search]) -> None:
    """Sentences of limits 11, 12 and 20 under a model that would never end."""
    model = Bigrams(dict.fromkeys(range(8), {4: 1.0, EOS: 1e-39}))
    run(make(max_length=20, max_ratio=1.0), model, [torch.full((n,), 4) for n in (1, 2, 10)])
    assert len(model.batches) == 20
    assert model.batches[:11] == [3] * 11 and model.batches[12:] == [1] * 8


def test_an_empty_source_has_a_translation() -> None:
    model = make_model("bahdanau")
    for search in (GreedySearch(max_length=5, max_ratio=1.0), beam(2, max_length=5)):
        (hypotheses,) = run(search, model, [torch.tensor([EOS])])
        assert len(hypotheses[0].tokens) < 5


@pytest.mark.parametrize("sources", [[[5, 6], [], [7]], [[], []], [[5]]])
def test_an_empty_line_is_said_without_a_search(sources: list[list[int]]) -> None:
    searched: list[list[int]] = []

    def search(_: Any, source: Tensor, mask: Tensor, lengths: Tensor, **options: Any) -> list[list[Hypothesis]]:
        found = [row[keep].tolist() for row, keep in zip(source, mask, strict=True)]
        assert lengths.tolist() == [len(ids) for ids in found]
        searched.extend(found)
        return [[Hypothesis(ids[:-1], -1.0, -1.0)] for ids in found]

    batch = collate([(ids, [5], i) for i, ids in enumerate(sources)])
    found = search_batch(search, make_model("bahdanau"), batch)  # type: ignore[arg-type]
    assert [hypotheses[0].tokens for hypotheses in found] == sources
    assert searched == [[*ids, EOS] for ids in sources if ids]
