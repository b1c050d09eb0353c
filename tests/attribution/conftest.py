"""Small models of every kind in float64, and a pair of token ids for them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from seq2seq.attribution import Forced
from seq2seq.build import build_model
from seq2seq.cli.keys.shorthand import expand
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.models import EncoderDecoder
from seq2seq.options import compose_defaults

SIZES = ["model.d_model=16", "model.d_embedding=16", "output=none"]
LAYERS = ["model=transformer", "model.num_layers=2", "encoder.num_heads=2", "decoder.num_heads=2"]
KINDS = {
    "bottleneck": ["model=bottleneck"],
    "bahdanau": ["model=bahdanau", "model.rnn=LSTM"],
    "luong": ["model=luong"],
    "transformer": [*LAYERS, "encoder.norm_first=false", "decoder.norm_first=false"],
    "odd transformer": [
        *LAYERS, "num_key_heads=1", "gate=true", "positions=alibi", "pattern=window",
        "self_normalizer=sigmoid", "normalizer=sink",
    ],
    "jumping transformer": [*LAYERS, "normalizer=topk", "normalizer.k=2"],
    "mixed": ["encoder=transformer", "model=luong", "encoder.num_heads=2"],
}  # fmt: skip
SOURCE, TARGET = [5, 9, 17, 4, 11], [7, 20, 13, 6]
SOURCE_UNITS = [0, 1, 1, 2, 3, 4]
PREFIX_UNITS = [0, 1, 2, 2, 3]
"""Words of one piece but for one of two a side; then the end, and first the beginning."""


def built(kind: str) -> EncoderDecoder:
    torch.manual_seed(3)
    vocabulary: Any = range(23)
    other: Any = range(23)
    overrides = expand([*KINDS[kind], *SIZES, "tokenizer.joint=false", "model.tie_embeddings=false"])[0]
    config = compose_defaults("train", overrides)
    model = build_model(config, Tokenizers(vocabulary, other)).double().eval()
    with torch.no_grad():  # as after a training: what decides is decided, and no norm is plain
        model.output.weight.mul_(4)
        for name, parameter in model.named_parameters():
            if ".norm." in name:
                parameter.add_(torch.randn_like(parameter) / 4)
    return model


@pytest.fixture(scope="session")
def models() -> Callable[[str], EncoderDecoder]:
    made: dict[str, EncoderDecoder] = {}

    def model(kind: str) -> EncoderDecoder:
        if kind not in made:
            made[kind] = built(kind)
        return made[kind]

    return model


@pytest.fixture(params=[kind for kind in KINDS if not kind.startswith("jumping")])
def model(request: pytest.FixtureRequest, models: Callable[[str], EncoderDecoder]) -> EncoderDecoder:
    """A model of any kind; tests leave it as it is."""
    return models(request.param)


@pytest.fixture(params=["transformer", "odd transformer"])
def layered(request: pytest.FixtureRequest, models: Callable[[str], EncoderDecoder]) -> EncoderDecoder:
    """A model of layers of multi-head attention."""
    return models(request.param)


def pair_of(model: EncoderDecoder, **options: Any) -> Forced:
    return Forced(model, SOURCE, TARGET, source_units=SOURCE_UNITS, prefix_units=PREFIX_UNITS, **options)


@pytest.fixture
def pair() -> Callable[..., Forced]:
    """`pair(model)`: the two sentences, forced."""
    return pair_of
