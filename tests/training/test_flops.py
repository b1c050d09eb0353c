"""Operations are counted as they are by hand, and as PyTorch counts whole steps."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from seq2seq.build import build_model
from seq2seq.cli.keys.shorthand import expand
from seq2seq.data.batching import Batch, collate
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.models import EncoderDecoder
from seq2seq.options import compose_defaults
from seq2seq.training.flops import matrix_rate, step_flops
from seq2seq.training.freezing import freeze

VOCABULARY = 50


class Vocabulary:
    def __len__(self) -> int:
        return VOCABULARY


def model_of(*overrides: str) -> EncoderDecoder:
    one: Any = Vocabulary()
    sizes = ("model.d_model=8", "model.d_embedding=8", "output=none")
    (expanded,) = expand([*overrides, *sizes])
    return build_model(compose_defaults("train", expanded), Tokenizers(one, one))


def batch_of(pairs: int, source: int, target: int) -> Batch:
    """Return pairs without padding, of these lengths with EOS."""
    return collate([([5] * (source - 1), [6] * (target - 1), i) for i in range(pairs)])


def counted_by_torch(part: Callable[..., Tensor], batch: Batch) -> int:
    """Return what PyTorch's own counter counts in a pass and its gradients, without kernels that hide their products.

    On the meta device it would count the same and take longer: that one computes shapes in Python.
    """
    arguments = batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
    with (
        pytest.MonkeyPatch.context() as patch,
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        patch.setattr(torch.backends.mkldnn, "enabled", False)
        part(*arguments).sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=transformer", "encoder.num_heads=2", "decoder.num_heads=2"),
        ("model=transformer", "encoder.num_heads=2", "decoder.num_heads=2", "score=additive", "normalizer=sparsemax"),
        ("model=bahdanau",),
        ("model=luong", "score=general"),
        ("model=luong", "score=location", "decoder.input_feeding=true"),
        ("model=bottleneck",),
        ("model=bahdanau", "score=coverage"),
        ("model=luong", "score=performer"),
        ("model=transformer", "score=linear", "self_score=linear"),
        ("model=transformer", "score=uniform", "encoder.self_score=synthesizer", "decoder.self_score=performer"),
    ],
    ids=str,
)
def test_polynomial_is_what_a_whole_step_counts(overrides: tuple[str, ...]) -> None:
    model = model_of(*overrides)
    batch = batch_of(3, 7, 5)
    assert step_flops(model)(batch) == pytest.approx(counted_by_torch(model, batch), rel=1e-9)


def test_a_bottleneck_by_hand() -> None:
    """Three products for each matrix, forward and backward, of two operations a weight."""
    model = model_of("model=bottleneck", "model.rnn=GRU")
    sizes = {name: tensor.numel() for name, tensor in model.named_parameters() if tensor.ndim == 2}
    pairs, source, target = 4, 6, 5
    inside = [name for name in sizes if "table" not in name and "output" not in name]
    positions = {name: 1 if "bridge" in name else source if name.startswith("encoder") else target for name in inside}
    expected = sum(6 * pairs * positions[name] * sizes[name] for name in inside)
    expected += 6 * pairs * target * 8 * VOCABULARY
    # The encoder's first states are zeros, which need no gradient: one product less in each direction.
    expected -= 2 * pairs * sum(sizes[name] for name in inside if name.startswith("encoder") and "weight_hh" in name)
    assert step_flops(model)(batch_of(pairs, source, target)) == expected


@pytest.mark.parametrize("frozen", [["encoder"], ["decoder.layers"], ["embedding"]], ids=str)
def test_frozen_parts_have_no_gradient_to_compute(frozen: list[str]) -> None:
    model = model_of("model=transformer", "model.num_layers=2")
    batch, whole = batch_of(3, 7, 5), step_flops(model)
    freeze(model, frozen)
    flops = step_flops(model)
    # The loss makes the gradient of the projection together with its own, whoever wants it.
    expected = counted_by_torch(model.features, batch) + 6 * batch.num_tokens * model.output.weight.numel()
    assert flops(batch) == pytest.approx(expected, rel=1e-9)
    assert flops(batch) < whole(batch) or frozen == ["embedding"]


def test_counting_leaves_the_model_as_it_was() -> None:
    model = model_of("model=luong")
    before, drawn = [parameter.clone() for parameter in model.parameters()], torch.get_rng_state()
    model.train()
    step_flops(model)
    assert torch.equal(torch.get_rng_state(), drawn) and torch.backends.mkldnn.enabled
    assert all(parameter.grad is None and parameter.device.type == "cpu" for parameter in model.parameters())
    torch.testing.assert_close(list(model.parameters()), before, rtol=0, atol=0)


def test_kernels_that_fuse_a_recurrence_or_round_cost_what_products_do() -> None:
    model = model_of("model=luong", "model.rnn=LSTM")
    flops = step_flops(model)
    assert step_flops(model.to(torch.bfloat16)) == flops
    assert flops(batch_of(1, 4, 4)) > step_flops(model_of("model=luong", "model.rnn=GRU"))(batch_of(1, 4, 4))


def test_padding_costs_and_the_projection_does_not() -> None:
    flops = step_flops(model_of("model=luong"))
    even = collate([([5] * 4, [6] * 4, 0), ([5] * 4, [6] * 4, 1)])
    padded = collate([([5] * 4, [6] * 4, 0), ([5] * 4, [6], 1)])
    assert flops(even) - flops(padded) == 6 * 3 * 8 * VOCABULARY


def test_matrix_rate_is_what_a_product_takes() -> None:
    rate = matrix_rate(torch.device("cpu"), torch.float32, seconds=0.05)
    assert 1e8 < rate < 1e14
