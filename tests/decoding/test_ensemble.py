"""Several models as one, beside the averaged distributions: at every step, over all translations, and forced."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from seq2seq.attention import padding_mask
from seq2seq.data.batching import collate
from seq2seq.data.tokenizer import BOS, EOS, PAD
from seq2seq.decoding.ensemble import Ensemble
from seq2seq.decoding.scoring import forced_log_probabilities
from seq2seq.decoding.search import BeamSearch, GreedySearch, Hypothesis, wu_penalty
from seq2seq.errors import UserError
from seq2seq.models import EncoderDecoder
from tests.decoding.test_search import TINY_VOCAB, make_model, make_sources, run

KINDS = ("transformer", "bahdanau", "luong-feeding")
LONGEST = 4


@pytest.fixture(scope="module")
def models() -> list[EncoderDecoder]:
    return [make_model(kind, vocab=TINY_VOCAB, sharpness=1.0, seed=i) for i, kind in enumerate(KINDS)]


@torch.no_grad()
def averaged(models: list[EncoderDecoder], source: Tensor, before: list[int], mean: str) -> Tensor:
    """Return the mean of what the models say after some tokens, each by a pass of its own; float64 (vocab,)."""
    said = []
    for model in models:
        batch = collate([(source[:-1].tolist(), before, 0)])
        logits = model(batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices)
        said.append(logits[-1].double().softmax(-1))
    together = torch.stack(said)
    found = together.mean(0) if mean == "linear" else together.log().mean(0).exp()
    return found / found.sum()


def log_probability(models: list[EncoderDecoder], source: Tensor, tokens: list[int], mean: str) -> float:
    places = [*tokens, EOS]
    return sum(float(averaged(models, source, tokens[:i], mean)[token].log()) for i, token in enumerate(places))


@pytest.mark.parametrize("mean", ["log", "linear"])
@torch.no_grad()
def test_search_finds_the_best_of_all_translations_under_the_mean(models: list[EncoderDecoder], mean: str) -> None:
    """The beam is as wide as there are translations, so that none is lost on the way."""
    tokens = [token for token in range(TINY_VOCAB) if token not in (PAD, BOS, EOS)]
    every = [list(said) for n in range(LONGEST) for said in product(tokens, repeat=n)]
    search = BeamSearch(
        beam_size=len(every), n_best=len(every), max_length=LONGEST, max_ratio=99.0, length_penalty=wu_penalty(0.0)
    )
    sources = make_sources(2)
    found = run(search, Ensemble(models, mean=mean), sources)
    for source, hypotheses in zip(sources, found, strict=True):
        expected = {tuple(said): log_probability(models, source, said, mean) for said in every}
        assert {tuple(h.tokens) for h in hypotheses} == expected.keys()
        for hypothesis in hypotheses:
            assert hypothesis.log_probability == pytest.approx(expected[tuple(hypothesis.tokens)], abs=1e-4)
        assert tuple(hypotheses[0].tokens) == max(expected, key=lambda said: expected[said])


@torch.no_grad()
def test_means_differ_and_neither_is_a_single_model(models: list[EncoderDecoder]) -> None:
    (source,) = make_sources(1)
    found = [averaged(models, source, [4], mean) for mean in ("log", "linear")]
    alone = [averaged([model], source, [4], "log") for model in models]
    assert all((found[0] - other).abs().max() > 1e-3 for other in (found[1], *alone))


@pytest.mark.parametrize("mean", ["log", "linear"])
def test_one_model_twice_is_that_model(mean: str) -> None:
    model, sources = make_model("bahdanau"), make_sources(7)

    def told(found: list[list[Hypothesis]]) -> list[list[Any]]:
        return [[(h.tokens, pytest.approx(h.score, rel=1e-5)) for h in hypotheses] for hypotheses in found]

    for search in (
        GreedySearch(max_length=9, max_ratio=9.0),
        BeamSearch(beam_size=3, n_best=2, max_length=9, max_ratio=9.0, length_penalty=wu_penalty(1.0)),
    ):
        assert told(run(search, Ensemble([model, model], mean=mean), sources)) == told(run(search, model, sources))


@pytest.mark.parametrize("mean", ["log", "linear"])
@torch.no_grad()
def test_sentences_and_beams_are_moved_in_every_model(models: list[EncoderDecoder], mean: str) -> None:
    ensemble, sources = Ensemble(models, mean=mean), make_sources(3)
    lengths = torch.tensor([len(source) for source in sources])
    state = ensemble.begin(
        pad_sequence(sources, batch_first=True, padding_value=PAD), padding_mask(lengths, int(lengths.max())), lengths
    )
    _, state = ensemble.step(torch.full((3, 1), BOS), state)
    _, state = ensemble.step(torch.tensor([[4, 5]] * 3), state.reorder(torch.zeros(3, 2, dtype=torch.int64)))
    logits, _ = ensemble.step(
        torch.tensor([[4, 5]] * 2), state.reorder(torch.tensor([[1, 0]] * 3)).select(torch.tensor([2, 0]))
    )
    for row, source in enumerate((sources[2], sources[0])):
        for beam, before in enumerate(([5, 4], [4, 5])):
            expected = averaged(models, source, before, mean)
            assert torch.allclose(logits[row, beam].double().softmax(-1), expected, atol=1e-5)


@pytest.mark.parametrize("mean", ["log", "linear"])
def test_forced_decoding_is_of_the_mean(models: list[EncoderDecoder], mean: str) -> None:
    targets = [[4, 5, 4], [], [5]]
    sources = make_sources(3)
    batch = collate(
        [(source[:-1].tolist(), target, i) for i, (source, target) in enumerate(zip(sources, targets, strict=True))]
    )
    found = forced_log_probabilities(Ensemble(models, mean=mean), batch).split(batch.target_lengths.tolist())
    for source, target, values in zip(sources, targets, found, strict=True):
        assert float(values.sum()) == pytest.approx(log_probability(models, source, target, mean), abs=1e-4)


def test_unknown_mean_is_refused(models: list[EncoderDecoder]) -> None:
    with pytest.raises(UserError, match="ensemble=median is not known; use log or linear"):
        Ensemble(models, mean="median")
