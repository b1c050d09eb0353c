"""What every encoder under every decoder must do."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seq2seq.attention import (
    Additive,
    Cosine,
    Dot,
    Entmax15,
    General,
    Location,
    Normalizer,
    ScaledDot,
    Score,
    Softmax,
    Sparsemax,
    record_attention,
)
from seq2seq.data.batching import collate
from seq2seq.errors import UserError
from seq2seq.models import DecoderState, EncoderDecoder
from seq2seq.training.checks import check_batch

Batch = dict[str, Tensor]


def begin(model: EncoderDecoder, batch: Batch) -> DecoderState:
    return model.begin(batch["source"], batch["source_mask"], batch["source_lengths"])


def stepwise(model: EncoderDecoder, batch: Batch) -> Tensor:
    state = begin(model, batch)
    logits = []
    for tokens in batch["target_input"].split(1, dim=1):
        step, state = model.step(tokens, state)
        logits.append(step)
    return torch.cat(logits, dim=1)


def whole(model: EncoderDecoder, batch: Batch) -> Tensor:
    """Return logits (batch, target, vocab) of a teacher-forced pass, those of padding too."""
    return model.output(model.decoder(batch["target_input"], begin(model, batch)))


def test_stepwise_pass_equals_the_teacher_forced_one(model: EncoderDecoder, batch: Batch) -> None:
    logits = stepwise(model, batch)
    assert_close(logits, whole(model, batch))
    assert_close(logits.flatten(0, 1)[batch["target_indices"]], model(**batch))


def test_sentence_alone_gives_what_it_gives_in_a_padded_batch(model: EncoderDecoder, batch: Batch) -> None:
    together = model(**batch)
    rows = batch["target_indices"] // 5
    for i, (source, target) in enumerate(((7, 3), (5, 5), (2, 2))):
        alone = model(
            batch["source"][i : i + 1, :source],
            batch["source_mask"][i : i + 1, :source],
            batch["source_lengths"][i : i + 1],
            batch["target_input"][i : i + 1, :target],
            torch.arange(target),
        )
        assert_close(alone, together[rows == i])


def test_what_stands_in_padding_changes_nothing(model: EncoderDecoder, batch: Batch) -> None:
    expected = model(**batch)
    real = torch.zeros(15, dtype=torch.bool)
    real[batch["target_indices"]] = True
    source = batch["source"].where(batch["source_mask"], 17)
    target = batch["target_input"].where(real.view(3, 5), 19)
    assert (source != batch["source"]).any() and (target != batch["target_input"]).any()
    assert_close(model(**{**batch, "source": source, "target_input": target}), expected)


def test_later_target_tokens_change_no_earlier_feature(model: EncoderDecoder, batch: Batch) -> None:
    before = whole(model, batch)
    for position in range(5):
        tokens = batch["target_input"].clone()
        tokens[:, position] = (tokens[:, position] + 3) % 29
        after = whole(model, {**batch, "target_input": tokens})
        assert_close(after[:, :position], before[:, :position])
        assert not torch.isclose(after[:, position], before[:, position]).all(-1).any()


def test_source_changes_every_output(case: Any, model: EncoderDecoder, batch: Batch) -> None:
    if not case.sees_source:
        pytest.skip("its pattern hides some of the source")
    source = batch["source"].clone()
    source[:, 1] = (source[:, 1] + 3) % 23
    assert not torch.isclose(model(**{**batch, "source": source}), model(**batch)).all(-1).any()


def test_beams_share_one_memory_and_follow_their_parents(model: EncoderDecoder, batch: Batch) -> None:
    """Search in small: beams that fork, swap and drop give what each of their hypotheses gives teacher-forced."""
    state = begin(model, batch)
    storage = [x.data_ptr() for memory in state.memory for x in memory if x is not None]
    state = state.reorder(torch.zeros(3, 2, dtype=torch.int64))
    hypotheses = torch.empty(3, 2, 0, dtype=torch.int64)
    for parents in ([[0, 1]] * 3, [[1, 0], [0, 0], [0, 1]], [[1, 1, 0], [0, 1, 0], [1, 0, 1]]):
        index = torch.tensor(parents)
        state = state.reorder(index)
        tokens = torch.randint(2, 29, index.shape)
        logits, state = model.step(tokens, state)
        past = torch.stack([beams[kept] for beams, kept in zip(hypotheses, index, strict=True)])
        hypotheses = torch.cat((past, tokens[..., None]), dim=2)
    assert logits.shape == (3, 3, 29)
    for beam in range(3):
        assert_close(logits[:, beam], whole(model, {**batch, "target_input": hypotheses[:, beam]})[:, -1])
    assert [x.data_ptr() for memory in state.memory for x in memory if x is not None] == storage
    assert all(x.shape[0] == 3 and x.shape[1] != 3 for memory in state.memory for x in memory if x is not None)

    kept = torch.tensor([2, 0])
    tokens = torch.randint(2, 29, (3, 3))
    expected, _ = model.step(tokens, state)
    assert_close(model.step(tokens[kept], state.select(kept))[0], expected[kept])


def test_forward_and_backward_run_without_data(any_part: Any, batch: Batch) -> None:
    with torch.device("meta"):
        model = any_part.build()
    # Of one layer, and short: torch computes shapes of meta tensors in Python, which takes long.
    for side in model.encoder, model.decoder:
        if hasattr(side, "layers"):
            del side.layers[1:]
    short = {**batch, "target_input": batch["target_input"][:, :2], "target_indices": batch["target_indices"][:5]}
    short |= {name: batch[name][:, :3] for name in ("source", "source_mask")}
    logits = model(**{name: tensor.to("meta") for name, tensor in short.items()})
    assert logits.shape == (5, 29) and logits.is_meta
    logits.sum().backward()
    assert model.output.weight.grad is not None


def test_bfloat16_autocast_trains_and_steps_close_to_float32(case: Any, batch: Batch) -> None:
    model = case.build().eval()
    expected = model(**batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(**batch)
        steps = stepwise(model, batch).flatten(0, 1)[batch["target_indices"]]
    assert logits.dtype is torch.bfloat16
    if not case.coarse:
        assert_close(logits.float(), expected, atol=0.06, rtol=0.06)
        assert_close(steps.float(), expected, atol=0.06, rtol=0.06)
    logits.float().square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_every_parameter_gets_a_gradient(case: Any, model: EncoderDecoder, batch: Batch) -> None:
    model.train()(**batch).square().sum().backward()
    untouched = {n for n, p in model.named_parameters() if p.grad is None or p.grad.count_nonzero() == 0}
    assert untouched == case.untouched
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_recorder_changes_nothing_and_sees_the_same_weights_stepwise(model: EncoderDecoder, batch: Batch) -> None:
    with record_attention(model) as whole_record:
        recorded = whole(model, batch)
    assert_close(recorded, whole(model, batch))
    with record_attention(model) as step_record:
        stepwise(model, batch)
    assert step_record.keys() == whole_record.keys()
    for name, weights in whole_record.items():
        assert weights.dtype is torch.float64
        assert_close(step_record[name], weights)


def test_invariants_hold(model: EncoderDecoder, batch: Batch) -> None:
    lengths = batch["target_indices"].div(5, rounding_mode="floor").bincount()
    examples = [
        (source[:n].tolist(), target[1:m].tolist(), i)
        for i, (source, n, target, m) in enumerate(
            zip(batch["source"], batch["source_lengths"], batch["target_input"], lengths, strict=True)
        )
    ]
    check_batch(model, collate(examples))


def test_source_of_which_nothing_is_visible_gives_finite_numbers(model: EncoderDecoder, batch: Batch) -> None:
    mask = batch["source_mask"].clone()
    mask[1] = False
    logits = model(**{**batch, "source_mask": mask})
    assert logits.isfinite().all()
    logits.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_variant_is_built_or_refused_in_one_line(variant: Any) -> None:
    """A variant without meaning in a seat is refused when the model is built, without data."""
    refusal = pytest.raises(UserError, match=r"; |\buse\b") if variant.refused else nullcontext()
    with torch.device("meta"), refusal:
        variant.build()


@pytest.mark.parametrize("normalizer", [Softmax, Sparsemax, Entmax15])
@pytest.mark.parametrize("score", [Dot, ScaledDot, General, Additive, Cosine, Location])
@pytest.mark.parametrize("decoder", ["bahdanau-lstm2", "luong-gru1", "luong-feeding-gru2", "transformer-pre2"])
def test_any_score_and_normalizer_work_in_any_decoder(
    build: Callable[..., EncoderDecoder],
    decoder: str,
    score: type[Score],
    normalizer: type[Normalizer],
    batch: Batch,
) -> None:
    size = {} if decoder.startswith("transformer") else {"d_model": 10}  # The encoder's, as dot and cosine need.
    model = build("gru1", decoder, score=score, normalizer=normalizer, **size).double().eval()
    logits = stepwise(model, batch).flatten(0, 1)[batch["target_indices"]]
    assert_close(logits, model(**batch))
    model(**batch).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
