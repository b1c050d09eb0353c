"""Small models of every kind in float64, and a padded batch for them. Sizes are prime where they may be.

A new variant of attention is among them by its file in configs/.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

from seq2seq.attention import Additive, ScaledDot, SinusoidalPositions, Softmax, padding_mask
from seq2seq.config_files import config_folder
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
from tests.shapes import Told, checked_shapes

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
# Two recurrent sides are of one kind and depth: one rnn= and one num_layers= is what a person asks for. Beside a
# Transformer there is no other that it could depend on, so two kinds are enough.
PAIRS = [
    (encoder, decoder)
    for encoder, decoder in product(ENCODERS, DECODERS)
    if decoder.endswith(encoder)
    or ("transformer" in encoder + decoder and not {"gru2", "lstm1"} & {encoder, decoder.rpartition("-")[2]})
    if encoder not in ("transformer-pre1", "transformer-post1")
]


def few_pairs() -> list[tuple[str, str]]:
    """Return pairs in which each encoder and decoder is met, and each family of one side beside each of the other."""
    met: set[Any] = set()
    few = []
    for encoder, decoder in PAIRS:
        new = {encoder, decoder, ("transformer" in encoder, decoder.partition("-")[0])} - met
        if new:
            few.append((encoder, decoder))
            met |= new
    return few


def build_model(
    encoder: str,
    decoder: str,
    *,
    score: Callable[..., nn.Module] = Additive,
    normalizer: Callable[..., nn.Module] = Softmax,
    encoder_options: Mapping[str, Any] = MappingProxyType({}),
    **decoder_options: Any,
) -> EncoderDecoder:
    """Return a model of two kinds, by their names in the tables above."""
    source, target = (
        embedding_table(size, D_EMBEDDING, padding_index=PADDING) for size in (SOURCE_VOCAB, TARGET_VOCAB)
    )
    reader = ENCODERS[encoder](source, **encoder_options)
    writer = DECODERS[decoder](
        target, d_encoder=reader.d_model, d_summary=reader.d_summary, score=score, normalizer=normalizer,
        **decoder_options,
    )  # fmt: skip
    return EncoderDecoder(reader, writer, vocab_size=TARGET_VOCAB)


class Case(NamedTuple):
    """A model that must do what every model must."""

    name: str
    build: Callable[[], EncoderDecoder]
    untouched: frozenset[str] = frozenset()  # parameters that get no gradient
    sees_source: bool = True  # whether each target position depends on each source position
    coarse: bool = False  # whether bfloat16 may choose other keys than float32


def _pair_case(encoder: str, decoder: str) -> Case:
    untouched: set[str] = set()
    if decoder.startswith("bottleneck") and not encoder.startswith("transformer"):
        # Only the backward direction's state at the first word reaches the decoder.
        top = int(encoder[-1]) - 1
        untouched = {f"encoder.forwards.{top}.{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    return Case(f"{encoder} under {decoder}", partial(build_model, encoder, decoder), frozenset(untouched))


SMALL: dict[str, dict[str, Any]] = {
    "window": {"width": 1},
    "local_m": {"width": 2},
    "local_p": {"width": 2},
    "dilated": {"width": 1},
    "chunked": {"size": 3},
    "bigbird": {"width": 1, "num_random": 1},
    "location": {"max_positions": 9},
    "learned": {"max_positions": 9},
    "synthesizer": {"max_positions": 9, "d_hidden": 5},
    "performer": {"num_features": 11},
    "topk": {"k": 2},
    "t5": {"num_buckets": 6, "max_distance": 3},
    "shaw": {"max_distance": 2},
}
"""Options with which a variant does something to a sentence of seven tokens."""

COARSE: set[str] = {"topk", "local_p"}
"""Variants that choose: in bfloat16 they may choose otherwise."""

RECURRENT = ("bahdanau-lstm2", "luong-gru1", "luong-feeding-gru2")
"""Decoders with an attention that has no heads."""

REFUSED: dict[str, set[str]] = {
    "score=coverage": {"self", "cross"},
    "normalizer=differential": set(RECURRENT),
    "normalizer=leaky": set(RECURRENT),
    "normalizer=monotonic": {"self", "cross"},
    **{f"pattern={name}": {"cross", *RECURRENT} for name in ("dilated", "chunked", "bigbird")},
    "pattern=local_p": {"self"},
    "pattern=fixed": {"self", "cross", *RECURRENT},  # beside the usual score
    "positions=random": {"self"},
}
"""Seats in which a variant has no meaning, by group=name."""

UNTOUCHED: dict[tuple[str, str], set[str]] = {
    ("score=uniform", "cross"): {
        f"decoder.layers.{layer}.cross_residual.norm.{kind}" for layer in (0, 1) for kind in ("weight", "bias")
    },
}
"""Parameters that get a gradient of 0, by variant and seat: a norm before a query that nobody looks at."""

SIZE: dict[str, Any] = {"d_model": 16}
EXTRA: dict[str, dict[str, Any]] = {
    "multi-query": {"num_key_heads": 1},
    "gate": {"gate": True},
}
"""Options of a Transformer's two sides that are no files."""

TOGETHER: list[dict[str, str]] = [
    {"positions": "learned", "pattern": "window"},
    {"pattern": "window", "self_score": "linear"},
    {"positions": "alibi", "self_score": "performer"},
    {"self_score": "linear", "self_normalizer": "sink"},
    {"pattern": "fixed", "self_score": "uniform"},
    {"positions": "alibi", "pattern": "window"},
    {"positions": "rotary", "self_score": "cosine"},
    {"positions": "rotary", "self_normalizer": "differential"},
    {"positions": "alibi", "self_normalizer": "log_length"},
    {"pattern": "window", "self_normalizer": "leaky"},
    {"positions": "t5", "self_normalizer": "differential"},
    {"positions": "shaw", "self_normalizer": "differential"},
]
"""Choices that are to work with each other."""


