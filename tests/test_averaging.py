"""The mean of checkpoints: of every weight, in its type; what is not one model is refused by name."""

import copy
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from seq2seq.averaging import mean_weights
from seq2seq.checkpoint import Checkpoint
from seq2seq.data.tokenizer import TokenizerConfig
from seq2seq.data.tokenizer_training import train_tokenizer
from seq2seq.errors import UserError
from seq2seq.options import compose_defaults


@pytest.fixture(scope="module")
def protos() -> list[bytes]:
    options: dict[str, Any] = {
        "joint": True,
        "sampling": 0.0,
        "normalization": "nfc",
        "character_coverage": 1.0,
        "input_sentence_size": 0,
    }
    lines = ["the wolf slept in a house"] * 3
    return [train_tokenizer(lines, TokenizerConfig(model_type="bpe", vocab_size=n, **options)) for n in (22, 23)]


def checkpoint(path: str, proto: bytes, weights: dict[str, Any], **encoder: Any) -> Checkpoint:
    config = {"encoder": {"d_model": 4, "dropout": 0.1} | encoder, "loader": {"max_length": 9}}
    return Checkpoint(config, [proto], None, {k: torch.as_tensor(v) for k, v in weights.items()}, path)


def test_mean_is_taken_in_float64_and_given_in_the_type_of_the_weights(protos: list[bytes]) -> None:
    large, small = 3e38, 1e-3
    weights = [{"w": [large, 1.0, small]}, {"w": [large, 2.0, small]}, {"w": [-large, 6.0, small]}]
    found = mean_weights([checkpoint(str(i), protos[0], w) for i, w in enumerate(weights)])["w"]
    assert found.dtype == torch.float32  # in which the first sum alone would be infinite
    assert found.tolist() == torch.tensor([1e38, 3.0, 1e-3]).tolist()
    half = [
        {"w": torch.tensor([1.0, 2.0**-8], dtype=torch.bfloat16)},
        {"w": torch.tensor([1.0, 0.0], dtype=torch.bfloat16)},
    ]
    found = mean_weights([checkpoint(str(i), protos[0], w) for i, w in enumerate(half)])["w"]
    assert found.dtype == torch.bfloat16 and found.tolist() == [1.0, 2.0**-9]


def test_whole_numbers_are_those_of_the_last(protos: list[bytes]) -> None:
    weights = [{"n": 3, "mask": True}, {"n": 9, "mask": False}]
    found = mean_weights([checkpoint(str(i), protos[0], w) for i, w in enumerate(weights)])
    assert found["n"].item() == 9 and found["n"].dtype == torch.int64 and not found["mask"]


def test_a_checkpoint_with_itself_is_itself_and_dropout_may_differ(protos: list[bytes]) -> None:
    weights = {"w": torch.randn(50)}
    same = [checkpoint("a", protos[0], weights), checkpoint("b", protos[0], weights, dropout=0.5)]
    assert torch.equal(mean_weights(same)["w"], weights["w"])


def test_key_that_an_earlier_version_did_not_have_is_as_usual(protos: list[bytes]) -> None:
    config: Any = OmegaConf.to_container(compose_defaults("train", ["model=transformer", "output=none"]), resolve=True)
    earlier: Any = copy.deepcopy(config)
    del earlier["cross_pattern"], earlier["model"]["output_bias"], earlier["decoder"]["gate"]
    window: Any = config | {"cross_pattern": {"_target_": "seq2seq.attention.Window", "_partial_": True, "width": 3}}
    gated: Any = config | {"decoder": config["decoder"] | {"gate": True}}
    old, new, narrow, other = (
        checkpoint(path, protos[0], {"w": [1.0]})._replace(config=of)
        for path, of in (("old", earlier), ("new", config), ("narrow", window), ("gated", gated))
    )
    for pair in ((old, new), (new, old)):
        assert mean_weights(pair)["w"].tolist() == [1.0]
    for changed, key in ((narrow, "cross_pattern"), (other, "decoder.gate")):
        for pair in ((old, changed), (changed, old)):
            with pytest.raises(UserError, match=f"{key}.* is .*, but .*; average one model's"):
                mean_weights(pair)


@pytest.mark.parametrize(
    ("number", "weights", "options", "said"),
    [
        (1, {"w": [1.0]}, {}, r"b has another source vocabulary \(23 pieces\) than a \(22\)"),
        (0, {"w": [1.0]}, {"d_model": 8}, "b: encoder.d_model is 8, but 4 in a"),
        (0, {"w": [1.0, 2.0]}, {}, r"b: w is of shape \(2,\), but of shape \(1,\) in a"),
        (0, {"w": [1.0], "v": [1.0]}, {}, r"b: v is of shape \(1,\), but absent in a"),
    ],
)
def test_what_differs_is_named(
    protos: list[bytes], number: int, weights: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        mean_weights([checkpoint("a", protos[0], {"w": [0.0]}), checkpoint("b", protos[number], weights, **options)])
