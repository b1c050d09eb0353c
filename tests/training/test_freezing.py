"""Which parameters a pattern freezes, and which patterns are refused."""

import pytest
import torch
from torch import nn

from seq2seq.errors import UserError
from seq2seq.training.freezing import freeze


def model() -> nn.Module:
    """Two sides of named layers; the decoder's table and the output are one matrix."""
    made = nn.Module()
    for side in ("encoder", "decoder"):
        part = nn.Module()
        part.table = nn.Embedding(5, 3)
        part.layers = nn.ModuleList(nn.Linear(3, 3) for _ in range(2))
        made.add_module(side, part)
    made.output = nn.Linear(3, 5, bias=False)
    made.output.weight = made.decoder.table.weight  # type: ignore[union-attr, assignment]
    return made


@pytest.mark.parametrize("patterns, expected", [
    (["encoder"], ["encoder.layers.0.bias", "encoder.layers.0.weight", "encoder.layers.1.bias",
                   "encoder.layers.1.weight", "encoder.table.weight"]),
    (["decoder.layers.0.*"], ["decoder.layers.0.bias", "decoder.layers.0.weight"]),
    (["layers.1", "encoder.layers.[0]"], ["decoder.layers.1.bias", "decoder.layers.1.weight", "encoder.layers.0.bias",
                                          "encoder.layers.0.weight", "encoder.layers.1.bias",
                                          "encoder.layers.1.weight"]),
    (["output"], ["decoder.table.weight"]),
    (["embedding"], ["decoder.table.weight", "encoder.table.weight"]),
    ([], []),
])  # fmt: skip
def test_pattern_freezes_what_it_names(patterns: list[str], expected: list[str]) -> None:
    made = model()
    freeze(made, patterns)
    assert sorted(name for name, parameter in made.named_parameters() if not parameter.requires_grad) == expected


def test_frozen_parameter_has_no_gradient() -> None:
    made = model()
    freeze(made, ["encoder"])
    layer, other = made.get_submodule("encoder.layers.0"), made.get_submodule("decoder.layers.0")
    other(layer(torch.ones(1, 3))).sum().backward()
    assert layer.weight.grad is None and other.weight.grad is not None


@pytest.mark.parametrize("patterns, says", [
    (["decodr"], "there is no parameter or part decodr; did you mean decoder"),
    (["nothing.like.it"], "there is no parameter or part nothing.like.it; the model has encoder, decoder"),
    (["encoder", "decoder"], "that is the whole model, and nothing is left to train"),
    ("encoder", r"freeze=encoder: expected a list, such as freeze=\\[encoder\\]"),
])  # fmt: skip
def test_pattern_that_cannot_be_is_refused(patterns: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says.replace("\\\\", "\\")):
        freeze(model(), patterns)
