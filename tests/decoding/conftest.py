"""Tiny random models of several kinds, whose every translation can be listed."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from seq2seq.attention import Additive, Linear, ScaledDot, Softmax, Window, padding_mask
from seq2seq.data.batching import collate
from seq2seq.data.tokenizer import EOS, PAD, SPECIAL, UNK
from seq2seq.decoding.search import Hypothesis, Request
from seq2seq.decoding.vocabulary import Vocabulary
from seq2seq.models import (
    GRU,
    LSTM,
    BahdanauDecoder,
    BottleneckDecoder,
    EncoderDecoder,
    LuongDecoder,
    RecurrentEncoder,
    SinusoidalPositions,
    TransformerDecoder,
)
from seq2seq.models.embedding import embedding_table
from tests.shapes import Told, checked_shapes

PIECES = ("▁a", "b", "▁ab", "▁c", "ba")
"""Those of the tiny vocabulary, from id 4 on: `▁a` and `b` spell `▁ab` too."""

SOURCE_VOCAB, VOCAB, LONGEST = 17, len(SPECIAL) + len(PIECES), 3
TRANSFORMER = partial(
    TransformerDecoder, d_model=6, num_layers=2, num_heads=2, d_feedforward=11, dropout=0.0, attention_dropout=0.0,
    feedforward_dropout=0.0, norm_first=True, positions=SinusoidalPositions, self_normalizer=Softmax,
)  # fmt: skip
RECURRENT: dict[str, Any] = {"num_layers": 1, "dropout": 0.0, "rnn": GRU}
KINDS: dict[str, Callable[..., Any]] = {
    "bottleneck": partial(BottleneckDecoder, d_model=7, **RECURRENT),
    "bahdanau": partial(BahdanauDecoder, d_model=7, d_readout=None, attention_dropout=0.0, **RECURRENT),
    "luong-feeding": partial(
        LuongDecoder, d_model=7, input_feeding=True, num_layers=2, dropout=0.0, attention_dropout=0.0, rnn=LSTM
    ),
    "transformer": partial(TRANSFORMER, self_score=ScaledDot),
    "linear": partial(TRANSFORMER, self_score=Linear),
    "window": partial(TRANSFORMER, self_score=ScaledDot, pattern=partial(Window, width=1)),
}


class Scored(NamedTuple):
    """A translation and its log-probability by a teacher-forced pass."""

    tokens: list[int]
    log_probability: float


class Tiny:
    """Models, sources, and all translations of at most three pieces."""

    vocabulary = Vocabulary([*SPECIAL, *PIECES])
    longest = LONGEST
    all_targets = [list(t) for n in range(LONGEST + 1) for t in product((UNK, *range(4, VOCAB)), repeat=n)]

    def model(self, kind: str, *, seed: int = 0, sharpness: float = 2.0) -> EncoderDecoder:
        """Return a random model; the sharper, the more certain."""
        torch.manual_seed(seed)
        source, target = (embedding_table(size, 5, padding_index=PAD) for size in (SOURCE_VOCAB, VOCAB))
        layers: dict[str, Any] = (
            {"num_layers": 2, "rnn": LSTM} if kind == "luong-feeding" else {"num_layers": 1, "rnn": GRU}
        )
        encoder = RecurrentEncoder(source, d_model=10, dropout=0.0, **layers)
        decoder = KINDS[kind](
            target, d_encoder=encoder.d_model, d_summary=encoder.d_summary, score=Additive, normalizer=Softmax
        )
        model = EncoderDecoder(encoder, decoder, vocab_size=VOCAB).double().eval()
        with torch.no_grad():
            for parameter in (*encoder.parameters(), *decoder.parameters()):
                parameter.mul_(2.0)
            model.output.weight.mul_(sharpness)
        return model

    def sources(self, count: int, *, longest: int = 7) -> list[Tensor]:
        """Return sources of many lengths, not sorted."""
        generator = torch.Generator().manual_seed(count)
        lengths = [1 + (5 * i + 3) % longest for i in range(count)]
        return [
            torch.cat((torch.randint(4, SOURCE_VOCAB, (n,), generator=generator), torch.tensor([EOS]))) for n in lengths
        ]

    def run(
        self, search: Any, model: Any, sources: Sequence[Tensor], requests: Sequence[Request] | None = None, **more: Any
    ) -> list[list[Hypothesis]]:
        """Search all sources in one padded batch."""
        lengths = torch.tensor([len(source) for source in sources])
        source = pad_sequence(list(sources), batch_first=True, padding_value=PAD)
        return search(model, source, padding_mask(lengths, source.shape[1]), lengths, requests=requests, **more)

    @torch.no_grad()
    def scored(self, model: EncoderDecoder, source: Tensor, targets: list[list[int]]) -> list[Scored]:
        """Return the log-probability of each target and EOS after one source."""
        batch = collate([(source[:-1].tolist(), target, i) for i, target in enumerate(targets)])
        logits = model(batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices)
        found = logits.log_softmax(-1).gather(1, batch.target_output[:, None]).squeeze(1)
        totals = [float(part.sum()) for part in found.split(batch.target_lengths.tolist())]
        return [Scored(*pair) for pair in zip(targets, totals, strict=True)]

    def best_first(self, scored: list[Scored]) -> list[list[int]]:
        """Return the tokens of some, the likeliest first."""
        return [one.tokens for one in sorted(scored, key=lambda one: -one.log_probability)]


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    """Every kind of model in turn."""
    return request.param


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    return Tiny()


@pytest.fixture(autouse=True, scope="module")
def documented_shapes() -> Iterator[set[tuple[str, Told]]]:
    """Hold every call against the shapes that docstrings tell."""
    with checked_shapes() as met:
        yield met
