"""What a training says of its attention before it begins."""

from typing import Any

import pytest

from seq2seq.build import build_model
from seq2seq.cli.report import describe_attention
from seq2seq.cli.shorthand import expand
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.options import compose_defaults


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["model=bahdanau"], "\nattention: cross explicit (Additive, Softmax)"),
        (["model=luong"], "\nattention: cross fused"),
        (["model=luong", "model.attention_dropout=0.1"], "\nattention: cross explicit (General, Softmax)"),
        (["model=bottleneck"], ""),
        (
            ["model=transformer", "encoder.pattern=window", "score=additive"],
            "\nattention: encoder fused in slices from 200 tokens, decoder fused, cross explicit (Additive, Softmax)",
        ),
        (
            ["model=transformer", "decoder.self_score=linear", "normalizer=sparsemax"],
            "\nattention: encoder fused, decoder linear, cross explicit (ScaledDot, Sparsemax)",
        ),
    ],
)
def test_line_says_what_computes_each_kind_of_attention(overrides: list[str], expected: str) -> None:
    one: Any = range(8)
    (run,) = expand([*overrides, "output=none"])
    model = build_model(compose_defaults("train", run), Tokenizers(one, one))
    assert describe_attention(model, "cpu") == expected
