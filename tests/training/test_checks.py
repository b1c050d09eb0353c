"""The two silent bugs of attention, injected into live models, are caught and named."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from seq2seq.attention import Additive, Memory, ScaledDot, SinusoidalPositions, Softmax
from seq2seq.attention.invariants import InvariantError
from seq2seq.attention.masks import causal_mask
from seq2seq.data.batching import Batch, collate
from seq2seq.errors import UserError
from seq2seq.models import (
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
from seq2seq.training.checks import AttentionChecks, check_batch
from seq2seq.training.module import TranslationModule

VOCAB = 19
RECURRENT: dict[str, Any] = {"d_model": 6, "num_layers": 1, "dropout": 0.1, "rnn": LSTM}
TRANSFORMER: dict[str, Any] = {
    "d_model": 6, "num_layers": 2, "num_heads": 2, "d_feedforward": 7, "dropout": 0.1, "attention_dropout": 0.1,
    "feedforward_dropout": 0.1, "norm_first": True, "positions": SinusoidalPositions, "self_score": ScaledDot,
    "self_normalizer": Softmax,
}  # fmt: skip
DECODERS: dict[str, Callable[..., Any]] = {
    "bahdanau": partial(BahdanauDecoder, d_readout=None, attention_dropout=0.1, **RECURRENT),
    "luong": partial(LuongDecoder, input_feeding=False, attention_dropout=0.1, **RECURRENT),
    "bottleneck": partial(BottleneckDecoder, **RECURRENT),
    "transformer": partial(TransformerDecoder, **TRANSFORMER),
}
CROSS = {
    "bahdanau": "decoder.attention", "luong": "decoder.attention",
    "transformer": "decoder.layers.0.cross_attention.attention",
}  # fmt: skip


def make_model(decoder: str, encoder: str | None = None) -> EncoderDecoder:
    table = embedding_table(VOCAB, 5, padding_index=1)
    recurrent = (encoder or decoder) != "transformer"
    reader = RecurrentEncoder(table, **RECURRENT) if recurrent else TransformerEncoder(table, **TRANSFORMER)
    writer = DECODERS[decoder](
        table,
        d_encoder=reader.d_model,
        d_summary=reader.d_summary,
        score=ScaledDot if decoder == "transformer" else Additive,
        normalizer=Softmax,
    )
    return EncoderDecoder(reader, writer, vocab_size=VOCAB)


def make_batch(pairs: int = 3) -> Batch:
    """Return pairs of equal lengths, in which no mask hides anything."""
    return collate([([4 + i, 5, 6, 7, 8], [9, 10 + i, 11, 12], i) for i in range(pairs)])


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("encoder", ["recurrent", "transformer"])
@pytest.mark.parametrize("pairs", [1, 3])
def test_sound_models_pass_and_stay_as_they_were(decoder: str, encoder: str, pairs: int) -> None:
    model = make_model(decoder, encoder).train()
    before = torch.get_rng_state()
    check_batch(model, make_batch(pairs))
    assert model.training
    assert torch.get_rng_state().equal(before)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("decoder", CROSS)
def test_softmax_over_the_wrong_axis_is_caught_in_the_first_layer_that_has_it(
    decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def over_queries(_: Softmax, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        return scores.softmax(-2) if mask is None else scores.masked_fill(~mask, -1e9).softmax(-2)

    model = make_model(decoder)
    monkeypatch.setattr(Softmax, "forward", over_queries)
    layer = "encoder.layers.0.self_attention.attention" if decoder == "transformer" else CROSS[decoder]
    with pytest.raises(InvariantError, match=f"^{layer}: a row of weights misses its sum.*wrong axis"):
        check_batch(model, make_batch())


@pytest.mark.parametrize("decoder", CROSS)
@pytest.mark.parametrize(
    "broadcast",
    [
        pytest.param(lambda mask: mask[:1].expand_as(mask), id="of the first sentence for all"),
        pytest.param(lambda mask: mask.any(-1, keepdim=True), id="over all keys"),
        pytest.param(lambda mask: mask.any(0, keepdim=True), id="of the longest sentence for all"),
    ],
)
def test_mask_that_broadcasts_wrongly_is_caught_in_cross_attention(
    decoder: str, broadcast: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(decoder, encoder="recurrent")
    begin = model.decoder.begin

    def wrong(encoder_output: Any) -> Any:
        state = begin(encoder_output)
        return state._replace(memory=tuple(Memory(m.keys, m.value, broadcast(m.mask)) for m in state.memory))

    monkeypatch.setattr(model.decoder, "begin", wrong)
    with pytest.raises(InvariantError, match=f"^{CROSS[decoder]}: a hidden key has weight .* mask"):
        check_batch(model, make_batch())


def test_mask_that_broadcasts_wrongly_is_caught_in_the_encoder() -> None:
    model: Any = make_model("luong", encoder="transformer")
    attention = model.encoder.layers[1].self_attention
    memory = attention.memory
    attention.memory = lambda key, value, mask: memory(key, value, mask.mT)
    with pytest.raises(
        InvariantError, match=r"^encoder\.layers\.1\.self_attention\.attention: a row that must see keys .* mask"
    ):
        check_batch(model, make_batch())


def test_causal_mask_the_wrong_way_round_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "seq2seq.attention.attention.causal_mask", lambda *sizes, **options: causal_mask(*sizes, **options).mT
    )
    with pytest.raises(InvariantError, match=r"^decoder\.layers\.0\.self_attention\.attention: a hidden key"):
        check_batch(make_model("transformer"), make_batch())


def test_mask_that_hides_too_much_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("luong")
    begin = model.decoder.begin

    def wrong(encoder_output: Any) -> Any:
        first = torch.arange(encoder_output.mask.shape[1]) < 2
        return begin(encoder_output._replace(mask=encoder_output.mask & first))

    monkeypatch.setattr(model.decoder, "begin", wrong)
    with pytest.raises(InvariantError, match=r"^decoder\.attention: equal scores give weights .* wrong mask"):
        check_batch(model, make_batch())


def test_encoder_that_reads_padding_is_caught_though_attention_is_sound() -> None:
    model: Any = make_model("luong")
    encode = model.encoder.forward
    model.encoder.forward = lambda source, mask, lengths: encode(source, mask, lengths)._replace(
        summary=encode(source, mask, lengths).summary + source.sum(1, keepdim=True)
    )
    with pytest.raises(InvariantError, match="^encoder: padding changes an output"):
        check_batch(model, make_batch())


def run_callback(every_n_steps: int, steps: int, module: TranslationModule) -> list[int]:
    """Return the steps of a training at which the callback raised, by a module whose check fails."""
    callback, raised = AttentionChecks(every_n_steps=every_n_steps), []
    for step in range(steps):
        try:
            callback.on_train_batch_start(SimpleNamespace(global_step=step), module, make_batch(), 0)  # type: ignore
        except UserError as error:
            assert str(error).startswith(f"step {step}: decoder.attention: ")
            raised.append(step)
    return raised


def test_training_stops_at_the_chosen_steps_with_step_and_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    module = TranslationModule.__new__(TranslationModule)
    torch.nn.Module.__init__(module)
    module.model = make_model("luong")
    assert run_callback(2, 5, module) == []
    monkeypatch.setattr(Softmax, "forward", lambda _, scores, mask=None: scores.softmax(-2))
    assert run_callback(2, 5, module) == [0, 2, 4]
    assert run_callback(0, 5, module) == []
    with pytest.raises(UserError, match="every_n_steps=-1: use 0"):
        AttentionChecks(every_n_steps=-1)
