"""The recurrent decoders against their papers' equations, written out sentence by sentence and step by step."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from seq2seq.attention import Additive, General, Softmax, padding_mask, record_attention
from seq2seq.models import (
    GRU,
    LSTM,
    BahdanauDecoder,
    BottleneckDecoder,
    EncoderDecoder,
    EncoderOutput,
    LuongDecoder,
)
from seq2seq.models.embedding import embedding_table

D_EMBEDDING, D_ENCODER, D_SUMMARY, D = 3, 11, 5, 7
LENGTHS = (7, 2)


def make(kind: type[Any], *, score: type[Any] = Additive, rnn: type[Any] = GRU, **options: Any) -> Any:
    """Return a decoder without dropout, in float64, whose parameters are all at random."""
    decoder = kind(
        embedding_table(29, D_EMBEDDING, padding_index=1), d_encoder=D_ENCODER, d_summary=D_SUMMARY, score=score,
        normalizer=Softmax, d_model=D, num_layers=1, dropout=0.0, rnn=rnn, **options,
    ).double()  # fmt: skip
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    return decoder


@pytest.fixture
def encoded() -> EncoderOutput:
    states, summary = torch.randn(2, 7, D_ENCODER).double(), torch.randn(2, D_SUMMARY).double()
    return EncoderOutput(states, padding_mask(torch.tensor(LENGTHS), 7), summary)


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(2, 29, (2, 5))


def gru(rnn: Any, x: Tensor, h: Tensor) -> Tensor:
    """Return the next state (Cho et al. 2014): reset r, update z, candidate n."""
    w_r, w_z, w_n = rnn.weight_ih_l0.chunk(3)
    u_r, u_z, u_n = rnn.weight_hh_l0.chunk(3)
    a_r, a_z, a_n = rnn.bias_ih_l0.chunk(3)
    b_r, b_z, b_n = rnn.bias_hh_l0.chunk(3)
    r = torch.sigmoid(w_r.mv(x) + a_r + u_r.mv(h) + b_r)
    z = torch.sigmoid(w_z.mv(x) + a_z + u_z.mv(h) + b_z)
    n = torch.tanh(w_n.mv(x) + a_n + r * (u_n.mv(h) + b_n))
    return (1 - z) * n + z * h


def mean_by(scores: list[Tensor], states: Tensor) -> Tensor:
    exponentials = torch.stack(scores).exp()
    return (exponentials / exponentials.sum()) @ states


def each_sentence(encoded: EncoderOutput, tokens: Tensor, run: Callable[..., list[Tensor]]) -> Tensor:
    return torch.stack(
        [torch.stack(run(encoded.states[i, : LENGTHS[i]], encoded.summary[i], tokens[i])) for i in range(len(LENGTHS))]
    )


@pytest.mark.parametrize("d_readout", [None, 13])
def test_bahdanau_equations(encoded: EncoderOutput, tokens: Tensor, d_readout: int | None) -> None:
    decoder = make(BahdanauDecoder, d_readout=d_readout, attention_dropout=0.0)
    score = decoder.attention.score

    def run(states: Tensor, summary: Tensor, ids: Tensor) -> list[Tensor]:
        s = torch.tanh(decoder.bridge.weight.mv(summary) + decoder.bridge.bias)
        features = []
        for token in ids:
            e = decoder.table.weight[token]
            energies = [
                score.energy[:, 0].dot(torch.tanh(score.query_weight.T.mv(s) + score.key_weight.T.mv(h)))
                for h in states
            ]
            c = mean_by(energies, states)
            s = gru(decoder.rnn, torch.cat((e, c)), s)
            deep = decoder.readout.weight.mv(torch.cat((s, e, c))) + decoder.readout.bias
            features.append(torch.maximum(deep[0::2], deep[1::2]))
        return features

    features = decoder(tokens, decoder.begin(encoded))
    assert features.shape == (2, 5, d_readout or D_EMBEDDING)
    assert_close(features, each_sentence(encoded, tokens, run))


@pytest.mark.parametrize("input_feeding", [True, False])
def test_luong_equations(encoded: EncoderOutput, tokens: Tensor, input_feeding: bool) -> None:
    decoder = make(LuongDecoder, score=General, input_feeding=input_feeding, attention_dropout=0.0)

    def run(states: Tensor, summary: Tensor, ids: Tensor) -> list[Tensor]:
        h = torch.tanh(decoder.bridge.weight.mv(summary) + decoder.bridge.bias)
        attentional = h.new_zeros(D)
        features = []
        for token in ids:
            e = decoder.table.weight[token]
            h = gru(decoder.rnn, torch.cat((e, attentional)) if input_feeding else e, h)
            c = mean_by([h.dot(decoder.attention.score.weight.mv(state)) for state in states], states)
            attentional = torch.tanh(decoder.combine.weight.mv(torch.cat((c, h))))
            features.append(attentional)
        return features

    assert_close(decoder(tokens, decoder.begin(encoded)), each_sentence(encoded, tokens, run))


def test_bottleneck_equations(encoded: EncoderOutput, tokens: Tensor) -> None:
    decoder = make(BottleneckDecoder)

    def run(states: Tensor, summary: Tensor, ids: Tensor) -> list[Tensor]:
        h = torch.tanh(decoder.bridge.weight.mv(summary) + decoder.bridge.bias)
        features = []
        for token in ids:
            h = gru(decoder.rnn, decoder.table.weight[token], h)
            features.append(h)
        return features

    assert_close(decoder(tokens, decoder.begin(encoded)), each_sentence(encoded, tokens, run))


def test_bottleneck_sees_the_summary_alone(encoded: EncoderOutput, tokens: Tensor) -> None:
    decoder = make(BottleneckDecoder, rnn=LSTM)
    state = decoder.begin(encoded)
    assert state.memory == ()
    other = encoded._replace(states=torch.randn_like(encoded.states))
    assert_close(decoder(tokens, decoder.begin(other)), decoder(tokens, state), atol=0, rtol=0)


@pytest.mark.parametrize(
    ("decoder_name", "asks_before"), [("bahdanau-gru1", True), ("luong-gru1", False), ("luong-feeding-gru1", False)]
)
def test_bahdanau_asks_before_the_step_and_luong_after(
    build: Callable[..., EncoderDecoder], decoder_name: str, asks_before: bool, batch: dict[str, Tensor]
) -> None:
    model = build("gru1", decoder_name).double().eval()
    rows = []
    for shift in (0, 3):
        with record_attention(model) as record:
            model(**{**batch, "target_input": (batch["target_input"] + shift) % 29})
        rows.append(record["decoder.attention"][:, 0])
    assert rows[0].shape == (3, 5, 7)
    assert torch.equal(rows[0][:, 0], rows[1][:, 0]) == asks_before
    assert not torch.isclose(rows[0][:, 1], rows[1][:, 1]).all(-1).any()


@pytest.mark.parametrize(("decoder_name", "calls"), [("luong-gru2", 1), ("luong-feeding-gru2", 5)])
def test_known_target_takes_one_attention_call_without_input_feeding(
    build: Callable[..., EncoderDecoder], decoder_name: str, calls: int, batch: dict[str, Tensor]
) -> None:
    model: Any = build("gru1", decoder_name)
    queries = []
    model.decoder.attention.register_forward_pre_hook(lambda _, args: queries.append(args[0].shape[1]))
    model(**batch)
    assert queries == [5 // calls] * calls


@pytest.mark.parametrize("decoder_name", ["bahdanau-gru2", "luong-feeding-lstm2", "transformer-post2"])
def test_features_are_dropped_in_training_only(
    build: Callable[..., EncoderDecoder], decoder_name: str, batch: dict[str, Tensor]
) -> None:
    model = build("gru1", decoder_name)
    assert not torch.allclose(model.train()(**batch), model(**batch))
    assert_close(model.eval()(**batch), model(**batch), atol=0, rtol=0)
