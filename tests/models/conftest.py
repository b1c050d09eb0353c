"""Small models of every kind in float64, and a padded batch for them. Sizes are prime where they may be."""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seq2seq.attention import Additive, ScaledDot, SinusoidalPositions, Softmax, padding_mask
from seq2seq.models import (
    GRU,
    LSTM,
    BahdanauDecoder,
    BottleneckDecoder,
    EncoderDecoder,
    LuongDecoder,
    RecurrentEncoder,
    TransformerDecoder,
    TransformerEncoder,
)
from seq2seq.models.embedding import embedding_table

SOURCE_VOCAB, TARGET_VOCAB, PADDING = 23, 29, 1
D_EMBEDDING, D_ENCODER, D_DECODER = 13, 10, 7

TRANSFORMER = {
    "d_model": 14,
    "num_heads": 2,
    "d_feedforward": 17,
    "dropout": 0.1,
    "attention_dropout": 0.1,
    "feedforward_dropout": 0.1,
    "positions": SinusoidalPositions,
    "self_score": ScaledDot,
    "self_normalizer": Softmax,
}
Build = Callable[..., Any]
ENCODERS: dict[str, Build] = {}
DECODERS: dict[str, Build] = {}
for rnn, layers in product((GRU, LSTM), (1, 2)):
    name = f"{rnn.__name__.lower()}{layers}"
    options: dict[str, Any] = {"num_layers": layers, "dropout": 0.1, "rnn": rnn}
    ENCODERS[name] = partial(RecurrentEncoder, d_model=D_ENCODER, **options)
    options["d_model"] = D_DECODER
    DECODERS[f"bottleneck-{name}"] = partial(BottleneckDecoder, **options)
    options["attention_dropout"] = 0.1
    DECODERS[f"bahdanau-{name}"] = partial(BahdanauDecoder, d_readout=None, **options)
    DECODERS[f"luong-{name}"] = partial(LuongDecoder, input_feeding=False, **options)
    DECODERS[f"luong-feeding-{name}"] = partial(LuongDecoder, input_feeding=True, **options)
for norm, layers in product(("pre", "post"), (1, 2)):
    options = {**TRANSFORMER, "norm_first": norm == "pre", "num_layers": layers}
    ENCODERS[f"transformer-{norm}{layers}"] = partial(TransformerEncoder, **options)
    DECODERS[f"transformer-{norm}{layers}"] = partial(TransformerDecoder, **options)
# Two recurrent sides are of one kind and depth: one rnn= and one num_layers= is what a person asks for.
PAIRS = [
    (encoder, decoder)
    for encoder, decoder in product(ENCODERS, DECODERS)
    if "transformer" in encoder + decoder or decoder.endswith(encoder)
    if encoder not in ("transformer-pre1", "transformer-post1")
]


def build_model(
    encoder: str,
    decoder: str,
    *,
    score: Callable[..., nn.Module] = Additive,
    normalizer: Callable[[], nn.Module] = Softmax,
    **decoder_options: Any,
) -> EncoderDecoder:
    """Return a model of two kinds, by their names in the tables above."""
    source, target = (
        embedding_table(size, D_EMBEDDING, padding_index=PADDING) for size in (SOURCE_VOCAB, TARGET_VOCAB)
    )
    reader = ENCODERS[encoder](source)
    writer = DECODERS[decoder](
        target, d_encoder=reader.d_model, d_summary=reader.d_summary, score=score, normalizer=normalizer,
        **decoder_options,
    )  # fmt: skip
    return EncoderDecoder(reader, writer, vocab_size=TARGET_VOCAB)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def build() -> Callable[..., EncoderDecoder]:
    return build_model


@pytest.fixture(params=PAIRS, ids=lambda pair: " under ".join(pair))
def names(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture
def model(names: tuple[str, str]) -> EncoderDecoder:
    """Return any encoder under any decoder, in float64, without dropout."""
    return build_model(*names).double().eval()


@pytest.fixture
def batch() -> dict[str, Tensor]:
    """Return the arguments of a model: three sentences of unequal lengths, padded."""
    source_lengths, target_lengths = torch.tensor([7, 5, 2]), torch.tensor([3, 5, 2])
    source_mask, target_mask = padding_mask(source_lengths, 7), padding_mask(target_lengths, 5)
    return {
        "source": torch.randint(2, SOURCE_VOCAB, (3, 7)).where(source_mask, PADDING),
        "source_mask": source_mask,
        "source_lengths": source_lengths,
        "target_input": torch.randint(2, TARGET_VOCAB, (3, 5)).where(target_mask, PADDING),
        "target_indices": target_mask.flatten().nonzero()[:, 0],
    }