def part(group: str, name: str) -> Any:
    """Return what a file of configs/ makes, with small sizes."""
    options: Any = OmegaConf.to_container(OmegaConf.load(config_folder() / group / f"{name}.yaml"))
    return instantiate({**options, **SMALL.get(name, {})})


class Variant(NamedTuple):
    """A file of a group of attention, in one seat of a model."""

    name: str  # group=name
    seat: str
    build: Callable[[], EncoderDecoder]

    @property
    def refused(self) -> bool:
        return self.seat in REFUSED.get(self.name, set())


def variant_cases() -> Iterator[Case]:
    """Yield a model for each file of the groups of attention in each of its seats."""
    for variant in VARIANTS:
        if not variant.refused:
            hides = variant.name.startswith("pattern=") and variant.seat != "self"
            coarse = any(name in variant.name for name in COARSE)
            untouched = frozenset(UNTOUCHED.get((variant.name, variant.seat), ()))
            name = f"{variant.name} in {variant.seat}"
            yield Case(name, variant.build, untouched, sees_source=not hides, coarse=coarse)


def variants() -> Iterator[Variant]:
    """Yield every variant, those that are refused as well."""
    folder = config_folder()
    for group in ("score", "normalizer", "pattern", "positions"):
        for name in sorted(path.stem for path in (folder / group).glob("*.yaml")):
            if name == "none" and group == "score":
                continue
            made = part(group, name)
            key = {"score": "self_score", "normalizer": "self_normalizer"}.get(group, group)
            yield Variant(f"{group}={name}", "self", partial(_transformer, {key: made}))
            if group == "positions":
                yield Variant(f"{group}={name}", "encoder", partial(_transformer, {}, {key: made}))
                continue
            cross = {"cross_pattern" if group == "pattern" else group: made}
            yield Variant(f"{group}={name}", "cross", partial(_transformer, {}, {}, **cross))
            for decoder in RECURRENT:
                recurrent = partial(build_model, "gru1", decoder, d_model=D_ENCODER, **cross)
                yield Variant(f"{group}={name}", decoder, recurrent)
    for name, options in EXTRA.items():
        yield Variant(name, "self", partial(_transformer, options, score=ScaledDot))
    for choices in TOGETHER:
        made = {
            key: part({"self_score": "score", "self_normalizer": "normalizer"}.get(key, key), name)
            for key, name in choices.items()
        }
        yield Variant(" ".join(f"{k}={v}" for k, v in choices.items()), "self", partial(_transformer, made))


def _transformer(both: Mapping[str, Any], encoder: Mapping[str, Any] = MappingProxyType({}), **cross: Any) -> Any:
    return build_model(
        "transformer-pre2", "transformer-pre2", encoder_options={**SIZE, **both, **encoder}, **SIZE, **both, **cross
    )


VARIANTS = list(variants())


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.default_generator.manual_seed(0)


@pytest.fixture(scope="session")
def build() -> Callable[..., EncoderDecoder]:
    return build_model


@pytest.fixture(params=[*(_pair_case(*pair) for pair in PAIRS), *variant_cases()], ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture(params=[*(_pair_case(*pair) for pair in few_pairs()), *variant_cases()], ids=lambda case: case.name)
def any_part(request: pytest.FixtureRequest) -> Case:
    """Return a model of each encoder, each decoder and each attention, not of all pairs of a side with each other."""
    return request.param


@pytest.fixture(params=VARIANTS, ids=lambda variant: f"{variant.name} in {variant.seat}")
def variant(request: pytest.FixtureRequest) -> Variant:
    return request.param


@pytest.fixture(
    params=[variant for variant in VARIANTS if not variant.refused and variant.seat not in RECURRENT],
    ids=lambda variant: f"{variant.name} in {variant.seat}",
)
def with_fewer_heads(request: pytest.FixtureRequest) -> Callable[..., EncoderDecoder]:
    """Return what builds a Transformer of any variant, of two layers of two heads; given kept heads, without others."""
    build, given = request.param.build.func, request.param.build.args
    both, encoder = (*given, {})[:2]

    def made(kept: Any = None, kept_cross: Any = None) -> EncoderDecoder:
        cross = {**request.param.build.keywords, "kept_cross_heads": kept_cross}
        return build({**both, "kept_heads": kept}, encoder, **cross)

    return made


@pytest.fixture(scope="module")
def built() -> dict[str, EncoderDecoder]:
    """Models that have been built for an earlier test of the module, by the name of their case."""
    return {}


@pytest.fixture
def model(case: Case, built: dict[str, EncoderDecoder]) -> EncoderDecoder:
    """Return any encoder under any decoder with any attention, in float64, without dropout or gradients.

    To build it takes as long as many a test, so tests share it: they may not change its weights.
    """
    if case.name not in built:
        built[case.name] = case.build().double()
    torch.default_generator.manual_seed(0)  # what a test draws is the same, whether it built the model or not
    model = built[case.name].eval()
    model.zero_grad()
    return model


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


@pytest.fixture(autouse=True, scope="module")
def documented_shapes() -> Iterator[set[tuple[str, Told]]]:
    """Hold every call against the shapes that docstrings tell."""
    with checked_shapes() as met:
        yield met
