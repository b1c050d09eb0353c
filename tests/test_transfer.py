"""Weights that go from one model to another: of shared ones each is taken once, by whichever name fits."""

from typing import Any

import pytest
import torch

from seq2seq.build import build_model
from seq2seq.cli.keys.shorthand import expand
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.options import compose_defaults
from seq2seq.transfer import Vocabularies, transfer


class Vocabulary:
    def __len__(self) -> int:
        return 50

    def pieces(self, ids: range) -> list[str]:
        return list(map(str, ids))


ONE: Any = Vocabulary()
TOKENIZERS = Tokenizers(ONE, ONE)


def model_of(*overrides: str) -> Any:
    (expanded,) = expand([*overrides, "model.d_model=16", "model.num_layers=1", "output=none"])
    return build_model(compose_defaults("train", expanded), TOKENIZERS)


@pytest.mark.parametrize("tied", ["true", "false"])
@pytest.mark.parametrize("now", [("model=transformer", "encoder=recurrent"), ("model=luong",)], ids=str)
def test_shared_embeddings_are_taken_by_the_name_that_both_models_have(now: tuple[str, ...], tied: str) -> None:
    before, model = model_of("model=transformer"), model_of(*now, f"model.tie_output={tied}")
    found = transfer(model, before.state_dict(), before, Vocabularies(TOKENIZERS, TOKENIZERS))
    assert torch.equal(model.output.weight, before.output.weight)
    assert "output.weight" in found.taken or "decoder.embedding.table.weight" in found.taken
    if tied == "true":
        assert torch.equal(model.encoder.table.weight, before.encoder.embedding.table.weight)
        assert "encoder.table.weight" not in found.new and "output.weight" not in found.left


def test_weights_that_were_two_and_are_one_are_taken_once() -> None:
    before, model = model_of("model=luong", "model.tie_output=false"), model_of("model=luong")
    found = transfer(model, before.state_dict(), before, Vocabularies(TOKENIZERS, TOKENIZERS))
    assert torch.equal(model.output.weight, before.encoder.table.weight)
    assert found.left == ["output.weight"] and not found.new
